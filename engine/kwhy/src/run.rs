//! `kwhy run`: signals from NATS through the engine, findings back to NATS and to Slack.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use kwhy_bus::{Bus, Server, server::Options};
use kwhy_publish::slack::Webhook;

use crate::{
    config::Config,
    connect,
    exit::Exit,
    live,
    node_logs::{self, NodeLogs},
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
}

pub(crate) async fn run(config: &Config, given: Given) -> Result<Exit> {
    let cluster = config.cluster_name(given.cluster);
    let webhook =
        config.slack.webhook_url.as_deref().map(Webhook::new).transpose().context("slack.webhook_url")?;
    let from = node_logs::Given { data_dir: given.data_dir.clone(), ..node_logs::Given::default() };
    let logs = NodeLogs::prepare(config, &cluster, from).await?;
    let alerts = match config.alerts.listen {
        Some(listen) => Some(Receiving::prepare(&config.alerts, listen, &cluster).await?),
        None => None,
    };
    // What is wrong with them is told before anything is started.
    drop(rules::load(config, &given.rules)?);
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
    if let Some(logs) = &logs {
        logs.announce();
    }
    if let Some(alerts) = &alerts {
        alerts.announce();
    }
    eprintln!("ready");

    let owner = term::owner::name();
    let post = Post { config, bus: &bus, cluster: cluster.clone(), rules: given.rules, owner };
    let (reads_logs, takes_alerts) = (logs.is_some(), alerts.is_some());
    let ended = tokio::select! {
        result = term::run(&post, webhook, stop) => result,
        result = live::watch(&config.kube, &bus, &cluster, std::future::pending()), if config.kube.watch => result,
        result = live::node_logs(logs, &bus, &cluster, !config.kube.watch), if reads_logs => result,
        result = live::alerts(alerts, &bus, &cluster), if takes_alerts => result,
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
