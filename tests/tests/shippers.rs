//! Other people's shippers: raw lines, events, objects and alerts in, findings out.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::collections::BTreeSet;

use kwhy_proto::v1::Finding;
use kwhy_tests::{
    CLUSTER, Client, Kwhy, NatsServer, capture, cluster_of, coredns_loop,
    findings::{Findings, last_of_each, loud, root_of},
    finish, nats_server, python,
};

/// What is told loudly, as code and root.
fn told<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> BTreeSet<String> {
    findings.into_iter().filter(|f| loud(f)).map(|f| format!("{} {}", f.code, root_of(f))).collect()
}

#[tokio::test]
async fn what_a_client_in_python_ships_raw_leads_to_the_same_causes() {
    for dir in [coredns_loop(), capture("d2-oom-after-rollout"), capture("f1-runtime-hung")] {
        let kwhy = Kwhy::new();
        let server = NatsServer::start(&nats_server());
        let expected = Findings::of(&kwhy, &dir).expect("findings");
        let cluster = cluster_of(&dir);
        let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &cluster]);
        let path = dir.display().to_string();
        let shipped = python::run("shipper.py", [&server.url, &cluster, &path]);
        assert_eq!(shipped.code, Some(0), "{}", shipped.stderr);
        let client = Client::connect(&server.url).await;
        let ended = finish(engine, &client, &cluster).await;
        assert!(!ended.stderr.contains("raw message"), "{}", ended.stderr);
        let first = client.findings().await;
        assert_eq!(told(last_of_each(&first)), told(expected.loud()), "{}", dir.display());
        assert!(!told(last_of_each(&first)).is_empty());

        // Read again, and shipped again, it is the same.
        let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &cluster]);
        let _ended = finish(engine, &client, &cluster).await;
        assert_eq!(client.findings().await, first, "another reading says something else");
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_with_its_place_and_the_rest_is_used() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &CLUSTER]);
    let client = Client::connect(&server.url).await;
    let publish = async |kind: &str, body: &str| {
        client.publish(&format!("kwhy.in.{CLUSTER}.raw.{kind}"), None, body.as_bytes().to_vec()).await
    };
    let sequence = publish("kubelet.kal", "{\"message\":\"a\"}\n{\"x\":1}\n").await;
    publish("metrics", "x 1").await;
    publish("events", " ").await;
    let ended = finish(engine, &client, CLUSTER).await;
    let said = |words: &str| assert!(ended.stderr.contains(words), "no `{words}` in\n{}", ended.stderr);
    said(&format!("kwhy: item 2 of raw message {sequence} on kubelet.kal is left out: it has no message"));
    said("`metrics` is none of kubelet.NODE, log.NAMESPACE.POD.CONTAINER, events, objects, alerts");
    said("it is empty");
}
