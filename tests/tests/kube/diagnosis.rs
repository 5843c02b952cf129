//! A real incident, told by an API server as it happens, is diagnosed like its capture.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use kwhy_proto::{Timestamp, v1::Finding};
use kwhy_tests::{
    Client, Kwhy, NatsServer, PATIENCE,
    apiserver::{ApiServer, On, just_now, shifted},
    coredns_loop,
    findings::{Findings, last_of_each, loud, root_of},
    finish, nats_server,
};

use crate::collector::{CLUSTER, PODS, collect};

/// When the capture of the coredns loop ends.
const END: &str = "2020-04-24T13:15:00Z";

/// What of the capture an API server does not tell: the logs of its pods, as a capture of this cluster that ends at `end`.
fn logs(kwhy: &Kwhy, end: Timestamp) -> PathBuf {
    let from = Timestamp { seconds: end.seconds - 2700, ..end };
    let span = format!("cluster: {CLUSTER}\nfrom: {from}\nto: {end}\n");
    let file = kwhy.write("logs/capture.yaml", span);
    for log in shifted(&coredns_loop(), END, end).logs {
        kwhy.write(&Path::new("logs").join(log.file()).to_string_lossy(), &log.text);
    }
    file.parent().expect("a folder").to_owned()
}

/// What `kwhy diagnose` tells people of the same sources: code and root of each finding.
fn expected(kwhy: &Kwhy) -> BTreeSet<(String, String)> {
    let capture = kwhy.copy_of(&coredns_loop());
    for other in ["alerts.json", "alerts.ndjson"] {
        fs::remove_file(capture.join(other)).expect("it is there");
    }
    fs::remove_dir_all(capture.join("kubelet")).expect("it is there");
    let found = Findings::of(kwhy, &capture).expect("findings");
    found.loud().map(|finding| (finding.code.clone(), root_of(finding))).collect()
}

fn told(revisions: &[Finding]) -> BTreeSet<(String, String)> {
    let last = last_of_each(revisions).into_iter().filter(|finding| loud(finding));
    last.map(|finding| (finding.code.clone(), root_of(finding))).collect()
}

async fn until_told(client: &Client, wanted: &BTreeSet<(String, String)>) {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let told = told(&client.findings().await);
        if told == *wanted {
            return;
        }
        assert!(Instant::now() < deadline, "told is {told:?}, not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// An API server as it stands at the beginning of the incident, and what happens later.
fn incident(end: Timestamp) -> (ApiServer, impl FnOnce(&ApiServer)) {
    let server = ApiServer::start();
    let capture = shifted(&coredns_loop(), END, end);
    for object in capture.objects.into_iter().chain(capture.events) {
        server.put(object);
    }
    let later = move |server: &ApiServer| {
        server.wait_for(PODS, On::Watch, 1);
        for (verb, object) in capture.changes {
            assert_eq!(verb, "MODIFIED");
            server.put(object);
        }
    };
    (server, later)
}

#[tokio::test]
async fn an_incident_that_an_api_server_tells_is_diagnosed_like_its_capture_and_a_relist_changes_nothing() {
    let kwhy = Kwhy::new();
    let wanted = expected(&kwhy);
    assert!(wanted.iter().any(|(code, _)| code == "coredns.forward-loop"), "{wanted:?}");
    let end = just_now();
    let (server, later) = incident(end);
    let nats = NatsServer::start(&nats_server());
    let client = Client::connect(&nats.url).await;
    let engine = kwhy.engine(&[&"--nats", &nats.url, &"--cluster", &CLUSTER]);
    let collector = collect(&kwhy, &server, &nats.url);
    later(&server);
    kwhy.feed(&logs(&kwhy, end), &nats.url);
    until_told(&client, &wanted).await;

    // All pods are listed anew, and the finding stands as it did.
    let before = client.findings().await;
    let lists = server.requests(PODS).iter().filter(|request| !request.watch).count();
    server.miss(|_| ());
    server.put(serde_json::json!({"kind": "Namespace", "metadata": {"name": "moves-the-version-on"}}));
    server.miss(|_| ());
    server.wait_for(PODS, On::List, lists + 1);
    assert_eq!(collector.terminate().code, Some(0));
    assert_eq!(finish(engine, &client, CLUSTER).await.code, Some(0));
    let after = client.findings().await;
    assert_eq!(told(&after), wanted);
    let ids = |all: &[Finding]| all.iter().map(|finding| finding.id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&after), ids(&before), "no finding is told a second time");
}

/// Nobody ships logs here: the core asks for those of the container that fails, and the collector fetches them.
#[tokio::test]
async fn the_logs_that_the_cause_stands_in_are_fetched_where_nobody_ships_them() {
    let kwhy = Kwhy::new();
    let end = just_now();
    let (server, later) = incident(end);
    for log in shifted(&coredns_loop(), END, end).logs {
        server.put_log(&log);
    }
    let nats = NatsServer::start(&nats_server());
    let client = Client::connect(&nats.url).await;
    let engine = kwhy.engine(&[&"--nats", &nats.url, &"--cluster", &CLUSTER]);
    let collector = collect(&kwhy, &server, &nats.url);
    later(&server);
    let deadline = Instant::now() + 2 * PATIENCE;
    while !told(&client.findings().await).iter().any(|(code, _)| code == "coredns.forward-loop") {
        assert!(
            Instant::now() < deadline,
            "told is {:?}\n{}",
            told(&client.findings().await),
            collector.said()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(collector.terminate().code, Some(0));
    assert_eq!(finish(engine, &client, CLUSTER).await.code, Some(0));
}

#[tokio::test]
async fn one_process_that_watches_and_correlates_says_the_same() {
    let kwhy = Kwhy::new();
    let wanted = expected(&kwhy);
    let end = just_now();
    let (server, later) = incident(end);
    let nats = NatsServer::start(&nats_server());
    let client = Client::connect(&nats.url).await;
    // Where kubectl keeps it.
    let folder = kwhy.write(".kube/x", "").parent().expect("a folder").to_owned();
    fs::rename(server.kubeconfig(&folder), folder.join("config")).expect("a kubeconfig");
    kwhy.write("kwhy.yaml", format!("cluster: {CLUSTER}\nkube:\n  watch: true\n  context: scripted\n"));
    let engine = kwhy.engine(&[&"--nats", &nats.url]);
    later(&server);
    kwhy.feed(&logs(&kwhy, end), &nats.url);
    until_told(&client, &wanted).await;
    assert_eq!(engine.process.terminate().code, Some(0));
}
