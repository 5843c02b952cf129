//! What was said about each object within the history window, in the order of its times.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::{change::Change, glob, key::Key, rule::RuleSignal};

/// Most signals kept of one object: a container that logs without end must not push out its neighbours' history.
const MAX_PER_OBJECT: usize = 256;
/// Most changes kept in all.
const MAX_CHANGES: usize = 4096;

/// One signal as it happened, with where to look it up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) signal: RuleSignal,
    pub(crate) origin: String,
    /// For log lines: the rule whose pattern wanted it; other rules do not see it, so that adding a rule changes
    /// nothing for the others.
    pub(crate) rule: Option<usize>,
}

/// Recent signals by object, recent changes by time; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    by_object: OrdMap<Key, Vector<Arc<Record>>>,
    by_id: OrdMap<String, Arc<Record>>,
    changes: Vector<Arc<Change>>,
}

impl History {
    /// Keeps a signal about `key`.
    pub(crate) fn record(&mut self, key: &Key, record: Record) {
        let record = Arc::new(record);
        self.by_id.insert(record.signal.id.clone(), record.clone());
        let list = self.by_object.entry(key.clone()).or_default();
        list.push_back(record);
        if list.len() > MAX_PER_OBJECT
            && let Some(dropped) = list.pop_front()
        {
            self.by_id.remove(&dropped.signal.id);
        }
    }

    pub(crate) fn record_change(&mut self, change: Change) {
        self.changes.push_back(Arc::new(change));
        if self.changes.len() > MAX_CHANGES {
            self.changes.pop_front();
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Record>> {
        self.by_id.get(id)
    }

    /// Signals about one object since a time (ms), newest first.
    pub(crate) fn of<'a>(
        &'a self,
        key: &Key,
        source: &'a str,
        name: &'a str,
        since: u64,
    ) -> impl Iterator<Item = &'a Arc<Record>> {
        let all = self.by_object.get(key).into_iter().flat_map(|list| list.iter().rev());
        all.filter(move |r| {
            r.signal.at >= since
                && glob::matches(source, &r.signal.source)
                && glob::matches(name, &r.signal.name)
        })
    }

    /// Whether anything was said about the object.
    pub(crate) fn hears_of(&self, key: &Key) -> bool {
        self.by_object.contains_key(key)
    }

    /// Objects that anything was said about.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Key> {
        self.by_object.keys()
    }

    /// Changes since a time (ms), newest first.
    pub(crate) fn changes(&self, since: u64) -> impl Iterator<Item = &Arc<Change>> {
        self.changes.iter().rev().take_while(move |c| c.at >= since)
    }

    /// Forgets what happened before `horizon`.
    pub(crate) fn forget(&mut self, horizon: u64) {
        let stale: Vec<Key> = self
            .by_object
            .iter()
            .filter(|(_, list)| list.front().is_some_and(|r| r.signal.at < horizon))
            .map(|(key, _)| key.clone())
            .collect();
        for key in stale {
            let Some(list) = self.by_object.get_mut(&key) else { continue };
            while list.front().is_some_and(|r| r.signal.at < horizon) {
                if let Some(dropped) = list.pop_front() {
                    self.by_id.remove(&dropped.signal.id);
                }
            }
            if list.is_empty() {
                self.by_object.remove(&key);
            }
        }
        while self.changes.front().is_some_and(|c| c.at < horizon) {
            self.changes.pop_front();
        }
    }
}
