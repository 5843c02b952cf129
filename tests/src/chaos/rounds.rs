//! A round: kwhy at work on a log, what is done to it meanwhile, and what there is in the end.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::task::JoinHandle;

use super::{
    Fault, Log,
    plan::{Blow, Round},
    verdict::{Seen, Wanted, faults},
};
use crate::{Client, Engine, Kwhy, NatsCluster, NatsServer, PATIENCE, Proxy, memory, nats_server};

/// What came of a round.
pub(super) struct Played {
    /// What was done, in words.
    pub(super) injected: String,
    /// What is wrong, a line each.
    pub(super) faults: Vec<String>,
    /// How many messages and revisions were looked at.
    pub(super) checked: (usize, usize),
}

/// Most memory that kwhy may ever hold in a flood, MiB.
const FLOODED: u64 = 768;

/// Plays a round. The error says why it cannot be played here.
pub(super) async fn play(round: &Round, log: &Arc<Log>) -> Result<Played, String> {
    match round.fault {
        Fault::EngineKilled => Ok(engine_killed(round, log).await),
        Fault::Twice => Ok(twice(round, log).await),
        Fault::ServerKilled => {
            let mut server = NatsServer::start(&nats_server());
            let scene = Scene::on(&server.url, log).await;
            let played = scene.under_load(round, async |_, _, blow| {
                server.kill();
                tokio::time::sleep(blow.pause).await;
                server.restart();
                Ok("server killed".to_owned())
            });
            Ok(played.await)
        }
        Fault::ServerStopped => {
            let server = NatsServer::start(&nats_server());
            let scene = Scene::on(&server.url, log).await;
            let played = scene.under_load(round, async |_, _, blow| {
                server.signal(Signal::STOP);
                tokio::time::sleep(blow.pause).await;
                server.signal(Signal::CONT);
                Ok(format!("server stopped for {:?}", blow.pause))
            });
            Ok(played.await)
        }
        Fault::HalfOpen => {
            let server = NatsServer::start(&nats_server());
            let proxy = Proxy::to(&server.url);
            let scene = Scene { engine_url: proxy.url.clone(), ..Scene::on(&server.url, log).await };
            let played = scene.under_load(round, async |_, _, blow| {
                proxy.fall_silent();
                tokio::time::sleep(blow.pause).await;
                proxy.heal();
                Ok(format!("connection of the engine dead, new ones after {:?}", blow.pause))
            });
            Ok(played.await)
        }
        Fault::DiskFull => disk_full(round, log).await,
        Fault::LeaderKilled | Fault::CutOff => Ok(cluster(round, log).await),
        Fault::Flood => Ok(flood(log).await),
    }
}

/// Kwhy on a server.
struct Scene {
    kwhy: Kwhy,
    /// Where the engine finds NATS.
    engine_url: String,
    client: Client,
    log: Arc<Log>,
}

impl Scene {
    async fn on(url: &str, log: &Arc<Log>) -> Self {
        let kwhy = Kwhy::new();
        let client = Client::connect(url).await;
        Self { kwhy, engine_url: url.to_owned(), client, log: log.clone() }
    }

    fn engine(&self) -> Engine {
        self.kwhy.eager(&self.engine_url, &self.log.cluster)
    }

    fn engines(&self, standby: bool) -> Vec<Engine> {
        (0..=usize::from(standby)).map(|_| self.engine()).collect()
    }

    /// Sends a part of the log.
    async fn send(&self, from: usize, to: usize, acknowledged: &mut Vec<(u64, String)>) {
        for message in self.log.messages.get(from..to).unwrap_or_default() {
            acknowledged.push((self.client.keep(message).await, Log::id(message)));
        }
    }

    /// Strikes while the log is sent and taken in.
    async fn under_load(
        self,
        round: &Round,
        mut strike: impl AsyncFnMut(&Client, &[Engine], &Blow) -> Result<String, String>,
    ) -> Played {
        let engines = self.engines(round.standby);
        let load = Load::start(self.client.clone(), self.log.clone());
        let mut injected = beginning(round);
        let mut wrong = Vec::new();
        for blow in &round.blows {
            let place = place(&self.log, blow);
            load.reached(place).await;
            match strike(&self.client, &engines, blow).await {
                Ok(done) => {
                    let _ = write!(injected, "; {done} at {place}");
                }
                Err(why) => wrong.push(why),
            }
        }
        let acknowledged = load.all().await;
        let (seen, faults) = self.end(engines, acknowledged).await;
        wrong.extend(faults);
        played(injected, &self.log, &seen, wrong)
    }

    /// Ends the engines when they have taken in all, and looks at what there is.
    async fn end(&self, engines: Vec<Engine>, acknowledged: Vec<(u64, String)>) -> (Seen, Vec<String>) {
        let mut faults = Vec::new();
        for engine in engines {
            engine.catch_up(&self.client, &self.log.cluster).await;
            let ended = engine.process.terminate();
            if ended.code != Some(0) {
                faults.push(format!("kwhy run ended with {:?}: {}", ended.code, ended.stderr));
            }
        }
        let ids = self.client.ids("KWHY_IN").await;
        let checkpoint = self.client.checkpoint(&self.log.cluster).await.map_or(0, |it| it.sequence);
        let revisions = self.client.revisions().await;
        (Seen { acknowledged, stored: ids, checkpoint, revisions }, faults)
    }
}

fn beginning(round: &Round) -> String {
    (if round.standby { "two engines" } else { "one engine" }).to_owned()
}

/// The place in the log of a blow.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a small number"
)]
fn place(log: &Log, blow: &Blow) -> usize {
    (log.messages.len() as f64 * blow.after) as usize
}

fn played(injected: String, log: &Log, seen: &Seen, mut wrong: Vec<String>) -> Played {
    let messages = log.messages.iter().map(Log::id).collect();
    let wanted = Wanted { messages, revisions: log.expected.clone() };
    wrong.extend(faults(&wanted, seen));
    Played { injected, faults: wrong, checked: (wanted.messages.len(), wanted.revisions.len()) }
}

/// The log on its way, one message after the other.
struct Load {
    sent: Arc<AtomicUsize>,
    task: JoinHandle<Vec<(u64, String)>>,
}

impl Load {
    fn start(client: Client, log: Arc<Log>) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        let task = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for message in &log.messages {
                acknowledged.push((client.keep(message).await, Log::id(message)));
                counted.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        });
        Self { sent, task }
    }

    /// Waits until so many are stored.
    async fn reached(&self, place: usize) {
        let deadline = Instant::now() + 3 * PATIENCE;
        while self.sent.load(Ordering::Relaxed) < place && !self.task.is_finished() {
            assert!(Instant::now() < deadline, "message {place} was not sent");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn all(self) -> Vec<(u64, String)> {
        self.task.await.expect("everything is acknowledged in the end")
    }
}

async fn engine_killed(round: &Round, log: &Arc<Log>) -> Played {
    let server = NatsServer::start(&nats_server());
    let scene = Scene::on(&server.url, log).await;
    let mut engines = scene.engines(round.standby);
    let (mut acknowledged, mut sent) = (Vec::new(), 0);
    let mut injected = beginning(round);
    for blow in &round.blows {
        let place = place(log, blow);
        scene.send(sent, place, &mut acknowledged).await;
        sent = sent.max(place);
        tokio::time::sleep(blow.pause).await;
        // Of two, the one that stores or the one that waits, as it comes.
        let victim = engines.swap_remove(usize::from(blow.second && round.standby));
        victim.process.kill();
        engines.push(scene.engine());
        let _ = write!(injected, "; engine killed {:?} after {place}", blow.pause);
    }
    scene.send(sent, log.messages.len(), &mut acknowledged).await;
    let (seen, faults) = scene.end(engines, acknowledged).await;
    played(injected, log, &seen, faults)
}

async fn twice(round: &Round, log: &Arc<Log>) -> Played {
    let mut injected = "in one go".to_owned();
    let mut wrong = Vec::new();
    let mut first: Option<Vec<String>> = None;
    let mut last = Seen::default();
    for blows in [&[][..], &round.blows] {
        let server = NatsServer::start(&nats_server());
        let scene = Scene::on(&server.url, log).await;
        let mut engine = scene.engine();
        let (mut acknowledged, mut sent) = (Vec::new(), 0);
        for blow in blows {
            let place = place(log, blow);
            scene.send(sent, place, &mut acknowledged).await;
            sent = sent.max(place);
            tokio::time::sleep(blow.pause).await;
            let ended = engine.process.terminate();
            if ended.code != Some(0) {
                wrong.push(format!("kwhy run ended with {:?}: {}", ended.code, ended.stderr));
            }
            engine = scene.engine();
            let _ = write!(injected, "; and with a new start {:?} after {place}", blow.pause);
        }
        scene.send(sent, log.messages.len(), &mut acknowledged).await;
        let (seen, faults) = scene.end(vec![engine], acknowledged).await;
        wrong.extend(faults);
        match &first {
            None => first = Some(seen.revisions.clone()),
            Some(first) if *first != seen.revisions => {
                wrong.push("the second time says something else than the first".to_owned());
            }
            Some(_) => {}
        }
        last = seen;
    }
    played(injected, log, &last, wrong)
}

/// How soon the probes must tell that nothing can be stored. Some checkpoints find room in the last page of a file.
const RED: Duration = Duration::from_secs(60);
/// MiB of the disk at first, and then.
const SMALL: u32 = 24;
const LARGE: u32 = 512;

async fn disk_full(round: &Round, log: &Arc<Log>) -> Result<Played, String> {
    let mut server = NatsServer::on_small_disk(&nats_server(), SMALL)?;
    let scene = Scene::on(&server.url, log).await;
    let filler = scene.client.clone();
    let played = scene.under_load(round, async |_, engines, blow| {
        // Messages of others fill it while the log is sent.
        let stored = filler.fill().await;
        server.fill_disk();
        let mut health = Vec::new();
        for engine in engines {
            health.push(engine.is_red_within(RED).await.map(|_| ()));
        }
        tokio::time::sleep(blow.pause).await;
        server.enlarge(LARGE);
        server.restart();
        for engine in engines {
            health.push(engine.is_green_within(PATIENCE).await);
        }
        health.into_iter().collect::<Result<(), String>>()?;
        Ok(format!("disk full for {:?} after {stored} further messages, and told by the probes", blow.pause))
    });
    Ok(played.await)
}

async fn cluster(round: &Round, log: &Arc<Log>) -> Played {
    let mut cluster = NatsCluster::start().await;
    let scene = Scene::on(&cluster.url, log).await;
    // It makes the streams.
    let made = scene.kwhy.make_streams(&scene.engine_url, &log.cluster);
    let client = scene.client.clone();
    cluster.keep_three(&client).await;
    let mut played = scene
        .under_load(round, async |client, _, blow| {
            let stream = if blow.second { "KWHY_OUT" } else { "KWHY_IN" };
            let leader = crate::eventually("leader", async || cluster.leader(client, stream).await).await;
            if round.fault == Fault::LeaderKilled {
                cluster.kill_for(leader, blow.pause).await;
                Ok(format!("leader of {stream} dead for {:?}", blow.pause))
            } else {
                cluster.leave_alone_for(leader, blow.pause).await;
                Ok(format!("leader of {stream} alone for {:?}", blow.pause))
            }
        })
        .await;
    if made.code != Some(0) {
        played.faults.push(made.stderr);
    }
    played
}

async fn flood(log: &Arc<Log>) -> Played {
    let server = NatsServer::start(&nats_server());
    let scene = Scene::on(&server.url, log).await;
    let engine = scene.engine();
    let mut acknowledged = Vec::new();
    scene.send(0, log.messages.len(), &mut acknowledged).await;
    engine.catch_up(&scene.client, &log.cluster).await;
    let peak = memory::peak(engine.process.id());
    let (seen, mut faults) = scene.end(vec![engine], acknowledged).await;
    if peak > FLOODED {
        faults.push(format!("kwhy held {peak} MiB, more than {FLOODED}"));
    }
    let injected = format!("{} messages at once, {peak} MiB at most", log.messages.len());
    played(injected, log, &seen, faults)
}

impl Log {
    fn id(message: &crate::Stored) -> String {
        message.headers.get("Nats-Msg-Id").cloned().unwrap_or_default()
    }
}
