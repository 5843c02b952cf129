//! What every test here stands on: a NATS server that can be stopped, a log that grows, and what became of its lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use kwhy_proto::{
    Message as _,
    v1::{Signal, SignalBatch},
};
use kwhy_tests::{Background, CLUSTER, Client, Kwhy, PATIENCE, nats_server};
use tempfile::TempDir;

/// A nats-server whose process the test has a hold of.
pub(crate) struct Nats {
    pub(crate) url: String,
    pub(crate) process: Background,
    _store: TempDir,
}

impl Nats {
    /// With JetStream and what `config` says besides.
    pub(crate) fn start(config: &str) -> Nats {
        let store = tempfile::tempdir().expect("a temporary directory");
        let file = store.path().join("nats.conf");
        let text = config.replace("STORE", &store.path().join("js").display().to_string());
        fs::write(&file, text).expect("a file");
        let mut command = Command::new(nats_server());
        command.args(["--addr", "127.0.0.1", "--port", "-1", "--config"]).arg(file);
        let process = Background::start(command);
        let url = process.wait_for("its address", |line| {
            let (_, address) = line.split_once("Listening for client connections on ")?;
            Some(format!("nats://{}", address.trim()))
        });
        process.wait_for("`Server is ready`", |line| line.contains("Server is ready").then_some(()));
        Nats { url, process, _store: store }
    }

    /// A server as `kwhy run` would want it.
    pub(crate) fn plain() -> Nats {
        Nats::start(JETSTREAM)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }
}

/// The store of a server.
pub(crate) const JETSTREAM: &str = "jetstream { store_dir: \"STORE\" }\n";

/// Makes the streams, as the first `kwhy run` does.
pub(crate) fn make_streams(kwhy: &Kwhy, url: &str) {
    let ended = kwhy.make_streams(url, CLUSTER);
    assert!(!ended.stderr.contains(":e@"), "the password of a URL is one: {}", ended.stderr);
}

/// A kubelet's log file.
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    written: usize,
}

impl Log {
    pub(crate) fn new(kwhy: &Kwhy) -> Log {
        Log { path: kwhy.write("log/kubelet.log", ""), written: 0 }
    }

    /// Writes further lines, each with its number, as of now.
    pub(crate) fn write(&mut self, count: usize) {
        let mut text = String::new();
        for _ in 0..count {
            writeln!(text, "{} line {}", klog_head('I'), self.written).expect("a text");
            self.written += 1;
        }
        self.append(&text);
    }

    pub(crate) fn append(&self, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path).expect("the log");
        file.write_all(text.as_bytes()).expect("room");
    }
}

/// `I1127 05:09:19.000000    1043 x.go:1]`, at this moment in UTC.
pub(crate) fn klog_head(level: char) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let at = kwhy_proto::timestamp(u64::try_from(now.as_millis()).expect("a time")).to_string();
    let (date, clock) = at.trim_end_matches('Z').split_once('T').expect("a time");
    let clock = format!("{}.000000", clock.split('.').next().expect("seconds"));
    format!("{level}{}{} {clock}    1043 x.go:1]", &date[5..7], &date[8..10])
}

/// `kwhy collect kubelet` on a file.
pub(crate) fn collect(kwhy: &Kwhy, url: &str, log: &Log) -> Background {
    let command = kwhy.command(&[
        &"collect",
        &"kubelet",
        &"--nats",
        &url,
        &"--cluster",
        &CLUSTER,
        &"--node",
        &"kal",
        &"--file",
        &log.path,
    ]);
    let process = Background::start(command);
    process.wait_for("line `ready`", |line| (line == "ready").then_some(()));
    process
}

/// What of a log has come into `KWHY_IN`.
pub(crate) struct Arrived {
    pub(crate) signals: Vec<Signal>,
    /// Signals of each message.
    pub(crate) sizes: Vec<usize>,
}

impl Arrived {
    pub(crate) async fn at(url: &str) -> Arrived {
        let client = Client::connect(url).await;
        let mut arrived = Arrived { signals: Vec::new(), sizes: Vec::new() };
        for message in client.stored("KWHY_IN").await {
            if message.subject.split('.').nth(3) == Some("tick") {
                continue;
            }
            let batch = SignalBatch::decode(message.body.as_slice()).expect("a batch of signals");
            arrived.sizes.push(batch.signals.len());
            arrived.signals.extend(batch.signals);
        }
        arrived
    }

    /// Waits until so many different lines have come.
    pub(crate) async fn until(url: &str, lines: usize) -> Arrived {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let arrived = Arrived::at(url).await;
            if arrived.lines().len() >= lines {
                return arrived;
            }
            assert!(Instant::now() < deadline, "{} of {lines} lines came", arrived.lines().len());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// The numbered lines by id. A line that came twice under one id is one, as it is to the engine.
    pub(crate) fn lines(&self) -> BTreeMap<&str, usize> {
        let number = |signal: &Signal| signal.message.strip_prefix("line ")?.parse().ok();
        self.signals.iter().filter_map(|signal| Some((signal.id.as_str(), number(signal)?))).collect()
    }

    /// Each of the lines 0 to `count` came, under one id.
    pub(crate) fn assert_each_once(&self, count: usize) {
        let lines = self.lines();
        let numbers: BTreeSet<usize> = lines.values().copied().collect();
        assert_eq!(lines.len(), count, "a line has two ids, or is missing");
        assert_eq!(numbers, (0..count).collect());
    }

    pub(crate) fn gaps(&self) -> Vec<&str> {
        self.signals.iter().filter(|signal| signal.source == "gap").map(|s| s.message.as_str()).collect()
    }
}
