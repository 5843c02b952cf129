//! Where signals go: `KWHY_IN` in earnest, a list in tests.

use kwhy_bus::{Bus, BusError, Published};
use kwhy_proto::v1::SignalBatch;

/// Takes batches of signals and stores them.
pub trait Sink: Sync {
    /// Why it could not.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Stores batches in their order; done when every one is acknowledged.
    ///
    /// # Errors
    /// Some batches may be stored all the same. Those signals are known by their ids when they are published again.
    fn publish(
        &self,
        batches: Vec<SignalBatch>,
    ) -> impl Future<Output = Result<Published, Self::Error>> + Send;

    /// Whether time may mend it, so that publishing the same again is worth while.
    fn may_pass(error: &Self::Error) -> bool;
}

/// Says whether what it stores to is there.
pub trait Answers {
    /// Asks; may take as long as a lost connection does.
    fn answers(&self) -> impl Future<Output = bool> + Send;
}

impl Answers for Bus {
    async fn answers(&self) -> bool {
        self.takes_signals().await
    }
}

impl Sink for Bus {
    type Error = BusError;

    async fn publish(&self, batches: Vec<SignalBatch>) -> Result<Published, BusError> {
        self.publish_signals(batches).await
    }

    fn may_pass(error: &BusError) -> bool {
        matches!(error, BusError::NotAcknowledged { .. } | BusError::Full { .. })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! A sink that remembers what it was given and when, and fails on demand.

    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use kwhy_bus::TooLarge;
    use kwhy_proto::v1::Signal;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[derive(Debug, thiserror::Error, PartialEq, Eq)]
    #[error("it fails")]
    pub(crate) struct Failure {
        pub(crate) passes: bool,
    }

    pub(crate) struct Recorder {
        pub(crate) start: Instant,
        /// How long an acknowledgement takes.
        pub(crate) delay: Duration,
        /// What is said to the next publishes, before all is well.
        pub(crate) failures: Mutex<VecDeque<Failure>>,
        /// A signal with this id is refused as too large.
        pub(crate) giant: &'static str,
        pub(crate) stored: Mutex<Vec<(Duration, Signal)>>,
    }

    impl Recorder {
        pub(crate) fn new() -> Recorder {
            Recorder {
                start: Instant::now(),
                delay: Duration::ZERO,
                failures: Mutex::default(),
                giant: "none",
                stored: Mutex::default(),
            }
        }

        pub(crate) fn failing(failures: impl IntoIterator<Item = bool>) -> Recorder {
            let failures = failures.into_iter().map(|passes| Failure { passes }).collect();
            Recorder { failures: Mutex::new(failures), ..Recorder::new() }
        }

        pub(crate) fn signals(&self) -> Vec<Signal> {
            self.stored.lock().unwrap().iter().map(|(_, signal)| signal.clone()).collect()
        }

        pub(crate) fn ids(&self) -> Vec<String> {
            self.signals().into_iter().map(|signal| signal.id).collect()
        }

        /// Milliseconds after the start at which each signal was handed over, with its id.
        pub(crate) fn times(&self) -> Vec<(u128, String)> {
            let stored = self.stored.lock().unwrap();
            stored.iter().map(|(at, signal)| (at.as_millis(), signal.id.clone())).collect()
        }
    }

    impl Answers for Arc<Recorder> {
        async fn answers(&self) -> bool {
            self.failures.lock().unwrap().is_empty()
        }
    }

    impl Sink for Arc<Recorder> {
        type Error = Failure;

        async fn publish(&self, batches: Vec<SignalBatch>) -> Result<Published, Failure> {
            self.as_ref().publish(batches).await
        }

        fn may_pass(failure: &Failure) -> bool {
            Recorder::may_pass(failure)
        }
    }

    impl Sink for Recorder {
        type Error = Failure;

        async fn publish(&self, batches: Vec<SignalBatch>) -> Result<Published, Failure> {
            let at = self.start.elapsed();
            sleep(self.delay).await;
            if let Some(failure) = self.failures.lock().unwrap().pop_front() {
                return Err(failure);
            }
            let mut published = Published::default();
            for batch in batches {
                if batch.signals.iter().any(|signal| signal.id == self.giant) {
                    let id = self.giant.to_owned();
                    published.too_large.push(TooLarge { id, size: 2_000_000, limit: 1_048_576 });
                } else {
                    published.stored += 1;
                    self.stored.lock().unwrap().extend(batch.signals.into_iter().map(|signal| (at, signal)));
                }
            }
            Ok(published)
        }

        fn may_pass(failure: &Failure) -> bool {
            failure.passes
        }
    }
}
