//! Foreign text made safe to print.
//!
//! Events, logs and annotations hold whatever their author put there, and have reached terminals with their escape
//! sequences intact before (CVE-2021-25743). Removed here: C0 and C1 controls, terminal escape sequences,
//! bidirectional controls (a line that reads otherwise than it is) and zero-width characters (two names that look
//! the same). What is left prints as what it is.

use std::{borrow::Cow, iter::Peekable, str::Chars};

/// Longest message of a signal in bytes, mark included.
pub const MESSAGE_LIMIT: usize = 4096;

/// Stands at the end of a text that was cut.
pub const MARK: char = '…';

/// What is looked at of an over-long text: escape sequences may make up most of it, but not without end.
const LOOK: usize = 4 * MESSAGE_LIMIT;

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
#[must_use]
pub fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly all is UTF-8, and to check that is several times as fast as to look for what is not.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// A text on one line: breaks and tabs become one space, unsafe characters go, blanks at the end go.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    scrub(text, false)
}

/// A text of several lines: as [`line()`], but line breaks and tabs stay.
#[must_use]
pub fn block(text: &str) -> Cow<'_, str> {
    scrub(text, true)
}

/// What becomes a signal's message: one line of at most [`MESSAGE_LIMIT`] bytes.
#[must_use]
pub fn message(text: &str) -> Cow<'_, str> {
    bounded(text, line)
}

/// An annotation or a structured value: several lines of at most [`MESSAGE_LIMIT`] bytes together.
#[must_use]
pub fn value(text: &str) -> Cow<'_, str> {
    bounded(text, block)
}

/// A name that comes from outside: one line of at most 253 bytes, the longest that Kubernetes allows.
#[must_use]
pub fn name(text: &str) -> String {
    prefix(&line(prefix(text, LOOK)), 253).to_owned()
}

/// The text itself if it has at most `limit` bytes, else as many whole characters as fit with [`MARK`] behind them.
#[must_use]
pub fn cut(text: Cow<'_, str>, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit { text } else { Cow::Owned(marked(&text, limit)) }
}

fn bounded<'a>(text: &'a str, clean: fn(&'a str) -> Cow<'a, str>) -> Cow<'a, str> {
    let head = prefix(text, LOOK);
    let clean = clean(head);
    if head.len() == text.len() {
        cut(clean, MESSAGE_LIMIT)
    } else {
        Cow::Owned(marked(&clean, MESSAGE_LIMIT))
    }
}

fn marked(text: &str, limit: usize) -> String {
    let mut out = prefix(text, limit.saturating_sub(MARK.len_utf8())).trim_end().to_owned();
    out.push(MARK);
    out
}

/// The longest prefix of whole characters that has at most `limit` bytes.
#[must_use]
pub fn prefix(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Keep,
    Drop,
    Break,
    Escape,
}

fn class(c: char, breaks: bool) -> Class {
    match c {
        ' '..='~' => Class::Keep,
        '\n' | '\t' if breaks => Class::Keep,
        // A carriage return moves the cursor back over what was printed; of a line end the \n is enough.
        '\r' if breaks => Class::Drop,
        '\n' | '\t' | '\r' | '\x0b' | '\x0c' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::Break,
        '\x1b' | '\u{90}' | '\u{98}' | '\u{9b}' | '\u{9d}'..='\u{9f}' => Class::Escape,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => Class::Drop,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => Class::Drop,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => {
            Class::Drop
        }
        _ => Class::Keep,
    }
}

fn scrub(text: &str, breaks: bool) -> Cow<'_, str> {
    // Nearly every line is plain ASCII; this loop has no branch, so it runs at memory speed.
    let plain = text.bytes().fold(true, |plain, b| plain & (0x20..0x7f).contains(&b));
    let dirty =
        if plain { None } else { text.char_indices().find(|(_, c)| class(*c, breaks) != Class::Keep) };
    let Some((clean, _)) = dirty else { return Cow::Borrowed(text.trim_end()) };

    let (head, tail) = text.split_at_checked(clean).unwrap_or(("", text));
    let mut out = String::with_capacity(text.len());
    out.push_str(head);
    let mut rest = tail.chars().peekable();
    let mut after_break = false;
    while let Some(c) = rest.next() {
        let class = class(c, breaks);
        match class {
            Class::Keep if c == ' ' && after_break => continue,
            Class::Keep => out.push(c),
            Class::Drop => {}
            Class::Break if breaks => out.push('\n'),
            Class::Break if out.ends_with(' ') || out.is_empty() => {}
            Class::Break => out.push(' '),
            Class::Escape => skip_escape(c, &mut rest),
        }
        // Indentation behind a break joins it in one space.
        after_break = (class == Class::Break && !breaks) || (after_break && class != Class::Keep);
    }
    out.truncate(out.trim_end().len());
    Cow::Owned(out)
}

/// Skips the rest of a terminal escape sequence (ECMA-48): CSI up to its final byte, strings (OSC, DCS …) up to their
/// terminator or the end of the line. Reads every character once.
fn skip_escape(introducer: char, rest: &mut Peekable<Chars<'_>>) {
    let kind = match introducer {
        '\x1b' => match rest.peek() {
            Some(&c @ ' '..='~') => {
                rest.next();
                c
            }
            _ => return,
        },
        '\u{9b}' => '[',
        _ => ']',
    };
    match kind {
        '[' => {
            while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
            rest.next_if(|c| ('@'..='~').contains(c));
        }
        ']' | 'P' | 'X' | '^' | '_' => {
            while let Some(c) = rest.next_if(|c| *c != '\n' && *c != '\r') {
                match c {
                    '\x07' | '\u{9c}' => break,
                    '\x1b' if rest.next_if_eq(&'\\').is_some() => break,
                    _ => {}
                }
            }
        }
        ' '..='/' => {
            while rest.next_if(|c| (' '..='/').contains(c)).is_some() {}
            rest.next_if(|c| ('0'..='~').contains(c));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_line_is_not_copied() {
        assert!(matches!(line("all quiet"), Cow::Borrowed("all quiet")));
        assert!(matches!(line("größer als 🙂"), Cow::Borrowed(_)), "nor one with other letters");
    }

    #[test]
    fn escape_sequences_go_and_their_text_stays() {
        assert_eq!(
            line("\x1b[31;1mred\x1b[0m and \x1b]8;;http://evil\x07link\x1b]8;;\x1b\\."),
            "red and link."
        );
        assert_eq!(line("\u{9b}31mred \u{9d}0;title\u{9c}x \x1b(B y \x1bc"), "red x  y");
        assert_eq!(line("a\x1b]0;never ended\nb"), "a b", "a string that is not ended hides no other line");
    }

    #[test]
    fn characters_that_deceive_go() {
        assert_eq!(line("a\u{202e}dcb\u{2066}x\u{2069}y\u{200b}z\u{feff}\u{7f}\0"), "adcbxyz");
    }

    #[test]
    fn breaks_become_one_space_or_stay() {
        assert_eq!(line("a:\n\t\tb\r\n   c  d\n"), "a: b c  d");
        assert_eq!(block("a:\n\tb\r\nc\u{2028}d\n"), "a:\n\tb\nc\nd");
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = "ä".repeat(3000);
        let cut = message(&long);
        assert!(cut.len() <= MESSAGE_LIMIT && cut.len() > MESSAGE_LIMIT - 4, "{}", cut.len());
        assert!(cut.ends_with("ä…"));
        assert!(message(&"x".repeat(1 << 20)).ends_with("x…"));
        assert_eq!(message(&"x".repeat(4096)).len(), 4096, "what just fits has no mark");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in "\\PC*|[\\x00-\\xff\\u{2000}-\\u{206f}]*") {
            for clean in [line(&text), message(&text)] {
                prop_assert!(clean.chars().all(|c| class(c, false) == Class::Keep));
                prop_assert_eq!(line(&clean), clean.as_ref());
            }
            prop_assert!(block(&text).chars().all(|c| class(c, true) == Class::Keep));
        }
    }
}
