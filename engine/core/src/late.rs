//! When what came late is put where it belongs.
//!
//! For that what came after it is replayed. Where little came after that is done at once. Many sources tell whole seconds,
//! though, and where much is told by others each of their signals would replay all of a second: there late signals wait for
//! each other, a moment of log time, and are put in their places at once.
//!
//! When they are depends on the log alone, so that whoever reads it again says the same at the same places.

use crate::engine::Order;

/// Entries that may be replayed at once in a second of log time, some tens of milliseconds of work.
const AT_ONCE: usize = 2000;
/// The same where those that are only a little late are counted too.
const WITH_A_LITTLE: usize = 2 * AT_ONCE;
/// So many entries at most come after what is a little late.
const A_LITTLE: usize = 128;
/// What a replay costs besides, as so many entries: it begins somewhere before.
const START: usize = 32;
/// How long a late signal may wait for others, ms of log time.
pub(crate) const WAIT: u64 = 150;
/// The same of one that is a little late: sources that tell everything at once overtake each other by some milliseconds.
const WAIT_A_LITTLE: u64 = 20;

/// Late signals that wait: the earliest of them, and the log time at which the first came.
type Waiting = Option<(Order, u64)>;

/// What came late and is not yet in its place.
#[derive(Debug, Default)]
pub(crate) struct Late {
    much: Waiting,
    a_little: Waiting,
    /// A second of log time, and how many entries were replayed at once in it.
    spent: (u64, usize),
}

impl Late {
    /// Takes note of a signal that came at log time `now` (ms), `after` entries later than its place. Returns from where to
    /// replay at once, if anything.
    pub(crate) fn add(&mut self, order: Order, after: usize, now: u64) -> Option<Order> {
        let second = now / 1000;
        if self.spent.0 != second {
            self.spent = (second, 0);
        }
        let spent = self.spent.1.saturating_add(START).saturating_add(after);
        let a_little = after <= A_LITTLE;
        let (waiting, most) =
            if a_little { (&mut self.a_little, WITH_A_LITTLE) } else { (&mut self.much, AT_ONCE) };
        *waiting = Some(match waiting.take() {
            Some((first, since)) => (first.min(order), since),
            None => (order, now),
        });
        if spent > most {
            return self.take_due(now);
        }
        self.spent.1 = spent;
        // What is much later goes on waiting.
        if a_little { take(&mut self.a_little) } else { self.take() }
    }

    /// From where to replay where something has waited for long enough at log time `now`.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<Order> {
        let due = |waiting: &Waiting, wait| {
            waiting.as_ref().is_some_and(|(_, since)| now >= since.saturating_add(wait))
        };
        if due(&self.much, WAIT) {
            return self.take();
        }
        if due(&self.a_little, WAIT_A_LITTLE) { take(&mut self.a_little) } else { None }
    }

    /// Nothing waits any more.
    fn take(&mut self) -> Option<Order> {
        take(&mut self.much).into_iter().chain(take(&mut self.a_little)).min()
    }
}

fn take(waiting: &mut Waiting) -> Option<Order> {
    waiting.take().map(|(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(at: u64) -> Order {
        (at, 0, "".into())
    }

    #[test]
    fn where_not_much_came_after_a_late_signal_is_put_in_its_place_at_once() {
        let mut late = Late::default();
        for n in 0..10 {
            assert_eq!(late.add(order(n), AT_ONCE / 10 - START, 5000 + n), Some(order(n)));
        }
    }

    #[test]
    fn where_much_comes_late_signals_wait_for_each_other() {
        let mut late = Late::default();
        assert_eq!(late.add(order(9), AT_ONCE - START, 5000), Some(order(9)));
        assert_eq!(late.add(order(8), 900, 5100), None);
        assert_eq!(late.add(order(7), 900, 5200), None);
        assert_eq!(late.take_due(5249), None);
        assert_eq!(late.take_due(5250), Some(order(7)));
        assert_eq!(late.take_due(9999), None);
        assert_eq!(late.add(order(6), 900, 6000), Some(order(6)), "another second");
    }

    #[test]
    fn what_is_a_little_late_does_not_wait_for_what_is_later_nor_for_long() {
        let mut late = Late::default();
        assert_eq!(late.add(order(1), AT_ONCE, 5000), None);
        let at_once = (2..).take_while(|n| late.add(order(*n), 0, 5000) == Some(order(*n))).count();
        assert_eq!(at_once, WITH_A_LITTLE / START, "while there is not too much of it");
        assert_eq!(late.add(order(999), 0, 5010), None);
        assert_eq!(late.take_due(5019), None);
        assert_eq!(late.take_due(5020), Some(order(at_once as u64 + 2)));
        assert_eq!(late.take_due(5149), None);
        assert_eq!(late.take_due(5150), Some(order(1)), "the first has waited till now");
    }
}
