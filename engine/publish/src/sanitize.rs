//! Takes from foreign text whatever a terminal or a chat client would obey or hide instead of show.
//!
//! Log lines, labels and event messages are written by whoever runs a pod. An escape sequence in them could repaint the
//! terminal (CVE-2021-25743), a bidirectional override could make a command read as another. This module hides which
//! characters those are; what remains is printable and each combining mark has a base.

use unicode_width::UnicodeWidthChar;

/// More marks than any script puts on one letter; above that it is a stack meant to cover the lines around it.
const MARKS: usize = 3;

/// Whether `c` is obeyed or invisible rather than shown: control, bidirectional, zero-width, tag and filler characters.
#[must_use]
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// `text` as one printable line. Colour codes of a log line are dropped whole, line breaks and tabs become one space,
/// other hidden characters go; what an unfinished escape sequence would have swallowed stays readable.
#[must_use]
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                if let Some(after) = colour_code(rest.as_str()) {
                    rest = after.chars();
                }
            }
            '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
                marks = 0;
            }
            _ if hidden(c) => {}
            _ if c.width() == Some(0) => {
                // A space is no base: it may go from the end, and the mark would stand alone.
                if marks < MARKS && out.ends_with(|c: char| !c.is_whitespace()) {
                    out.push(c);
                    marks += 1;
                }
            }
            _ => {
                out.push(c);
                marks = 0;
            }
        }
    }
    out.trim().to_owned()
}

/// The non-empty lines of `text`, each as [`line`] leaves it. For excerpts of several lines and for commands.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).map(line).filter(|line| !line.is_empty())
}

/// What follows the CSI sequence whose ESC was just read; none where it is no complete one.
fn colour_code(after_escape: &str) -> Option<&str> {
    let body = after_escape.strip_prefix('[')?;
    let end = body.find(|c: char| !matches!(c, ' '..='?'))?;
    let (_, last) = body.split_at(end);
    last.strip_prefix(|c: char| matches!(c, '@'..='~'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colour_codes_of_an_application_go_without_a_trace() {
        assert_eq!(line("\u{1b}[1;31mERROR\u{1b}[0m cannot open \u{1b}[2K/data"), "ERROR cannot open /data");
    }

    #[test]
    fn a_title_sequence_cannot_swallow_the_words_after_it() {
        assert_eq!(line("a\u{1b}]0;owned\u{7}b\u{1b}[12"), "a]0;ownedb[12");
        assert_eq!(line("8-bit \u{9b}31m csi"), "8-bit 31m csi");
    }

    #[test]
    fn overrides_and_invisible_characters_go() {
        assert_eq!(line("rm\u{202e} -rf\u{200b} \u{2066}x\u{feff}\u{e0041}"), "rm -rf x");
    }

    #[test]
    fn breaks_become_one_space() {
        assert_eq!(line("\r\n one\r\n\ttwo\u{2028}three\n"), "one two three");
        assert_eq!(lines("- a\n\n+\tb\r\n").collect::<Vec<_>>(), ["- a", "+ b"]);
    }

    #[test]
    fn letters_keep_their_marks_but_no_tower_of_them() {
        assert_eq!(line("e\u{301}"), "e\u{301}");
        assert_eq!(line(&format!("e{}", "\u{301}".repeat(1000))).chars().count(), 1 + MARKS);
        assert_eq!(line("\u{301}a"), "a");
        assert_eq!(line("\u{2000}\u{110c2}"), "", "a mark on a space that is trimmed");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_a_second_pass_changes_nothing(text in any::<String>()) {
            let clean = line(&text);
            prop_assert!(!clean.chars().any(hidden));
            prop_assert_eq!(line(&clean), clean);
        }

        #[test]
        fn plain_words_stay_as_they_are(text in "[!-~]{1,20}( [!-~äß水]{1,9}){0,9}") {
            prop_assert_eq!(line(&text), text);
        }
    }
}
