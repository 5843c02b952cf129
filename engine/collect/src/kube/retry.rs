//! How long to wait before the next attempt.

use std::time::Duration;

use kube::runtime::{utils::Backoff as _, watcher::DefaultBackoff};
use tokio::time::sleep;

/// An attempt is never less than this after the one before, so that a failing kind stays below a request a second.
const LEAST: Duration = Duration::from_secs(1);

/// 1 s to 30 s with jitter, as client-go waits; from the start again after two quiet minutes, or when something came.
#[derive(Default)]
pub(crate) struct Retry(DefaultBackoff);

impl Retry {
    pub(crate) fn reset(&mut self) {
        self.0.reset();
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.0.next().unwrap_or(LEAST).max(LEAST)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_from_a_second_to_half_a_minute_and_start_again() {
        let mut retry = Retry::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let before = Instant::now();
            retry.wait().await;
            waits.push(before.elapsed());
        }
        assert!(waits.iter().all(|wait| *wait >= LEAST), "{waits:?}");
        assert!(waits[7] >= Duration::from_secs(30) && waits[7] <= Duration::from_secs(60), "{waits:?}");
        assert!(waits[..4].iter().sum::<Duration>() < Duration::from_secs(30), "{waits:?}");
        retry.reset();
        let before = Instant::now();
        retry.wait().await;
        assert!(before.elapsed() < Duration::from_secs(2));
    }
}
