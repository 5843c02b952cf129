//! How reading a node's logs is going, for whoever asks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::Trouble;

/// How reading goes. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Stand>);

#[derive(Debug, Default)]
struct Stand {
    dropped: AtomicU64,
    gaps: AtomicU64,
    /// What keeps lines from being read or sent, by what it is about.
    troubles: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Lines that were dropped because there were more than the limit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// How often lines were lost, for whatever reason.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.0.gaps.load(Relaxed)
    }

    /// What keeps lines from being read or sent, a line each.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn note_dropped(&self, lines: u64) {
        self.0.dropped.fetch_add(lines, Relaxed);
    }

    pub(crate) fn note_gap(&self) {
        self.0.gaps.fetch_add(1, Relaxed);
    }

    pub(crate) fn note(&self, about: &str, trouble: &Trouble) {
        self.lock().insert(about.to_owned(), trouble.to_string());
    }

    pub(crate) fn well(&self, about: &str) {
        self.lock().remove(about);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
