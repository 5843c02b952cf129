//! `kwhy run`: signals from NATS through the engine, findings back to NATS and to Slack.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result, anyhow};
use kwhy_bus::{Bus, Server, server::Options};
use kwhy_collect::{
    Outgoing, logs,
    probes::{self, Kube, Vitals},
};
use kwhy_publish::slack::Webhook;

use crate::{
    config::Config,
    connect,
    exit::Exit,
    live,
    node_logs::{self, NodeLogs},
    probing::Probing,
    receive::Receiving,
    rules,
    term::{self, Post},
};

/// What the command line sets over the configuration.
pub(crate) struct Given {
    pub(crate) nats: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) rules: Vec<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
}

pub(crate) async fn run(config: &Config, given: Given) -> Result<Exit> {
    let cluster = config.cluster_name(given.cluster);
    let webhook =
        config.slack.webhook_url.as_deref().map(Webhook::new).transpose().context("slack.webhook_url")?;
    let from = node_logs::Given { data_dir: given.data_dir.clone(), ..node_logs::Given::default() };
    let node = NodeLogs::prepare(config, &cluster, from).await?;
    let alerts = match config.alerts.listen {
        Some(listen) => Some(Receiving::prepare(&config.alerts, listen, &cluster).await?),
        None => None,
    };
    let probing = Probing::prepare(config, given.listen).await?;
    // What is wrong with them is told before anything is started.
    let rules = rules::load(config, &given.rules)?;
    let (mut server, url) = match given.nats.or_else(|| config.nats.url.clone()) {
        Some(url) => (None, url),
        None => {
            let mut options = Options::new(connect::data_dir(config, given.data_dir));
            options.binary.clone_from(&config.nats.server);
            let server = Server::start(&options).await?;
            let url = server.url.clone();
            (Some(server), url)
        }
    };
    let to = connect::settings(config, &url, &cluster);
    let bus = Bus::connect(&to).await?;
    let stop = crate::stop();
    eprintln!("nats: {}", to.shown_url());
    eprintln!("cluster: {cluster}");
    if let Some(node) = &node {
        node.announce();
    }
    if let Some(alerts) = &alerts {
        alerts.announce();
    }
    probing.announce();
    eprintln!("ready");

    let owner = term::owner::name();
    let health = probes::Engine::default();
    let post = Post {
        config,
        store: &bus,
        cluster: cluster.clone(),
        rules: given.rules,
        owner,
        health: health.clone(),
    };
    let (reads_logs, takes_alerts) = (node.is_some(), alerts.is_some());
    let (watches, reading) = (Kube::default(), logs::Vitals::default());
    let vitals = Vitals {
        kube: config.kube.watch.then(|| watches.clone()),
        logs: reads_logs.then(|| reading.clone()),
        alerts: takes_alerts.then(Outgoing::default),
        engine: Some(health),
    };
    let ended = tokio::select! {
        result = term::run(&post, rules, webhook, stop) => result,
        result = live::watch(&config.kube, &bus, &cluster, watches, std::future::pending()), if config.kube.watch => result,
        result = live::node_logs(node, &bus, &cluster, reading, !config.kube.watch), if reads_logs => result,
        result = live::alerts(alerts, &bus, &cluster, vitals.clone()), if takes_alerts => result,
        never = probing.run(bus.clone(), vitals) => match never {},
        how = child_ended(&mut server) => Err(anyhow!("the nats-server that kwhy had started ended: {how}")),
    };
    bus.close().await;
    ended?;
    Ok(Exit::Nothing)
}

/// Waits for the end of the own nats-server; for ever where there is none.
async fn child_ended(server: &mut Option<Server>) -> String {
    match server {
        Some(server) => server.ended().await,
        None => std::future::pending().await,
    }
}
