//! Each finding is stored once, whoever dies: killed engines, two engines, snapshots that are damaged or gone.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::time::{Duration, Instant};

use fastrand::Rng;
use kwhy_tests::{
    Background, CLUSTER, Client, Engine, Kwhy, NatsServer, Stored, coredns_loop, eventually, finish,
    nats_server, python, recorded, said_of,
};
use rustix::process::{Pid, Signal, kill_process};

async fn publish(client: &Client, messages: &[Stored]) {
    for message in messages {
        client.ship(message, "").await;
    }
}

/// Others may be tried: `KWHY_SEED=7 KWHY_KILLS=500 cargo test …`.
fn number<T: std::str::FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::test]
async fn an_engine_killed_again_and_again_stores_what_one_that_lives_would() {
    let (seed, kills) = (number("KWHY_SEED", 1), number("KWHY_KILLS", 12_usize));
    let mut random = Rng::with_seed(seed);
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let mut left = kills;
    while left > 0 {
        let server = NatsServer::start(&nats_server());
        let mut engine = kwhy.eager(&server.url, CLUSTER);
        let client = Client::connect(&server.url).await;
        let mut rest = messages.as_slice();
        let kills = left.min(6);
        for kill in 0..kills {
            let most = rest.len() * 2 / (kills - kill + 1);
            let (part, later) = rest.split_at(random.usize(..most.max(1)));
            rest = later;
            publish(&client, part).await;
            // Anywhere between at once and after all of it is stored.
            tokio::time::sleep(Duration::from_millis(random.u64(..400))).await;
            engine.process.kill();
            engine = kwhy.eager(&server.url, CLUSTER);
        }
        publish(&client, rest).await;
        let ended = finish(engine, &client, CLUSTER).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(client.revisions().await, expected, "seed {seed}, {left} kills left; {}", ended.stderr);
        left -= kills;
    }
}

/// The twin: whoever does not know what is stored says it again, which the check above would see.
#[tokio::test]
async fn a_revision_stored_twice_would_be_seen() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let server = NatsServer::start(&nats_server());
    let engine = kwhy.eager(&server.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    kwhy.feed(&coredns_loop(), &server.url);
    let _ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(client.revisions().await, expected);
    let first = client.stored("KWHY_OUT").await.into_iter().find(|m| m.subject.starts_with("kwhy.out.f."));
    let first = first.expect("a revision");
    client.publish(&first.subject, None, first.body).await;
    assert_ne!(client.revisions().await, expected);
}

#[tokio::test]
async fn a_restart_reads_no_more_of_the_log_than_it_must() {
    let kwhy = Kwhy::new();
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let engine = kwhy.eager(&server.url, CLUSTER);
    let client = Client::connect(&server.url).await;
    publish(&client, &messages).await;
    client.taken_in(CLUSTER, messages.len() as u64).await;
    let named =
        async || client.checkpoint(CLUSTER).await.filter(|checkpoint| !checkpoint.snapshots.is_empty());
    eventually("snapshot in the checkpoint", named).await;
    engine.process.kill();
    let engine = kwhy.eager(&server.url, CLUSTER);
    let said = engine.process.wait_for("that it has caught up", |line| {
        line.starts_with("caught up with message ").then(|| line.to_owned())
    });
    assert!(said.contains("from a snapshot"), "{said}");
    assert_eq!(engine.process.terminate().code, Some(0));
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_or_gone_is_done_without() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    for (n, part) in messages.chunks(messages.len().div_ceil(3)).enumerate() {
        let engine = kwhy.eager(&server.url, CLUSTER);
        publish(&client, part).await;
        let ended = finish(engine, &client, CLUSTER).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        client.break_snapshots(n % 2 == 0).await;
    }
    let engine = kwhy.eager(&server.url, CLUSTER);
    let ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(client.revisions().await, expected, "{}", ended.stderr);
}

fn signal(engine: &Engine, signal: Signal) {
    let pid = i32::try_from(engine.process.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("it can be sent a signal");
}

#[tokio::test]
async fn a_second_engine_takes_over_within_ten_seconds_and_the_first_steps_down() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let (one, other) = (kwhy.eager(&server.url, CLUSTER), kwhy.eager(&server.url, CLUSTER));
    let half = messages.len() / 2;
    publish(&client, &messages[..half]).await;
    client.taken_in(CLUSTER, half as u64).await;
    let before = client.checkpoint(CLUSTER).await.expect("a checkpoint");
    let stores = |engine: &Engine| before.owner.contains(&format!("/{}/", engine.process.id()));
    let (first, second) = if stores(&one) { (one, other) } else { (other, one) };
    assert!(stores(&first), "{}", before.owner);

    // It lives, but does nothing: no process can know that but by its silence.
    signal(&first, Signal::STOP);
    let stopped = Instant::now();
    publish(&client, &messages[half..]).await;
    client.taken_in(CLUSTER, messages.len() as u64).await;
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    let after = client.checkpoint(CLUSTER).await.expect("a checkpoint");
    assert_ne!(after.owner, before.owner);
    assert!(after.epoch > before.epoch);

    signal(&first, Signal::CONT);
    first.process.wait_for("that it stands by", |line| line.starts_with("standing by").then_some(()));
    let ended = finish(second, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(first.process.terminate().code, Some(0));
    assert_eq!(client.revisions().await, expected);
}

/// Its process lives and stores checkpoints, each like the one before: a standby that looks for silence alone would wait for
/// ever.
#[tokio::test]
async fn an_owner_whose_engine_hangs_while_its_checkpoints_come_is_taken_over() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let first = kwhy.eager(&server.url, CLUSTER);
    let half = messages.len() / 2;
    publish(&client, &messages[..half]).await;
    client.taken_in(CLUSTER, half as u64).await;
    let second = kwhy.eager(&server.url, CLUSTER);
    let owner = client.checkpoint(CLUSTER).await.expect("a checkpoint").owner;
    assert!(owner.contains(&format!("/{}/", first.process.id())), "{owner}");

    let frozen = Background::start(python::script("freeze.py", [&first.process.id().to_string(), "engine"]));
    frozen.wait_for("that the thread stands still", |line| (line == "frozen").then_some(()));
    let sequence = client.keep(&messages[half]).await;
    publish(&client, &messages[half + 1..]).await;
    // Longer than an owner may be silent: it is not.
    let head = async || client.head_sequence(CLUSTER).await;
    for _ in 0..3 {
        let before = head().await;
        eventually("a further checkpoint of the same", async || {
            let newest = client.checkpoint(CLUSTER).await?;
            (newest.owner == owner && newest.sequence < sequence && head().await > before).then_some(())
        })
        .await;
    }
    eventually("the lag", async || (first.figure("kwhy_engine_lag_messages") > 0.0).then_some(())).await;
    assert_eq!((first.figure("kwhy_engine_owner"), second.figure("kwhy_engine_owner")), (1.0, 0.0));
    second.process.wait_for("that it takes over", |line| line.starts_with("taking over").then_some(()));
    client.taken_in(CLUSTER, messages.len() as u64).await;
    frozen.kill();
    first.process.wait_for("that it stands by", |line| line.starts_with("standing by").then_some(()));
    let ended = finish(second, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(first.process.terminate().code, Some(0));
    assert_eq!(client.revisions().await, expected);
}

/// What fences is the condition on the checkpoint alone: one that is stored without it, by nobody who lives, is enough.
#[tokio::test]
async fn an_engine_whose_checkpoint_is_not_the_newest_stores_nothing_more_until_that_one_falls_silent() {
    let kwhy = Kwhy::new();
    let expected = said_of(&kwhy, &coredns_loop());
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let engine = kwhy.eager(&server.url, CLUSTER);
    publish(&client, &messages[..1]).await;
    client.taken_in(CLUSTER, 1).await;
    client.forge_checkpoint(CLUSTER, "elsewhere").await;
    engine.process.wait_for("that it stands by", |line| line.starts_with("standing by").then_some(()));
    publish(&client, &messages[1..]).await;
    assert_eq!(client.revisions().await, [""; 0], "another stores them");
    client.taken_in(CLUSTER, messages.len() as u64).await;
    let ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(client.revisions().await, expected, "{}", ended.stderr);
}

/// The server comes back with an older `KWHY_IN`, as after a loss of power or a backup that was restored.
#[tokio::test]
async fn a_log_that_lost_its_end_is_gone_on_with_and_says_so() {
    let kwhy = Kwhy::new();
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let (early, late) = messages.split_at(messages.len() / 2);
    let mut server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let first = kwhy.eager(&server.url, CLUSTER);
    publish(&client, early).await;
    assert_eq!(finish(first, &client, CLUSTER).await.code, Some(0));
    server.stop();
    let backup = server.copy_of_stream("KWHY_IN");
    server.restart();
    let client = Client::connect(&server.url).await;
    let second = kwhy.eager(&server.url, CLUSTER);
    publish(&client, late).await;
    assert_eq!(finish(second, &client, CLUSTER).await.code, Some(0));
    let before = client.findings().await;
    server.stop();
    server.restore_stream("KWHY_IN", &backup);
    server.restart();
    let client = Client::connect(&server.url).await;

    let third = kwhy.eager(&server.url, CLUSTER);
    third
        .process
        .wait_for("that something is lost", |line| line.contains("of KWHY_IN are lost").then_some(()));
    // Whoever has them sends them again; the server knows none of their ids.
    publish(&client, late).await;
    let ended = finish(third, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let after = client.findings().await;
    assert_eq!(&after[..before.len()], before, "what was stored stands");
    let new: Vec<&str> = after[before.len()..].iter().map(|f| f.code.as_str()).collect();
    assert!(new.contains(&"kwhy.signals-lost"), "{new:?}; {}", ended.stderr);
    let ids: std::collections::BTreeSet<(&str, u32)> =
        after.iter().map(|f| (f.id.as_str(), f.revision)).collect();
    assert_eq!(ids.len(), after.len(), "each revision once");
    assert_eq!(client.signals("gap").await.len(), 1);
}

/// The same where others have taken the place of what was lost before an engine is there to see it.
#[tokio::test]
async fn what_takes_the_place_of_lost_messages_is_told_to_the_rules() {
    let kwhy = Kwhy::new();
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let (early, late) = messages.split_at(messages.len() / 8);
    let (lost, others) = late.split_at(2);
    let mut server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let first = kwhy.eager(&server.url, CLUSTER);
    publish(&client, early).await;
    assert_eq!(first.process.terminate().code, Some(0));
    server.stop();
    let backup = server.copy_of_stream("KWHY_IN");
    server.restart();
    let client = Client::connect(&server.url).await;
    publish(&client, lost).await;
    let second = kwhy.eager(&server.url, CLUSTER);
    client.taken_in(CLUSTER, (early.len() + lost.len()) as u64).await;
    assert_eq!(second.process.terminate().code, Some(0));
    let causes =
        |revisions: &[String]| revisions.iter().filter(|r| r.contains("\"coredns.forward-loop\"")).count();
    assert_eq!(causes(&client.revisions().await), 0);
    server.stop();
    server.restore_stream("KWHY_IN", &backup);
    server.restart();
    let client = Client::connect(&server.url).await;
    publish(&client, others).await;
    let third = kwhy.eager(&server.url, CLUSTER);
    let ended = finish(third, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("of KWHY_IN are lost"), "{}", ended.stderr);
    assert_ne!(causes(&client.revisions().await), 0, "{}", ended.stderr);
}

/// The twin: a server that lost nothing.
#[tokio::test]
async fn a_server_that_was_only_stopped_has_lost_nothing() {
    let kwhy = Kwhy::new();
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let mut server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let first = kwhy.eager(&server.url, CLUSTER);
    publish(&client, &messages).await;
    assert_eq!(finish(first, &client, CLUSTER).await.code, Some(0));
    server.stop();
    server.restart();
    let client = Client::connect(&server.url).await;
    let second = kwhy.eager(&server.url, CLUSTER);
    let ended = finish(second, &client, CLUSTER).await;
    assert_eq!((ended.code, ended.stderr.contains("lost")), (Some(0), false), "{}", ended.stderr);
}

/// A second engine with other times takes over from one that is stopped: it judges anew what is stored, and goes on.
#[tokio::test]
async fn an_engine_with_other_rules_or_times_that_takes_over_doubles_and_loses_nothing() {
    let kwhy = Kwhy::new();
    let messages = recorded(&kwhy, &coredns_loop()).await;
    let server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    let first = kwhy.eager(&server.url, CLUSTER);
    let half = messages.len() / 2;
    publish(&client, &messages[..half]).await;
    client.taken_in(CLUSTER, half as u64).await;
    let other = kwhy.write("other.yaml", "engine:\n  takeover_after: 3s\ntimes:\n  hold_down: 7m\n");
    let second = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &CLUSTER, &"--config", &other]);
    publish(&client, &messages[half..half + 5]).await;
    client.taken_in(CLUSTER, half as u64 + 5).await;
    first.process.kill();
    publish(&client, &messages[half + 5..]).await;
    client.taken_in(CLUSTER, messages.len() as u64).await;
    let ended = finish(second, &client, CLUSTER).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("starting anew"), "{}", ended.stderr);
    let all = client.findings().await;
    let ids: std::collections::BTreeSet<(&str, u32)> =
        all.iter().map(|f| (f.id.as_str(), f.revision)).collect();
    assert_eq!(ids.len(), all.len(), "each revision once");
    let newest: std::collections::BTreeMap<&str, &str> =
        all.iter().map(|f| (f.id.as_str(), f.code.as_str())).collect();
    assert!(newest.values().any(|code| *code == "coredns.forward-loop"), "{newest:?}");
}
