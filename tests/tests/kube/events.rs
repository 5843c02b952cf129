//! Events as recorders write them: series, updates of a count, times that are null, long notes, forged objects.

use std::collections::BTreeMap;

use kwhy_proto::v1::{Finding, Signal, signal::Body};
use kwhy_tests::{Client, Kwhy, apiserver::ApiServer, finish};
use serde_json::{Value, json};

use crate::collector::{CLUSTER, Collector, collect, event, of_kind};

/// The highest count told of each event, by its name; and how long its message is.
fn counts(told: &[Signal]) -> BTreeMap<&str, (u32, usize)> {
    let mut counts = BTreeMap::new();
    for signal in told {
        if let Some(Body::Event(event)) = &signal.body {
            let name = signal.origin.rsplit('/').next().unwrap_or_default();
            let entry = counts.entry(name).or_insert((0, 0));
            *entry = (entry.0.max(event.count), signal.message.len());
        }
    }
    counts
}

/// What must hold of the events below.
fn check(told: &[Signal]) -> Result<(), String> {
    let counts = counts(told);
    for (name, wanted) in [("counted", 7), ("series", 12), ("combined", 3), ("ancient", 1), ("long", 1)] {
        match counts.get(name) {
            Some((count, _)) if *count == wanted => {}
            other => return Err(format!("{name} counts {other:?}, not {wanted}")),
        }
    }
    let long = counts["long"].1;
    if !(2048..=4096 + 8).contains(&long) {
        return Err(format!("a long note is kept in part, not {long} bytes"));
    }
    let combined = told.iter().find(|s| s.origin.ends_with("/combined")).map(|s| s.message.as_str());
    if combined != Some("Failed to pull image") {
        return Err(format!("{combined:?}"));
    }
    Ok(())
}

fn series(count: u32, seen: &str) -> Value {
    json!({"kind": "Event", "metadata": {"name": "series", "namespace": "shop"}, "reason": "FailedScheduling",
        "type": "Warning", "message": "0/3 nodes are available", "action": "Scheduling", "count": null,
        "eventTime": "2026-01-01T00:00:00.000001Z", "firstTimestamp": null, "lastTimestamp": null, "source": {},
        "series": {"count": count, "lastObservedTime": seen}, "reportingComponent": "default-scheduler",
        "reportingInstance": "s-1", "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1"}})
}

async fn tell_events(server: &ApiServer) -> Collector {
    // Written long before anybody looked.
    let mut ancient = event("ancient", 1);
    for field in ["firstTimestamp", "lastTimestamp"] {
        ancient[field] = "2020-01-01T00:00:00Z".into();
    }
    server.put(ancient);
    server.put(event("counted", 1));
    server.put(series(2, "2026-01-01T00:01:00.000001Z"));
    let collector = Collector::start(server).await;
    collector.until("the first events", |told| of_kind(told, "Pod").len() >= 3).await;
    // What comes later are updates of the same objects.
    for count in 2..=7 {
        server.put(event("counted", count));
    }
    server.put(series(12, "2026-01-01T00:09:00.000001Z"));
    let mut combined = event("combined", 3);
    combined["message"] = "(combined from similar events): Failed to pull image".into();
    server.put(combined);
    let mut long = event("long", 1);
    long["message"] = "x".repeat(64 * 1024).into();
    server.put(long);
    collector
}

#[tokio::test]
async fn every_repeat_of_an_event_counts_whatever_its_age_and_spelling() {
    let server = ApiServer::start();
    let collector = tell_events(&server).await;
    let told = collector.until("the last event", |told| counts(told).contains_key("long")).await;
    assert_eq!(check(&told), Ok(()));
    assert_eq!(collector.terminate().code, Some(0));
}

/// The twins: a collector that takes an update for what it knows, and one that leaves out what is old.
#[tokio::test]
async fn the_check_of_repeats_fails_a_collector_that_leaves_out_updates_or_what_is_old() {
    let server = ApiServer::start();
    let collector = tell_events(&server).await;
    let told = collector.until("the last event", |told| counts(told).contains_key("long")).await;
    let mut heard = std::collections::BTreeSet::new();
    let without_updates: Vec<Signal> =
        told.iter().filter(|signal| heard.insert(signal.origin.clone())).cloned().collect();
    assert!(check(&without_updates).unwrap_err().starts_with("counted counts"));
    let recent: Vec<Signal> =
        told.iter().filter(|s| s.at.as_ref().is_some_and(|at| at.seconds > 1_700_000_000)).cloned().collect();
    assert!(check(&recent).unwrap_err().starts_with("ancient counts"));
}

/// What a kubelet says of a pod whose ConfigMap is missing, as somebody in `namespace` writes it.
fn missing_configmap(namespace: &str, about: &str, count: u32) -> Value {
    json!({"kind": "Event", "metadata": {"name": "web-1.abc", "namespace": namespace}, "reason": "FailedMount",
        "type": "Warning", "message": "MountVolume.SetUp failed for volume \"config\" : configmap \"web-config\" not found",
        "count": null, "eventTime": "2026-01-01T00:00:00.000001Z", "firstTimestamp": null, "lastTimestamp": null,
        "series": {"count": count, "lastObservedTime": format!("2026-01-01T00:{count:02}:00.000001Z")},
        "reportingComponent": "kubelet", "reportingInstance": "n1", "action": "Mounting", "source": {},
        "involvedObject": {"kind": "Pod", "namespace": about, "name": "web-7f9dd8b6c4-x7gr9"}})
}

/// The findings after such an event was told again and again, and what was told.
async fn after(namespace: &str, about: &str) -> (Vec<Finding>, Vec<Signal>) {
    let server = ApiServer::start();
    let kwhy = Kwhy::new();
    let nats = kwhy_tests::NatsServer::start(&kwhy_tests::nats_server());
    let client = Client::connect(&nats.url).await;
    let engine = kwhy.engine(&[&"--nats", &nats.url, &"--cluster", &CLUSTER]);
    for count in 1..=3 {
        server.put(missing_configmap(namespace, about, count));
    }
    let process = collect(&kwhy, &server, &nats.url);
    for count in 4..=9 {
        server.put(missing_configmap(namespace, about, count));
    }
    let collector = Collector { kwhy, nats, client, process };
    let told = collector
        .until("the last repeat", |told| {
            told.iter().any(|s| matches!(&s.body, Some(Body::Event(event)) if event.count == 9))
        })
        .await;
    let Collector { client, process, nats: _nats, kwhy: _kwhy } = collector;
    assert_eq!(process.terminate().code, Some(0));
    assert_eq!(finish(engine, &client, CLUSTER).await.code, Some(0));
    (client.findings().await, told)
}

fn accuses(findings: &[Finding], namespace: &str) -> bool {
    let of = |object: &Option<kwhy_proto::v1::ObjectRef>| {
        object.as_ref().is_some_and(|o| o.namespace == namespace)
    };
    findings.iter().any(|f| of(&f.root) || f.symptoms.iter().any(|symptom| of(&symptom.object)))
}

#[tokio::test]
async fn an_event_of_one_namespace_accuses_nothing_of_another_and_is_kept_with_where_it_came_from() {
    let (findings, told) = after("attacker", "shop").await;
    assert!(!accuses(&findings, "shop"), "{findings:#?}");
    let forged = told.iter().find(|signal| signal.name == "FailedMount").expect("it is kept");
    let subject = forged.subject.as_ref().expect("a subject");
    assert_eq!((subject.kind.as_str(), subject.namespace.as_str()), ("Event", "attacker"));
    assert_eq!(forged.origin, "/apis/events.k8s.io/v1/namespaces/attacker/events/web-1.abc");
    let Some(Body::Event(body)) = &forged.body else { panic!("{forged:?}") };
    assert_eq!(body.related.as_ref().map(|o| o.namespace.as_str()), Some("shop"), "what it names is kept");
}

/// The twin: from the namespace itself the same words are believed.
#[tokio::test]
async fn an_event_of_the_namespace_itself_is_believed() {
    let (findings, _) = after("shop", "shop").await;
    assert!(accuses(&findings, "shop"), "{findings:#?}");
}
