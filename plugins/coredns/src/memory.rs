//! What the pack remembers between calls: which workloads have shown something, and what it holds true of them. Facts
//! are not kept: they are read anew from graph and history, so the order in which they arrived cannot matter.

use kwhy_sdk::{ObjectRef, World, hours, minutes};
use serde::{Deserialize, Serialize};

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

/// A workload that runs CoreDNS and has shown something.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Since when no pod shows the loop any more though nothing says that it is over.
    pub(crate) undecided: Option<u64>,
    /// Log time of the last look at timeouts.
    pub(crate) looked: u64,
}

/// All that is remembered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) watched: Vec<Watched>,
    /// Pods that told of a loop before anything was known of them, and when.
    pub(crate) pending: Vec<(Id, u64)>,
}

impl Memory {
    /// None where nothing has happened yet, which is the cheap and usual case.
    pub(crate) fn load(world: &World<'_>) -> Option<Self> {
        world.recall(KEY)
    }

    pub(crate) fn save(mut self, world: &World<'_>) {
        let now = world.now();
        self.watched.retain(|w| !w.loops.is_empty() || w.timeouts.is_some() || w.seen + QUIET > now);
        self.pending.retain(|(_, at)| at + PENDING > now);
        if self.watched.is_empty() && self.pending.is_empty() {
            world.forget(KEY);
        } else {
            world.remember(KEY, &self, KEEP);
        }
    }

    /// The place of a workload, made if need be.
    pub(crate) fn watch(&mut self, workload: &ObjectRef, seen: u64) {
        let wanted = id(workload);
        if let Some(found) = self.watched.iter_mut().find(|w| w.workload == wanted) {
            found.seen = found.seen.max(seen);
            return;
        }
        self.watched.push(Watched {
            workload: wanted,
            map: None,
            seen,
            loops: Vec::new(),
            timeouts: None,
            undecided: None,
            looked: 0,
        });
        self.watched.sort_by(|a, b| a.workload.cmp(&b.workload));
    }
}
