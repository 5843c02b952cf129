//! How this process is doing, for probes of Kubernetes and for Prometheus.
//!
//! | path | answer |
//! |---|---|
//! | `/-/healthy` | 200 while the process answers at all |
//! | `/-/ready` | 200 while NATS, every source and the engine do their work, else 503 with a line for each that does not |
//! | `/metrics` | figures in the text format of Prometheus |
//!
//! Nothing is asked for when somebody looks, but NATS, and that at most every two seconds.

mod engine;
mod metrics;
mod reach;
mod server;

use std::time::Duration;

use crate::{Outgoing, kube, logs};

pub use self::{
    engine::{Engine, EngineFigures},
    server::Probes,
};
pub(crate) use self::{reach::Reach, server::page};

/// How long NATS may owe an acknowledgement.
const OWED: Duration = Duration::from_secs(30);

/// What of a process can be told about. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// The watches of a cluster, where there are any.
    pub kube: Option<Kube>,
    /// The logs of a node, where they are read.
    pub logs: Option<logs::Vitals>,
    /// How the publishing of alerts goes, where they are taken.
    pub alerts: Option<Outgoing>,
    /// The engine, where there is one.
    pub engine: Option<Engine>,
}

/// The watches of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Kube {
    /// How each watch is doing.
    pub watches: kube::Health,
    /// How publishing goes.
    pub outgoing: Outgoing,
}

impl Vitals {
    /// What keeps sources and the engine from doing their work at `now` (ms since the Unix epoch), a line each.
    #[must_use]
    pub fn troubles(&self, now: u64) -> Vec<String> {
        let watches = self.kube.iter().flat_map(|kube| kube.watches.troubles(now));
        let logs = self.logs.iter().flat_map(|logs| logs.reading.troubles());
        // Logs tell so themselves; alerts are answered with it.
        let owed = self.kube.iter().filter_map(|kube| kube.outgoing.figures().waiting);
        let owed = owed.filter(|waiting| *waiting >= OWED);
        let owed = owed.map(|waiting| {
            format!("NATS does not acknowledge what was watched, for {} s", waiting.as_secs())
        });
        let engine = self.engine.iter().flat_map(Engine::troubles);
        watches.chain(owed).chain(logs).chain(engine).collect()
    }

    /// How publishing goes, by what is published.
    fn outgoing(&self) -> impl Iterator<Item = (&'static str, &Outgoing)> {
        let kube = self.kube.as_ref().map(|kube| ("kube", &kube.outgoing));
        let logs = self.logs.as_ref().map(|logs| ("logs", &logs.outgoing));
        let alerts = self.alerts.as_ref().map(|outgoing| ("alerts", outgoing));
        [kube, logs, alerts].into_iter().flatten()
    }
}
