//! Progress on a terminal, shown only when something takes longer than a second.

use std::{
    cell::Cell,
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget};

/// Before this nobody wonders.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line on standard error that says how far it is.
pub(crate) struct Progress {
    bar: ProgressBar,
    since: Instant,
    shown: Cell<bool>,
}

impl Progress {
    pub(crate) fn start(what: &str) -> Self {
        let bar = ProgressBar::hidden();
        bar.set_message(what.to_owned());
        Self { bar, since: Instant::now(), shown: Cell::new(false) }
    }

    pub(crate) fn at(&self, what: &str, done: usize, total: usize) {
        // The clock is asked now and then only.
        if !done.is_multiple_of(256) && done < total {
            return;
        }
        if !self.shown.get() && self.since.elapsed() > PATIENCE && io::stderr().is_terminal() {
            self.shown.set(true);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.set_message(what.to_owned());
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
