//! `kwhy collect kubelet`: the logs of this node onto `KWHY_IN`.

use anyhow::{Result, bail};

use crate::{
    config::Config,
    connect,
    exit::Exit,
    node_logs::{Given, NodeLogs},
};

pub(crate) async fn run(
    config: &Config,
    given: Given,
    nats: Option<String>,
    cluster: Option<String>,
) -> Result<Exit> {
    let stop = crate::stop();
    let cluster = config.cluster_name(cluster);
    let Some(logs) = NodeLogs::prepare(config, &cluster, given).await? else {
        bail!("no logs are named; use --journal or --file GLOB, or set kubelet.journal or kubelet.files");
    };
    let bus = connect::publisher(config, nats, &cluster).await?;
    logs.announce();
    eprintln!("ready");
    let ended = logs.run(&bus, stop).await;
    bus.close().await;
    ended?;
    Ok(Exit::Nothing)
}
