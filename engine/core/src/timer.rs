//! What shall happen at a later log time. Timers fire in the order of their times, before the signal that moves the
//! time past them, so it makes no difference how often somebody ticks.

use std::mem;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::{incident::IncidentKey, key::Key};

/// Something due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Due {
    /// An alert's sender has not delivered it again in time.
    Expiry(String),
    /// An alert has waited long enough for an explanation.
    Grace(String),
    /// A diagnosis may be too old to stand without symptoms.
    Assertion(IncidentKey),
    /// Symptoms may have been gone for the hold-down.
    HoldDown(IncidentKey),
    /// A rule asked to be called.
    Wake { rule: usize, id: String, subject: Option<(Key, String)> },
    /// A pod may have been unready for too long.
    Unready(Key),
    /// History has grown old.
    Sweep,
}

/// Timers by time; a clone is cheap.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Timers {
    set: OrdSet<(u64, Due)>,
    /// Those of the set that come later than they were asked for, with the time that was asked for.
    put_off: OrdMap<(u64, Due), u64>,
}

impl Timers {
    pub(crate) fn add(&mut self, at: u64, due: Due) {
        self.set.insert((at, due));
    }

    /// As [`Timers::add`], for what was asked for at `asked` and has time until `at`.
    pub(crate) fn put_off(&mut self, asked: u64, at: u64, due: Due) {
        self.put_off.insert((at, due.clone()), asked);
        self.add(at, due);
    }

    /// Takes back that something was put off: it is due when it was asked for, at the earliest `now`.
    pub(crate) fn hurry(&mut self, now: u64) {
        for (slot, asked) in mem::take(&mut self.put_off) {
            self.set.remove(&slot);
            self.add(asked.max(now), slot.1);
        }
    }

    /// The last of the times `at`, `at + step`, `at + 2 * step` … that is neither after `to` nor after the next timer.
    pub(crate) fn last_slot(&self, at: u64, step: u64, to: u64) -> u64 {
        let end = self.set.get_min().map_or(to, |(next, _)| to.min(*next)).max(at);
        at + (end - at) / step * step
    }

    /// Takes the earliest timer due at or before `now`.
    pub(crate) fn take(&mut self, now: u64) -> Option<(u64, Due)> {
        let first = self.set.get_min().filter(|(at, _)| *at <= now)?.clone();
        self.set.remove(&first);
        self.put_off.remove(&first);
        Some(first)
    }
}
