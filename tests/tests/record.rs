//! `kwhy record`: what stood on NATS, written down, is diagnosed to the findings of the capture that was fed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::path::Path;

use kwhy_proto::v1::Finding;
use kwhy_tests::{CLUSTER, Kwhy, NatsServer, capture, coredns_loop, nats_server};

/// The findings that stand at the end, as id and code.
fn findings(kwhy: &Kwhy, dir: &Path) -> Vec<(String, String)> {
    let ended = kwhy.diagnose(dir);
    assert!(matches!(ended.code, Some(0 | 1)) && ended.stderr.is_empty(), "{}", ended.stderr);
    let all: Vec<Finding> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a finding")).collect();
    let mut last: Vec<(String, String)> = kwhy_tests::findings::last_of_each(&all)
        .into_iter()
        .map(|finding| (finding.id.clone(), finding.code.clone()))
        .collect();
    last.sort();
    last
}

fn cluster(capture: &Path) -> String {
    let text = std::fs::read_to_string(capture.join("capture.yaml")).expect("a capture.yaml");
    text.lines().find_map(|line| line.strip_prefix("cluster: ")).expect("a name").trim().to_owned()
}

#[test]
fn a_recording_is_diagnosed_to_the_findings_of_what_was_fed() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    let captures = [
        "a1-coredns-loop",
        "d3-imagepull-bad-tag",
        "k3-missing-secret-restored",
        "k8-service-selector-cascade",
    ]
    .map(capture);
    for fed in &captures {
        kwhy.feed(fed, &server.url);
    }
    // All clusters are on one stream.
    for fed in &captures {
        let (cluster, to) = (cluster(fed), kwhy.home(&format!("recorded/{}", cluster(fed))));
        let ended = kwhy.run(&[&"record", &to, &"--nats", &server.url, &"--cluster", &cluster]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!(" signals of cluster {cluster}; next: kwhy diagnose ")),
            "{}",
            ended.stderr
        );
        let expected = findings(&kwhy, fed);
        assert!(!expected.is_empty());
        assert_eq!(findings(&kwhy, &to), expected, "{}", fed.display());
    }
}

#[test]
fn a_recording_from_a_time_on_knows_what_stood_before_it() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    kwhy.feed(&coredns_loop(), &server.url);
    let to = kwhy.home("late");
    let args: [&dyn AsRef<std::ffi::OsStr>; 8] =
        [&"record", &to, &"--nats", &server.url, &"--cluster", &CLUSTER, &"--from", &"2020-04-24T13:05:00Z"];
    let ended = kwhy.run(&args);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let whole = kwhy.home("whole");
    let _ = kwhy.run(&[&"record", &whole, &"--nats", &server.url, &"--cluster", &CLUSTER]);
    let size = |dir: &Path| std::fs::metadata(dir.join("signals.ndjson")).expect("a file").len();
    assert!(size(&to) < size(&whole), "what was before is left out");
    let found = findings(&kwhy, &to);
    assert!(found.iter().any(|(_, code)| code == "coredns.forward-loop"), "{found:?}");

    let later = kwhy.home("later");
    let ended = kwhy.run(&[
        &"record",
        &later,
        &"--nats",
        &server.url,
        &"--cluster",
        &CLUSTER,
        &"--from",
        &"2030-01-01T00:00:00Z",
    ]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(!later.exists());
}

#[test]
fn a_cluster_of_which_there_is_nothing_is_told() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    let ended = kwhy.run(&[&"record", &kwhy.home("x"), &"--nats", &server.url, &"--cluster", &"nowhere"]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing of cluster nowhere is stored on KWHY_IN"), "{}", ended.stderr);
    assert!(!kwhy.home("x").exists());
    let ended = kwhy.run(&[&"record", &"--from", &"yesterday"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("write a time as 2024-03-19T10:00:00Z"), "{}", ended.stderr);
}
