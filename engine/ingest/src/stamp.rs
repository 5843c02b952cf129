//! The time that a line of a log tells itself, where it was collected without one.
//!
//! Known are the header of klog, and dates of the forms `2006-01-02T15:04:05.000Z`, `2006-01-02 15:04:05,000` and
//! `2006/01/02 15:04:05`, at the start of the line or behind what stands before it in logfmt and JSON (`time="`, `"ts":"`,
//! `[`), and in JSON also seconds since 1970 (`"ts":1671615790.123`). Where no zone is told it is UTC, as nearly all
//! containers have it.

use jiff::civil;
use kwhy_proto::Timestamp;

use crate::{
    klog,
    time::{self, Yearless},
};

/// How far into a line its time is looked for.
const LOOK: usize = 160;
/// Longest time there is, with nanoseconds and a zone.
const LENGTH: usize = 36;

/// A time that a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Fully known.
    At(Timestamp),
    /// Of klog.
    Yearless(Yearless),
}

/// The first time in a line, if there is one.
#[must_use]
pub fn find(line: &str) -> Option<Stamp> {
    if let Some(klog) = klog::parse(line) {
        return Some(Stamp::Yearless(klog.at));
    }
    let bytes = line.as_bytes();
    let head = bytes.get(..LOOK).unwrap_or(bytes);
    // A date has a dash or a slash as its fifth character.
    let found = memchr::memchr2_iter(b'-', b'/', head).find_map(|dash| {
        let start = dash.checked_sub(4)?;
        let before = start.checked_sub(1).and_then(|at| head.get(at));
        let starts = before.is_none_or(|b| matches!(b, b' ' | b'"' | b'\'' | b'=' | b'[' | b'(' | b'\t'));
        starts.then(|| at(line.get(start..)?)).flatten()
    });
    found.or_else(|| since_1970(line)).map(Stamp::At)
}

/// The time with which the text starts.
fn at(text: &str) -> Option<Timestamp> {
    let [y1, y2, y3, y4, dash, m1, m2, same, d1, d2, b'T' | b' ', h1, h2, b':', n1, n2, b':', s1, s2] =
        *text.as_bytes().first_chunk::<19>()?
    else {
        return None;
    };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, n1, n2, s1, s2];
    if dash != same || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let date = text.get(..10)?.replace('/', "-");
    let rest = text.get(11..)?.as_bytes();
    let rest = rest.get(..LENGTH).unwrap_or(rest);
    // Decimals behind a dot, or behind a comma as Java and Python write it.
    let fraction = match rest.get(8..) {
        Some([b'.' | b',', more @ ..]) => more.iter().take(9).take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    let clock = 8 + if fraction > 0 { fraction + 1 } else { 0 };
    let zone = match rest.get(clock..) {
        Some([b'Z', ..]) => 1,
        Some([b'+' | b'-', more @ ..]) => {
            let digits = more.iter().take(5).take_while(|b| b.is_ascii_digit() || **b == b':').count();
            if matches!(digits, 4 | 5) { digits + 1 } else { 0 }
        }
        _ => 0,
    };
    let part = |from: usize, to: usize| std::str::from_utf8(rest.get(from..to)?).ok();
    let clock_text = part(0, clock)?.replace(',', ".");
    if zone > 0 {
        return time::parse(&format!("{date}T{clock_text}{}", part(clock, clock + zone)?));
    }
    let civil: civil::DateTime = format!("{date}T{clock_text}").parse().ok()?;
    let utc = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    time::parse(&utc.to_string())
}

/// Seconds since 1970 as zap writes them.
fn since_1970(line: &str) -> Option<Timestamp> {
    if !line.starts_with('{') {
        return None;
    }
    let head = crate::text::prefix(line, LOOK);
    let (_, value) = ["\"ts\":", "\"time\":"].iter().find_map(|key| head.split_once(key))?;
    let number = value.trim_start().split([',', '}', ' ']).next()?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, ""));
    // Of this century; others are milliseconds, or something else.
    let seconds: i64 = seconds.parse().ok().filter(|s| (946_684_800..4_102_444_800).contains(s))?;
    let digits = fraction.get(..9.min(fraction.len()))?;
    let nanos = if digits.is_empty() { 0 } else { format!("{digits:0<9}").parse().ok()? };
    Some(Timestamp { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(line: &str) -> Option<String> {
        match find(line)? {
            Stamp::At(at) => Some(time::rfc3339(&at)),
            Stamp::Yearless(at) => Some(format!("{}-{} {:?}", at.month, at.day, at.clock)),
        }
    }

    #[test]
    fn the_forms_in_which_programs_write_times_are_read() {
        for (line, at) in [
            ("I1221 09:43:26.252095       1 controller.go:773] Starting", "12-21 [9, 43, 26]"),
            ("time=\"2022-12-21T09:43:10Z\" level=fatal msg=\"x\"", "2022-12-21T09:43:10Z"),
            (
                "{\"level\":\"info\",\"ts\":\"2022-12-21T09:43:10.123+0100\",\"msg\":\"x\"}",
                "2022-12-21T08:43:10.123Z",
            ),
            ("{\"level\":\"info\",\"ts\":1671615790.123,\"msg\":\"x\"}", "2022-12-21T09:43:10.123Z"),
            ("2022/12/21 09:42:42 [notice] 1#1: nginx/1.23.3", "2022-12-21T09:42:42Z"),
            ("2022-12-21 09:42:42,123 ERROR [main] x", "2022-12-21T09:42:42.123Z"),
            ("[2022-12-21T09:42:42.5Z] \"GET / HTTP/1.1\"", "2022-12-21T09:42:42.5Z"),
            ("2022-12-21 09:42:42.123 UTC [1] FATAL:  x", "2022-12-21T09:42:42.123Z"),
            ("[WARN] 2022-12-21 09:42:42 - x", "2022-12-21T09:42:42Z"),
        ] {
            assert_eq!(told(line).as_deref(), Some(at), "{line}");
        }
    }

    #[test]
    fn what_is_no_time_is_not_taken_for_one() {
        for line in [
            "",
            "Hello from k3s (Evans Secret): Wed Dec 21 09:42:42 UTC 2022",
            "10.43.0.1 - - \"GET /2022-12-21\"",
            "serial 92022-12-21T09:43:10Z",
            "2022-13-41 29:43:10",
            "2022-12/21 09:43:10",
            "{\"ts\":\"soon\"}",
            "{\"ts\":17}",
            "{\"time\":1671615790123}",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(
            line in "\\PC*",
            parts in prop::collection::vec(prop_oneof![
                Just("2022-12-21"), Just("T"), Just(" "), Just("09:43:10"), Just(".123"), Just(",5"), Just("Z"), Just("+01:00"), Just("-"),
                Just("{\"ts\":"), Just("1671615790"), Just(".é"), Just("\""), Just("I1221 "),
            ], 0..12),
        ) {
            let _ = find(&line);
            let _ = find(&parts.concat());
        }
    }
}
