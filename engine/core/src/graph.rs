//! The objects of the cluster and their relations, as of the newest signal. A deleted object stays for the history
//! window, because what it was is part of why things broke.

use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdMap, OrdSet};
use kwhy_proto::v1::ObjectRef;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{
    json::Interner,
    key::Key,
    kin,
    lookup::Lookup,
    object::Object,
    relation::{Relation, SELECTING, selector, selects},
    selectors::Selectors,
    world::Neighbour,
};

/// Longest owner chain followed; a longer one is a cycle of bad references.
const MAX_OWNERS: usize = 16;

/// Objects and the edges between them; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    objects: Lookup<Key, Arc<Object>>,
    /// The keys of all objects, in order.
    keys: OrdSet<Key>,
    /// From what is referred to, to what refers to it; from a pod also to what selects it.
    referrers: Lookup<Key, OrdSet<(Relation, Key)>>,
    /// From what selects to the pods that it selects.
    selected: Lookup<Key, OrdSet<Key>>,
    selectors: Selectors,
    /// When what is deleted was, and what it is.
    deleted: OrdSet<(u64, Key)>,
    /// What objects that were never shown refer to, as far as their names and events tell.
    supposed: OrdMap<Key, OrdSet<(Relation, Key)>>,
    /// How often anything was changed.
    edits: u64,
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

    /// A number that is another one after every change.
    pub(crate) fn edits(&self) -> u64 {
        self.edits
    }

    /// Stores a state. Returns both ends of each edge that came or went.
    pub(crate) fn put(&mut self, object: impl Into<Arc<Object>>) -> BTreeSet<Key> {
        self.edits += 1;
        let object: Arc<Object> = object.into();
        let key = &object.key;
        let old = self.objects.insert(key.clone(), object.clone());
        if old.is_none() {
            self.keys.insert(key.clone());
        }
        if let Some(at) = old.as_ref().and_then(|o| o.deleted) {
            self.deleted.remove(&(at, key.clone()));
        }
        if let Some(at) = object.deleted {
            self.deleted.insert((at, key.clone()));
        }
        self.selectors.put(old.as_deref(), &object);
        // What is shown speaks for itself.
        let mut moved = self.unsuppose(key);
        let before = old.as_ref().map_or(&[][..], |o| &o.names);
        if before != object.names {
            for gone in before.iter().filter(|edge| object.names.binary_search(edge).is_err()) {
                self.unrefer(&gone.1, gone.0, key);
                moved.insert(gone.1.clone());
            }
            for new in object.names.iter().filter(|edge| before.binary_search(edge).is_err()) {
                self.referrers.or_default(new.1.clone()).insert((new.0, key.clone()));
                moved.insert(new.1.clone());
            }
        }
        if let Some((Relation::Owner, owner)) = object.names.first() {
            moved.extend(self.hear_of(owner));
        }
        moved.extend(self.hear_of(key));
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
            let now: BTreeSet<Key> =
                self.selectors.selecting(new, |key| self.objects.get(key)).cloned().collect();
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
            self.selected.or_default(from.clone()).insert(pod.clone());
            self.referrers.or_default(pod.clone()).insert((Relation::Selects, from.clone()));
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

    /// Takes note of an object that a signal names: where nobody has shown it, its name tells the owner. Returns both
    /// ends of each edge that is news.
    pub(crate) fn hear_of(&mut self, key: &Key) -> BTreeSet<Key> {
        if !kin::owned(&key.kind) || self.shown(key) || self.supposed_owner(key).is_some() {
            return BTreeSet::new();
        }
        let by_name = kin::owner(key, |k| self.live(k).is_some()).or_else(|| self.named_after(key));
        by_name.map_or_else(BTreeSet::new, |owner| self.suppose(key, Relation::Owner, &owner))
    }

    /// Notes a relation of an object that nobody has shown, in the place of what was supposed before. Returns both ends
    /// of each edge that came or went.
    pub(crate) fn suppose(&mut self, key: &Key, relation: Relation, target: &Key) -> BTreeSet<Key> {
        let known = relation == Relation::Node && self.get(key).is_some();
        let mut all = self.supposed.get(key).cloned().unwrap_or_default();
        if known || self.shown(key) || key == target || all.contains(&(relation, target.clone())) {
            return BTreeSet::new();
        }
        self.edits += 1;
        let mut moved = BTreeSet::from([key.clone(), target.clone()]);
        let former: Vec<_> = all.iter().filter(|(r, _)| *r == relation).cloned().collect();
        for entry in former {
            self.unrefer(&entry.1, relation, key);
            all.remove(&entry);
            moved.insert(entry.1);
        }
        all.insert((relation, target.clone()));
        self.supposed.insert(key.clone(), all);
        self.referrers.or_default(target.clone()).insert((relation, key.clone()));
        moved.extend(self.hear_of(target));
        moved
    }

    /// Takes back all that is supposed of an object; the other ends of those edges.
    fn unsuppose(&mut self, key: &Key) -> BTreeSet<Key> {
        let supposed = self.supposed.remove(key).into_iter().flatten();
        let mut ends = BTreeSet::new();
        for (relation, target) in supposed {
            self.unrefer(&target, relation, key);
            ends.insert(target);
        }
        ends
    }

    /// Whether the object was shown as the API server has it. A hand-made one may leave out its owner as its uid.
    fn shown(&self, key: &Key) -> bool {
        self.get(key).is_some_and(|o| !o.uid.is_empty() || o.owner().is_some())
    }

    /// The workload whose name a hand-made pod's name goes on from, the longest of several.
    fn named_after(&self, key: &Key) -> Option<Key> {
        if key.kind != "Pod" || self.get(key).is_none() {
            return None;
        }
        let goes_on = |of: &str| key.name.strip_prefix(of).is_some_and(|rest| rest.starts_with('-'));
        let kinds = ["Deployment", "StatefulSet", "DaemonSet"];
        let all = kinds.into_iter().flat_map(|kind| self.of_kind(kind, &key.namespace));
        let named = all.filter(|o| o.deleted.is_none() && goes_on(&o.key.name));
        named.map(|o| o.key.clone()).max_by_key(|k| k.name.len())
    }

    fn supposed_owner(&self, key: &Key) -> Option<&Key> {
        let all = self.supposed.get(key)?;
        all.iter().find(|(r, _)| *r == Relation::Owner).map(|(_, owner)| owner)
    }

    fn unrefer(&mut self, target: &Key, relation: Relation, from: &Key) {
        if let Some(set) = self.referrers.get_mut(target) {
            set.remove(&(relation, from.clone()));
            if set.is_empty() {
                self.referrers.remove(target);
            }
        }
    }

    /// Forgets objects that were deleted before `horizon`, and what is supposed of those that are not `heard` of. Returns
    /// both ends of each edge that went.
    pub(crate) fn forget(&mut self, horizon: u64, heard: impl Fn(&Key) -> bool) -> BTreeSet<Key> {
        let dead = self.deleted.iter().take_while(|(at, _)| *at < horizon);
        let dead: Vec<Arc<Object>> = dead.filter_map(|(_, key)| self.objects.get(key)).cloned().collect();
        let mut moved = BTreeSet::new();
        for object in dead {
            for (relation, target) in &object.names {
                self.unrefer(target, *relation, &object.key);
                moved.insert(target.clone());
            }
            let by: Vec<Key> = self.referring(&object.key, Relation::Selects).cloned().collect();
            by.iter().for_each(|selector| self.link(selector, &object.key, false));
            let pods: Vec<Key> = self.selected.get(&object.key).into_iter().flatten().cloned().collect();
            pods.iter().for_each(|pod| self.link(&object.key, pod, false));
            moved.extend(by.into_iter().chain(pods));
            self.objects.remove(&object.key);
            self.keys.remove(&object.key);
            self.selectors.remove(&object);
            self.deleted.remove(&(object.deleted.unwrap_or_default(), object.key.clone()));
            moved.insert(object.key.clone());
        }
        // The pods first, then the ReplicaSets that only they named.
        for _ in 0..2 {
            let named = |key: &Key| self.get(key).is_some() || self.referrers.contains(key) || heard(key);
            let silent: Vec<Key> = self.supposed.keys().filter(|key| !named(key)).cloned().collect();
            for key in silent {
                moved.extend(self.unsuppose(&key));
                moved.insert(key);
            }
        }
        moved
    }

    /// All states of a kind, deleted ones too, in the order of their keys; an empty namespace means all.
    pub(crate) fn of_kind<'a>(
        &'a self,
        kind: &'a str,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let from = Key::new(kind, namespace, "");
        self.keys
            .range(from..)
            .take_while(move |key| key.kind == kind && (namespace.is_empty() || key.namespace == namespace))
            .filter_map(|key| self.objects.get(key))
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
        let supposed = self.supposed.get(key).into_iter().flatten();
        out.extend(supposed.map(|(r, k)| (r.forward(), k.clone())));
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
        let names = self.get(key).map_or(&[][..], |o| &o.names).iter();
        let supposed = self.supposed.get(key).into_iter().flatten();
        let mut all: Vec<Key> =
            names.chain(supposed).filter(|(r, _)| r.forward() == relation).map(|(_, k)| k.clone()).collect();
        all.sort();
        all.dedup();
        all
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
            let own = self.get(&at).and_then(|o| o.names.first()).filter(|(r, _)| *r == Relation::Owner);
            let Some(owner) = own.map(|(_, k)| k).or_else(|| self.supposed_owner(&at)) else { break };
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

/// A graph as a snapshot has it: what follows from something else is made anew.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Key, resourceVersion, JSON and log time of the deletion of each object, in the order of the keys.
    objects: Vec<(Key, String, String, Option<u64>)>,
    selected: Vec<(Key, OrdSet<Key>)>,
    supposed: OrdMap<Key, OrdSet<(Relation, Key)>>,
}

impl Serialize for Graph {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let all = self.keys.iter().filter_map(|key| self.objects.get(key));
        let stored =
            |o: &Arc<Object>| (o.key.clone(), o.resource_version.clone(), o.json.to_string(), o.deleted);
        let selecting =
            self.keys.iter().filter_map(|key| Some((key.clone(), self.selected.get(key)?.clone())));
        let graph = Stored {
            objects: all.map(stored).collect(),
            selected: selecting.collect(),
            supposed: self.supposed.clone(),
        };
        graph.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Graph {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Stored { objects, selected, supposed } = Stored::deserialize(from)?;
        let mut graph = Self { supposed, ..Self::default() };
        let mut interner = Interner::default();
        for (key, resource_version, json, deleted) in objects {
            let json = interner.read(&json).map_err(D::Error::custom)?;
            let object = Object::new(key.clone(), &resource_version, json, deleted);
            for (relation, target) in &object.names {
                graph.referrers.or_default(target.clone()).insert((*relation, key.clone()));
            }
            graph.keys.insert(key.clone());
            graph.selectors.put(None, &object);
            if let Some(at) = deleted {
                graph.deleted.insert((at, key.clone()));
            }
            graph.objects.insert(key, Arc::new(object));
        }
        for (from, edges) in graph.supposed.clone() {
            for (relation, target) in edges {
                graph.referrers.or_default(target).insert((relation, from.clone()));
            }
        }
        for (by, pods) in selected {
            pods.iter().for_each(|pod| graph.link(&by, pod, true));
        }
        Ok(graph)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn key(kind: &str, name: &str) -> Key {
        Key::new(kind, "ns", name)
    }

    fn object(kind: &str, name: &str, uid: &str, mut json: Value) -> Object {
        json["metadata"]["uid"] = uid.into();
        Object::new(key(kind, name), "1", json.into(), None)
    }

    const POD: &str = "web-7f9dd8b6c4-x7gr9";

    #[test]
    fn a_pod_that_nobody_has_shown_hangs_on_the_workload_that_its_name_tells() {
        let mut graph = Graph::default();
        assert!(!graph.hear_of(&key("Pod", POD)).is_empty());
        assert!(graph.hear_of(&key("Pod", POD)).is_empty(), "it is news once");
        assert_eq!(graph.top(&key("Pod", POD)), key("Deployment", "web"));
        assert!(graph.owned(&key("Deployment", "web")).contains(&key("Pod", POD)));
        assert!(graph.get(&key("Deployment", "web")).is_none(), "nothing is made up but the relation");
        graph.suppose(&key("Pod", POD), Relation::Node, &Key::new("Node", "", "n1"));
        assert!(graph.neighbours(&Key::new("Node", "", "n1")).contains(&("pod", key("Pod", POD))));
    }

    #[test]
    fn what_is_shown_speaks_for_itself() {
        let mut graph = Graph::default();
        graph.hear_of(&key("Pod", POD));
        graph.put(object("Pod", POD, "u", json!({})));
        assert_eq!(graph.top(&key("Pod", POD)), key("Pod", POD), "a pod that was orphaned has no owner");
        assert!(graph.owned(&key("ReplicaSet", "web-7f9dd8b6c4")).is_empty());
        assert!(graph.hear_of(&key("Pod", POD)).is_empty());
    }

    #[test]
    fn a_pod_that_was_written_down_without_owner_and_uid_belongs_to_the_workload_it_is_named_after() {
        let mut graph = Graph::default();
        for name in ["web", "web-api"] {
            graph.put(object("Deployment", name, "", json!({})));
        }
        graph.put(object("Pod", "web-api-new-001", "", json!({})));
        assert_eq!(graph.top(&key("Pod", "web-api-new-001")), key("Deployment", "web-api"));
        graph.put(object("Pod", "webhook-1", "", json!({})));
        assert_eq!(graph.top(&key("Pod", "webhook-1")), key("Pod", "webhook-1"));
    }

    #[test]
    fn a_set_that_was_not_collected_stands_between_its_pod_and_its_deployment() {
        let mut graph = Graph::default();
        let owner = json!({"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "name": "web-7f9dd8b6c4", "controller": true}]}});
        graph.put(object("Pod", POD, "u", owner));
        assert_eq!(graph.top(&key("Pod", POD)), key("Deployment", "web"));
        graph.put(object("ReplicaSet", "web-7f9dd8b6c4", "r", json!({})));
        assert_eq!(
            graph.top(&key("Pod", POD)),
            key("ReplicaSet", "web-7f9dd8b6c4"),
            "it is shown to have no owner"
        );
    }

    #[test]
    fn what_selects_a_pod_is_found_by_any_form_of_selector_and_not_after_it_has_changed() {
        let mut graph = Graph::default();
        let service =
            |selector: Value| object("Service", "web", "s", json!({"spec": {"selector": selector}}));
        let budget = |selector: Value| {
            object("PodDisruptionBudget", "web", "b", json!({"spec": {"selector": selector}}))
        };
        let pod = |labels: Value| object("Pod", "web-1", "p", json!({"metadata": {"labels": labels}}));
        let by = |graph: &Graph| -> Vec<String> {
            graph.related(&key("Pod", "web-1"), "selected-by").into_iter().map(|k| k.kind.clone()).collect()
        };
        let both = ["PodDisruptionBudget", "Service"];
        graph.put(service(json!({"app": "web", "tier": "front"})));
        graph.put(budget(json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]})));
        graph.put(object(
            "NetworkPolicy",
            "none",
            "n",
            json!({"spec": {"podSelector": {"matchLabels": {"app": "db"}}}}),
        ));
        graph.put(pod(json!({"tier": "front", "app": "web"})));
        assert_eq!(by(&graph), both);
        graph.put(pod(json!({"tier": "back", "app": "web"})));
        assert_eq!(by(&graph), ["PodDisruptionBudget"]);
        graph.put(service(json!({"tier": "back"})));
        assert_eq!(by(&graph), both);
        // The pod is shown anew under labels that nobody asked for before.
        graph.put(budget(json!({"matchLabels": {"run": "x"}})));
        graph.put(pod(json!({"run": "x"})));
        assert_eq!(by(&graph), ["PodDisruptionBudget"]);
        graph.put(budget(json!({})));
        graph.put(pod(json!({"tier": "back"})));
        assert_eq!(by(&graph), both, "an empty selector takes all pods");
        let bytes = postcard::to_allocvec(&graph).unwrap();
        let mut again: Graph = postcard::from_bytes(&bytes).unwrap();
        again.put(object("Pod", "web-2", "p2", json!({"metadata": {"labels": {"tier": "back"}}})));
        assert_eq!(again.related(&key("Pod", "web-2"), "selected-by").len(), 2, "a snapshot knows them too");
    }

    #[test]
    fn what_was_deleted_long_ago_is_forgotten_unless_it_came_back() {
        let mut graph = Graph::default();
        for name in ["gone", "back"] {
            graph.put(Object {
                deleted: Some(5),
                ..object("Service", name, name, json!({"spec": {"selector": {"app": "web"}}}))
            });
        }
        graph.put(object("Service", "back", "new", json!({"spec": {"selector": {"app": "web"}}})));
        graph.put(Object { deleted: Some(9), ..object("Service", "late", "l", json!({})) });
        graph.forget(6, |_| true);
        let all: Vec<String> = graph.of_kind("Service", "ns").map(|o| o.key.name.clone()).collect();
        assert_eq!(all, ["back", "late"]);
        graph.put(object("Pod", "p", "p", json!({"metadata": {"labels": {"app": "web"}}})));
        assert_eq!(graph.related(&key("Pod", "p"), "selected-by"), [key("Service", "back")]);
    }

    #[test]
    fn what_is_not_heard_of_any_more_is_forgotten() {
        let mut graph = Graph::default();
        graph.hear_of(&key("Pod", POD));
        graph.forget(0, |_| true);
        assert_eq!(graph.top(&key("Pod", POD)), key("Deployment", "web"));
        graph.forget(0, |_| false);
        assert_eq!(graph.top(&key("Pod", POD)), key("Pod", POD));
        assert!(graph.supposed.is_empty() && graph.referrers.is_empty());
    }
}
