//! What journalctl prints: `-o short` (also with decimals), `short-iso`, `short-iso-precise` and `json`. And what a
//! kubelet writes that logs into a file of its own: bare klog, no year either.
//!
//! One entry is one message: a line break inside it never starts another, whatever the text after it looks like.

use std::borrow::Cow;

use kwhy_proto::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::{
    klog, text,
    time::{self, Yearless},
};

/// When an entry was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stamp {
    /// Fully known.
    At(Timestamp),
    /// `-o short`: to be resolved against the time of collection.
    Yearless(Yearless),
}

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// When it was written.
    pub stamp: Stamp,
    /// On which host; empty in bare klog, which does not say.
    pub host: Cow<'a, str>,
    /// Who wrote it: `kubelet`, `systemd`. Without the process id.
    pub identifier: Cow<'a, str>,
    /// What it says.
    pub message: Cow<'a, str>,
    /// syslog priority, 0 (worst) to 7; only JSON has it.
    pub priority: Option<u8>,
    /// Position in the journal, for a live reader; only JSON has it.
    pub cursor: Cow<'a, str>,
    /// By how many blanks journalctl indents further lines of this message; 0 where it has none, in JSON and klog.
    pub indent: usize,
    /// The message's header where it is bare klog. What has none then belongs to the line before.
    pub bare: Option<klog::Line<'a>>,
}

/// A line of journalctl's output.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// An entry.
    Entry(Entry<'a>),
    /// What journalctl says about the journal itself, and the end of the journal where it says that:
    /// `-- Logs begin at …, end at …. --`, `-- Boot … --`, `-- No entries --`.
    Note(Option<Timestamp>),
}

/// Why a line is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// No known format.
    #[error("not a line of journalctl (-o short, short-iso, short-iso-precise or json) nor of klog")]
    Format,
    /// Starts with a brace and is no journal entry.
    #[error("not a whole journal entry in JSON")]
    Json,
    /// journalctl writes null for a field that is too long.
    #[error("the message is left out, being too long; collect with `journalctl --all`")]
    LeftOut,
}

/// Reads one line.
///
/// # Errors
/// [`BadLine`] where it is none of journalctl's formats.
pub fn parse(line: &str) -> Result<Line<'_>, BadLine> {
    match line.as_bytes().first() {
        Some(b'{') => json(line).map(Line::Entry),
        Some(b'0'..=b'9') => iso(line).map(Line::Entry).ok_or(BadLine::Format),
        Some(b'-') if line.starts_with("-- ") => Ok(Line::Note(end_of_journal(line))),
        Some(b'I' | b'W' | b'E' | b'F') if line.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
            klog::parse(line).map(|head| Line::Entry(bare(line, head))).ok_or(BadLine::Format)
        }
        Some(b'L' | b'R' | b'B') if FILE_HEAD.iter().any(|words| line.starts_with(words)) => {
            Ok(Line::Note(None))
        }
        _ => short(line).map(Line::Entry).ok_or(BadLine::Format),
    }
}

/// What klog writes at the head of each file.
const FILE_HEAD: [&str; 4] =
    ["Log file created at: ", "Running on machine: ", "Binary: ", "Log line format: "];

/// A line that is nothing but klog.
fn bare<'a>(line: &'a str, head: klog::Line<'a>) -> Entry<'a> {
    Entry {
        stamp: Stamp::Yearless(head.at),
        host: Cow::Borrowed(""),
        identifier: Cow::Borrowed("kubelet"),
        message: Cow::Borrowed(line),
        priority: None,
        cursor: Cow::Borrowed(""),
        indent: 0,
        bare: Some(head),
    }
}

/// `Apr 24 13:06:41 kal kubelet[1043]: message`, the seconds also with decimals.
fn short(line: &str) -> Option<Entry<'_>> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let [m1, m2, m3, b' ', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2] =
        *line.as_bytes().first_chunk::<15>()?
    else {
        return None;
    };
    let month = MONTHS.iter().position(|name| **name == [m1, m2, m3])?;
    let day = two(if d1 == b' ' { b'0' } else { d1 }, d2)?;
    let clock = [two(h1, h2)?, two(n1, n2)?, two(s1, s2)?];
    let (decimals, rest) = line.get(15..)?.split_once(' ')?;
    let nanos = match decimals.strip_prefix('.') {
        Some(digits) => nanos(digits)?,
        None if decimals.is_empty() => 0,
        None => return None,
    };
    let stamp = Stamp::Yearless(Yearless { month: i8::try_from(month + 1).ok()?, day, clock, nanos });
    written(line, stamp, rest)
}

/// `2024-03-19T10:00:07+0000 rack-w1 kubelet[1187]: message`, the seconds also with decimals.
fn iso(line: &str) -> Option<Entry<'_>> {
    let (at, rest) = line.split_once(' ')?;
    written(line, Stamp::At(time::parse(at)?), rest)
}

/// The part of a text line after its time: `host identifier[pid]: message`.
fn written<'a>(line: &'a str, stamp: Stamp, rest: &'a str) -> Option<Entry<'a>> {
    let (host, rest) = rest.split_once(' ')?;
    let (writer, message) = rest.split_once(": ").or_else(|| Some((rest.strip_suffix(':')?, "")))?;
    if writer.contains(' ') {
        return None;
    }
    Some(Entry {
        stamp,
        host: Cow::Borrowed(host),
        identifier: Cow::Borrowed(writer.split_once('[').map_or(writer, |(name, _)| name)),
        message: Cow::Borrowed(message),
        priority: None,
        cursor: Cow::Borrowed(""),
        indent: line.len() - message.len(),
        bare: None,
    })
}

fn two(tens: u8, ones: u8) -> Option<i8> {
    let digit = |b: u8| b.is_ascii_digit().then(|| i8::try_from(b - b'0').ok()).flatten();
    Some(digit(tens)? * 10 + digit(ones)?)
}

fn nanos(digits: &str) -> Option<i32> {
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let scale = 10i32.pow(9 - u32::try_from(digits.len()).ok()?);
    Some(digits.parse::<i32>().ok()? * scale)
}

/// An entry as `-o json` gives it to a live reader.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// Its place in the journal, to go on from; empty where it is not told.
    pub cursor: Cow<'a, str>,
    /// When it was written.
    pub at: Timestamp,
    /// On which host.
    pub host: Cow<'a, str>,
    /// Who wrote it: `kubelet`.
    pub identifier: Cow<'a, str>,
    /// The unit of the process that wrote it: `kubelet.service`.
    pub unit: Cow<'a, str>,
    /// The unit that it is about, where systemd itself says it: `Stopped kubelet`.
    pub about: Cow<'a, str>,
    /// How it came: `kernel`, `stdout`, `journal`, `syslog`.
    pub transport: Cow<'a, str>,
    /// The machine on which it was written.
    pub machine: Cow<'a, str>,
    /// syslog priority, 0 (worst) to 7.
    pub priority: Option<u8>,
    /// What it says; empty where it has no message.
    pub message: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "__REALTIME_TIMESTAMP")]
    at: Cow<'a, str>,
    // An entry may have none at all, which is not the null of one that is too long.
    #[serde(borrow, default, rename = "MESSAGE", deserialize_with = "present")]
    message: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "PRIORITY")]
    priority: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "SYSLOG_IDENTIFIER")]
    identifier: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_SYSTEMD_UNIT")]
    unit: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "UNIT")]
    about: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_TRANSPORT")]
    transport: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_MACHINE_ID")]
    machine: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_HOSTNAME")]
    host: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "__CURSOR")]
    cursor: Cow<'a, str>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one entry of `-o json`.
///
/// # Errors
/// [`BadLine::Json`] where it is none, [`BadLine::LeftOut`] where journalctl left its message out.
pub fn record(line: &str) -> Result<Record<'_>, BadLine> {
    let raw: Raw<'_> = serde_json::from_str(line).map_err(|_| BadLine::Json)?;
    let micros: i64 = raw.at.parse().ok().filter(|micros| *micros >= 0).ok_or(BadLine::Json)?;
    let message = match raw.message.map(RawValue::get) {
        Some("null") => return Err(BadLine::LeftOut),
        Some(message) => field(message).ok_or(BadLine::Json)?,
        None => Cow::Borrowed(""),
    };
    Ok(Record {
        cursor: raw.cursor,
        at: since_epoch(micros).ok_or(BadLine::Json)?,
        host: optional(raw.host),
        identifier: optional(raw.identifier),
        unit: optional(raw.unit),
        about: optional(raw.about),
        transport: optional(raw.transport),
        machine: optional(raw.machine),
        priority: raw.priority.and_then(|raw| field(raw.get())?.parse().ok()),
        message,
    })
}

fn optional(raw: Option<&RawValue>) -> Cow<'_, str> {
    raw.and_then(|raw| field(raw.get())).unwrap_or_default()
}

fn since_epoch(micros: i64) -> Option<Timestamp> {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).ok()?;
    Some(Timestamp { seconds: micros.div_euclid(1_000_000), nanos })
}

/// What of a cursor tells the place of its entry: a number that grows within a journal, and a digest that tells journals
/// apart. It sorts as the journal does; `None` for what is no cursor.
#[must_use]
pub fn position(cursor: &str) -> Option<String> {
    let number = hex(cursor, "i=")?;
    let digest: String = Sha256::digest(cursor).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{number:016x}-{digest}"))
}

/// When the entry of a cursor was written.
#[must_use]
pub fn written_at(cursor: &str) -> Option<Timestamp> {
    since_epoch(i64::try_from(hex(cursor, "t=")?).ok()?)
}

fn hex(cursor: &str, name: &str) -> Option<u64> {
    let value = cursor.split(';').find_map(|part| part.strip_prefix(name))?;
    u64::from_str_radix(value, 16).ok()
}

fn json(line: &str) -> Result<Entry<'_>, BadLine> {
    let record = record(line)?;
    Ok(Entry {
        stamp: Stamp::At(record.at),
        host: record.host,
        identifier: record.identifier,
        message: record.message,
        priority: record.priority,
        cursor: record.cursor,
        indent: 0,
        bare: None,
    })
}

/// A field's value: a text, an array of bytes where it is not UTF-8 or has control characters, or an array of values
/// where the field was given more than once (then the first).
fn field(raw: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Many {
        Bytes(Vec<u8>),
        Values(Vec<One>),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum One {
        Text(String),
        Bytes(Vec<u8>),
    }
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let bytes = |bytes: Vec<u8>| Cow::Owned(text::utf8(&bytes).into_owned());
    if raw.starts_with('"') {
        return serde_json::from_str::<Text<'_>>(raw).ok().map(|text| text.0);
    }
    match serde_json::from_str(raw).ok()? {
        Many::Bytes(all) => Some(bytes(all)),
        Many::Values(values) => values.into_iter().next().map(|first| match first {
            One::Text(text) => Cow::Owned(text),
            One::Bytes(all) => bytes(all),
        }),
    }
}

/// `-- Logs begin at Sat 2020-04-18 09:12:38 UTC, end at Fri 2020-04-24 13:15:00 UTC. --`; later versions say
/// `-- Journal begins at …, ends at … --`.
fn end_of_journal(line: &str) -> Option<Timestamp> {
    let (_, end) = line.split_once(", end at ").or_else(|| line.split_once(", ends at "))?;
    let mut words = end.split(' ').skip(1);
    let (date, clock) = (words.next()?, words.next()?);
    time::parse(&format!("{date}T{clock}Z"))
}

/// What a priority says about severity where the message itself does not.
#[must_use]
pub fn severity(priority: Option<u8>) -> &'static str {
    match priority {
        Some(0..=2) => "F",
        Some(3) => "E",
        Some(4) => "W",
        Some(5..) => "I",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(line: &str) -> Entry<'_> {
        match parse(line) {
            Ok(Line::Entry(entry)) => entry,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn at(entry: &Entry<'_>) -> String {
        match entry.stamp {
            Stamp::At(at) => time::rfc3339(&at),
            Stamp::Yearless(at) => time::rfc3339(&at.resolve(1_600_000_000).unwrap()),
        }
    }

    #[test]
    fn every_text_format_is_read() {
        for (line, when) in [
            ("Apr 24 13:06:41 kal kubelet[1043]: E0424 x", "2020-04-24T13:06:41Z"),
            ("Apr  4 13:06:41 kal kubelet[1043]: E0424 x", "2020-04-04T13:06:41Z"),
            ("Sep 10 08:59:59.857303 host kubelet[2397]: E0424 x", "2020-09-10T08:59:59.857303Z"),
            ("2024-03-19T10:00:07+0000 rack-w1 kubelet[1187]: E0424 x", "2024-03-19T10:00:07Z"),
            ("2026-08-24T10:10:07+02:00 rack-w1 kubelet[1187]: E0424 x", "2026-08-24T08:10:07Z"),
            ("2024-04-09T15:00:07.603631+0000 rack-w2 kubelet[1203]: E0424 x", "2024-04-09T15:00:07.603631Z"),
        ] {
            let entry = entry(line);
            assert_eq!(at(&entry), when, "{line}");
            assert_eq!((entry.identifier.as_ref(), entry.message.as_ref()), ("kubelet", "E0424 x"), "{line}");
        }
    }

    #[test]
    fn a_kubelets_own_log_file_is_read() {
        let line = entry("E0424 13:06:41.923749    1043 kubelet.go:2240] node \"kal\" not found");
        assert_eq!(at(&line), "2020-04-24T13:06:41.923749Z");
        assert!(line.bare.is_some() && line.message.starts_with("E0424"));
        assert_eq!(entry("Feb 24 13:06:41 kal kubelet[1043]: x").bare, None, "a month of the same letter");
        assert_eq!(parse("Log file created at: 2020/04/24 13:06:41"), Ok(Line::Note(None)));
        assert_eq!(parse("E0424 13:06 half a header"), Err(BadLine::Format));
    }

    #[test]
    fn a_message_may_hold_colons_or_nothing() {
        let line = entry("Apr 24 13:06:41 kal systemd[1]: kubelet.service: Failed with result 'exit-code'.");
        assert_eq!(
            (line.identifier.as_ref(), line.message.as_ref()),
            ("systemd", "kubelet.service: Failed with result 'exit-code'.")
        );
        assert_eq!(entry("Apr 24 13:06:41 kal kubelet[1]:").message, "");
    }

    #[test]
    fn json_gives_text_bytes_and_repeated_fields() {
        let line = |message: &str| {
            format!(
                r#"{{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1710835807213698","PRIORITY":"3","SYSLOG_IDENTIFIER":"kubelet","MESSAGE":{message}}}"#
            )
        };
        let text = line(r#""a \"b\"""#);
        let text = entry(&text);
        assert_eq!(at(&text), "2024-03-19T08:10:07.213698Z");
        assert_eq!(
            (text.message.as_ref(), text.priority, text.cursor.as_ref()),
            ("a \"b\"", Some(3), "s=1;i=2")
        );
        assert_eq!(entry(&line("[97,255,10,69]")).message, "a\u{fffd}\nE", "bytes stay one message");
        assert_eq!(entry(&line(r#"["a","b"]"#)).message, "a");
        assert_eq!(parse(&line("null")), Err(BadLine::LeftOut));
        assert_eq!(parse(&line("7")), Err(BadLine::Json));
        assert_eq!(parse("{\"MESSAGE\":"), Err(BadLine::Json));
    }

    #[test]
    fn a_record_tells_units_and_may_have_no_message() {
        let line = r#"{"__CURSOR":"s=a;i=2f;b=1;m=1;t=60a24182d8240;x=1","__REALTIME_TIMESTAMP":"1700000001000000","_SYSTEMD_UNIT":"init.scope","UNIT":"kubelet.service","_TRANSPORT":"journal","_MACHINE_ID":"m"}"#;
        let record = record(line).unwrap();
        assert_eq!((record.unit.as_ref(), record.about.as_ref()), ("init.scope", "kubelet.service"));
        assert_eq!(
            (record.transport.as_ref(), record.machine.as_ref(), record.message.as_ref()),
            ("journal", "m", "")
        );
        assert_eq!(written_at(&record.cursor), Some(record.at));
        assert_eq!(super::record(r#"{"__REALTIME_TIMESTAMP":"-1"}"#), Err(BadLine::Json));
    }

    #[test]
    fn positions_sort_as_the_journal_does() {
        let at = |cursor: &str| position(cursor).unwrap();
        assert!(at("s=a;i=9;t=1") < at("s=a;i=a;t=1") && at("s=a;i=ff;t=1") < at("s=a;i=100;t=1"));
        assert_ne!(at("s=a;i=9;t=1"), at("s=b;i=9;t=1"), "two journals may count alike");
        assert_eq!(position("nonsense"), None);
        assert_eq!(position("i=xyz"), None);
    }

    #[test]
    fn notes_are_no_entries_and_may_tell_the_end() {
        let note =
            parse("-- Logs begin at Sat 2020-04-18 09:12:38 UTC, end at Fri 2020-04-24 13:15:00 UTC. --");
        assert_eq!(note, Ok(Line::Note(time::parse("2020-04-24T13:15:00Z"))));
        let note = parse(
            "-- Journal begins at Sat 2020-04-18 09:12:38 UTC, ends at Fri 2020-04-24 13:15:00 UTC. --",
        );
        assert_eq!(note, Ok(Line::Note(time::parse("2020-04-24T13:15:00Z"))));
        assert_eq!(parse("-- Boot 8659c2a341e09052acc16e0646dae44a --"), Ok(Line::Note(None)));
        assert_eq!(parse("-- No entries --"), Ok(Line::Note(None)));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "hello",
            "Apr 24 13:06 kal kubelet[1]: x",
            "Apx 24 13:06:41 kal kubelet[1]: x",
            "2024-03-19 x y: z",
            "Apr 24 13:06:41 kal no writer here",
        ] {
            assert_eq!(parse(line), Err(BadLine::Format), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC*", json in "[\\[\\]{}\",:0-9a-z]*") {
            let _ = parse(&line);
            let _ = parse(&format!("Apr 24 13:06:41{line}"));
            let _ = parse(&format!("2024-03-19T10:00:07+0000 {line}"));
            let _ = parse(&format!("-- Logs begin at x, end at Fri {line}"));
            let _ = parse(&format!("{{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":{json}}}"));
        }

        #[test]
        fn bytes_are_read_as_they_are(bytes in prop::collection::vec(1u8..0x80, 1..50)) {
            let line = format!("{{\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":{}}}", serde_json::to_string(&bytes).unwrap());
            let entry = entry(&line);
            prop_assert_eq!(entry.message.as_bytes(), &bytes[..]);
        }
    }
}
