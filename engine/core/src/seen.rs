//! What a rule has looked at in one call. Its answer follows from the call and from that, so where none of it is
//! otherwise the answer is the same.

use std::{
    hash::{BuildHasher, Hash},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustc_hash::FxBuildHasher;

use crate::key::Key;

/// A thing that may be otherwise, as a hash: two that share one are only taken for each other's change.
pub(crate) type Token = u64;

/// Signals of a topic, of whatever object.
pub(crate) fn of_topic(source: &str, name: &str) -> Token {
    token((0_u8, source, name))
}

/// Signals of a topic about one object.
pub(crate) fn of_both(key: &Key, source: &str, name: &str) -> Token {
    token((1_u8, key, source, name))
}

/// Signals about one object.
pub(crate) fn of_object(key: &Key) -> Token {
    token((2_u8, key))
}

/// A slot of a rule's memory.
pub(crate) fn of_slot(rule: usize, slot: &str) -> Token {
    token((3_u8, rule, slot))
}

fn token(of: impl Hash) -> Token {
    FxBuildHasher.hash_one(of)
}

/// What one call has looked at besides the graph, and what it has written.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tokens: Vec<Token>,
    /// All signals there are.
    pub(crate) all_signals: bool,
    /// Slots of the rule's memory that it has written to or deleted.
    pub(crate) written: Vec<String>,
    /// By how many bytes its memory grew at most.
    pub(crate) growth: usize,
    /// Its memory was full: what came of it depends on all that is in it.
    pub(crate) full: bool,
}

/// Notes what is looked at through it, where anybody wants to know. A clone notes for the same call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Option<Arc<Mutex<Seen>>>);

impl Watch {
    pub(crate) fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether anything is noted.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Notes something where it is wanted.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Seen)) {
        if let Some(seen) = &self.0 {
            note(&mut lock(seen));
        }
    }

    /// What was noted.
    pub(crate) fn take(&self) -> Seen {
        self.0.as_ref().map(|seen| std::mem::take(&mut *lock(seen))).unwrap_or_default()
    }
}

/// Whoever watches does not change what it is.
impl PartialEq for Watch {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Watch {}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    // Notes are whole whenever somebody panics between two of them.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
