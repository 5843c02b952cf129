//! The node that the workload's pods ran on, where it left the cluster shortly before they began to wait.

use kwhy_sdk::{ObjectRef, Signal, World, hours, minutes, parse_time};

use crate::finding::Case;

/// A node that left is what changed, if its pods wait since about then.
const BEFORE: u64 = hours(2);
/// Pods are moved off a node before it leaves.
const DRAIN: u64 = minutes(30);
/// Most objects below a workload that are looked at.
const MOST: usize = 200;

impl Case<'_> {
    /// The node, when it left, and the watch event that says so.
    pub(crate) fn left(&self) -> Option<(ObjectRef, u64, Signal)> {
        let mut found: Option<(ObjectRef, u64, Signal)> = None;
        let mut seen: Vec<String> = Vec::new();
        for pod in former(self.world, &self.workload) {
            let spec = self.world.read(&pod, "/spec/nodeName").unwrap_or_default();
            let name = spec.text("");
            if name.is_empty() || seen.iter().any(|s| s == name) {
                continue;
            }
            seen.push(name.to_owned());
            let node = ObjectRef::new("Node", "", name);
            if self.world.exists(&node) {
                continue;
            }
            let changes = self.world.changes(&node, "self", self.since.saturating_sub(BEFORE), 5);
            let Some(gone) = changes.into_iter().find(|c| c.name == "DELETED") else { continue };
            let near = gone.at <= self.since.saturating_add(DRAIN);
            if near && found.as_ref().is_none_or(|(_, at, _)| *at < gone.at) {
                found = Some((node, gone.at, gone));
            }
        }
        found
    }

    /// When an object was made, ms.
    pub(crate) fn made(&self, id: &ObjectRef) -> u64 {
        let created = self.world.read(id, "/metadata/creationTimestamp").unwrap_or_default();
        parse_time(created.text("")).unwrap_or(0)
    }
}

/// Pods of a workload, those that are gone among them.
fn former(world: &World<'_>, workload: &ObjectRef) -> Vec<ObjectRef> {
    let (mut pods, mut todo) = (Vec::new(), vec![workload.clone()]);
    for _ in 0..MOST {
        let Some(at) = todo.pop() else { break };
        if at.kind == "Pod" {
            pods.push(at);
        } else {
            let owned = world.neighbours(&at).into_iter().filter(|n| n.relation == "owned");
            todo.extend(owned.map(|n| n.object));
        }
    }
    pods
}
