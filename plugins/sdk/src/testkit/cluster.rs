//! A cluster and its past in memory, as the host would show them to one rule.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use super::{
    glob,
    input::fields,
    relation::{id_of, inverse, references, selects},
};
use crate::{Field, Host, Level, Neighbour, ObjectRef, Signal, StateError};

type Key = (String, String, String);

fn key(id: &ObjectRef) -> Key {
    (id.kind.clone(), id.namespace.clone(), id.name.clone())
}

#[derive(Debug, Clone)]
struct Stored {
    json: Value,
    at: u64,
    deleted: bool,
}

/// Objects, signals, changes, the rule's memory and its log.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    objects: BTreeMap<Key, Stored>,
    signals: Vec<Signal>,
    changes: Vec<Signal>,
    memory: RefCell<BTreeMap<String, (Vec<u8>, u64)>>,
    lines: RefCell<Vec<(Level, String)>>,
    calls: Cell<u64>,
    pub(crate) now: u64,
}

impl Cluster {
    /// Stores a state of an object. A state older than the stored one comes too late to count.
    pub(crate) fn put(&mut self, at: u64, json: &Value, deleted: bool, listed: bool) {
        let id = id_of(json);
        let old = self.objects.get(&key(&id));
        if old.is_some_and(|o| o.at > at) {
            return;
        }
        let before = old.filter(|o| !o.deleted).map(|o| &o.json);
        let derived = id.kind == "Pod" || references(json).iter().any(|(r, _)| *r == "owner");
        if !listed && !derived {
            let name = if deleted {
                "DELETED"
            } else if before.is_some() {
                "MODIFIED"
            } else {
                "ADDED"
            };
            let diff = before.map(|b| differences(b, json)).unwrap_or_default();
            if name != "MODIFIED" || !diff.is_empty() {
                self.changes.push(Signal {
                    id: format!("object/{}/{}/{at}", id.kind, id.path()),
                    source: "object".into(),
                    name: name.into(),
                    state: "watched".into(),
                    at,
                    subject: Some(id.clone()),
                    message: name.to_lowercase(),
                    fields: diff,
                });
            }
        }
        self.objects.insert(key(&id), Stored { json: json.clone(), at, deleted });
    }

    pub(crate) fn record(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    /// The name of an object's top-level owner.
    pub(crate) fn top_name(&self, id: &ObjectRef) -> String {
        self.top(id).name
    }

    fn top(&self, id: &ObjectRef) -> ObjectRef {
        self.owners(id).into_iter().rfind(|o| o.kind != "Node").unwrap_or_else(|| id.clone())
    }

    /// What the rule wrote to its log.
    #[must_use]
    pub fn log_lines(&self) -> Vec<(Level, String)> {
        self.lines.borrow().clone()
    }

    /// Host calls made so far.
    #[must_use]
    pub fn host_calls(&self) -> u64 {
        self.calls.get()
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    fn to_ref(&self, id: &ObjectRef) -> ObjectRef {
        self.objects.get(&key(id)).map_or_else(|| id.clone(), |o| id_of(&o.json))
    }

    fn edges(&self, id: &ObjectRef) -> Vec<Neighbour> {
        let mut out: BTreeSet<(&'static str, Key)> = BTreeSet::new();
        let own = self.objects.get(&key(id)).map(|o| &o.json);
        if let Some(json) = own {
            out.extend(references(json).into_iter().map(|(r, o)| (r, key(&o))));
        }
        for (other, stored) in &self.objects {
            let named = references(&stored.json).into_iter().filter(|(_, o)| o.is(id));
            out.extend(named.map(|(r, _)| (inverse(r), other.clone())));
            if own.is_some_and(|json| selects(json, &stored.json)) {
                out.insert(("selects", other.clone()));
            }
            if own.is_some_and(|json| selects(&stored.json, json)) {
                out.insert(("selected-by", other.clone()));
            }
        }
        let found = out.into_iter();
        found
            .map(|(relation, (kind, namespace, name))| Neighbour {
                relation: relation.into(),
                object: self.to_ref(&ObjectRef::new(&kind, &namespace, &name)),
            })
            .collect()
    }

    fn related(&self, id: &ObjectRef, relation: &str) -> Vec<ObjectRef> {
        self.edges(id).into_iter().filter(|n| n.relation == relation).map(|n| n.object).collect()
    }

    fn spread(&self, from: &ObjectRef, relations: &[&str]) -> BTreeSet<Key> {
        let (mut seen, mut todo) = (BTreeSet::from([key(from)]), vec![from.clone()]);
        while let Some(at) = todo.pop() {
            for relation in relations {
                todo.extend(self.related(&at, relation).into_iter().filter(|o| seen.insert(key(o))));
            }
        }
        seen
    }

    /// Whether `subject` stands within `reach` of `anchor`.
    fn within(&self, anchor: &ObjectRef, reach: &str, subject: &ObjectRef) -> bool {
        let set = match reach {
            "self" => BTreeSet::from([key(anchor)]),
            "owners" => self.owners(anchor).iter().map(key).chain([key(anchor)]).collect(),
            "owned" => self.spread(anchor, &["owned"]),
            "workload" => {
                let members = self.spread(&self.top(anchor), &["owned"]);
                let around = members.iter().flat_map(|(k, ns, n)| {
                    let id = ObjectRef::new(k, ns, n);
                    [self.related(&id, "selected-by"), self.related(&id, "scaled-by")].concat()
                });
                around.map(|o| key(&o)).chain(members.clone()).collect()
            }
            "node" => {
                let members = self.spread(anchor, &["owned"]);
                let nodes =
                    members.iter().flat_map(|(k, ns, n)| self.related(&ObjectRef::new(k, ns, n), "node"));
                nodes.map(|o| key(&o)).chain([key(anchor)]).collect()
            }
            "on-node" => {
                let node =
                    if anchor.kind == "Node" { vec![anchor.clone()] } else { self.related(anchor, "node") };
                let pods: Vec<ObjectRef> = node.iter().flat_map(|n| self.related(n, "pod")).collect();
                let owners = pods.iter().flat_map(|p| self.owners(p));
                owners.chain(pods.clone()).chain(node).map(|o| key(&o)).collect()
            }
            "users" => self.spread(anchor, &["used-by", "scaled-by", "owner"]),
            "namespace" => return subject.namespace == anchor.namespace,
            "cluster" => return true,
            _ => return false,
        };
        set.contains(&key(subject))
    }

    fn newest(
        &self,
        of: &[Signal],
        id: &ObjectRef,
        reach: &str,
        since: u64,
        limit: u32,
        want: &dyn Fn(&Signal) -> bool,
    ) -> Vec<Signal> {
        let near = |s: &&Signal| {
            s.at >= since && want(s) && s.subject.as_ref().is_some_and(|o| self.within(id, reach, o))
        };
        let mut found: Vec<Signal> = of.iter().filter(near).cloned().collect();
        found.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        found
    }
}

impl Host for Cluster {
    fn exists(&self, id: &ObjectRef) -> bool {
        self.count();
        self.objects.get(&key(id)).is_some_and(|o| !o.deleted)
    }

    fn neighbours(&self, id: &ObjectRef, relation: &str, limit: u32) -> Vec<Neighbour> {
        self.count();
        let all = self.edges(id).into_iter().filter(|n| relation.is_empty() || n.relation == relation);
        all.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
    }

    fn owners(&self, id: &ObjectRef) -> Vec<ObjectRef> {
        self.count();
        let (mut chain, mut at) = (Vec::new(), id.clone());
        while let Some(stored) = self.objects.get(&key(&at)) {
            let owner = references(&stored.json).into_iter().find(|(r, _)| *r == "owner");
            let Some((_, owner)) = owner.filter(|(_, o)| !chain.contains(o)) else { break };
            at = self.to_ref(&owner);
            chain.push(at.clone());
        }
        if chain.is_empty() && !self.objects.contains_key(&key(id)) { by_name(id) } else { chain }
    }

    fn read(&self, id: &ObjectRef, pointer: &str) -> Option<String> {
        self.count();
        if id.kind == "Secret" && pointer.starts_with("/data") {
            return None;
        }
        self.objects.get(&key(id))?.json.pointer(pointer).map(ToString::to_string)
    }

    fn list_kind(&self, kind: &str, namespace: &str, limit: u32) -> Vec<ObjectRef> {
        self.count();
        let standing = self.objects.iter().filter(|(_, o)| !o.deleted);
        let wanted =
            standing.filter(|((k, ns, _), _)| k == kind && (namespace.is_empty() || ns == namespace));
        wanted.take(usize::try_from(limit).unwrap_or(usize::MAX)).map(|(_, o)| id_of(&o.json)).collect()
    }

    fn about(
        &self,
        id: &ObjectRef,
        reach: &str,
        source: &str,
        name: &str,
        since: u64,
        limit: u32,
    ) -> Vec<Signal> {
        self.count();
        let want = |s: &Signal| glob(source, &s.source) && glob(name, &s.name);
        self.newest(&self.signals, id, reach, since, limit, &want)
    }

    fn changes(&self, id: &ObjectRef, reach: &str, since: u64, limit: u32) -> Vec<Signal> {
        self.count();
        self.newest(&self.changes, id, reach, since, limit, &|_| true)
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.count();
        self.memory.borrow().get(key).filter(|(_, until)| *until > self.now).map(|(value, _)| value.clone())
    }

    fn set(&self, key: &str, value: &[u8], ttl: u64) -> Result<(), StateError> {
        self.count();
        if key.len() > 256 {
            return Err(StateError::KeyTooLong);
        }
        if value.len() > 64 << 10 {
            return Err(StateError::ValueTooLarge);
        }
        self.memory.borrow_mut().insert(key.to_owned(), (value.to_vec(), self.now.saturating_add(ttl)));
        Ok(())
    }

    fn delete(&self, key: &str) {
        self.count();
        self.memory.borrow_mut().remove(key);
    }

    fn log(&self, level: Level, message: &str) {
        self.lines.borrow_mut().push((level, message.to_owned()));
    }
}

/// The owners of a pod that was never shown, as far as its name tells them.
fn by_name(pod: &ObjectRef) -> Vec<ObjectRef> {
    let made_up = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
    };
    let (set, tail) = pod.name.rsplit_once('-').unwrap_or_default();
    let (deployment, hash) = set.rsplit_once('-').unwrap_or_default();
    if pod.kind != "Pod" || !made_up(tail, &[5]) || !made_up(hash, &[8, 9, 10]) {
        return Vec::new();
    }
    let of = |kind: &str, name: &str| ObjectRef::new(kind, &pod.namespace, name);
    vec![of("ReplicaSet", set), of("Deployment", deployment)]
}

/// Changed leaves of spec and data by pointer, each with `- old` and `+ new` lines.
fn differences(old: &Value, new: &Value) -> Vec<Field> {
    let mut out = Vec::new();
    for part in ["spec", "data"] {
        compare(&format!("/{part}"), old.get(part), new.get(part), &mut out);
    }
    fields(&out.iter().map(|(p, d)| (p.as_str(), d.as_str())).collect::<Vec<_>>())
}

fn compare(pointer: &str, old: Option<&Value>, new: Option<&Value>, out: &mut Vec<(String, String)>) {
    if old == new {
        return;
    }
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (old, new) {
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            let step = name.replace('~', "~0").replace('/', "~1");
            compare(&format!("{pointer}/{step}"), a.get(name), b.get(name), out);
        }
        return;
    }
    if let (Some(Value::Array(a)), Some(Value::Array(b))) = (old, new) {
        for i in 0..a.len().max(b.len()) {
            compare(&format!("{pointer}/{i}"), a.get(i), b.get(i), out);
        }
        return;
    }
    let lines = |v: Option<&Value>| -> Vec<String> {
        let text = v.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let (a, b) = (lines(old), lines(new));
    let gone = a.iter().filter(|l| !b.contains(l)).map(|l| format!("- {l}\n"));
    let come = b.iter().filter(|l| !a.contains(l)).map(|l| format!("+ {l}\n"));
    out.push((pointer.to_owned(), gone.chain(come).collect()));
}
