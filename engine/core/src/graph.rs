//! The objects of the cluster and their relations, as of the newest signal. A deleted object stays for the history
//! window, because what it was is part of why things broke.

use std::{ops::Bound, sync::Arc};

use imbl::{OrdMap, OrdSet};
use kwhy_proto::v1::ObjectRef;

use crate::{
    key::Key,
    object::Object,
    relation::{Relation, references, selector, selects},
    world::Neighbour,
};

/// Longest owner chain followed; a longer one is a cycle of bad references.
const MAX_OWNERS: usize = 16;

/// Objects and reverse references; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    objects: OrdMap<Key, Arc<Object>>,
    /// From what is referred to, to what refers to it.
    referrers: OrdMap<Key, OrdSet<(Relation, Key)>>,
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

    /// Stores a state and gives back the one it replaces. Says whether relations changed.
    pub(crate) fn put(&mut self, object: Object) -> (Option<Arc<Object>>, bool) {
        let key = object.key.clone();
        let new = references(&object);
        let old_object = self.objects.insert(key.clone(), Arc::new(object));
        let old = old_object.as_ref().map(|o| references(o)).unwrap_or_default();
        let changed = old != new || old_object.as_ref().is_none_or(|o| o.deleted.is_some());
        if old != new {
            for (relation, target) in &old {
                self.unrefer(target, *relation, &key);
            }
            for (relation, target) in new {
                self.referrers.entry(target).or_default().insert((relation, key.clone()));
            }
        }
        (old_object, changed)
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
            for (relation, target) in references(&object) {
                self.unrefer(&target, relation, &object.key);
            }
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

    /// Where an edge leads, with its name as seen from `key`, sorted by name and object. Ends that are not stored are
    /// named all the same: a missing ConfigMap is a finding.
    pub(crate) fn neighbours(&self, key: &Key) -> Vec<(&'static str, Key)> {
        let mut out: Vec<(&'static str, Key)> = Vec::new();
        let own = self.get(key);
        if let Some(object) = own {
            out.extend(references(object).into_iter().map(|(r, k)| (r.forward(), k)));
            if let Some(selector) = selector(object) {
                let pods = self.of_kind("Pod", &key.namespace).filter(|p| selects(selector, p));
                out.extend(pods.map(|p| (Relation::Selects.forward(), p.key.clone())));
            }
            if key.kind == "Pod" {
                for kind in ["Service", "PodDisruptionBudget", "NetworkPolicy"] {
                    let all = self.of_kind(kind, &key.namespace);
                    let selecting = all.filter(|s| selector(s).is_some_and(|labels| selects(labels, object)));
                    out.extend(selecting.map(|s| (Relation::Selects.backward(), s.key.clone())));
                }
            }
        }
        let referrers = self.referrers.get(key).into_iter().flatten();
        out.extend(referrers.map(|(r, k)| (r.backward(), k.clone())));
        out.sort();
        out.dedup();
        out
    }

    /// Neighbours for a rule, with uids where known.
    pub(crate) fn neighbour_refs(&self, id: &ObjectRef, relation: &str, limit: usize) -> Vec<Neighbour> {
        let all = self.neighbours(&Key::from(id)).into_iter();
        let wanted = all.filter(|(r, _)| relation.is_empty() || *r == relation).take(limit);
        wanted.map(|(r, k)| Neighbour { relation: r.to_owned(), object: self.to_ref(&k) }).collect()
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
            let Some(owner) = self.get(&at).and_then(|o| o.owner()) else { break };
            at = Key::from(&owner);
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
            for (relation, child) in self.referrers.get(&at).into_iter().flatten() {
                if *relation == Relation::Owner && *child != *key && out.insert(child.clone()).is_none() {
                    todo.push(child.clone());
                }
            }
        }
        out
    }
}
