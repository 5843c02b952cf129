//! Live sources of signals: where they come from, at which pace, and how they get onto `KWHY_IN`.
//!
//! - [`feed`]: the signals of a capture, as if they happened now.
//! - [`ticker`]: the passing of time, for a log in which time is what the log says.
//! - [`alerts`]: what Prometheus and Alertmanager send.
//! - [`kube`]: the cluster's objects and events, by watches.
//! - [`logs`]: a node's kubelet, runtime and kernel, from the journal and from files.
//! - [`snapshot`]: the cluster as it stands, written down as a capture.
//! - [`probes`]: how all of these are doing, for probes and for Prometheus.
//!
//! Sources hand signals on as they come. What NATS is, and when a message counts as stored, is hidden behind [`Sink`];
//! what a signal means is nobody's business here.

pub mod alerts;
pub mod clock;
pub mod feed;
pub mod kube;
pub mod logs;
mod outgoing;
pub mod probes;
pub mod pump;
pub mod sink;
pub mod snapshot;
pub mod ticker;
mod web;

pub use outgoing::{Figures, Outgoing};
pub use sink::{Answers, Sink};
pub use web::ListenError;
