//! Graph and history at one point of the log, as a rule may look at them.

use std::cmp::Reverse;

use kwhy_proto::v1::ObjectRef;

use crate::{
    change::Change,
    graph::Graph,
    history::{History, Record, Wanted},
    key::Key,
    reach::{Reach, reach},
    rule::RuleSignal,
    seen::{self, Watch},
};

/// Of so many objects each is noted by itself when a rule looks for something that was said of them.
const FEW: usize = 16;

/// A related object and how it is related.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// owner, owned, node, pod, selects, selected-by, uses, used-by, scales or scaled-by.
    pub relation: String,
    /// The other object.
    pub object: ObjectRef,
}

/// A read-only view of the cluster and its past for one rule; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct World {
    graph: Graph,
    history: History,
    rule: usize,
    watch: Watch,
}

impl World {
    pub(crate) fn new(graph: &Graph, history: &History, rule: usize, watch: Watch) -> Self {
        Self { graph: graph.clone(), history: history.clone(), rule, watch }
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether the object stands in the cluster now.
    #[must_use]
    pub fn exists(&self, id: &ObjectRef) -> bool {
        self.graph.live(&Key::from(id)).is_some_and(|o| id.uid.is_empty() || o.uid == id.uid)
    }

    /// Related objects, sorted; an empty relation means all.
    #[must_use]
    pub fn neighbours(&self, id: &ObjectRef, relation: &str, limit: usize) -> Vec<Neighbour> {
        self.graph.neighbour_refs(id, relation, limit)
    }

    /// The owner chain up to the top-level controller, nearest first.
    #[must_use]
    pub fn owners(&self, id: &ObjectRef) -> Vec<ObjectRef> {
        self.graph.owners(&Key::from(id)).iter().map(|k| self.graph.to_ref(k)).collect()
    }

    /// A fragment of the stored object as JSON, by RFC 6901 pointer; a deleted object's last state counts.
    #[must_use]
    pub fn read(&self, id: &ObjectRef, pointer: &str) -> Option<String> {
        self.graph.get(&Key::from(id))?.at(pointer)?.written()
    }

    /// Objects of a kind that stand in the cluster now, sorted; empty namespace for all.
    #[must_use]
    pub fn list_kind(&self, kind: &str, namespace: &str, limit: usize) -> Vec<ObjectRef> {
        let live = self.graph.of_kind(kind, namespace).filter(|o| o.deleted.is_none());
        live.take(limit).map(|o| o.to_ref()).collect()
    }

    /// Past signals about objects within reach since a time (ms), newest first. `source` and `name` are globs.
    #[must_use]
    pub fn about(
        &self,
        id: &ObjectRef,
        within: &str,
        source: &str,
        name: &str,
        since: u64,
        limit: usize,
    ) -> Vec<RuleSignal> {
        let Some(wanted) = self.history.wanted(source, name) else {
            self.watch.note(|seen| seen.tokens.push(seen::of_topic(source, name)));
            return Vec::new();
        };
        let reach = reach(&self.graph, &Key::from(id), within);
        self.watch.note(|seen| match (&reach, &wanted) {
            (Reach::Objects(set), Wanted::One(_)) if set.len() <= FEW => {
                seen.tokens.extend(set.iter().map(|key| seen::of_both(key, source, name)));
            }
            (Reach::Objects(set), Wanted::Any { .. }) => {
                seen.tokens.extend(set.iter().map(seen::of_object));
            }
            (_, Wanted::One(_)) => seen.tokens.push(seen::of_topic(source, name)),
            (_, Wanted::Any { .. }) => seen.all_signals = true,
        });
        let keys: Vec<&Key> = match &reach {
            Reach::Objects(set) => set.iter().collect(),
            _ => self.history.objects().filter(|k| reach.holds(k)).collect(),
        };
        let of = |key| {
            let all = self.history.of(key, &wanted, since);
            // Newest first as they are, so no object can bring more than what is asked for.
            all.filter(|r| r.rule.is_none_or(|rule| rule == self.rule)).take(limit)
        };
        let mut found: Vec<&Record> = keys.into_iter().flat_map(of).collect();
        found.sort_by_key(|r| Reverse(r.at));
        // Of those that share the time of the last one the ids decide.
        let last = limit.checked_sub(1).and_then(|last| found.get(last)).map_or(0, |r| r.at);
        let mut found: Vec<RuleSignal> =
            found.into_iter().take_while(|r| r.at >= last).map(Record::signal).collect();
        found.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        found.truncate(limit);
        found
    }

    /// Spec and data changes of objects within reach since a time (ms), newest first.
    #[must_use]
    pub fn changes(&self, id: &ObjectRef, within: &str, since: u64, limit: usize) -> Vec<RuleSignal> {
        let reach = reach(&self.graph, &Key::from(id), within);
        let found = self.history.changes(since).filter(|c| reach.holds(&c.key));
        found.take(limit).map(|c| signal_of(c)).collect()
    }
}

/// A change in the form of an object signal with the diff in its fields.
fn signal_of(change: &Change) -> RuleSignal {
    RuleSignal {
        id: change.signal.clone(),
        source: "object".to_owned(),
        name: change.kind.to_owned(),
        state: "watched".to_owned(),
        at: change.at,
        subject: Some(ObjectRef { uid: change.uid.clone(), ..change.key.to_ref() }),
        message: change.summary.clone(),
        fields: change.fields.clone(),
    }
}
