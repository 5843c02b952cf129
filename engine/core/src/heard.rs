//! Signals that were heard of, so that one that comes again changes nothing.
//!
//! Of each a print of its id is kept, in the order in which they came, for as long as history is; of very many the newest.
//! A copy that comes so late that its print is gone is taken for late news of what is known already. That a new signal shares
//! its print with one of so many happens once in centuries.

use std::sync::Arc;

use imbl::Vector;
use rustc_hash::FxHashSet;

use crate::print::print;

/// Most prints kept: those of a quarter of an hour where 500 a second are wanted. The table of a few more would be twice as
/// large.
const MOST: usize = 450_000;

/// An id that was heard of.
#[derive(Debug, Clone, Copy)]
struct Id {
    /// Log time, ms.
    at: u64,
    /// Its place in the log.
    place: u64,
    print: u64,
}

/// What was heard of. A clone is cheap, and to go on from it copies the prints once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// To be looked up and never walked. There are so many that each byte counts.
    prints: Arc<FxHashSet<u64>>,
    in_order: Vector<Id>,
}

impl Heard {
    pub(crate) fn of(&self, id: &str) -> bool {
        self.prints.contains(&print(id))
    }

    /// Takes note of an id at log time `at` (ms), told at a place of the log. Neither goes back.
    pub(crate) fn hear(&mut self, id: &str, at: u64, place: u64) {
        self.push(Id { at, place, print: print(id) });
        if self.in_order.len() > MOST {
            self.drop_first();
        }
    }

    /// Forgets what was heard before `horizon`, ms.
    pub(crate) fn forget(&mut self, horizon: u64) {
        while self.in_order.front().is_some_and(|id| id.at < horizon) {
            self.drop_first();
        }
    }

    /// When each was heard that was told before a place of the log, and its print, in their order.
    pub(crate) fn before(&self, place: u64) -> Vec<(u64, u64)> {
        self.in_order.iter().take_while(|id| id.place < place).map(|id| (id.at, id.print)).collect()
    }

    fn push(&mut self, id: Id) {
        Arc::make_mut(&mut self.prints).insert(id.print);
        self.in_order.push_back(id);
    }

    fn drop_first(&mut self) {
        if let Some(id) = self.in_order.pop_front() {
            Arc::make_mut(&mut self.prints).remove(&id.print);
        }
    }
}

impl FromIterator<(u64, u64)> for Heard {
    /// What [`Heard::before`] gave.
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(stored: I) -> Self {
        let mut heard = Self::default();
        stored.into_iter().for_each(|(at, print)| heard.push(Id { at, place: 0, print }));
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_known_until_its_time_is_over() {
        let mut heard = Heard::default();
        heard.hear("a", 1, 1);
        heard.hear("b", 2, 2);
        assert!(heard.of("a") && heard.of("b") && !heard.of("c"));
        heard.forget(2);
        assert!(!heard.of("a") && heard.of("b"));
    }

    #[test]
    fn of_very_many_the_newest_are_known() {
        let mut heard = Heard::default();
        for n in 0..=MOST as u64 {
            heard.hear(&n.to_string(), n, n);
        }
        assert!(!heard.of("0") && heard.of("1") && heard.of(&MOST.to_string()));
        assert_eq!(heard.in_order.len(), MOST);
    }

    #[test]
    fn what_is_stored_is_what_was_told_before() {
        let mut heard = Heard::default();
        for n in 1..=5 {
            heard.hear(&n.to_string(), n, n / 2);
        }
        let again: Heard = heard.before(2).into_iter().collect();
        assert!(again.of("3") && !again.of("4"));
        assert_eq!(again.before(2), heard.before(2));
    }
}
