//! The way through NATS changes nothing: not the encoding, not copies, not the order of the sources, not a restart.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
};

use fastrand::Rng;
use kwhy_proto::{
    Message as _, millis,
    v1::{Finding, Signal, SignalBatch},
};
use kwhy_tests::{
    CLUSTER, Client, Engine, Kwhy, NatsServer, Stored, capture, cluster_of, coredns_loop, finish, line,
    nats_server, recorded, said_of,
};

/// An engine on a server that outlives it.
fn engine(kwhy: &Kwhy, server: &NatsServer, cluster: &str) -> Engine {
    kwhy.engine(&[&"--nats", &server.url, &"--cluster", &cluster])
}

#[tokio::test]
async fn what_comes_out_of_nats_is_what_diagnose_says_byte_for_byte() {
    let kwhy = Kwhy::new();
    for capture in passing() {
        let expected = said_of(&kwhy, &capture);
        let server = NatsServer::start(&nats_server());
        let engine = engine(&kwhy, &server, &cluster_of(&capture));
        let client = Client::connect(&server.url).await;
        let subscription = client.subscribe("kwhy.findings.>").await;
        kwhy.feed(&capture, &server.url);
        let ended = finish(engine, &client, &cluster_of(&capture)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);

        let messages = subscription.take(2 * expected.len(), "kwhy.findings.mark").await;
        let (json, protobuf): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|m| m.headers["Content-Type"].starts_with("application/json;"));
        let json: Vec<String> =
            json.into_iter().map(|m| String::from_utf8(m.body).expect("JSON is text")).collect();
        assert_eq!(json, expected, "the JSON twins");
        assert!(
            protobuf.iter().all(|m| m.headers["Content-Type"].starts_with("application/x-protobuf;")),
            "{protobuf:?}"
        );
        assert_eq!(
            protobuf.iter().map(|m| line(&m.body)).collect::<Vec<_>>(),
            expected,
            "the protobuf bodies"
        );
        assert_eq!(client.revisions().await, expected, "the stream");

        let count = expected.len().to_string();
        let cluster = kwhy.write("tail.yaml", format!("cluster: {}\n", cluster_of(&capture)));
        let tail = kwhy.run(&[
            &"tail",
            &"--config",
            &cluster,
            &"--nats",
            &server.url,
            &"--output",
            &"json",
            &"--count",
            &count,
        ]);
        assert_eq!(tail.stdout, kwhy.diagnose(&capture).stdout, "kwhy tail; {}", tail.stderr);
    }
}

/// The captures of which kwhy is known to tell the cause.
fn passing() -> Vec<PathBuf> {
    let list = fs::read_to_string(capture("PASSING")).expect("the list of captures");
    let names = list.lines().filter_map(|line| line.split('#').next()).map(str::trim);
    let captures: Vec<PathBuf> = names.filter(|name| !name.is_empty()).map(capture).collect();
    assert!(captures.contains(&coredns_loop()), "{captures:?}");
    captures
}

#[tokio::test]
async fn feeding_a_second_time_changes_nothing() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let server = NatsServer::start(&nats_server());
    let engine = engine(&kwhy, &server, CLUSTER);
    let client = Client::connect(&server.url).await;
    let first = kwhy.feed(&coredns_loop(), &server.url);
    assert!(!first.contains("known already"), "{first}");
    let messages = client.stored("KWHY_IN").await.len();
    let second = kwhy.feed(&coredns_loop(), &server.url);
    assert!(
        second.contains(&format!("in {messages} messages, {messages} of them known already")),
        "{second}"
    );
    let _ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(client.revisions().await, expected);
}

#[tokio::test]
async fn messages_that_come_twice_under_other_ids_change_nothing() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let engine = engine(&kwhy, &server, CLUSTER);
    let client = Client::connect(&server.url).await;
    for (n, message) in messages.iter().enumerate() {
        client.ship(message, "").await;
        client.ship(message, "at-once/").await;
        // And one that came a while ago.
        client.ship(&messages[n / 2], &format!("again-{n}/")).await;
    }
    // And all of it once more, when everything is over.
    for message in &messages {
        client.ship(message, "at-the-end/").await;
    }
    let _ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(client.revisions().await, expected);
}

/// Most that a source may come later than another.
const SHIFT: u64 = 290_000;

/// One source as a collector would be one: a log, or a kind of API.
fn source(signal: &Signal) -> String {
    let log =
        if signal.source == "kubelet" || signal.source == "log" { signal.id.rsplit_once('/') } else { None };
    log.map_or_else(|| signal.source.clone(), |(log, _)| log.to_owned())
}

/// The signals of the messages, each alone, in the order in which they would come if each source were late by its
/// own time.
fn delayed(messages: &[Stored], mut delay: impl FnMut(&str) -> u64) -> Vec<(String, Signal)> {
    let batches =
        messages.iter().map(|m| (&m.subject, SignalBatch::decode(m.body.as_slice()).expect("a batch")));
    let mut signals: Vec<(String, Signal)> =
        batches.flat_map(|(subject, b)| b.signals.into_iter().map(|s| (subject.clone(), s))).collect();
    let mut delays: BTreeMap<String, u64> = BTreeMap::new();
    for (_, signal) in &signals {
        if let Entry::Vacant(new) = delays.entry(source(signal)) {
            // The end stays the end.
            let late = if new.key() == "tick" { SHIFT } else { delay(new.key()) };
            new.insert(late);
        }
    }
    // Stable: a source keeps its own order.
    signals.sort_by_key(|(_, s)| s.at.as_ref().map_or(0, millis) + delays[&source(s)]);
    signals
}

/// The last revision of each finding that stands, by id, without the number of the revision.
fn last(lines: &[String]) -> BTreeMap<String, Finding> {
    let findings = lines.iter().map(|line| serde_json::from_str::<Finding>(line).expect("a finding"));
    let mut last: BTreeMap<String, Finding> = BTreeMap::new();
    for finding in findings {
        last.insert(finding.id.clone(), Finding { revision: 0, ..finding });
    }
    // What was said on the way and taken back when more was known.
    last.retain(|_, finding| !finding.resolution.starts_with("withdrawn:"));
    last
}

async fn assert_same_end(capture: &Path, what: &str, delay: impl FnMut(&str) -> u64) {
    let kwhy = Kwhy::new();
    let expected = last(&said_of(&kwhy, capture));
    let messages = recorded(&kwhy, capture).await;
    let server = NatsServer::start(&nats_server());
    let engine = engine(&kwhy, &server, &cluster_of(capture));
    let client = Client::connect(&server.url).await;
    for (subject, signal) in delayed(&messages, delay) {
        let batch = SignalBatch { signals: vec![signal] };
        client.publish(&subject, None, batch.encode_to_vec()).await;
    }
    let ended = finish(engine, &client, &cluster_of(capture)).await;
    let is = last(&client.revisions().await);
    let ids = |findings: &BTreeMap<String, Finding>| -> Vec<String> {
        findings.values().map(|f| format!("{} {} {}", f.id, f.code, f.title)).collect()
    };
    assert_eq!(ids(&is), ids(&expected), "{what}; kwhy run said\n{}", ended.stderr);
    for (id, finding) in expected {
        let json = |finding| serde_json::to_string_pretty(finding).expect("JSON");
        let (is, expected) = (json(&is[&id]), json(&finding));
        let differs = is.lines().zip(expected.lines()).find(|(a, b)| a != b);
        assert!(is == expected, "{what}: {differs:?}\n--- is\n{is}\n--- expected\n{expected}");
    }
}

#[tokio::test]
async fn sources_in_another_order_lead_to_the_same_last_revisions() {
    for seed in 1..=3 {
        let mut random = Rng::with_seed(seed);
        assert_same_end(&coredns_loop(), &format!("seed {seed}"), |_| random.u64(..=SHIFT)).await;
    }
}

#[tokio::test]
async fn sources_in_another_order_lead_to_the_same_last_revisions_of_every_capture() {
    for (seed, capture) in (11..).zip(passing()) {
        let mut random = Rng::with_seed(seed);
        let what = format!("{} with seed {seed}", capture.display());
        assert_same_end(&capture, &what, |_| random.u64(..=SHIFT)).await;
    }
}

#[tokio::test]
async fn one_source_far_behind_all_others_leads_to_the_same_last_revisions() {
    for late in ["object", "alert", "log"] {
        let delay = |source: &str| if source.starts_with(late) { SHIFT } else { 0 };
        assert_same_end(&coredns_loop(), late, delay).await;
    }
}

/// Or those above would test nothing.
#[tokio::test]
async fn a_shift_makes_another_order_of_the_same_signals() {
    let messages = recorded(&Kwhy::new(), &coredns_loop()).await;
    let ids = |late: &str| -> Vec<String> {
        let delay = |source: &str| if source.starts_with(late) { SHIFT } else { 0 };
        delayed(&messages, delay).into_iter().map(|(_, signal)| signal.id).collect()
    };
    let as_it_was = ids("nothing");
    for late in ["object", "alert", "log"] {
        let mut shifted = ids(late);
        assert_ne!(shifted, as_it_was, "{late}");
        shifted.sort();
        assert_eq!(
            shifted,
            {
                let mut all = as_it_was.clone();
                all.sort();
                all
            },
            "{late}"
        );
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_stores_nothing_twice_and_loses_nothing() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let mut engine = engine(&kwhy, &server, CLUSTER);
    let parts: Vec<&[Stored]> = messages.chunks(messages.len() / 4).collect();
    for (n, part) in parts.iter().enumerate() {
        for message in *part {
            client.ship(message, "").await;
        }
        if n % 2 == 0 {
            // Told to end when it has come so far.
            let ended = finish(engine, &client, CLUSTER).await;
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        } else {
            // Gone, wherever it was.
            engine.process.kill();
        }
        engine = self::engine(&kwhy, &server, CLUSTER);
    }
    let _ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(client.revisions().await, expected);
    let others = client.stored("KWHY_OUT").await.len() - expected.len();
    assert_eq!(u64::try_from(others), Ok(client.count("KWHY_OUT", "kwhy.out.ckpt.>").await), "nothing else");
}

#[tokio::test]
async fn an_own_nats_server_keeps_findings_over_a_restart_and_ends_with_kwhy() {
    let kwhy = Kwhy::new();
    let config =
        format!("cluster: {CLUSTER}\ndata_dir: data\nnats:\n  server: {}\n", nats_server().display());
    kwhy.write("kwhy.yaml", config);
    let expected = said_of(&kwhy, &coredns_loop());
    for round in ["first", "second"] {
        let engine = kwhy.engine(&[]);
        let url = engine.url.clone();
        kwhy.feed(&coredns_loop(), &url);
        let client = Client::connect(&url).await;
        // It finds the server that runs in the data directory.
        let count = expected.len().to_string();
        let tail = kwhy.run(&[&"tail", &"--output", &"json", &"--count", &count]);
        assert_eq!(tail.stdout.lines().collect::<Vec<_>>(), expected, "{round}; {}", tail.stderr);
        let ended = finish(engine, &client, CLUSTER).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let address = url.strip_prefix("nats://").expect("a NATS address");
        assert!(std::net::TcpStream::connect(address).is_err(), "its nats-server is gone, too");
    }
    let engine = kwhy.engine(&[]);
    let client = Client::connect(&engine.url).await;
    assert_eq!(client.revisions().await, expected);
}
