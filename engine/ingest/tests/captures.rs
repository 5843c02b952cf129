//! The captures of the repository, read whole: what comes out against what a plain look at the files says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use kwhy_ingest::capture::{Capture, Everything, Interest, Waiting, read};
use kwhy_proto::{
    order,
    v1::{Signal, signal::Body},
};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures")
}

fn captures() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("capture.yaml").is_file())
        .collect();
    all.sort();
    assert!(all.len() >= 3, "the captures of the repository are found");
    all
}

fn whole(dir: &Path) -> Capture {
    read(dir, &Everything).unwrap_or_else(|error| panic!("{error}"))
}

fn capture(name: &str) -> Capture {
    whole(&root().join(name))
}

/// Every file below a directory with its content unpacked, by its name without `.gz`.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            let mut content = fs::read(&path).unwrap();
            if let Some(plain) = name.strip_suffix(".gz") {
                let mut unpacked = Vec::new();
                flate2::read::GzDecoder::new(&content[..]).read_to_end(&mut unpacked).unwrap();
                content = unpacked;
                out.insert(plain.to_owned(), content);
            } else {
                out.insert(name, content);
            }
        }
    }
    out
}

fn of<'a>(capture: &'a Capture, source: &'a str) -> impl Iterator<Item = &'a Signal> {
    capture.signals.iter().map(Waiting::head).filter(move |signal| signal.source == source)
}

#[test]
fn every_capture_is_read_whole_and_without_a_problem() {
    for dir in captures() {
        let capture = whole(&dir);
        let name = dir.display();
        assert!(capture.problems.is_empty(), "{name}: {:?}", capture.problems);
        let files = files(&dir);
        let items = |file: &str| {
            files.get(file).map_or(0, |text| {
                serde_json::from_slice::<Value>(text).unwrap()["items"].as_array().unwrap().len()
            })
        };
        let lines = |prefix: &str, suffix: &str| {
            let all = files.iter().filter(|(name, _)| name.starts_with(prefix) && name.ends_with(suffix));
            all.map(|(_, text)| {
                text.split(|b| *b == b'\n')
                    .filter(|line| !line.is_empty() && !line.starts_with(b"-- "))
                    .count()
            })
            .sum::<usize>()
        };
        // A state that a watch told twice is one signal.
        let changes = files.iter().filter(|(name, _)| name.starts_with("changes"));
        let lines_of_all =
            changes.flat_map(|(_, text)| text.split(|b| *b == b'\n')).filter(|l| !l.is_empty());
        let states: BTreeSet<String> = lines_of_all
            .map(|line| {
                let change: Value = serde_json::from_slice(line).unwrap();
                format!("{} {}", change["type"], change["object"])
            })
            .collect();
        assert_eq!(of(&capture, "object").count(), items("objects.json") + states.len(), "{name}: objects");
        assert_eq!(of(&capture, "event").count(), items("events.json"), "{name}: events");
        assert_eq!(of(&capture, "kubelet").count(), lines("kubelet/", ".log"), "{name}: kubelet lines");
        let (printed, previous) = (lines("pods/", ".log"), lines("pods/", ".previous.log"));
        let logs = of(&capture, "log").count();
        assert!(
            logs <= printed && logs >= printed - previous,
            "{name}: {logs} of {printed} log lines, {previous} of them previous"
        );
        let known = files.keys().filter(|name| !name.ends_with(".yaml")).count();
        assert_eq!(capture.files_read as usize, known, "{name}: files");
    }
}

#[test]
fn signals_are_in_order_and_each_has_its_own_id() {
    for dir in captures() {
        let capture = whole(&dir);
        assert!(
            capture.signals.iter().map(Waiting::head).is_sorted_by(|a, b| order(a) <= order(b)),
            "{}",
            dir.display()
        );
        let ids: BTreeSet<&str> = capture.signals.iter().map(|signal| signal.head().id.as_str()).collect();
        assert_eq!(ids.len(), capture.signals.len(), "{}", dir.display());
        for signal in capture.signals.iter().map(Waiting::head) {
            assert_eq!(signal.cluster, capture.cluster);
            assert!(signal.at.is_some() && signal.body.is_some() && !signal.origin.is_empty(), "{signal:?}");
            assert_eq!(signal.subject.is_some(), signal.source != "alert", "{signal:?}");
        }
        assert!(
            order(&capture.end_tick()) >= order(capture.signals.last().unwrap().head()),
            "the end comes last"
        );
    }
}

#[test]
fn packing_every_file_changes_nothing() {
    for dir in captures() {
        let copy = tempfile::tempdir().unwrap();
        for (name, content) in files(&dir) {
            let path = copy.path().join(format!("{name}.gz"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut packed =
                flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast());
            packed.write_all(&content).unwrap();
            packed.finish().unwrap();
        }
        assert_eq!(whole(copy.path()), whole(&dir), "{}", dir.display());
    }
}

#[test]
fn an_uninterested_reader_gets_only_warnings_and_worse() {
    struct Nothing;
    impl Interest for Nothing {
        fn wants_line(&self, _: &str, _: &str, _: &str) -> bool {
            false
        }
    }
    let all = capture("a1-coredns-loop");
    let few = read(&root().join("a1-coredns-loop"), &Nothing).unwrap();
    let expected: Vec<&Signal> = all
        .signals
        .iter()
        .map(Waiting::head)
        .filter(|signal| {
            !matches!(signal.source.as_str(), "kubelet" | "log")
                || matches!(signal.state.as_str(), "W" | "E" | "F")
        })
        .collect();
    assert_eq!(few.signals.iter().map(Waiting::head).collect::<Vec<_>>(), expected);
    assert!(few.signals.len() < all.signals.len());
    assert_eq!(few.lines_read, all.lines_read);
}

#[test]
fn a_run_that_stands_in_two_logs_counts_once() {
    let capture = capture("a1-coredns-loop");
    let loops: Vec<&Signal> =
        of(&capture, "log").filter(|signal| signal.message.contains("plugin/loop")).collect();
    assert_eq!(loops.len(), 1);
    assert_eq!(loops[0].origin, "pods/kube-system/coredns-66bff467f8-k2g6n/coredns.log:5");
    assert_eq!(loops[0].id, "log/kube-system/coredns-66bff467f8-k2g6n/coredns/1-0000000005");
    assert_eq!(loops[0].state, "F");
    let Some(Body::Log(line)) = &loops[0].body else { panic!("{:?}", loops[0]) };
    assert_eq!((line.container.as_str(), line.previous), ("coredns", false));
}

#[test]
fn kubelet_lines_are_about_the_pod_they_name() {
    let text = capture("a1-coredns-loop");
    let line = of(&text, "kubelet").find(|signal| signal.origin == "kubelet/kal.log:3").unwrap();
    let pod = line.subject.as_ref().unwrap();
    assert_eq!(
        (pod.kind.as_str(), pod.namespace.as_str(), pod.name.as_str()),
        ("Pod", "kube-system", "coredns-66bff467f8-k2g6n")
    );
    assert_eq!(pod.uid, "6a1bb3cd-8af1-4330-a953-da78b26c352f");
    assert_eq!((line.state.as_str(), line.id.as_str()), ("E", "kubelet/kal/0000000003"));
    assert!(line.message.starts_with("Error syncing pod "), "{}", line.message);
    let Some(Body::Log(body)) = &line.body else { panic!("{line:?}") };
    assert_eq!((body.node.as_str(), body.code.as_str()), ("kal", "pod_workers.go:191"));
}

#[test]
fn alerts_that_only_the_list_knows_fire_from_their_start() {
    let capture = capture("a1-coredns-loop");
    let watchdog = of(&capture, "alert").find(|signal| signal.name == "Watchdog").unwrap();
    assert_eq!(
        kwhy_ingest::time::rfc3339(&watchdog.at.unwrap()),
        "2020-04-24T12:30:00Z",
        "not before the span"
    );
    assert_eq!((watchdog.state.as_str(), watchdog.origin.as_str()), ("firing", "alerts.json#2"));
    let delivered: Vec<&str> = of(&capture, "alert")
        .filter(|signal| signal.name != "Watchdog")
        .map(|signal| signal.origin.as_str())
        .collect();
    assert_eq!(delivered, ["alerts.ndjson:1", "alerts.ndjson:2", "alerts.ndjson:3", "alerts.ndjson:3"]);
}

#[test]
fn resolved_deliveries_are_resolved() {
    let capture = capture("a1-fixed");
    let resolved: Vec<(&str, &str)> = of(&capture, "alert")
        .filter(|signal| signal.state == "resolved")
        .map(|signal| (signal.name.as_str(), signal.origin.as_str()))
        .collect();
    assert_eq!(
        resolved,
        [
            ("KubePodCrashLooping", "alerts.ndjson:4"),
            ("KubeDeploymentReplicasMismatch", "alerts.ndjson:4"),
            ("TargetDown", "alerts.ndjson:5"),
        ]
    );
}

#[test]
fn real_kubelet_lines_name_the_pods_that_upstream_reads_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let data = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data/kubelet-log-lines/openshift-kubelet-lines.jsonl"),
    )
    .unwrap();
    let cases: Vec<Value> = data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    fs::create_dir(dir.path().join("kubelet")).unwrap();
    let log: String = cases.iter().map(|case| format!("{}\n", case["line"].as_str().unwrap())).collect();
    fs::write(dir.path().join("kubelet/n.log"), log).unwrap();
    fs::write(dir.path().join("capture.yaml"), "from: 2023-01-01T00:00:00Z\nto: 2023-12-31T00:00:00Z\n")
        .unwrap();
    let capture = whole(dir.path());
    assert!(capture.problems.is_empty(), "{:?}", capture.problems);
    assert_eq!(capture.signals.len(), cases.len());
    for (number, case) in (1..).zip(&cases) {
        let signal = of(&capture, "kubelet")
            .find(|signal| signal.origin == format!("kubelet/n.log:{number}"))
            .unwrap();
        let subject = signal.subject.as_ref().unwrap();
        let expected = &case["expected"]["locator"];
        // The line names a Secret; that it has a pod's name is upstream's guess.
        if expected["kind"] == "node" || case["name"] == "reflector" {
            assert_eq!((subject.kind.as_str(), subject.name.as_str()), ("Node", "n"), "{case}");
        } else {
            assert_eq!(subject.kind, "Pod", "{case}");
            assert_eq!(expected["namespace"], subject.namespace, "{case}");
            assert_eq!(expected["pod"], subject.name, "{case}");
            assert_eq!(expected["uid"], subject.uid, "{case}");
        }
    }
}
