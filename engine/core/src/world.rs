//! Graph and history at one point of the log, as a rule may look at them.

use kwhy_proto::v1::ObjectRef;

use crate::rule::RuleSignal;

/// A related object and how it is related.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// owner, owned, node, pod, selects, selected-by, uses, used-by, scales or scaled-by.
    pub relation: String,
    /// The other object.
    pub object: ObjectRef,
}

/// A read-only view; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct World {}

impl World {
    /// Whether the object stands in the cluster now.
    #[must_use]
    pub fn exists(&self, _id: &ObjectRef) -> bool {
        false
    }
    /// Related objects, sorted; an empty relation means all.
    #[must_use]
    pub fn neighbours(&self, _id: &ObjectRef, _relation: &str, _limit: usize) -> Vec<Neighbour> {
        Vec::new()
    }
    /// The owner chain up to the top-level controller, nearest first.
    #[must_use]
    pub fn owners(&self, _id: &ObjectRef) -> Vec<ObjectRef> {
        Vec::new()
    }
    /// A fragment of the stored object as JSON, by RFC 6901 pointer.
    #[must_use]
    pub fn read(&self, _id: &ObjectRef, _pointer: &str) -> Option<String> {
        None
    }
    /// Objects of a kind that stand in the cluster now; empty namespace for all.
    #[must_use]
    pub fn list_kind(&self, _kind: &str, _namespace: &str, _limit: usize) -> Vec<ObjectRef> {
        Vec::new()
    }
    /// Past signals about objects within reach, newest first; `since` in ms.
    #[must_use]
    pub fn about(&self, _id: &ObjectRef, _reach: &str, _source: &str, _name: &str, _since: u64, _limit: usize) -> Vec<RuleSignal> {
        Vec::new()
    }
    /// Spec and data changes of objects within reach, newest first; `since` in ms.
    #[must_use]
    pub fn changes(&self, _id: &ObjectRef, _reach: &str, _since: u64, _limit: usize) -> Vec<RuleSignal> {
        Vec::new()
    }
}
