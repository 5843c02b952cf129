//! The cluster as a live source of `kwhy run`: watches and a ticker, published like everybody's signals.

use anyhow::{Result, bail};
use kwhy_bus::Bus;
use kwhy_collect::{clock, kube, pump, ticker};
use tokio::sync::mpsc;

use crate::config::Kube;

/// Signals between the watches and NATS.
const BETWEEN: usize = 4096;

/// Watches the cluster and lets time pass, without end.
pub(crate) async fn watch(kube: &Kube, bus: &Bus, cluster: &str) -> Result<()> {
    let client = kube::connect(kube.context.as_deref()).await?;
    let (sender, receiver) = mpsc::channel(BETWEEN);
    let report = |trouble: &kube::Trouble| eprintln!("kwhy: {trouble}");
    tokio::select! {
        () = kube::watch(client, cluster, clock::wall, sender, report) => bail!("the watches of the cluster ended"),
        result = pump::pump(bus, receiver) => result?,
        result = ticker::run(bus, cluster, ticker::INTERVAL, clock::wall) => match result? {},
    }
    Ok(())
}
