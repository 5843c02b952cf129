//! The cluster as a live source: watches, a ticker and the logs that the core has asked for, published like everybody's
//! signals.

use std::{future::ready, pin::pin, time::Duration};

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt};
use kwhy_bus::{Bus, Entry};
use kwhy_collect::{
    clock, kube, logs,
    probes::{Kube, Vitals},
    pump, ticker,
};
use kwhy_proto::v1::Signal;
use tokio::{sync::mpsc, time::timeout};

use crate::{config, node_logs::NodeLogs, receive::Receiving};

/// Signals between the watches and NATS. Few, as one can be a megabyte; NATS takes that many at a time.
const BETWEEN: usize = 64;
/// How long what was read may take to be stored, once no more is read.
const LAST: Duration = Duration::from_secs(10);
/// How long reading what was told before may take.
const RECOLLECTION: Duration = Duration::from_secs(120);

/// Watches the cluster and lets time pass, until told to stop. What was read by then is stored before it returns.
pub(crate) async fn watch(
    kube: &config::Kube,
    bus: &Bus,
    cluster: &str,
    vitals: Kube,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let client = kube::connect(kube.context.as_deref()).await?;
    let mut stop = pin!(stop);
    let remembered = tokio::select! {
        () = &mut stop => return Ok(()),
        remembered = remember(bus) => remembered,
    };
    let (signals, receiver) = mpsc::channel(BETWEEN);
    let report = |trouble: &kube::Trouble| eprintln!("kwhy: {trouble}");
    let Kube { watches: health, outgoing } = vitals;
    let logs = answer(bus, client.clone(), cluster, signals.clone());
    let watched = kube::Cluster { client, name: cluster, clock: clock::wall, signals, remembered, health };
    let mut pump = pin!(pump::pump(bus, receiver, &outgoing, clock::wall));
    tokio::select! {
        () = &mut stop => {}
        () = kube::watch(watched, report) => bail!("the watches of the cluster ended"),
        result = &mut pump => {
            result?;
            bail!("nobody watches the cluster any more");
        }
        result = logs => result?,
        result = ticker::run(bus, cluster, ticker::INTERVAL, clock::wall) => match result? {},
    }
    // The watches are gone, so the pump ends when it has stored what they left.
    match timeout(LAST, pump).await {
        Ok(stored) => Ok(stored?),
        Err(_elapsed) => {
            eprintln!("kwhy: NATS did not take the last signals in {} s; they come again", LAST.as_secs());
            Ok(())
        }
    }
}

/// Answers what the core wants to read of containers that fail, without end.
async fn answer(bus: &Bus, client: kube::Client, cluster: &str, signals: mpsc::Sender<Signal>) -> Result<()> {
    let mut ended = None;
    let requests = bus.requests().filter_map(|entry| {
        ready(match entry {
            Ok(Entry::Message { body, .. }) => Some(body),
            // What is no request, or is too old to be one, is nobody's.
            Ok(Entry::Unreadable { .. } | Entry::Gap { .. }) => None,
            Err(error) => {
                ended = Some(error);
                None
            }
        })
    });
    let report = |missing: &kube::NoLog| eprintln!("kwhy: {missing}");
    kube::answer_logs(client, cluster, clock::wall, requests, signals, report).await;
    match ended {
        Some(error) => Err(error.into()),
        None => bail!("nobody answers requests for logs any more"),
    }
}

/// What was told of the cluster before, so that what went meanwhile can be told as gone. Without it only that is amiss.
async fn remember(bus: &Bus) -> kube::Remembered {
    let mut remembered = kube::Remembered::default();
    let read = async {
        let mut told = pin!(bus.stored("object").await?);
        while let Some(batch) = told.try_next().await? {
            batch.signals.iter().for_each(|signal| remembered.note(signal));
        }
        Ok::<(), kwhy_bus::BusError>(())
    };
    let why = match timeout(RECOLLECTION, read).await {
        Ok(Ok(())) => return remembered,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("it takes longer than {} s", RECOLLECTION.as_secs()),
    };
    eprintln!(
        "kwhy: cannot read what was told before ({why}); objects that are gone since may seem to be there"
    );
    kube::Remembered::default()
}

/// Reads the logs of this node, without end, and lets time pass unless another source does.
pub(crate) async fn node_logs(
    logs: Option<NodeLogs>,
    bus: &Bus,
    cluster: &str,
    vitals: logs::Vitals,
    tick: bool,
) -> Result<()> {
    let Some(logs) = logs else { return Ok(()) };
    tokio::select! {
        result = logs.run(bus, vitals, std::future::pending()) => result?,
        result = ticker::run(bus, cluster, ticker::INTERVAL, clock::wall), if tick => match result? {},
    }
    bail!("nobody reads the logs of this node any more")
}

/// Takes alerts, without end, and lets time pass. Other sources may do that too: any number of tickers make one tick.
pub(crate) async fn alerts(
    alerts: Option<Receiving>,
    bus: &Bus,
    cluster: &str,
    vitals: Vitals,
) -> Result<()> {
    let Some(alerts) = alerts else { return Ok(()) };
    tokio::select! {
        never = alerts.run(bus, vitals) => match never {},
        result = ticker::run(bus, cluster, ticker::INTERVAL, clock::wall) => match result? {},
    }
}
