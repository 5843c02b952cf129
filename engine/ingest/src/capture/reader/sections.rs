//! The logs of a pod in one file, as `kubectl cluster-info dump` writes them: a mark, what a container says, a mark.

use std::io::Read;

use super::logs::LOG_LINE;
use crate::{lines::Lines, text};

/// A line of the logs of a pod.
pub(super) enum Part<'t> {
    /// The log of a container starts.
    Start(&'t str),
    /// What it says.
    Line(&'t str),
    /// Neither in a log nor the start of one.
    Outside,
}

/// Passes on the lines of a pod's logs; gives their number, and what ended the reading early.
pub(super) fn sections(
    source: impl Read,
    namespace: &str,
    pod: &str,
    mut each: impl FnMut(u32, Part<'_>),
) -> (u32, Option<String>) {
    let mut lines = Lines::new(source, LOG_LINE);
    let mut number = 0u32;
    // The mark by which the open log ends, and whether it has a line already.
    let mut open: Option<(String, bool)> = None;
    let (starts, ends) = ("==== START logs for container ", format!(" of pod {namespace}/{pod} ===="));
    while let Some(line) = lines.next() {
        number = number.saturating_add(1);
        let text = text::utf8(line.bytes);
        let Some((end, any)) = &mut open else {
            match text.strip_prefix(starts).and_then(|rest| rest.strip_suffix(&ends)) {
                Some(container) => {
                    each(number, Part::Start(container));
                    open = Some((format!("==== END logs for container {container}{ends}"), false));
                }
                None if text.trim().is_empty() => {}
                None => each(number, Part::Outside),
            }
            continue;
        };
        // A log that does not end with a line break has the mark in its last line.
        let last = text.strip_suffix(end.as_str());
        let words = last.unwrap_or(&text);
        // kubectl's own words where it got no log: the container never started, or its log is gone.
        let none = !*any
            && ["Request log error: ", "Create log request error: "].iter().any(|e| words.starts_with(e));
        if !words.is_empty() && !none {
            each(number, Part::Line(words));
        }
        *any = true;
        if last.is_some() {
            open = None;
        }
    }
    (number, lines.failure().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(log: &str) -> Vec<String> {
        let mut all = Vec::new();
        sections(log.as_bytes(), "ns", "p", |number, part| {
            all.push(match part {
                Part::Start(container) => format!("{number} start {container}"),
                Part::Line(text) => format!("{number} {text}"),
                Part::Outside => format!("{number} outside"),
            });
        });
        all
    }

    #[test]
    fn logs_of_a_pod_are_told_apart_by_the_marks_of_kubectl() {
        let log = "==== START logs for container a of pod ns/p ====\none\n\n==== START logs for container b of pod ns/p ====\n\
                   no break==== END logs for container a of pod ns/p ====\n==== START logs for container b of pod ns/p ====\n\
                   Request log error: the server rejected our request\n==== END logs for container b of pod ns/p ====\nx\n";
        let expected = [
            "1 start a",
            "2 one",
            "4 ==== START logs for container b of pod ns/p ====",
            "5 no break",
            "6 start b",
            "9 outside",
        ];
        assert_eq!(read(log), expected);
    }
}
