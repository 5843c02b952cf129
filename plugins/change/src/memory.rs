//! Which change is blamed for the alerts of which workload. Facts are read anew each time; only this is remembered, so
//! that several workloads that broke by one change are told in one finding.

use kwhy_sdk::{ObjectRef, World, hours};

const KEY: &str = "blamed";
/// Longest time that an alert is thought of.
const KEEP: u64 = hours(24 * 7);

/// Kind, namespace, name.
type Id = (String, String, String);

/// Workload, code, root.
type Entry = (Id, String, Id);

/// What is blamed now, in the order of the workloads.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Entry>);

fn id(object: &ObjectRef) -> Id {
    (object.kind.clone(), object.namespace.clone(), object.name.clone())
}

fn object(id: &Id) -> ObjectRef {
    ObjectRef::new(&id.0, &id.1, &id.2)
}

impl Memory {
    pub(crate) fn load(world: &World<'_>) -> Self {
        Self(world.recall(KEY).unwrap_or_default())
    }

    pub(crate) fn save(&self, world: &World<'_>) {
        world.remember(KEY, &self.0, KEEP);
    }

    /// Blames a change, or none, for what is the matter with a workload; returns what was blamed if that is over.
    pub(crate) fn blame(
        &mut self,
        workload: &ObjectRef,
        cause: Option<(&str, &ObjectRef)>,
    ) -> Option<(String, ObjectRef)> {
        let own = id(workload);
        let former = self.0.iter().position(|e| e.0 == own).map(|at| self.0.remove(at));
        if let Some((code, root)) = cause {
            let entry = (own, code.to_owned(), id(root));
            let at = self.0.partition_point(|e| *e < entry);
            self.0.insert(at, entry);
        }
        let (_, code, root) = former?;
        let over = !self.0.iter().any(|e| e.1 == code && e.2 == root);
        over.then(|| (code, object(&root)))
    }

    /// The workloads that a change is blamed for.
    pub(crate) fn felt_by(&self, code: &str, root: &ObjectRef) -> Vec<ObjectRef> {
        let root = id(root);
        self.0.iter().filter(|e| e.1 == code && e.2 == root).map(|e| object(&e.0)).collect()
    }
}
