//! Events come last: what they speak of is listed first, so that whoever reads them knows their objects.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// Longest that Events wait for the first lists of all other kinds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts the kinds whose first list is still to come.
pub(crate) struct Started(watch::Sender<usize>);

impl Started {
    pub(crate) fn new(kinds: usize) -> Started {
        Started(watch::Sender::new(kinds))
    }

    /// The first list of a kind is through, or it did not come about.
    pub(crate) fn done(&self) {
        self.0.send_modify(|left| *left = left.saturating_sub(1));
    }

    pub(crate) async fn all(&self) {
        let mut left = self.0.subscribe();
        // The sender is ours: it cannot be gone.
        let _ = timeout(PATIENCE, left.wait_for(|left| *left == 0)).await;
    }
}
