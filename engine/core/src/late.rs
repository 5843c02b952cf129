//! When what came late is put where it belongs.
//!
//! For that what came after it is replayed. Where little came after, and seldom, that is done at once. Many sources tell
//! whole seconds, though, and where much is told by others each of their signals would replay all of a second: there
//! late signals wait for each other, a moment of log time, and are put in their places at once.
//!
//! When they are depends on the log alone, so that whoever reads it again says the same at the same places.

use crate::engine::Order;

/// Entries that may be replayed at once in a second of log time, some tens of milliseconds of work.
const AT_ONCE: usize = 1000;
/// How long a late signal may wait for others, ms of log time.
pub(crate) const WAIT: u64 = 150;

/// Late signals that wait.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// The earliest of them, and the log time at which the first came.
    waiting: Option<(Order, u64)>,
    /// A second of log time, and how many entries were replayed at once in it.
    spent: (u64, usize),
}

impl Late {
    /// Takes note of a signal that came at log time `now` (ms), `after` entries later than its place. Returns whether what
    /// waits is to be put in its places at once.
    pub(crate) fn add(&mut self, order: Order, after: usize, now: u64) -> bool {
        self.waiting = Some(match self.waiting.take() {
            Some((first, since)) => (first.min(order), since),
            None => (order, now),
        });
        let second = now / 1000;
        if self.spent.0 != second {
            self.spent = (second, 0);
        }
        let spent = self.spent.1.saturating_add(after);
        if spent > AT_ONCE {
            return self.is_due(now);
        }
        self.spent.1 = spent;
        true
    }

    /// Whether what waits has waited for long enough.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.waiting.as_ref().is_some_and(|(_, since)| now >= since.saturating_add(WAIT))
    }

    /// The earliest of those that wait; none does any more.
    pub(crate) fn take(&mut self) -> Option<Order> {
        self.waiting.take().map(|(first, _)| first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(at: u64) -> Order {
        (at, 0, "".into())
    }

    #[test]
    fn where_little_came_after_a_late_signal_is_put_in_its_place_at_once() {
        let mut late = Late::default();
        for n in 0..10 {
            assert!(late.add(order(n), 100, 5000 + n));
            assert_eq!(late.take(), Some(order(n)));
        }
    }

    #[test]
    fn where_much_comes_late_signals_wait_for_each_other() {
        let mut late = Late::default();
        assert!(late.add(order(9), 900, 5000));
        assert_eq!(late.take(), Some(order(9)));
        assert!(!late.add(order(8), 900, 5100));
        assert!(!late.add(order(7), 900, 5200));
        assert!(!late.is_due(5249) && late.is_due(5250));
        assert_eq!(late.take(), Some(order(7)));
        assert!(!late.is_due(9999));
        assert!(late.add(order(6), 900, 6000), "another second");
    }
}
