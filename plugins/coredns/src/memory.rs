//! What the pack remembers between calls: which workloads have shown something, and what it holds true of them. Facts
//! are not kept: they are read anew from graph and history, so the order in which they arrived cannot matter.

use kwhy_sdk::{
    Json, ObjectRef, World, hours, minutes,
    serde_json::{Value, json},
};

const KEY: &str = "watched";
/// Long enough for a broken DNS over a long weekend that nobody touches.
const KEEP: u64 = hours(24 * 7);
/// A workload that nothing is held of is forgotten this long after its last telling line.
const QUIET: u64 = hours(2);
/// How long a line of a pod that is not yet known is kept in mind.
pub(crate) const PENDING: u64 = minutes(30);

/// Kind, namespace, name.
pub(crate) type Id = (String, String, String);

pub(crate) fn id(object: &ObjectRef) -> Id {
    (object.kind.clone(), object.namespace.clone(), object.name.clone())
}

pub(crate) fn object(id: &Id) -> ObjectRef {
    ObjectRef::new(&id.0, &id.1, &id.2)
}

fn id_of(json: &Json) -> Id {
    (json.text("/0").to_owned(), json.text("/1").to_owned(), json.text("/2").to_owned())
}

fn some_id(json: &Json) -> Option<Id> {
    json.has("").then(|| id_of(json))
}

fn time(json: &Json, pointer: &str) -> u64 {
    u64::try_from(json.number(pointer)).unwrap_or(0)
}

/// A workload that runs CoreDNS and has shown something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) workload: Id,
    /// Where its Corefile stands.
    pub(crate) map: Option<Id>,
    /// Log time of the newest telling line.
    pub(crate) seen: u64,
    /// Roots of the forward-loop that is held true.
    pub(crate) loops: Vec<Id>,
    /// Root of the upstream-timeout that is held true.
    pub(crate) timeouts: Option<Id>,
    /// Root of the config-invalid that is held true.
    pub(crate) invalid: Option<Id>,
    /// Root of the all-replicas-down that is held true.
    pub(crate) down: Option<Id>,
    /// Root of the node-cache-down that is held true.
    pub(crate) cache: Option<Id>,
    /// Since when it is known to have no pods at all.
    pub(crate) down_since: Option<u64>,
    /// Who was known to suffer at the last look.
    pub(crate) felt: Vec<Id>,
    /// Since when no pod shows the loop any more though nothing says that it is over.
    pub(crate) undecided: Option<u64>,
    /// Log time of the last look at timeouts.
    pub(crate) looked: u64,
    /// Log time at which timeouts were last told of.
    pub(crate) told: u64,
}

impl Watched {
    /// Whether anything is held true of it.
    fn holds(&self) -> bool {
        self.timeouts.is_some() || self.cache.is_some() || self.silent()
    }

    /// Whether something is held true of it that keeps it from answering.
    pub(crate) fn silent(&self) -> bool {
        !self.loops.is_empty() || self.invalid.is_some() || self.down.is_some()
    }
}

fn mark(of: &ObjectRef) -> String {
    let key = format!("of/{}/{}", of.kind, of.path());
    // Keys are limited to 256 bytes, names are not.
    key.char_indices()
        .nth(240)
        .map_or_else(|| key.clone(), |(end, _)| key.get(..end).unwrap_or_default().to_owned())
}

/// Whether an object is, or was, one that is remembered: a watched workload, its Corefile, a pod that is waited for. Asked
/// of every pod of the cluster, before all that is remembered is read.
pub(crate) fn concerns(world: &World<'_>, object: &ObjectRef) -> bool {
    world.remembers(&mark(object))
}

/// Whether anything is remembered at all. In most clusters nothing is.
pub(crate) fn is_empty(world: &World<'_>) -> bool {
    !world.remembers(KEY)
}

/// All that is remembered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) watched: Vec<Watched>,
    /// Pods that told of a loop before anything was known of them, and when.
    pub(crate) pending: Vec<(Id, u64)>,
}

impl Memory {
    /// None where nothing has happened yet, which is the cheap and usual case.
    pub(crate) fn load(world: &World<'_>) -> Option<Self> {
        let json = world.recall::<Json>(KEY)?;
        let watched = json.list("/watched").into_iter().map(|w| Watched {
            workload: id_of(&w.at("/workload")),
            map: some_id(&w.at("/map")),
            seen: time(&w, "/seen"),
            loops: w.list("/loops").iter().map(id_of).collect(),
            timeouts: some_id(&w.at("/timeouts")),
            invalid: some_id(&w.at("/invalid")),
            down: some_id(&w.at("/down")),
            cache: some_id(&w.at("/cache")),
            down_since: w.has("/down_since").then(|| time(&w, "/down_since")),
            felt: w.list("/felt").iter().map(id_of).collect(),
            undecided: w.has("/undecided").then(|| time(&w, "/undecided")),
            looked: time(&w, "/looked"),
            told: time(&w, "/told"),
        });
        let pending = json.list("/pending").iter().map(|p| (id_of(&p.at("/pod")), time(p, "/at"))).collect();
        Some(Self { watched: watched.collect(), pending })
    }

    pub(crate) fn save(mut self, world: &World<'_>) {
        let now = world.now();
        self.watched.retain(|w| w.holds() || w.seen + QUIET > now);
        self.pending.retain(|(_, at)| at + PENDING > now);
        let watched = self.watched.iter().flat_map(|w| [Some(&w.workload), w.map.as_ref()]);
        for id in watched.flatten().chain(self.pending.iter().map(|(pod, _)| pod)) {
            if !concerns(world, &object(id)) {
                world.remember(&mark(&object(id)), &true, KEEP);
            }
        }
        if self.watched.is_empty() && self.pending.is_empty() {
            world.forget(KEY);
        } else {
            world.remember(KEY, &self.to_json(), KEEP);
        }
    }

    /// By hand, because derived code for these few fields costs a component twenty kilobytes.
    fn to_json(&self) -> Value {
        let watched = self.watched.iter().map(|w| {
            json!({
                "workload": w.workload, "map": w.map, "seen": w.seen, "loops": w.loops,
                "timeouts": w.timeouts, "invalid": w.invalid, "down": w.down, "cache": w.cache, "down_since": w.down_since,
                "felt": w.felt, "undecided": w.undecided, "looked": w.looked, "told": w.told,
            })
        });
        let pending = self.pending.iter().map(|(pod, at)| json!({"pod": pod, "at": at}));
        json!({"watched": watched.collect::<Value>(), "pending": pending.collect::<Value>()})
    }

    /// The place of a workload, made if need be.
    pub(crate) fn watch(&mut self, workload: &ObjectRef, seen: u64) {
        let wanted = id(workload);
        if let Some(found) = self.watched.iter_mut().find(|w| w.workload == wanted) {
            found.seen = found.seen.max(seen);
            return;
        }
        let place = self.watched.partition_point(|w| w.workload < wanted);
        self.watched.insert(place, Watched { workload: wanted, seen, ..Watched::default() });
    }
}
