//! What a rule logs: bounded, and unable to forge a line of the host or to steer a terminal.

use std::fmt::Write as _;

use tracing::{debug, error, info, warn};

use crate::{bindings::log::Level, limits::Limits};

/// The log of one call.
pub(crate) struct Log {
    lines_left: usize,
    bytes_left: usize,
    line_bytes: usize,
    dropped: u64,
    cut: u64,
    last_error: Option<String>,
    /// Lines of level debug, within the limits.
    thoughts: Vec<String>,
}

impl Log {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            lines_left: limits.log_lines,
            bytes_left: limits.log_bytes,
            line_bytes: limits.log_line_bytes,
            dropped: 0,
            cut: 0,
            last_error: None,
            thoughts: Vec::new(),
        }
    }

    pub(crate) fn write(&mut self, rule: &str, level: Level, message: &str) {
        let (line, cut) = escape(message, self.line_bytes);
        if level == Level::Error {
            // A panic may come after a flood, so its words are kept past the limits.
            self.last_error = Some(line.clone());
        }
        if self.lines_left == 0 || line.len() > self.bytes_left {
            self.dropped += 1;
            return;
        }
        self.lines_left -= 1;
        self.bytes_left -= line.len();
        self.cut += u64::from(cut);
        match level {
            Level::Debug => {
                debug!(target: "kwhy::rule", rule, "{line}");
                self.thoughts.push(line);
            }
            Level::Info => info!(target: "kwhy::rule", rule, "{line}"),
            Level::Warn => warn!(target: "kwhy::rule", rule, "{line}"),
            Level::Error => error!(target: "kwhy::rule", rule, "{line}"),
        }
    }

    /// The last line of level error: a rule's panic hook writes one.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Takes what was written at level debug.
    pub(crate) fn take_thoughts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.thoughts)
    }

    /// Says what was lost, once a call.
    pub(crate) fn close(&self, rule: &str) {
        if self.dropped + self.cut > 0 {
            let (dropped, cut) = (self.dropped, self.cut);
            warn!(target: "kwhy::rule", rule, dropped, cut, "the rule logs too much; lines were dropped or cut");
        }
    }
}

/// `message` on one line of at most `limit` bytes, and whether it was cut.
pub(crate) fn escape(message: &str, limit: usize) -> (String, bool) {
    let mut line = String::new();
    for c in message.chars() {
        let before = line.len();
        if c.is_control() || steers_text(c) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
        if line.len() > limit {
            line.truncate(before);
            return (line, true);
        }
    }
    (line, false)
}

/// Line separators and the marks that change the direction of what follows.
fn steers_text(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_start_a_line_or_colour_a_terminal() {
        assert_eq!(escape("a\nERROR forged\x1b[31m\u{202e}", 100).0, "a\\nERROR forged\\u{1b}[31m\\u{202e}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(escape("äää", 5), ("ää".to_owned(), true));
        assert_eq!(escape("äää", 6), ("äää".to_owned(), false));
        assert_eq!(escape("a\n\n", 4), ("a\\n".to_owned(), true), "an escape is not cut in two");
    }

    #[test]
    fn lines_past_the_limit_are_counted_and_the_last_error_is_kept() {
        let mut log = Log::new(&Limits { log_lines: 2, ..Limits::default() });
        for level in [Level::Info, Level::Error, Level::Info, Level::Error] {
            log.write("r", level, if level == Level::Error { "bad" } else { "fine" });
        }
        assert_eq!((log.dropped, log.last_error()), (2, Some("bad")));
    }

    #[test]
    fn what_is_written_at_debug_is_kept_within_the_limits() {
        let mut log = Log::new(&Limits { log_lines: 3, ..Limits::default() });
        for (level, words) in
            [(Level::Debug, "one\n"), (Level::Info, "two"), (Level::Debug, "three"), (Level::Debug, "four")]
        {
            log.write("r", level, words);
        }
        assert_eq!(log.take_thoughts(), ["one\\n", "three"]);
    }

    #[test]
    fn all_lines_together_are_bounded_by_bytes() {
        let mut log = Log::new(&Limits { log_bytes: 10, ..Limits::default() });
        log.write("r", Level::Debug, "12345678");
        log.write("r", Level::Debug, "123");
        assert_eq!(log.dropped, 1);
        log.write("r", Level::Debug, "12");
        assert_eq!(log.dropped, 1, "what still fits is written");
    }
}
