//! Times and durations for people: UTC, no date where all is on one day.

use jiff::{Timestamp, tz::TimeZone};

/// Milliseconds since the Unix epoch, where the time is one a calendar knows.
pub(crate) fn of(at: Option<&kwhy_proto::Timestamp>) -> Option<u64> {
    let at = at?;
    let earliest = at.seconds > 0 && jiff(kwhy_proto::millis(at)).is_some();
    earliest.then(|| kwhy_proto::millis(at))
}

fn jiff(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

fn format(ms: u64, how: &str) -> String {
    jiff(ms).map(|at| at.to_zoned(TimeZone::UTC).strftime(how).to_string()).unwrap_or_default()
}

/// `2020-04-24`
pub(crate) fn date(ms: u64) -> String {
    format(ms, "%Y-%m-%d")
}

/// `13:05`
pub(crate) fn minute(ms: u64) -> String {
    format(ms, "%H:%M")
}

/// How times are written within one text: with the day where they are of more than one.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    dated: bool,
}

impl Clock {
    /// The clock for a text in which these times are named.
    pub(crate) fn over(times: impl Iterator<Item = u64>) -> Self {
        let mut days = times.map(|ms| ms / 86_400_000);
        let first = days.next();
        Self { dated: days.any(|day| Some(day) != first) }
    }

    /// Whether it shows the day.
    pub(crate) fn dated(self) -> bool {
        self.dated
    }

    /// `13:09:21`, or `Apr 24 13:09:21`
    pub(crate) fn second(self, ms: u64) -> String {
        format(ms, if self.dated { "%b %d %H:%M:%S" } else { "%H:%M:%S" })
    }

    /// `13:09`, or `Apr 24 13:09`
    pub(crate) fn minute(self, ms: u64) -> String {
        format(ms, if self.dated { "%b %d %H:%M" } else { "%H:%M" })
    }
}

/// `41 s`, `26 min`, `3 h 12 min`, `2 d 4 h`.
pub(crate) fn lasting(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    let two = |big: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {part}"),
    };
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min"),
        (1..48, _) => two(hours, "h", minutes % 60, "min"),
        _ => two(hours / 24, "d", hours % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_587_729_600_000; // 2020-04-24T12:00:00Z

    #[test]
    fn the_day_stands_only_where_there_is_more_than_one() {
        assert_eq!(Clock::over([NOON, NOON + 60_000].into_iter()).second(NOON), "12:00:00");
        assert_eq!(Clock::over([NOON, NOON + 43_200_000].into_iter()).minute(NOON), "Apr 24 12:00");
    }

    #[test]
    fn durations_have_the_two_units_that_matter() {
        let min = 60_000;
        let said: Vec<_> =
            [41_999, 26 * min, 60 * min, 192 * min, 3000 * min, 2880 * min].map(lasting).into();
        assert_eq!(said, ["41 s", "26 min", "1 h", "3 h 12 min", "2 d 2 h", "2 d"]);
    }

    #[test]
    fn a_time_no_calendar_knows_is_no_time() {
        for seconds in [i64::MIN, 0, i64::MAX] {
            assert_eq!(of(Some(&kwhy_proto::Timestamp { seconds, nanos: 0 })), None);
        }
        assert_eq!(of(Some(&kwhy_proto::timestamp(NOON))), Some(NOON));
    }
}
