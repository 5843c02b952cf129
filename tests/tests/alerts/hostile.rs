//! Clients that mean no good: each gets a 4xx, memory stays bounded, and others are served meanwhile.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use kwhy_tests::{Answer, Collector, memory::peak, post, request};
use serde_json::json;

use crate::{Bench, alert, identities, push};

/// Two names that FNV-1a 64 cannot tell apart; as first labels of an alert they give it one fingerprint in
/// Alertmanager. Both sort before `alertname`.
const TWINS: [&str; 2] = ["8yn0iYCKYHlIj4-BwPqk", "GReLUrM4wMqfg9yzV3KQ"];

/// The fingerprint that Alertmanager gives to labels.
fn fingerprint(labels: &[(&str, &str)]) -> u64 {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let bytes =
        sorted.iter().flat_map(|(name, value)| name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[tokio::test]
async fn alerts_whose_fingerprints_collide_are_kept_apart() {
    let labels = TWINS.map(|twin| [(twin, "x"), ("alertname", "Twin")]);
    assert_eq!(fingerprint(&labels[0]), fingerprint(&labels[1]), "else this test shows nothing");
    let bench = Bench::new("").await;
    let collector = bench.collector();
    let body = json!(labels.each_ref().map(|labels| push(labels))).to_string();
    assert_eq!(post(&collector.at("/api/v2/alerts"), &body).status, 200);
    let stored = bench.stored("Twin").await;
    assert_eq!((stored.len(), identities(&stored).len()), (2, 2));
}

fn gzip(write: impl FnOnce(&mut GzEncoder<Vec<u8>>)) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    write(&mut encoder);
    encoder.finish().expect("it packs")
}

const MIB: usize = 1 << 20;

/// Name, status that it must be answered, headers, body.
type Bomb = (&'static str, u16, Vec<String>, Vec<u8>);

/// Bodies that are made to hurt, each with what it must be answered.
fn bombs() -> Vec<Bomb> {
    let labels: String = (0..10_000).map(|n| format!("\"l{n}\":\"v\",")).collect();
    let zeros = vec![b' '; MIB];
    let bomb = gzip(|out| (0..200).for_each(|_| out.write_all(&zeros).expect("it packs")));
    assert!(bomb.len() < MIB, "a bomb is small");
    let deep = format!("[{{\"labels\":{}{}}}]", "[".repeat(MIB), "]".repeat(MIB));
    let deep_webhook = format!("{{\"version\":{}{},\"alerts\":[]}}", "[".repeat(MIB), "]".repeat(MIB));
    let many: String = (0..100_000).map(|n| format!("{{\"labels\":{{\"a\":\"{n}\"}}}},")).collect();
    let text = |text: String| text.into_bytes();
    vec![
        (
            "ten thousand labels",
            400,
            vec![],
            text(format!("[{{\"labels\":{{{labels}\"alertname\":\"L\"}}}}]")),
        ),
        ("a label of a megabyte", 400, vec![], text(json!([{"labels": {"a": "x".repeat(MIB)}}]).to_string())),
        (
            "labels told twice",
            400,
            vec![],
            text("[{\"labels\":{\"a\":\"b\"},\"labels\":{\"a\":\"c\"}}]".to_owned()),
        ),
        ("a label that is a number", 400, vec![], text("[{\"labels\":{\"a\":1}}]".to_owned())),
        ("deep labels", 400, vec![], text(deep)),
        ("a deep version", 400, vec![], text(deep_webhook)),
        ("a gzip bomb", 413, vec!["Content-Encoding: gzip".to_owned()], bomb),
        ("gzip that is none", 400, vec!["Content-Encoding: gzip".to_owned()], text("[]".to_owned())),
        ("a hundred megabytes", 413, vec![], vec![b' '; 100 * MIB]),
        ("a hundred thousand alerts", 413, vec![], text(format!("[{many}0]"))),
        ("no UTF-8", 400, vec![], b"[{\"labels\":{\"a\":\"\xff\xfe\"}}]".to_vec()),
        ("a head of a megabyte", 431, vec![format!("A: {}", "x".repeat(MIB))], text("[]".to_owned())),
        ("nothing", 400, vec![], Vec::new()),
    ]
}

/// What every bomb is answered, four of each at a time.
fn throw(collector: &Collector, bombs: Vec<Bomb>) -> Vec<(&'static str, u16, u16)> {
    let url = collector.at("/api/v2/alerts");
    let thrown = bombs.into_iter().map(|(name, wanted, headers, body)| {
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        request("POST", &url, &headers.iter().map(String::as_str).collect::<Vec<_>>(), &body)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
        });
        let odd = answers.iter().map(|answer| answer.status).find(|status| *status != wanted);
        (name, wanted, odd.unwrap_or(wanted))
    });
    thrown.collect()
}

fn others_are_served(collector: &Collector) {
    let began = Instant::now();
    let answer = post(&collector.at("/api/v2/alerts"), &json!([push(&[("alertname", "Other")])]).to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// More than a few megabytes a request, less than a bomb unpacked.
const BOUND: u64 = 200;

#[tokio::test]
async fn bombs_are_refused_in_bounded_memory_and_others_are_served() {
    let bench = Bench::new("").await;
    let collector = bench.collector();
    for (name, wanted, got) in throw(&collector, bombs()) {
        // The rest of what is too large is not read, so its sender may see no more than the end of the connection.
        assert!(got == wanted || (got == 0 && matches!(wanted, 413 | 431)), "{name}: {got}, not {wanted}");
    }
    others_are_served(&collector);
    let peak = peak(collector.process.id());
    assert!(peak < BOUND, "{peak} MiB");
    assert_eq!(bench.stored("L").await, []);
    assert_eq!(collector.process.terminate().code, Some(0));
}

/// The twin: with limits far away, bombs are taken, and memory is not bounded.
#[tokio::test]
async fn without_limits_bombs_go_off() {
    let config = "alerts: {limits: {body: 400000000, alerts: 10000000, labels: 100000, label: 100000000}}\n";
    let bench = Bench::new(config).await;
    let collector = bench.collector();
    let mut some = bombs();
    some.retain(|(name, ..)| ["ten thousand labels", "a gzip bomb"].contains(name));
    for (name, wanted, got) in throw(&collector, some) {
        assert_ne!(got, wanted, "{name}");
    }
    let peak = peak(collector.process.id());
    assert!(peak > BOUND, "{peak} MiB");
}

#[tokio::test]
async fn words_that_would_do_harm_are_stored_without_the_harm() {
    let bench = Bench::new("").await;
    let collector = bench.collector();
    let mut evil = push(&[("alertname", "Evil\u{0}\u{1b}[31m\u{202e}"), ("n", "\r\nNats-Rollup: all")]);
    evil["annotations"] = json!({"summary": "x".repeat(MIB)});
    assert_eq!(post(&collector.at("/api/v2/alerts"), &json!([evil]).to_string()).status, 200);
    let stored = bench.stored("Evil").await;
    assert_eq!(stored.len(), 1);
    assert_eq!(alert(&stored[0]).labels["n"], "Nats-Rollup: all");
    assert!(alert(&stored[0]).annotations["summary"].len() <= 4096);
}

/// Under which clusters an alert is stored that says that it is of another one.
async fn clusters(told: &str) -> Vec<(String, String)> {
    let bench = Bench::new("").await;
    let collector = Collector::start(&bench.kwhy, &bench.nats.url, told);
    let body = json!([push(&[("alertname", "Elsewhere"), ("cluster", "prod")])]).to_string();
    assert_eq!(post(&collector.at("/api/v2/alerts"), &body).status, 200);
    let stored = bench.client.stored("KWHY_IN").await;
    let subjects =
        stored.into_iter().map(|message| message.subject).filter(|subject| subject.contains(".alert."));
    let signals = bench.stored("Elsewhere").await;
    assert!(signals.iter().all(|signal| alert(signal).labels["cluster"] == "prod"), "what it says is kept");
    subjects.zip(signals.into_iter().map(|signal| signal.cluster)).collect()
}

#[tokio::test]
async fn a_foreign_cluster_label_moves_no_alert_to_another_cluster() {
    assert_eq!(clusters("lab").await, [("kwhy.in.lab.alert._".to_owned(), "lab".to_owned())]);
}

/// The twin: it is the receiver that says where alerts belong.
#[tokio::test]
async fn a_cluster_label_of_the_own_cluster_stays_there() {
    assert_eq!(clusters("prod").await, [("kwhy.in.prod.alert._".to_owned(), "prod".to_owned())]);
}

/// Clients that open a connection and send next to nothing, more than there are places for.
fn dawdle(collector: &Collector, count: usize) -> Vec<TcpStream> {
    let address = collector.url.trim_start_matches("http://");
    let starts = [
        "",
        "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nX-A",
        "POST /api/v2/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[",
    ];
    let open = |start: &&str| {
        let mut stream = TcpStream::connect(address).expect("a listener");
        stream.write_all(start.as_bytes()).expect("it is sent");
        stream
    };
    starts.iter().cycle().take(count).map(open).collect()
}

#[tokio::test]
async fn clients_that_dawdle_keep_nobody_out_and_are_cut_off() {
    let bench = Bench::new("").await;
    let collector = bench.collector();
    let dawdlers = dawdle(&collector, 600);
    others_are_served(&collector);
    let began = Instant::now();
    for mut dawdler in dawdlers {
        dawdler.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        let mut rest = Vec::new();
        // An end, whether in order or not; what there may be before it is a status of 408.
        if let Err(error) = dawdler.read_to_end(&mut rest) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it is still connected");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    others_are_served(&collector);
}

/// The twin: it is for want of places that they are cut off at once, so without that they would have kept theirs.
#[tokio::test]
async fn where_there_are_places_left_nobody_is_cut_off_at_once() {
    let bench = Bench::new("").await;
    let collector = bench.collector();
    let mut dawdlers = dawdle(&collector, 30);
    others_are_served(&collector);
    for dawdler in &mut dawdlers {
        dawdler.set_read_timeout(Some(Duration::from_millis(10))).expect("a time limit");
        let error = dawdler.read(&mut [0]).expect_err("it waits for more");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}
