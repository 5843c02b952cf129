//! Times as upstream writes them: RFC 3339 with a few ways of saying "none".
//!
//! Go's zero time (year 1), `null` and the empty string all mean that nothing was set; a time before 1970 is taken so.

use jiff::civil;
use kwhy_proto::Timestamp;

/// A text that should be a time and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an RFC 3339 time")]
pub struct BadTime {
    /// The text, cut to a few characters.
    pub text: String,
}

/// An RFC 3339 time, also with an offset written `+0000`. `None` where it is none or before 1970.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    optional(Some(text)).ok().flatten()
}

/// A time that may be unset.
///
/// # Errors
/// [`BadTime`] where there is a text and it is not a time.
pub fn optional(text: Option<&str>) -> Result<Option<Timestamp>, BadTime> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let time: jiff::Timestamp =
        text.parse().map_err(|_| BadTime { text: crate::text::line(text).chars().take(40).collect() })?;
    Ok(since_1970(time))
}

/// The time in RFC 3339 with as many decimals as it has.
#[must_use]
pub fn rfc3339(time: &Timestamp) -> String {
    jiff::Timestamp::new(time.seconds, time.nanos).map(|time| time.to_string()).unwrap_or_default()
}

fn since_1970(time: jiff::Timestamp) -> Option<Timestamp> {
    (time >= jiff::Timestamp::UNIX_EPOCH)
        .then(|| Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() })
}

/// A time as syslog writes it, `Apr 24 13:06:41`: no year and no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Yearless {
    /// 1 to 12.
    pub month: i8,
    /// 1 to 31.
    pub day: i8,
    /// Hour, minute and second.
    pub clock: [i8; 3],
    /// 0 to 999,999,999.
    pub nanos: i32,
}

/// How far a line may be after the time it is read against: a log is collected some time after the span of interest.
const SLACK_SECONDS: i64 = 36 * 3600;

impl Yearless {
    /// The time in UTC, in the latest year that does not put it after `reference` (seconds since 1970), give or take
    /// a day and a half. So a log from December read against the first of January falls into the year before.
    #[must_use]
    pub fn resolve(self, reference: i64) -> Option<Timestamp> {
        let [hour, minute, second] = self.clock;
        let latest = reference.saturating_add(SLACK_SECONDS);
        let year = jiff::Timestamp::from_second(latest).ok()?.to_zoned(jiff::tz::TimeZone::UTC).year();
        // Eight years back is enough to find a 29 February over a year that has none (1900, 2100).
        (0..=8).find_map(|back| {
            let date = civil::Date::new(year.checked_sub(back)?, self.month, self.day).ok()?;
            // A leap second is counted as the second before it.
            let time = civil::Time::new(hour, minute, second.min(59), self.nanos).ok()?;
            let at = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            if at.as_second() <= latest { since_1970(at) } else { None }
        })
    }
}

/// Resolves the lines of a log one after another. They keep to a few days, so the calendar is asked once for each.
#[derive(Debug, Default)]
pub struct Days {
    /// Reference, month and day that were asked for last, with the second since 1970 at which that day began.
    last: Option<(i64, i8, i8, i64)>,
}

impl Days {
    /// [`Yearless::resolve`], quickly for a day that was asked for before.
    pub fn resolve(&mut self, line: Yearless, reference: i64) -> Option<Timestamp> {
        const DAY: i64 = 24 * 3600;
        let Yearless { month, day, clock: [hour, minute, second], nanos } = line;
        if let Some((known, of_month, of_day, midnight)) = self.last
            && (known, of_month, of_day) == (reference, month, day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && second >= 0
        {
            let clock = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second.min(59));
            return Some(Timestamp { seconds: midnight + clock, nanos });
        }
        let at = line.resolve(reference)?;
        let midnight = at.seconds.div_euclid(DAY) * DAY;
        let latest = reference.saturating_add(SLACK_SECONDS);
        // Only where all of the day falls into that year, whatever the time.
        let sure = midnight >= 0 && midnight + DAY <= latest && midnight + 365 * DAY > latest;
        self.last = sure.then_some((reference, month, day, midnight));
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> i64 {
        parse(text).unwrap().seconds
    }

    #[test]
    fn offsets_are_read_in_both_spellings() {
        assert_eq!(parse("2024-03-19T10:00:07+0000"), parse("2024-03-19T10:00:07Z"));
        assert_eq!(parse("2024-03-19T12:00:07.5+02:00"), parse("2024-03-19T10:00:07.500Z"));
    }

    #[test]
    fn zero_and_empty_are_unset_and_nonsense_is_an_error() {
        assert_eq!(optional(None), Ok(None));
        assert_eq!(optional(Some("")), Ok(None));
        assert_eq!(optional(Some("0001-01-01T00:00:00Z")), Ok(None));
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), None);
        assert_eq!(
            optional(Some("yesterday")).unwrap_err().to_string(),
            "`yesterday` is not an RFC 3339 time"
        );
    }

    #[test]
    fn a_time_without_a_year_falls_into_the_span() {
        let line = |month, day| Yearless { month, day, clock: [23, 59, 58], nanos: 0 };
        let at = |line: Yearless, reference| line.resolve(seconds(reference)).map(|at| rfc3339(&at));
        assert_eq!(at(line(4, 24), "2020-04-25T00:10:00Z").as_deref(), Some("2020-04-24T23:59:58Z"));
        assert_eq!(at(line(12, 31), "2021-01-01T00:10:00Z").as_deref(), Some("2020-12-31T23:59:58Z"));
        assert_eq!(
            at(line(1, 1), "2020-12-31T23:59:00Z").as_deref(),
            Some("2021-01-01T23:59:58Z"),
            "within the slack"
        );
        assert_eq!(at(line(2, 29), "2023-05-01T00:00:00Z").as_deref(), Some("2020-02-29T23:59:58Z"));
        assert_eq!(at(line(2, 30), "2023-05-01T00:00:00Z"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", month: i8, day: i8, clock: [i8; 3], nanos: i32, reference: i64) {
            let _ = parse(&text);
            let _ = Yearless { month, day, clock, nanos }.resolve(reference);
        }

        #[test]
        fn the_lines_of_a_log_fall_into_the_year_that_each_falls_into_alone(
            lines in prop::collection::vec((1..13i8, 1..32i8, 0..24i8, 0..60i8, 0..61i8), 1..30),
            reference in 0i64..4_000_000_000,
        ) {
            let mut days = Days::default();
            // Each twice, so that days come again; and once at its end, where the year may be another.
            for (month, day, hour, minute, second) in lines {
                for clock in [[hour, minute, second], [hour, minute, second], [23, 59, 59], [0, 0, 0]] {
                    let line = Yearless { month, day, clock, nanos: 5 };
                    prop_assert_eq!(days.resolve(line, reference), line.resolve(reference));
                }
            }
        }

        #[test]
        fn what_is_written_is_read_again(seconds in 0i64..4_000_000_000, nanos in 0i32..1_000_000_000) {
            let time = Timestamp { seconds, nanos };
            prop_assert_eq!(parse(&rfc3339(&time)), Some(time));
        }
    }
}
