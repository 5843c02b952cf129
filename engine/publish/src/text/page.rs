//! Lines of coloured text that know their width.
//!
//! Nothing reaches the output but through [`Line::add`], which lets no hidden character pass.

use anstyle::{AnsiColor, Style as Ansi};

use super::Style;
use crate::{cut, sanitize::hidden};

/// Where fewer columns than these are left, text goes below instead of into a ribbon.
const LEAST: usize = 12;

/// What a piece of text is for; colour follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Title,
    Label,
    Quiet,
    Critical,
    Warning,
    Info,
    Good,
    Command,
}

impl Ink {
    fn ansi(self) -> Ansi {
        let colour = |it: AnsiColor| Ansi::new().fg_color(Some(it.into()));
        match self {
            Self::Plain => Ansi::new(),
            Self::Title | Self::Label => Ansi::new().bold(),
            Self::Quiet => Ansi::new().dimmed(),
            Self::Critical => colour(AnsiColor::Red).bold(),
            Self::Warning => colour(AnsiColor::Yellow).bold(),
            Self::Info => colour(AnsiColor::Blue).bold(),
            Self::Good => colour(AnsiColor::Green).bold(),
            Self::Command => colour(AnsiColor::Cyan),
        }
    }
}

/// One line under construction.
#[derive(Default)]
pub(super) struct Line {
    parts: Vec<(Ink, String)>,
    width: usize,
}

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn add(mut self, ink: Ink, text: &str) -> Self {
        let text: String = text.chars().filter(|c| !hidden(*c)).collect();
        self.width += cut::width(&text);
        self.parts.push((ink, text));
        self
    }

    pub(super) fn plain(self, text: &str) -> Self {
        self.add(Ink::Plain, text)
    }

    /// Spaces up to `column`, and at least two where something stands before.
    pub(super) fn to(self, column: usize) -> Self {
        let least = if self.width == 0 { 0 } else { 2 };
        let column = column.max(self.width + least);
        self.pad(column)
    }

    /// Spaces up to `column`; none where something stands there.
    pub(super) fn pad(self, column: usize) -> Self {
        let spaces = column.saturating_sub(self.width);
        self.plain(&" ".repeat(spaces))
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// The text so far.
pub(super) struct Page {
    style: Style,
    out: String,
    gap: bool,
}

impl Page {
    pub(super) fn new(style: &Style) -> Self {
        let columns = style.columns.clamp(Style::FEWEST_COLUMNS, Style::MOST_COLUMNS);
        Self { style: Style { columns, ..*style }, out: String::new(), gap: false }
    }

    pub(super) fn columns(&self) -> usize {
        self.style.columns
    }

    pub(super) fn put(&mut self, mut line: Line) {
        while let Some((_, text)) = line.parts.last_mut() {
            text.truncate(text.trim_end().len());
            if !text.is_empty() {
                break;
            }
            line.parts.pop();
        }
        if std::mem::take(&mut self.gap) {
            self.out.push('\n');
        }
        let mut written = String::new();
        for (ink, text) in line.parts {
            let ansi = ink.ansi();
            match self.style.color && ansi != Ansi::new() && !text.trim().is_empty() {
                true => written.push_str(&format!("{}{text}{}", ansi.render(), ansi.render_reset())),
                false => written.push_str(&text),
            }
        }
        self.out.push_str(&written);
        self.out.push('\n');
    }

    /// An empty line before the next, if there is one.
    pub(super) fn gap(&mut self) {
        self.gap = !self.out.is_empty();
    }

    /// `text` in lines that all start at the column where `first` ends; at most `most` of full width, or as many narrower
    /// ones as hold the same.
    pub(super) fn wrapped(&mut self, first: Line, ink: Ink, text: &str, most: usize) {
        let most = most.saturating_mul(Style::MOST_COLUMNS) / self.columns();
        let mut first = first;
        if first.width() + LEAST > self.columns() {
            self.put(first);
            first = Line::new().to(10);
        }
        let column = first.width();
        let mut first = Some(first);
        for part in cut::wrap(text, self.columns().saturating_sub(column), most) {
            let line = first.take().unwrap_or_else(|| Line::new().to(column));
            self.put(line.add(ink, &part));
        }
        if let Some(unused) = first {
            self.put(unused);
        }
    }

    /// Parts with ` · ` between, broken between parts where a line is full.
    pub(super) fn flow(&mut self, first: Line, indent: usize, parts: Vec<(Ink, String)>) {
        let mut line = first;
        let mut fresh = true;
        for (ink, part) in parts.into_iter().filter(|(_, part)| !part.is_empty()) {
            if !fresh && line.width() + 3 + cut::width(&part) > self.columns() {
                self.put(line);
                line = Line::new().to(indent);
                fresh = true;
            }
            line = if fresh { line } else { line.add(Ink::Quiet, " · ") };
            let room = self.columns().saturating_sub(line.width().max(indent));
            let mut pieces = cut::wrap(&part, room, usize::MAX).into_iter().peekable();
            while let Some(piece) = pieces.next() {
                line = line.add(ink, &piece);
                if pieces.peek().is_some() {
                    self.put(line);
                    line = Line::new().to(indent);
                }
            }
            fresh = false;
        }
        self.put(line);
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_of_a_text_passes_even_unsanitised() {
        let mut page = Page::new(&Style::plain());
        page.put(Line::new().plain("a\u{1b}[31mb\u{202e}c\rd"));
        assert_eq!(page.finish(), "a[31mbcd\n");
    }

    #[test]
    fn parts_flow_over_lines_without_being_torn() {
        let mut page = Page::new(&Style { color: false, columns: 40 });
        let parts =
            ["homelab", "2020-04-24 13:05 → 13:35 UTC", "2 nodes"].map(|it| (Ink::Plain, it.to_owned()));
        page.flow(Line::new(), 2, parts.into());
        assert_eq!(page.finish(), "homelab · 2020-04-24 13:05 → 13:35 UTC\n  2 nodes\n");
    }
}
