//! Signals by their ids.
//!
//! It stands beside the states, not in them: of thousands of ids that come between two states a map of each state would share
//! almost nothing. So it says where a signal may be kept, and the list that a state has of that object whether it is.

use std::sync::{Arc, Weak};

use hashbrown::HashTable;

use crate::{history::Record, key::Key, print::print};

/// Entries after which it first looks for those that no state holds any more.
const FIRST_SWEEP: usize = 1 << 14;

/// A signal that some state may keep, with its object.
#[derive(Debug)]
struct Entry {
    print: u64,
    /// It is not held here, so that it goes with the last state that keeps it.
    record: Weak<Record>,
    key: Key,
}

impl Entry {
    fn is_kept(&self) -> bool {
        self.record.strong_count() > 0
    }
}

/// Signals that some state may keep.
#[derive(Debug, Default)]
pub(crate) struct Register {
    /// By their prints.
    entries: HashTable<Entry>,
    /// Entries at which it is swept next.
    sweep_at: usize,
}

impl Register {
    pub(crate) fn enter(&mut self, record: &Arc<Record>, key: &Key) {
        let new = Entry { print: record.print, record: Arc::downgrade(record), key: key.clone() };
        let forgotten = |known: &Entry| known.print == record.print && !known.is_kept();
        // What a replay says again takes the place of what it said before.
        if let Some(known) = self.entries.find_mut(record.print, forgotten) {
            *known = new;
            return;
        }
        self.sweep();
        self.entries.insert_unique(record.print, new, |entry| entry.print);
    }

    /// What may be meant by an id.
    pub(crate) fn find(&self, id: &str) -> impl Iterator<Item = (Arc<Record>, &Key)> {
        let print = print(id);
        let all = self.entries.iter_hash(print).filter(move |entry| entry.print == print);
        all.filter_map(|entry| Some((entry.record.upgrade()?, &entry.key)))
    }

    /// Lets go of what no state keeps, once half as much has come as was left the last time.
    fn sweep(&mut self) {
        if self.entries.len() < self.sweep_at.max(FIRST_SWEEP) {
            return;
        }
        self.entries.retain(|entry| entry.is_kept());
        self.sweep_at = self.entries.len() / 2 * 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::RuleSignal;

    fn record(id: &str) -> Arc<Record> {
        Arc::new(Record::new(&RuleSignal { id: id.to_owned(), ..RuleSignal::default() }, "", None, 1))
    }

    #[test]
    fn what_no_state_holds_makes_room() {
        let (mut register, key) = (Register::default(), Key::new("Pod", "ns", "p"));
        let kept = record("kept");
        register.enter(&kept, &key);
        for _ in 0..9 {
            register.enter(&record("again"), &key);
        }
        assert_eq!(register.entries.len(), 2, "what is said again takes its own place");
        for n in 0..4 * FIRST_SWEEP {
            register.enter(&record(&n.to_string()), &key);
        }
        assert!(register.entries.len() <= FIRST_SWEEP);
        assert!(register.find("kept").any(|(record, _)| Arc::ptr_eq(&record, &kept)));
    }
}
