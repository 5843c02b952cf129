//! `kwhy run`: signals from NATS through the engine, findings back to NATS and to Slack.

use std::{path::PathBuf, pin::pin, thread};

use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use kwhy_bus::{Bus, Committed, Entry, Server, Start, server::Options};
use kwhy_core::{Engine, Notice};
use kwhy_proto::v1::{Finding, LogRequest, Signal};
use kwhy_publish::slack::Webhook;
use kwhy_sandbox::Sandbox;
use tokio::sync::mpsc;

use crate::{
    config::Config,
    connect,
    exit::Exit,
    live,
    node_logs::{self, NodeLogs},
    notices::Notices,
    notify::{self, News},
    raw,
    receive::Receiving,
    rules,
};

/// Entries between the stages; what does not fit waits in the stream.
const BETWEEN: usize = 64;

/// What the command line sets over the configuration.
pub(crate) struct Given {
    pub(crate) nats: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) rules: Vec<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
}

/// What the engine says about one entry.
struct Answer {
    revisions: Vec<Finding>,
    asks: Vec<LogRequest>,
    notices: Vec<Notice>,
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
    let engine = Engine::new(config.settings(&cluster), rules::load(config, &given.rules)?)?;
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

    let (reads_logs, takes_alerts) = (logs.is_some(), alerts.is_some());
    let ended = tokio::select! {
        result = correlate(&bus, cluster.clone(), engine, webhook, stop) => result,
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

/// Reads, correlates and publishes until told to stop. What was read is correlated and stored before this returns.
async fn correlate(
    bus: &Bus,
    cluster: String,
    engine: Engine<Sandbox>,
    webhook: Option<Webhook>,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let (signals, from_reader) = mpsc::channel(BETWEEN);
    let (answers, mut from_engine) = mpsc::channel(BETWEEN);
    // The engine and its sandbox are synchronous and busy: a thread of their own keeps them off the runtime.
    let worker = thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || work(engine, from_reader, &answers))?;
    let (news, notifier) = notify::start(webhook);
    let reader = async move {
        let mut entries = pin!(bus.read_with(Start::Beginning, raw::reader(cluster)));
        let mut stop = pin!(stop);
        loop {
            let entry = tokio::select! {
                () = &mut stop => return Ok(()),
                entry = entries.next() => entry,
            };
            match entry.transpose()? {
                Some(Entry::Message { body, .. }) => {
                    if signals.send(body.signals).await.is_err() {
                        bail!("the engine ended");
                    }
                }
                Some(Entry::Unreadable { sequence, subject, problem }) => {
                    eprintln!("kwhy: message {sequence} on {subject} is left out: {problem}");
                }
                Some(Entry::Gap { first, last }) => {
                    eprintln!(
                        "kwhy: messages {first} to {last} of KWHY_IN are no longer stored; findings may lack them"
                    );
                }
                None => return Ok(()),
            }
        }
    };
    // It owns its end of the channel, so that an engine that waits there for a reader ends with it.
    let writer = async move {
        let mut notices = Notices::default();
        let mut batch: Vec<Answer> = Vec::new();
        while from_engine.recv_many(&mut batch, BETWEEN).await > 0 {
            let (mut revisions, mut asks) = (Vec::new(), Vec::new());
            for answer in batch.drain(..) {
                notices.show(answer.notices);
                revisions.extend(answer.revisions);
                asks.extend(answer.asks);
            }
            if !asks.is_empty() {
                bus.ask(&asks).await?;
            }
            if revisions.is_empty() {
                continue;
            }
            let committed = bus.publish_findings(&revisions).await?;
            for (finding, committed) in revisions.into_iter().zip(committed) {
                let stored = matches!(committed, Committed::Now(_));
                // Nobody listens any more only when the process ends.
                let _ = news.send(News { finding, stored }).await;
            }
        }
        drop(news);
        Ok::<(), anyhow::Error>(())
    };
    let (read, written) = {
        let (mut reader, mut writer) = (pin!(reader), pin!(writer));
        tokio::select! {
            read = &mut reader => (read, writer.await),
            // What cannot be stored need not be read.
            written = &mut writer => (Ok(()), written),
        }
    };
    notifier.await?;
    worker.join().map_err(|_| anyhow!("the engine panicked"))?;
    read.and(written)
}

fn work(
    mut engine: Engine<Sandbox>,
    mut signals: mpsc::Receiver<Vec<Signal>>,
    answers: &mpsc::Sender<Answer>,
) {
    while let Some(batch) = signals.blocking_recv() {
        let revisions: Vec<Finding> = batch.into_iter().flat_map(|signal| engine.apply(signal)).collect();
        let (asks, notices) = (engine.take_asks(), engine.take_notices());
        if answers.blocking_send(Answer { revisions, asks, notices }).is_err() {
            return;
        }
    }
}
