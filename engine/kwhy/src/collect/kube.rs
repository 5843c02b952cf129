//! `kwhy collect kube`: the cluster's objects and events onto `KWHY_IN`.

use std::net::SocketAddr;

use anyhow::Result;
use kwhy_collect::probes::{Kube, Vitals};

use crate::{config::Config, connect, exit::Exit, live, probing::Probing};

/// What the command line sets over the configuration.
pub(crate) struct Given {
    pub(crate) nats: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) listen: Option<SocketAddr>,
}

pub(crate) async fn run(config: &Config, given: Given) -> Result<Exit> {
    let stop = crate::stop();
    let cluster = config.cluster_name(given.cluster);
    let mut kube = config.kube.clone();
    kube.context = given.context.or(kube.context);
    let probing = Probing::prepare(config, given.listen).await?;
    let bus = connect::connect(config, given.nats, &cluster).await?;
    eprintln!("cluster: {cluster}");
    probing.announce();
    eprintln!("ready");
    let watches = Kube::default();
    let vitals = Vitals { kube: Some(watches.clone()), ..Vitals::default() };
    let ended = tokio::select! {
        ended = live::watch(&kube, &bus, &cluster, watches, stop) => ended,
        never = probing.run(bus.clone(), vitals) => match never {},
    };
    bus.close().await;
    ended?;
    Ok(Exit::Nothing)
}
