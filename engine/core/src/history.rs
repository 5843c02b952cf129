//! What was said about each object within the history window, in the order of its times.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{change::Change, glob, key::Key, lookup::Lookup, rule::RuleSignal};

/// Most signals kept of one object: a container that logs without end must not push out its neighbours' history.
const MAX_PER_OBJECT: usize = 256;
/// Most changes kept in all.
const MAX_CHANGES: usize = 4096;

/// One signal as it happened, with where to look it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    by_id: Lookup<String, Arc<Record>>,
    /// How many signals of a source and name are kept. Rules ask of every object for what was hardly ever said of any.
    said: Lookup<String, Lookup<String, usize>>,
    changes: Vector<Arc<Change>>,
}

impl History {
    /// Keeps a signal about `key`.
    pub(crate) fn record(&mut self, key: &Key, record: Record) {
        let record = Arc::new(record);
        self.by_id.insert(record.signal.id.clone(), record.clone());
        self.count(&record.signal);
        let list = self.by_object.entry(key.clone()).or_default();
        list.push_back(record);
        if list.len() > MAX_PER_OBJECT
            && let Some(dropped) = list.pop_front()
        {
            self.dropped(&dropped);
        }
    }

    /// Counts a signal that is kept.
    fn count(&mut self, signal: &RuleSignal) {
        let RuleSignal { source, name, .. } = signal;
        match self.said.get_mut(source).and_then(|names| names.get_mut(name)) {
            Some(count) => *count += 1,
            None => *self.said.or_default(source.clone()).or_default(name.clone()) += 1,
        }
    }

    /// Takes a signal that is kept no longer out of all but the list of its object.
    fn dropped(&mut self, record: &Record) {
        let RuleSignal { id, source, name, .. } = &record.signal;
        self.by_id.remove(id);
        let Some(names) = self.said.get_mut(source) else { return };
        let Some(count) = names.get_mut(name) else { return };
        *count -= 1;
        if *count == 0 {
            names.remove(name);
        }
    }

    /// Whether any signal is kept that `source` and `name`, which are globs, may mean. False is certain.
    pub(crate) fn may_hold(&self, source: &str, name: &str) -> bool {
        if glob::is_plain(source) && glob::is_plain(name) {
            return self.said.get(source).is_some_and(|names| names.contains(name));
        }
        true
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
            let mut old = Vec::new();
            while list.front().is_some_and(|r| r.signal.at < horizon) {
                old.extend(list.pop_front());
            }
            if list.is_empty() {
                self.by_object.remove(&key);
            }
            old.iter().for_each(|record| self.dropped(record));
        }
        while self.changes.front().is_some_and(|c| c.at < horizon) {
            self.changes.pop_front();
        }
    }
}

/// A history as a snapshot has it.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// The records of each object, and of each whether it is the one found by its id.
    by_object: Vec<(Key, Vec<(bool, Record)>)>,
    changes: Vec<Arc<Change>>,
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let stored = |record: &Arc<Record>| {
            let by_id = self.by_id.get(&record.signal.id).is_some_and(|known| Arc::ptr_eq(known, record));
            (by_id, Record::clone(record))
        };
        let by_object =
            self.by_object.iter().map(|(key, all)| (key.clone(), all.iter().map(stored).collect()));
        let history =
            Stored { by_object: by_object.collect(), changes: self.changes.iter().cloned().collect() };
        history.serialize(to)
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Stored { by_object, changes } = Stored::deserialize(from)?;
        let mut history = Self { changes: changes.into_iter().collect(), ..Self::default() };
        for (key, records) in by_object {
            let mut all = Vector::new();
            for (by_id, record) in records {
                let record = Arc::new(record);
                history.count(&record.signal);
                if by_id {
                    history.by_id.insert(record.signal.id.clone(), record.clone());
                }
                all.push_back(record);
            }
            history.by_object.insert(key, all);
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: usize, at: u64, source: &str, name: &str) -> Record {
        let (source, name) = (source.to_owned(), name.to_owned());
        let signal = RuleSignal { id: id.to_string(), source, name, at, ..RuleSignal::default() };
        Record { signal, origin: String::new(), rule: None }
    }

    #[test]
    fn what_was_said_of_nothing_is_not_looked_for() {
        let key = Key::new("Pod", "ns", "p");
        let mut history = History::default();
        assert!(!history.may_hold("event", "Killing"));
        history.record(&key, record(1, 5, "event", "Killing"));
        assert!(history.may_hold("event", "Killing"));
        assert!(!history.may_hold("event", "Kill") && !history.may_hold("alert", "Killing"));
        assert!(
            history.may_hold("event", "Kill*") && history.may_hold("?vent", "Started"),
            "a glob is tried"
        );
        history.forget(6);
        assert!(!history.may_hold("event", "Killing") && history.get("1").is_none());
    }

    #[test]
    fn what_an_object_says_without_end_pushes_out_only_its_own() {
        let (loud, calm) = (Key::new("Pod", "ns", "loud"), Key::new("Pod", "ns", "calm"));
        let mut history = History::default();
        history.record(&loud, record(0, 1, "event", "Once"));
        history.record(&calm, record(1, 1, "event", "Calm"));
        for id in 2..2 + MAX_PER_OBJECT {
            history.record(&loud, record(id, 2, "event", "Loud"));
        }
        assert!(!history.may_hold("event", "Once") && history.may_hold("event", "Calm"));
        assert_eq!(history.of(&loud, "event", "*", 0).count(), MAX_PER_OBJECT);
    }
}
