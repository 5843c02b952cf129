//! Ways through the graph. Each object that is met gets a number, so that many searches through the same objects compare
//! numbers and not texts, and look at the edges of each object once.

use std::{collections::VecDeque, rc::Rc};

use imbl::OrdSet;

use crate::{graph::Graph, key::Key, lookup::Lookup};

/// Most steps from the tree to a symptom; further is no explanation.
const MAX_DEPTH: usize = 6;
/// Most objects looked at on the way to one symptom.
const MAX_VISITS: usize = 2000;

/// Relations that carry an effect on, the closest first.
const CARRIES: [&str; 8] =
    ["owner", "owned", "pod", "node", "selected-by", "selects", "used-by", "scaled-by"];

/// A way through the graph: each object with its relation to the one before.
pub(super) type Way = Vec<(Key, &'static str)>;

/// Looks for ways, and remembers what it has seen of the graph.
pub(super) struct Ways<'a> {
    graph: &'a Graph,
    numbers: Lookup<Key, usize>,
    /// By number.
    places: Vec<Place>,
    searches: usize,
}

/// An object that was met.
struct Place {
    key: Key,
    owners: Option<Rc<[Key]>>,
    /// Where an effect is carried on to, the closest relation first.
    onward: Option<Rc<[(&'static str, usize)]>>,
    /// The last search that came here, and from where it came.
    found: usize,
    from: Option<(usize, &'static str)>,
}

impl<'a> Ways<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        Self { graph, numbers: Lookup::default(), places: Vec::new(), searches: 0 }
    }

    /// The objects whose edges were looked at.
    pub(super) fn seen(&self) -> OrdSet<Key> {
        let mut seen = OrdSet::new();
        for place in &self.places {
            if let Some(owners) = &place.owners {
                seen.extend(owners.iter().cloned());
            }
            if place.owners.is_some() || place.onward.is_some() {
                seen.insert(place.key.clone());
            }
        }
        seen
    }

    fn number(&mut self, key: &Key) -> usize {
        if let Some(known) = self.numbers.get(key) {
            return *known;
        }
        let new = self.places.len();
        self.numbers.insert(key.clone(), new);
        self.places.push(Place { key: key.clone(), owners: None, onward: None, found: 0, from: None });
        new
    }

    fn owners(&mut self, key: &Key) -> Rc<[Key]> {
        let number = self.number(key);
        let graph = self.graph;
        let Some(place) = self.places.get_mut(number) else { return Rc::default() };
        place.owners.get_or_insert_with(|| graph.owners(key).into()).clone()
    }

    fn onward(&mut self, number: usize) -> Rc<[(&'static str, usize)]> {
        let Some(place) = self.places.get(number) else { return Rc::default() };
        if let Some(known) = &place.onward {
            return known.clone();
        }
        let (graph, key) = (self.graph, place.key.clone());
        let related = |relation: &&'static str| {
            let relation = *relation;
            graph.related(&key, relation).into_iter().map(move |k| (relation, k))
        };
        let onward: Rc<[_]> =
            CARRIES.iter().flat_map(related).map(|(relation, k)| (relation, self.number(&k))).collect();
        if let Some(place) = self.places.get_mut(number) {
            place.onward = Some(onward.clone());
        }
        onward
    }

    /// The owner chain from a start to `target`: people look for an owner above what it owns, even where a reference
    /// would be a shorter way.
    pub(super) fn upward(&mut self, starts: &[Key], target: &Key) -> Option<Way> {
        starts.iter().find_map(|start| {
            let owners = self.owners(start);
            let end = owners.iter().position(|owner| owner == target)?;
            let chain = owners.iter().take(end + 1).map(|owner| (owner.clone(), "owner"));
            Some([(start.clone(), "")].into_iter().chain(chain).collect())
        })
    }

    /// The chain from an owner in the tree down to `target`: a pod that was deleted still hangs on its owner, and not on
    /// the node that it shared with others.
    pub(super) fn downward(&mut self, in_tree: impl Fn(&Key) -> bool, target: &Key) -> Option<Way> {
        let owners = self.owners(target);
        let depth = owners.iter().position(in_tree)?;
        let start = owners.get(depth)?;
        let between = owners.iter().take(depth).rev().chain([target]);
        let chain = between.map(|key| (key.clone(), "owned"));
        Some([(start.clone(), "")].into_iter().chain(chain).collect())
    }

    /// The shortest way from any of `starts` (the deepest first) to `target`, its start included.
    pub(super) fn shortest(&mut self, starts: &[Key], target: &Key) -> Option<Way> {
        self.searches += 1;
        let target = self.number(target);
        let mut todo = VecDeque::new();
        for start in starts {
            let start = self.number(start);
            self.reach(start, None);
            todo.push_back((start, 0));
        }
        let mut visits = 0;
        while let Some((at, depth)) = todo.pop_front() {
            visits += 1;
            if depth == MAX_DEPTH || visits > MAX_VISITS {
                continue;
            }
            for (relation, next) in self.onward(at).iter() {
                if !self.reach(*next, Some((at, relation))) {
                    continue;
                }
                if *next == target {
                    return Some(self.back(target));
                }
                todo.push_back((*next, depth + 1));
            }
        }
        None
    }

    /// Notes how a search came to a place; false where it has been there before.
    fn reach(&mut self, number: usize, from: Option<(usize, &'static str)>) -> bool {
        let Some(place) = self.places.get_mut(number) else { return false };
        if place.found == self.searches {
            return false;
        }
        (place.found, place.from) = (self.searches, from);
        true
    }

    /// The way by which the last search came to a place.
    fn back(&self, end: usize) -> Way {
        let mut way = Vec::new();
        let mut at = self.places.get(end);
        while let Some(place) = at {
            let (before, relation) =
                place.from.map_or((None, ""), |(before, relation)| (Some(before), relation));
            way.push((place.key.clone(), relation));
            at = before.and_then(|before| self.places.get(before));
        }
        way.reverse();
        way
    }
}
