//! The receiver of alerts, as `kwhy run` and `kwhy collect alerts` run it: with the silences that hold.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use kwhy_bus::Bus;
use kwhy_collect::{
    alerts::{Listening, Silences, silences::Alertmanager},
    clock,
    probes::Vitals,
};
use tokio::{sync::watch, time::timeout};

use crate::config::Alerts;

/// How long the first alerts wait for the silences.
const FIRST: Duration = Duration::from_secs(5);

/// A receiver that has its address and is yet to take alerts.
pub(crate) struct Receiving {
    listening: Listening,
    alertmanager: Option<Alertmanager>,
}

impl Receiving {
    /// Reads all files that the configuration names and takes the address.
    pub(crate) async fn prepare(config: &Alerts, listen: SocketAddr, cluster: &str) -> Result<Self> {
        let alertmanager = config.alertmanager()?;
        let listening = Listening::on(config.settings(listen, cluster)?).await?;
        Ok(Self { listening, alertmanager })
    }

    /// Says where it listens, and what should be known about that.
    pub(crate) fn announce(&self) {
        if let Some(warning) = self.listening.warning() {
            eprintln!("kwhy: {warning}");
        }
        eprintln!("alerts: {}", self.listening.url());
    }

    /// Takes alerts, without end. `vitals` are shown to whoever asks for the status.
    pub(crate) async fn run(self, bus: &Bus, vitals: Vitals) -> Infallible {
        let (sender, mut silences) = watch::channel(Arc::new(Silences::default()));
        let followed = async {
            match &self.alertmanager {
                Some(alertmanager) => {
                    alertmanager.follow(&sender, |trouble| eprintln!("kwhy: {trouble}")).await
                }
                None => std::future::pending().await,
            }
        };
        let asks = self.alertmanager.is_some();
        let served = async {
            if asks {
                // An alert that is silenced should not be told just because kwhy has started anew. But alerts that
                // wait for an Alertmanager that is away would be worse.
                let _ = timeout(FIRST, silences.changed()).await;
            }
            self.listening.serve(bus.clone(), clock::wall, silences, vitals).await
        };
        tokio::select! {
            never = followed => never,
            never = served => never,
        }
    }
}
