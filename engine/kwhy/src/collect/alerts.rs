//! `kwhy collect alerts`: what Prometheus and Alertmanager send onto `KWHY_IN`.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use kwhy_collect::{Outgoing, probes::Vitals};

use crate::{config::Config, connect, exit::Exit, live, probing::Probing, receive::Receiving};

pub(crate) async fn run(
    config: &Config,
    listen: Option<SocketAddr>,
    nats: Option<String>,
    cluster: Option<String>,
) -> Result<Exit> {
    let cluster = config.cluster_name(cluster);
    let Some(listen) = listen.or(config.alerts.listen) else {
        bail!("no address to listen on is given; use --listen 127.0.0.1:9096 or set alerts.listen");
    };
    let receiving = Receiving::prepare(&config.alerts, listen, &cluster).await?;
    let probing = Probing::prepare(config, None).await?;
    let bus = connect::publisher(config, nats, &cluster).await?;
    let stop = crate::stop();
    receiving.announce();
    probing.announce();
    eprintln!("ready");
    let vitals = Vitals { alerts: Some(Outgoing::default()), ..Vitals::default() };
    let ended = tokio::select! {
        () = stop => Ok(()),
        ended = live::alerts(Some(receiving), &bus, &cluster, vitals.clone()) => ended,
        never = probing.run(bus.clone(), vitals) => match never {},
    };
    bus.close().await;
    ended?;
    Ok(Exit::Nothing)
}
