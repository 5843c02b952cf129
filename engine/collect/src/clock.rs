//! The wall clock, as a value that sources are given: signals that have no time of their own get it from here.

use std::time::SystemTime;

/// Tells the time in milliseconds since the Unix epoch.
pub trait Clock: Fn() -> u64 + Send + Sync {}

impl<F: Fn() -> u64 + Send + Sync> Clock for F {}

/// The machine's time, in milliseconds since the Unix epoch.
#[must_use]
pub fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_wall_clock_counts_milliseconds() {
        let year_2020 = 1_577_836_800_000;
        let year_2200 = 7_258_118_400_000;
        assert!((year_2020..year_2200).contains(&super::wall()));
    }
}
