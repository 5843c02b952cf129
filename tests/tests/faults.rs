//! What happens to the way between kwhy and NATS, to what NATS keeps, and to rules while they are at work.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, connection::State};
use fastrand::Rng;
use kwhy_bus::{Bus, Settings, chain};
use kwhy_proto::{
    LARGEST_FINDING, Message as _,
    v1::{Checkpoint, Finding, SignalBatch},
};
use kwhy_sandbox::testing::loud_echo;
use kwhy_tests::{
    CLUSTER, Client, Engine, Kwhy, NatsServer, PATIENCE, Proxy, Slack, Stored, coredns_loop, eventually,
    finish, nats_server, old_nats_server, recorded, said_of,
};
use rustix::process::Signal;
use serde_json::{Value, json};

async fn publish(client: &Client, messages: &[Stored]) -> u64 {
    let mut last = 0;
    for message in messages {
        last = client.keep(message).await;
    }
    last
}

/// Longest that a dead connection may stay unnoticed: two pings of ten seconds, and what it takes to go on.
const NOTICED: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_connection_that_is_dead_without_a_word_is_noticed_and_all_is_taken_in() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let proxy = Proxy::to(&server.url);
    let engine = kwhy.eager(&proxy.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    let half = messages.len() / 2;
    let sequence = publish(&client, &messages[..half]).await;
    client.taken_in(CLUSTER, sequence).await;
    proxy.fall_silent();
    let silent = Instant::now();
    let sequence = publish(&client, &messages[half..]).await;
    proxy.heal();
    client.taken_in(CLUSTER, sequence).await;
    assert!(silent.elapsed() < NOTICED, "{:?}", silent.elapsed());
    let ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(client.revisions().await, expected);
}

/// How soon what was on its way when the connection ended must have been read again; two heartbeats and a new consumer.
const READ_AGAIN: Duration = Duration::from_secs(15);

/// The server takes it for delivered, and nothing comes after it that would tell that it was not.
#[tokio::test]
async fn what_was_on_its_way_when_the_connection_ended_is_read_again_though_nothing_follows_it() {
    let kwhy = Kwhy::new();
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let proxy = Proxy::to(&server.url);
    let engine = kwhy.eager(&proxy.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    let mut sequence = publish(&client, &messages[..10]).await;
    client.taken_in(CLUSTER, sequence).await;
    for message in &messages[10..13] {
        proxy.fall_silent();
        sequence = client.keep(message).await;
        // Until the server has sent it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.heal();
        proxy.cut();
        let cut = Instant::now();
        client.taken_in(CLUSTER, sequence).await;
        assert!(cut.elapsed() < READ_AGAIN, "{:?}", cut.elapsed());
    }
    assert_eq!(finish(engine, &client, CLUSTER).await.code, Some(0));
    assert!(client.checkpoint(CLUSTER).await.is_some_and(|it| it.sequence >= sequence));
}

/// The twin: without pings of its own nobody notices.
#[tokio::test]
async fn a_client_that_does_not_ping_never_notices_a_dead_connection() {
    let server = NatsServer::start(&nats_server());
    let proxy = Proxy::to(&server.url);
    let options = async_nats::ConnectOptions::new().ping_interval(Duration::from_secs(3600));
    let client = options.connect(&proxy.url).await.expect("a connection");
    proxy.fall_silent();
    tokio::time::sleep(NOTICED).await;
    assert_eq!(client.connection_state(), State::Connected);
}

/// An old server, and a way to it on which it calls itself a new one.
fn liar() -> (NatsServer, Proxy) {
    let server = NatsServer::start(&old_nats_server());
    let proxy = Proxy::that_rewrites(&server.url, |line| {
        let Some((before, rest)) = line.split_once(r#""version":""#) else { return line.to_owned() };
        let (_, after) = rest.split_once('"').expect("a version ends");
        format!(r#"{before}"version":"2.15.1"{after}"#)
    });
    (server, proxy)
}

#[tokio::test]
async fn a_server_that_claims_to_be_newer_than_it_is_is_found_out_at_the_start() {
    let (server, proxy) = liar();
    let kwhy = Kwhy::new();
    let ended = kwhy.run(&[&"run", &"--nats", &proxy.url, &"--cluster", &CLUSTER]);
    assert_eq!((ended.code, ended.errors().len()), (Some(2), 1), "{}", ended.stderr);
    for words in ["kwhy: ", "older than it says", "2.15.1", "2.12.7"] {
        assert!(ended.stderr.contains(words), "{words} in {}", ended.stderr);
    }
    let client = Client::connect(&server.url).await;
    let found = client.api("STREAM.INFO.KWHY_OUT", &Value::Null).await.expect("an answer");
    assert_eq!(found["error"]["err_code"], 10059, "nothing can have been stored: {found}");
}

fn finding(id: &str) -> Finding {
    Finding {
        id: id.to_owned(),
        revision: 1,
        code: "a.b".to_owned(),
        cluster: CLUSTER.to_owned(),
        ..Finding::default()
    }
}

/// A stream of findings on a server that takes no batches.
async fn stream_of_old(server: &NatsServer) -> Client {
    let client = Client::connect(&server.url).await;
    let stream = json!({ "name": "KWHY_OUT", "subjects": ["kwhy.out.>"], "storage": "file", "retention": "limits",
        "num_replicas": 1, "allow_atomic": true });
    let made = client.api("STREAM.CREATE.KWHY_OUT", &stream).await.expect("an answer");
    assert!(made.get("error").is_none(), "{made}");
    client
}

/// Where the start did not find it out, the first message of the first commit does, and no checkpoint follows it.
#[tokio::test]
async fn a_server_that_takes_no_batches_is_found_out_by_the_first_commit() {
    let (server, proxy) = liar();
    let client = stream_of_old(&server).await;
    let bus = Bus::publisher(&Settings::new(proxy.url.clone(), CLUSTER)).await.expect("it says it is new");
    let findings = [finding("f1"), finding("f2"), finding("f3")];
    let checkpoint = Checkpoint {
        cluster: CLUSTER.to_owned(),
        sequence: 7,
        chain: chain(&[], 7, &findings),
        ..Checkpoint::default()
    };
    let error = bus.commit(&findings, &checkpoint, None).await.expect_err("it takes no batches");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("stores the messages of a batch one by one"), "{error}: {cause}");
    assert_eq!(client.count("KWHY_OUT", "kwhy.out.f.>").await, 1, "the first, of which the error tells");
    assert!(client.checkpoint(CLUSTER).await.is_none());
}

/// The twin: who does not look at the first answer stores half a batch and takes it for none.
#[tokio::test]
async fn a_batch_whose_first_answer_nobody_looks_at_is_half_stored_by_an_old_server() {
    let (server, proxy) = liar();
    let client = stream_of_old(&server).await;
    let plain = async_nats::connect(&proxy.url).await.expect("a connection");
    for n in 1..=2 {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", "half");
        headers.insert("Nats-Batch-Sequence", n.to_string().as_str());
        let subject = format!("kwhy.out.f.{CLUSTER}.f{n}.1._.a.b");
        plain.publish_with_headers(subject, headers, "x".into()).await.expect("it is sent");
    }
    plain.flush().await.expect("it is sent");
    // No commit ever comes.
    eventually("half a batch", async || (client.count("KWHY_OUT", ">").await == 2).then_some(())).await;
}

/// What was lost says a gap: its first and last sequence.
async fn gaps(client: &Client) -> Vec<String> {
    client.signals("gap").await.into_iter().map(|gap| gap.message).collect()
}

/// The stream drops what an engine that is away has not read.
async fn overrun(kwhy: &Kwhy, client: &Client, server: &NatsServer) -> (u64, u64) {
    let messages = recorded(kwhy, &coredns_loop()).await;
    let (early, late) = messages.split_at(messages.len() / 4);
    let first = kwhy.eager(&server.url, CLUSTER);
    publish(client, early).await;
    assert_eq!(finish(first, client, CLUSTER).await.code, Some(0));
    let read = client.checkpoint(CLUSTER).await.expect("a checkpoint").sequence;
    client.edit("KWHY_IN", json!({"max_msgs": 30})).await;
    publish(client, late).await;
    let kept = *client.ids("KWHY_IN").await.keys().next().expect("some are kept");
    assert!(kept > read + 1, "{kept} is kept and {read} was read");
    (read, kept)
}

#[tokio::test]
async fn what_was_dropped_before_it_was_read_is_told_once_with_its_range_and_the_rest_is_taken_in() {
    told_of_overrun(false).await;
}

/// Where the log is read from its beginning, there is no hole in it to be met.
#[tokio::test]
async fn what_was_dropped_is_told_once_where_there_is_no_snapshot_too() {
    told_of_overrun(true).await;
}

/// `forgetful`: without a snapshot to go on from.
async fn told_of_overrun(forgetful: bool) {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    kwhy.make_streams(&server.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    let (read, kept) = overrun(&kwhy, &client, &server).await;
    if forgetful {
        client.break_snapshots(true).await;
    }
    let second = kwhy.eager(&server.url, CLUSTER);
    let ended = finish(second, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let range = format!(
        "messages {} to {} of KWHY_IN are lost: the stream dropped them before they were read",
        read + 1,
        kept - 1
    );
    assert_eq!(gaps(&client).await, [range], "{}", ended.stderr);
    // Whoever starts again has nothing more to say of it.
    let third = finish(kwhy.eager(&server.url, CLUSTER), &client, CLUSTER).await;
    assert_eq!((third.code, gaps(&client).await.len()), (Some(0), 1), "{}", third.stderr);
    let all = client.findings().await;
    let lost: BTreeSet<&str> =
        all.iter().filter(|f| f.code == "kwhy.signals-lost").map(|f| f.id.as_str()).collect();
    assert_eq!(lost.len(), 1, "{all:#?}");
    let each: BTreeSet<(&str, u32)> = all.iter().map(|f| (f.id.as_str(), f.revision)).collect();
    assert_eq!(each.len(), all.len(), "each revision once");
}

/// A cluster of which nothing is heard for longer than the stream keeps anything.
#[tokio::test]
async fn what_was_taken_in_before_the_stream_dropped_it_is_not_told_as_lost() {
    let kwhy = Kwhy::new();
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let first = kwhy.eager(&server.url, CLUSTER);
    publish(&client, &messages).await;
    assert_eq!(finish(first, &client, CLUSTER).await.code, Some(0));
    client.edit("KWHY_IN", json!({"max_msgs": 1})).await;
    let second = finish(kwhy.eager(&server.url, CLUSTER), &client, CLUSTER).await;
    assert_eq!((second.code, gaps(&client).await.len()), (Some(0), 0), "{}", second.stderr);
}

/// The twin: a plain reader that was there before is handed what is left, and nobody tells it of the rest.
#[tokio::test]
async fn a_plain_reader_is_not_told_of_what_the_stream_dropped() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    kwhy.make_streams(&server.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    let (_read, kept) = overrun(&kwhy, &client, &server).await;
    let got = client.stored_under("KWHY_IN", ">").await;
    assert_eq!(*client.ids("KWHY_IN").await.keys().next().expect("some"), kept);
    assert_eq!(got.len(), client.ids("KWHY_IN").await.len());
    assert!(gaps(&client).await.is_empty());
}

/// A capture in which hundreds of wordy alerts fire about one pod: more than a message of NATS takes in one finding.
fn storm_of_words(kwhy: &Kwhy) -> PathBuf {
    let alert = |shard: u32| {
        json!({
            "labels": {"alertname": "ShardLag", "namespace": "shop", "pod": "web-0", "shard": shard.to_string()},
            "annotations": {"description": format!("shard {shard} {}", "lags ".repeat(800))},
            "startsAt": "2026-11-01T10:01:00Z", "endsAt": "2026-11-01T11:00:00Z",
            "generatorURL": "http://prometheus/graph",
        })
    };
    let alerts: Vec<Value> = (0..200).map(alert).collect();
    let delivery = json!({"at": "2026-11-01T10:01:00Z", "payload": alerts});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web-0", "uid": "u1",
        "creationTimestamp": "2026-11-01T09:00:00Z"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [pod]});
    kwhy.write("storm/alerts.ndjson", format!("{delivery}\n"));
    kwhy.write("storm/objects.json", list.to_string());
    let span = format!("cluster: {CLUSTER}\nfrom: 2026-11-01T10:00:00Z\nto: 2026-11-01T10:30:00Z\n");
    kwhy.write("storm/capture.yaml", span).parent().expect("a folder").to_owned()
}

/// The whole of it would be refused, again and again, and nothing after it would ever be stored.
#[tokio::test]
async fn a_finding_that_would_be_too_large_is_stored_without_its_end_and_says_so() {
    let kwhy = Kwhy::new();
    let capture = storm_of_words(&kwhy);
    let expected = said_of(&kwhy, &capture);
    // As little as a server may take.
    let server = NatsServer::with(&nats_server(), "max_payload: 544KB\n");
    let messages = recorded(&kwhy, &capture).await;
    let engine = kwhy.eager(&server.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    publish(&client, &messages).await;
    let ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(client.revisions().await, expected);
    let all = client.findings().await;
    let large = all.iter().filter(|f| f.code == "unexplained.alerts").max_by_key(|f| f.revision);
    let large = large.expect("an account of the alerts");
    assert!(large.encoded_len() > LARGEST_FINDING / 2, "{}", large.encoded_len());
    let left_out: u32 = large.omitted.iter().filter(|it| it.what == "symptoms").map(|it| it.count).sum();
    assert_eq!(large.symptoms.len() + left_out as usize, 200);
    assert!(left_out > 0 && all.iter().all(|f| f.encoded_len() < LARGEST_FINDING + 1024));
}

/// What people were told of the cause of a rule before and after it was swapped, and all findings.
struct Swapped {
    before: Vec<String>,
    after: Vec<String>,
    findings: Vec<Finding>,
}

/// Feeds the coredns loop to an engine with a rule that is swapped for one of this version while its incidents are open.
/// `forget`: what is stored is gone then, and the log comes anew.
async fn swapped(version: &str, forget: bool) -> Swapped {
    let kwhy = Kwhy::new();
    let slack = Slack::listen();
    let rules = kwhy.write("rules/echo.wasm", loud_echo("0.1.0"));
    let rules = rules.parent().expect("a folder");
    let config = kwhy
        .write("swap.yaml", format!("engine:\n  snapshot_every: 0s\nslack:\n  webhook_url: {}\n", slack.url));
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let start = |server: &NatsServer| {
        kwhy.engine(&[
            &"--nats",
            &server.url,
            &"--cluster",
            &CLUSTER,
            &"--config",
            &config,
            &"--rules",
            &rules,
        ])
    };
    let told = || -> Vec<String> {
        let mut told: Vec<String> =
            slack.rest().into_iter().filter(|post| post.contains("Echo of a signal")).collect();
        told.sort();
        told
    };
    let alert = |message: &Stored| {
        let batch = SignalBatch::decode(message.body.as_slice()).unwrap_or_default();
        batch.signals.iter().any(|signal| signal.source == "alert")
    };
    let alerts: Vec<usize> = (0..messages.len()).filter(|&n| alert(&messages[n])).collect();
    let (early, late) = messages.split_at(alerts[alerts.len() / 2] + 1);
    let mut server = NatsServer::start(&nats_server());
    let mut client = Client::connect(&server.url).await;
    let first = start(&server);
    publish(&client, early).await;
    let ended = finish(first, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let before = told();
    kwhy.write("rules/echo.wasm", loud_echo(version));
    if forget {
        server = NatsServer::start(&nats_server());
        client = Client::connect(&server.url).await;
    }
    let second = start(&server);
    if forget {
        publish(&client, early).await;
        second.catch_up(&client, CLUSTER).await;
        // Longer than a finding must be unchanged for people to be told.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    publish(&client, late).await;
    let ended = finish(second, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    Swapped { before, after: told(), findings: client.findings().await }
}

#[tokio::test]
async fn a_rule_that_is_swapped_in_the_middle_of_an_incident_goes_on_with_it_and_nobody_is_told_twice() {
    let new = swapped("0.2.0", false).await;
    let old = swapped("0.1.0", false).await;
    for told in [&new.before, &old.before] {
        assert!(!told.is_empty(), "somebody was told of an incident");
    }
    for Swapped { before, after, .. } in [&new, &old] {
        assert!(after.iter().all(|post| !before.contains(post)), "{before:#?}\n{after:#?}");
    }
    let ids = |all: &[Finding]| -> BTreeSet<String> { all.iter().map(|f| f.id.clone()).collect() };
    assert_eq!(ids(&new.findings), ids(&old.findings), "the incidents are the same");
    let each: BTreeSet<(&str, u32)> = new.findings.iter().map(|f| (f.id.as_str(), f.revision)).collect();
    assert_eq!(each.len(), new.findings.len(), "each revision once");
    let of_new = |f: &&Finding| f.rule.as_ref().is_some_and(|rule| rule.version == "0.2.0");
    assert_ne!(new.findings.iter().filter(of_new).count(), 0, "the new version has taken over");
}

/// The twin: who does not know what was told tells it again.
#[tokio::test]
async fn an_engine_that_does_not_know_what_was_told_tells_it_twice() {
    let Swapped { before, after, .. } = swapped("0.2.0", true).await;
    assert!(after.iter().any(|post| before.contains(post)), "{before:#?}\n{after:#?}");
}

/// The first words of a post: whether it is open, what and where.
fn headline(post: &str) -> String {
    let post: Value = serde_json::from_str(post).expect("JSON");
    post["text"].as_str().expect("a text").to_owned()
}

/// A finding is opened and told after the last snapshot was taken; the engine is killed, and more is heard of it. `forget`:
/// what is stored is gone then, and the log comes anew. What people were told before and after.
async fn told_around_a_kill(forget: bool) -> (Vec<String>, Vec<String>) {
    let kwhy = Kwhy::new();
    let slack = Slack::listen();
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let start = |server: &NatsServer, snapshot_every: &str| {
        let config =
            format!("engine: {{snapshot_every: {snapshot_every}}}\nslack: {{webhook_url: {}}}\n", slack.url);
        let config = kwhy.write("slack.yaml", config);
        kwhy.engine(&[&"--nats", &server.url, &"--cluster", &CLUSTER, &"--config", &config])
    };
    let told = || -> Vec<String> { slack.rest().iter().map(|post| headline(post)).collect() };
    let settled = Duration::from_secs(3);
    let (early, rest) = messages.split_at(10);
    let (middle, late) = rest.split_at(rest.len() * 9 / 10);
    let mut server = NatsServer::start(&nats_server());
    let mut client = Client::connect(&server.url).await;
    let first = start(&server, "0s");
    let mut last = publish(&client, early).await;
    eventually("a snapshot", async || {
        client.checkpoint(CLUSTER).await.filter(|it| it.sequence >= last && !it.snapshots.is_empty())
    })
    .await;
    first.process.kill();
    let second = start(&server, "1h");
    last = publish(&client, middle).await;
    client.taken_in(CLUSTER, last).await;
    tokio::time::sleep(settled).await;
    second.process.kill();
    let before = told();
    if forget {
        server = NatsServer::start(&nats_server());
        client = Client::connect(&server.url).await;
    }
    let third = start(&server, "1h");
    if forget {
        last = publish(&client, early).await.max(publish(&client, middle).await);
        client.taken_in(CLUSTER, last).await;
    }
    third.catch_up(&client, CLUSTER).await;
    tokio::time::sleep(settled).await;
    publish(&client, late).await;
    let ended = finish(third, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let all = client.findings().await;
    let revised = all.iter().any(|f| f.code == "coredns.forward-loop" && f.revision > 1);
    assert!(revised, "more was heard of it");
    (before, told())
}

#[tokio::test]
async fn an_engine_that_goes_on_from_an_older_snapshot_tells_nobody_twice() {
    let (before, after) = told_around_a_kill(false).await;
    assert!(!before.is_empty(), "somebody was told");
    assert!(after.iter().all(|post| !before.contains(post)), "{before:#?}\n{after:#?}");
}

/// The twin: one that does not know what was stored after its snapshot.
#[tokio::test]
async fn an_engine_that_forgot_what_it_stored_tells_it_twice() {
    let (before, after) = told_around_a_kill(true).await;
    assert!(after.iter().any(|post| before.contains(post)), "{before:#?}\n{after:#?}");
}

/// How soon after the last fault all must be well again.
const WELL: Duration = Duration::from_secs(60);

/// Whether all is taken in and the probes are green within a time.
async fn is_well_within(limit: Duration, client: &Client, sequence: u64, engine: &Engine) -> bool {
    let deadline = Instant::now() + limit;
    while client.checkpoint(CLUSTER).await.is_none_or(|it| it.sequence < sequence) {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    engine.is_green_within(deadline.saturating_duration_since(Instant::now())).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_random_faults_all_is_taken_in_and_the_probes_are_green_within_a_minute() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let mut server = NatsServer::start(&nats_server());
    let proxy = Proxy::to(&server.url);
    let engine = kwhy.eager(&proxy.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    let load = tokio::spawn({
        let client = client.clone();
        async move {
            let mut last = 0;
            for message in messages {
                last = client.keep(&message).await;
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            last
        }
    });
    let mut random = Rng::with_seed(60);
    let mut faults = Vec::new();
    for _ in 0..8 {
        let pause = Duration::from_millis(random.u64(200..2000));
        let fault = ["cut", "silent", "stopped", "killed"][random.usize(..4)];
        match fault {
            "cut" => proxy.cut(),
            "silent" => proxy.fall_silent(),
            "stopped" => server.signal(Signal::STOP),
            _ => server.kill(),
        }
        tokio::time::sleep(pause).await;
        match fault {
            "silent" => proxy.heal(),
            "stopped" => server.signal(Signal::CONT),
            "killed" => server.restart(),
            _ => {}
        }
        faults.push((fault, pause));
    }
    let last = load.await.expect("all is acknowledged");
    assert!(is_well_within(WELL, &client, last, &engine).await, "{faults:?}: {}", engine.process.said());
    let ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(client.revisions().await, expected, "{faults:?}");
}

/// The twin: where the trouble does not end, the check says so.
#[tokio::test]
async fn the_check_of_getting_well_fails_where_nats_stays_away() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    let proxy = Proxy::to(&server.url);
    let engine = kwhy.eager(&proxy.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    let sequence = client.publish(&format!("kwhy.in.{CLUSTER}.end._"), None, b"\xff".to_vec()).await;
    client.taken_in(CLUSTER, sequence).await;
    assert!(is_well_within(PATIENCE, &client, sequence, &engine).await);
    proxy.fall_silent();
    assert!(!is_well_within(Duration::from_secs(8), &client, sequence + 1, &engine).await);
}
