//! What a rule can see and remember, whoever provides it: the host's imports in a component, a cluster in memory in a
//! test.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Condition, Context, Json, Level, Neighbour, ObjectRef, Signal, StateError};

/// The imports of the contract. Authors use [`World`]; this is what a provider implements.
pub trait Host {
    /// Whether the object stands in the cluster now.
    fn exists(&self, id: &ObjectRef) -> bool;
    /// Related objects, sorted; an empty relation means all. Deleted objects are among them.
    fn neighbours(&self, id: &ObjectRef, relation: &str, limit: u32) -> Vec<Neighbour>;
    /// The owner chain, nearest first.
    fn owners(&self, id: &ObjectRef) -> Vec<ObjectRef>;
    /// A fragment of an object as JSON text, by RFC 6901 pointer.
    fn read(&self, id: &ObjectRef, pointer: &str) -> Option<String>;
    /// Standing objects of a kind, sorted; an empty namespace means all.
    fn list_kind(&self, kind: &str, namespace: &str, limit: u32) -> Vec<ObjectRef>;
    /// Past signals about objects within reach since a time in ms, newest first.
    fn about(
        &self,
        id: &ObjectRef,
        reach: &str,
        source: &str,
        name: &str,
        since: u64,
        limit: u32,
    ) -> Vec<Signal>;
    /// Spec and data changes of objects within reach since a time in ms, newest first.
    fn changes(&self, id: &ObjectRef, reach: &str, since: u64, limit: u32) -> Vec<Signal>;
    /// A value of the rule's own memory.
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    /// Keeps a value for `ttl` ms of log time.
    ///
    /// # Errors
    /// The limit that it would break.
    fn set(&self, key: &str, value: &[u8], ttl: u64) -> Result<(), StateError>;
    /// Forgets a value.
    fn delete(&self, key: &str);
    /// Writes a line to the rule's log.
    fn log(&self, level: Level, message: &str);
}

/// Most neighbours or objects asked for in one call where the author gives no limit of their own.
const LIMIT: u32 = 1000;

/// The cluster and its past at the moment of the signal, and the rule's memory.
#[derive(Clone, Copy)]
pub struct World<'a> {
    host: &'a dyn Host,
    context: &'a Context,
}

impl<'a> World<'a> {
    /// A view through `host` at the time of `context`.
    #[must_use]
    pub fn new(host: &'a dyn Host, context: &'a Context) -> Self {
        Self { host, context }
    }

    /// Log time of the call, ms since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.context.now
    }

    /// Log time `ago` ms before the call.
    #[must_use]
    pub fn ago(&self, ago: u64) -> u64 {
        self.context.now.saturating_sub(ago)
    }

    /// Name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &'a str {
        &self.context.cluster
    }

    /// Whether the object stands in the cluster now.
    #[must_use]
    pub fn exists(&self, id: &ObjectRef) -> bool {
        self.host.exists(id)
    }

    /// A fragment of an object by RFC 6901 pointer; the empty pointer reads all of it. A deleted object's last state
    /// can be read for the history window.
    #[must_use]
    pub fn read(&self, id: &ObjectRef, pointer: &str) -> Option<Json> {
        serde_json::from_str(&self.host.read(id, pointer)?).ok()
    }

    /// The fragment as the host writes it, compact JSON with sorted names, where that is enough: it need not be understood.
    #[must_use]
    pub fn text(&self, id: &ObjectRef, pointer: &str) -> Option<String> {
        self.host.read(id, pointer)
    }

    /// A condition of an object's status; an empty one where it is not there.
    #[must_use]
    pub fn condition(&self, id: &ObjectRef, kind: &str) -> Condition {
        self.read(id, "/status/conditions")
            .map_or_else(Condition::default, |all| Condition::among(&all, kind))
    }

    /// Standing objects that are related to one in one way, sorted.
    #[must_use]
    pub fn related(&self, id: &ObjectRef, relation: &str) -> Vec<ObjectRef> {
        let all = self.host.neighbours(id, relation, LIMIT).into_iter().map(|n| n.object);
        all.filter(|o| self.host.exists(o)).collect()
    }

    /// All relations of an object, deleted ends included, sorted.
    #[must_use]
    pub fn neighbours(&self, id: &ObjectRef) -> Vec<Neighbour> {
        self.host.neighbours(id, "", LIMIT)
    }

    /// The owner chain up to the top-level controller, nearest first. A static pod's chain ends in its Node.
    #[must_use]
    pub fn owners(&self, id: &ObjectRef) -> Vec<ObjectRef> {
        self.host.owners(id)
    }

    /// The top-level controller of an object, or the object itself. A static pod belongs to no workload though its
    /// node owns it, so it is its own.
    #[must_use]
    pub fn workload(&self, id: &ObjectRef) -> ObjectRef {
        self.owners(id).into_iter().rfind(|o| o.kind != "Node").unwrap_or_else(|| id.clone())
    }

    /// The standing pods that belong to a workload, however deep, sorted; the pod itself where it is one.
    #[must_use]
    pub fn pods(&self, workload: &ObjectRef) -> Vec<ObjectRef> {
        let (mut pods, mut todo): (Vec<ObjectRef>, _) = (Vec::new(), vec![workload.clone()]);
        // A cycle of bad owner references must not run for ever: no controller nests deeper than this in sum.
        for _ in 0..LIMIT {
            let Some(at) = todo.pop() else { break };
            if at.kind == "Pod" {
                let place = pods.partition_point(|p| (&p.namespace, &p.name) < (&at.namespace, &at.name));
                if self.exists(&at) && pods.get(place).is_none_or(|p| !p.is(&at)) {
                    pods.insert(place, at);
                }
            } else {
                // A ReplicaSet that nobody has shown may stand between.
                todo.extend(self.host.neighbours(&at, "owned", LIMIT).into_iter().map(|n| n.object));
            }
        }
        pods
    }

    /// The standing Ingresses that lead to a workload by its Services.
    #[must_use]
    pub fn ingresses(&self, workload: &ObjectRef) -> Vec<ObjectRef> {
        let mut all: Vec<ObjectRef> = Vec::new();
        // The pods of a workload have the same labels.
        let Some(pod) = self.pods(workload).into_iter().next() else { return all };
        let services = self.related(&pod, "selected-by").into_iter().filter(|o| o.kind == "Service");
        let users = services.flat_map(|service| self.related(&service, "used-by"));
        for ingress in users.filter(|o| o.kind == "Ingress") {
            if all.iter().all(|known| !known.is(&ingress)) {
                all.push(ingress);
            }
        }
        all
    }

    /// Standing objects of a kind, sorted; an empty namespace means all.
    #[must_use]
    pub fn list(&self, kind: &str, namespace: &str) -> Vec<ObjectRef> {
        self.host.list_kind(kind, namespace, LIMIT)
    }

    /// Whether any object of a kind stands in a namespace: whether such objects were collected there at all.
    #[must_use]
    pub fn any(&self, kind: &str, namespace: &str) -> bool {
        !self.host.list_kind(kind, namespace, 1).is_empty()
    }

    /// Whether nobody has shown an object of which events speak, nor any other of its kind from the same namespace: where
    /// others were shown, one that was not has been gone when they were.
    #[must_use]
    pub fn only_told(&self, id: &ObjectRef) -> bool {
        !self.exists(id) && self.read(id, "/metadata").is_none() && !self.any(&id.kind, &id.namespace)
    }

    /// Past signals about objects within reach since a time in ms, newest first. `source` and `name` are globs.
    #[must_use]
    pub fn about(
        &self,
        id: &ObjectRef,
        reach: &str,
        source: &str,
        name: &str,
        since: u64,
        limit: u32,
    ) -> Vec<Signal> {
        self.host.about(id, reach, source, name, since, limit)
    }

    /// Spec and data changes of objects within reach since a time in ms, newest first.
    #[must_use]
    pub fn changes(&self, id: &ObjectRef, reach: &str, since: u64, limit: u32) -> Vec<Signal> {
        self.host.changes(id, reach, since, limit)
    }

    /// What [`World::remember`] kept under `key`; none where it has expired or has another shape.
    #[must_use]
    pub fn recall<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(&self.host.get(key)?).ok()
    }

    /// Whether anything is kept under `key`.
    #[must_use]
    pub fn remembers(&self, key: &str) -> bool {
        self.host.get(key).is_some()
    }

    /// Keeps `value` for `ttl` ms of log time. A full memory is written to the log: a rule has to work without it.
    pub fn remember<T: Serialize>(&self, key: &str, value: &T, ttl: u64) {
        let kept = serde_json::to_vec(value).map_err(|e| e.to_string());
        let kept = kept.and_then(|v| self.host.set(key, &v, ttl).map_err(|e| e.to_string()));
        if let Err(reason) = kept {
            self.log(Level::Warn, &format!("cannot remember {key}: {reason}"));
        }
    }

    /// Forgets what was kept under `key`.
    pub fn forget(&self, key: &str) {
        self.host.delete(key);
    }

    /// Tells why a cause is not named here although the rule came to look: `kwhy explain --code CODE` shows it. A reason
    /// that a reader can check, without times or counts, so that the same is said once; for a cause that something
    /// speaks against, a [`Rejection`](crate::Rejection) is better, since it stands in the finding.
    pub fn unmet(&self, code: &str, root: &ObjectRef, because: &str) {
        self.log(Level::Debug, &format!("unmet {code} {} {}: {because}", root.kind, root.path()));
    }

    /// Writes a line to the rule's log.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }
}
