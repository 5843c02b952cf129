//! Times and durations in milliseconds, as the contract has them. No clock: only the reading and writing of times.

/// Seconds in ms.
#[must_use]
pub const fn seconds(n: u64) -> u64 {
    n * 1000
}

/// Minutes in ms.
#[must_use]
pub const fn minutes(n: u64) -> u64 {
    seconds(n * 60)
}

/// Hours in ms.
#[must_use]
pub const fn hours(n: u64) -> u64 {
    minutes(n * 60)
}

/// A Kubernetes timestamp (RFC 3339, `2020-04-24T13:09:21Z`, with or without fraction or offset) in ms since the Unix
/// epoch; none where it is no time or before 1970.
#[must_use]
pub fn parse_time(text: &str) -> Option<u64> {
    let digits = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten()
    };
    let mark = |at: usize, any: &str| text.get(at..=at).is_some_and(|c| any.contains(c));
    if !(mark(4, "-") && mark(7, "-") && mark(10, "Tt ") && mark(13, ":") && mark(16, ":")) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let padded = format!("{:0<3}", fraction.get(..end)?);
        ms = padded.get(..3)?.parse().ok()?;
        rest = fraction.get(end..)?;
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let (h, m) = rest.strip_prefix(['+', '-'])?.split_once(':')?;
            sign * (h.parse::<i64>().ok()? * 60 + m.parse::<i64>().ok()?)
        }
    };
    // Days since 1970 by the calendar's 400-year cycle, counted from March so that leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let days =
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let total = ((days * 24 + hour) * 60 + minute - offset) * 60_000 + second * 1000 + ms;
    u64::try_from(total).ok()
}

/// The time of day in UTC: `13:09:21`.
#[must_use]
pub fn clock(ms: u64) -> String {
    let s = ms / 1000;
    format!("{:02}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60)
}

/// The time as [`parse_time`] reads it, in whole seconds: `2020-04-24T13:09:21Z`.
#[must_use]
pub fn stamp(ms: u64) -> String {
    // The calendar's 400-year cycle, counted from March so that leap days come last.
    let days = ms / 86_400_000 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}T{}Z", era * 400 + year + next, clock(ms))
}

/// A duration for people: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`.
#[must_use]
pub fn span(ms: u64) -> String {
    let two = |big: u64, unit: &str, small: u64, sub: &str| {
        if small == 0 { format!("{big} {unit}") } else { format!("{big} {unit} {small} {sub}") }
    };
    let (s, m, h) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..60_000 => format!("{s} s"),
        60_000..3_600_000 => format!("{m} min"),
        3_600_000..86_400_000 => two(h, "h", m % 60, "min"),
        _ => two(h / 24, "d", h % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubernetes_timestamp_is_read_in_any_of_its_forms() {
        let t = 1_587_733_761_000;
        assert_eq!(parse_time("2020-04-24T13:09:21Z"), Some(t));
        assert_eq!(parse_time("2020-04-24T13:09:21.131480854Z"), Some(t + 131));
        assert_eq!(parse_time("2020-04-24T13:09:21.5Z"), Some(t + 500));
        assert_eq!(parse_time("2020-04-24T15:09:21+02:00"), Some(t));
        assert_eq!(parse_time("2000-02-29T00:00:00Z"), Some(951_782_400_000));
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), Some(0));
    }

    #[test]
    fn what_is_no_time_gives_none() {
        for bad in [
            "",
            "null",
            "2020-04-24",
            "2020-13-24T13:09:21Z",
            "2020-04-24T13:09:21",
            "1969-12-31T23:59:59Z",
            "2020-04-24T13:09:21é",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59Z",
            "2020-04-24T13:09:21Z",
            "2024-12-31T12:00:00Z",
            "2100-03-01T00:00:01Z",
        ] {
            assert_eq!(parse_time(text).map(stamp).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_span_names_its_two_largest_units() {
        assert_eq!(span(seconds(40)), "40 s");
        assert_eq!(span(minutes(12) + seconds(3)), "12 min");
        assert_eq!(span(hours(3) + minutes(5)), "3 h 5 min");
        assert_eq!(span(hours(48)), "2 d");
        assert_eq!(clock(1_587_733_761_131), "13:09:21");
    }
}
