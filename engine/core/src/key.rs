//! What identifies an object in the graph: kind, namespace and name. The uid tells generations apart, not objects.

use std::{
    cmp::Ordering,
    hash::{BuildHasher, Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use kwhy_proto::v1::ObjectRef;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Kind, namespace and name; ordered, so that all objects of a kind in a namespace stand side by side. A clone is cheap:
/// the maps of the graph hold each key many times.
#[derive(Debug, Clone)]
pub(crate) struct Key(Arc<Parts>);

/// The parts of a key, in the order in which keys are compared.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Of all three; made once, as a key is looked up many times.
    hash: u64,
}

impl Parts {
    fn texts(&self) -> (&str, &str, &str) {
        (&self.kind, &self.namespace, &self.name)
    }
}

impl Key {
    pub(crate) fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self(Arc::new(Parts {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            hash: FxBuildHasher.hash_one((kind, namespace, name)),
        }))
    }

    /// The key as a reference without a uid.
    pub(crate) fn to_ref(&self) -> ObjectRef {
        ObjectRef {
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: String::new(),
        }
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new("", "", "")
    }
}

impl Deref for Key {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.hash == other.hash && self.texts() == other.texts())
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.texts().cmp(&other.texts()) }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As its three texts.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.texts().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (kind, namespace, name) = <(&str, &str, &str)>::deserialize(from)?;
        Ok(Self::new(kind, namespace, name))
    }
}

impl From<&ObjectRef> for Key {
    fn from(object: &ObjectRef) -> Self {
        Self::new(&object.kind, &object.namespace, &object.name)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}
