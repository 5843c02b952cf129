//! Where the watch of one kind stands, and how a list or a watch of it ended.

use std::time::Duration;

use tokio::time::Instant;

use super::{known::Known, retry::Retry, trouble::Failure};

/// Nobody takes signals any more.
pub(crate) struct Closed;

/// Why a list was left.
pub(crate) enum Stop {
    Closed,
    Failed(Failure),
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Stop {
        Stop::Closed
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// Where the watch of a kind stands.
pub(crate) struct Stand {
    pub(crate) known: Known,
    /// Changes after this are to be watched; none where it must be listed first.
    pub(crate) version: Option<String>,
    /// When the API server was last known to tell all changes.
    pub(crate) contact: Option<u64>,
    /// Why changes since then may be missing.
    pub(crate) lost: Option<&'static str>,
    pub(crate) retry: Retry,
    /// Watches in a row that ended at once without a word.
    pub(crate) empty: u32,
    /// Watches in a row that were refused.
    pub(crate) failed: u32,
    /// When to list again for its own sake.
    pub(crate) again: Instant,
}

impl Stand {
    /// Changes may be missing: list anew.
    pub(crate) fn lose(&mut self, why: &'static str) {
        self.version = None;
        self.lost = Some(why);
        (self.empty, self.failed) = (0, 0);
    }
}

/// How a watch went.
pub(crate) struct Went {
    /// What came, bookmarks too.
    pub(crate) lines: u64,
    pub(crate) lasted: Duration,
    pub(crate) how: Result<(), Failure>,
}
