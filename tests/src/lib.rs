//! What the tests from outside stand on: the built binary with an environment of its own, programs in the background
//! that are always ended, a NATS server with a plain client on it, a scripted API server of Kubernetes, and Slack's side
//! of a webhook.
//!
//! Nothing here knows the inside of kwhy: its rooms are the command line, the files it reads and writes, the NATS
//! subjects, and `proto/`. Every wait is for a condition and bounded by [`PATIENCE`].
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

pub mod apiserver;
mod background;
pub mod causes;
pub mod dumps;
pub mod findings;
pub mod gate;
mod kwhy;
mod nats;
pub mod opensre;
pub mod python;
mod slack;
mod tools;

use std::{path::PathBuf, time::Duration};

pub use background::Background;
pub use kwhy::{Ended, Engine, Kwhy, finish};
pub use nats::{Client, NatsServer, Stored, Subscription};
pub use slack::Slack;
pub use tools::{nats_server, old_nats_server};

/// Longest that anything may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The capture that most tests use, and the name of its cluster.
pub const CLUSTER: &str = "homelab";

/// A capture shipped with the repository.
#[must_use]
pub fn capture(name: &str) -> PathBuf {
    here("captures").join(name)
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
