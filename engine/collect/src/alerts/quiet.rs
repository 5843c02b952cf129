//! Whoever sends bad requests must not be able to fill our log: of one kind, one in ten seconds is told, and how many
//! were not.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(10);

/// When something of a kind was told last, and how often it was not since.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<(Option<Instant>, u64)>);

impl Quiet {
    /// `Some` where it may be told now, with how often it was not before.
    pub(super) fn may_tell(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| last.elapsed() < PAUSE) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(Instant::now());
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_once_in_ten_seconds_with_what_was_left_out() {
        let quiet = Quiet::default();
        assert_eq!([(); 3].map(|()| quiet.may_tell()), [Some(0), None, None]);
        advance(PAUSE).await;
        assert_eq!([(); 2].map(|()| quiet.may_tell()), [Some(2), None]);
    }
}
