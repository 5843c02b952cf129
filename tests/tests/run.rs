//! The life of `kwhy run`: it ends when it is told to, and when it cannot go on it says why.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::fs;

use kwhy_proto::{Message as _, v1::Finding};
use kwhy_tests::{CLUSTER, Client, Ended, Kwhy, NatsServer, coredns_loop, finish, nats_server};
use rustix::process::{Pid, Signal, kill_process};

/// The one line that says why it ended, after those of its start.
fn why(ended: &Ended) -> &str {
    let lines: Vec<&str> = ended.errors().into_iter().filter(|line| line.starts_with("kwhy: ")).collect();
    let [why] = lines.as_slice() else { panic!("one line, not\n{}", ended.stderr) };
    why
}

#[test]
fn a_signal_right_after_the_start_ends_it_in_order() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    for _ in 0..5 {
        let ended = kwhy.engine(&[&"--nats", &server.url]).process.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

/// A signal that comes while it is busy with a message, and not while it waits for one.
#[tokio::test]
async fn a_signal_in_the_middle_of_work_is_not_lost() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    let client = Client::connect(&server.url).await;
    for _ in 0..5 {
        let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &CLUSTER]);
        let ended = finish(engine, &client, CLUSTER).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_finding_that_is_stored_with_other_content_ends_it_with_one_line() {
    let kwhy = Kwhy::new();
    let found = kwhy.diagnose(&coredns_loop()).stdout;
    let first: Finding = serde_json::from_str(found.lines().next().expect("a finding")).expect("JSON");
    let other = Finding { title: "something else".to_owned(), ..first.clone() };
    let server = NatsServer::start(&nats_server());
    let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &CLUSTER]);
    let client = Client::connect(&server.url).await;
    let subject =
        format!("kwhy.out.f.{CLUSTER}.{}.{}.kube-system.unexplained.alerts", first.id, first.revision);
    client.publish(&subject, None, other.encode_to_vec()).await;
    kwhy.feed(&coredns_loop(), &server.url);
    // By itself.
    let ended = engine.process.wait();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let words = format!("kwhy: revision 1 of finding {} is already stored with other content", first.id);
    assert!(why(&ended).starts_with(&words), "{}", ended.stderr);
}

#[test]
fn a_second_one_on_the_same_data_is_refused() {
    let kwhy = Kwhy::new();
    kwhy.write("kwhy.yaml", format!("nats:\n  server: {}\n", nats_server().display()));
    let first = kwhy.engine(&[]);
    let second = kwhy.run(&[&"run"]);
    assert_eq!((second.code, second.errors().len()), (Some(2), 1), "{}", second.stderr);
    assert!(second.stderr.contains("another kwhy uses"), "{}", second.stderr);
    assert_eq!(first.process.terminate().code, Some(0));
}

#[test]
fn an_own_nats_server_that_dies_ends_it_with_one_line() {
    let kwhy = Kwhy::new();
    kwhy.write("kwhy.yaml", format!("nats:\n  server: {}\n", nats_server().display()));
    let engine = kwhy.engine(&[]);
    let threads = fs::read_dir(format!("/proc/{}/task", engine.process.id())).expect("Linux has it");
    let children: String = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .collect();
    let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    let [server] = children.as_slice() else { panic!("one nats-server: {children:?}") };
    let server = Pid::from_raw(*server).expect("a process id");
    kill_process(server, Signal::KILL).expect("it can be killed");
    let ended = engine.process.wait();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(why(&ended).contains("the nats-server that kwhy had started ended"), "{}", ended.stderr);
}
