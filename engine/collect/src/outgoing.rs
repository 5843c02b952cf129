//! Signals on their way to NATS: published until they are stored, and how that goes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kwhy_bus::Published;
use kwhy_proto::{millis, v1::SignalBatch};
use tokio::time::{Instant, sleep};

use crate::{Sink, clock::Clock};

/// How long to wait before what failed is published again. The sink has tried for long by then.
const PAUSE: Duration = Duration::from_secs(1);

/// How publishing goes, of one source. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Outgoing(Arc<Mutex<Stand>>);

#[derive(Debug, Default)]
struct Stand {
    signals: u64,
    too_large: u64,
    lag: Option<u64>,
    /// Since when NATS owes an acknowledgement. Where several publish at a time, any that comes ends it.
    waiting: Option<Instant>,
}

/// How publishing has gone so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Signals that NATS has acknowledged, those that it had already among them.
    pub signals: u64,
    /// Messages that NATS does not take.
    pub too_large: u64,
    /// How old the newest signal was when it was acknowledged last, ms.
    pub lag: Option<u64>,
    /// How long NATS has owed an acknowledgement; none where it owes none.
    pub waiting: Option<Duration>,
}

impl Outgoing {
    /// As of now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let Stand { signals, too_large, lag, waiting } = *self.lock();
        Figures { signals, too_large, lag, waiting: waiting.map(|since| since.elapsed()) }
    }

    /// Publishes once.
    pub(crate) async fn publish<S: Sink>(
        &self,
        sink: &S,
        batches: Vec<SignalBatch>,
        clock: &impl Clock,
    ) -> Result<Published, S::Error> {
        let count = batches.iter().map(|batch| batch.signals.len() as u64).sum::<u64>();
        let times = batches.iter().flat_map(|batch| &batch.signals).filter_map(|signal| signal.at.as_ref());
        let newest = times.map(millis).max();
        self.lock().waiting.get_or_insert_with(Instant::now);
        let published = sink.publish(batches).await?;
        let mut stand = self.lock();
        stand.waiting = None;
        stand.signals += count;
        stand.too_large += published.too_large.len() as u64;
        if let Some(newest) = newest {
            stand.lag = Some(clock().saturating_sub(newest));
        }
        Ok(published)
    }

    /// Publishes until it is stored; `again` is told of each attempt that failed.
    ///
    /// # Errors
    /// What the sink says, where time cannot mend it.
    pub(crate) async fn store<S: Sink>(
        &self,
        sink: &S,
        batches: &[SignalBatch],
        clock: &impl Clock,
        again: impl Fn(&S::Error),
    ) -> Result<Published, S::Error> {
        loop {
            match self.publish(sink, batches.to_vec(), clock).await {
                Err(error) if S::may_pass(&error) => {
                    again(&error);
                    sleep(PAUSE).await;
                }
                ended => return ended,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use kwhy_proto::{timestamp, v1::Signal};

    use super::*;
    use crate::sink::tests::Recorder;

    const T0: u64 = 1_700_000_000_000;

    fn batch(ids: &[&str]) -> SignalBatch {
        let signal = |id: &&str| Signal { id: (*id).into(), at: Some(timestamp(T0)), ..Signal::default() };
        SignalBatch { signals: ids.iter().map(signal).collect() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_stored_is_counted_once_and_how_long_it_waited_shows() {
        let (sink, outgoing) = (Recorder::failing([true, true]), Outgoing::default());
        let batches = [batch(&["a", "b"]), batch(&["c"])];
        let clock = || T0 + 1_500;
        let stored = outgoing.store(&sink, &batches, &clock, |_| ());
        let watched = async {
            sleep(Duration::from_millis(1_200)).await;
            outgoing.figures()
        };
        let (stored, during) = tokio::join!(stored, watched);
        assert_eq!(stored.unwrap().stored, 2);
        assert_eq!(
            (during.signals, during.waiting),
            (0, Some(Duration::from_millis(1_200))),
            "since the first attempt"
        );
        let after = Figures { signals: 3, lag: Some(1_500), ..Figures::default() };
        assert_eq!(outgoing.figures(), after);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_counted() {
        let (sink, outgoing) = (Recorder { giant: "b", ..Recorder::new() }, Outgoing::default());
        let _published =
            outgoing.store(&sink, &[batch(&["a"]), batch(&["b"])], &|| T0, |_| ()).await.unwrap();
        assert_eq!(outgoing.figures().too_large, 1);
    }
}
