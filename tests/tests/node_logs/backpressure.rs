//! The engine stands still while lines keep coming: collectors take no notice, NATS shows how far the engine is behind,
//! and the engine catches up much faster than the lines came.

use std::time::{Duration, Instant};

use kwhy_proto::{Message as _, v1::SignalBatch};
use kwhy_tests::{CLUSTER, Client, Kwhy, memory::peak};
use rustix::process::Signal;

use crate::world::{Arrived, Log, Nats, collect, klog_head};

/// Lines a second that a collector reads, and messages a second that others publish beside it.
const RATE: usize = 2_000;

/// For how long.
const PAUSE: Duration = Duration::from_secs(10);

/// How often they come, a second.
const STEPS: usize = 10;

/// What was seen.
#[derive(Debug)]
struct Seen {
    /// Messages that came, and those that NATS still had for the engine at the end of the pause.
    messages: usize,
    behind: u64,
    /// How much more memory the collector and the engine had at their most than before, MiB.
    collector: u64,
    engine: u64,
    /// For how long messages came, and how long the engine took for them.
    came: Duration,
    caught_up: Duration,
}

impl Seen {
    fn check(&self) -> Result<(), String> {
        // Some are on their way to the engine, and count as given.
        if self.behind < self.messages as u64 * 9 / 10 {
            return Err(format!("NATS shows no lag: {self:?}"));
        }
        if self.collector > 30 || self.engine > 100 {
            return Err(format!("memory is not bounded: {self:?}"));
        }
        let times = self.came.as_secs_f64() / self.caught_up.as_secs_f64();
        if times > 5.0 { Ok(()) } else { Err(format!("caught up {times:.1} times as fast: {self:?}")) }
    }
}

/// Stops the engine while much is published. Then it goes on, `late` so much.
async fn paused(late: Duration) -> Seen {
    let kwhy = Kwhy::new();
    let nats = Nats::plain();
    let client = Client::connect(&nats.url).await;
    let engine = kwhy.engine(&[&"--nats", &nats.url, &"--cluster", &CLUSTER]);
    let mut log = Log::new(&kwhy);
    let collector = collect(&kwhy, &nats.url, &log);
    log.write(RATE);
    Arrived::until(&nats.url, RATE).await;
    engine.catch_up(&client, CLUSTER).await;
    let before = [collector.id(), engine.process.id()].map(peak);

    engine.process.signal(Signal::STOP);
    let began = Instant::now();
    let (mut messages, mut lines) = (0, RATE);
    while began.elapsed() < PAUSE {
        let due = tokio::time::Instant::now() + Duration::from_secs(1) / STEPS as u32;
        log.write(RATE / STEPS);
        lines += RATE / STEPS;
        let numbers = messages..messages + RATE / STEPS;
        messages = numbers.end;
        let bodies = numbers.map(|n| format!("{} message {n}", klog_head('I')).into_bytes());
        client.pour(&format!("kwhy.in.{CLUSTER}.raw.kubelet.other"), bodies).await;
        tokio::time::sleep_until(due).await;
    }
    let came = began.elapsed();
    let behind = client.pending("KWHY_IN").await;
    let after = peak(collector.id());

    let began = Instant::now();
    tokio::time::sleep(late).await;
    engine.process.signal(Signal::CONT);
    engine.catch_up(&client, CLUSTER).await;
    let caught_up = began.elapsed();
    let grown = [after - before[0], peak(engine.process.id()) - before[1]];
    let ended = engine.process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = client.stored_under("KWHY_IN", &format!("kwhy.in.{CLUSTER}.kubelet.>")).await;
    let batches = told.iter().map(|m| SignalBatch::decode(m.body.as_slice()).expect("a batch of signals"));
    assert_eq!(
        batches.map(|batch| batch.signals.len()).sum::<usize>(),
        lines,
        "the collector has told all its lines"
    );
    Seen { messages, behind, collector: grown[0], engine: grown[1], came, caught_up }
}

#[tokio::test]
async fn an_engine_that_was_stopped_catches_up_and_collectors_do_not_notice() {
    let seen = paused(Duration::ZERO).await;
    println!("{seen:?}");
    assert_eq!(seen.check(), Ok(()));
}

/// The twin: an engine that takes a quarter of the time in which messages came.
#[tokio::test]
async fn the_check_of_catching_up_fails_an_engine_that_is_slow() {
    let seen = paused(PAUSE / 4).await;
    assert!(seen.check().unwrap_err().starts_with("caught up "), "{seen:?}");
}
