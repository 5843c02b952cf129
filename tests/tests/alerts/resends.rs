//! NATS is away while alerts come: nobody is told that something is stored that is not, and what is sent again is found.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use kwhy_proto::{
    Message as _,
    v1::{Alert, Signal, SignalBatch, signal::Body},
};
use kwhy_tests::{Client, Metrics, NatsServer, Prometheus, eventually, post};
use serde_json::json;

use crate::{BROKEN, Bench, LAB, now, push, states};

/// Short, so that the tests need not wait long for a 503.
const CONFIG: &str = "alerts: {answer_within: 500ms}\ntimes: {grace: 1s}\n";

/// Sends numbered alerts while NATS is killed and started again; returns the numbers that were answered 200.
async fn send_through_an_outage(nats: &mut NatsServer, url: &str) -> Vec<String> {
    let url = format!("{url}/api/v2/alerts");
    let sender = thread::spawn(move || {
        let numbers = (0..60).map(|n| n.to_string());
        let taken = numbers.filter(|n| {
            thread::sleep(Duration::from_millis(20));
            let body = json!([push(&[("alertname", "Numbered"), ("n", n)])]).to_string();
            post(&url, &body).status == 200
        });
        taken.collect::<Vec<String>>()
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    nats.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    nats.restart();
    tokio::task::spawn_blocking(|| sender.join().expect("it sends")).await.expect("it ends")
}

/// Those of the numbers that are not stored although they were answered 200.
async fn lost(client: &Client, answered: &[String]) -> Vec<String> {
    let stored = client.signals("alert").await;
    let is_there = |n: &&String| stored.iter().any(|signal| crate::alert(signal).labels.get("n") == Some(*n));
    answered.iter().filter(|n| !is_there(n)).cloned().collect()
}

#[tokio::test]
async fn what_was_answered_200_is_stored_through_an_outage_of_nats() {
    let mut bench = Bench::new(CONFIG).await;
    let collector = bench.collector();
    let answered = send_through_an_outage(&mut bench.nats, &collector.url).await;
    assert!((1..60).contains(&answered.len()), "some are answered 200, some 503: {answered:?}");
    assert_eq!(lost(&bench.client, &answered).await, [""; 0]);
}

/// The twin: a receiver that answers before it has stored.
#[tokio::test]
async fn a_receiver_that_answers_too_early_loses_alerts() {
    let mut bench = Bench::new(CONFIG).await;
    let hasty = Hasty::listen(&bench.nats.url);
    let answered = send_through_an_outage(&mut bench.nats, &hasty.url).await;
    assert_eq!(answered.len(), 60, "it answers 200 whatever happens");
    assert_ne!(lost(&bench.client, &answered).await, [""; 0]);
}

/// Answers 200, then stores what it can.
struct Hasty {
    url: String,
}

impl Hasty {
    fn listen(nats: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let nats = nats.to_owned();
        let runtime = tokio::runtime::Handle::current();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"}]") {
                    let mut more = [0; 4096];
                    let read = stream.read(&mut more).expect("a request");
                    bytes.extend_from_slice(&more[..read]);
                }
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                let text = String::from_utf8(bytes).expect("text");
                let (_, json) = text.split_once("\r\n\r\n").expect("a head and a body");
                runtime.spawn(store(nats.clone(), json.to_owned()));
            }
        });
        Self { url }
    }
}

async fn store(nats: String, json: String) {
    let alerts: Vec<serde_json::Value> = serde_json::from_str(&json).expect("alerts");
    let n = alerts[0]["labels"]["n"].as_str().expect("a number").to_owned();
    let alert = Alert { labels: [("n".to_owned(), n.clone())].into(), ..Alert::default() };
    let signal =
        Signal { id: n, source: "alert".into(), body: Some(Body::Alert(alert)), ..Signal::default() };
    let body = SignalBatch { signals: vec![signal] }.encode_to_vec();
    // Nobody is told that there is no connection.
    let Ok(client) = async_nats::connect(nats).await else { return };
    let subject = format!("kwhy.in.{LAB}.alert._");
    let _ = client.publish(subject, body.into()).await;
    let _ = client.flush().await;
}

#[tokio::test]
async fn what_fires_during_an_outage_of_nats_is_sent_again_and_found_as_it_began() {
    let mut bench = Bench::new(CONFIG).await;
    let collector = bench.collector();
    let metrics = Metrics::serve("broken 0\n");
    let _prometheus = Prometheus::start(&metrics.address, &[BROKEN], &collector.as_alertmanager(), None);
    bench.nats.kill();
    let fired = now();
    metrics.set("broken 1\n");
    collector.process.wait_for("503", |line| line.contains("status=503").then_some(()));
    let back = now();
    bench.nats.restart();
    let first = eventually("the alert", async || bench.stored("Broken").await.into_iter().next()).await;
    assert_eq!(first.state, "firing");
    let began = kwhy_proto::millis(&crate::alert(&first).starts_at.expect("a start"));
    assert!((fired..back).contains(&began), "{began} is between {fired} and {back}");
}

/// An alert fires and ends while nobody listens: the first that is heard of it is its end.
#[tokio::test]
async fn an_end_without_a_beginning_is_no_finding_and_nothing_stops() {
    let mut bench = Bench::new(CONFIG).await;
    let collector = bench.collector();
    let engine = bench.engine();
    let metrics = Metrics::serve("broken 0\n");
    let _prometheus = Prometheus::start(&metrics.address, &[BROKEN], &collector.as_alertmanager(), None);
    bench.nats.kill();
    metrics.set("broken 1\n");
    collector.process.wait_for("503", |line| line.contains("status=503").then_some(()));
    metrics.set("broken 0\n");
    // Longer than it takes to be evaluated and sent.
    tokio::time::sleep(Duration::from_secs(3)).await;
    bench.nats.restart();
    eventually("its end", async || (!bench.stored("Broken").await.is_empty()).then_some(())).await;
    let stored = bench.stored("Broken").await;
    assert_eq!(states(&stored).keys().copied().collect::<Vec<_>>(), ["resolved"]);
    let ended = kwhy_tests::finish(engine, &bench.client, LAB).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(bench.client.findings().await, []);
}

/// The twin: had the beginning been heard, there would be a finding.
#[tokio::test]
async fn a_beginning_that_is_heard_is_a_finding() {
    let bench = Bench::new(CONFIG).await;
    let collector = bench.collector();
    let engine = bench.engine();
    let metrics = Metrics::serve("broken 1\n");
    let _prometheus = Prometheus::start(&metrics.address, &[BROKEN], &collector.as_alertmanager(), None);
    eventually("a finding", async || (!bench.client.findings().await.is_empty()).then_some(())).await;
    drop(engine);
}
