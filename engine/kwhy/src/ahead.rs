//! The objects of signals are read by one thread while another correlates what it has read: the order stays as it is.

use std::{sync::mpsc, thread};

use anyhow::Result;
use kwhy_core::{Input, Inputs};
use kwhy_proto::v1::Signal;

/// Signals that are handed over at once.
const BATCH: usize = 64;
/// Batches that wait at most, so that what is read does not pile up.
const WAITING: usize = 8;

/// Reads all signals and passes on each with its number, in their order, until one fails.
pub(crate) fn read(
    signals: impl Iterator<Item = Signal> + Send,
    mut each: impl FnMut(usize, Input) -> Result<()>,
) -> Result<()> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut inputs = Inputs::default();
            let mut read = signals.map(|signal| inputs.read(signal)).peekable();
            while read.peek().is_some() {
                let batch: Vec<Input> = read.by_ref().take(BATCH).collect();
                if sender.send(batch).is_err() {
                    // The other side has failed and says why.
                    return;
                }
            }
        });
        receiver.into_iter().flatten().enumerate().try_for_each(|(n, input)| each(n, input))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(count: usize) -> impl Iterator<Item = Signal> + Send {
        (0..count).map(|n| Signal { id: n.to_string(), ..Signal::default() })
    }

    #[test]
    fn all_are_passed_on_in_their_order() {
        let mut passed = Vec::new();
        read(signals(3 * BATCH * WAITING + 1), |n, _| {
            passed.push(n);
            Ok(())
        })
        .unwrap();
        assert!(passed.into_iter().eq(0..3 * BATCH * WAITING + 1));
    }

    #[test]
    fn a_failure_ends_the_reading_and_is_told() {
        let mut passed = 0;
        let ended = read(signals(3 * BATCH * WAITING), |n, _| {
            passed += 1;
            if n == BATCH { Err(anyhow::anyhow!("full")) } else { Ok(()) }
        });
        assert_eq!((ended.unwrap_err().to_string().as_str(), passed), ("full", BATCH + 1));
    }
}
