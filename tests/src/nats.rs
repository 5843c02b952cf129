//! A NATS server for one test, and a plain client that looks at what kwhy keeps there.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use async_nats::{
    HeaderMap, HeaderValue, Subscriber,
    connection::State,
    jetstream::{self, stream::RawMessageErrorKind},
};
use futures::StreamExt;
use kwhy_proto::{
    Message as _,
    v1::{Checkpoint, Finding, Signal, SignalBatch},
};
use rustix::process::Signal as Interrupt;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{Background, PATIENCE, eventually};

/// The configuration of a server, beside its store.
const CONFIG: &str = "nats.conf";

/// A nats-server with JetStream on loopback. Dropped, it is killed and its store removed.
#[derive(Debug)]
pub struct NatsServer {
    /// Where it answers.
    pub url: String,
    /// The program, after what starts it.
    launch: Vec<OsString>,
    // Ended before its store is removed.
    process: Option<Background>,
    /// Keeps the disk that is its own.
    disk: Option<Background>,
    store: TempDir,
}

/// Where a server keeps its streams, in its store.
const STREAMS: &str = "jetstream";

impl NatsServer {
    /// Starts this program and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn start(program: &Path) -> Self {
        Self::with(program, "")
    }

    /// The same with a configuration.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn with(program: &Path, config: &str) -> Self {
        let store = tempfile::tempdir().expect("a temporary directory");
        Self::launched(vec![program.into()], config, store, None)
    }

    /// The same with its streams on a disk of so many MiB, which [`NatsServer::enlarge`] makes larger.
    ///
    /// # Errors
    /// Where this machine does not let a program mount a disk of its own.
    ///
    /// # Panics
    /// As [`NatsServer::start`].
    pub fn on_small_disk(program: &Path, mib: u32) -> Result<Self, String> {
        let store = tempfile::tempdir().expect("a temporary directory");
        let streams = store.path().join(STREAMS);
        fs::create_dir(&streams).expect("a folder");
        let mount = format!("mount -t tmpfs -o size={mib}m kwhy \"$0\"");
        let own = |script: String| {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", &script]).arg(&streams);
            command
        };
        let tried = own(mount.clone()).output().map_err(|error| error.to_string())?;
        if !tried.status.success() {
            return Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned());
        }
        // The disk is there as long as somebody is who sees it.
        let disk = Background::start(own(format!("{mount} && echo mounted >&2 && exec sleep infinity")));
        disk.wait_for("the disk", |line| (line == "mounted").then_some(()));
        let mut launch: Vec<OsString> =
            ["nsenter", "--mount", "--target"].into_iter().map(OsString::from).collect();
        launch.extend([disk.id().to_string().into(), program.into()]);
        // What is reserved for the streams is more than there is.
        Ok(Self::launched(launch, "jetstream { max_file_store: 64GB }\n", store, Some(disk)))
    }

    /// Takes what is left of its disk: a stream that had no room for a large message may leave some for small ones.
    ///
    /// # Panics
    /// Where it has none of its own.
    pub fn fill_disk(&self) {
        // It ends where nothing more can be written, which is no success.
        let _full = self.on_disk("cat /dev/zero > \"$0/filler\" 2> /dev/null");
    }

    /// Makes its disk larger.
    ///
    /// # Panics
    /// Where it has none of its own.
    pub fn enlarge(&self, mib: u32) {
        let done = self.on_disk(&format!("rm -f \"$0/filler\" && mount -o remount,size={mib}m \"$0\""));
        assert!(done.success(), "the disk was not enlarged: {done}");
    }

    /// Runs a script that sees its disk.
    fn on_disk(&self, script: &str) -> ExitStatus {
        let holder = self.disk.as_ref().expect("a disk of its own").id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &holder, "sh", "-c", script]);
        command.arg(self.store.path().join(STREAMS)).status().expect("it can be run")
    }

    fn launched(launch: Vec<OsString>, config: &str, store: TempDir, disk: Option<Background>) -> Self {
        fs::write(store.path().join(CONFIG), config).expect("a file");
        let (process, address) = start(&launch, "-1", store.path());
        Self { url: format!("nats://{address}"), launch, process: Some(process), disk, store }
    }

    /// Sends it a signal, as STOP and CONT.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn signal(&self, signal: Interrupt) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// Ends it without a chance to say anything (SIGKILL). Its store stays.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// A copy of what it keeps of a stream. It must not run.
    ///
    /// # Panics
    /// Where it keeps none.
    #[must_use]
    pub fn copy_of_stream(&self, name: &str) -> TempDir {
        assert!(self.process.is_none(), "a server that runs has not written all");
        let copy = tempfile::tempdir().expect("a temporary directory");
        crate::kwhy::copy(&self.stream_folder(name), copy.path());
        copy
    }

    /// Puts what was kept of a stream in the place of what is kept, as one who restores a backup. It must not run.
    ///
    /// # Panics
    /// Where it keeps none.
    pub fn restore_stream(&self, name: &str, copy: &TempDir) {
        assert!(self.process.is_none(), "a server that runs does not look at its store again");
        let folder = self.stream_folder(name);
        std::fs::remove_dir_all(&folder).expect("what it keeps");
        crate::kwhy::copy(copy.path(), &folder);
    }

    fn stream_folder(&self, name: &str) -> PathBuf {
        self.store.path().join(STREAMS).join("$G/streams").join(name)
    }

    /// Ends it in order (SIGTERM), so that all is written.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            let _ended = process.terminate();
        }
    }

    /// Starts it again on the same store and address.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn restart(&mut self) {
        self.kill();
        let (_, port) = self.url.rsplit_once(':').expect("an address has a port");
        self.process = Some(start(&self.launch, port, self.store.path()).0);
    }
}

fn start(launch: &[OsString], port: &str, store: &Path) -> (Background, String) {
    let (program, before) = launch.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(before);
    command.args(["--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir"]).arg(store);
    command.arg("--config").arg(store.join(CONFIG));
    let process = Background::start(command);
    let address = process.wait_for("its address", |line| {
        let (_, address) = line.split_once("Listening for client connections on ")?;
        Some(address.trim().to_owned())
    });
    process.wait_for("`Server is ready`", |line| line.contains("Server is ready").then_some(()));
    (process, address)
}

/// A message of a stream or subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it was published.
    pub subject: String,
    /// First value of each header.
    pub headers: BTreeMap<String, String>,
    /// What it holds.
    pub body: Vec<u8>,
}

/// A plain client.
#[derive(Debug, Clone)]
pub struct Client {
    plain: async_nats::Client,
    jetstream: jetstream::Context,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// Where nobody answers.
    pub async fn connect(url: &str) -> Self {
        // A server that was only restarted is back soon.
        let options = async_nats::ConnectOptions::new();
        let options = options.reconnect_delay_callback(|_| Duration::from_millis(100));
        let servers: Vec<&str> = url.split(',').collect();
        let plain = options.connect(servers).await.expect("a connection");
        Self { jetstream: jetstream::new(plain.clone()), plain }
    }

    /// Everything that a stream holds, in its order. Old checkpoints leave holes in `KWHY_OUT`.
    ///
    /// # Panics
    /// Where there is no such stream, or a hole in another one.
    pub async fn stored(&self, name: &str) -> Vec<Stored> {
        let mut stream = self.stream(name).await;
        let state = stream.info().await.expect("its state").state.clone();
        let mut all = Vec::new();
        if state.messages == 0 {
            return all;
        }
        for sequence in state.first_sequence..=state.last_sequence {
            let message = match stream.get_raw_message(sequence).await {
                Ok(message) => message,
                Err(error) if name == "KWHY_OUT" && error.kind() == RawMessageErrorKind::NoMessageFound => {
                    continue;
                }
                Err(error) => panic!("message {sequence} of {name}: {error}"),
            };
            all.push(Stored {
                subject: message.subject.to_string(),
                headers: headers(&message.headers),
                body: message.payload.to_vec(),
            });
        }
        all
    }

    /// The id of each message that a stream holds, by its sequence; empty where it has none.
    ///
    /// # Panics
    /// Where there is no such stream.
    pub async fn ids(&self, stream: &str) -> BTreeMap<u64, String> {
        let count = self.stream(stream).await.info().await.expect("its state").state.messages;
        let config = jetstream::consumer::pull::OrderedConfig { headers_only: true, ..Default::default() };
        let consumer = self.stream(stream).await.create_consumer(config).await.expect("a consumer");
        let mut messages = consumer.messages().await.expect("messages");
        let mut all = BTreeMap::new();
        while (all.len() as u64) < count {
            let next = timeout(PATIENCE, messages.next()).await.expect("they come");
            let message = next.expect("there are more").expect("a message");
            let sequence = message.info().expect("its place").stream_sequence;
            let id = message.headers.as_ref().and_then(|all| all.get("Nats-Msg-Id"));
            all.insert(sequence, id.map(|id| id.as_str().to_owned()).unwrap_or_default());
        }
        all
    }

    /// What a stream holds under subjects, in its order.
    ///
    /// # Panics
    /// Where there is no such stream.
    pub async fn stored_under(&self, stream: &str, subjects: &str) -> Vec<Stored> {
        let count = self.count(stream, subjects).await;
        let config = jetstream::consumer::pull::OrderedConfig {
            filter_subject: subjects.to_owned(),
            ..Default::default()
        };
        let consumer = self.stream(stream).await.create_consumer(config).await.expect("a consumer");
        let mut messages = consumer.messages().await.expect("messages");
        let mut all = Vec::new();
        while (all.len() as u64) < count {
            let next = timeout(PATIENCE, messages.next()).await.expect("they come");
            all.push(stored(next.expect("there are more").expect("a message").into()));
        }
        all
    }

    /// How many messages a stream holds under subjects.
    ///
    /// # Panics
    /// Where there is no such stream.
    pub async fn count(&self, stream: &str, subjects: &str) -> u64 {
        let stream = self.jetstream.get_stream(stream).await.expect("the stream");
        let mut info = stream.info_with_subjects(subjects).await.expect("its subjects");
        let mut count = 0;
        while let Some(subject) = info.next().await {
            count += u64::try_from(subject.expect("a subject").1).expect("a number");
        }
        count
    }

    /// How many messages of a stream its consumers have not been given yet: of the one that is furthest behind.
    ///
    /// # Panics
    /// Where there is no such stream.
    pub async fn pending(&self, stream: &str) -> u64 {
        let stream = self.stream(stream).await;
        let mut consumers = stream.consumers();
        let mut most = 0;
        while let Some(consumer) = consumers.next().await {
            most = most.max(consumer.expect("a consumer").num_pending);
        }
        most
    }

    /// Publishes all at once into a stream.
    ///
    /// # Panics
    /// Where the stream does not take them.
    pub async fn pour(&self, subject: &str, bodies: impl Iterator<Item = Vec<u8>>) {
        let mut sent = Vec::new();
        for body in bodies {
            sent.push(self.jetstream.publish(subject.to_owned(), body.into()).await.expect("it is sent"));
        }
        for sent in sent {
            sent.await.expect("it is stored");
        }
    }

    /// Waits until it holds so many.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn wait_for_count(&self, stream: &str, subjects: &str, wanted: u64) {
        let deadline = std::time::Instant::now() + 2 * PATIENCE;
        loop {
            let count = self.count(stream, subjects).await;
            if count >= wanted {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{count} of {wanted} messages came");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// A stream; of a server that was just started again it takes a while.
    async fn stream(&self, name: &str) -> jetstream::stream::Stream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.jetstream.get_stream(name).await {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < deadline, "stream {name}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The signals of one source that `KWHY_IN` holds, in its order. What is no batch of signals is passed over.
    pub async fn signals(&self, source: &str) -> Vec<Signal> {
        let stored = self.stored("KWHY_IN").await;
        let batches = stored.iter().filter_map(|it| SignalBatch::decode(it.body.as_slice()).ok());
        batches.flat_map(|batch| batch.signals).filter(|signal| signal.source == source).collect()
    }

    /// Publishes until nothing more is acknowledged, as on a full disk; returns how many messages were.
    ///
    /// # Panics
    /// Where that does not happen.
    pub async fn fill(&self) -> u64 {
        let mut random = fastrand::Rng::with_seed(1);
        for stored in 0..10_000 {
            let body = noise(&mut random, 64 << 10);
            let sent = self.jetstream.publish("kwhy.in.filler.noise._", body.into()).await;
            let answer = async { sent.ok()?.await.ok() };
            if !matches!(timeout(Duration::from_secs(2), answer).await, Ok(Some(_))) {
                return stored;
            }
        }
        panic!("the disk does not get full");
    }

    /// Publishes so many messages of so many bytes without waiting for anybody to store them.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn throw(&self, subject: &str, count: usize, size: usize) {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..count {
            let body = noise(&mut random, size).into();
            self.plain.publish(subject.to_owned(), body).await.expect("it is sent");
        }
        self.plain.flush().await.expect("all are sent");
    }

    /// A call of the API of JetStream; none where nobody answers.
    pub async fn api(&self, call: &str, body: &serde_json::Value) -> Option<serde_json::Value> {
        self.jetstream.request(call.to_owned(), body).await.ok()
    }

    /// The finding revisions that `KWHY_OUT` holds, in its order.
    ///
    /// # Panics
    /// Where something else is stored there.
    pub async fn findings(&self) -> Vec<Finding> {
        let mut stored = self.stored("KWHY_OUT").await;
        stored.retain(|it| it.subject.starts_with("kwhy.out.f."));
        stored.iter().map(|it| Finding::decode(it.body.as_slice()).expect("a finding")).collect()
    }

    /// The same, each as the line of JSON that `kwhy diagnose` prints.
    ///
    /// # Panics
    /// Where one is not encoded as kwhy would encode it.
    pub async fn revisions(&self) -> Vec<String> {
        let mut stored = self.stored("KWHY_OUT").await;
        stored.retain(|it| it.subject.starts_with("kwhy.out.f."));
        stored.iter().map(|it| line(&it.body)).collect()
    }

    /// The newest checkpoint of a cluster; none where nobody has stored one.
    ///
    /// # Panics
    /// Where something else is stored there.
    pub async fn checkpoint(&self, cluster: &str) -> Option<Checkpoint> {
        let stream = self.stream("KWHY_OUT").await;
        let last = stream.get_last_raw_message_by_subject(&format!("kwhy.out.ckpt.{cluster}")).await.ok()?;
        Some(Checkpoint::decode(last.payload).expect("a checkpoint"))
    }

    /// The sequence of the newest checkpoint of a cluster; 0 where nobody has stored one.
    pub async fn head_sequence(&self, cluster: &str) -> u64 {
        let stream = self.stream("KWHY_OUT").await;
        let last = stream.get_last_raw_message_by_subject(&format!("kwhy.out.ckpt.{cluster}")).await;
        last.map_or(0, |last| last.sequence)
    }

    /// Stores a checkpoint in the name of another process, without any condition.
    ///
    /// # Panics
    /// Where nobody has stored one yet.
    pub async fn forge_checkpoint(&self, cluster: &str, owner: &str) {
        let last = self.checkpoint(cluster).await.expect("a checkpoint");
        let forged = Checkpoint { owner: owner.to_owned(), epoch: last.epoch + 1, ..last };
        self.publish(&format!("kwhy.out.ckpt.{cluster}"), None, forged.encode_to_vec()).await;
    }

    /// Puts something else in the place of every snapshot, or deletes all.
    ///
    /// # Panics
    /// Where there is no store of snapshots.
    pub async fn break_snapshots(&self, delete: bool) {
        let store = self.jetstream.get_object_store("KWHY_SNAP").await.expect("the store of snapshots");
        let mut names = Vec::new();
        let mut all = store.list().await.expect("its content");
        while let Some(object) = all.next().await {
            names.push(object.expect("an object").name);
        }
        for name in names {
            if delete {
                store.delete(&name).await.expect("it can be deleted");
            } else {
                store.put(name.as_str(), &mut &b"something else"[..]).await.expect("it can be replaced");
            }
        }
    }

    /// Publishes into a stream and returns the sequence.
    ///
    /// # Panics
    /// Where the stream takes it for a duplicate or does not answer.
    pub async fn publish(&self, subject: &str, id: Option<&str>, body: Vec<u8>) -> u64 {
        let mut headers = HeaderMap::new();
        if let Some(id) = id {
            headers.insert("Nats-Msg-Id", id);
        }
        let sent = self.jetstream.publish_with_headers(subject.to_owned(), headers, body.into()).await;
        let stored = sent.expect("it is sent").await.expect("it is stored");
        assert!(!stored.duplicate, "{subject}: {id:?} is taken for a duplicate");
        stored.sequence
    }

    /// Waits until the checkpoint of a cluster knows of a message.
    ///
    /// # Panics
    /// Where it does not in time.
    pub async fn taken_in(&self, cluster: &str, sequence: u64) {
        eventually(&format!("checkpoint at {sequence}"), async || {
            self.checkpoint(cluster).await.filter(|checkpoint| checkpoint.sequence >= sequence)
        })
        .await;
    }

    /// Publishes what was stored elsewhere, under its id after a prefix.
    ///
    /// # Panics
    /// As [`Client::publish`].
    pub async fn ship(&self, message: &Stored, prefix: &str) {
        let id = message.headers.get("Nats-Msg-Id").expect("an id");
        self.publish(&message.subject, Some(&format!("{prefix}{id}")), message.body.clone()).await;
    }

    /// Publishes what was stored elsewhere, under its id, again and again until the server says that it has it; returns the
    /// sequence.
    ///
    /// # Panics
    /// Where it does not say so in three times [`PATIENCE`].
    pub async fn keep(&self, message: &Stored) -> u64 {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", message.headers.get("Nats-Msg-Id").expect("an id").as_str());
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            // What waits for a connection would be sent at a time that nobody knows.
            if self.plain.connection_state() == State::Connected {
                let (subject, body) = (message.subject.clone(), message.body.clone().into());
                let sent = self.jetstream.publish_with_headers(subject, headers.clone(), body).await;
                let answer = async { sent.ok()?.await.ok() };
                if let Ok(Some(stored)) = timeout(Duration::from_secs(2), answer).await {
                    return stored.sequence;
                }
            }
            assert!(Instant::now() < deadline, "{} was not acknowledged", message.subject);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Changes settings of a stream, under the names that NATS gives them.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn edit(&self, stream: &str, changes: serde_json::Value) {
        let info: serde_json::Value =
            self.jetstream.request(format!("STREAM.INFO.{stream}"), &()).await.expect("an answer");
        let mut config = info.get("config").cloned().expect("a configuration");
        for (name, value) in changes.as_object().expect("an object") {
            config.as_object_mut().expect("an object").insert(name.clone(), value.clone());
        }
        let update = format!("STREAM.UPDATE.{stream}");
        let answer: serde_json::Value = self.jetstream.request(update, &config).await.expect("an answer");
        assert!(answer.get("error").is_none(), "{answer}");
    }

    /// Subscribes; the server knows of it when this returns.
    ///
    /// # Panics
    /// Where the server does not answer.
    pub async fn subscribe(&self, subject: &str) -> Subscription {
        let subscriber = self.plain.subscribe(subject.to_owned()).await.expect("a subscription");
        // An answer to anything says that the subscription, sent before, is known.
        self.jetstream.query_account().await.expect("an answer");
        Subscription { subscriber, plain: self.plain.clone() }
    }
}

/// A plain subscription.
#[derive(Debug)]
pub struct Subscription {
    subscriber: Subscriber,
    plain: async_nats::Client,
}

impl Subscription {
    /// The messages that come: `least` of them are waited for, more are taken as far as they are there.
    ///
    /// # Panics
    /// Where fewer come.
    pub async fn take(mut self, least: usize, mark: &str) -> Vec<Stored> {
        let mut all = Vec::new();
        while all.len() < least {
            let next = timeout(PATIENCE, self.subscriber.next()).await;
            let next =
                next.unwrap_or_else(|_| panic!("{} of {least} messages came within {PATIENCE:?}", all.len()));
            all.push(stored(next.expect("a subscription lasts")));
        }
        self.plain.publish(mark.to_owned(), "".into()).await.expect("it is sent");
        loop {
            let next = timeout(PATIENCE, self.subscriber.next()).await.expect("the mark comes");
            match stored(next.expect("a subscription lasts")) {
                Stored { subject, .. } if subject == mark => return all,
                more => all.push(more),
            }
        }
    }
}

/// What cannot be compressed: anything else is stored in a fraction of its size.
fn noise(random: &mut fastrand::Rng, size: usize) -> Vec<u8> {
    let mut body = vec![0; size];
    random.fill(&mut body);
    body
}

/// A body as the line of JSON that `kwhy diagnose` prints.
///
/// # Panics
/// Where it is no finding, or not encoded as kwhy would encode it.
#[must_use]
pub fn line(body: &[u8]) -> String {
    let finding = Finding::decode(body).expect("a finding");
    assert_eq!(finding.encode_to_vec(), body, "the encoding is the canonical one");
    serde_json::to_string(&finding).expect("JSON")
}

fn stored(message: async_nats::Message) -> Stored {
    Stored {
        subject: message.subject.to_string(),
        headers: message.headers.as_ref().map(headers).unwrap_or_default(),
        body: message.payload.to_vec(),
    }
}

fn headers(map: &HeaderMap) -> BTreeMap<String, String> {
    let first = |values: &Vec<HeaderValue>| values.first().map(|value| value.as_str().to_owned());
    map.iter().filter_map(|(name, values)| Some((name.to_string(), first(values)?))).collect()
}
