//! Secrets in logs do not leave the node, and those in what others ship do not reach a finding.

use std::fs;

use kwhy_tests::{CLUSTER, Client, Kwhy, finish};
use serde_json::json;

use crate::world::{Arrived, Log, Nats, collect, klog_head, make_streams};

/// Secrets of many kinds, as they are met in logs, and what of each must not be found anywhere.
const CANARIES: [(&str, &str); 20] = [
    ("Authorization: Bearer c4n4ry01c4n4ry", "c4n4ry01"),
    ("Authorization: Basic YzRuNHJ5MDI6eA==", "YzRuNHJ5MDI6eA"),
    ("token eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJjNG40cnkwMyI6MX0.c4n4ry03_sig", "c4n4ry03"),
    ("postgres://app:c4n4ry04@db:5432/shop", "c4n4ry04"),
    ("AKIAC4N4RY05C4N4RY05 is no key", "AKIAC4N4RY05"),
    ("aws_secret_access_key=c4n4ry06/MENG", "c4n4ry06"),
    ("ghp_c4n4ry07c4n4ry07c4n4ry07c4n4ry07c4n4", "c4n4ry07"),
    ("glpat-c4n4ry08c4n4ry08", "c4n4ry08"),
    ("xoxb-1111-c4n4ry09c4n4ry", "c4n4ry09"),
    ("https://hooks.slack.com/services/T0/B0/c4n4ry10", "c4n4ry10"),
    ("AIzac4n4ry11c4n4ry11c4n4ry11c4n4ry11c4n", "c4n4ry11"),
    ("sk_live_c4n4ry12c4n4ry", "c4n4ry12"),
    ("hvs.c4n4ry13c4n4ry13c4n4ry13", "c4n4ry13"),
    ("-----BEGIN RSA PRIVATE KEY----- c4n4ry14", "c4n4ry14"),
    ("MIIEpAIBAAKCAQEAc4n4ry15Vb2kT9zWmQ3xq8c7V0e1YkPzQ2d5Rk9sT6uX7", "c4n4ry15"),
    ("password=c4n4ry16", "c4n4ry16"),
    ("{\"client_secret\":\"c4n4ry17\"}", "c4n4ry17"),
    ("kubeadm join --token abcdef.c4n4ry1800000000", "c4n4ry18"),
    ("Cookie: session=c4n4ry19", "c4n4ry19"),
    ("client-key-data: LS0tLS1CRUdJTiBjNG40cnkyMCBQUklWQVRFIEtFWS0tLS0t", "LS0tLS1CRUdJTiBjNG40cnkyMC"),
];

/// Which canaries are in a text or in bytes that hold texts.
fn seen(bytes: &[u8]) -> Vec<&'static str> {
    let found = |canary: &str| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
    CANARIES.iter().map(|(_, canary)| *canary).filter(|canary| found(canary)).collect()
}

/// A line of the kind that a finding quotes: the kernel's last words, with something in them.
fn lines() -> String {
    let head = klog_head('E');
    CANARIES.map(|(text, _)| format!("{head} failed to run Kubelet: cannot start: {text}\n{text}\n")).concat()
}

#[tokio::test]
async fn no_secret_of_a_log_is_in_nats_on_disk_or_in_what_is_said() {
    let kwhy = Kwhy::new();
    let nats = Nats::plain();
    make_streams(&kwhy, &nats.url);
    let mut log = Log::new(&kwhy);
    log.append(&lines());
    log.write(1);
    let collector = collect(&kwhy, &nats.url, &log);
    let arrived = Arrived::until(&nats.url, 1).await;
    assert_eq!(arrived.signals.len(), 2 * CANARIES.len() + 1);
    let client = Client::connect(&nats.url).await;
    let engine = kwhy.engine(&[&"--nats", &nats.url, &"--cluster", &CLUSTER]);
    let engine = finish(engine, &client, CLUSTER).await;
    let collector = collector.terminate();
    let mut all = [engine.stderr, collector.stderr].concat().into_bytes();
    for stream in ["KWHY_IN", "KWHY_OUT"] {
        for message in client.stored(stream).await {
            all.extend(message.body);
            all.extend(format!("{:?}", message.headers).into_bytes());
        }
    }
    for file in fs::read_dir(kwhy.home("kwhy-data/collect")).expect("positions").flatten() {
        all.extend(fs::read(file.path()).expect("a file"));
    }
    assert_eq!(seen(&all), Vec::<&str>::new());
}

/// The twin of the test above: the log itself is found out.
#[test]
fn a_secret_is_seen_where_there_is_one() {
    assert_eq!(seen(lines().as_bytes()).len(), CANARIES.len());
}

#[tokio::test]
async fn no_secret_that_others_ship_reaches_a_finding() {
    let kwhy = Kwhy::new();
    let nats = Nats::plain();
    make_streams(&kwhy, &nats.url);
    let client = Client::connect(&nats.url).await;
    let raw = |kind: &str| format!("kwhy.in.{CLUSTER}.raw.{kind}");
    client.publish(&raw("kubelet.kal"), None, lines().into_bytes()).await;
    for (number, (text, _)) in CANARIES.iter().enumerate() {
        let at = &arrival();
        let event = json!({"kind": "Event", "reason": "Failed", "type": "Warning", "message": format!("Error: {text}"),
            "metadata": {"uid": format!("e{number}"), "namespace": "shop", "name": format!("e{number}")},
            "lastTimestamp": at, "count": 5,
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": format!("web-{number}")}});
        client.publish(&raw("events"), None, event.to_string().into_bytes()).await;
        let alert = json!([{"labels": {"alertname": format!("A{number}"), "namespace": "shop", "pod": format!("web-{number}"),
            "said": text}, "annotations": {"summary": text, "password": "c4n4ry16"}, "startsAt": at,
            "generatorURL": "http://u:c4n4ry04@prometheus/graph"}]);
        client.publish(&raw("alerts"), None, alert.to_string().into_bytes()).await;
    }
    let engine = kwhy.engine(&[&"--nats", &nats.url, &"--cluster", &CLUSTER]);
    // Time passes, so that what nothing explains is told as well.
    let tick = json!({"signals": [{"id": "tick/later", "source": "tick", "at": later()}]});
    client.publish(&format!("kwhy.in.{CLUSTER}.raw.kubelet.kal"), None, b"-- end".to_vec()).await;
    publish_json(&nats.url, &tick.to_string()).await;
    let ended = finish(engine, &client, CLUSTER).await;
    let findings = client.stored("KWHY_OUT").await;
    assert!(findings.len() >= 3, "{} findings; {}", findings.len(), ended.stderr);
    let mut all = ended.stderr.into_bytes();
    findings.into_iter().for_each(|message| all.extend(message.body));
    assert_eq!(seen(&all), Vec::<&str>::new());
    assert!(all.windows(10).any(|window| window == b"[redacted]"), "something was masked");
}

fn arrival() -> String {
    at(0)
}

fn later() -> String {
    at(180)
}

fn at(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    kwhy_proto::timestamp((now.as_secs() + seconds) * 1000).to_string()
}

/// A batch of signals as JSON, as a client without protobuf would publish it.
async fn publish_json(url: &str, batch: &str) {
    let client = async_nats::connect(url).await.expect("a connection");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Content-Type", "application/json");
    let context = async_nats::jetstream::new(client);
    let subject = format!("kwhy.in.{CLUSTER}.tick._");
    let sent = context.publish_with_headers(subject, headers, batch.to_owned().into()).await;
    sent.expect("it is sent").await.expect("it is stored");
}
