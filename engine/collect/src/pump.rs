//! From the channel that live sources write to onto the sink, losing nothing while NATS is away.
//!
//! While it cannot publish it does not read either, so the channel fills and the sources wait; a watch that was cut off
//! meanwhile lists anew, and what was known already is known by its id.

use kwhy_bus::batches;
use kwhy_proto::v1::{Signal, SignalBatch};
use tokio::sync::mpsc;

use crate::{Outgoing, Sink, clock::Clock};

/// Most signals that are taken from the channel at a time.
const AT_ONCE: usize = 1000;

/// Publishes what comes through the channel until all its senders are gone.
///
/// # Errors
/// What the sink says, where time cannot mend it.
pub async fn pump<S: Sink>(
    sink: &S,
    mut signals: mpsc::Receiver<Signal>,
    outgoing: &Outgoing,
    clock: impl Clock,
) -> Result<(), S::Error> {
    let mut taken = Vec::with_capacity(AT_ONCE);
    let again = |error: &S::Error| {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "Signals are not stored yet. Publishing them again."
        );
    };
    while signals.recv_many(&mut taken, AT_ONCE).await > 0 {
        let together: Vec<SignalBatch> = batches(taken.drain(..)).collect();
        for large in outgoing.store(sink, &together, &clock, again).await?.too_large {
            let kwhy_bus::TooLarge { id, size, limit } = large;
            tracing::error!(
                id,
                size,
                limit,
                "A signal is larger than NATS takes and is missing. Raise max_payload of nats-server."
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::{Failure, Recorder};

    async fn through(sink: &Recorder, count: usize) -> Result<(), Failure> {
        let (sender, receiver) = mpsc::channel(count);
        for n in 0..count {
            sender.send(Signal { id: n.to_string(), ..Signal::default() }).await.unwrap();
        }
        drop(sender);
        pump(sink, receiver, &Outgoing::default(), || 0).await
    }

    fn numbers(count: usize) -> Vec<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn everything_goes_through_in_order_and_it_ends_with_the_senders() {
        let sink = Recorder::new();
        assert_eq!(through(&sink, 2500).await, Ok(()));
        assert_eq!(sink.ids(), numbers(2500));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_lost_while_the_sink_takes_nothing() {
        let sink = Recorder::failing([true; 5]);
        assert_eq!(through(&sink, 10).await, Ok(()));
        assert_eq!(sink.ids(), numbers(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_failure_ends_it() {
        assert_eq!(through(&Recorder::failing([true, false]), 10).await, Err(Failure { passes: false }));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_holds_up_nothing() {
        let sink = Recorder { giant: "1", ..Recorder::new() };
        assert_eq!(through(&sink, 3).await, Ok(()));
        assert_eq!(sink.ids(), ["0", "2"]);
    }
}
