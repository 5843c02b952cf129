//! What the tests from outside stand on: the built binary with an environment of its own, programs in the background
//! that are always ended, a NATS server with a plain client on it, a scripted API server of Kubernetes, Prometheus and
//! Alertmanager, and Slack's side of a webhook.
//!
//! Nothing here knows the inside of kwhy: its rooms are the command line, the files it reads and writes, the NATS
//! subjects, and `proto/`. Every wait is for a condition and bounded by [`PATIENCE`].
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

mod alertmanager;
pub mod apiserver;
mod background;
pub mod causes;
pub mod chaos;
mod cluster;
mod collector;
pub mod dumps;
pub mod findings;
pub mod gate;
mod http;
mod kwhy;
pub mod memory;
mod metrics;
mod nats;
pub mod opensre;
mod prometheus;
mod proxy;
pub mod python;
mod slack;
mod tools;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

pub use alertmanager::{Alertmanager, Notify, amtool};
pub use background::Background;
pub use cluster::NatsCluster;
pub use collector::{Collector, as_alertmanager};
pub use http::{Answer, get, post, request};
pub use kwhy::{Ended, Engine, Kwhy, finish, recorded, said_of};
pub use metrics::Metrics;
pub use nats::{Client, NatsServer, Stored, Subscription, line};
pub use prometheus::{Prometheus, Rule};
pub use proxy::Proxy;
pub use slack::Slack;
pub use tools::{journal_remote, nats_server, old_nats_server};

/// Longest that anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The capture that most tests use, and the name of its cluster.
pub const CLUSTER: &str = "homelab";

/// What `look` gives once it gives something, asked again and again.
///
/// # Panics
/// Where it gives nothing within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A capture shipped with the repository.
#[must_use]
pub fn capture(name: &str) -> PathBuf {
    here("captures").join(name)
}

/// The name that a capture gives its cluster.
///
/// # Panics
/// Where it gives none.
#[must_use]
pub fn cluster_of(capture: &std::path::Path) -> String {
    let text = std::fs::read_to_string(capture.join("capture.yaml")).expect("a capture.yaml");
    let name = text.lines().find_map(|line| line.strip_prefix("cluster: "));
    name.expect("a name of the cluster").trim().to_owned()
}

/// The capture of the coredns loop.
#[must_use]
pub fn coredns_loop() -> PathBuf {
    capture("a1-coredns-loop")
}

/// A file or folder beside this crate's manifest.
#[must_use]
pub fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}
