//! Grouping of log lines into messages: a line alone costs ten to thirty times more than one in a batch.

use std::iter;

use kwhy_proto::{
    Message,
    v1::{Signal, SignalBatch},
};

/// Most signals in one batch.
const LINES: usize = 100;
/// Most bytes of signals in one batch, unless a single one is larger.
const BYTES: usize = 64 * 1024;

/// Groups consecutive lines of the same log into batches of at most 100 lines or 64 KiB; every other signal stands
/// alone. The order of the signals is kept: where one of another source stands between two lines, the batch ends.
pub fn batches(signals: impl IntoIterator<Item = Signal>) -> impl Iterator<Item = SignalBatch> {
    let mut signals = signals.into_iter().peekable();
    iter::from_fn(move || {
        let first = signals.next()?;
        let mut bytes = first.encoded_len();
        let mut batch = vec![first];
        while let (Some(last), Some(next)) = (batch.last(), signals.peek()) {
            bytes += next.encoded_len();
            if batch.len() == LINES || bytes > BYTES || !same_log(last, next) {
                break;
            }
            batch.extend(signals.next());
        }
        Some(SignalBatch { signals: batch })
    })
}

/// Lines of one log have ids that differ in the last part, the position, alone.
fn same_log(a: &Signal, b: &Signal) -> bool {
    let log = |signal: &Signal| signal.id.rfind('/').and_then(|end| signal.id.get(..end).map(str::to_owned));
    matches!(a.source.as_str(), "log" | "kubelet")
        && a.source == b.source
        && a.cluster == b.cluster
        && log(a).is_some()
        && log(a) == log(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(node: &str, position: usize) -> Signal {
        Signal {
            id: format!("kubelet/{node}/{position:08}"),
            source: "kubelet".into(),
            message: "something".into(),
            ..Signal::default()
        }
    }

    fn event(n: usize) -> Signal {
        Signal { id: format!("event/u/{n}"), source: "event".into(), ..Signal::default() }
    }

    fn sizes(signals: Vec<Signal>) -> Vec<usize> {
        batches(signals).map(|batch| batch.signals.len()).collect()
    }

    #[test]
    fn lines_of_one_log_travel_together_up_to_a_hundred() {
        assert_eq!(sizes((0..250).map(|n| line("kal", n)).collect()), [100, 100, 50]);
    }

    #[test]
    fn a_signal_of_another_source_or_log_ends_the_batch() {
        let mixed =
            vec![line("kal", 1), line("kal", 2), event(1), line("kal", 3), line("ford", 1), line("ford", 2)];
        assert_eq!(sizes(mixed), [2, 1, 1, 2]);
    }

    #[test]
    fn events_stand_alone() {
        assert_eq!(sizes((0..3).map(event).collect()), [1, 1, 1]);
    }

    #[test]
    fn a_batch_ends_before_64_kib_and_a_larger_line_stands_alone() {
        let long = |n, bytes| Signal { message: "x".repeat(bytes), ..line("kal", n) };
        assert_eq!(sizes((0..4).map(|n| long(n, 30_000)).collect()), [2, 2]);
        assert_eq!(sizes(vec![long(0, 10), long(1, 90_000), long(2, 10)]), [1, 1, 1]);
    }

    #[test]
    fn clusters_are_not_mixed() {
        let other = Signal { cluster: "other".into(), ..line("kal", 2) };
        assert_eq!(sizes(vec![line("kal", 1), other]), [1, 1]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_changes_place(kinds in prop::collection::vec(0_u8..3, 0..400)) {
            let signals: Vec<Signal> = kinds
                .iter()
                .enumerate()
                .map(|(n, kind)| match kind { 0 => line("kal", n), 1 => line("ford", n), _ => event(n) })
                .collect();
            let out: Vec<Signal> = batches(signals.clone()).flat_map(|batch| batch.signals).collect();
            prop_assert_eq!(out, signals);
        }
    }
}
