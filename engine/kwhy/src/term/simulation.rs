//! Writers under every fault at once, in a time that is made up: processes that are killed, stopped and started, commits
//! that arrive late or whose answers are lost, in thousands of random schedules.
//!
//! `KWHY_SEED=7 KWHY_SCHEDULES=1 cargo test -p kwhy --bin kwhy simulation` tries the schedule of one seed again.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::Result;
use fastrand::Rng;
use kwhy_bus::{Commit, Committed, Head, LogState};
use kwhy_collect::probes::Engine;
use kwhy_proto::{
    Timestamp,
    v1::{Checkpoint, Finding, LogRequest},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, LocalSet, spawn_local},
    time::{Instant, sleep},
};

use super::{
    store::Store,
    work::Answer,
    writer::{Behind, Desk, Writer},
};

/// Places of the log in a schedule.
const PLACES: u64 = 40;

/// What an engine says of a place: the same whichever engine it is.
fn said(place: u64) -> Vec<Finding> {
    let revision = |n: u64| Finding {
        id: format!("f{}", (place + n) % 5),
        revision: u32::try_from(place).unwrap(),
        title: format!("{place}.{n}"),
        ..Finding::default()
    };
    (0..place % 3).map(revision).collect()
}

/// A server that holds on to the conditions, or does not.
struct Server {
    sequence: u64,
    head: Option<Head>,
    stored: Vec<Finding>,
    conditions: bool,
    /// Nothing comes late.
    calm: bool,
}

/// A process's way to the server.
#[derive(Clone)]
struct Link {
    server: Rc<RefCell<Server>>,
    random: Rc<RefCell<Rng>>,
}

impl Link {
    async fn pause(&self, most: u64) {
        let pause = self.random.borrow_mut().u64(..most);
        sleep(Duration::from_millis(pause)).await;
    }
}

impl Store for Link {
    async fn head(&self) -> Result<Option<Head>> {
        self.pause(50).await;
        Ok(self.server.borrow().head.clone())
    }

    async fn commit(
        &self,
        findings: &[Finding],
        checkpoint: &Checkpoint,
        before: Option<&Head>,
    ) -> Result<Commit> {
        // Most arrive soon; of a process that stands still, long after.
        let late = !self.server.borrow().calm && self.random.borrow_mut().u8(..12) == 0;
        self.pause(if late { 20_000 } else { 40 }).await;
        let commit = {
            let mut server = self.server.borrow_mut();
            let newest = server.head.as_ref().map_or(0, |head| head.sequence);
            if server.conditions && newest != before.map_or(0, |head| head.sequence) {
                Commit::Fenced(server.head.clone())
            } else {
                server.stored.extend_from_slice(findings);
                server.sequence += findings.len() as u64 + 1;
                let head = Head { sequence: server.sequence, checkpoint: checkpoint.clone() };
                server.head = Some(head.clone());
                Commit::Stored(head, findings.iter().map(|_| Committed::Now(0)).collect())
            }
        };
        // The answer may take its time, too: whoever is killed meanwhile never hears it.
        self.pause(if late { 5_000 } else { 40 }).await;
        Ok(commit)
    }

    async fn ask(&self, _: &[LogRequest]) -> Result<()> {
        Ok(())
    }
}

/// Starts a process that goes on from where the newest checkpoint, or an older snapshot, stands.
/// At `hangs_at` its engine stops for ever, while it lives on. `stuck_after`: see [`Desk`].
fn start(link: &Link, name: u64, hangs_at: Option<u64>, stuck_after: Duration) -> JoinHandle<()> {
    let link = link.clone();
    spawn_local(async move {
        let Ok(head) = link.head().await else { return };
        let reached = head.as_ref().map_or(0, |head| head.checkpoint.sequence);
        // It is told again what is not in its snapshot; what of that is stored must not be stored again.
        let from = 1 + reached.saturating_sub(link.random.borrow_mut().u64(..8));
        let (_kept, snapshots) = watch::channel(Vec::new());
        let (news, mut heard) = mpsc::channel(64);
        spawn_local(async move { while heard.recv().await.is_some() {} });
        let desk = Desk {
            store: &link,
            cluster: "lab".to_owned(),
            owner: format!("elsewhere/{name}/1"),
            takeover_after: Duration::from_secs(6),
            stuck_after,
            snapshots,
            news,
            health: Engine::default(),
        };
        let log = LogState { created: Timestamp::default(), first: 1, last: PLACES };
        let behind = Behind { through: 0, began: std::time::Instant::now(), how: "" };
        let owns = Arc::new(AtomicBool::new(false));
        let writer = Writer::new(desk, "same".to_owned(), head, log, owns, behind);
        let (answers, from_engine) = mpsc::channel(4);
        let feeder = async {
            for place in from..=PLACES {
                link.pause(200).await;
                if hangs_at == Some(place) {
                    break;
                }
                let answer = Answer {
                    place,
                    entry: place.to_string(),
                    at: place,
                    revisions: said(place),
                    judged_anew: false,
                    asks: Vec::new(),
                    notices: Vec::new(),
                };
                if answers.send(answer).await.is_err() {
                    return;
                }
            }
            // The log goes on, in silence.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = writer.run(from_engine) => {}
            () = feeder => {}
        }
    })
}

/// What protects, on or off.
#[derive(Clone, Copy)]
struct Protection {
    /// The server holds on to the condition on the checkpoint.
    conditions: bool,
    /// An owner that does not get on is taken over.
    unstuck: bool,
}

const ALL: Protection = Protection { conditions: true, unstuck: true };

/// What is stored after a schedule of kills and starts, and whether all was within the time there was. `calm`: no commit is
/// late, so nobody is silent but who is dead.
async fn schedule(seed: u64, protection: Protection, calm: bool) -> (Vec<Finding>, bool) {
    let stuck_after = if protection.unstuck { Duration::from_secs(30) } else { Duration::MAX };
    let server =
        Server { sequence: 0, head: None, stored: Vec::new(), conditions: protection.conditions, calm };
    let link =
        Link { server: Rc::new(RefCell::new(server)), random: Rc::new(RefCell::new(Rng::with_seed(seed))) };
    let (kills, several, hangs_at) = {
        let mut random = link.random.borrow_mut();
        (random.u8(..6), random.usize(1..=3), random.u64(..2 * PLACES))
    };
    // One of several, or nobody would be left to get it done.
    let hangs_at = (several > 1).then_some(hangs_at);
    let mut processes = vec![start(&link, 0, hangs_at, stuck_after)];
    let mut name = 0;
    let mut renew = |processes: &mut Vec<JoinHandle<()>>| {
        name += 1;
        processes.push(start(&link, name, None, stuck_after));
    };
    while processes.len() < several {
        renew(&mut processes);
    }
    for _ in 0..kills {
        link.pause(3_000).await;
        let which = link.random.borrow_mut().usize(..processes.len());
        processes.remove(which).abort();
        renew(&mut processes);
    }
    // Nothing is killed any more: what is left must get it done.
    let end = Instant::now() + Duration::from_secs(180);
    let done = || link.server.borrow().head.as_ref().is_some_and(|head| head.checkpoint.sequence >= PLACES);
    while !done() && Instant::now() < end {
        sleep(Duration::from_millis(100)).await;
    }
    let done = done();
    processes.iter().for_each(JoinHandle::abort);
    let stored = link.server.borrow().stored.clone();
    (stored, done)
}

fn run(seed: u64, protection: Protection, calm: bool) -> (Vec<Finding>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    LocalSet::new().block_on(&runtime.unwrap(), schedule(seed, protection, calm))
}

fn expected() -> Vec<Finding> {
    (1..=PLACES).flat_map(said).collect()
}

/// Others may be tried.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn in_every_schedule_each_revision_is_stored_once_and_in_order() {
    let (first, count) = (number("KWHY_SEED", 0), number("KWHY_SCHEDULES", 10_000));
    for seed in first..first + count {
        let (stored, done) = run(seed, ALL, seed % 4 == 0);
        let titles = |all: &[Finding]| all.iter().map(|f| f.title.clone()).collect::<Vec<_>>();
        assert_eq!(titles(&stored), titles(&expected()), "seed {seed}");
        assert!(done, "seed {seed}: not all is stored in time");
    }
}

/// The twin: a server that stores whatever comes.
#[test]
fn without_the_condition_on_the_checkpoint_some_schedules_store_twice() {
    let protection = Protection { conditions: false, ..ALL };
    assert!((0..200).any(|seed| run(seed, protection, false).0 != expected()));
}

/// The twin: an owner whose engine hangs stores its checkpoints, and what follows is never stored.
#[test]
fn a_standby_that_looks_for_silence_alone_waits_for_ever() {
    let protection = Protection { unstuck: false, ..ALL };
    assert!((0..200).any(|seed| !run(seed, protection, true).1));
}
