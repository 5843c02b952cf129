//! `kwhy collect kube` on a scripted API server, and what it has told.

use std::time::{Duration, Instant};

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use kwhy_proto::{
    Message as _,
    v1::{Signal, SignalBatch},
};
use kwhy_tests::{Background, Client, Ended, Kwhy, NatsServer, PATIENCE, apiserver::ApiServer, nats_server};
use serde_json::{Value, json};

pub(crate) const CLUSTER: &str = "scripted";
pub(crate) const PODS: &str = "/api/v1/pods";
pub(crate) const EVENTS: &str = "/apis/events.k8s.io/v1/events";

/// A collector at work, with all that it stands on.
pub(crate) struct Collector {
    pub(crate) kwhy: Kwhy,
    pub(crate) nats: NatsServer,
    pub(crate) client: Client,
    pub(crate) process: Background,
}

impl Collector {
    pub(crate) async fn start(server: &ApiServer) -> Collector {
        let nats = NatsServer::start(&nats_server());
        let client = Client::connect(&nats.url).await;
        let kwhy = Kwhy::new();
        let process = collect(&kwhy, server, &nats.url);
        Collector { kwhy, nats, client, process }
    }

    /// Everything that was told so far, in the order of the log; the passing of time is left out.
    pub(crate) async fn told(&self) -> Vec<Signal> {
        signals(&self.client).await
    }

    /// Waits until what was told is as it should be, and gives it back.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&[Signal]) -> bool) -> Vec<Signal> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.told().await;
            if wanted(&told) {
                return told;
            }
            assert!(
                Instant::now() < deadline,
                "{what} was not told; told was {:#?}\nit said\n{}",
                ids(&told),
                self.process.said()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn terminate(self) -> Ended {
        self.process.terminate()
    }
}

/// Starts `kwhy collect kube` on a server and waits until it is ready.
pub(crate) fn collect(kwhy: &Kwhy, server: &ApiServer, nats: &str) -> Background {
    let mut command = kwhy.command(&[&"collect", &"kube", &"--nats", &nats, &"--cluster", &CLUSTER]);
    command.env("KUBECONFIG", server.kubeconfig(&kwhy.home("")));
    let process = Background::start(command);
    process.wait_for("line `ready`", |line| (line == "ready").then_some(()));
    process
}

/// The client that kwhy uses, without kwhy.
pub(crate) async fn client(server: &ApiServer) -> kube::Client {
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig(folder.path())).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    kube::Client::try_from(config.expect("a configuration")).expect("a client")
}

/// The signals of `KWHY_IN`, less ticks.
pub(crate) async fn signals(client: &Client) -> Vec<Signal> {
    let stored = client.stored("KWHY_IN").await;
    let batches = stored.iter().map(|m| SignalBatch::decode(m.body.as_slice()).expect("a batch of signals"));
    batches.flat_map(|batch| batch.signals).filter(|signal| signal.source != "tick").collect()
}

pub(crate) fn ids(signals: &[Signal]) -> Vec<&str> {
    signals.iter().map(|signal| signal.id.as_str()).collect()
}

/// Verb and name of what was told of a kind.
pub(crate) fn of_kind<'a>(signals: &'a [Signal], kind: &str) -> Vec<(&'a str, &'a str)> {
    let subject = |signal: &'a Signal| signal.subject.as_ref().filter(|subject| subject.kind == kind);
    signals.iter().filter_map(|s| Some((s.name.as_str(), subject(s)?.name.as_str()))).collect()
}

pub(crate) fn pod(name: &str) -> Value {
    json!({"kind": "Pod", "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "web:1"}]}, "status": {"phase": "Running"}})
}

pub(crate) fn event(name: &str, count: u32) -> Value {
    json!({"kind": "Event", "metadata": {"name": name, "namespace": "shop"}, "reason": "BackOff",
        "type": "Warning", "message": "Back-off restarting failed container", "count": count,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": format!("2026-01-01T00:00:{:02}Z", count % 60),
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1"}, "source": {"component": "kubelet"}})
}
