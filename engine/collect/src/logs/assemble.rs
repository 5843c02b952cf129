//! Texts of one log to signals: values over several lines joined, levels and a limit kept to, and what is left out by
//! the limit counted and told.

use std::{fmt, str::FromStr, sync::Arc};

use kwhy_ingest::{
    journal,
    log::{self, Text},
    multiline::Joiner,
};
use kwhy_proto::{
    Timestamp, millis, timestamp,
    v1::{Gap, ObjectRef, Signal, signal::Body},
};

/// Signals that go out together.
pub(crate) const LINES: usize = 100;
/// Bytes of messages that go out together, about. Leaves room for the other fields within 64 KiB.
pub(crate) const BYTES: usize = 48 * 1024;
/// A flood may take this many seconds' worth of lines at once.
const BURST: u64 = 10;

/// The least level that is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Everything, which the rules are made for.
    #[default]
    Info,
    /// Warnings and what is worse.
    Warning,
    /// Errors and what is worse.
    Error,
}

/// A text that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no level; write info, warning or error")]
pub struct BadLevel(String);

impl FromStr for Level {
    type Err = BadLevel;

    fn from_str(text: &str) -> Result<Level, BadLevel> {
        match text.to_ascii_lowercase().as_str() {
            "i" | "info" => Ok(Level::Info),
            "w" | "warning" | "warn" => Ok(Level::Warning),
            "e" | "error" => Ok(Level::Error),
            _ => Err(BadLevel(text.chars().take(40).collect())),
        }
    }
}

impl Level {
    /// Whether a line of that severity is shipped. One that tells none may be the last words of a kubelet.
    fn takes(self, severity: &str) -> bool {
        match severity {
            "I" => self == Level::Info,
            "W" => self <= Level::Warning,
            _ => true,
        }
    }
}

/// Where a text stands in its log.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// At this cursor of the journal.
    Journal(String),
    /// In the file of this name (part of ids) and path (to look it up), at this byte.
    File { name: Arc<str>, path: Arc<str>, at: u64 },
}

impl Place {
    /// Sorts as the log does, and is the same whenever it is read.
    fn position(&self) -> String {
        match self {
            // Cursors are looked at before they are used.
            Place::Journal(cursor) => journal::position(cursor).unwrap_or_default(),
            Place::File { name, at, .. } => format!("{name}-{at:012x}"),
        }
    }

    fn origin(&self, node: &str) -> String {
        match self {
            Place::Journal(_) => format!("journal of {node}"),
            Place::File { path, at, .. } => format!("{path}@{at}"),
        }
    }
}

/// What belongs to a text.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// When it was written.
    pub(crate) at: Timestamp,
    /// syslog priority, for texts that tell no severity.
    pub(crate) priority: Option<u8>,
    /// Where it stands.
    pub(crate) place: Place,
}

/// What was left out by the limit and not told yet.
#[derive(Debug)]
struct Dropped {
    count: u64,
    first: Head,
    last: Timestamp,
}

/// Lines that were left out because there were more than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) lines: u64,
    /// Says so to the operator.
    pub(crate) reason: String,
}

/// Makes signals of the texts of a node's logs.
#[derive(Debug)]
pub(crate) struct Assembler {
    cluster: String,
    node: String,
    level: Level,
    per_second: u64,
    /// Lines that may still come, in thousandths.
    allowance: u64,
    /// Up to when the allowance was given, ms of log time.
    given: u64,
    dropped: Option<Dropped>,
    signals: Vec<Signal>,
    bytes: usize,
}

impl Assembler {
    /// `now`: where the limit begins to count, ms.
    pub(crate) fn new(cluster: String, node: String, level: Level, per_second: u32, now: u64) -> Assembler {
        let per_second = u64::from(per_second.max(1));
        Assembler {
            cluster,
            node,
            level,
            per_second,
            allowance: per_second * BURST * 1000,
            given: now,
            dropped: None,
            signals: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes one text of a log in. Each log has a joiner of its own; while it is open, the log cannot be gone on with
    /// from here.
    pub(crate) fn feed(&mut self, joiner: &mut Joiner<Head>, head: Head, text: &str) {
        joiner.feed(head, text, |head, text| self.line(head, text));
    }

    /// Waits no longer for the rest of a text.
    pub(crate) fn close(&mut self, joiner: &mut Joiner<Head>) {
        joiner.finish(|head, text| self.line(head, text));
    }

    /// Whether enough has come together to go out.
    pub(crate) fn is_full(&self) -> bool {
        self.signals.len() >= LINES || self.bytes >= BYTES
    }

    /// What has come together. What was dropped on the way is told in it, and given back for the operator.
    pub(crate) fn take(&mut self) -> (Vec<Signal>, Option<Excess>) {
        let lost = self.tell_dropped();
        self.bytes = 0;
        (std::mem::take(&mut self.signals), lost)
    }

    fn line(&mut self, head: Head, text: &str) {
        let mut text = Text::read(text);
        if text.severity.is_empty() {
            text.severity = journal::severity(head.priority);
        }
        if text.message.is_empty() || !self.level.takes(text.severity) {
            return;
        }
        if !self.is_within_limit(&head) {
            let last = head.at;
            let dropped = self.dropped.get_or_insert(Dropped { count: 0, first: head, last });
            dropped.count += 1;
            dropped.last = last;
            return;
        }
        let (position, origin) = (head.place.position(), head.place.origin(&self.node));
        let signal = log::kubelet(&self.cluster, &self.node, &text, head.at, &position, origin);
        self.bytes += signal.message.len() + 256;
        self.signals.push(signal);
    }

    /// The limit counts in the time of the log: after a pause what has come together is no flood.
    fn is_within_limit(&mut self, head: &Head) -> bool {
        let at = millis(&head.at);
        let passed = at.saturating_sub(self.given);
        if passed > 0 {
            self.given = at;
            let most = self.per_second * BURST * 1000;
            self.allowance = self.allowance.saturating_add(passed.saturating_mul(self.per_second)).min(most);
        }
        if self.allowance < 1000 {
            return false;
        }
        self.allowance -= 1000;
        true
    }

    fn tell_dropped(&mut self) -> Option<Excess> {
        let Dropped { count, first, last } = self.dropped.take()?;
        let limit = self.per_second;
        self.gap(
            &format!("limit/{}", first.place.position()),
            first.at,
            last,
            format!("{count} lines above the limit of {limit} a second were dropped"),
        );
        let reason = format!("lines above the limit of {limit} a second are dropped (lines_per_second)");
        Some(Excess { lines: count, reason })
    }

    /// Notes that something is missing. `id` tells gaps apart and is the same when the same gap is met again.
    pub(crate) fn gap(&mut self, id: &str, from: Timestamp, to: Timestamp, reason: String) {
        let node = &self.node;
        self.signals.push(Signal {
            id: format!("gap/kubelet/{node}/{id}"),
            cluster: self.cluster.clone(),
            source: "gap".to_owned(),
            name: "KubeletLog".to_owned(),
            at: Some(timestamp(millis(&from).max(millis(&to)))),
            subject: Some(ObjectRef { kind: "Node".to_owned(), name: node.clone(), ..ObjectRef::default() }),
            message: format!("log lines of node {node} are missing: {reason}"),
            body: Some(Body::Gap(Gap { from: Some(from), to: Some(to), reason })),
            ..Signal::default()
        });
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_587_731_400_000;

    fn head(number: u64, at: u64) -> Head {
        let place = Place::File { name: "f1".into(), path: "/k.log".into(), at: number };
        Head { at: timestamp(at), priority: None, place }
    }

    fn assembler(level: Level, per_second: u32) -> Assembler {
        Assembler::new("c".into(), "kal".into(), level, per_second, T0)
    }

    fn klog(letter: char, text: &str) -> String {
        format!("{letter}0424 12:30:00.000000    1043 a.go:1] {text}")
    }

    #[test]
    fn a_line_gets_its_place_as_id_and_klog_taken_apart() {
        let mut joiner = Joiner::new();
        let mut all = assembler(Level::Info, 100);
        all.feed(
            &mut joiner,
            head(0x10, T0),
            &klog('I', "\"Node became not ready\" node=\"kal\" token=\"abc123def456\""),
        );
        let (signals, lost) = all.take();
        assert_eq!(lost, None);
        assert_eq!(signals[0].id, "kubelet/kal/f1-000000000010");
        assert_eq!((signals[0].state.as_str(), signals[0].origin.as_str()), ("I", "/k.log@16"));
        let Some(Body::Log(line)) = &signals[0].body else { panic!("no line") };
        assert_eq!((line.values["node"].as_str(), line.values["token"].as_str()), ("kal", "[redacted]"));
        assert!(!signals[0].message.contains("abc123"), "{}", signals[0].message);
    }

    #[test]
    fn levels_leave_out_what_is_below_but_never_what_tells_none() {
        for (level, expected) in [(Level::Info, "IWEx"), (Level::Warning, "WEx"), (Level::Error, "Ex")] {
            let mut joiner = Joiner::new();
            let mut all = assembler(level, 100);
            for (number, letter) in (0..).zip(['I', 'W', 'E']) {
                all.feed(&mut joiner, head(number, T0), &klog(letter, &letter.to_string()));
            }
            all.feed(&mut joiner, head(9, T0), "x");
            let (signals, _) = all.take();
            assert_eq!(signals.iter().map(|s| s.message.as_str()).collect::<String>(), expected, "{level}");
        }
    }

    #[test]
    fn a_value_over_several_lines_is_one_signal_at_its_first_line() {
        let mut joiner = Joiner::new();
        let mut all = assembler(Level::Info, 100);
        all.feed(&mut joiner, head(1, T0), &klog('I', "\"Probe failed\" output=<"));
        assert!(joiner.is_open());
        all.feed(&mut joiner, head(2, T0), "\tline one");
        all.feed(&mut joiner, head(3, T0), " > pod=\"a/b\"");
        assert!(!joiner.is_open());
        let (signals, _) = all.take();
        assert_eq!(
            signals.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(),
            ["kubelet/kal/f1-000000000001"]
        );
        assert_eq!(signals[0].subject.as_ref().map(|s| s.name.as_str()), Some("b"));
    }

    #[test]
    fn what_is_above_the_limit_is_counted_and_told() {
        let mut joiner = Joiner::new();
        let mut all = assembler(Level::Info, 10);
        for number in 0..150 {
            all.feed(&mut joiner, head(number, T0), "x");
        }
        let (signals, lost) = all.take();
        assert_eq!(signals.len(), 101, "ten seconds' worth at once, and the gap");
        let Some(Body::Gap(gap)) = &signals[100].body else { panic!("no gap") };
        assert_eq!(gap.reason, "50 lines above the limit of 10 a second were dropped");
        assert_eq!(signals[100].id, "gap/kubelet/kal/limit/f1-000000000064");
        assert_eq!(lost.map(|excess| excess.lines), Some(50));
        assert_eq!(all.take(), (Vec::new(), None), "told once");
    }

    /// The twin of the test above: within the limit nothing is told.
    #[test]
    fn a_backlog_is_no_flood() {
        let mut joiner = Joiner::new();
        let mut all = assembler(Level::Info, 10);
        for number in 0..10_000 {
            all.feed(&mut joiner, head(number, T0 + number * 100), "x");
        }
        let (signals, lost) = all.take();
        assert_eq!((signals.len(), lost), (10_000, None));
    }

    #[test]
    fn levels_are_read_in_their_spellings() {
        assert_eq!("W".parse(), Ok(Level::Warning));
        assert_eq!("info".parse(), Ok(Level::Info));
        assert!("loud".parse::<Level>().is_err());
    }
}
