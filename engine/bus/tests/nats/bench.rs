//! What every test stands on: the server programs, a server with a bus, and a look behind the bus's back.

use std::{
    env,
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use async_nats::jetstream;
use futures::{Stream, StreamExt};
use kwhy_bus::{Bus, BusError, Entry, Server, Settings, server::Options};
use kwhy_proto::{
    timestamp,
    v1::{Finding, ObjectRef, Signal},
};
use serde_json::Value;
use tempfile::TempDir;

/// Longest that anything in these tests may take on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

fn program(variable: &str, name: &str, on_path: bool) -> PathBuf {
    let named = env::var_os(variable).map(|path| vec![PathBuf::from(path)]);
    let programs = named.unwrap_or_else(|| {
        let paths = env::var_os("PATH").unwrap_or_default();
        let path = env::split_paths(&paths).map(|dir| dir.join(name)).filter(|_| on_path);
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools").join(name);
        path.chain([tools]).collect()
    });
    let program = programs.into_iter().find(|program| program.is_file());
    program.unwrap_or_else(|| panic!("no {name}: `cargo xtask test` fetches it, or set {variable} to one"))
}

pub(crate) fn new_server() -> PathBuf {
    program("KWHY_NATS_SERVER", "nats-server", true)
}

pub(crate) fn old_server() -> PathBuf {
    program("KWHY_OLD_NATS_SERVER", "old-nats-server", false)
}

pub(crate) fn options(dir: &Path) -> Options {
    Options { binary: Some(new_server()), ..Options::new(dir) }
}

/// A server of its own, a bus on it, and a plain client.
pub(crate) struct Bench {
    pub(crate) bus: Bus,
    pub(crate) plain: async_nats::Client,
    pub(crate) server: Server,
    pub(crate) dir: TempDir,
}

impl Bench {
    pub(crate) async fn start() -> Bench {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let server = Server::start(&options(dir.path())).await.expect("a nats-server");
        let bus = Bus::connect(&settings(&server.url)).await.expect("a bus");
        let plain = async_nats::connect(&server.url).await.expect("a plain client");
        Bench { bus, plain, server, dir }
    }

    /// One call of the JetStream API.
    pub(crate) async fn api(&self, call: &str, body: Value) -> Value {
        api(&self.plain, call, body).await
    }

    /// Changes settings of a stream behind the bus's back.
    pub(crate) async fn edit(&self, stream: &str, changes: Value) {
        edit(&self.plain, stream, changes).await;
    }

    /// A plain subscription that the server knows of: the client's flush does not wait for the server.
    pub(crate) async fn subscribe(&self, subject: &str) -> async_nats::Subscriber {
        let subscriber = self.plain.subscribe(subject.to_owned()).await.expect("a subscription");
        self.api("INFO", Value::Null).await;
        subscriber
    }

    pub(crate) async fn messages(&self, stream: &str) -> u64 {
        let info = self.api(&format!("STREAM.INFO.{stream}"), Value::Null).await;
        info.pointer("/state/messages").and_then(Value::as_u64).expect("a number of messages")
    }

    /// How many messages a stream holds under subjects.
    pub(crate) async fn count(&self, stream: &str, subjects: &str) -> u64 {
        let wanted = serde_json::json!({ "subjects_filter": subjects });
        let info = self.api(&format!("STREAM.INFO.{stream}"), wanted).await;
        let all = info.pointer("/state/subjects").and_then(Value::as_object);
        all.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }
}

/// Starts the server again on the same port and store, as a supervisor would.
pub(crate) async fn restart(bench: Bench) -> Bench {
    let port = bench.port();
    let Bench { bus, plain, server, dir } = bench;
    server.kill();
    until("the loss of the connection", async || !bus.is_connected()).await;
    let again = Options { port: Some(port), ..options(dir.path()) };
    let server = Server::start(&again).await.expect("the server again");
    Bench { bus, plain, server, dir }
}

pub(crate) async fn api(plain: &async_nats::Client, call: &str, body: Value) -> Value {
    jetstream::new(plain.clone()).request(call.to_owned(), &body).await.expect("an answer of JetStream")
}

pub(crate) async fn edit(plain: &async_nats::Client, stream: &str, changes: Value) {
    let info = api(plain, &format!("STREAM.INFO.{stream}"), Value::Null).await;
    let mut config = info["config"].clone();
    for (name, value) in changes.as_object().expect("an object") {
        config[name] = value.clone();
    }
    let answer = api(plain, &format!("STREAM.UPDATE.{stream}"), config).await;
    assert!(answer.get("error").is_none(), "{answer}");
}

pub(crate) fn settings(url: &str) -> Settings {
    // The two cores of a test machine are shared by many servers.
    Settings { connect_timeout: Duration::from_secs(30), ..Settings::new(url, "homelab") }
}

/// Fails instead of hanging.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The next `count` entries of a read.
pub(crate) async fn take<T>(
    read: &mut (impl Stream<Item = Result<Entry<T>, BusError>> + Unpin),
    count: usize,
) -> Vec<Entry<T>> {
    let mut entries = Vec::new();
    while entries.len() < count {
        let entry = soon("an entry", read.next()).await.expect("a read never ends").expect("an entry");
        entries.push(entry);
    }
    entries
}

pub(crate) fn event(n: usize) -> Signal {
    Signal {
        id: format!("event/u{n}/0000000001/{n}"),
        cluster: "homelab".into(),
        source: "event".into(),
        name: "BackOff".into(),
        at: Some(timestamp(1_587_733_000_000 + n as u64)),
        subject: Some(ObjectRef { namespace: "kube-system".into(), ..ObjectRef::default() }),
        message: format!("Back-off restarting failed container ({n})"),
        ..Signal::default()
    }
}

pub(crate) fn line(n: usize) -> Signal {
    Signal {
        id: format!("kubelet/kal/{n:010}"),
        source: "kubelet".into(),
        subject: None,
        message: format!("pod_workers.go:191] Error syncing pod {n}"),
        ..event(n)
    }
}

pub(crate) fn finding(id: &str, revision: u32) -> Finding {
    Finding {
        id: id.into(),
        revision,
        code: "coredns.forward-loop".into(),
        title: "CoreDNS on node kal forwards queries to itself".into(),
        cluster: "homelab".into(),
        root: Some(ObjectRef {
            kind: "ConfigMap".into(),
            namespace: "kube-system".into(),
            name: "coredns".into(),
            ..ObjectRef::default()
        }),
        ..Finding::default()
    }
}

/// A nats-server started by hand, for what [`Server`] does not do. Ended on drop.
pub(crate) struct Bare {
    child: Child,
    pub(crate) url: String,
    _dir: TempDir,
}

impl Bare {
    pub(crate) async fn start(program: &Path, arguments: &[&str], jetstream: bool) -> Bare {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"]).arg(dir.path()).args(arguments);
        if jetstream {
            command.arg("-js").arg("-sd").arg(dir.path());
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a nats-server");
        let mut bare = Bare { child, url: String::new(), _dir: dir };
        let ports = bare._dir.path().to_owned();
        until("a ports file", async || {
            let files = std::fs::read_dir(&ports).expect("the directory").filter_map(Result::ok);
            let ports =
                files.map(|file| file.path()).find(|path| path.extension().is_some_and(|end| end == "ports"));
            let ports: Option<Value> = ports
                .and_then(|path| std::fs::read(path).ok())
                .and_then(|text| serde_json::from_slice(&text).ok());
            bare.url =
                ports.and_then(|ports| Some(ports["nats"][0].as_str()?.to_owned())).unwrap_or_default();
            !bare.url.is_empty()
        })
        .await;
        bare
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
