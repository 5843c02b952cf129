//! `kwhy collect kubelet`: the logs of this node onto `KWHY_IN`.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use kwhy_collect::{logs, probes::Vitals};

use crate::{
    config::Config,
    connect,
    exit::Exit,
    node_logs::{Given, NodeLogs},
    probing::{Connection, Probing},
};

/// Where signals go, and where it is told how that goes.
pub(crate) struct To {
    pub(crate) nats: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) listen: Option<SocketAddr>,
}

pub(crate) async fn run(config: &Config, given: Given, to: To) -> Result<Exit> {
    let stop = crate::stop();
    let cluster = config.cluster_name(to.cluster);
    let Some(logs) = NodeLogs::prepare(config, &cluster, given).await? else {
        bail!("no logs are named; use --journal or --file GLOB, or set kubelet.journal or kubelet.files");
    };
    let probing = Probing::prepare(config, to.listen).await?;
    let bus = connect::publisher(config, to.nats, &cluster).await?;
    logs.announce();
    probing.announce();
    eprintln!("ready");
    let reading = logs::Vitals::default();
    let vitals = Vitals { logs: Some(reading.clone()), ..Vitals::default() };
    let ended = tokio::select! {
        ended = logs.run(&bus, reading, stop) => ended,
        never = probing.run(Connection(bus.clone()), vitals) => match never {},
    };
    bus.close().await;
    ended?;
    Ok(Exit::Nothing)
}
