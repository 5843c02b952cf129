//! The one order of signals, which every reader keeps: by time, then source, then id.

use crate::{Timestamp, v1::Signal};

/// Milliseconds since the Unix epoch; finer parts are cut off, so that equal inputs of other precision compare equal.
#[must_use]
pub fn millis(at: &Timestamp) -> u64 {
    let whole = u64::try_from(at.seconds).unwrap_or(0).saturating_mul(1000);
    whole.saturating_add(u64::try_from(at.nanos).unwrap_or(0) / 1_000_000)
}

/// The timestamp of `millis` milliseconds since the Unix epoch.
#[must_use]
pub fn timestamp(millis: u64) -> Timestamp {
    let nanos = i32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Timestamp { seconds: i64::try_from(millis / 1000).unwrap_or(i64::MAX), nanos }
}

/// What signals are sorted by. Kubernetes times have one-second resolution, so within one time the sources have a
/// fixed order (objects, events, alerts, kubelet, logs, then the rest) and within a source the id decides.
#[must_use]
pub fn order(signal: &Signal) -> (u64, u8, &str) {
    let rank = match signal.source.as_str() {
        "object" => 0,
        "event" => 1,
        "alert" => 2,
        "kubelet" => 3,
        "log" => 4,
        "gap" => 5,
        _ => 6,
    };
    (signal.at.as_ref().map_or(0, millis), rank, &signal.id)
}
