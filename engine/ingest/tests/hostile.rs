//! Captures that are damaged, odd or malicious: what is there is used, what is not is said once, nothing panics.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use kwhy_ingest::capture::{ArchiveError, Capture, CaptureError, Everything, Interest, Waiting, read};
use kwhy_proto::v1::signal::Body;
use proptest::prelude::*;

const SPAN: (&str, &str) =
    ("capture.yaml", "cluster: c\nfrom: 2020-12-31T23:00:00Z\nto: 2021-01-01T01:00:00Z\n");
const POD: &str = r#"{"kind":"Pod","metadata":{"name":"p","namespace":"ns","uid":"u","resourceVersion":"7","creationTimestamp":"2020-01-01T00:00:00Z"}}"#;

fn lay(files: &[(&str, impl AsRef<[u8]>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        put(dir.path(), name, content.as_ref());
    }
    dir
}

fn put(dir: &Path, name: &str, content: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn whole(dir: &tempfile::TempDir) -> Capture {
    read(dir.path(), &Everything).unwrap_or_else(|error| panic!("{error}"))
}

fn told(capture: &Capture) -> Vec<String> {
    capture.problems.iter().map(ToString::to_string).collect()
}

fn times(capture: &Capture) -> Vec<String> {
    capture
        .signals
        .iter()
        .map(Waiting::head)
        .map(|signal| kwhy_ingest::time::rfc3339(&signal.at.unwrap()))
        .collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

#[test]
fn what_is_not_a_capture_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let error = |path: &Path| read(path, &Everything).unwrap_err();
    let missing = dir.path().join("missing");
    assert!(matches!(error(&missing), CaptureError::Missing { .. }));
    assert_eq!(error(&missing).to_string(), format!("{}: there is no such directory", missing.display()));
    put(dir.path(), "capture.tar.gz", b"x");
    let other = error(&dir.path().join("capture.tar.gz"));
    assert!(matches!(other, CaptureError::Archive { source: ArchiveError::NotOne, .. }), "{other:?}");
    assert!(matches!(error(&dir.path().join("capture.tar.gz/x")), CaptureError::NotADirectory { .. }));
    assert!(matches!(error(dir.path()), CaptureError::NoFiles { .. }));
    put(dir.path(), "capture.yaml", SPAN.1.as_bytes());
    assert!(matches!(error(dir.path()), CaptureError::NoFiles { .. }), "a span alone is no capture");
    put(dir.path(), "events.json", b"");
    put(dir.path(), "objects.json", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\xff");
    let nothing = error(dir.path());
    assert!(
        nothing.to_string().ends_with(
            "nothing in it could be read: events.json: is empty; objects.json: is binary, not text"
        ),
        "{nothing}"
    );
}

#[test]
fn one_bad_file_leaves_the_others() {
    let (list, good) = (
        format!("{{\"kind\":\"List\",\"items\":[{POD}]}}"),
        format!("{{\"at\":\"2021-01-01T00:00:00Z\",\"type\":\"MODIFIED\",\"object\":{POD}}}\n"),
    );
    let lines = format!(
        "{good}\nnot json\n{good}{{\"at\":\"soon\",\"type\":\"ADDED\",\"object\":{POD}}}\n{{\"at\":\"2021-01-01T00:00:00Z\",\"type\":\"ERROR\",\"object\":{{\"kind\":\"Status\",\"metadata\":{{}}}}}}\nagain not\n"
    );
    let dir = lay(&[
        SPAN,
        ("objects.json", &list),
        ("changes.ndjson", &lines),
        ("events.json", &list[..30]),
        ("alerts.json", "{}"),
        ("kubelet/n.log", "\u{fffe}"),
        ("alerts.ndjson", ""),
    ]);
    let capture = whole(&dir);
    assert_eq!(capture.signals.len(), 1, "the same state of one pod, three times");
    assert_eq!(capture.signals[0].head().origin, "objects.json#1");
    assert_eq!(
        told(&capture),
        [
            "alerts.json: the body is neither an Alertmanager webhook (an object with alerts) nor a list of alerts (an array)",
            "alerts.ndjson: is empty",
            "changes.ndjson: 2 lines from line 3 on: not a watch event with at, type and object: expected ident at line 1 column 2",
            "changes.ndjson: line 5: a watch event whose `at` is not a time",
            "changes.ndjson: line 6: a watch event whose type is not ADDED, MODIFIED, DELETED or BOOKMARK",
            "events.json: cut off or damaged, the 0 items before are used: EOF while parsing a string at line 1 column 30",
            "kubelet/n.log: line 1: not a line of journalctl (-o short, short-iso, short-iso-precise or json) nor of klog",
        ]
    );
    assert_eq!((capture.lines_read, capture.files_read), (8, 2));
}

#[test]
fn two_states_with_one_version_are_both_kept() {
    let change = |minute: u32, phase: &str| {
        let pod = POD.replacen('{', &format!("{{\"status\":{{\"phase\":\"{phase}\"}},"), 1);
        format!("{{\"at\":\"2021-01-01T00:{minute:02}:00Z\",\"type\":\"MODIFIED\",\"object\":{pod}}}\n")
    };
    let lines = change(1, "Pending") + &change(2, "Running") + &change(3, "Running") + &change(4, "Failed");
    let capture = whole(&lay(&[SPAN, ("changes.ndjson", &lines)]));
    let ids: Vec<&str> = capture.signals.iter().map(Waiting::head).map(|signal| signal.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "object/u/00000000000000000007",
            "object/u/00000000000000000007/2",
            "object/u/00000000000000000007/3"
        ]
    );
    assert_eq!(times(&capture), ["2021-01-01T00:01:00Z", "2021-01-01T00:02:00Z", "2021-01-01T00:04:00Z"]);
    let versions: Vec<&str> = capture
        .signals
        .iter()
        .map(Waiting::head)
        .map(|signal| match &signal.body {
            Some(Body::Object(change)) => change.resource_version.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(versions, ["7", "7/2", "7/3"]);
}

#[test]
fn a_gzip_that_ends_early_gives_the_lines_before() {
    let mut log = String::new();
    for line in 0..20_000u32 {
        let nonce = line.wrapping_mul(2_654_435_761);
        log.push_str(&format!(
            "Jan  1 00:00:{:02} n kubelet[1]: E0101 00:00:00.000000       1 a.go:1] line {line} {nonce}\n",
            line % 60
        ));
    }
    let packed = gzip(log.as_bytes());
    let dir = lay(&[(SPAN.0, SPAN.1.as_bytes()), ("kubelet/n.log.gz", &packed[..packed.len() / 2])]);
    let capture = whole(&dir);
    assert!(capture.signals.len() > 5000 && capture.signals.len() < 15_000, "{}", capture.signals.len());
    assert_eq!(capture.problems.len(), 1, "{:?}", capture.problems);
    assert!(
        told(&capture)[0].starts_with(&format!(
            "kubelet/n.log.gz: cut off or damaged after line {}, the lines before are used",
            capture.signals.len()
        )),
        "{:?}",
        told(&capture)
    );
}

#[test]
fn the_year_turns_inside_a_log() {
    let log = "Dec 31 23:59:59 n kubelet[1]: E1231 23:59:59.500000       1 a.go:1] old\nJan  1 00:00:01 n kubelet[1]: E0101 00:00:01.500000       1 a.go:1] new\n";
    let capture = whole(&lay(&[SPAN, ("kubelet/n.log", log)]));
    assert_eq!(times(&capture), ["2020-12-31T23:59:59.5Z", "2021-01-01T00:00:01.5Z"]);
}

#[test]
fn without_a_span_the_files_tell_it() {
    let log = "Dec 31 23:59:59 n kubelet[1]: E1231 23:59:59.500000       1 a.go:1] old\n";
    let change = format!("{{\"at\":\"2021-01-01T00:10:00Z\",\"type\":\"MODIFIED\",\"object\":{POD}}}\n");
    let list = format!("{{\"kind\":\"List\",\"items\":[{}]}}", POD.replace("\"7\"", "\"6\""));
    let dir = lay(&[("kubelet/n.log", log), ("changes.ndjson", &change), ("objects.json", &list)]);
    let capture = whole(&dir);
    assert_eq!(times(&capture), ["2020-12-31T23:59:59.5Z", "2020-12-31T23:59:59.5Z", "2021-01-01T00:10:00Z"]);
    assert_eq!((capture.from, capture.to), (1_609_459_199_500, 1_609_459_800_000));
    assert_eq!(capture.cluster, dir.path().file_name().unwrap().to_str().unwrap());

    let note = format!(
        "-- Logs begin at Sat 2019-04-18 09:12:38 UTC, end at Fri 2020-01-01 00:00:00 UTC. --\n{log}"
    );
    let capture = whole(&lay(&[("kubelet/n.log", note)]));
    assert_eq!(times(&capture), ["2019-12-31T23:59:59.5Z"], "journalctl itself may tell it");

    let capture = whole(&lay(&[("kubelet/n.log", log)]));
    assert!(capture.signals.is_empty());
    assert_eq!(
        told(&capture),
        [
            "kubelet/n.log: line 1: a time without a year, and nothing in the capture tells it; add a capture.yaml with from and to"
        ]
    );
}

#[test]
fn a_bad_span_is_said_and_the_rest_is_read() {
    let change = format!("{{\"at\":\"2021-01-01T00:10:00Z\",\"type\":\"MODIFIED\",\"object\":{POD}}}\n");
    let with = |yaml: &str| whole(&lay(&[("capture.yaml", yaml), ("changes.ndjson", &change)]));
    let capture = with("cluster: c\nfrom: 2021-01-02T00:00:00Z\nto: 2021-01-01T00:00:00Z\n");
    assert_eq!(told(&capture), ["capture.yaml: from is after to; the span is taken from the other files"]);
    assert_eq!((capture.from, capture.to), (1_609_459_800_000, 1_609_459_800_000));
    assert_eq!(told(&with("cluster: c\nto: soon\n")), ["capture.yaml: to: `soon` is not an RFC 3339 time"]);
    let broken = told(&with("cluster: [c]\n"));
    assert!(broken.len() == 1 && broken[0].ends_with("expected a string at line 1 column 10"), "{broken:?}");
}

#[test]
fn a_list_does_not_outlive_its_capture() {
    let alert = |name: &str, start: &str, end: &str, state: &str| {
        format!(
            r#"{{"labels":{{"alertname":"{name}"}},"annotations":{{}},"startsAt":"{start}","endsAt":"{end}","updatedAt":"2021-01-01T00:50:00Z","status":{{"state":"{state}","silencedBy":[],"inhibitedBy":[]}}}}"#
        )
    };
    let (start, later) = ("2021-01-01T00:00:00Z", "2021-01-01T01:04:00Z");
    let delivery =
        |at: &str, alerts: &[String]| format!("{{\"at\":\"{at}\",\"payload\":[{}]}}\n", alerts.join(","));
    let push = |name: &str, end: &str| {
        format!(r#"{{"labels":{{"alertname":"{name}"}},"startsAt":"{start}","endsAt":"{end}"}}"#)
    };
    let deliveries = delivery(
        "2021-01-01T00:01:00Z",
        &[
            push("Ends", later),
            push("Stays", later),
            push("RunsOut", "2021-01-01T00:05:00Z"),
            push("Held", later),
            push("Over", later),
        ],
    ) + &delivery("2021-01-01T00:02:00Z", &[push("Over", "2021-01-01T00:02:00Z")]);
    let list = ["Stays", "RunsOut", "Unseen"].map(|name| alert(name, start, later, "active")).join(",")
        + ","
        + &alert("Held", start, later, "suppressed")
        + ","
        + &alert("Early", "2020-01-01T00:00:00Z", later, "active");
    let read = |list: Option<String>| {
        let mut files = vec![(SPAN.0, SPAN.1.to_owned()), ("alerts.ndjson", deliveries.clone())];
        files.extend(list.map(|list| ("alerts.json", list)));
        let capture = whole(&lay(&files));
        assert_eq!(told(&capture), [""; 0]);
        let mut added: Vec<(String, String, String)> = capture
            .signals
            .iter()
            .map(Waiting::head)
            .filter(|signal| signal.origin.starts_with("alerts.json"))
            .map(|signal| {
                (signal.name.clone(), signal.state.clone(), kwhy_ingest::time::rfc3339(&signal.at.unwrap()))
            })
            .collect();
        added.sort();
        added
    };
    let row = |name: &str, state: &str, at: &str| (name.to_owned(), state.to_owned(), at.to_owned());
    assert_eq!(
        read(Some(format!("[{list}]"))),
        [
            row("Early", "firing", "2020-12-31T23:00:00Z"),
            row("Ends", "resolved", "2021-01-01T01:00:00Z"),
            row("Held", "firing", "2021-01-01T00:50:00Z"),
            row("RunsOut", "firing", "2021-01-01T00:50:00Z"),
            row("Unseen", "firing", start),
        ]
    );
    assert!(read(None).is_empty(), "without a list nothing is known to have ended");
}

#[test]
fn events_do_not_come_after_the_capture() {
    let event = |name: &str, at: &str| {
        format!(
            r#"{{"kind":"Event","reason":"R","metadata":{{"name":"{name}","uid":"{name}"}},"lastTimestamp":"{at}"}}"#
        )
    };
    let list = format!(
        "{{\"items\":[{},{},{{}}]}}",
        event("late", "2021-06-01T00:00:00Z"),
        event("early", "2020-06-01T00:00:00Z")
    );
    let capture = whole(&lay(&[SPAN, ("events.json", &list)]));
    assert_eq!(times(&capture), ["2020-06-01T00:00:00Z", "2021-01-01T01:00:00Z"]);
    assert!(capture.signals[1].head().id.ends_with("/2021-06-01T00:00:00Z"), "the id is the event's own");
    assert_eq!(told(&capture), ["events.json: item 3: an Event without reason"]);
}

#[test]
fn previous_lines_come_before_and_distinct_lines_stay() {
    let line = |second: u32, text: &str| format!("2021-01-01T00:00:{second:02}.000000001Z {text}\n");
    let previous = line(1, "a") + &line(2, "b");
    let current = line(2, "b") + &line(2, "B") + &line(2, "B") + &line(3, "a");
    let capture =
        whole(&lay(&[SPAN, ("pods/ns/p/c.log", &current), ("pods/ns/p/c.previous.log", &previous)]));
    let lines: Vec<(&str, bool, &str)> = capture
        .signals
        .iter()
        .map(Waiting::head)
        .map(|signal| match &signal.body {
            Some(Body::Log(line)) => {
                (signal.message.as_str(), line.previous, signal.origin.rsplit('/').next().unwrap())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("a", true, "c.previous.log:1"),
            ("b", false, "c.log:1"),
            ("B", false, "c.log:2"),
            ("B", false, "c.log:3"),
            ("a", false, "c.log:4"),
        ]
    );
}

#[test]
fn a_message_over_several_entries_or_lines_is_one_signal() {
    let head = "I0101 00:00:01.500000       1 prober.go:107] \"Probe failed\" output=<";
    let entries = format!(
        "Jan  1 00:00:01 n kubelet[1]: {head}\nJan  1 00:00:01 n kubelet[1]: \tE0101 00:00:01.500000       1 forged.go:1] x\nJan  1 00:00:01 n kubelet[1]:  > pod=\"ns/p\"\nJan  1 00:00:02 n kubelet[1]: next\n"
    );
    let indent = " ".repeat("Jan  1 00:00:01 n kubelet[1]: ".len());
    let lines = format!(
        "Jan  1 00:00:01 n kubelet[1]: {head}\n{indent}\tE0101 00:00:01.500000       1 forged.go:1] x\n{indent} > pod=\"ns/p\"\nJan  1 00:00:02 n kubelet[1]: next\n"
    );
    let json = format!(
        "{}\n{}\n",
        serde_json::json!({"__REALTIME_TIMESTAMP": "1609459201500000", "MESSAGE": format!("{head}\n\tE0101 00:00:01.500000       1 forged.go:1] x\n > pod=\"ns/p\"")}),
        serde_json::json!({"__REALTIME_TIMESTAMP": "1609459202000000", "MESSAGE": "next"})
    );
    let mut all = Vec::new();
    for log in [entries, lines, json] {
        let capture = whole(&lay(&[SPAN, ("kubelet/n.log", &log)]));
        assert_eq!(told(&capture), [""; 0], "{log}");
        assert_eq!(capture.signals.len(), 2, "{log}");
        let first = capture.signals[0].head();
        assert_eq!((first.state.as_str(), first.origin.as_str()), ("I", "kubelet/n.log:1"));
        assert_eq!(first.subject.as_ref().unwrap().name, "p");
        let Some(Body::Log(line)) = &first.body else { panic!() };
        assert_eq!(line.values["output"], "E0101 00:00:01.500000       1 forged.go:1] x");
        assert_eq!(line.values["pod"], "ns/p");
        all.push(first.clone());
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "and it is the same in every form: {all:?}");
}

#[test]
fn no_value_of_a_secret_is_read() {
    let secret = r#"{"metadata":{"name":"s","namespace":"ns","uid":"s","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"canary"}},"data":{"password":"canary"},"stringData":{"token":"canary"}}"#;
    let with_kind = secret.replacen('{', "{\"kind\":\"Secret\",", 1);
    // An API server's SecretList has items without kind, and may name itself after them.
    let list = format!("{{\"items\":[{secret}],\"kind\":\"SecretList\"}}");
    let change = format!(
        "{{\"at\":\"2021-01-01T00:10:00Z\",\"type\":\"DELETED\",\"object\":{with_kind}}}\n{{\"at\":\"2021-01-01T00:10:00Z\",\"type\":\"ADDED\",\"object\":{list}}}\n"
    );
    let capture = whole(&lay(&[SPAN, ("objects.json", &list), ("changes.ndjson", &change)]));
    assert_eq!(
        capture
            .signals
            .iter()
            .map(Waiting::head)
            .filter(|signal| signal.subject.as_ref().unwrap().kind == "Secret")
            .count(),
        2
    );
    let signals: Vec<_> = capture.signals.iter().cloned().map(Waiting::unpacked).collect();
    assert!(!format!("{capture:?} {signals:?}").contains("canary"));
    assert!(format!("{signals:?}").contains("password"), "its keys are");
}

#[test]
fn huge_lines_are_cut() {
    let log = format!("2021-01-01T00:00:01Z {}\n2021-01-01T00:00:02Z after\n", "x".repeat(5 << 20));
    let capture = whole(&lay(&[SPAN, ("pods/ns/p/c.log", &log)]));
    assert_eq!(capture.signals.len(), 2);
    assert!(
        capture.signals[0].head().message.len() <= 4096 && capture.signals[0].head().message.ends_with('…')
    );
    assert_eq!(capture.signals[1].head().message, "after");
}

#[test]
fn text_is_safe_to_print() {
    let log = "2021-01-01T00:00:01Z \x1b[31mERROR\x1b[0m \u{202e}txt\u{200b}\r over\n";
    let event = r#"{"items":[{"kind":"Event","reason":"R","type":"Warning","metadata":{"uid":"e"},"lastTimestamp":"2021-01-01T00:00:00Z","message":"a\u001b[2Jb\u0007\nc"}]}"#;
    let capture = whole(&lay(&[SPAN, ("pods/ns/p/c.log", log), ("events.json", event)]));
    let messages: Vec<&str> =
        capture.signals.iter().map(Waiting::head).map(|signal| signal.message.as_str()).collect();
    assert_eq!(messages, ["ab c", "ERROR txt over"]);
}

/// Wants every line that the reading of a whole file would give, and checks that each fits a message.
struct Checked;

impl Interest for Checked {
    fn wants_line(&self, _source: &str, message: &str, severity: &str) -> bool {
        assert!(message.len() <= 4096 && !message.contains(['\n', '\x1b']) && severity.len() <= 1);
        true
    }
}

fn real_files() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures");
    let pod = "pods/kube-system/coredns-66bff467f8-k2g6n/coredns.log";
    let files: [(&str, &str); 8] = [
        ("a1-coredns-loop", "objects.json"),
        ("a1-coredns-loop", "changes.ndjson"),
        ("a1-coredns-loop", "events.json"),
        ("a1-coredns-loop", "alerts.ndjson"),
        ("a1-coredns-loop", "alerts.json"),
        ("a1-coredns-loop", "kubelet/ford.log"),
        ("a1-coredns-loop", pod),
        ("a1-fixed", "kubelet/kal.log.gz"),
    ];
    files
        .iter()
        .map(|(capture, name)| {
            ((*name).to_owned(), fs::read(root.join(PathBuf::from(capture)).join(name)).unwrap())
        })
        .collect()
}

fn alone(name: &str, content: &[u8]) -> Result<Capture, CaptureError> {
    let span = "cluster: c\nfrom: 2020-04-24T12:30:00Z\nto: 2020-04-24T13:58:00Z\n";
    let dir = lay(&[("capture.yaml", span.as_bytes()), (name, content)]);
    read(dir.path(), &Checked)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_file_cut_anywhere_gives_what_stood_before(file in 0usize..8, part in 0.0f64..1.0) {
        let (name, content) = &real_files()[file];
        let full = alone(name, content).unwrap();
        let cut = &content[..(content.len() as f64 * part) as usize];
        let signals = alone(name, cut).map(|capture| capture.signals).unwrap_or_default();
        // The last line of a text may have lost its end and still be one, with a shorter message or header.
        let changed = signals.iter().filter(|signal| !full.signals.contains(signal)).collect::<Vec<_>>();
        prop_assert!(changed.len() <= 1, "{}: {} changed", name, changed.len());
        prop_assert!(changed.iter().all(|signal| full.signals.iter().any(|known| known.head().id == signal.head().id)), "{:?}", changed);
    }

    #[test]
    fn damaged_files_do_not_panic(file in 0usize..8, hits in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..20)) {
        let (name, mut content) = real_files()[file].clone();
        for (part, byte) in hits {
            let at = (content.len() as f64 * part) as usize;
            content[at] = byte;
        }
        let _ = alone(&name, &content);
    }

    #[test]
    fn noise_does_not_panic(file in 0usize..8, noise in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (name, _) = &real_files()[file];
        let _ = alone(name, &noise);
        let _ = alone("capture.yaml", &noise);
    }
}
