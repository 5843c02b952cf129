//! The receiver of alerts from outside: a real Prometheus, Alertmanager and nats-server, and clients that mean no good.
//!
//! Each test of a fault has a twin in which the protection is off, and shows that its check would have failed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

mod access;
mod dead;
mod docs;
mod hostile;
mod pairs;
mod resends;
mod silences;
mod storm;
mod way;

use std::collections::{BTreeMap, BTreeSet};

use kwhy_proto::v1::{Alert, Signal, signal::Body};
use kwhy_tests::{Client, Collector, Engine, Kwhy, NatsServer, Rule, nats_server};

/// The cluster of these tests.
const LAB: &str = "lab";

/// A rule that fires while the target says so.
const BROKEN: Rule<'_> = Rule { alert: "Broken", expr: "broken > 0", labels: "severity: warning" };

/// NATS, a receiver that stores to it, and a client that looks at what is stored.
struct Bench {
    kwhy: Kwhy,
    nats: NatsServer,
    client: Client,
}

impl Bench {
    async fn new(config: &str) -> Self {
        let kwhy = Kwhy::new();
        kwhy.write("kwhy.yaml", config);
        let nats = NatsServer::start(&nats_server());
        kwhy.make_streams(&nats.url, LAB);
        let client = Client::connect(&nats.url).await;
        Self { kwhy, nats, client }
    }

    fn collector(&self) -> Collector {
        Collector::start(&self.kwhy, &self.nats.url, LAB)
    }

    /// `kwhy run`, with `alerts.listen` where `config` has it.
    fn engine(&self) -> Engine {
        self.kwhy.engine(&[&"--nats", &self.nats.url, &"--cluster", &LAB])
    }

    /// What is stored of the alert with this name, without those that are not there yet.
    async fn stored(&self, name: &str) -> Vec<Signal> {
        let mut signals = self.client.signals("alert").await;
        signals.retain(|signal| signal.name == name);
        signals
    }
}

fn alert(signal: &Signal) -> &Alert {
    match &signal.body {
        Some(Body::Alert(alert)) => alert,
        other => panic!("an alert, not {other:?}"),
    }
}

fn identities(signals: &[Signal]) -> BTreeSet<&str> {
    signals.iter().map(|signal| alert(signal).identity.as_str()).collect()
}

/// How often each state was told.
fn states(signals: &[Signal]) -> BTreeMap<&str, usize> {
    let mut states = BTreeMap::new();
    for signal in signals {
        *states.entry(signal.state.as_str()).or_default() += 1;
    }
    states
}

/// An alert as Prometheus sends it, from now on for five minutes.
fn push(labels: &[(&str, &str)]) -> serde_json::Value {
    let now = kwhy_proto::timestamp(now());
    let later = kwhy_proto::Timestamp { seconds: now.seconds + 300, ..now };
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    serde_json::json!({"labels": labels, "startsAt": now, "endsAt": later})
}

/// Milliseconds since the Unix epoch.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    u64::try_from(since.as_millis()).expect("it is before the end of time")
}
