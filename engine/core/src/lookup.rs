//! A map that is looked up and never walked.
//!
//! What is found by a hash is found without comparing texts at every step, but the order of such a map means nothing. So
//! this one has no way to walk through it: whatever is told in an order comes from an ordered map. A clone is cheap.

use std::{borrow::Borrow, hash::Hash};

use imbl::{GenericHashMap, shared_ptr::DefaultSharedPtr};
use rustc_hash::FxBuildHasher;

/// Values by key.
#[derive(Debug, Clone)]
pub(crate) struct Lookup<K, V>(GenericHashMap<K, V, FxBuildHasher, DefaultSharedPtr>);

impl<K, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self(GenericHashMap::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Lookup<K, V> {
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(key)
    }

    /// The key as it stands there.
    pub(crate) fn key(&self, key: &K) -> Option<&K> {
        self.0.get_key_value(key).map(|(key, _)| key)
    }

    pub(crate) fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.contains_key(key)
    }

    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get_mut(key)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what stood there before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.remove(key)
    }
}

impl<K: Hash + Eq + Clone, V: Clone + Default> Lookup<K, V> {
    /// The value of `key`, an empty one where there was none.
    pub(crate) fn or_default(&mut self, key: K) -> &mut V {
        self.0.entry(key).or_default()
    }
}
