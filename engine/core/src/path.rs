//! The tree from root to symptoms: the way the rule knows, continued on the graph to every object with a symptom.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

use kwhy_proto::v1::PathStep;

use crate::{condition, graph::Graph, key::Key, rule::Step};

/// Most steps from the tree to a symptom; further is no explanation.
const MAX_DEPTH: usize = 6;
/// Most objects of a tree.
const MAX_STEPS: usize = 64;
/// Most objects looked at on the way to one symptom.
const MAX_VISITS: usize = 2000;

/// Relations that carry an effect on, the closest first.
const CARRIES: [&str; 8] =
    ["owner", "owned", "pod", "node", "selected-by", "selects", "used-by", "scaled-by"];

/// The tree below `root`: the rule's own steps, then the shortest ways to the objects of the symptoms.
pub(crate) fn tree(graph: &Graph, root: &Key, steps: &[Step], targets: &BTreeSet<Key>) -> Vec<PathStep> {
    let mut tree = Tree { graph, steps: Vec::new(), keys: Vec::new(), index: BTreeMap::new() };
    let mut parent = 0;
    for step in steps {
        let signal = step.signal.as_deref().unwrap_or("");
        parent = tree.add(&Key::from(&step.object), parent, &step.relation, &step.note, signal);
    }
    if tree.steps.is_empty() {
        tree.add(root, 0, "", "", "");
    }
    let mut ways = Ways { graph, owners: BTreeMap::new(), onward: BTreeMap::new() };
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
            .or_else(|| ways.downward(&tree.index, target))
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
    tree.steps
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

/// A way through the graph: each object with its relation to the one before.
type Way = Vec<(Key, &'static str)>;

/// Looks for ways, and remembers what it has seen of the graph: many lead through the same objects.
struct Ways<'a> {
    graph: &'a Graph,
    owners: BTreeMap<Key, Rc<[Key]>>,
    /// Where an effect is carried on to, the closest relation first.
    onward: BTreeMap<Key, Rc<[(&'static str, Key)]>>,
}

impl Ways<'_> {
    fn owners(&mut self, key: &Key) -> Rc<[Key]> {
        let graph = self.graph;
        self.owners.entry(key.clone()).or_insert_with(|| graph.owners(key).into()).clone()
    }

    fn onward(&mut self, key: &Key) -> Rc<[(&'static str, Key)]> {
        let graph = self.graph;
        let look = || {
            let ways = CARRIES.iter().flat_map(|r| graph.related(key, r).into_iter().map(move |k| (*r, k)));
            ways.collect()
        };
        self.onward.entry(key.clone()).or_insert_with(look).clone()
    }

    /// The owner chain from a start to `target`: people look for an owner above what it owns, even where a reference
    /// would be a shorter way.
    fn upward(&mut self, starts: &[Key], target: &Key) -> Option<Way> {
        starts.iter().find_map(|start| {
            let owners = self.owners(start);
            let end = owners.iter().position(|owner| owner == target)?;
            let chain = owners.iter().take(end + 1).map(|owner| (owner.clone(), "owner"));
            Some([(start.clone(), "")].into_iter().chain(chain).collect())
        })
    }

    /// The chain from an owner in the tree down to `target`: a pod that was deleted still hangs on its owner, and not on
    /// the node that it shared with others.
    fn downward(&mut self, tree: &BTreeMap<Key, u32>, target: &Key) -> Option<Way> {
        let owners = self.owners(target);
        let depth = owners.iter().position(|owner| tree.contains_key(owner))?;
        let start = owners.get(depth)?;
        let between = owners.iter().take(depth).rev().chain([target]);
        let chain = between.map(|key| (key.clone(), "owned"));
        Some([(start.clone(), "")].into_iter().chain(chain).collect())
    }

    /// The shortest way from any of `starts` (the deepest first) to `target`, its start included.
    fn shortest(&mut self, starts: &[Key], target: &Key) -> Option<Way> {
        let mut from: BTreeMap<Key, Option<(Key, &'static str)>> =
            starts.iter().map(|k| (k.clone(), None)).collect();
        let mut todo: VecDeque<(Key, usize)> = starts.iter().map(|k| (k.clone(), 0)).collect();
        let mut visits = 0;
        while let Some((at, depth)) = todo.pop_front() {
            visits += 1;
            if depth == MAX_DEPTH || visits > MAX_VISITS {
                continue;
            }
            for (relation, key) in self.onward(&at).iter() {
                if from.contains_key(key) {
                    continue;
                }
                from.insert(key.clone(), Some((at.clone(), *relation)));
                if key == target {
                    return Some(back(&from, key));
                }
                todo.push_back((key.clone(), depth + 1));
            }
        }
        None
    }
}

fn back(from: &BTreeMap<Key, Option<(Key, &'static str)>>, end: &Key) -> Way {
    let mut way = Vec::new();
    let mut at = end.clone();
    while let Some(Some((before, relation))) = from.get(&at) {
        way.push((at, *relation));
        at = before.clone();
    }
    way.push((at, ""));
    way.reverse();
    way
}
