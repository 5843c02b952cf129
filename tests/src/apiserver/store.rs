//! What etcd is to the API server: objects with versions, and the changes since the last compaction.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::kinds::Kind;

/// A change.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) path: String,
    /// As in a watch event.
    pub(super) verb: &'static str,
    pub(super) object: Arc<Value>,
}

/// A page of a list.
pub(super) struct Page {
    pub(super) version: u64,
    pub(super) items: Vec<Arc<Value>>,
    pub(super) next: Option<String>,
}

/// A version that was compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compacted;

type Key = (String, String, String);

/// The objects of a cluster.
#[derive(Debug)]
pub struct Store {
    version: u64,
    compacted: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    changes: Vec<Change>,
    /// Lists that were begun: what stood at that version.
    begun: BTreeMap<(String, u64), Vec<Arc<Value>>>,
    made: u64,
}

impl Default for Store {
    fn default() -> Self {
        // No version is ever 0 or 1: those mean something in requests.
        let (objects, changes, begun) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self { version: 100, compacted: 0, objects, changes, begun, made: 0 }
    }
}

impl Store {
    /// Creates an object or writes a new state of it: it gets the next resourceVersion.
    ///
    /// # Panics
    /// Where it has no kind that is served, or no name.
    pub fn put(&mut self, mut object: Value) {
        let kind = object["kind"].as_str().and_then(Kind::named).expect("a kind that is served");
        object["apiVersion"] = kind.api_version.into();
        let key = key(kind, &object);
        let before = self.objects.get(&key);
        self.version += 1;
        let uid = before.map(|before| before["metadata"]["uid"].clone());
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        metadata.insert("resourceVersion".to_owned(), self.version.to_string().into());
        if let Some(uid) = uid {
            metadata.insert("uid".to_owned(), uid);
        } else if !metadata.contains_key("uid") {
            self.made += 1;
            metadata.insert("uid".to_owned(), format!("00000000-0000-4000-8000-{:012x}", self.made).into());
        }
        metadata
            .entry("managedFields")
            .or_insert(json!([{"manager": "kwhy-tests", "fieldsV1": {"f:x": {}}}]));
        let verb = if before.is_some() { "MODIFIED" } else { "ADDED" };
        let object = Arc::new(object);
        self.objects.insert(key, object.clone());
        self.changes.push(Change { version: self.version, path: kind.path(), verb, object });
    }

    /// Deletes an object.
    ///
    /// # Panics
    /// Where there is none.
    pub fn delete(&mut self, kind: &str, namespace: &str, name: &str) {
        let kind = Kind::named(kind).expect("a kind that is served");
        let key = (kind.path(), namespace.to_owned(), name.to_owned());
        let gone = self.objects.remove(&key).expect("an object to delete");
        self.version += 1;
        // The last state, with the version of the deletion.
        let mut object = (*gone).clone();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let change =
            Change { version: self.version, path: kind.path(), verb: "DELETED", object: Arc::new(object) };
        self.changes.push(change);
    }

    pub(super) fn compact(&mut self) {
        self.compacted = self.version;
        self.changes.clear();
        self.begun.retain(|(_, version), _| *version > self.compacted);
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// A page: `token` is what the page before gave.
    pub(super) fn list(
        &mut self,
        path: &str,
        limit: usize,
        token: Option<&str>,
        keep: impl Fn(&Value) -> bool,
    ) -> Result<Page, Compacted> {
        let (version, from) = match token {
            None => (self.version, 0),
            Some(token) => {
                let (version, from) = token.split_once('-').expect("a token of ours");
                (version.parse().expect("a version"), from.parse().expect("a place"))
            }
        };
        if token.is_some() && !self.begun.contains_key(&(path.to_owned(), version)) {
            return Err(Compacted);
        }
        let first = (path.to_owned(), String::new(), String::new());
        let objects = &self.objects;
        let all = self.begun.entry((path.to_owned(), version)).or_insert_with(|| {
            objects.range(first..).take_while(|(key, _)| key.0 == path).map(|(_, o)| o.clone()).collect()
        });
        let all: Vec<Arc<Value>> = all.iter().filter(|object| keep(object)).cloned().collect();
        let limit = if limit == 0 { all.len() } else { limit };
        let items: Vec<Arc<Value>> = all.iter().skip(from).take(limit).cloned().collect();
        let next = (from + items.len() < all.len()).then(|| format!("{version}-{}", from + items.len()));
        if next.is_none() {
            self.begun.remove(&(path.to_owned(), version));
        }
        Ok(Page { version, items, next })
    }

    /// The changes of a path after a version, and up to where that is.
    pub(super) fn changes(&self, path: &str, after: u64) -> Result<(Vec<Change>, u64), Compacted> {
        if after < self.compacted {
            return Err(Compacted);
        }
        let from = self.changes.partition_point(|change| change.version <= after);
        let new = self.changes.iter().skip(from).filter(|change| change.path == path).cloned().collect();
        Ok((new, self.version))
    }
}

fn key(kind: Kind, object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    assert!(!name.is_empty(), "an object without name: {object}");
    (kind.path(), text("namespace"), name)
}
