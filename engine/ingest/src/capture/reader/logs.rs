//! Kubelet and container logs of a capture.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use kwhy_proto::{Timestamp, v1::Signal};

use super::{Reader, nodes::Nodes, untimed::Clock, words::Words};
use crate::{
    capture::{
        Interest,
        inventory::{Found, Kind},
        problem::Unit,
    },
    journal::{self, Stamp},
    lines::Lines,
    log::{self, Container, Text},
    multiline::Joiner,
    text,
};

/// Longest line of a log; a message is cut far below.
pub(super) const LOG_LINE: usize = 1 << 20;
/// Longest message that is put together from several lines of journalctl.
const MESSAGE: usize = 64 * 1024;

/// Where a log text stood and when it was written.
#[derive(Debug, Clone, Copy)]
struct Head {
    line: u32,
    /// Which of the nodes in the file.
    node: usize,
    stamp: Stamp,
    priority: Option<u8>,
}

/// An entry whose further lines follow, indented.
struct Open {
    head: Head,
    indent: usize,
    message: String,
}

impl Reader<'_> {
    pub(super) fn kubelet(&mut self, file: &Found) {
        let Kind::Kubelet { node } = &file.kind else { return };
        let mut nodes = Nodes::of(node);
        let Some(source) = self.open(file) else { return };
        let mut lines = Lines::new(source, LOG_LINE);
        let mut joiner = Joiner::new();
        let mut open: Option<Open> = None;
        let (mut number, mut understood, mut ends) = (0u32, false, None);
        // In bare klog, the stamp of the line that further lines of a message belong to.
        let mut bare = None;
        while let Some(line) = lines.next() {
            number = number.saturating_add(1);
            self.lines_read += 1;
            let text = text::utf8(line.bytes);
            let more = line.next == Some(b' ');
            if let Some(mut entry) = open.take_if(|_| text.starts_with(' ')) {
                let blanks = text.bytes().take(entry.indent).take_while(|b| *b == b' ').count();
                if entry.message.len() + text.len() < MESSAGE {
                    entry.message.push('\n');
                    entry.message.push_str(text.get(blanks..).unwrap_or_default());
                }
                if more {
                    open = Some(entry);
                } else {
                    joiner.feed(entry.head, &entry.message, |head, text| {
                        self.kubelet_line(file, &nodes, ends, head, Text::read(text))
                    });
                }
                continue;
            }
            match journal::parse(&text) {
                Ok(journal::Line::Entry(entry)) if nodes.many && entry.host.is_empty() => {
                    let reason = "does not say of which node it is";
                    self.problems.add(&file.file, Unit::Line, number, reason, None);
                }
                Ok(journal::Line::Entry(entry)) => {
                    understood = true;
                    let node = nodes.number(&entry.host, &self.nodes);
                    let head = Head { line: number, node, stamp: entry.stamp, priority: entry.priority };
                    bare = entry.bare.map(|_| entry.stamp);
                    if entry.bare.is_some() && joiner.passes(&entry.message) {
                        // Nearly all of a file that may be huge: the header is not read twice.
                        self.kubelet_line(file, &nodes, ends, head, Text::with(entry.bare, &entry.message));
                        continue;
                    }
                    if more && entry.indent > 0 {
                        open = Some(Open { head, indent: entry.indent, message: entry.message.into_owned() });
                    } else {
                        joiner.feed(head, &entry.message, |head, text| {
                            self.kubelet_line(file, &nodes, ends, head, Text::read(text))
                        });
                    }
                }
                Ok(journal::Line::Note(end)) => {
                    understood = true;
                    ends = end.or(ends);
                }
                Err(_) if text.trim().is_empty() => {}
                Err(_) if let Some(stamp) = bare => {
                    let head = Head { line: number, node: 0, stamp, priority: None };
                    joiner.feed(head, &text, |head, text| {
                        self.kubelet_line(file, &nodes, ends, head, Text::read(text))
                    });
                }
                Err(bad) => self.problems.add(&file.file, Unit::Line, number, bad, None),
            }
        }
        joiner.finish(|head, text| self.kubelet_line(file, &nodes, ends, head, Text::read(text)));
        let failure = lines.failure().map(ToString::to_string);
        self.ended(file, number, failure, understood);
    }

    fn kubelet_line(
        &mut self,
        file: &Found,
        nodes: &Nodes,
        ends: Option<Timestamp>,
        head: Head,
        mut text: Text<'_>,
    ) {
        if text.severity.is_empty() {
            text.severity = journal::severity(head.priority);
        }
        if !wants(self.interest, "kubelet", &mut text) {
            return;
        }
        let at = match head.stamp {
            Stamp::At(at) => Some(at),
            Stamp::Yearless(at) => {
                let span = self.to.map(|to| i64::try_from(to / 1000).unwrap_or(i64::MAX));
                let seen = self.seen.and_then(|(_, last)| i64::try_from(last / 1000).ok());
                let reference = span.or(ends.map(|ends| ends.seconds)).or(seen);
                let Some(reference) = reference else {
                    let reason = "a time without a year, and nothing in the capture tells it; add a capture.yaml with from and to";
                    self.problems.add(&file.file, Unit::Line, head.line, reason, None);
                    return;
                };
                self.days.resolve(at, reference)
            }
        };
        let Some(at) = at else {
            self.problems.add(&file.file, Unit::Line, head.line, journal::BadLine::Format, None);
            return;
        };
        let origin = format!("{}:{}", file.name, head.line);
        let node = nodes.names.get(head.node).map_or("", String::as_str);
        // A node may be in more than one file of many.
        let many = if nodes.many { format!("{}:", file.name) } else { String::new() };
        let position = format!("{many}{:010}", head.line);
        let signal = log::kubelet(&self.cluster, node, &text, at, &position, origin);
        self.push(signal);
    }

    /// All container logs. A container's log and previous log are read together: while a container waits for its next
    /// start, both hold the same run, whose lines must count once.
    pub(super) fn pod_logs<'f>(&mut self, files: impl Iterator<Item = &'f Found>) {
        let mut containers: BTreeMap<_, (Option<&Found>, Option<&Found>)> = BTreeMap::new();
        for file in files {
            let Kind::Log { namespace, pod, container, previous, .. } = &file.kind else { continue };
            let pair = containers.entry((namespace, pod, container)).or_default();
            *if *previous { &mut pair.0 } else { &mut pair.1 } = Some(file);
        }
        for (previous, current) in containers.into_values() {
            let current = current.map(|file| self.pod_log(file)).unwrap_or_default();
            let mut older = previous.map(|file| self.pod_log(file)).unwrap_or_default();
            let known: BTreeSet<_> = current.iter().map(key).collect();
            older.retain(|signal| !known.contains(&key(signal)));
            older.into_iter().chain(current).for_each(|signal| self.push(signal));
        }
    }

    fn pod_log(&mut self, file: &Found) -> Vec<Signal> {
        let Kind::Log { namespace, pod, container, previous, timed } = &file.kind else { return Vec::new() };
        let of = Container { namespace, pod, name: container, previous: *previous };
        let mut clock = if *timed { Clock::Lines } else { self.clock_of(file, of) };
        let Some(source) = self.open(file) else { return Vec::new() };
        let mut lines = Lines::new(source, LOG_LINE);
        let mut words = Words::new(self.interest, &self.cluster, of, &file.name);
        let (mut number, mut understood) = (0u32, false);
        while let Some(line) = lines.next() {
            number = number.saturating_add(1);
            self.lines_read += 1;
            let text: Cow<'_, str> = text::utf8(line.bytes);
            match clock.place(&text) {
                Some((at, text)) => {
                    understood = true;
                    words.feed(number, at, text);
                }
                None if text.trim().is_empty() => {}
                None => {
                    let reason = "does not start with a time; collect with `kubectl logs --timestamps`";
                    self.problems.add(&file.file, Unit::Line, number, reason, None);
                }
            }
        }
        let signals = words.finish();
        let failure = lines.failure().map(ToString::to_string);
        self.ended(file, number, failure, understood);
        signals
    }
}

/// Whether the line shall become a signal, and notes whether a rule wants it.
pub(super) fn wants(interest: &dyn Interest, source: &str, text: &mut Text<'_>) -> bool {
    text.wanted = !text.message.is_empty() && interest.wants_line(source, &text.message, text.severity);
    text.wanted || (text.is_warning() && !text.message.is_empty())
}

fn key(signal: &Signal) -> (i64, i32, &str) {
    let at = signal.at.unwrap_or_default();
    (at.seconds, at.nanos, &signal.message)
}
