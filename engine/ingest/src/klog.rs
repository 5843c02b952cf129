//! klog, the log format of Kubernetes' own components: `Lmmdd hh:mm:ss.uuuuuu thread file:line] message`, where the
//! message is free text or structured: a quoted text and `key=value` pairs.
//!
//! The header is parsed by bytes, as this is done for every line of a kubelet log; the pairs only for lines that are
//! wanted.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{text, time::Yearless};

/// More pairs than any message has; a bound, not a limit to meet.
const PAIRS: usize = 64;
/// How much of a message is taken apart.
const LOOK: usize = 64 * 1024;
/// Longest `file.go:line` that is believed.
const CODE: usize = 128;

/// A line of klog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// `I`, `W`, `E` or `F`.
    pub severity: &'static str,
    /// When, in the zone of the writer, which klog does not say.
    pub at: Yearless,
    /// `file.go:line`.
    pub code: &'a str,
    /// What follows the header.
    pub message: &'a str,
}

/// The parts of a klog line, or `None` where it has no klog header.
#[must_use]
pub fn parse(line: &str) -> Option<Line<'_>> {
    let [letter, m1, m2, d1, d2, b' ', clock @ .., b' '] = line.as_bytes().first_chunk::<22>()? else {
        return None;
    };
    let severity = match letter {
        b'I' => "I",
        b'W' => "W",
        b'E' => "E",
        b'F' => "F",
        _ => return None,
    };
    let [h1, h2, b':', n1, n2, b':', s1, s2, b'.', micros @ ..] = clock else { return None };
    let at = Yearless {
        month: two(*m1, *m2)?,
        day: two(*d1, *d2)?,
        clock: [two(*h1, *h2)?, two(*n1, *n2)?, two(*s1, *s2)?],
        nanos: number(micros)? * 1000,
    };

    let rest = line.get(22..)?.trim_start_matches(' ');
    let (thread, rest) = rest.split_once(' ')?;
    if thread.is_empty() || !thread.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let end = memchr::memchr(b']', rest.as_bytes().get(..CODE.min(rest.len()))?)?;
    let (code, rest) = rest.split_at_checked(end)?;
    if code.contains(' ') || !code.contains(':') {
        return None;
    }
    let rest = rest.strip_prefix(']')?;
    Some(Line { severity, at, code, message: rest.strip_prefix(' ').unwrap_or(rest) })
}

fn two(tens: u8, ones: u8) -> Option<i8> {
    i8::try_from(number(&[tens, ones])?).ok()
}

fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0i32, |all, b| b.is_ascii_digit().then(|| all * 10 + i32::from(b - b'0')))
}

/// A structured message taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structured {
    /// The quoted text.
    pub message: String,
    /// The pairs, values without quotes and escapes. Of a key that comes twice the last.
    pub values: BTreeMap<String, String>,
}

/// Takes a structured message apart; `None` where it is free text.
#[must_use]
pub fn structured(message: &str) -> Option<Structured> {
    let mut values = BTreeMap::new();
    let quoted = pairs(message, |name, value| {
        values.insert(name.to_owned(), safe(value).into_owned());
    })?;
    Some(Structured { message: safe(quoted).into_owned(), values })
}

/// Lends each pair of a structured message, unsafe as it stands, and gives back the quoted text; `None` where it is free
/// text. Copies nothing that has no escapes.
pub(crate) fn pairs<'t>(
    message: &'t str,
    mut each: impl FnMut(&'t str, Cow<'t, str>),
) -> Option<Cow<'t, str>> {
    let (quoted, mut rest) = unquote(text::prefix(message, LOOK))?;
    if !rest.is_empty() && key(rest.trim_start_matches(' ')).is_none() {
        return None;
    }
    for _ in 0..PAIRS {
        let Some((name, after)) = key(rest.trim_start_matches([' ', '\n'])) else { break };
        let (value, after) = if after.starts_with('"')
            && let Some(quoted) = unquote(after)
        {
            quoted
        } else if let Some(lines) = after.strip_prefix("<\n") {
            let (value, after) = unindent(lines);
            (Cow::Owned(value), after)
        } else {
            let end = bare_end(after);
            let (value, after) = after.split_at_checked(end).unwrap_or((after, ""));
            (Cow::Borrowed(value), after)
        };
        each(name, value);
        rest = after;
    }
    Some(quoted)
}

/// A value that can be printed.
pub(crate) fn safe(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(value) => text::value(value),
        Cow::Owned(value) => Cow::Owned(text::value(&value).into_owned()),
    }
}

/// `key=` at the start of a text.
fn key(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b"_-./".contains(&b)))?;
    let (name, rest) = text.split_at_checked(end)?;
    Some((name, rest.strip_prefix('=')?)).filter(|_| !name.is_empty())
}

/// Where a value without quotes ends: before the next ` key=` that is not inside brackets. Go prints slices, maps and
/// structs with blanks in them.
fn bare_end(text: &str) -> usize {
    let scan = |brackets: bool| {
        let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
        for (at, b) in text.bytes().enumerate() {
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' if brackets => quoted = !quoted,
                _ if quoted => {}
                b'[' | b'{' | b'(' if brackets => depth += 1,
                b']' | b'}' | b')' if brackets => depth = depth.saturating_sub(1),
                b' ' | b'\n' if depth == 0 && text.get(at + 1..).and_then(key).is_some() => return Some(at),
                _ => {}
            }
        }
        (depth == 0 && !quoted).then_some(text.len())
    };
    // Brackets that do not close are no brackets.
    scan(true).or_else(|| scan(false)).unwrap_or(text.len())
}

/// The lines of a `key=<` value, without their tabs, and what follows its ` >`.
fn unindent(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if line.starts_with(" >") {
            return (value, rest.strip_prefix(" >").unwrap_or(""));
        }
        if !value.is_empty() {
            value.push('\n');
        }
        value.push_str(line.strip_prefix('\t').unwrap_or(line));
        rest = after;
    }
    (value, "")
}

/// A Go string literal at the start of a text (strconv.Quote), and what follows it.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let body = text.strip_prefix('"')?;
    let stop = memchr::memchr2(b'"', b'\\', body.as_bytes())?;
    let (plain, after) = body.split_at_checked(stop)?;
    if let Some(after) = after.strip_prefix('"') {
        return Some((Cow::Borrowed(plain), after));
    }
    let mut value = Vec::new();
    let mut rest = body;
    loop {
        let stop = memchr::memchr2(b'"', b'\\', rest.as_bytes())?;
        let (plain, after) = rest.split_at_checked(stop)?;
        value.extend_from_slice(plain.as_bytes());
        let mut after = after.chars();
        if after.next()? == '"' {
            return Some((Cow::Owned(text::utf8(&value).into_owned()), after.as_str()));
        }
        let kind = after.next()?;
        rest = after.as_str();
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        match kind {
            'a' => value.push(7),
            'b' => value.push(8),
            'f' => value.push(12),
            'n' => value.push(b'\n'),
            'r' => value.push(b'\r'),
            't' => value.push(b'\t'),
            'v' => value.push(11),
            '"' | '\\' | '\'' => value.push(u8::try_from(kind).ok()?),
            'x' | 'u' | 'U' => {
                let (hex, after) = rest.split_at_checked(digits)?;
                let code = u32::from_str_radix(hex, 16).ok()?;
                if kind == 'x' {
                    value.push(u8::try_from(code).ok()?);
                } else {
                    value.extend_from_slice(char::from_u32(code)?.to_string().as_bytes());
                }
                rest = after;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_is_taken_apart() {
        let line = parse("E0424 13:06:34.617057   27916 pod_workers.go:191] Error syncing pod").unwrap();
        assert_eq!(
            line,
            Line {
                severity: "E",
                at: Yearless { month: 4, day: 24, clock: [13, 6, 34], nanos: 617_057_000 },
                code: "pod_workers.go:191",
                message: "Error syncing pod"
            }
        );
        assert_eq!(parse("I0424 13:06:34.617057 1 a.go:1]").unwrap().message, "");
    }

    #[test]
    fn what_only_looks_like_a_header_is_none() {
        for line in [
            "",
            "E0424",
            "X0424 13:06:34.617057   27916 a.go:1] m",
            "E0424 13:06:34.61705x   27916 a.go:1] m",
            "E0424 13:06:34.617057   27x16 a.go:1] m",
            "E0424 13:06:34.617057   27916 a.go 1] m",
            "E0424 13:06:34.617057   27916 ago1] m",
            "E0424 13:06:34.617057   27916 a.go:1 m",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    fn read(message: &str) -> Vec<(String, String)> {
        structured(message).unwrap().values.into_iter().collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn pairs_are_read_with_and_without_quotes() {
        let message = r#""Probe failed" probeType="Readiness" pod="ns/web-0" podUID=1af660b3 IPs=["10.0.0.1", "10.0.0.2"] opts=&{A:1 B:two words} output="Get \"https://x\": \u00e4\t\xc3\xa4""#;
        assert_eq!(
            read(message),
            [
                pair("IPs", r#"["10.0.0.1", "10.0.0.2"]"#),
                pair("opts", "&{A:1 B:two words}"),
                pair("output", "Get \"https://x\": ä\tä"),
                pair("pod", "ns/web-0"),
                pair("podUID", "1af660b3"),
                pair("probeType", "Readiness"),
            ]
        );
    }

    #[test]
    fn a_value_of_several_lines_keeps_them() {
        let message = "\"Probe failed\" output=<\n\tfirst\n\t\tsecond\n > pod=\"ns/web-0\"";
        assert_eq!(read(message), [pair("output", "first\n\tsecond"), pair("pod", "ns/web-0")]);
    }

    #[test]
    fn brackets_that_do_not_close_do_not_swallow_the_rest() {
        assert_eq!(read(r#""m" a=[open b="x""#), [pair("a", "[open"), pair("b", "x")]);
        assert_eq!(read(r#""m" a=two words b=x"#), [pair("a", "two words"), pair("b", "x")]);
    }

    #[test]
    fn free_text_is_not_structured() {
        for message in ["Error syncing pod", r#""quoted" is bad"#, r#""never ended"#, r#""bad \q escape""#] {
            assert_eq!(structured(message), None, "{message}");
        }
        assert!(read(r#""Alone""#).is_empty());
    }

    proptest! {
        #[test]
        fn no_line_panics(tail in "\\PC*", message in "\"\\PC*") {
            let _ = parse(&tail);
            let _ = parse(&format!("E0424 13:06:34.617057   27916 {tail}"));
            let _ = structured(&message);
            let _ = structured(&format!("\"m\" k={tail}"));
        }

        #[test]
        fn pairs_come_back(values in prop::collection::btree_map("[a-zA-Z][a-zA-Z0-9]{0,8}", "[ -~]{0,20}", 0..8)) {
            use std::fmt::Write as _;
            let mut message = String::from("\"m\"");
            for (key, value) in &values {
                write!(message, " {key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")).unwrap();
            }
            let read = structured(&message).unwrap().values;
            prop_assert_eq!(read, values.into_iter().map(|(key, value)| (key, value.trim_end().to_owned())).collect());
        }
    }
}
