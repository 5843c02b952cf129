//! How wide text may be and whether it may be coloured.

use std::ffi::OsStr;

/// What the place where text is shown can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colour and weight by escape sequences.
    pub color: bool,
    /// Columns a line may take; commands are longer if they must be.
    pub columns: usize,
}

impl Style {
    /// Wider lines are hard to read even where a terminal has room.
    pub const MOST_COLUMNS: usize = 100;
    /// Below this a layout in columns makes no sense; narrower terminals wrap.
    pub const FEWEST_COLUMNS: usize = 40;

    /// Plain text of full width, as for a file.
    #[must_use]
    pub fn plain() -> Self {
        Self { color: false, columns: Self::MOST_COLUMNS }
    }

    /// The style for standard output: colour on a terminal only and not where `NO_COLOR` is set to anything
    /// (<https://no-color.org>); the terminal's width within the limits above.
    #[must_use]
    pub fn detect(is_terminal: bool, no_color: Option<&OsStr>, columns: Option<usize>) -> Self {
        if !is_terminal {
            return Self::plain();
        }
        Self {
            color: no_color.is_none_or(OsStr::is_empty),
            columns: columns.unwrap_or(Self::MOST_COLUMNS).clamp(Self::FEWEST_COLUMNS, Self::MOST_COLUMNS),
        }
    }
}

impl Default for Style {
    fn default() -> Self {
        Self::plain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_and_no_objection() {
        let color =
            |terminal, no_color: Option<&str>| Style::detect(terminal, no_color.map(OsStr::new), None).color;
        assert!(color(true, None));
        assert!(color(true, Some("")), "an empty NO_COLOR counts as unset");
        assert!(!color(true, Some("1")));
        assert!(!color(false, None));
    }

    #[test]
    fn width_is_the_terminals_within_limits_and_full_in_a_file() {
        let columns = |terminal, columns| Style::detect(terminal, None, columns).columns;
        assert_eq!([Some(10), Some(80), Some(300), None].map(|it| columns(true, it)), [40, 80, 100, 100]);
        assert_eq!(columns(false, Some(50)), 100);
    }
}
