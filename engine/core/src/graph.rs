//! The objects of the cluster and their relations, as of the newest signal. A deleted object stays for the history
//! window, because what it was is part of why things broke.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use imbl::{OrdMap, OrdSet};
use kwhy_proto::v1::ObjectRef;

use crate::{
    key::Key,
    object::Object,
    relation::{Relation, SELECTING, selector, selects},
    world::Neighbour,
};

/// Longest owner chain followed; a longer one is a cycle of bad references.
const MAX_OWNERS: usize = 16;

/// Objects and the edges between them; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    objects: OrdMap<Key, Arc<Object>>,
    /// From what is referred to, to what refers to it; from a pod also to what selects it.
    referrers: OrdMap<Key, OrdSet<(Relation, Key)>>,
    /// From what selects to the pods that it selects.
    selected: OrdMap<Key, OrdSet<Key>>,
    /// Counts the states that were put in, to tell whether anything may have changed.
    version: u64,
}

impl Graph {
    /// The newest state of an object, deleted or not.
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// The object if it stands in the cluster now.
    pub(crate) fn live(&self, key: &Key) -> Option<&Arc<Object>> {
        self.get(key).filter(|o| o.deleted.is_none())
    }

    /// Changes whenever an object does.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Stores a state. Returns both ends of each edge that came or went.
    pub(crate) fn put(&mut self, object: Object) -> BTreeSet<Key> {
        self.version += 1;
        let object = Arc::new(object);
        let key = &object.key;
        let old = self.objects.insert(key.clone(), object.clone());
        let mut moved = BTreeSet::new();
        let before = old.as_ref().map_or(&[][..], |o| &o.names);
        if before != object.names {
            for gone in before.iter().filter(|edge| object.names.binary_search(edge).is_err()) {
                self.unrefer(&gone.1, gone.0, key);
                moved.insert(gone.1.clone());
            }
            for new in object.names.iter().filter(|edge| before.binary_search(edge).is_err()) {
                self.referrers.entry(new.1.clone()).or_default().insert((new.0, key.clone()));
                moved.insert(new.1.clone());
            }
        }
        moved.extend(self.select(old.as_deref(), &object));
        if !moved.is_empty() || old.as_ref().is_none_or(|o| o.deleted.is_some()) {
            moved.insert(key.clone());
        }
        moved
    }

    /// Brings the edges of selection up to date; the other ends of those that came or went.
    fn select(&mut self, old: Option<&Object>, new: &Object) -> Vec<Key> {
        let (key, namespace) = (&new.key, &new.key.namespace);
        let labels = |o: &Object| o.at("/metadata/labels").cloned();
        if key.kind == "Pod" {
            if old.is_some_and(|old| labels(old) == labels(new)) {
                return Vec::new();
            }
            let all = SELECTING.iter().flat_map(|kind| self.of_kind(kind, namespace));
            let selecting = all.filter(|s| selector(s).is_some_and(|by| selects(by, new)));
            let now: BTreeSet<Key> = selecting.map(|s| s.key.clone()).collect();
            let before: BTreeSet<Key> = self.referring(key, Relation::Selects).cloned().collect();
            let changed: Vec<Key> = now.symmetric_difference(&before).cloned().collect();
            for other in &changed {
                self.link(other, key, now.contains(other));
            }
            return changed;
        }
        if !SELECTING.contains(&key.kind.as_str()) || old.is_some_and(|old| selector(old) == selector(new)) {
            return Vec::new();
        }
        let now: BTreeSet<Key> = selector(new).map_or_else(BTreeSet::new, |by| {
            let pods = self.of_kind("Pod", namespace).filter(|p| selects(by, p));
            pods.map(|p| p.key.clone()).collect()
        });
        let before: BTreeSet<Key> = self.selected.get(key).into_iter().flatten().cloned().collect();
        let changed: Vec<Key> = now.symmetric_difference(&before).cloned().collect();
        for other in &changed {
            self.link(key, other, now.contains(other));
        }
        changed
    }

    /// Makes or takes away the edge by which `from` selects `pod`.
    fn link(&mut self, from: &Key, pod: &Key, there: bool) {
        if there {
            self.selected.entry(from.clone()).or_default().insert(pod.clone());
            self.referrers.entry(pod.clone()).or_default().insert((Relation::Selects, from.clone()));
            return;
        }
        self.unrefer(pod, Relation::Selects, from);
        if let Some(pods) = self.selected.get_mut(from) {
            pods.remove(pod);
            if pods.is_empty() {
                self.selected.remove(from);
            }
        }
    }

    fn unrefer(&mut self, target: &Key, relation: Relation, from: &Key) {
        if let Some(set) = self.referrers.get_mut(target) {
            set.remove(&(relation, from.clone()));
            if set.is_empty() {
                self.referrers.remove(target);
            }
        }
    }

    /// Forgets objects that were deleted before `horizon`.
    pub(crate) fn forget(&mut self, horizon: u64) {
        let dead: Vec<Arc<Object>> =
            self.objects.values().filter(|o| o.deleted.is_some_and(|at| at < horizon)).cloned().collect();
        for object in dead {
            self.version += 1;
            for (relation, target) in &object.names {
                self.unrefer(target, *relation, &object.key);
            }
            let by: Vec<Key> = self.referring(&object.key, Relation::Selects).cloned().collect();
            by.iter().for_each(|selector| self.link(selector, &object.key, false));
            let pods: Vec<Key> = self.selected.get(&object.key).into_iter().flatten().cloned().collect();
            pods.iter().for_each(|pod| self.link(&object.key, pod, false));
            self.objects.remove(&object.key);
        }
    }

    /// All states of a kind, deleted ones too, in the order of their keys; an empty namespace means all.
    pub(crate) fn of_kind<'a>(
        &'a self,
        kind: &'a str,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let from = Key::new(kind, namespace, "");
        self.objects
            .range((Bound::Included(from), Bound::Unbounded))
            .map(|(_, o)| o)
            .take_while(move |o| o.key.kind == kind && (namespace.is_empty() || o.key.namespace == namespace))
    }

    /// What refers to `key` in one way, in order.
    fn referring<'a>(&'a self, key: &Key, relation: Relation) -> impl Iterator<Item = &'a Key> {
        let all = self.referrers.get(key);
        let from = all.map(|set| set.range((relation, Key::default())..));
        from.into_iter().flatten().take_while(move |(r, _)| *r == relation).map(|(_, k)| k)
    }

    /// Where an edge leads, with its name as seen from `key`, sorted by name and object. Ends that are not stored are
    /// named all the same: a missing ConfigMap is a finding.
    pub(crate) fn neighbours(&self, key: &Key) -> Vec<(&'static str, Key)> {
        let mut out: Vec<(&'static str, Key)> = Vec::new();
        let names = self.get(key).map_or(&[][..], |o| &o.names);
        out.extend(names.iter().map(|(r, k)| (r.forward(), k.clone())));
        let pods = self.selected.get(key).into_iter().flatten();
        out.extend(pods.map(|k| (Relation::Selects.forward(), k.clone())));
        let referrers = self.referrers.get(key).into_iter().flatten();
        out.extend(referrers.map(|(r, k)| (r.backward(), k.clone())));
        out.sort();
        out.dedup();
        out
    }

    /// The neighbours by one relation, as it is called from `key`, in order.
    pub(crate) fn related(&self, key: &Key, relation: &str) -> Vec<Key> {
        if let Some(backward) = Relation::ALL.into_iter().find(|r| r.backward() == relation) {
            return self.referring(key, backward).cloned().collect();
        }
        if relation == Relation::Selects.forward() {
            return self.selected.get(key).into_iter().flatten().cloned().collect();
        }
        let names = self.get(key).map_or(&[][..], |o| &o.names);
        names.iter().filter(|(r, _)| r.forward() == relation).map(|(_, k)| k.clone()).collect()
    }

    /// Neighbours for a rule, with uids where known.
    pub(crate) fn neighbour_refs(&self, id: &ObjectRef, relation: &str, limit: usize) -> Vec<Neighbour> {
        let key = Key::from(id);
        let named = |r: &str, k: &Key| Neighbour { relation: r.to_owned(), object: self.to_ref(k) };
        if relation.is_empty() {
            return self.neighbours(&key).iter().take(limit).map(|(r, k)| named(r, k)).collect();
        }
        self.related(&key, relation).iter().take(limit).map(|k| named(relation, k)).collect()
    }

    /// The key as a reference, with the uid if the object is stored.
    pub(crate) fn to_ref(&self, key: &Key) -> ObjectRef {
        self.get(key).map_or_else(|| key.to_ref(), |o| o.to_ref())
    }

    /// The owner chain, nearest first.
    pub(crate) fn owners(&self, key: &Key) -> Vec<Key> {
        let mut chain: Vec<Key> = Vec::new();
        let mut at = key.clone();
        while chain.len() < MAX_OWNERS {
            let owner = self.get(&at).and_then(|o| o.names.first()).filter(|(r, _)| *r == Relation::Owner);
            let Some((_, owner)) = owner else { break };
            at = owner.clone();
            if at == *key || chain.contains(&at) {
                break;
            }
            chain.push(at.clone());
        }
        chain
    }

    /// The top-level owner; the object itself where nothing owns it. A static pod's owner is its node, which is
    /// where it runs and not what it is part of, so the chain ends before a Node.
    pub(crate) fn top(&self, key: &Key) -> Key {
        self.owners(key).into_iter().rfind(|k| k.kind != "Node").unwrap_or_else(|| key.clone())
    }

    /// All that is owned by `key`, downward, without it.
    pub(crate) fn owned(&self, key: &Key) -> OrdSet<Key> {
        let mut out = OrdSet::new();
        let mut todo = vec![key.clone()];
        while let Some(at) = todo.pop() {
            for child in self.referring(&at, Relation::Owner) {
                if *child != *key && out.insert(child.clone()).is_none() {
                    todo.push(child.clone());
                }
            }
        }
        out
    }
}
