//! How a collector is doing, asked from outside: readiness, figures, and a real Prometheus that scrapes them.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::{ffi::OsStr, fs, time::Duration};

use kwhy_tests::{
    Background, CLUSTER, Client, Kwhy, NatsServer, PATIENCE, Prometheus, Rule,
    apiserver::{ApiServer, Fault, On, just_now},
    as_alertmanager, coredns_loop, eventually, get, nats_server,
};
use rustix::process::Signal;
use serde_json::json;

const PODS: &str = "/api/v1/pods";

/// A kwhy that answers probes.
struct Probed {
    process: Background,
    url: String,
}

impl Probed {
    fn start(kwhy: &Kwhy, server: Option<&ApiServer>, args: &[&dyn AsRef<OsStr>]) -> Self {
        let mut command = kwhy.command(args);
        command.args(["--listen", "127.0.0.1:0"]);
        if let Some(server) = server {
            command.env("KUBECONFIG", server.kubeconfig(&kwhy.home("")));
        }
        let process = Background::start(command);
        let url =
            process.wait_for("line `probes: URL`", |line| line.strip_prefix("probes: ").map(str::to_owned));
        process.wait_for("line `ready`", |line| (line == "ready").then_some(()));
        Self { process, url }
    }

    fn kube(kwhy: &Kwhy, server: &ApiServer, nats: &str) -> Self {
        Self::start(kwhy, Some(server), &[&"collect", &"kube", &"--nats", &nats, &"--cluster", &CLUSTER])
    }

    fn ask(&self, path: &str) -> (u16, String) {
        let answer = get(&format!("{}{path}", self.url));
        (answer.status, answer.body)
    }

    async fn until_ready(&self) {
        eventually("ready", async || (self.ask("/-/ready").0 == 200).then_some(())).await;
    }

    /// Waits for a figure.
    async fn figure(&self, line: &str) {
        eventually(line, async || self.ask("/metrics").1.lines().any(|have| have == line).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn a_collector_of_the_cluster_is_ready_while_all_that_it_may_read_is_watched() {
    let (kwhy, api) = (Kwhy::new(), ApiServer::start());
    api.put(json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "shop"}}));
    api.fail_always(PODS, On::List, Fault::Status(500));
    let mut nats = NatsServer::start(&nats_server());
    let probed = Probed::kube(&kwhy, &api, &nats.url);
    let still = eventually("the trouble with pods", async || {
        let (status, body) = probed.ask("/-/ready");
        let lines: Vec<String> = body.lines().map(str::to_owned).collect();
        // All others are there.
        (status == 503 && lines.len() == 1 && lines[0].contains("cannot watch")).then_some(lines)
    })
    .await;
    assert!(still[0].starts_with("watch of v1 Pod: not listed yet: cannot watch v1 Pod: "), "{still:?}");
    assert_eq!(probed.ask("/-/healthy"), (200, "OK\n".to_owned()));
    api.mend(PODS);
    probed.until_ready().await;
    let pods = r#"{api="v1",kind="Pod"}"#;
    probed.figure(&format!("kwhy_watch_objects{pods} 1.0")).await;
    probed.figure(&format!("kwhy_watch_gaps_total{pods} 0")).await;
    probed.figure(r#"kwhy_signals_published_total{what="kube"} 1"#).await;
    nats.kill();
    let away = eventually("not ready", async || {
        let (status, body) = probed.ask("/-/ready");
        (status == 503).then_some(body)
    })
    .await;
    assert_eq!(away, "NATS does not answer\n");
    nats.restart();
    probed.until_ready().await;
    assert_eq!(probed.process.terminate().code, Some(0));
}

#[tokio::test]
async fn an_engine_tells_how_far_it_is_and_is_not_ready_while_nothing_is_stored() {
    let kwhy = Kwhy::new();
    let nats = NatsServer::start(&nats_server());
    let client = Client::connect(&nats.url).await;
    let owner = kwhy.eager(&nats.url, CLUSTER);
    kwhy.feed(&coredns_loop(), &nats.url);
    owner.catch_up(&client, CLUSTER).await;
    let last = client.ids("KWHY_IN").await.len() as u64;
    client.taken_in(CLUSTER, last).await;
    let standby = kwhy.eager(&nats.url, CLUSTER);
    standby.catch_up(&client, CLUSTER).await;
    client.taken_in(CLUSTER, last + 1).await;
    for (engine, stores) in [(&owner, 1.0), (&standby, 0.0)] {
        assert_eq!(engine.is_green_within(PATIENCE).await, Ok(()));
        assert_eq!(engine.figure("kwhy_engine_owner"), stores);
        for name in ["kwhy_engine_position", "kwhy_commit_position"] {
            eventually(name, async || (engine.figure(name) == (last + 1) as f64).then_some(())).await;
        }
        eventually("no lag", async || (engine.figure("kwhy_engine_lag_messages") == 0.0).then_some(())).await;
        assert_eq!(engine.figure("kwhy_engine_lag_seconds"), 0.0);
        assert!(engine.figure("kwhy_commit_age_seconds") < 8.0);
    }
    let revisions = client.revisions().await.len() as f64;
    assert_eq!(owner.figure("kwhy_revisions_stored_total"), revisions);
    assert_eq!(standby.figure("kwhy_revisions_stored_total"), 0.0);
    nats.signal(Signal::STOP);
    for engine in [&owner, &standby] {
        let why = engine.is_red_within(Duration::from_secs(10)).await.expect("red");
        assert!(why.contains("NATS does not answer"), "{why}");
        assert_eq!(engine.ask("/-/healthy").status, 200);
    }
    let why = eventually("the age of the checkpoint", async || {
        let why = owner.ask("/-/ready").body;
        why.contains("no checkpoint was stored for ").then_some(why)
    })
    .await;
    assert!(owner.figure("kwhy_commit_age_seconds") >= 8.0, "{why}");
    nats.signal(Signal::CONT);
    for engine in [&owner, &standby] {
        assert_eq!(engine.is_green_within(PATIENCE).await, Ok(()));
    }
}

/// The twin: what was never granted is done without.
#[tokio::test]
async fn a_permission_that_was_never_given_keeps_nobody_from_being_ready() {
    let (kwhy, api) = (Kwhy::new(), ApiServer::start());
    api.fail_always(PODS, On::List, Fault::Status(403));
    let nats = NatsServer::start(&nats_server());
    let probed = Probed::kube(&kwhy, &api, &nats.url);
    probed.until_ready().await;
    probed.figure(r#"kwhy_watch_up{api="v1",kind="Pod"} 0.0"#).await;
    probed.figure(r#"kwhy_watch_up{api="v1",kind="Node"} 1.0"#).await;
}

#[tokio::test]
async fn a_collector_of_logs_counts_lines_and_what_it_lost() {
    let kwhy = Kwhy::new();
    let nats = NatsServer::start(&nats_server());
    // It makes the streams.
    assert_eq!(kwhy.engine(&[&"--nats", &nats.url]).process.terminate().code, Some(0));
    let log = kwhy.write("kubelet.log", "");
    let args: [&dyn AsRef<OsStr>; 8] =
        [&"collect", &"kubelet", &"--nats", &nats.url, &"--node", &"kal", &"--file", &log];
    let probed = Probed::start(&kwhy, None, &args);
    probed.until_ready().await;
    probed.figure(r#"kwhy_signals_published_total{what="logs"} 0"#).await;
    let line = |text: &str| format!("ts={} {text}\n", just_now());
    fs::write(&log, line("one") + &line("two")).expect("room");
    probed.figure(r#"kwhy_signals_published_total{what="logs"} 2"#).await;
    probed.figure("kwhy_log_gaps_total 0").await;
    fs::write(&log, "").expect("it is cut");
    probed.figure("kwhy_log_gaps_total 1").await;
    probed.figure("kwhy_log_lines_dropped_total 0").await;
}

#[tokio::test]
async fn prometheus_scrapes_kwhy_run_and_its_status_tells_of_the_watches() {
    let (kwhy, api) = (Kwhy::new(), ApiServer::start());
    let nats = NatsServer::start(&nats_server());
    let log = kwhy.write("kubelet.log", "");
    let config = format!(
        "kube:\n  watch: true\nkubelet:\n  node: kal\n  files: [{}]\nalerts:\n  listen: 127.0.0.1:0\n",
        log.display()
    );
    kwhy.write("kwhy.yaml", config);
    let probed = Probed::start(&kwhy, Some(&api), &[&"run", &"--nats", &nats.url]);
    probed.until_ready().await;
    let (status, page) = probed.ask("/metrics");
    assert_eq!(status, 200);
    for what in ["kube", "logs", "alerts"] {
        let line = format!("kwhy_signals_published_total{{what=\"{what}\"}}");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    let said = probed.process.said();
    let alerts = said.lines().find_map(|line| line.strip_prefix("alerts: ")).expect("where alerts are taken");
    // It scrapes the figures, or the alert would not come.
    let rule = Rule { alert: "WatchesTheCluster", expr: "sum(kwhy_watch_up) > 0", labels: "" };
    let target = probed.url.trim_start_matches("http://");
    let _prometheus = Prometheus::start(target, &[rule], &as_alertmanager(alerts), None);
    eventually("the alert", async || {
        let page = probed.ask("/metrics").1;
        let count =
            page.lines().find_map(|line| line.strip_prefix("kwhy_signals_published_total{what=\"alerts\"} "));
        (count? != "0").then_some(())
    })
    .await;

    // Where alerts are taken, the status tells of the watches.
    let status = get(&format!("{alerts}/api/v2/status")).body;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let watches = status["kwhy"]["watches"].as_array().expect("watches");
    let pods = watches.iter().find(|watch| watch["kind"] == "v1 Pod").expect("pods");
    assert_eq!((&pods["lists"], &pods["trouble"]), (&json!(1), &json!(null)));
    assert_eq!(status["kwhy"]["troubles"], json!([]));
    assert_eq!(probed.process.terminate().code, Some(0));
}

#[test]
fn an_address_that_is_taken_is_one_line_with_the_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let kwhy = Kwhy::new();
    kwhy.write("kwhy.yaml", format!("probes: {{listen: '{address}'}}\n"));
    let ended = kwhy.run(&[&"collect", &"kube", &"--nats", &"nats://127.0.0.1:1"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.starts_with(&format!("kwhy: probes.listen: cannot listen on {address}; ")),
        "{}",
        ended.stderr
    );
}
