//! Terms under every fault at once, in a time that is made up: the engine with a small rule, its reader, its writer and its
//! snapshots, in processes that are killed, stopped, started and hang; commits that arrive late or whose answers are lost,
//! snapshots that are not stored, gone or damaged; in thousands of random schedules.
//!
//! Nothing in a schedule comes from elsewhere than its seed, so a seed that fails fails again.

mod server;
mod told;

use std::{
    cell::Cell,
    future::{pending, poll_fn},
    pin::pin,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    thread,
    time::Duration,
};

use anyhow::Result;
use fastrand::Rng;
use kwhy_collect::probes::Engine;
use kwhy_proto::v1::{Finding, SignalBatch};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, LocalSet, spawn_local},
    time::{Instant, sleep, sleep_until},
};

use self::server::{Link, Server};
use super::{Post, Stages, keep, stages, start, until_both_end, work::Worker, writer::End};
use crate::config::Config;

/// Places of the log in a schedule.
const PLACES: u64 = 32;
/// Different logs; each is told in many schedules.
const LOGS: u64 = 32;
/// How long what is left of the processes may take to store all.
const PATIENCE: Duration = Duration::from_secs(300);

/// What protects, on or off.
#[derive(Clone, Copy)]
struct Protection {
    /// The server holds on to the condition on the checkpoint.
    conditions: bool,
    /// An owner that does not get on is taken over.
    unstuck: bool,
    /// Whoever goes on from a snapshot is told again what is not in it.
    retold: bool,
    /// What is stored is read as of the checkpoint from which a process goes on.
    as_of_head: bool,
}

const ALL: Protection = Protection { conditions: true, unstuck: true, retold: true, as_of_head: true };

fn config() -> Config {
    serde_norway::from_str("engine: {snapshot_every: 2s}").unwrap()
}

/// A process: when it is stopped, until when.
struct Process {
    task: JoinHandle<()>,
    stopped: Rc<Cell<Instant>>,
}

/// Starts a process. At `hangs_at` its engine stops for ever, while it lives on.
fn process(link: &Link, name: u64, hangs_at: Option<u64>, unstuck: bool) -> Process {
    let link = link.clone();
    let stopped = Rc::new(Cell::new(Instant::now()));
    let until = stopped.clone();
    let work = async move {
        let config = config();
        let post = Post {
            config: &config,
            store: &link,
            cluster: "lab".to_owned(),
            rules: Vec::new(),
            owner: format!("elsewhere/x{name}/1"),
            health: Engine::default(),
        };
        while let Ok(End::Anew(_)) = term(&post, hangs_at, unstuck).await {}
    };
    let task = spawn_local(async move {
        let (mut work, mut wait) = (pin!(work), pin!(sleep(Duration::ZERO)));
        poll_fn(|context| {
            if Instant::now() < until.get() {
                wait.as_mut().reset(until.get());
                let _ = wait.as_mut().poll(context);
                return Poll::Pending;
            }
            work.as_mut().poll(context)
        })
        .await;
    });
    Process { task, stopped }
}

/// A term as in earnest, but that all of it is in one task.
async fn term(post: &Post<'_, Link>, hangs_at: Option<u64>, unstuck: bool) -> Result<End> {
    let begun = start::begin(post, told::rule()).await?;
    let (news, mut heard) = mpsc::channel(64);
    let people = async { while heard.recv().await.is_some() {} };
    let begun = async { stages(post, begun, news).await };
    let (mut people, mut begun) = (pin!(people), pin!(begun));
    let stages = tokio::select! {
        biased;
        () = &mut people => unreachable!("there is news"),
        stages = &mut begun => stages,
    };
    let Stages { worker, told, said, mut taken, stored, reader, mut writer, answers } = stages;
    if !unstuck {
        writer.desk.stuck_after = Duration::MAX;
    }
    let worker = engine(worker, told, said, hangs_at);
    let keeper = async {
        while let Some(snapshot) = taken.recv().await {
            keep::keep(post.store, snapshot.through(), keep::pack(&snapshot), &stored).await;
        }
    };
    let beside = async {
        tokio::join!(worker, keeper, people);
        pending().await
    };
    tokio::select! {
        biased;
        ended = until_both_end(reader.run(post, pending()), writer.run(answers)) => ended,
        never = beside => never,
    }
}

async fn engine(
    mut worker: Worker<told::Scripted>,
    mut told: mpsc::Receiver<super::work::Told>,
    said: mpsc::Sender<super::work::Answer>,
    hangs_at: Option<u64>,
) {
    while let Some(told) = told.recv().await {
        if hangs_at == Some(told.place) {
            return pending().await;
        }
        let (anew, answer) = worker.take_in(told);
        for answer in anew.into_iter().chain([answer]) {
            if said.send(answer).await.is_err() {
                return;
            }
        }
        worker.look();
    }
}

/// What is stored after a schedule, and whether all was within the time there was. `calm`: no commit is late and nobody is
/// stopped, so nobody is silent but who is dead.
async fn schedule(
    seed: u64,
    log: Rc<Vec<SignalBatch>>,
    protection: Protection,
    calm: bool,
) -> (Vec<Finding>, Vec<String>) {
    let link = Link::new(Server::new(protection, calm, log), Rng::with_seed(seed));
    let (blows, several, hangs_at) =
        link.draw(|random| (random.u8(..6), random.usize(1..=3), random.u64(..2 * PLACES)));
    // One of several, or nobody would be left to get it done.
    let hangs_at = (several > 1).then_some(hangs_at);
    let mut name = 0;
    let mut next = || {
        name += 1;
        process(&link, name, hangs_at.filter(|_| name == 1), protection.unstuck)
    };
    let mut processes: Vec<Process> = (0..several).map(|_| next()).collect();
    let source = spawn_local({
        let link = link.clone();
        async move { link.publish().await }
    });
    for _ in 0..blows {
        link.pause(4_000).await;
        let which = link.draw(|random| random.usize(..several));
        if !calm && link.draw(Rng::bool) {
            let pause = Duration::from_millis(link.draw(|random| random.u64(..20_000)));
            processes[which].stopped.set(Instant::now() + pause);
        } else {
            processes.remove(which).task.abort();
            processes.push(next());
        }
    }
    // Nothing more is done to them: what is left must get it done.
    let end = Instant::now() + PATIENCE;
    while !link.server.borrow().is_done() && Instant::now() < end {
        sleep_until(Instant::now() + Duration::from_millis(100)).await;
    }
    processes.iter().for_each(|process| process.task.abort());
    source.abort();
    let server = link.server.borrow();
    let mut wrong = server.losses.clone();
    if !server.is_done() {
        wrong.push("not all is stored in time".to_owned());
    }
    (server.stored(), wrong)
}

/// The logs, and what one engine that lives says of each.
struct Logs(Vec<(Vec<SignalBatch>, Vec<Finding>)>);

impl Logs {
    fn new() -> Self {
        let settings = config().settings("lab");
        let of = |seed| {
            let log = told::log(seed);
            let said = told::said(settings.clone(), &log);
            (log, said)
        };
        Self((0..LOGS).map(of).collect())
    }

    /// What is wrong with a schedule.
    fn faults(&self, seed: u64, protection: Protection, calm: bool) -> Vec<String> {
        let (log, expected) = &self.0[usize::try_from(seed % LOGS).unwrap()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let schedule = schedule(seed, Rc::new(log.clone()), protection, calm);
        let (stored, mut wrong) = LocalSet::new().block_on(&runtime.unwrap(), schedule);
        let name = |finding: Option<&Finding>| finding.map(|f| format!("{}/{}", f.id, f.revision));
        for place in 0..stored.len().max(expected.len()) {
            let (stored, wanted) = (stored.get(place), expected.get(place));
            if stored != wanted {
                wrong.push(format!("stored {place}: {:?}, wanted {:?}", name(stored), name(wanted)));
                wrong.push(format!("{stored:#?}\n{wanted:#?}"));
                break;
            }
        }
        wrong
    }
}

/// Others may be tried.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn in_every_schedule_each_revision_is_stored_once_and_in_order() {
    let (first, count) = (number("KWHY_SEED", 0), number("KWHY_SCHEDULES", 10_000));
    let logs = Logs::new();
    let said: usize = logs.0.iter().map(|(_, said)| said.len()).sum();
    assert!(said > 20 * logs.0.len(), "{said} revisions: the logs say something");
    let next = AtomicU64::new(first);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || !failed.is_empty() {
                return failed;
            }
            let wrong = logs.faults(seed, ALL, seed.is_multiple_of(4));
            if !wrong.is_empty() {
                failed.push((seed, wrong));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failed: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    if let Some((seed, wrong)) = failed.first() {
        panic!(
            "{}\nagain: KWHY_SEED={seed} KWHY_SCHEDULES=1 cargo test -p kwhy --bin kwhy in_every_schedule",
            wrong.join("\n")
        );
    }
}

#[test]
fn the_same_seed_is_the_same_schedule() {
    let logs = Logs::new();
    let protection = Protection { conditions: false, ..ALL };
    for seed in 0..20 {
        assert_eq!(logs.faults(seed, protection, false), logs.faults(seed, protection, false), "{seed}");
    }
}

/// The twin: a server that stores whatever comes.
#[test]
fn without_the_condition_on_the_checkpoint_some_schedules_store_twice() {
    let (logs, protection) = (Logs::new(), Protection { conditions: false, ..ALL });
    assert!((0..200).any(|seed| logs.faults(seed, protection, false).concat().contains("stored")));
}

/// The twin: an owner whose engine hangs stores its checkpoints, and what follows is never stored.
#[test]
fn a_standby_that_looks_for_silence_alone_waits_for_ever() {
    let (logs, protection) = (Logs::new(), Protection { unstuck: false, ..ALL });
    assert!((0..200).any(|seed| logs.faults(seed, protection, true).concat().contains("in time")));
}

/// The twin: a process that goes on at the checkpoint, and not where its snapshot ends.
#[test]
fn a_process_that_is_told_only_what_is_new_says_something_else_in_some_schedules() {
    let (logs, protection) = (Logs::new(), Protection { retold: false, ..ALL });
    assert!((0..200).any(|seed| logs.faults(seed, protection, false).concat().contains("stored")));
}

/// The twin: a process that takes what others store while it starts for what it is to judge.
#[test]
fn a_process_that_starts_with_newer_findings_than_its_checkpoint_judges_them_wrongly_in_some_schedules() {
    let (logs, protection) = (Logs::new(), Protection { as_of_head: false, ..ALL });
    assert!((0..1000).any(|seed| logs.faults(seed, protection, false).concat().contains("stored")));
}
