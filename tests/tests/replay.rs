//! `kwhy replay`: what would be said otherwise, before it is.
#![allow(clippy::expect_used, reason = "a test ends where its ground gives way")]

use kwhy_tests::{Client, Kwhy, NatsServer, capture, cluster_of, finish, nats_server};
use serde_json::Value;

#[tokio::test]
async fn the_same_rules_and_times_differ_in_nothing_and_others_in_what_they_say() {
    let kwhy = Kwhy::new();
    let capture = capture("e2-corefile-typo");
    let cluster = cluster_of(&capture);
    let server = NatsServer::start(&nats_server());
    let replay = |more: &[&dyn AsRef<std::ffi::OsStr>]| {
        let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"replay", &"--nats", &server.url];
        args.extend([&"--cluster" as &dyn AsRef<std::ffi::OsStr>, &cluster]);
        args.extend(more);
        kwhy.run(&args)
    };
    let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &cluster]);
    let client = Client::connect(&server.url).await;
    kwhy.feed(&capture, &server.url);
    let ended = finish(engine, &client, &cluster).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let before = client.findings().await;

    let same = replay(&[]);
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (Some(0), "0 appear, 0 vanish, 0 change\n"),
        "{}",
        same.stderr
    );

    // An alert that may wait for a day is listed by nobody.
    let patient = kwhy.write("patient.yaml", "times:\n  grace: 24h\n");
    let other = replay(&[&"--config", &patient]);
    assert_eq!(other.code, Some(1), "{}", other.stderr);
    assert!(other.stdout.contains("vanishes  INFO     unexplained.alerts "), "{}", other.stdout);
    let json = replay(&[&"--config", &patient, &"--output", &"json"]);
    let differences: Vec<Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let gone = differences.iter().find(|d| d["change"] == "vanishes").expect("one that vanishes");
    assert_eq!(gone["stored"]["code"], "unexplained.alerts");
    assert!(gone.get("replayed").is_none());
    assert_eq!(replay(&[&"--config", &patient, &"--from", &"2100-01-01T00:00:00Z"]).code, Some(0));

    assert_eq!(client.findings().await, before, "nothing is published");
}

#[test]
fn where_no_engine_has_run_there_is_nothing_to_compare_with() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    let nothing = kwhy.run(&[&"replay", &"--nats", &server.url, &"--cluster", &"nobody"]);
    assert_eq!((nothing.code, nothing.errors().len()), (Some(3), 1), "{}", nothing.stderr);
    assert!(nothing.stderr.contains("nothing of cluster nobody can be replayed"), "{}", nothing.stderr);
}
