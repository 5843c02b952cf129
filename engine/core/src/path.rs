//! The tree from root to symptoms: the way the rule knows, continued on the graph to every object with a symptom.

mod ways;

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdSet;
use kwhy_proto::v1::PathStep;

use crate::{condition, graph::Graph, key::Key, rule::Step};

use ways::Ways;

/// Most objects of a tree.
const MAX_STEPS: usize = 64;

/// The tree below `root`: the rule's own steps, then the shortest ways to the objects of the symptoms. With it the
/// objects whose edges were looked at: where none of them moves, and no object of the tree changes, it stays as it is.
pub(crate) fn tree(
    graph: &Graph,
    root: &Key,
    steps: &[Step],
    targets: &BTreeSet<Key>,
) -> (Vec<PathStep>, OrdSet<Key>) {
    let mut tree = Tree { graph, steps: Vec::new(), keys: Vec::new(), index: BTreeMap::new() };
    let mut parent = 0;
    for step in steps {
        let signal = step.signal.as_deref().unwrap_or("");
        parent = tree.add(&Key::from(&step.object), parent, &step.relation, &step.note, signal);
    }
    if tree.steps.is_empty() {
        tree.add(root, 0, "", "", "");
    }
    let mut ways = Ways::new(graph);
    for target in targets {
        if tree.steps.len() >= MAX_STEPS {
            break;
        }
        if tree.index.contains_key(target) {
            continue;
        }
        let starts: Vec<Key> = tree.keys.iter().rev().cloned().collect();
        let found = ways
            .upward(&starts, target)
            .or_else(|| ways.downward(|key| tree.index.contains_key(key), target))
            .or_else(|| ways.shortest(&starts, target));
        let Some(way) = found else {
            // Within reach but on no known way: it hangs on the root.
            tree.add(target, 1, "", "", "");
            continue;
        };
        let mut at = 0;
        for (key, relation) in &way {
            at = tree.add(key, at, relation, "", "");
        }
    }
    (tree.steps, ways.seen())
}

/// A tree that grows.
struct Tree<'a> {
    graph: &'a Graph,
    steps: Vec<PathStep>,
    /// The object of each step.
    keys: Vec<Key>,
    /// Its place, counted from 1.
    index: BTreeMap<Key, u32>,
}

impl Tree<'_> {
    /// Puts an object below a step, unless it stands in the tree. Returns its place.
    fn add(&mut self, key: &Key, parent: u32, relation: &str, note: &str, signal: &str) -> u32 {
        if let Some(known) = self.index.get(key) {
            return *known;
        }
        let note = if note.is_empty() {
            self.graph.get(key).map(|o| condition::note(o)).unwrap_or_default()
        } else {
            note.to_owned()
        };
        self.steps.push(PathStep {
            object: Some(self.graph.to_ref(key)),
            parent,
            relation: relation.to_owned(),
            note,
            signal: signal.to_owned(),
        });
        self.keys.push(key.clone());
        let at = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        self.index.insert(key.clone(), at);
        at
    }
}
