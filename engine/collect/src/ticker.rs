//! The passing of time as signals.
//!
//! Findings resolve and alerts expire by the time of the log, so when nothing happens, something must still say what
//! time it is. A tick's id is its second, rounded down to the interval: any number of tickers make one tick.

use std::{convert::Infallible, time::Duration};

use kwhy_proto::{
    timestamp,
    v1::{Signal, SignalBatch},
};
use tokio::time::sleep;

use crate::{Sink, clock::Clock};

/// How often time is told.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// The tick `tick/<second>` at `at` milliseconds since the Unix epoch, rounded down to `interval`.
#[must_use]
pub fn tick(cluster: &str, at: u64, interval: Duration) -> Signal {
    let interval = seconds(interval);
    let second = at / 1000 / interval * interval;
    Signal {
        id: format!("tick/{second}"),
        cluster: cluster.to_owned(),
        source: "tick".to_owned(),
        at: Some(timestamp(second * 1000)),
        ..Signal::default()
    }
}

/// Publishes a tick whenever the clock passes a multiple of `interval` (in whole seconds), until it is dropped. A tick
/// that NATS does not take for now is let go: the next one says more.
///
/// # Errors
/// What the sink says, where time cannot mend it.
pub async fn run<S: Sink>(
    sink: &S,
    cluster: &str,
    interval: Duration,
    clock: impl Clock,
) -> Result<Infallible, S::Error> {
    let step = seconds(interval) * 1000;
    loop {
        sleep(Duration::from_millis(step - clock() % step)).await;
        let tick = tick(cluster, clock(), interval);
        match sink.publish(vec![SignalBatch { signals: vec![tick] }]).await {
            Ok(_) => {}
            Err(error) if S::may_pass(&error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "A tick was not stored. The next one follows."
                );
            }
            Err(error) => return Err(error),
        }
    }
}

fn seconds(interval: Duration) -> u64 {
    interval.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::sink::tests::{Failure, Recorder};

    const T0: u64 = 1_700_000_003_250;

    /// Runs a ticker for a while on a clock that starts at `T0` and goes as tokio's does.
    async fn run_for(sink: &Recorder, seconds: u64) -> Option<Failure> {
        let start = Instant::now();
        let clock = move || T0 + u64::try_from(start.elapsed().as_millis()).unwrap();
        let ticker = run(sink, "c", INTERVAL, clock);
        timeout(Duration::from_secs(seconds), ticker).await.ok().map(|ended| ended.unwrap_err())
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_comes_at_every_full_ten_seconds() {
        let sink = Recorder::new();
        assert_eq!(run_for(&sink, 35).await, None);
        let expected = [(6_750, "tick/1700000010"), (16_750, "tick/1700000020"), (26_750, "tick/1700000030")];
        assert_eq!(sink.times(), expected.map(|(at, id)| (at, id.to_owned())));
        let tick = &sink.signals()[0];
        assert_eq!(
            (tick.source.as_str(), tick.cluster.as_str(), tick.at),
            ("tick", "c", Some(timestamp(1_700_000_010_000)))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn two_tickers_make_the_same_ticks() {
        let (one, other) =
            (Recorder::new(), Recorder { delay: Duration::from_millis(1_500), ..Recorder::new() });
        tokio::join!(run_for(&one, 65), run_for(&other, 65));
        assert_eq!(one.ids().len(), 6);
        assert_eq!(one.signals(), other.signals());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_that_is_not_taken_for_now_ends_nothing() {
        let sink = Recorder::failing([true, true]);
        assert_eq!(run_for(&sink, 35).await, None);
        assert_eq!(sink.ids(), ["tick/1700000030"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_failure_ends_it() {
        let sink = Recorder::failing([false]);
        assert_eq!(run_for(&sink, 35).await, Some(Failure { passes: false }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_leaves_ticks_on_their_marks() {
        let sink = Recorder::new();
        // Each look at the clock is 7.3 s later than the last, however long was slept.
        let now = AtomicU64::new(T0);
        let clock = || now.fetch_add(7_300, Ordering::Relaxed);
        let _ = timeout(Duration::from_secs(60), run(&sink, "c", INTERVAL, clock)).await;
        let ids = sink.ids();
        assert!(ids.len() > 3 && ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| id.ends_with('0')), "{ids:?}");
    }

    #[test]
    fn an_interval_below_a_second_is_a_second() {
        assert_eq!(tick("c", 5_999, Duration::ZERO).id, "tick/5");
    }
}
