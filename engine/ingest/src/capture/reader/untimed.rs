//! Container logs that were collected without times: `kubectl cluster-info dump` and support bundles.
//!
//! A line is placed by the time that it tells itself, where it tells one between the start and the end of the run. One
//! that tells none has the time of the line before it, and lines ahead of the first that tells one have that one's. Where
//! no line of a log tells a time, all are placed, in their order, at the end of the run: when the container ended, or
//! when the dump was taken if it still runs. What a container said last is what matters most of such a log.

use std::collections::BTreeMap;

use kwhy_proto::{Timestamp, millis, timestamp};
use serde_json::Value;

use super::{
    Reader,
    logs::LOG_LINE,
    sections::{Part, sections},
    words::Words,
};
use crate::{
    capture::{
        inventory::{Found, Kind},
        problem::Unit,
    },
    container,
    lines::{self, Lines},
    log::Container,
    object::text_at,
    stamp, text, time,
};

/// How far a line's own time may be outside of its run: clocks differ, and statuses are written a while later, ms.
const SLACK: u64 = 10 * 60_000;

/// Whether a file is such a log.
pub(super) fn is(kind: &Kind) -> bool {
    matches!(kind, Kind::PodLog { .. } | Kind::Log { timed: false, .. })
}

/// A run of a container, ms since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Run {
    started: Option<u64>,
    /// None for one that goes on.
    ended: Option<u64>,
}

/// When containers ran, by what their pods say.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Whether anybody asks.
    pub(super) wanted: bool,
    /// By namespace, pod and container, the present run and the one before.
    known: BTreeMap<[String; 3], [Run; 2]>,
}

impl Runs {
    /// Notes what an object says, if it is a pod.
    pub(super) fn see(&mut self, object: &Value) {
        if !self.wanted || text_at(object, "/kind") != "Pod" {
            return;
        }
        let name = |pointer: &str| text::name(text_at(object, pointer));
        let (namespace, pod) = (name("/metadata/namespace"), name("/metadata/name"));
        for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
            let statuses = object.pointer(&format!("/status/{list}")).and_then(Value::as_array);
            for status in statuses.into_iter().flatten() {
                let before = run(status, "/lastState/terminated");
                // One that waits for its next start shows its last run.
                let present =
                    run(status, "/state/running").or_else(|| run(status, "/state/terminated")).or(before);
                let of = [namespace.clone(), pod.clone(), text::name(text_at(status, "/name"))];
                self.known.insert(of, [present.unwrap_or_default(), before.unwrap_or_default()]);
            }
        }
    }

    fn of(&self, of: Container<'_>) -> Run {
        let key = [of.namespace, of.pod, of.name].map(str::to_owned);
        self.known
            .get(&key)
            .map(|[present, before]| if of.previous { *before } else { *present })
            .unwrap_or_default()
    }
}

fn run(status: &Value, state: &str) -> Option<Run> {
    let state = status.pointer(state)?;
    let at = |field: &str| time::parse(text_at(state, field)).as_ref().map(millis);
    Some(Run { started: at("/startedAt"), ended: at("/finishedAt") })
}

/// Tells the time of each line of a log.
pub(super) enum Clock {
    /// Each line starts with its time.
    Lines,
    /// The lines tell it themselves, some of them.
    Own(Own),
}

impl Clock {
    /// When a line was written, and what it says; none where that cannot be told.
    pub(super) fn place<'t>(&mut self, text: &'t str) -> Option<(Timestamp, &'t str)> {
        match self {
            Self::Lines => container::parse(text),
            Self::Own(own) => Some(own.place(text)),
        }
    }
}

/// The clock of a log whose lines may tell their times.
#[derive(Debug)]
pub(super) struct Own {
    /// From when to when the container ran, with some slack, ms.
    within: (u64, u64),
    /// Where a line goes that tells no time.
    at: Timestamp,
    days: time::Days,
}

impl Own {
    /// The time that a line tells, and what else it says.
    fn told<'t>(&mut self, text: &'t str) -> Option<(Timestamp, &'t str)> {
        let (from, to) = self.within;
        let fits = |at: &Timestamp| (from..=to).contains(&millis(at));
        // Some bundles are collected with times.
        if let Some(timed) = container::parse(text).filter(|(at, _)| fits(at)) {
            return Some(timed);
        }
        let at = match stamp::find(text)? {
            stamp::Stamp::At(at) => at,
            stamp::Stamp::Yearless(at) => self.days.resolve(at, i64::try_from(to / 1000).ok()?)?,
        };
        Some((at, text)).filter(|(at, _)| fits(at))
    }

    fn place<'t>(&mut self, text: &'t str) -> (Timestamp, &'t str) {
        let (at, text) = self.told(text).unwrap_or((self.at, text));
        self.at = at;
        (at, text)
    }
}

impl Reader<'_> {
    /// The clock of a container that nobody has looked for times yet.
    fn unset(&self, of: Container<'_>) -> Own {
        let Run { started, ended } = self.runs.of(of);
        let taken = self.taken.max(self.seen.map(|(_, last)| last)).unwrap_or(0);
        let end = ended.unwrap_or_else(|| self.to.unwrap_or(taken));
        let within = (started.unwrap_or(0).saturating_sub(SLACK), end.saturating_add(SLACK));
        Own { within, at: timestamp(end), days: time::Days::default() }
    }

    /// The clock of a log, set to the first time that a line of it tells.
    pub(super) fn clock_of(&mut self, file: &Found, of: Container<'_>) -> Clock {
        let mut clock = self.unset(of);
        // What is wrong with the file is told when it is read.
        let source = lines::open(&file.path).ok().and_then(|source| lines::text(source).ok());
        let mut lines = source.map(|source| Lines::new(source, LOG_LINE));
        while let Some(line) = lines.as_mut().and_then(Lines::next) {
            if let Some((at, _)) = clock.told(&text::utf8(line.bytes)) {
                clock.at = at;
                break;
            }
        }
        Clock::Own(clock)
    }

    /// The logs of a whole pod, as `kubectl cluster-info dump` writes them: one container after another.
    fn logs_of_pod(&mut self, file: &Found) {
        let Kind::PodLog { namespace, pod } = &file.kind else { return };
        // What containers there are, and the first time that each of them tells.
        let mut names: Vec<String> = Vec::new();
        let mut clocks: Vec<(Own, bool)> = Vec::new();
        if let Some(source) = lines::open(&file.path).ok().and_then(|source| lines::text(source).ok()) {
            sections(source, namespace, pod, |_, part| match part {
                Part::Start(container) => {
                    names.push(container.to_owned());
                    clocks.push((self.unset(of(namespace, pod, container)), false));
                }
                Part::Line(text) => {
                    if let Some((clock, set @ false)) = clocks.last_mut()
                        && let Some((at, _)) = clock.told(text)
                    {
                        (clock.at, *set) = (at, true);
                    }
                }
                Part::Outside => {}
            });
        }
        let Some(source) = self.open(file) else { return };
        let mut sections_of = names.iter().zip(&mut clocks);
        let mut open: Option<(Words<'_>, &mut Own)> = None;
        let mut signals = Vec::new();
        let mut outside = Vec::new();
        let (lines, failure) = sections(source, namespace, pod, |number, part| match part {
            Part::Start(_) => {
                signals.extend(open.take().map(|(words, _)| words.finish()).unwrap_or_default());
                open = sections_of.next().map(|(container, (clock, _))| {
                    (
                        Words::new(self.interest, &self.cluster, of(namespace, pod, container), &file.name),
                        clock,
                    )
                });
            }
            Part::Line(text) => {
                if let Some((words, clock)) = &mut open {
                    let (at, text) = clock.place(text);
                    words.feed(number, at, text);
                }
            }
            Part::Outside => outside.push(number),
        });
        signals.extend(open.take().map(|(words, _)| words.finish()).unwrap_or_default());
        self.lines_read += u64::from(lines);
        for number in outside {
            self.problems.add(
                &file.file,
                Unit::Line,
                number,
                "stands outside of the log of a container",
                None,
            );
        }
        self.ended(file, lines, failure, !names.is_empty());
        signals.into_iter().for_each(|signal| self.push(signal));
    }

    /// All logs of whole pods.
    pub(super) fn logs_of_pods<'f>(&mut self, files: impl Iterator<Item = &'f Found>) {
        files.for_each(|file| self.logs_of_pod(file));
    }
}

fn of<'a>(namespace: &'a str, pod: &'a str, name: &'a str) -> Container<'a> {
    Container { namespace, pod, name, previous: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_placed_by_the_time_it_tells_or_by_its_neighbours() {
        let at = |text: &str| millis(&time::parse(text).unwrap());
        let (from, to) = (at("2024-03-19T10:00:00Z"), at("2024-03-19T11:00:00Z"));
        let mut own = Own { within: (from, to), at: timestamp(to), days: time::Days::default() };
        let mut placed = |text| time::rfc3339(&own.place(text).0);
        assert_eq!(placed("no time at all"), "2024-03-19T11:00:00Z");
        assert_eq!(placed("I0319 10:05:00.000000       1 x.go:1] y"), "2024-03-19T10:05:00Z");
        assert_eq!(placed("goroutine 1 [running]:"), "2024-03-19T10:05:00Z");
        assert_eq!(placed("2024-03-18 10:00:00 of the day before"), "2024-03-19T10:05:00Z");
        assert_eq!(placed("{\"ts\":\"2024-03-19T10:06:00Z\"}"), "2024-03-19T10:06:00Z");
    }

    #[test]
    fn a_container_that_waits_shows_its_last_run() {
        let pod = serde_json::json!({"kind": "Pod", "metadata": {"namespace": "ns", "name": "p"}, "status": {"containerStatuses": [{
            "name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"startedAt": "1970-01-01T00:00:01Z", "finishedAt": "1970-01-01T00:00:02Z"}}}]}});
        let mut runs = Runs { wanted: true, ..Runs::default() };
        runs.see(&pod);
        let of = |previous| runs.of(Container { namespace: "ns", pod: "p", name: "c", previous });
        let last = Run { started: Some(1000), ended: Some(2000) };
        assert_eq!((of(false), of(true)), (last, last));
    }
}
