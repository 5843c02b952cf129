//! How each watch is doing, for whoever asks: a status page, a probe, an operator.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Resource;

/// How the watch of one kind is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Whether it is being watched; else it is being listed, or something keeps it from being read.
    pub watching: bool,
    /// When the API server last said something of it, if only that nothing happens. Milliseconds since the Unix epoch.
    pub last: Option<u64>,
    /// Complete lists so far.
    pub lists: u64,
    /// How often changes may have been missed.
    pub gaps: u64,
    /// Objects that are there; 0 for Events, which are not kept.
    pub objects: usize,
    /// What keeps it from being read.
    pub trouble: Option<String>,
}

impl Progress {
    /// Milliseconds since the API server last said something of this kind; none where it never has.
    #[must_use]
    pub fn age(&self, now: u64) -> Option<u64> {
        self.last.map(|last| now.saturating_sub(last))
    }
}

/// How all watches are doing. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<Resource, Progress>>>);

impl Health {
    /// As of now, in the order of groups and kinds.
    #[must_use]
    pub fn all(&self) -> Vec<(Resource, Progress)> {
        self.lock().iter().map(|(resource, progress)| (resource.clone(), progress.clone())).collect()
    }

    pub(crate) fn note(&self, resource: &Resource, change: impl FnOnce(&mut Progress)) {
        let mut all = self.lock();
        let progress = all.entry(resource.clone()).or_insert(Progress {
            watching: false,
            last: None,
            lists: 0,
            gaps: 0,
            objects: 0,
            trouble: None,
        });
        change(progress);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Resource, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
