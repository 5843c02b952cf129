//! Container logs as `kubectl logs --timestamps` prints them, and the level of a line where it can be recognised.

use kwhy_proto::Timestamp;

use crate::{text, time};

/// How far into a line its level is looked for. A bound on time, too: telling a key from quoted text reads all before it.
const LOOK: usize = 2048;

/// Time and text of a line; `None` where it does not start with a time.
#[must_use]
pub fn parse(line: &str) -> Option<(Timestamp, &str)> {
    let (at, text) = line.split_once(' ').unwrap_or((line, ""));
    // A date alone is no time; jiff would not take it either, this only spares it the work.
    if at.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    Some((time::parse(at)?, text))
}

/// `F`, `E`, `W` or `I`, or empty where the line does not tell. Known are JSON (`level`, `severity`, `lvl`), logfmt
/// (`level=`, `lvl=`), a level as one of the first words (`[FATAL]`, `ERROR`, `warning:`), and what Go prints when a
/// program dies.
#[must_use]
pub fn level(text: &str) -> &'static str {
    let text = text::prefix(text, LOOK);
    if text.starts_with('{') {
        return json_level(text);
    }
    if text.starts_with("panic: ") || text.starts_with("fatal error: ") {
        return "F";
    }
    let level = first_words(text);
    if level.is_empty() { logfmt_level(text) } else { level }
}

fn letter(word: &str) -> &'static str {
    const WORDS: [(&str, &[&str]); 4] = [
        ("F", &["fatal", "panic", "dpanic", "critical", "crit", "emerg", "emergency"]),
        ("E", &["error", "err", "eror", "severe"]),
        ("W", &["warning", "warn"]),
        ("I", &["info", "information", "notice", "debug", "trace", "log", "dbug"]),
    ];
    WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|known| word.eq_ignore_ascii_case(known)))
        .map_or("", |(letter, _)| letter)
}

/// The level word among the first few, over times, numbers and `[pid]`. In lower case it must stand in brackets or
/// before a colon: `error` is also an English word.
fn first_words(text: &str) -> &'static str {
    for word in text.split([' ', '\t']).filter(|word| !word.is_empty()).take(6) {
        let bare = word.trim_matches(['[', ']', '<', '>', '(', ')', ':', '|']);
        let marked = bare.len() < word.len() || !bare.bytes().any(|b| b.is_ascii_lowercase());
        let level = if marked { letter(bare) } else { "" };
        if !level.is_empty() {
            return level;
        }
        // Times, zones and process ids may come before a level; other words end the search.
        let header = bare.bytes().any(|b| b.is_ascii_digit()) || bare == "UTC" || bare == "Z" || bare == "-";
        if !header || bare.contains('=') {
            return "";
        }
    }
    ""
}

fn logfmt_level(text: &str) -> &'static str {
    ["level=", "lvl="]
        .iter()
        .find_map(|key| {
            let at = memchr::memmem::find_iter(text.as_bytes(), key).find(|at| is_key_at(text, *at))?;
            let value = text.get(at + key.len()..)?.trim_start_matches('"');
            Some(letter(value.split(|c: char| !c.is_ascii_alphabetic()).next()?))
        })
        .unwrap_or("")
}

/// Whether a pair can start here: at the start or after a blank, and not inside a quoted value.
fn is_key_at(text: &str, at: usize) -> bool {
    let Some(before) = text.get(..at) else { return false };
    (before.is_empty() || before.ends_with(' '))
        && memchr::memchr_iter(b'"', before.as_bytes()).count().is_multiple_of(2)
}

fn json_level(text: &str) -> &'static str {
    ["level", "severity", "lvl"]
        .iter()
        .find_map(|key| {
            let at = memchr::memmem::find_iter(text.as_bytes(), &format!("\"{key}\"")).find(|at| {
                // Inside a text the quote would have a backslash.
                text.get(..*at).is_some_and(|before| before.trim_end().ends_with(['{', ',']))
            })?;
            let value = text.get(at + key.len() + 2..)?.trim_start().strip_prefix(':')?.trim_start();
            if let Some(word) = value.strip_prefix('"') {
                return Some(letter(word.split('"').next()?));
            }
            // pino and bunyan count: 30 info, 40 warning, 50 error, 60 fatal.
            match value.split(|c: char| !c.is_ascii_digit()).next()?.parse() {
                Ok(60u32..) => Some("F"),
                Ok(50) => Some("E"),
                Ok(40) => Some("W"),
                Ok(10..40) => Some("I"),
                _ => None,
            }
        })
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_has_a_time_and_a_text() {
        let (at, text) = parse("2020-04-24T13:09:21.131480854Z [FATAL] plugin/loop: Loop").unwrap();
        assert_eq!(
            (time::rfc3339(&at).as_str(), text),
            ("2020-04-24T13:09:21.131480854Z", "[FATAL] plugin/loop: Loop")
        );
        assert_eq!(
            parse("2020-04-24T13:09:21Z").map(|(_, text)| text),
            Some(""),
            "an empty line was printed"
        );
        assert_eq!(parse("[FATAL] plugin/loop: Loop"), None);
        assert_eq!(parse("2020-04-24 13:09:21 x"), None);
    }

    #[test]
    fn levels_are_recognised() {
        for (line, expected) in [
            ("[FATAL] plugin/loop: Loop (127.0.0.1:39386 -> :53)", "F"),
            ("[ERROR] plugin/errors: 2 x. HINFO: i/o timeout", "E"),
            ("[WARNING] plugin/kubernetes: starting", "W"),
            ("[INFO] plugin/reload: Running", "I"),
            (".:53", ""),
            ("CoreDNS-1.6.7", ""),
            ("level=info ts=2024-04-09T15:03:37Z msg=\"x\"", "I"),
            ("ts=2024-05-07T10:55:25.404Z caller=main.go:1229 level=error err=\"x\"", "E"),
            ("time=\"2026-08-25T03:12:14Z\" level=warning msg=\"replica\"", "W"),
            ("ts=1 msg=\"a level=error b\" level=warn", "W"),
            ("{\"level\":\"fatal\",\"ts\":\"x\"}", "F"),
            ("{\"ts\":1, \"severity\": \"WARNING\"}", "W"),
            ("{\"msg\":\"say \\\"level\\\":\\\"error\\\"\"}", ""),
            ("{\"level\":50,\"msg\":\"x\"}", "E"),
            ("2026-08-25 03:05:02.331 UTC [27] LOG:  checkpoint starting: time", "I"),
            ("2026-08-25 03:05:02.331 UTC [27] FATAL:  the database system is starting up", "F"),
            ("2021/03/04 10:00:00 [error] 31#31: open() failed", "E"),
            ("2022-02-01T10:00:00.000Z\tERROR\tcontroller\tx", "E"),
            ("ERROR fetch supplier feed: Get", "E"),
            ("error: no such host", "E"),
            ("panic: runtime error: index out of range", "F"),
            ("fetched 8120 rows, error rate 0", ""),
            ("2024/03/27 11:40:50 loading model als-small", ""),
            ("cache: 11% of 41226 items", ""),
        ] {
            assert_eq!(level(line), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "\\PC*") {
            let _ = parse(&line);
            let _ = level(&line);
            let _ = level(&format!("{{{line}\"level\":{line}"));
            let _ = level(&format!("level={line}"));
        }
    }
}
