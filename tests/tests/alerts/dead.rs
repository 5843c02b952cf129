//! A Prometheus that dies says nothing any more: what it told runs out, and that it is silent is a finding.

use std::time::Duration;

use kwhy_proto::{
    Message as _, millis, timestamp,
    v1::{Signal, SignalBatch},
};
use kwhy_tests::{Collector, Engine, Metrics, Prometheus, Rule, eventually};

use crate::{BROKEN, Bench, LAB, alert, now};

/// Says that it is this time, as a ticker does.
async fn tick(bench: &Bench, at: u64) {
    let id = format!("tick/{}", at / 1000);
    let signal = Signal {
        id: id.clone(),
        cluster: LAB.into(),
        source: "tick".into(),
        at: Some(timestamp(at)),
        ..Signal::default()
    };
    let body = SignalBatch { signals: vec![signal] }.encode_to_vec();
    bench.client.publish(&format!("kwhy.in.{LAB}.tick._"), Some(&format!("{LAB}/{id}")), body).await;
}

/// When the alert of the last finding ended, ms.
async fn end(bench: &Bench) -> Option<u64> {
    let findings = bench.client.findings().await;
    let symptom = findings.last()?.symptoms.first()?;
    (symptom.state == "resolved").then(|| millis(&symptom.until.expect("an end has a time")))
}

/// A Prometheus with one rule, the collector that it sends to, and an engine.
struct Watched {
    bench: Bench,
    collector: Collector,
    engine: Engine,
    prometheus: Prometheus,
    _metrics: Metrics,
}

impl Watched {
    async fn start(config: &str, metrics: &str, rule: Rule<'_>) -> Self {
        let bench = Bench::new(config).await;
        let (collector, engine) = (bench.collector(), bench.engine());
        let metrics = Metrics::serve(metrics);
        let prometheus = Prometheus::start(&metrics.address, &[rule], &collector.as_alertmanager(), None);
        Self { bench, collector, engine, prometheus, _metrics: metrics }
    }
}

/// What is left when Prometheus is killed after its alert has become a finding.
async fn killed_while_firing() -> (Bench, Collector, Engine) {
    let Watched { bench, collector, engine, prometheus, .. } =
        Watched::start("times: {grace: 1s}\n", "broken 1\n", BROKEN).await;
    eventually("a finding", async || (!bench.client.findings().await.is_empty()).then_some(())).await;
    prometheus.process.kill();
    (bench, collector, engine)
}

#[tokio::test]
async fn what_a_killed_prometheus_said_runs_out_at_its_end_by_the_time_of_the_log() {
    let (bench, _collector, _engine) = killed_while_firing().await;
    // By the collector's ticks, of which the next comes within ten seconds.
    let over = eventually("the end of the alert", async || end(&bench).await).await;
    let stored = bench.stored("Broken").await;
    let last = stored.iter().filter_map(|signal| alert(signal).ends_at.as_ref()).map(millis).max();
    assert_eq!(Some(over), last, "it ends when the last that was heard of it said");
    assert!(stored.iter().all(|signal| signal.state == "firing"), "nobody has said that it is resolved");
}

/// The twin: where nobody lets time pass, it does not end.
#[tokio::test]
async fn without_a_ticker_nothing_runs_out() {
    let (bench, collector, _engine) = killed_while_firing().await;
    collector.process.kill();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(end(&bench).await, None);
    // It was for want of time alone.
    tick(&bench, now()).await;
    eventually("the end of the alert", async || end(&bench).await).await;
}

const WATCHDOG: Rule<'_> = Rule { alert: "Watchdog", expr: "vector(1)", labels: "severity: none" };
const HOUR: u64 = 3_600_000;

/// Longer than the rule waits for a Watchdog of which it does not know how often it comes.
const LONG: u64 = 13 * HOUR;

/// Findings that the Watchdog is missing and that stand.
async fn missing(bench: &Bench) -> Option<String> {
    let findings = bench.client.findings().await;
    let last = findings.iter().rfind(|finding| finding.code == "monitoring.watchdog-missing")?;
    (last.status() == kwhy_proto::v1::Status::Open).then(|| last.title.clone())
}

#[tokio::test]
async fn a_watchdog_that_stops_coming_is_a_finding() {
    let Watched { bench, engine, prometheus, collector: _collector, .. } =
        Watched::start("", "", WATCHDOG).await;
    eventually("the Watchdog", async || (bench.stored("Watchdog").await.len() > 1).then_some(())).await;
    prometheus.process.kill();
    tick(&bench, now() + LONG).await;
    let title = eventually("a finding", async || missing(&bench).await).await;
    assert!(title.contains("Watchdog is not heard any more"), "{title}");
    drop(engine);
}

/// The twin: one that still comes is none, however late it gets.
#[tokio::test]
async fn a_watchdog_that_comes_is_no_finding() {
    let Watched { bench, engine, prometheus, collector: _collector, .. } =
        Watched::start("", "", WATCHDOG).await;
    let heard = eventually("the Watchdog", async || bench.stored("Watchdog").await.pop()).await;
    prometheus.process.kill();
    let start = now();
    for hours in (6..=24).step_by(6) {
        let at = start + hours * HOUR;
        let id = format!("{}/{hours}", heard.id);
        let mut later = Signal { id: id.clone(), at: Some(timestamp(at)), ..heard.clone() };
        if let Some(kwhy_proto::v1::signal::Body::Alert(alert)) = &mut later.body {
            alert.ends_at = Some(timestamp(at + 240_000));
        }
        let body = SignalBatch { signals: vec![later] }.encode_to_vec();
        bench.client.publish(&format!("kwhy.in.{LAB}.alert._"), Some(&id), body).await;
    }
    let ended = kwhy_tests::finish(engine, &bench.client, LAB).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(missing(&bench).await, None);
}
