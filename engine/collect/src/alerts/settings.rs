//! What the receiver is told.

use std::{net::SocketAddr, time::Duration};

use kwhy_ingest::alert::Identity;

use super::{Auth, Tls};

/// How much one request, and all together, may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body, packed and unpacked. Prometheus sends at most 256 alerts at a time.
    pub body: usize,
    /// Alerts in a body.
    pub alerts: usize,
    /// Labels of an alert.
    pub labels: usize,
    /// Bytes of a label's name or value.
    pub label: usize,
    /// Connections at a time.
    pub connections: usize,
    /// How long the head of a request, and how long a TLS handshake, may take.
    pub head: Duration,
    /// How long a body may take.
    pub reading: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 << 20,
            alerts: 10_000,
            labels: 128,
            label: 4096,
            connections: 256,
            head: Duration::from_secs(5),
            reading: Duration::from_secs(10),
        }
    }
}

/// What the receiver is told.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The cluster that the alerts are of, whatever their labels say: who may send for it is known by the credentials.
    pub cluster: String,
    /// Which labels name the sender and not the alert.
    pub identity: Identity,
    /// Who may send.
    pub auth: Auth,
    /// The certificate, where it speaks TLS.
    pub tls: Option<Tls>,
    /// How much a sender may take up.
    pub limits: Limits,
    /// Within this a request is answered once it is read: 200 if all is stored, else 503. Below the 10 s that
    /// Prometheus waits.
    pub answer_within: Duration,
}

impl Settings {
    /// The default of `answer_within`.
    pub const ANSWER_WITHIN: Duration = Duration::from_secs(8);
}
