//! Reading file after file, the objects beside the others. The span comes first, as other files are read against it; logs
//! without a year come last where there is no `capture.yaml`, as then the other files tell the year.

mod alerts;
mod logs;
mod nodes;
mod sections;
mod signals;
mod untimed;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    panic::resume_unwind,
    path::{Path, absolute},
    thread,
};

use kwhy_proto::{
    Timestamp, millis, order, timestamp,
    v1::{Signal, signal::Body},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Capture, CaptureError, Interest,
    inventory::{self, Found, Kind},
    list,
    problem::{Problems, Unit},
    skim::skim,
    waiting::Waiting,
};
use crate::{
    alert::Identity,
    event::{self, BadEvent},
    lines::{self, Lines},
    object::{self, Seen, Verb},
    text, time,
};

/// Longest line of `changes.ndjson` and `alerts.ndjson`: ten times what etcd stores of one object.
const JSON_LINE: usize = 16 << 20;
/// Largest `alerts.json`, and `capture.yaml`.
const DOCUMENT: u64 = 256 << 20;
/// How long after its last change a list is taken that nothing else tells the time of, ms.
const ALONE: u64 = 10 * 60_000;

/// How far back the span of a dump goes: its objects are of now, and some of its logs are years old, ms.
const DAY: u64 = 24 * 3_600_000;

struct Reader<'a> {
    interest: &'a dyn Interest,
    identity: &'a Identity,
    cluster: String,
    title: String,
    from: Option<u64>,
    to: Option<u64>,
    /// First and last time that was met.
    seen: Option<(u64, u64)>,
    signals: Vec<Waiting>,
    /// Listed objects and when they were created; they are placed when the span is known.
    listed: Vec<(Waiting, u64)>,
    /// The last time that stands in a listed object: the list was taken no earlier.
    taken: Option<u64>,
    /// Another tool has collected all this; it takes logs however old they are.
    is_dump: bool,
    /// A node's heartbeat is among those times, so the list was taken not much later either.
    heartbeat: bool,
    /// Names of the nodes that are listed.
    nodes: BTreeSet<String>,
    /// When containers ran, for logs that do not say it.
    runs: untimed::Runs,
    alerts: alerts::Alerts,
    problems: Problems,
    days: time::Days,
    lines_read: u64,
    files_read: u32,
}

pub(super) fn read(
    dir: &Path,
    interest: &dyn Interest,
    identity: &Identity,
) -> Result<Capture, CaptureError> {
    let mut problems = Problems::default();
    let inventory = inventory::find(dir, &mut problems)?;
    let found = &inventory.found;
    let mut reader =
        Reader { problems, is_dump: inventory.is_dump, ..Reader::new(interest, identity, name_of(dir)) };
    let of = |wanted: fn(&Kind) -> bool| found.iter().filter(move |file| wanted(&file.kind));
    let logs = |reader: &mut Reader<'_>| {
        reader.pod_logs(of(|kind| matches!(kind, Kind::Log { .. })));
        reader.logs_of_pods(of(|kind| matches!(kind, Kind::PodLog { .. })));
        of(|kind| matches!(kind, Kind::Kubelet { .. })).for_each(|file| reader.kubelet(file));
    };
    of(|kind| *kind == Kind::Span).for_each(|file| reader.span(file));
    reader.runs.wanted = found.iter().any(|file| untimed::is(&file.kind));
    // Else the objects tell the year, or what a log leaves out.
    let logs_speak = reader.to.is_some() && !found.iter().any(|file| leaves_out(&file.kind));
    thread::scope(|scope| {
        // Of a large cluster the objects are more than all the rest.
        let mut beside = reader.beside();
        let objects = scope.spawn(move || {
            of(is_objects).for_each(|file| beside.objects(file));
            beside
        });
        of(|kind| *kind == Kind::Changes).for_each(|file| reader.changes(file));
        of(|kind| *kind == Kind::Signals).for_each(|file| reader.signals(file));
        of(|kind| *kind == Kind::Events).for_each(|file| reader.events(file));
        of(|kind| *kind == Kind::Deliveries).for_each(|file| reader.deliveries(file));
        of(|kind| *kind == Kind::Alerts).for_each(|file| reader.alert_list(file));
        if logs_speak {
            logs(&mut reader);
        }
        reader.take_over(objects.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
    if !logs_speak {
        logs(&mut reader);
    }

    if reader.files_read == 0 {
        let problems = reader.problems.into_list();
        return Err(if problems.is_empty() {
            CaptureError::NoFiles { path: dir.to_owned() }
        } else {
            CaptureError::NothingRead { path: dir.to_owned(), problems }
        });
    }
    Ok(Capture { has_objects: found.iter().any(|file| may_have_objects(&file.kind)), ..reader.finish() })
}

/// Whether it is a log that does not tell its times, or of which node it is.
fn leaves_out(kind: &Kind) -> bool {
    untimed::is(kind) || matches!(kind, Kind::Kubelet { node } if node.is_empty())
}

fn is_objects(kind: &Kind) -> bool {
    matches!(kind, Kind::Objects { .. } | Kind::Spare { .. })
}

fn may_have_objects(kind: &Kind) -> bool {
    is_objects(kind) || *kind == Kind::Signals
}

/// The last part of the path, also of `.` and `..`; of an archive without what tells how it is packed.
fn name_of(dir: &Path) -> String {
    let named = |path: &Path| {
        let name = text::name(&path.file_name()?.to_string_lossy());
        let packed = [".tar.gz", ".tgz", ".tar", ".zip"].iter().find_map(|end| name.strip_suffix(end));
        Some(packed.filter(|_| !dir.is_dir()).map_or(name.clone(), str::to_owned))
    };
    let whole = dir.canonicalize().or_else(|_| absolute(dir));
    named(dir)
        .or_else(|| named(&whole.ok()?))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "capture".to_owned())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Span {
    cluster: Option<String>,
    title: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Deserialize)]
struct ChangeLine {
    at: String,
    #[serde(rename = "type")]
    verb: String,
    #[serde(deserialize_with = "skim")]
    object: Value,
}

impl<'a> Reader<'a> {
    fn new(interest: &'a dyn Interest, identity: &'a Identity, cluster: String) -> Self {
        Self {
            interest,
            identity,
            cluster,
            title: String::new(),
            from: None,
            to: None,
            seen: None,
            signals: Vec::new(),
            listed: Vec::new(),
            taken: None,
            is_dump: false,
            heartbeat: false,
            nodes: BTreeSet::new(),
            runs: untimed::Runs::default(),
            alerts: alerts::Alerts::default(),
            problems: Problems::default(),
            days: time::Days::default(),
            lines_read: 0,
            files_read: 0,
        }
    }

    /// A reader that has read the span alone, for files that another thread reads.
    fn beside(&self) -> Self {
        let Self { from, to, is_dump, .. } = *self;
        let mut beside =
            Self { from, to, is_dump, ..Self::new(self.interest, self.identity, self.cluster.clone()) };
        beside.runs.wanted = self.runs.wanted;
        beside
    }

    /// Takes over what a reader beside this one has read of lists of objects.
    fn take_over(&mut self, other: Self) {
        let Self { seen, signals, listed, taken, heartbeat, nodes, runs, problems, files_read, .. } = other;
        if let Some((first, last)) = seen {
            self.saw(first);
            self.saw(last);
        }
        self.signals.extend(signals);
        self.listed.extend(listed);
        self.taken = self.taken.max(taken);
        self.heartbeat |= heartbeat;
        self.nodes.extend(nodes);
        self.runs = runs;
        self.problems.take_over(problems);
        self.files_read += files_read;
    }
}

impl Reader<'_> {
    fn span(&mut self, file: &Found) {
        let Some(source) = self.open(file) else { return };
        let mut yaml = String::new();
        let span =
            match source.take(DOCUMENT).read_to_string(&mut yaml).map(|_| serde_norway::from_str(&yaml)) {
                Ok(Ok(span)) => span,
                Ok(Err(error)) => {
                    self.problems.file(
                        &file.file,
                        format_args!("not what a capture.yaml is (cluster, from, to, title): {error}"),
                    );
                    Span::default()
                }
                Err(error) => {
                    self.problems.file(&file.file, format_args!("cannot be read: {error}"));
                    Span::default()
                }
            };
        if let Some(cluster) = span.cluster.map(|name| text::name(&name)).filter(|name| !name.is_empty()) {
            self.cluster = cluster;
        }
        self.title = span.title.map(|title| text::message(&title).into_owned()).unwrap_or_default();
        let mut when = |name: &str, text: Option<String>| {
            time::optional(text.as_deref()).unwrap_or_else(|error| {
                self.problems.file(&file.file, format_args!("{name}: {error}"));
                None
            })
        };
        let (from, to) = (when("from", span.from), when("to", span.to));
        self.from = from.as_ref().map(millis);
        self.to = to.as_ref().map(millis);
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            self.problems.file(&file.file, "from is after to; the span is taken from the other files");
            (self.from, self.to) = (None, None);
        }
    }

    fn changes(&mut self, file: &Found) {
        self.json_lines(file, |reader, number, line| {
            let bad = |reader: &mut Self, why: &dyn std::fmt::Display, detail| {
                reader.problems.add(&file.file, Unit::Line, number, why, detail);
            };
            let change: ChangeLine = match serde_json::from_slice(line) {
                Ok(change) => change,
                Err(error) => {
                    bad(reader, &"not a watch event with at, type and object", Some(error.to_string()));
                    return false;
                }
            };
            let Some(at) = time::parse(&change.at) else {
                bad(reader, &"a watch event whose `at` is not a time", None);
                return false;
            };
            let origin = format!("{}:{number}", file.name);
            let made = if object::text_at(&change.object, "/kind") == "Event" {
                event::signal(&reader.cluster, &change.object).map(Some).map_err(|error| error.to_string())
            } else {
                Verb::of(&change.verb)
                    .and_then(|verb| {
                        verb.map(|verb| {
                            object::signal(&reader.cluster, verb, Seen::Watched, at, change.object)
                        })
                        .transpose()
                    })
                    .map_err(|error| error.to_string())
            };
            match made {
                Ok(Some(signal)) => reader.push(Signal { origin, ..signal }),
                Ok(None) => {}
                Err(error) => bad(reader, &error, None),
            }
            true
        });
    }

    fn objects(&mut self, file: &Found) {
        self.items(file, |reader, number, item| {
            let created =
                time::parse(object::text_at(&item, "/metadata/creationTimestamp")).as_ref().map_or(0, millis);
            if object::text_at(&item, "/kind") == "Event" {
                reader.event(file, number, &item);
                return;
            }
            reader.taken = reader.taken.max(object::written(&item)).max(Some(created).filter(|at| *at > 0));
            if object::text_at(&item, "/kind") == "Node" {
                reader.heartbeat = true;
                reader.nodes.insert(text::name(object::text_at(&item, "/metadata/name")));
            }
            reader.runs.see(&item);
            let at = Timestamp::default();
            match object::signal(&reader.cluster, Verb::Added, Seen::Listed, at, item) {
                Ok(mut signal) => {
                    signal.origin = format!("{}#{number}", file.name);
                    reader.listed.push((Waiting::new(signal), created));
                }
                Err(error) => reader.problems.add(&file.file, Unit::Item, number, error, None),
            }
        });
    }

    fn events(&mut self, file: &Found) {
        self.items(file, |reader, number, item| reader.event(file, number, &item));
    }

    fn event(&mut self, file: &Found, number: u32, item: &Value) {
        match event::signal(&self.cluster, item) {
            Ok(mut signal) => {
                // A clock ahead, or an event written while the capture was taken: the span ends at `to`.
                if let Some(to) = self.to
                    && signal.at.as_ref().is_some_and(|at| millis(at) > to)
                {
                    signal.at = Some(timestamp(to));
                }
                signal.origin = format!("{}#{number}", file.name);
                self.push(signal);
            }
            Err(error) => {
                let detail = match &error {
                    BadEvent::Shape(source) => Some(source.to_string()),
                    BadEvent::Time(source) => Some(source.to_string()),
                    BadEvent::NoTime | BadEvent::Reason => None,
                };
                self.problems.add(&file.file, Unit::Item, number, error, detail);
            }
        }
    }

    /// Opens a file as text, or notes why not.
    fn open(&mut self, file: &Found) -> Option<Box<dyn Read + Send>> {
        open(file, &mut self.problems)
    }

    /// Passes on each line that is not blank. A file counts as read when one of its lines is understood.
    fn json_lines(&mut self, file: &Found, mut line: impl FnMut(&mut Self, u32, &[u8]) -> bool) {
        let Some(source) = self.open(file) else { return };
        let mut lines = Lines::new(source, JSON_LINE);
        let (mut number, mut understood) = (0u32, false);
        while let Some(next) = lines.next() {
            number = number.saturating_add(1);
            self.lines_read += 1;
            if next.cut {
                self.problems.add(&file.file, Unit::Line, number, "longer than 16 MiB", None);
            } else if !next.bytes.trim_ascii().is_empty() {
                understood |= line(self, number, next.bytes);
            }
        }
        self.ended(file, number, lines.failure().map(ToString::to_string), understood);
    }

    /// Closes a file that is read line by line.
    fn ended(&mut self, file: &Found, lines: u32, failure: Option<String>, understood: bool) {
        if let Some(failure) = failure {
            self.problems.file(
                &file.file,
                format_args!("cut off or damaged after line {lines}, the lines before are used: {failure}"),
            );
        }
        self.files_read += u32::from(understood);
    }

    /// Passes on each item of a list, with its kind where only the list has it (`PodList`).
    fn items(&mut self, file: &Found, mut item: impl FnMut(&mut Self, u32, Value)) {
        // It may be opened a second time while items are passed on, so what is wrong is noted after.
        let mut closed = Problems::default();
        let mut open = || open(file, &mut closed);
        let mut number = 0u32;
        let mut kindless = Vec::new();
        let mut take = |value: Value| {
            number = number.saturating_add(1);
            // The kind of the list may stand behind its items, and a Secret must be known to be one.
            if value.get("kind").is_none() && value.is_object() {
                kindless.push((number, value));
            } else {
                item(self, number, value);
            }
        };
        let yaml = file.name.ends_with(".yaml") || file.name.ends_with(".yml");
        let read = if yaml {
            open().map(|source| list::yaml(source, &mut take))
        } else {
            list::json(open, &mut take)
        };
        self.problems.take_over(closed);
        let Some((list, result)) = read else { return };
        let of = match file.kind {
            Kind::Objects { of } | Kind::Spare { of, .. } => of,
            _ => "",
        };
        let kind = list.kind.strip_suffix("List").filter(|kind| !kind.is_empty()).unwrap_or(of);
        for (number, mut value) in kindless {
            if !kind.is_empty()
                && let Some(object) = value.as_object_mut()
            {
                object.insert("kind".to_owned(), Value::from(kind));
            }
            item(self, number, value);
        }
        self.files_read += u32::from(number > 0 || (result.is_ok() && list.has_items));
        match result {
            Ok(()) if !list.has_items => {
                let kind = if list.kind.is_empty() { "something else" } else { &text::name(&list.kind) };
                self.problems.file(&file.file, format_args!("not a List of Kubernetes but {kind}"));
            }
            Ok(()) => {}
            Err(error) if error.is_cut() => {
                self.problems.file(
                    &file.file,
                    format_args!("cut off or damaged, the {number} items before are used: {error}"),
                );
            }
            Err(error) => {
                self.problems.file(
                    &file.file,
                    format_args!(
                        "not a List of Kubernetes, the {number} items before the error are used: {error}"
                    ),
                );
            }
        }
    }

    fn push(&mut self, signal: Signal) {
        if let Some(at) = &signal.at {
            self.saw(millis(at));
        }
        self.signals.push(Waiting::new(signal));
    }

    fn saw(&mut self, at: u64) {
        let (first, last) = self.seen.unwrap_or((at, at));
        self.seen = Some((first.min(at), last.max(at)));
    }

    /// Places what depends on the span, and puts all in order.
    fn finish(mut self) -> Capture {
        let listed = std::mem::take(&mut self.listed);
        let taken = self.taken.unwrap_or(0);
        let (first, last) = self.seen.unwrap_or((taken, taken));
        // Nothing tells how late it was when a list of pods alone was taken. Nobody takes one at once.
        let alone = self.seen.is_none() && !self.heartbeat && taken > 0;
        let end = self.to.unwrap_or(last.max(taken) + if alone { ALONE } else { 0 });
        let earliest = if self.is_dump { end.saturating_sub(DAY) } else { 0 };
        let from = self.from.unwrap_or_else(|| first.min(self.to.unwrap_or(first)).max(earliest));
        let to = end.max(from);
        for (mut signal, created) in listed {
            signal.change().at = Some(timestamp(created.max(from)));
            self.signals.push(signal);
        }
        let alerts = std::mem::take(&mut self.alerts);
        self.signals.extend(alerts.finish(&self.cluster, from, to).into_iter().map(Waiting::new));

        self.signals.sort_by(|a, b| order(a.head()).cmp(&order(b.head())));
        once(&mut self.signals);
        Capture {
            cluster: self.cluster,
            title: self.title,
            from,
            to,
            signals: self.signals,
            problems: self.problems.into_list(),
            lines_read: self.lines_read,
            files_read: self.files_read,
            has_objects: false,
        }
    }
}

/// Opens a file as text, or notes why not.
fn open(file: &Found, problems: &mut Problems) -> Option<Box<dyn Read + Send>> {
    let opened =
        lines::open(&file.path).map_err(|error| format!("cannot be read: {error}")).and_then(|source| {
            lines::text(source).map_err(|error| match &error {
                lines::NotText::Unreadable(source) => format!("{error}: {source}"),
                _ => error.to_string(),
            })
        });
    opened.inspect_err(|reason| problems.file(&file.file, reason)).ok()
}

/// Leaves every id once, of signals in order. A state that is both listed and watched is one. Two different states of
/// an object with one resourceVersion cannot come from an API server, but do from tools that make up or merge captures;
/// the later is kept, as `<id>/2`.
fn once(signals: &mut Vec<Waiting>) {
    // Ids of lines are made of their place and cannot repeat.
    let lines = |signal: &Signal| matches!(signal.source.as_str(), "kubelet" | "log");
    let mut ids: Vec<&str> =
        signals.iter().map(Waiting::head).filter(|s| !lines(s)).map(|s| s.id.as_str()).collect();
    ids.sort_unstable();
    // Few do, and of these alone the states are kept to be compared.
    let repeated: BTreeSet<String> =
        ids.iter().zip(ids.iter().skip(1)).filter(|(a, b)| a == b).map(|(a, _)| (*a).to_owned()).collect();
    let mut known = BTreeMap::new();
    signals.retain_mut(|signal| {
        if lines(signal.head()) || !repeated.contains(&signal.head().id) {
            return true;
        }
        let Some((count, last)) = known.get_mut(&signal.head().id) else {
            known.insert(signal.head().id.clone(), (1, signal.state_of_object()));
            return true;
        };
        let new = signal.state_of_object();
        if new == *last {
            return false;
        }
        *last = new;
        *count += 1;
        let signal = signal.change();
        signal.id = format!("{}/{count}", signal.id);
        // Whoever tells states apart by their version must not take it for the one before, either.
        if let Some(Body::Object(change)) = &mut signal.body {
            change.resource_version = format!("{}/{count}", change.resource_version);
        }
        true
    });
}
