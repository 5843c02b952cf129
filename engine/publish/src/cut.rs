//! Fits text into columns or characters: cuts in the middle on grapheme boundaries, wraps at words.
//!
//! Works on text that [`sanitize`](crate::sanitize) has been through.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns a terminal needs for `text`.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Which part of a text tells the most.
#[derive(Clone, Copy)]
pub(crate) enum Telling {
    /// A name: its start says what it is, its end which one.
    Ends,
    /// A sentence or log line: most of it is at the start.
    Start,
}

/// `text` in at most `room` columns, with `…` for what was taken out of its middle.
pub(crate) fn middle(text: &str, room: usize, telling: Telling) -> String {
    fit(text, room, telling, width)
}

/// The same counted in characters, for the limits of chat services.
pub(crate) fn chars(text: &str, room: usize, telling: Telling) -> String {
    fit(text, room, telling, |part| part.chars().count())
}

fn fit(text: &str, room: usize, telling: Telling, size: fn(&str) -> usize) -> String {
    if size(text) <= room {
        return text.to_owned();
    }
    let kept = room.saturating_sub(1);
    let tail = match telling {
        Telling::Ends => kept / 2,
        Telling::Start => kept / 4,
    };
    let head: String = take(text.graphemes(true), kept - tail, size).concat();
    let mut end = take(text.graphemes(true).rev(), tail, size);
    end.reverse();
    if room == 0 {
        return String::new();
    }
    format!("{}…{}", head.trim_end(), end.concat().trim_start())
}

/// Graphemes from the front while they fit.
fn take<'a>(graphemes: impl Iterator<Item = &'a str>, room: usize, size: fn(&str) -> usize) -> Vec<&'a str> {
    let mut used = 0;
    graphemes
        .take_while(|grapheme| {
            used += size(grapheme);
            used <= room
        })
        .collect()
}

/// `text` in lines of at most `room` columns, broken at spaces; a word longer than a line is broken where it must be.
/// What does not fit in `most` lines is cut from the middle.
pub(crate) fn wrap(text: &str, room: usize, most: usize) -> Vec<String> {
    let room = room.max(8);
    let whole = broken(text, room, most);
    if whole.len() <= most {
        return whole;
    }
    // A break at a word may leave columns unused, so shrink until the lines are few enough.
    let mut budget = room.saturating_mul(most);
    while budget > room {
        let lines = broken(&middle(text, budget, Telling::Start), room, most);
        if lines.len() <= most {
            return lines;
        }
        budget = budget.saturating_sub(room / 8 + 1);
    }
    vec![middle(text, room, Telling::Start)]
}

/// The lines of `text`; where they are more than `most`, only so many that it shows.
fn broken(text: &str, room: usize, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if lines.len() > most {
            return lines;
        }
        let gap = usize::from(!line.is_empty());
        let wide = width(word);
        if used + gap + wide <= room {
            line.push_str(if gap == 1 { " " } else { "" });
            line.push_str(word);
            used += gap + wide;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        for grapheme in word.graphemes(true) {
            let wide = width(grapheme);
            if used + wide > room {
                lines.push(std::mem::take(&mut line));
                used = 0;
                if lines.len() > most {
                    return lines;
                }
            }
            line.push_str(grapheme);
            used += wide;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_keeps_both_ends_and_a_line_most_of_its_start() {
        assert_eq!(middle("coredns-66bff467f8-k2g6n", 15, Telling::Ends), "coredns…8-k2g6n");
        assert_eq!(middle("failed to open /data: no space", 17, Telling::Start), "failed to op…pace");
    }

    #[test]
    fn a_wide_letter_counts_two_columns_and_an_emoji_is_not_torn() {
        assert_eq!(middle("水水水水水", 5, Telling::Ends), "水…水");
        assert_eq!(chars("👩🏽👩🏽👩🏽", 4, Telling::Start), "👩🏽…");
    }

    #[test]
    fn text_wraps_at_words_and_breaks_only_a_word_longer_than_a_line() {
        assert_eq!(wrap("give CoreDNS an upstream", 12, 9), ["give CoreDNS", "an upstream"]);
        assert_eq!(wrap("see aaaaaaaaaabbb now", 10, 9), ["see", "aaaaaaaaaa", "bbb now"]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_asked(text in "\\PC{0,300}", room in 8_usize..100, most in 1_usize..5) {
            let lines = wrap(&text, room, most);
            prop_assert!(lines.len() <= most);
            for line in lines {
                prop_assert!(width(&line) <= room, "{line:?}");
            }
            prop_assert!(width(&middle(&text, room, Telling::Ends)) <= room);
            prop_assert!(chars(&text, room, Telling::Start).chars().count() <= room);
        }
    }
}
