//! Short runs of chaos; `cargo xtask chaos` plays long ones.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::time::Duration;

use kwhy_tests::{
    CLUSTER, Client, Kwhy, NatsServer, PATIENCE,
    chaos::{self, Fault, Options},
    nats_server,
};

/// Each of these faults once, as short as it can be.
async fn once(faults: &[Fault]) {
    let last = Duration::from_secs(600);
    let faults = faults.to_vec();
    let options = Options { seed: 1, last, rounds: Some(faults.len()), faults, long: false };
    let wrong = chaos::run(&options, |line| println!("{line}")).await;
    assert_eq!(wrong, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_short_run_of_chaos_nothing_is_lost_doubled_or_made_up() {
    once(&Fault::QUICK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_is_full_for_a_while_loses_nothing_that_was_acknowledged() {
    once(&[Fault::DiskFull]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_three_servers_each_may_die_and_nothing_is_lost_or_doubled() {
    once(&[Fault::LeaderKilled]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_alone_stores_nothing_that_the_others_do_not_have() {
    once(&[Fault::CutOff]).await;
}

/// The twin: who does not wait for the acknowledgement loses on a full disk what nobody ever hears of.
#[tokio::test]
async fn what_nobody_waits_for_is_lost_on_a_full_disk() {
    let mut server = match NatsServer::on_small_disk(&nats_server(), 24) {
        Ok(server) => server,
        Err(why) => return println!("left out: no small disk here: {why}"),
    };
    let kwhy = Kwhy::new();
    let ended = kwhy.make_streams(&server.url, "filler");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let client = Client::connect(&server.url).await;
    client.fill().await;
    let before = client.ids("KWHY_IN").await.len();
    client.throw("kwhy.in.filler.noise._", 20, 64 << 10).await;
    server.enlarge(512);
    server.restart();
    let client = Client::connect(&server.url).await;
    let after = client.ids("KWHY_IN").await.len();
    assert!(after < before + 20, "{before} then {after}");
}

/// The twin: where nothing is the matter the check of the probes says so.
#[tokio::test]
async fn the_check_of_probes_that_turn_red_fails_where_all_is_well() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    let engine = kwhy.eager(&server.url, CLUSTER);
    assert_eq!(engine.is_green_within(PATIENCE).await, Ok(()));
    // Longer than without a checkpoint it may be ready.
    assert!(engine.is_red_within(Duration::from_secs(12)).await.is_err());
}
