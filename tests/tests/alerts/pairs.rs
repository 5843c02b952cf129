//! High availability: two Prometheus, two Alertmanagers, and one alert.

use std::time::Duration;

use kwhy_proto::v1::Finding;
use kwhy_tests::{Alertmanager, Metrics, Notify, Prometheus, as_alertmanager, eventually};

use crate::{BROKEN, Bench, alert, identities};

/// A pair of Prometheus with their replica labels sends to a pair of Alertmanagers and to kwhy, the Alertmanagers
/// notify kwhy as well. Returns the last finding when each of the four has been heard.
async fn through_a_pair(config: &str) -> (Bench, Finding) {
    let bench = Bench::new(config).await;
    let collector = bench.collector();
    let engine = bench.engine();
    let metrics = Metrics::serve("broken 1\n");
    let webhook = collector.at("/webhook");
    let first = Alertmanager::start(Notify::Webhook(&webhook), Some(&[]));
    let second = Alertmanager::start(Notify::Webhook(&webhook), Some(&[&first.peer]));
    let all = [&first.url, &second.url, &collector.url].map(|url| as_alertmanager(url)).concat();
    let _pair = ["a", "b"].map(|replica| Prometheus::start(&metrics.address, &[BROKEN], &all, Some(replica)));
    eventually("both ways", async || {
        let stored = bench.stored("Broken").await;
        let pushed = stored.iter().filter(|signal| alert(signal).ends_at.is_some()).count();
        (pushed > 4 && pushed < stored.len()).then_some(())
    })
    .await;
    let finding = eventually("a finding", async || bench.client.findings().await.pop()).await;
    // What comes later would show by now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = bench.client.findings().await;
    assert!(all.iter().all(|other| other.id == finding.id), "one finding: {all:#?}");
    drop(engine);
    (bench, all.last().cloned().expect("it was there before"))
}

#[tokio::test]
async fn two_prometheus_and_two_alertmanagers_are_one_alert() {
    let (bench, finding) = through_a_pair("times: {grace: 1s}\n").await;
    assert_eq!(finding.symptoms.len(), 1, "{:#?}", finding.symptoms);
    assert!(!finding.symptoms[0].labels.contains_key("prometheus_replica"));
    assert_eq!(identities(&bench.stored("Broken").await).len(), 1);
}

/// The twin: replicas that are not known as such are two alerts.
#[tokio::test]
async fn without_replica_labels_a_pair_is_two_alerts() {
    let (bench, finding) = through_a_pair("times: {grace: 1s}\nalerts: {replica_labels: []}\n").await;
    assert_eq!(finding.symptoms.len(), 2, "{:#?}", finding.symptoms);
    assert_eq!(identities(&bench.stored("Broken").await).len(), 2);
}
