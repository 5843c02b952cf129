//! Values that klog writes over several lines, put together again.
//!
//! klog writes a value with line breaks as `key=<`, the lines each behind a tab, and ` >`
//! (kubernetes/klog, internal/serialize/keyvalues.go). The journal and the container runtime make an entry of each line,
//! so one message arrives as several.

use crate::klog;

/// What is kept of a joined text; a message is cut long before.
const LIMIT: usize = 64 * 1024;

/// Passes texts on, joined where klog had split them. `H` is what belongs to a text: its time, its line.
#[derive(Debug, Default)]
pub struct Joiner<H> {
    open: Option<(H, String)>,
}

impl<H> Joiner<H> {
    /// With nothing open.
    #[must_use]
    pub fn new() -> Self {
        Self { open: None }
    }

    /// Whether this text stands alone, so that feeding it would only hand it on.
    #[must_use]
    pub fn passes(&self, text: &str) -> bool {
        self.open.is_none() && !text.ends_with("=<")
    }

    /// Whether a text waits for more of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes one entry and hands on what is complete, with the head of its first line. Copies only texts that have a
    /// value over several lines.
    pub fn feed(&mut self, head: H, text: &str, mut out: impl FnMut(H, &str)) {
        if let Some((first, mut whole)) = self.open.take() {
            let end = text.starts_with(" >");
            if end || text.starts_with('\t') {
                if whole.len() + text.len() < LIMIT {
                    whole.push('\n');
                    whole.push_str(text);
                }
                if end && !text.ends_with("=<") {
                    out(first, &whole);
                } else {
                    self.open = Some((first, whole));
                }
                return;
            }
            out(first, &whole);
        }
        if text.ends_with("=<") && klog::parse(text).is_some() {
            self.open = Some((head, text.to_owned()));
        } else {
            out(head, text);
        }
    }

    /// Hands on what is still open at the end of the input.
    pub fn finish(&mut self, mut out: impl FnMut(H, &str)) {
        if let Some((head, whole)) = self.open.take() {
            out(head, &whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(texts: &[&str]) -> Vec<(usize, String)> {
        let mut joiner = Joiner::new();
        let mut out = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            joiner.feed(at, text, |at, text| out.push((at, text.to_owned())));
        }
        joiner.finish(|at, text| out.push((at, text.to_owned())));
        out
    }

    const OPEN: &str = "I0424 13:06:41.923749    1043 prober.go:107] \"Probe failed\" output=<";

    #[test]
    fn a_value_over_several_lines_is_one_message() {
        let got =
            join(&[OPEN, "\tline one", "\tline two", " > pod=<", "\tx", " > probe=\"Readiness\"", "next"]);
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].0, 0);
        assert_eq!(
            got[0].1,
            format!("{OPEN}\n\tline one\n\tline two\n > pod=<\n\tx\n > probe=\"Readiness\"")
        );
        assert_eq!(got[1], (6, "next".to_owned()));
    }

    #[test]
    fn a_line_that_does_not_belong_ends_the_value() {
        let got = join(&[OPEN, "\tline one", "E0424 13:06:42.000000    1043 a.go:1] other"]);
        assert_eq!(got.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn only_klog_opens_a_value() {
        assert_eq!(join(&["not klog x=<", "\ta", " >"]).len(), 3);
        assert_eq!(join(&[OPEN]).len(), 1, "and what stays open is not lost");
    }
}
