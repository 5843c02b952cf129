//! `kwhy collect kube`: the cluster's objects and events onto `KWHY_IN`.

use anyhow::Result;

use crate::{config::Config, connect, exit::Exit, live};

pub(crate) async fn run(
    config: &Config,
    nats: Option<String>,
    cluster: Option<String>,
    context: Option<String>,
) -> Result<Exit> {
    let stop = crate::stop();
    let cluster = config.cluster_name(cluster);
    let mut kube = config.kube.clone();
    kube.context = context.or(kube.context);
    let bus = connect::connect(config, nats, &cluster).await?;
    eprintln!("cluster: {cluster}");
    eprintln!("ready");
    let watched = live::watch(&kube, &bus, &cluster, stop).await;
    bus.close().await;
    watched?;
    Ok(Exit::Nothing)
}
