//! Lines of a log file, one after another: when they were written, and which of them are a node's own.

use std::borrow::Cow;

use kwhy_proto::Timestamp;

use crate::{
    journal::{self, Entry, Stamp},
    time::{self, Days, Yearless},
};

/// Who writes of a node in a file that others write to as well, as `/var/log/syslog`.
const OURS: [&str; 16] = [
    "kubelet",
    "kernel",
    "systemd",
    "containerd",
    "crio",
    "dockerd",
    "docker",
    "cri-dockerd",
    "k3s",
    "k3s-agent",
    "rke2",
    "k0s",
    "k0scontroller",
    "k0sworker",
    "microk8s.daemon-kubelite",
    "kubelite",
];

/// A line as it stands in a file.
#[derive(Debug, PartialEq)]
pub struct Written<'a> {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: Cow<'a, str>,
    /// syslog priority, where it is told.
    pub priority: Option<u8>,
}

/// Reads the lines of one file one after another.
#[derive(Debug, Default)]
pub struct Reader {
    days: Days,
    /// The time of the line before, for a line that goes on with it.
    before: Option<Timestamp>,
}

impl Reader {
    /// None for what is no line of the node: another program's, a note of journalctl, nothing at all. A time without
    /// year or zone is one `utc_offset` seconds east of UTC, not after `now` (ms); a line without a time has that of the
    /// line before it, else `now`.
    pub fn read<'a>(&mut self, line: &'a str, utc_offset: i64, now: u64) -> Option<Written<'a>> {
        // A writer that did not notice that its file was truncated goes on where it was, behind zeros.
        let line = line.trim_start_matches('\0');
        if line.trim().is_empty() {
            return None;
        }
        match journal::parse(line) {
            Ok(journal::Line::Note(_)) => None,
            Ok(journal::Line::Entry(Entry { stamp, identifier, message, priority, .. })) => {
                if !OURS.contains(&identifier.as_ref()) {
                    return None;
                }
                let at = match stamp {
                    Stamp::At(at) => at,
                    Stamp::Yearless(at) => {
                        self.resolve(at, utc_offset, now).unwrap_or(kwhy_proto::timestamp(now))
                    }
                };
                self.before = Some(at);
                Some(Written { at, text: message, priority })
            }
            Err(_) => {
                let at = leading(line);
                self.before = at.or(self.before);
                let at = self.before.unwrap_or(kwhy_proto::timestamp(now));
                Some(Written { at, text: line.into(), priority: None })
            }
        }
    }

    fn resolve(&mut self, at: Yearless, utc_offset: i64, now: u64) -> Option<Timestamp> {
        let now = i64::try_from(now / 1000).ok()?.saturating_add(utc_offset);
        // By the day: the year is the same for all of it, and days are remembered.
        let today = now - now.rem_euclid(24 * 3600);
        let at = self.days.resolve(at, today)?;
        Some(Timestamp { seconds: at.seconds.checked_sub(utc_offset)?, ..at })
    }
}

/// The time in `time="2024-03-19T10:00:07Z" level=…`, as containerd and cri-o write, or at the very start of a line.
fn leading(line: &str) -> Option<Timestamp> {
    let text = line.strip_prefix("time=").or_else(|| line.strip_prefix("ts=")).unwrap_or(line);
    let text = text.trim_start_matches('"');
    time::parse(text.split(['"', ' ', '\t']).next()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now(text: &str) -> u64 {
        kwhy_proto::millis(&time::parse(text).unwrap())
    }

    fn at(line: &str, offset: i64, at: &str) -> String {
        time::rfc3339(&Reader::default().read(line, offset, now(at)).unwrap().at)
    }

    /// Lines around the turn of the year: when each is read, and when it was written.
    const TURN: [(&str, &str, &str); 4] = [
        (OLD, "2025-12-31T23:59:59Z", "2025-12-31T23:59:59.9Z"),
        (NEW, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.1Z"),
        // Read late.
        (OLD, "2026-01-01T00:00:05Z", "2025-12-31T23:59:59.9Z"),
        // By a clock that is a little behind.
        (NEW, "2025-12-31T23:59:59Z", "2026-01-01T00:00:00.1Z"),
    ];
    const OLD: &str = "I1231 23:59:59.900000 1 a.go:1] old";
    const NEW: &str = "I0101 00:00:00.100000 1 a.go:1] new";

    #[test]
    fn the_year_turns_between_two_lines() {
        let mut reader = Reader::default();
        for (line, read, written) in TURN {
            assert_eq!(
                time::rfc3339(&reader.read(line, 0, now(read)).unwrap().at),
                written,
                "read at {read}"
            );
        }
    }

    /// The twin of the test above: the year of the clock puts two of them a year away.
    #[test]
    fn the_year_of_the_clock_alone_is_wrong_around_the_turn() {
        let naive = |line: &str, read: &str| {
            format!("{}-{}-{}T{}Z", &read[..4], &line[1..3], &line[3..5], &line[6..16])
        };
        let wrong = TURN.iter().filter(|(line, read, written)| naive(line, read) != *written);
        assert_eq!(wrong.map(|(_, read, _)| *read).collect::<Vec<_>>(), [TURN[2].1, TURN[3].1]);
    }

    #[test]
    fn a_leap_second_and_a_clock_that_was_set_back_stay_in_place() {
        assert_eq!(
            at("I0630 23:59:60.500000 1 a.go:1] x", 0, "2026-07-01T00:00:00Z"),
            "2026-06-30T23:59:59.5Z"
        );
        assert_eq!(
            at("I0701 00:30:00.000000 1 a.go:1] x", 0, "2026-06-30T23:30:00Z"),
            "2026-07-01T00:30:00Z"
        );
    }

    #[test]
    fn times_without_a_zone_are_those_of_the_node() {
        let line = "I0424 01:30:00.000000 1 a.go:1] x";
        assert_eq!(at(line, 2 * 3600, "2026-04-23T23:30:01Z"), "2026-04-23T23:30:00Z");
        assert_eq!(
            at("I0101 01:30:00.000000 1 a.go:1] x", 2 * 3600, "2025-12-31T23:30:01Z"),
            "2025-12-31T23:30:00Z"
        );
    }

    #[test]
    fn what_has_no_time_goes_on_with_the_line_before() {
        let mut reader = Reader::default();
        let mut read = |line: &str| {
            reader.read(line, 0, 5_000).map(|w| (kwhy_proto::millis(&w.at), w.text.into_owned()))
        };
        assert_eq!(read("panic: alone"), Some((5_000, "panic: alone".to_owned())));
        assert_eq!(read("time=\"1970-01-01T00:00:02Z\" level=error msg=\"x\"").map(|w| w.0), Some(2_000));
        assert_eq!(read("goroutine 1 [running]:"), Some((2_000, "goroutine 1 [running]:".to_owned())));
        assert_eq!(read(""), None);
        assert_eq!(read("\0\0\0"), None);
        assert_eq!(read("\0\0go on").map(|w| w.1), Some("go on".to_owned()));
    }

    #[test]
    fn of_a_syslog_only_the_node_is_read() {
        let mut reader = Reader::default();
        let mut read =
            |line: &str| reader.read(line, 0, now("2026-04-24T13:10:00Z")).map(|w| w.text.into_owned());
        assert_eq!(read("Apr 24 13:06:41 kal sshd[1]: x"), None);
        assert_eq!(read("Apr 24 13:06:41 kal kubelet[1]: x").as_deref(), Some("x"));
        assert_eq!(read("Apr 24 13:06:41 kal kernel: Out of memory").as_deref(), Some("Out of memory"));
        assert_eq!(read("-- Boot 8659c2a341e09052acc16e0646dae44a --"), None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC*", offset in -50_000i64..50_000, now: u64) {
            let mut reader = Reader::default();
            let _ = reader.read(&line, offset, now);
            let _ = reader.read(&format!("E0229 13:06:34.617057   27916 {line}"), offset, now);
            let _ = reader.read(&format!("time=\"{line}"), offset, now);
        }
    }
}
