//! Lines arrive once whatever happens to those who carry them.

use std::{ffi::OsStr, fs, time::Duration};

use kwhy_tests::{Background, CLUSTER, Kwhy, findings, memory::resident};
use rustix::process::Signal;

use crate::world::{Arrived, JETSTREAM, Log, Nats, collect, klog_head, make_streams};

#[tokio::test]
async fn lines_travel_in_batches_and_each_once_over_restarts() {
    let kwhy = Kwhy::new();
    let nats = Nats::plain();
    make_streams(&kwhy, &nats.url);
    let mut log = Log::new(&kwhy);
    log.write(2500);
    let first = collect(&kwhy, &nats.url, &log);
    Arrived::until(&nats.url, 2500).await;
    log.write(100);
    let ended = first.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    log.write(100);
    // Rotated while nobody looks.
    fs::rename(&log.path, log.path.with_extension("log.1")).expect("it can be renamed");
    log.write(300);
    let second = collect(&kwhy, &nats.url, &log);
    let arrived = Arrived::until(&nats.url, 3000).await;
    arrived.assert_each_once(3000);
    assert_eq!(arrived.signals.len(), 3000, "an end in order leaves nothing to be sent again");
    assert!(arrived.sizes.iter().filter(|size| **size == 100).count() >= 25, "{:?}", arrived.sizes);
    assert_eq!(arrived.gaps(), Vec::<&str>::new());
    let ended = second.terminate();
    assert!(!ended.stderr.contains("missing"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_collector_that_is_killed_loses_nothing_and_tells_nothing_twice() {
    let kwhy = Kwhy::new();
    let nats = Nats::plain();
    make_streams(&kwhy, &nats.url);
    let mut log = Log::new(&kwhy);
    for round in 1..=6 {
        let collector = collect(&kwhy, &nats.url, &log);
        log.write(800);
        tokio::time::sleep(Duration::from_millis(150 * round)).await;
        collector.kill();
    }
    let collector = collect(&kwhy, &nats.url, &log);
    Arrived::until(&nats.url, 4800).await.assert_each_once(4800);
    drop(collector);
}

/// The twin of the test above: without what was noted, the lines come again under other ids.
#[tokio::test]
async fn a_collector_without_its_positions_is_found_out() {
    let kwhy = Kwhy::new();
    let nats = Nats::plain();
    make_streams(&kwhy, &nats.url);
    let mut log = Log::new(&kwhy);
    log.write(10);
    let collector = collect(&kwhy, &nats.url, &log);
    Arrived::until(&nats.url, 10).await.assert_each_once(10);
    collector.kill();
    fs::remove_dir_all(kwhy.home("kwhy-data/collect")).expect("positions");
    let collector = collect(&kwhy, &nats.url, &log);
    assert_eq!(Arrived::until(&nats.url, 20).await.lines().len(), 20);
    drop(collector);
}

#[tokio::test]
async fn while_nats_stands_still_memory_stays_bounded_and_somebody_is_told() {
    let kwhy = Kwhy::new();
    let nats = Nats::plain();
    make_streams(&kwhy, &nats.url);
    let mut log = Log::new(&kwhy);
    log.write(100);
    let collector = collect(&kwhy, &nats.url, &log);
    Arrived::until(&nats.url, 100).await;
    let before = resident(collector.id());
    nats.signal(Signal::STOP);
    for _ in 0..20 {
        log.write(5_000);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    collector.wait_for("word of it", |line| line.contains("log lines wait for NATS").then_some(()));
    let after = resident(collector.id());
    assert!(after < before + 40, "from {before} MiB to {after} MiB");
    nats.signal(Signal::CONT);
    let arrived = Arrived::until(&nats.url, 100_100).await;
    arrived.assert_each_once(100_100);
    drop(collector);
}

#[tokio::test]
async fn a_truncated_log_leaves_a_gap_that_is_told() {
    let kwhy = Kwhy::new();
    let nats = Nats::plain();
    make_streams(&kwhy, &nats.url);
    let mut log = Log::new(&kwhy);
    log.write(50);
    let collector = collect(&kwhy, &nats.url, &log);
    Arrived::until(&nats.url, 50).await;
    fs::OpenOptions::new().write(true).open(&log.path).expect("the log").set_len(0).expect("it is cut");
    log.write(20);
    let arrived = Arrived::until(&nats.url, 70).await;
    arrived.assert_each_once(70);
    assert_eq!(arrived.gaps().len(), 1);
    assert!(arrived.gaps()[0].contains("was truncated"), "{:?}", arrived.gaps());
    let ended = collector.terminate();
    assert!(ended.stderr.contains("log lines of this node are missing"), "{}", ended.stderr);
}

#[tokio::test]
async fn one_process_reads_the_log_and_finds_the_cause_in_it() {
    let kwhy = Kwhy::new();
    let log = Log::new(&kwhy);
    let config = format!(
        "cluster: {CLUSTER}\nkubelet:\n  node: kal\n  files: [{}]\n",
        log.path.with_extension("l*g").display()
    );
    kwhy.write("kwhy.yaml", config);
    let nats = Nats::start(JETSTREAM);
    let engine = kwhy.engine(&[&"--nats", &nats.url]);
    let tail = Background::start(kwhy.command(&[
        &"tail",
        &"--nats",
        &nats.url,
        &"--output",
        &"json",
        &"--count",
        &"1",
    ]));
    log.append(&format!(
        "{} \"Failed to ensure state\" err=\"Out of memory\"\nApr  1 00:00:00 kal sshd[1]: not of the node\n",
        klog_head('E')
    ));
    log.append(&kernel_oom());
    let found = tail.wait();
    let finding: kwhy_proto::v1::Finding =
        serde_json::from_str(found.stdout.lines().next().expect("a finding")).expect("JSON");
    assert_eq!(finding.code, "node.kernel-oom", "{}", found.stdout);
    assert_eq!(findings::root_of(&finding), "Node//kal");
    let ended = engine.process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("logs of node kal: "), "{}", ended.stderr);
}

fn kernel_oom() -> String {
    // As rsyslog writes what the kernel says.
    let head = klog_head('I');
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = head[1..3].parse().expect("a month");
    format!(
        "{} {} {} kal kernel: [ 1234.5] Out of memory: Killed process 4242 (java), UID 0, total-vm:1kB\n",
        months[month - 1],
        &head[3..5],
        &head[6..14]
    )
}

#[test]
fn wrong_configuration_says_what_to_do() {
    let kwhy = Kwhy::new();
    let collect = |args: &[&str]| {
        let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"collect", &"kubelet"];
        all.extend(args.iter().map(|arg| arg as &dyn AsRef<OsStr>));
        let ended = kwhy.run(&all);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        ended.stderr
    };
    assert!(collect(&[]).contains("--journal or --file GLOB"));
    assert!(collect(&["--file", "/var/log/[x"]).contains("`/var/log/[x`"));
    kwhy.write("kwhy.yaml", "kubelet:\n  files: [/k.log]\n  level: loud\n");
    assert!(collect(&[]).contains("`loud` is no level"));
    kwhy.write("kwhy.yaml", "kubelet:\n  files: [/k.log]\n  utc_offset: Berlin\n");
    assert!(collect(&[]).contains("write +02:00"));
}
