//! The engine at work on the log of a cluster, from where it stood to where it stops.
//!
//! Every process that runs for a cluster takes in the same log and comes to the same findings; one of them, who stored the
//! newest checkpoint, stores them. So a second process is a standby for nothing: when no new checkpoint has come for a
//! while, or for longer none that goes further though the log does, it stores its own, and the condition on the
//! checkpoint alone decides which of them it was. Whoever is late stands by from then on.

mod keep;
pub(crate) mod owner;
mod read;
#[cfg(test)]
mod simulation;
mod start;
mod store;
mod work;
mod writer;

use std::{
    convert::Infallible,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};
use kwhy_bus::Bus;
use kwhy_collect::probes;
use kwhy_core::{rule::Rules, snapshot::Snapshot};
use kwhy_proto::v1::SnapshotRef;
use kwhy_publish::slack::Webhook;
use kwhy_sandbox::Sandbox;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use self::{
    read::Reader,
    start::Begun,
    store::Store,
    work::{Answer, Told, Worker},
    writer::{Behind, Desk, End, Writer},
};
use crate::{config::Config, notify, rules};

/// Entries between the stages; what does not fit waits in the stream.
const BETWEEN: usize = 64;

/// After how many times as long as for a silent one an owner is taken over that stores checkpoints and does not get on. It
/// may be slow for a while, where it has much to judge anew.
const STUCK: u32 = 5;
/// How often is looked where the log ends, for those who want to know how far behind the engine is.
const LOOK: Duration = Duration::from_secs(5);

/// What stays the same from term to term.
pub(crate) struct Post<'a, S = Bus> {
    pub(crate) config: &'a Config,
    pub(crate) store: &'a S,
    pub(crate) cluster: String,
    pub(crate) rules: Vec<PathBuf>,
    /// Names this process.
    pub(crate) owner: String,
    /// Who is told how it goes.
    pub(crate) health: probes::Engine,
}

/// Correlates until told to stop, at first with these rules. What was read by then is stored before this returns.
pub(crate) async fn run(
    post: &Post<'_>,
    mut rules: Sandbox,
    webhook: Option<Webhook>,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let (news, notifier) = notify::start(webhook);
    let mut stop = pin!(stop);
    let terms = async {
        loop {
            let begun = start::begin(post, rules).await?;
            match term(post, begun, news.clone(), stop.as_mut()).await? {
                End::Stopped => return Ok(()),
                End::Anew(why) => eprintln!("kwhy: {why}; starting anew from what is stored"),
            }
            rules = rules::load(post.config, &post.rules)?;
        }
    };
    let ended: Result<()> = tokio::select! {
        ended = terms => ended,
        never = follow(post) => match never {},
    };
    ended?;
    drop(news);
    notifier.await?;
    Ok(())
}

/// Looks where the log ends, without end.
async fn follow(post: &Post<'_>) -> Infallible {
    loop {
        // While NATS is away nobody knows.
        if let Ok(last) = post.store.last_input().await {
            post.health.note_end(last.unwrap_or_default());
        }
        sleep(LOOK).await;
    }
}

/// One term: from a start to an end, or to where the log or another process makes a new start necessary.
async fn term(
    post: &Post<'_>,
    begun: Begun<Sandbox>,
    news: mpsc::Sender<notify::News>,
    stop: impl Future<Output = ()>,
) -> Result<End> {
    let Stages { worker, told, said, taken, stored, reader, writer, answers } =
        stages(post, begun, news).await;
    // The engine and its sandbox are synchronous and busy: a thread of their own keeps them off the runtime.
    let worker =
        thread::Builder::new().name("engine".to_owned()).spawn(move || work::work(worker, told, &said))?;
    let keeper = keep::start(post.store.clone(), taken, stored);
    let ended = until_both_end(reader.run(post, stop), writer.run(answers)).await;
    keeper.abort();
    worker.join().map_err(|_| anyhow!("the engine panicked"))?;
    ended
}

/// What works together in a term.
struct Stages<'a, S, R> {
    worker: Worker<R>,
    /// What the worker is told, and where it says what.
    told: mpsc::Receiver<Told>,
    said: mpsc::Sender<Answer>,
    /// Snapshots that the worker takes, and who is told which of them are stored.
    taken: mpsc::Receiver<Snapshot>,
    stored: watch::Sender<Vec<SnapshotRef>>,
    reader: Reader,
    writer: Writer<'a, S>,
    answers: mpsc::Receiver<Answer>,
}

/// Makes them of what a term begins with.
async fn stages<'a, S: Store, R: Rules>(
    post: &Post<'a, S>,
    begun: Begun<R>,
    news: mpsc::Sender<notify::News>,
) -> Stages<'a, S, R> {
    let Begun { engine, from, through, head, log, began, how } = begun;
    for finding in engine.findings() {
        // Told in an earlier life; nobody wants to be told again.
        let _ = news.send(notify::News { finding, stored: false }).await;
    }
    let (to_worker, told) = mpsc::channel(BETWEEN);
    let (said, answers) = mpsc::channel(BETWEEN);
    let (takes, taken) = mpsc::channel(1);
    let owns = Arc::new(AtomicBool::new(false));
    let now = Arc::new(AtomicU64::new(kwhy_collect::clock::wall()));
    let identity = engine.identity(&start::build());
    let shots = work::Shots { every: post.config.engine.snapshot_every(), owns: owns.clone(), taken: takes };
    let worker = Worker::new(engine, through, shots, now.clone());
    let taken_in = head.as_ref().map_or(0, |head| head.checkpoint.sequence);
    let reader = Reader { from, taken_in, told: to_worker, now };
    let own = head.iter().filter(|head| head.checkpoint.identity == identity);
    let (stored, snapshots) =
        watch::channel(own.flat_map(|head| head.checkpoint.snapshots.clone()).collect());
    let desk = Desk {
        store: post.store,
        cluster: post.cluster.clone(),
        owner: post.owner.clone(),
        takeover_after: post.config.engine.takeover_after(),
        stuck_after: post.config.engine.takeover_after() * STUCK,
        snapshots,
        news,
        health: post.health.clone(),
    };
    let writer = Writer::new(desk, identity, head, log, owns, Behind { through, began, how });
    Stages { worker, told, said, taken, stored, reader, writer, answers }
}

/// Reads and writes until both have ended. The writer owns its end of the channel, so that an engine that waits there for a
/// reader ends with it.
async fn until_both_end(
    reader: impl Future<Output = Result<End>>,
    writer: impl Future<Output = Result<End>>,
) -> Result<End> {
    let (read, written) = {
        let (mut reader, mut writer) = (pin!(reader), pin!(writer));
        tokio::select! {
            biased;
            read = &mut reader => (read, writer.await),
            // What cannot be stored need not be read.
            written = &mut writer => (Ok(End::Stopped), written),
        }
    };
    match (read?, written?) {
        (End::Stopped, End::Stopped) => Ok(End::Stopped),
        (End::Anew(why), _) | (_, End::Anew(why)) => Ok(End::Anew(why)),
    }
}
