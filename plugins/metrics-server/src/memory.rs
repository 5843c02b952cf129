//! What the pack remembers between calls: which metrics-servers have shown something, what is held true of them, which
//! alerts about the metrics API fire and which autoscalers miss it. Lines and objects are read anew each time, so the
//! order in which they arrived cannot matter.

use kwhy_sdk::{
    Json, ObjectRef, Signal, World, hours,
    serde_json::{Value, json},
};

const KEY: &str = "watched";
/// A metrics API that is missing can go unminded for weeks.
const KEEP: u64 = hours(24 * 30);
/// A workload that nothing is held of is forgotten this long after it has shown something.
const QUIET: u64 = hours(2);
/// Most autoscalers that are named one by one.
pub(crate) const MOST: usize = 40;

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

fn time(json: &Json, pointer: &str) -> u64 {
    u64::try_from(json.number(pointer)).unwrap_or(0)
}

/// A metrics-server that has shown something, or the APIService where there is none behind it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) workload: Id,
    /// Log time at which it last showed something.
    pub(crate) seen: u64,
    /// Log time of the last look.
    pub(crate) looked: u64,
    /// Code and root of what is held true.
    pub(crate) held: Option<(String, Id)>,
}

/// An alert about the metrics API that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firing {
    pub(crate) name: String,
    pub(crate) subject: Id,
    labels: String,
}

/// All that is remembered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) watched: Vec<Watched>,
    pub(crate) alerts: Vec<Firing>,
    pub(crate) autoscalers: Vec<Id>,
}

impl Memory {
    /// None where nothing has happened yet, which is the cheap and usual case.
    pub(crate) fn load(world: &World<'_>) -> Option<Self> {
        let json = world.recall::<Json>(KEY)?;
        let watched = json.list("/watched").into_iter().map(|w| Watched {
            workload: id_of(&w.at("/workload")),
            seen: time(&w, "/seen"),
            looked: time(&w, "/looked"),
            held: w.has("/held").then(|| (w.text("/held/0").to_owned(), id_of(&w.at("/held/1")))),
        });
        let alerts = json.list("/alerts").into_iter().map(|a| Firing {
            name: a.text("/name").to_owned(),
            subject: id_of(&a.at("/subject")),
            labels: a.text("/labels").to_owned(),
        });
        let autoscalers = json.list("/autoscalers").iter().map(id_of).collect();
        Some(Self { watched: watched.collect(), alerts: alerts.collect(), autoscalers })
    }

    /// By hand, because derived code for these few fields costs a component twenty kilobytes.
    pub(crate) fn save(mut self, world: &World<'_>) {
        let now = world.now();
        self.watched.retain(|w| w.held.is_some() || w.seen + QUIET > now);
        if self.watched.is_empty() {
            self.autoscalers.clear();
        }
        if self.watched.is_empty() && self.alerts.is_empty() {
            world.forget(KEY);
            return;
        }
        let watched = self
            .watched
            .iter()
            .map(|w| json!({"workload": w.workload, "seen": w.seen, "looked": w.looked, "held": w.held}));
        let alerts =
            self.alerts.iter().map(|a| json!({"name": a.name, "subject": a.subject, "labels": a.labels}));
        let all = json!({
            "watched": watched.collect::<Value>(),
            "alerts": alerts.collect::<Value>(),
            "autoscalers": self.autoscalers,
        });
        world.remember(KEY, &all, KEEP);
    }

    /// Takes in that an alert fires or has ended.
    pub(crate) fn hear(&mut self, alert: &Signal, subject: &ObjectRef) {
        let labels = ["name", "namespace", "prometheus", "cluster"].map(|l| alert.field(l)).join("|");
        let alert_name = alert.name.as_str();
        self.alerts.retain(|a| (a.name.as_str(), &a.labels) != (alert_name, &labels));
        if alert.state != "resolved" {
            let place = self.alerts.partition_point(|a| (a.name.as_str(), &a.labels) < (alert_name, &labels));
            self.alerts.insert(place, Firing { name: alert.name.clone(), subject: id(subject), labels });
        }
    }

    /// Whether this autoscaler was not known to miss its metrics.
    pub(crate) fn misses(&mut self, autoscaler: &ObjectRef) -> bool {
        let wanted = id(autoscaler);
        match self.autoscalers.binary_search(&wanted) {
            Err(place) if self.autoscalers.len() <= MOST => {
                self.autoscalers.insert(place, wanted);
                true
            }
            _ => false,
        }
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
