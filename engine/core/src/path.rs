//! The tree from root to symptoms: the way the rule knows, continued on the graph to every object with a symptom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    let mut tree: Vec<PathStep> = Vec::new();
    let mut index: BTreeMap<Key, u32> = BTreeMap::new();
    let mut add =
        |key: &Key, parent: u32, relation: &str, note: &str, signal: &str, tree: &mut Vec<PathStep>| {
            if let Some(known) = index.get(key) {
                return *known;
            }
            let note = if note.is_empty() {
                graph.get(key).map(|o| condition::note(o)).unwrap_or_default()
            } else {
                note.to_owned()
            };
            tree.push(PathStep {
                object: Some(graph.to_ref(key)),
                parent,
                relation: relation.to_owned(),
                note,
                signal: signal.to_owned(),
            });
            let at = u32::try_from(tree.len()).unwrap_or(u32::MAX);
            index.insert(key.clone(), at);
            at
        };
    let mut parent = 0;
    for step in steps {
        let signal = step.signal.as_deref().unwrap_or("");
        parent = add(&Key::from(&step.object), parent, &step.relation, &step.note, signal, &mut tree);
    }
    if tree.is_empty() {
        add(root, 0, "", "", "", &mut tree);
    }
    for target in targets {
        if tree.len() >= MAX_STEPS {
            break;
        }
        let starts: Vec<Key> = tree.iter().rev().filter_map(|s| s.object.as_ref()).map(Key::from).collect();
        if starts.contains(target) {
            continue;
        }
        let found = upward(graph, &starts, target)
            .or_else(|| downward(graph, &starts, target))
            .or_else(|| way(graph, &starts, target));
        let Some(way) = found else {
            // Within reach but on no known way: it hangs on the root.
            add(target, 1, "", "", "", &mut tree);
            continue;
        };
        let mut at = 0;
        for (key, relation) in &way {
            at = add(key, at, relation, "", "", &mut tree);
        }
    }
    tree
}

/// The owner chain from a start to `target`: people look for an owner above what it owns, even where a reference would
/// be a shorter way.
fn upward(graph: &Graph, starts: &[Key], target: &Key) -> Option<Vec<(Key, &'static str)>> {
    starts.iter().find_map(|start| {
        let owners = graph.owners(start);
        let end = owners.iter().position(|owner| owner == target)?;
        let chain = owners.into_iter().take(end + 1).map(|owner| (owner, "owner"));
        Some([(start.clone(), "")].into_iter().chain(chain).collect())
    })
}

/// The chain from an owner among the starts down to `target`: a pod that was deleted still hangs on its owner, and not
/// on the node that it shared with others.
fn downward(graph: &Graph, starts: &[Key], target: &Key) -> Option<Vec<(Key, &'static str)>> {
    let owners = graph.owners(target);
    let (depth, start) =
        owners.iter().enumerate().find_map(|(i, owner)| Some((i, starts.iter().find(|s| *s == owner)?)))?;
    let between = owners.iter().take(depth).rev().chain([target]);
    let chain = between.map(|key| (key.clone(), "owned"));
    Some([(start.clone(), "")].into_iter().chain(chain).collect())
}

/// The shortest way from any of `starts` (the deepest first) to `target`, its start included.
fn way(graph: &Graph, starts: &[Key], target: &Key) -> Option<Vec<(Key, &'static str)>> {
    let mut from: BTreeMap<Key, Option<(Key, &'static str)>> =
        starts.iter().map(|k| (k.clone(), None)).collect();
    let mut todo: VecDeque<(Key, usize)> = starts.iter().map(|k| (k.clone(), 0)).collect();
    let mut visits = 0;
    while let Some((at, depth)) = todo.pop_front() {
        visits += 1;
        if depth == MAX_DEPTH || visits > MAX_VISITS {
            continue;
        }
        let mut next = graph.neighbours(&at);
        next.retain(|(r, _)| CARRIES.contains(r));
        next.sort_by_key(|(r, k)| (CARRIES.iter().position(|c| c == r), k.clone()));
        for (relation, key) in next {
            if from.contains_key(&key) {
                continue;
            }
            from.insert(key.clone(), Some((at.clone(), relation)));
            if key == *target {
                return Some(back(&from, &key));
            }
            todo.push_back((key, depth + 1));
        }
    }
    None
}

fn back(from: &BTreeMap<Key, Option<(Key, &'static str)>>, end: &Key) -> Vec<(Key, &'static str)> {
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
