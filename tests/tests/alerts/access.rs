//! Who may send: tokens, passwords, client certificates.

use std::path::PathBuf;

use kwhy_tests::{
    Answer, Client, Collector, Kwhy, Metrics, NatsServer, Prometheus, eventually, get, nats_server, request,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use crate::{BROKEN, Bench, LAB, push};

fn send(collector: &Collector, authorization: Option<&str>) -> Answer {
    // Two that are sent at once would be one.
    let by = authorization.unwrap_or("nobody");
    let body = json!([push(&[("alertname", "Sent"), ("by", by)])]).to_string();
    let header = authorization.map(|it| format!("Authorization: {it}"));
    request(
        "POST",
        &collector.at("/api/v2/alerts"),
        &header.iter().map(String::as_str).collect::<Vec<_>>(),
        body.as_bytes(),
    )
}

const CREDENTIALS: [Option<&str>; 7] = [
    None,
    Some("Bearer wrong"),
    Some("Bearer "),
    // The token of another cluster's receiver.
    Some("Bearer of-cluster-b"),
    Some("Basic cHJvbWV0aGV1czp3cm9uZw=="),
    Some("Bearer s3cret"),
    // prometheus:s3cret
    Some("Basic cHJvbWV0aGV1czpzM2NyZXQ="),
];

fn statuses(collector: &Collector) -> Vec<u16> {
    CREDENTIALS.iter().map(|given| send(collector, *given).status).collect()
}

async fn guarded() -> (Bench, Collector) {
    let bench = Bench::new(
        "alerts: {auth: {bearer_file: token, basic: {username: prometheus, password_file: token}}}\n",
    )
    .await;
    bench.kwhy.write("token", "s3cret\n");
    let collector = bench.collector();
    (bench, collector)
}

#[tokio::test]
async fn only_who_knows_a_secret_may_send() {
    let (bench, collector) = guarded().await;
    assert_eq!(statuses(&collector), [401, 401, 401, 401, 401, 200, 200]);
    let refused = send(&collector, None);
    assert!(refused.head.to_lowercase().contains("www-authenticate: bearer"), "{refused:?}");
    assert_eq!(bench.stored("Sent").await.len(), 2);
    let said = collector.process.terminate().stderr;
    assert!(!said.contains("s3cret") && !said.contains("wrong"), "secrets are not for logs: {said}");
}

/// The twin.
#[tokio::test]
async fn without_secrets_everybody_may_send() {
    let bench = Bench::new("").await;
    assert_eq!(statuses(&bench.collector()), [200; CREDENTIALS.len()]);
}

#[tokio::test]
async fn a_body_that_is_replayed_changes_nothing() {
    let (bench, collector) = guarded().await;
    let body = json!([push(&[("alertname", "Sent")])]).to_string();
    let post = || {
        request("POST", &collector.at("/api/v2/alerts"), &["Authorization: Bearer s3cret"], body.as_bytes())
    };
    assert_eq!([post().status, post().status, post().status], [200; 3]);
    assert_eq!(bench.stored("Sent").await.len(), 1);
}

/// An Alertmanager's notification of an alert in that state.
fn notification(status: &str, ends: &str) -> String {
    let alert = json!({"status": status, "labels": {"alertname": "Sent"}, "annotations": {},
        "startsAt": START, "endsAt": ends, "generatorURL": ""});
    json!({"version": "4", "status": status, "receiver": "kwhy", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "", "groupKey": "{}", "alerts": [alert]})
    .to_string()
}

const START: &str = "2024-05-07T09:40:00Z";

/// Sends that an alert fires, that it is over, and then a body, and returns the state of the alert in the last finding.
async fn after_its_end(body: &str) -> String {
    let bench = Bench::new("times: {grace: 1s}\n").await;
    let collector = bench.collector();
    let engine = bench.engine();
    let send = |body: &str| kwhy_tests::post(&collector.at("/webhook"), body).status;
    assert_eq!(send(&notification("firing", "0001-01-01T00:00:00Z")), 200);
    eventually("a finding", async || (!bench.client.findings().await.is_empty()).then_some(())).await;
    assert_eq!(send(&notification("resolved", "2024-05-07T09:45:00Z")), 200);
    assert_eq!(send(body), 200);
    let stored = bench.stored("Sent").await;
    assert_eq!(stored.len(), 3, "{stored:#?}");
    let ended = kwhy_tests::finish(engine, &bench.client, LAB).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let last = bench.client.findings().await.pop().expect("findings");
    last.symptoms[0].state.clone()
}

#[tokio::test]
async fn a_notification_that_is_replayed_after_its_end_opens_nothing() {
    assert_eq!(after_its_end(&notification("firing", "0001-01-01T00:00:00Z")).await, "resolved");
}

/// The twin: a later start is another alert.
#[tokio::test]
async fn a_notification_with_a_later_start_opens_the_alert_again() {
    let body = notification("firing", "0001-01-01T00:00:00Z").replace(START, "2024-05-07T10:00:00Z");
    assert_eq!(after_its_end(&body).await, "firing");
}

/// A server on which a user may publish signals of this cluster and hear the answers, and nothing else.
const PUBLISHER: &str = r#"jetstream {}
no_auth_user: all
authorization {
  users: [
    { user: all, password: a }
    { user: alerts, password: p, permissions { publish: ["kwhy.in.lab.>"], subscribe: ["_INBOX.>"] } }
  ]
}
"#;

#[tokio::test]
async fn the_right_to_publish_is_enough_to_take_alerts_and_to_be_ready() {
    let kwhy = Kwhy::new();
    let nats = NatsServer::with(&nats_server(), PUBLISHER);
    let collector = Collector::start(&kwhy, &nats.url.replace("nats://", "nats://alerts:p@"), LAB);
    assert_eq!(get(&collector.at("/-/ready")).status, 503, "there are no streams yet");
    kwhy.make_streams(&nats.url, LAB);
    eventually("ready", async || (get(&collector.at("/-/ready")).status == 200).then_some(())).await;
    assert_eq!(send(&collector, None).status, 200);
    let client = Client::connect(&nats.url).await;
    assert_eq!(client.stored("KWHY_IN").await.len(), 1, "being asked whether it is ready stores nothing");
}

/// Files of an authority, a server and a client, PEM.
struct Certificates {
    ca: PathBuf,
    server: (PathBuf, PathBuf),
    client: (PathBuf, PathBuf),
}

fn certificates(bench: &Bench, name: &str) -> Certificates {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).expect("an authority");
    let issuer = Issuer::new(params, key);
    let signed = |subject: &str| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([subject.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        let write = |what: &str, pem: String| bench.kwhy.write(&format!("{name}/{subject}.{what}"), pem);
        (write("crt", certificate.pem()), write("key", key.serialize_pem()))
    };
    Certificates {
        ca: bench.kwhy.write(&format!("{name}/ca.crt"), ca.pem()),
        server: signed("127.0.0.1"),
        client: signed("prometheus"),
    }
}

fn sender(collector: &Collector, ca: &Certificates, client: Option<&Certificates>) -> Prometheus {
    let shown = client.map(|it| {
        let (certificate, key) = &it.client;
        format!(", cert_file: {}, key_file: {}", certificate.display(), key.display())
    });
    let address = collector.url.trim_start_matches("https://");
    let target = format!(
        "- scheme: https\n  tls_config: {{ca_file: {}{}}}\n  static_configs: [{{targets: ['{address}']}}]\n",
        ca.ca.display(),
        shown.unwrap_or_default()
    );
    Prometheus::start(&Metrics::serve("broken 1\n").address, &[BROKEN], &target, None)
}

async fn mutual() -> (Bench, Collector, Certificates) {
    let bench = Bench::new("").await;
    let ours = certificates(&bench, "ours");
    let (certificate, key) = &ours.server;
    bench.kwhy.write(
        "kwhy.yaml",
        format!(
            "alerts: {{tls: {{certificate: {}, key: {}, client_ca: {}}}}}\n",
            certificate.display(),
            key.display(),
            ours.ca.display()
        ),
    );
    let collector = bench.collector();
    (bench, collector, ours)
}

#[tokio::test]
async fn with_mutual_tls_a_real_prometheus_with_its_certificate_gets_through() {
    let (bench, collector, ours) = mutual().await;
    let _prometheus = sender(&collector, &ours, Some(&ours));
    eventually("the alert", async || (!bench.stored("Broken").await.is_empty()).then_some(())).await;
}

#[tokio::test]
async fn with_mutual_tls_nobody_gets_through_with_none_or_a_foreign_certificate_or_without_tls() {
    let (bench, collector, ours) = mutual().await;
    let theirs = certificates(&bench, "theirs");
    for client in [None, Some(&theirs)] {
        let prometheus = sender(&collector, &ours, client);
        prometheus.process.wait_for("refusal", |line| {
            (line.contains("Error sending alert") && line.contains("tls: ")).then_some(())
        });
    }
    let plain = Collector { url: collector.url.replace("https", "http"), process: collector.process };
    assert_ne!(send(&plain, None).status, 200);
    assert_eq!(bench.stored("Broken").await, []);
}
