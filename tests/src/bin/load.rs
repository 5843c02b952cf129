//! What `cargo xtask bench load` runs: a cluster that tells `kwhy run` much at a steady rate, and how long it takes from
//! the publishing of what changes a finding to its stored revision.
//!
//! Of every 100 signals one is an alert that begins or ends at a pod that crashes, and each of these must become a
//! revision; 75 are kubelet lines, 15 states of pods and nodes, 9 events. The time between is from before the alert is
//! published to the arrival of the revision by which it is known, which NATS passes on when it has stored it.

#![allow(clippy::expect_used, reason = "a bench ends where its ground gives way")]

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use futures::StreamExt as _;
use kwhy_bus::{Bus, Settings, batches};
use kwhy_ingest::{
    alert::{self, Identity},
    event,
    log::{self, Text},
    object::{self, Seen, Verb},
    time::rfc3339,
};
use kwhy_proto::{
    Message as _, millis, timestamp,
    v1::{Finding, Signal},
};
use kwhy_tests::{Client, Kwhy, NatsServer, finish, memory, nats_server};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{self, MissedTickBehavior},
};

const CLUSTER: &str = "load";
/// Signals come in bursts of so many.
const TICK: Duration = Duration::from_millis(50);
const NODES: u64 = 20;
const PODS: u64 = 400;
/// Pods that crash.
const ILL: u64 = 20;
/// Alerts at each of these.
const ALERTS: u64 = 5;
/// What stands in the cluster is told at once, and it takes a moment until all of it is looked at.
const WARM_UP: Duration = Duration::from_secs(10);
/// What is wanted, ms.
const WANTED: u64 = 250;
/// By then all is full that the engine keeps for a time: the lateness window, and the history that its former states hold.
const FULL: Duration = Duration::from_secs(600);
/// By so many percent its memory may still grow from then on, whatever the time.
const GROWTH: u64 = 10;

/// From publishing to a stored revision, at a steady rate
#[derive(Parser)]
#[command(name = "cargo xtask bench load")]
struct Options {
    /// How long; from ten minutes on memory must stay as it is
    #[arg(long, default_value_t = 1200)]
    seconds: u64,
    /// Signals a second, one of 100 of which changes a finding
    #[arg(long, default_value_t = 2000)]
    rate: u64,
}

fn main() -> ExitCode {
    let Options { seconds, rate } = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map(|runtime| runtime.block_on(run(seconds, rate))) {
        Ok(true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What was published and what is to come of it.
struct Change {
    /// The alert's beginning or end, ms; no two have the same.
    at: u64,
    began: bool,
    published: time::Instant,
}

async fn run(seconds: u64, rate: u64) -> bool {
    let server = NatsServer::start(&nats_server());
    let kwhy = Kwhy::new();
    let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &CLUSTER]);
    let client = Client::connect(&server.url).await;
    let plain = async_nats::connect(&server.url).await.expect("a connection");
    let mut heard = plain.subscribe("kwhy.findings.>").await.expect("a subscription");
    plain.flush().await.expect("the server knows of it");
    let bus = Bus::connect(&Settings::new(&server.url, CLUSTER)).await.expect("a bus");
    let mut cluster = Cluster { next: 0, version: 0, firing: BTreeMap::new(), last: 0 };
    publish(&bus, cluster.listed()).await;

    let (told, mut changes) = mpsc::unbounded_channel::<Change>();
    let listener = tokio::spawn(async move {
        let (mut waiting, mut took) = (BTreeMap::<(u64, bool), time::Instant>::new(), Vec::new());
        // Nothing for so long is the end.
        while let Ok(Some(message)) = time::timeout(Duration::from_secs(5), heard.next()).await {
            let arrived = time::Instant::now();
            while let Ok(change) = changes.try_recv() {
                waiting.insert((change.at, change.began), change.published);
            }
            // Each comes twice, as it is stored and as JSON.
            let kind = message.headers.as_ref().and_then(|headers| headers.get("Content-Type"));
            if !kind.is_some_and(|kind| kind.as_str().starts_with("application/x-protobuf")) {
                continue;
            }
            let finding = Finding::decode(message.payload).expect("a finding");
            for symptom in &finding.symptoms {
                let since = symptom.since.as_ref().map(|at| (millis(at), true));
                let until = symptom.until.as_ref().map(|at| (millis(at), false));
                for change in since.into_iter().chain(until) {
                    took.extend(waiting.remove(&change).map(|at| (at, arrived.duration_since(at))));
                }
            }
        }
        while let Ok(change) = changes.try_recv() {
            waiting.insert((change.at, change.began), change.published);
        }
        (took, waiting)
    });

    let began_at = time::Instant::now();
    let mut ticks = time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut signals, mut next_look, mut full) = (0, 0, None);
    let pid = engine.process.id();
    while began_at.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        let due = u64::try_from(began_at.elapsed().as_millis()).unwrap_or(0) * rate / 1000;
        let burst: Vec<Signal> = (signals..due).flat_map(|_| cluster.next(&told)).collect();
        signals = due.max(signals);
        publish(&bus, burst).await;
        if began_at.elapsed() >= FULL && full.is_none() {
            full = Some(memory::resident(pid));
        }
        if began_at.elapsed().as_secs() >= next_look {
            println!("{next_look:4} s  {signals:8} signals  kwhy holds {} MiB", memory::resident(pid));
            next_look += (seconds / 10).max(1);
        }
    }
    // Sources let time pass, so that what is late and waits does not wait for ever when nothing follows.
    publish(&bus, vec![tick()]).await;
    let held = memory::resident(pid);
    let grows = full.is_some_and(|full| held > full * (100 + GROWTH) / 100);
    let (peak, rate) = (memory::peak(pid), signals / began_at.elapsed().as_secs().max(1));
    drop(told);
    let (took, lost) = listener.await.expect("the listener");
    let ended = finish(engine, &client, CLUSTER).await;
    let counted = took.iter().filter(|(published, _)| published.duration_since(began_at) >= WARM_UP);
    let mut counted: Vec<u128> = counted.map(|(_, took)| took.as_millis()).collect();
    counted.sort_unstable();
    let part = |n: usize| counted.get((counted.len() * n / 1000).min(counted.len().saturating_sub(1)));
    let ms = |n: usize| part(n).copied().unwrap_or_default();
    println!(
        "{signals} signals, {rate} a second; {} changes stored, {} not seen; peak {peak} MiB",
        took.len(),
        lost.len()
    );
    for ((at, began), published) in &lost {
        let what = if *began { "beginning" } else { "end" };
        println!(
            "not seen: the {what} of an alert at {at}, published {} ms after the first signal",
            published.duration_since(began_at).as_millis()
        );
    }
    println!(
        "ms from publishing to stored, but for the first {} s: median {}, 99 of 100 {}, 999 of 1000 {}, most {}",
        WARM_UP.as_secs(),
        ms(500),
        ms(990),
        ms(999),
        ms(1000)
    );
    if let Some(full) = full {
        let ends = if grows { ", which is too much" } else { "" };
        println!("memory {full} MiB after {} s, {held} MiB at the end{ends}", FULL.as_secs());
    }
    if ended.code != Some(0) {
        println!("{}", ended.stderr);
    }
    ended.code == Some(0) && lost.is_empty() && !grows && !counted.is_empty() && ms(990) < u128::from(WANTED)
}

async fn publish(bus: &Bus, signals: Vec<Signal>) {
    let published = bus.publish_signals(batches(signals)).await.expect("stored");
    assert!(published.too_large.is_empty());
}

/// Who tells all this.
struct Cluster {
    next: u64,
    version: u64,
    /// Alerts that fire, since when.
    firing: BTreeMap<u64, u64>,
    /// When the last of them began or ended.
    last: u64,
}

impl Cluster {
    /// What stands in it at first.
    fn listed(&mut self) -> Vec<Signal> {
        let mut all: Vec<Value> = (0..NODES).map(|n| self.node(n)).collect();
        for pod in 0..PODS {
            let owner = |kind: &str, name: String, uid: String| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
            let labels = json!({"app": format!("app-{pod}")});
            let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]}});
            all.push(json!({"kind": "Deployment", "apiVersion": "apps/v1",
                "metadata": {"name": format!("app-{pod}"), "namespace": "shop", "uid": format!("d-{pod}"), "resourceVersion": "1", "creationTimestamp": "2024-01-01T00:00:00Z"},
                "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
                "status": {"replicas": 1, "readyReplicas": u64::from(pod >= ILL)}}));
            all.push(json!({"kind": "ReplicaSet", "apiVersion": "apps/v1",
                "metadata": {"name": format!("app-{pod}-5f6d8b7c9"), "namespace": "shop", "uid": format!("r-{pod}"), "resourceVersion": "1", "creationTimestamp": "2024-01-01T00:00:00Z",
                    "ownerReferences": owner("Deployment", format!("app-{pod}"), format!("d-{pod}"))},
                "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
                "status": {"replicas": 1}}));
            all.push(self.pod(pod));
        }
        all.into_iter().map(|object| signal_of(Verb::Added, Seen::Listed, object)).collect()
    }

    fn next(&mut self, told: &mpsc::UnboundedSender<Change>) -> Vec<Signal> {
        self.next += 1;
        let n = self.next;
        match n % 100 {
            0 => vec![self.alert(told)],
            1..=75 => vec![line(n)],
            76..=80 => vec![{
                let node = self.node(n % NODES);
                signal_of(Verb::Modified, Seen::Watched, node)
            }],
            81..=90 => vec![{
                let pod = self.pod(ILL + n % (PODS - ILL));
                signal_of(Verb::Modified, Seen::Watched, pod)
            }],
            _ => vec![event(n)],
        }
    }

    /// One of the alerts at the pods that crash begins or ends.
    fn alert(&mut self, told: &mpsc::UnboundedSender<Change>) -> Signal {
        let which = self.next / 100 % (ILL * ALERTS);
        // Where several are made up for at once, too, no two have the same time.
        self.last = now().max(self.last + 1);
        let (at, published) = (self.last, time::Instant::now());
        let since = self.firing.remove(&which);
        let ends = if since.is_some() { at } else { at + 3_600_000 };
        let body = json!([{
            "labels": {"alertname": "KubePodCrashLooping", "namespace": "shop", "pod": pod_name(which % ILL), "container": "app",
                "severity": "warning", "copy": (which / ILL).to_string()},
            "annotations": {"summary": "Pod is crash looping."},
            "startsAt": rfc3339(&timestamp(since.unwrap_or(at))), "endsAt": rfc3339(&timestamp(ends)),
        }]);
        if since.is_none() {
            self.firing.insert(which, at);
        }
        let _ = told.send(Change { at, began: since.is_none(), published });
        let delivery = alert::body(CLUSTER, timestamp(at), body.to_string().as_bytes(), &Identity::default())
            .expect("alerts");
        delivery.alerts.into_iter().next().expect("an alert").signal
    }

    fn version(&mut self) -> String {
        self.version += 1;
        (1000 + self.version).to_string()
    }

    fn node(&mut self, n: u64) -> Value {
        let beat = rfc3339(&timestamp(now()));
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastHeartbeatTime": beat, "lastTransitionTime": "2024-01-01T00:00:00Z"});
        json!({"kind": "Node", "apiVersion": "v1",
            "metadata": {"name": format!("node-{n}"), "uid": format!("n-{n}"), "resourceVersion": self.version(), "creationTimestamp": "2024-01-01T00:00:00Z"},
            "status": {"conditions": [condition("Ready", "True"), condition("MemoryPressure", "False"), condition("DiskPressure", "False"), condition("PIDPressure", "False")],
                "nodeInfo": {"kubeletVersion": "v1.31.2", "containerRuntimeVersion": "containerd://1.7.22"}}})
    }

    fn pod(&mut self, pod: u64) -> Value {
        let ill = pod < ILL;
        let state = if ill {
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container=app"}})
        } else {
            json!({"running": {"startedAt": "2024-01-01T00:00:05Z"}})
        };
        let last = if ill {
            json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": "2024-01-01T00:10:00Z", "finishedAt": "2024-01-01T00:10:02Z"}})
        } else {
            json!({})
        };
        let ready = if ill { "False" } else { "True" };
        json!({"kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": pod_name(pod), "namespace": "shop", "uid": format!("p-{pod}"), "resourceVersion": self.version(), "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"app": format!("app-{pod}")},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("app-{pod}-5f6d8b7c9"), "uid": format!("r-{pod}"), "controller": true}]},
            "spec": {"nodeName": format!("node-{}", pod % NODES), "containers": [{"name": "app", "image": "registry.example/app:1"}]},
            "status": {"phase": "Running", "startTime": "2024-01-01T00:00:01Z", "podIP": format!("10.1.{}.{}", pod / 200, pod % 200 + 1),
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2024-01-01T00:00:06Z"}, {"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [{"name": "app", "image": "registry.example/app:1", "ready": !ill, "restartCount": if ill { 9 } else { 0 }, "state": state, "lastState": last}]}})
    }
}

fn pod_name(pod: u64) -> String {
    format!("app-{pod}-5f6d8b7c9-x{pod:04}")
}

fn signal_of(verb: Verb, seen: Seen, object: Value) -> Signal {
    object::signal(CLUSTER, verb, seen, timestamp(now()), object).expect("an object")
}

fn tick() -> Signal {
    let at = timestamp(now() + 1000);
    Signal {
        id: format!("tick/{}", at.seconds),
        cluster: CLUSTER.into(),
        source: "tick".into(),
        at: Some(at),
        ..Signal::default()
    }
}

/// A kubelet's line; one in fifteen is a warning or an error.
fn line(n: u64) -> Signal {
    let level = if n.is_multiple_of(15) { "E" } else { "I" };
    let (node, pod) = (n / 100 % NODES, pod_name(ILL + n % (PODS - ILL)));
    let text = format!(
        "{level}0101 00:00:00.000000    1043 kubelet.go:2240] \"SyncLoop (PLEG): event for pod\" pod=\"shop/{pod}\" event={{\"Type\":\"ContainerStarted\"}} line={n}"
    );
    log::kubelet(
        CLUSTER,
        &format!("node-{node}"),
        &Text::read(&text),
        timestamp(now()),
        &format!("{n:010}"),
        String::new(),
    )
}

/// What a pod that does well makes others say.
fn event(n: u64) -> Signal {
    let reasons = ["Pulled", "Created", "Started", "Unhealthy"];
    // Kubelets tell events in whole seconds, so that most are late by half of one.
    let at = rfc3339(&timestamp(now() / 1000 * 1000));
    let reason = reasons.get(usize::try_from(n / 100 % 4).unwrap_or(0)).copied().unwrap_or("Pulled");
    let kind = if reason == "Unhealthy" { "Warning" } else { "Normal" };
    let value = json!({"kind": "Event", "apiVersion": "v1", "metadata": {"name": format!("e.{n}"), "namespace": "shop", "uid": format!("e-{n}"), "resourceVersion": n.to_string(), "creationTimestamp": at},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": pod_name(ILL + n % (PODS - ILL)), "uid": format!("p-{}", ILL + n % (PODS - ILL))},
        "reason": reason, "message": format!("{reason} container app"), "type": kind, "count": 1, "firstTimestamp": at, "lastTimestamp": at, "source": {"component": "kubelet", "host": "node-1"}});
    event::signal(CLUSTER, &value).expect("an event")
}
