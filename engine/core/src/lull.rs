//! Long silence: nothing at all is heard, for longer than history is kept.
//!
//! A rule may ask to be called again every few minutes, to see what has changed. Where a recording ends years after its
//! last signal, or a stream is read on that had been left alone, these calls would go through the years minute by minute,
//! and nothing can have changed. So in a lull what a call by a timer asks for is put off in proportion to how long the
//! lull has lasted: a rule still sees that time passes, in a number of calls that grows with the logarithm of it. What was
//! asked for while something was heard comes at its time, and the next signal ends the lull for all.

use crate::{
    correlator::{Env, State},
    settings::Settings,
    timer::Due,
};

/// Of a lull this part may pass before a rule is called again.
const PART: u64 = 24;

impl State {
    /// How much later than otherwise something may come that was asked for at log time `at`, ms; 0 outside of a lull.
    pub(crate) fn lull(&self, at: u64, settings: &Settings) -> u64 {
        let silent = at.saturating_sub(self.heard);
        if silent > settings.window { silent / PART } else { 0 }
    }

    /// Calls a rule at `at`, or later in a lull.
    pub(crate) fn wake(&mut self, at: u64, due: Due, settings: &Settings) {
        let later = self.now + self.lull(self.now, settings);
        if at < later {
            self.timers.put_off(at, later, due);
        } else {
            self.timers.add(at, due);
        }
    }

    /// Takes note that a signal has come. After a lull rules are called first that were put off, so that they stand by
    /// what still holds; what they do not stand by is as old as it is.
    pub(crate) fn hear(&mut self, env: &mut Env<'_>) {
        let lull = self.lull(self.now, env.settings) > 0;
        if lull {
            self.timers.hurry(self.now);
            self.advance(self.now, env);
        }
        self.heard = self.now;
        if lull {
            self.timers.hurry(self.now);
            let open: Vec<_> = self.incidents.open().map(|(key, i)| (key.clone(), i.asserted)).collect();
            for (key, asserted) in open {
                self.timers.add((asserted + env.settings.assertion).max(self.now), Due::Assertion(key));
            }
        }
    }
}
