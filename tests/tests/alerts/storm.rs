//! A storm: thousands of alerts that come and go at once, told by both of a pair of Prometheus.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kwhy_proto::v1::{Finding, Signal};
use kwhy_tests::{Collector, Metrics, Prometheus, Rule, eventually};

use crate::{BROKEN, Bench, LAB, alert};

const STORM: usize = 5_000;

/// Within which 99 of 100 posts of a storm are answered, s. Prometheus gives up after ten.
const ANSWERED: f64 = 1.0;

/// A pair of Prometheus, in whose eyes all alerts fire or none.
struct Storm {
    bench: Bench,
    collector: Collector,
    metrics: Metrics,
    pair: [Prometheus; 2],
    count: usize,
}

impl Storm {
    async fn new(config: &str, count: usize) -> Self {
        let bench = Bench::new(config).await;
        let collector = bench.collector();
        let metrics = Metrics::serve(&series(count, false));
        let rule = Rule { alert: "Storm", ..BROKEN };
        let target = collector.as_alertmanager();
        let pair =
            ["a", "b"].map(|replica| Prometheus::calm(&metrics.address, &[rule], &target, Some(replica)));
        Self { bench, collector, metrics, pair, count }
    }

    /// Lets all alerts fire, or end, and waits until both Prometheus have told all of it or given up.
    async fn turn(&self, on: bool) {
        let sent = |prometheus: &Prometheus| {
            prometheus.figure("prometheus_notifications_sent_total", "alertmanager=")
        };
        let before = self.pair.each_ref().map(sent);
        self.metrics.set(&series(self.count, on));
        for (prometheus, before) in self.pair.iter().zip(before) {
            let all = before + self.count as f64;
            eventually("word of all", async || (sent(prometheus) >= all).then_some(())).await;
        }
    }

    /// Twice they come and go.
    async fn rage(&self) {
        for on in [true, false, true, false] {
            self.turn(on).await;
        }
    }

    async fn stored(&self) -> Vec<Signal> {
        self.bench.stored("Storm").await
    }

    /// The longest that 99 of 100 posts took, s, in the eyes of either.
    fn answered(&self) -> f64 {
        let slow = |prometheus: &Prometheus| {
            prometheus.figure("prometheus_notifications_latency_seconds", "quantile=\"0.99\"")
        };
        self.pair.iter().map(slow).fold(0.0, f64::max)
    }

    /// What must hold when it is over: all was taken and soon, every alert is one, and none is left.
    fn check(&self, stored: &[Signal]) -> Result<(), String> {
        for prometheus in &self.pair {
            let lost = prometheus.figure("prometheus_notifications_dropped_total", "");
            if lost > 0.0 {
                return Err(format!("{lost} alerts were given up"));
            }
        }
        let answered = self.answered();
        if !(0.0..ANSWERED).contains(&answered) {
            return Err(format!("answered within {answered} s"));
        }
        let mut last = BTreeMap::new();
        for signal in stored {
            last.insert(&alert(signal).identity, signal.state.as_str());
        }
        if last.len() != self.count {
            return Err(format!("{} alerts of {}", last.len(), self.count));
        }
        match last.values().filter(|state| **state != "resolved").count() {
            0 => Ok(()),
            left => Err(format!("{left} alerts did not end")),
        }
    }
}

fn series(count: usize, on: bool) -> String {
    let state = u8::from(on);
    (0..count).map(|n| format!("broken{{namespace=\"shop\",pod=\"web-{n}\"}} {state}\n")).collect()
}

#[tokio::test]
async fn in_a_storm_of_flapping_alerts_each_is_one_and_all_are_taken_soon() {
    let storm = Storm::new("", STORM).await;
    storm.rage().await;
    let stored = storm.stored().await;
    println!("99 of 100 posts were answered within {:.0} ms", 1000.0 * storm.answered());
    assert_eq!(storm.check(&stored), Ok(()));
    assert_eq!(storm.collector.process.terminate().code, Some(0));
}

/// The twins need no more than what fits into a few posts.
const SQUALL: usize = 200;

/// The twin: replicas that are not known as such are two alerts.
#[tokio::test]
async fn the_check_of_a_storm_fails_a_receiver_that_does_not_know_replicas() {
    let storm = Storm::new("alerts: {replica_labels: []}\n", SQUALL).await;
    storm.rage().await;
    assert_eq!(storm.check(&storm.stored().await), Err(format!("{} alerts of {SQUALL}", 2 * SQUALL)));
}

/// The twin: what is not stored is not taken, and Prometheus sends no batch a second time.
#[tokio::test]
async fn the_check_of_a_storm_fails_where_nats_is_away() {
    let mut storm = Storm::new("alerts: {answer_within: 500ms}\n", SQUALL).await;
    storm.turn(true).await;
    storm.bench.nats.kill();
    storm.turn(false).await;
    storm.bench.nats.restart();
    assert!(storm.check(&storm.stored().await).unwrap_err().contains("were given up"));
}

/// Fewer: thousands of findings take minutes.
const FOUND: usize = 100;

/// The last revision of each finding, when a storm has passed an engine.
async fn findings(config: &str) -> Vec<Finding> {
    let storm = Storm::new(&format!("times: {{grace: 1s}}\n{config}"), FOUND).await;
    let engine = storm.bench.engine();
    for on in [true, false, true, false] {
        storm.turn(on).await;
        // For longer than an alert may wait for an explanation.
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let ended = kwhy_tests::finish(engine, &storm.bench.client, LAB).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let all = storm.bench.client.findings().await;
    let last: BTreeMap<String, Finding> =
        all.into_iter().map(|finding| (finding.id.clone(), finding)).collect();
    last.into_values().collect()
}

/// Findings that each tell of one alert, on objects of their own.
fn check_findings(findings: &[Finding]) -> Result<(), String> {
    let roots: BTreeSet<String> = findings.iter().map(kwhy_tests::findings::root_of).collect();
    if (findings.len(), roots.len()) != (FOUND, FOUND) {
        return Err(format!("{} findings on {} objects", findings.len(), roots.len()));
    }
    match findings.iter().find(|finding| finding.symptoms.len() != 1) {
        Some(odd) => Err(format!("{} alerts in one finding", odd.symptoms.len())),
        None => Ok(()),
    }
}

#[tokio::test]
async fn alerts_that_flap_are_one_finding_each() {
    assert_eq!(check_findings(&findings("").await), Ok(()));
}

/// The twin.
#[tokio::test]
async fn the_check_of_findings_fails_an_engine_that_is_told_of_replicas_as_two() {
    let findings = findings("alerts: {replica_labels: []}\n").await;
    assert_eq!(check_findings(&findings), Err("2 alerts in one finding".to_owned()));
}
