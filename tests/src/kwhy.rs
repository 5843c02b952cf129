//! The kwhy binary: run to its end, or as `kwhy run` in the background.

use std::{
    cell::RefCell,
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Answer, Background, Client, NatsServer, Stored, get, python, tools};

/// What a program left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit status; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// The lines of standard error.
    #[must_use]
    pub fn errors(&self) -> Vec<&str> {
        self.stderr.lines().collect()
    }
}

/// The binary with an environment of its own: an empty home, which is also the working directory, and nothing of the
/// machine's configuration. Compiled rules are shared by all tests unless one wants a cache of its own.
#[derive(Debug)]
pub struct Kwhy {
    home: TempDir,
    cache: PathBuf,
}

impl Default for Kwhy {
    fn default() -> Self {
        Self::new()
    }
}

impl Kwhy {
    /// A new home.
    ///
    /// # Panics
    /// Where there is no room for temporary files.
    #[must_use]
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a temporary directory"),
            cache: tools::target().join("tmp/kwhy-tests"),
        }
    }

    /// A new home with an empty cache of compiled rules.
    #[must_use]
    pub fn with_cold_cache() -> Self {
        let kwhy = Self::new();
        Self { cache: kwhy.home("cache"), ..kwhy }
    }

    /// A new home with a cache of its own that holds all built-in packs compiled.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn with_warm_cache() -> Self {
        // Whatever kwhy did last has filled the shared one.
        let shared = Self::new();
        let _filled = shared.diagnose(&crate::coredns_loop());
        let own = Self::with_cold_cache();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(own.cache.join("kwhy")).expect("a folder");
        for entry in shared.cached() {
            let copy = own.cache.join("kwhy").join(entry.file_name().expect("a name"));
            // One that goes away meanwhile is half written or too old, and of no use here.
            let _ = fs::copy(entry, copy);
        }
        own
    }

    /// A path in its home.
    #[must_use]
    pub fn home(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file in its home.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home(name);
        fs::create_dir_all(path.parent().expect("it is in the home")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    /// A copy of a capture in its home, to be damaged.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn copy_of(&self, capture: &Path) -> PathBuf {
        let to = self.home("capture");
        copy(capture, &to);
        to
    }

    /// The entries of its cache of compiled rules.
    #[must_use]
    pub fn cached(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache.join("kwhy")).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "code"));
        files.sort();
        files
    }

    /// The command, ready to be changed further.
    #[must_use]
    pub fn command(&self, args: &[&dyn AsRef<OsStr>]) -> Command {
        let mut command = Command::new(tools::kwhy());
        command.args(args.iter().map(|arg| arg.as_ref()));
        self.dress(command)
    }

    /// The command with a terminal of 100 columns as its standard output; what it writes there comes out as it is.
    #[must_use]
    pub fn on_terminal(&self, args: &[&dyn AsRef<OsStr>]) -> Command {
        let mut command = python::script("terminal.py", ["100"]);
        command.arg(tools::kwhy()).args(args.iter().map(|arg| arg.as_ref()));
        self.dress(command)
    }

    fn dress(&self, mut command: Command) -> Command {
        command.current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).env("XDG_CACHE_HOME", &self.cache);
        // For setpriv, by which a nats-server ends with kwhy.
        command.env("PATH", env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(&self, args: &[&dyn AsRef<OsStr>]) -> Ended {
        Background::start(self.command(args)).wait()
    }

    /// What `kwhy diagnose --output json` says of a capture.
    #[must_use]
    pub fn diagnose(&self, capture: &Path) -> Ended {
        self.run(&[&"diagnose", &capture, &"--output", &"json"])
    }

    /// Plays a capture into NATS as fast as it takes it, and returns what it said.
    ///
    /// # Panics
    /// Where that fails.
    pub fn feed(&self, capture: &Path, url: &str) -> String {
        let fed = self.run(&[&"feed", &capture, &"--nats", &url, &"--speed", &"max"]);
        assert_eq!(fed.code, Some(0), "{}", fed.stderr);
        fed.stderr
    }

    /// Starts `kwhy run` with these further arguments and waits until it is ready.
    #[must_use]
    pub fn engine(&self, args: &[&dyn AsRef<OsStr>]) -> Engine {
        let mut command = self.command(&[&"run"]);
        command.args(args.iter().map(|arg| arg.as_ref()));
        let process = Background::start(command);
        let url = process.wait_for("line `nats: URL`", |line| line.strip_prefix("nats: ").map(str::to_owned));
        let probes = RefCell::default();
        process.wait_for("line `ready`", |line| {
            if let Some(url) = line.strip_prefix("probes: ") {
                probes.replace(Some(url.to_owned()));
            }
            (line == "ready").then_some(())
        });
        Engine { process, url, probes: probes.into_inner() }
    }

    /// The same of a cluster in this NATS: with snapshots as often as there is anything new, taken over after three seconds
    /// of silence, and answering probes.
    #[must_use]
    pub fn eager(&self, url: &str, cluster: &str) -> Engine {
        let config = self.write(
            "eager.yaml",
            "engine: {snapshot_every: 0s, takeover_after: 3s}\nprobes: {listen: 127.0.0.1:0}\n",
        );
        self.engine(&[&"--nats", &url, &"--cluster", &cluster, &"--config", &config])
    }

    /// Makes the streams of NATS, as the first `kwhy run` does, and returns what it left behind.
    ///
    /// # Panics
    /// Where that fails.
    pub fn make_streams(&self, url: &str, cluster: &str) -> Ended {
        let ended = self.engine(&[&"--nats", &url, &"--cluster", &cluster]).process.terminate();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }
}

/// The finding revisions of `kwhy diagnose`, a line each.
///
/// # Panics
/// Where it has anything to complain of.
#[must_use]
pub fn said_of(kwhy: &Kwhy, capture: &Path) -> Vec<String> {
    let found = kwhy.diagnose(capture);
    assert_eq!(found.stderr, "");
    found.stdout.lines().map(str::to_owned).collect()
}

/// What a capture becomes on `KWHY_IN`.
///
/// # Panics
/// Where it cannot be fed.
pub async fn recorded(kwhy: &Kwhy, capture: &Path) -> Vec<Stored> {
    let server = NatsServer::start(&tools::nats_server());
    kwhy.feed(capture, &server.url);
    Client::connect(&server.url).await.stored("KWHY_IN").await
}

/// A `kwhy run` that is ready.
#[derive(Debug)]
pub struct Engine {
    /// The program.
    pub process: Background,
    /// Its NATS.
    pub url: String,
    /// Where it answers probes, if it does.
    pub probes: Option<String>,
}

/// Ends an engine when it has read and stored everything that was published so far, and returns what it left behind.
///
/// A message that is no batch of signals marks the end: the engine says that it leaves it out when it comes to it,
/// which is after all that was published before, and it stores what it has read before it ends.
pub async fn finish(engine: Engine, client: &Client, cluster: &str) -> Ended {
    engine.catch_up(client, cluster).await;
    engine.process.terminate()
}

impl Engine {
    /// What it answers to whoever asks for this path of its probes.
    ///
    /// # Panics
    /// Where it answers none.
    #[must_use]
    pub fn ask(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.probes.as_ref().expect("an address for probes")))
    }

    /// A figure of `/metrics` that has no labels.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn figure(&self, name: &str) -> f64 {
        let page = self.ask("/metrics").body;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{page}"))
    }

    /// What it says once it is not ready.
    ///
    /// # Errors
    /// It stays ready for longer.
    pub async fn is_red_within(&self, limit: Duration) -> Result<String, String> {
        let deadline = Instant::now() + limit;
        loop {
            let answer = self.ask("/-/ready");
            if answer.status == 503 {
                return Ok(answer.body);
            }
            if Instant::now() > deadline {
                return Err(format!("it is ready for {limit:?} and more"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// What keeps it for longer.
    pub async fn is_green_within(&self, limit: Duration) -> Result<(), String> {
        let deadline = Instant::now() + limit;
        loop {
            let answer = self.ask("/-/ready");
            if answer.status == 200 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("it is not ready for {limit:?} and more: {}", answer.body.trim()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until it has read everything that was published so far, as [`finish`] does.
    pub async fn catch_up(&self, client: &Client, cluster: &str) {
        // With an id, so that it can be sent again where a server is not there yet.
        let id = format!("the end {:x}", fastrand::u64(..));
        let headers = [("Nats-Msg-Id".to_owned(), id)].into();
        let subject = format!("kwhy.in.{cluster}.end._");
        let end = Stored { subject, headers, body: b"\xff the end".to_vec() };
        let sequence = client.keep(&end).await;
        let mark = format!("message {sequence} on ");
        self.process.wait_for("the mark at the end", |line| line.contains(&mark).then_some(()));
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder to copy").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            // Read and written: a copy would be as read-only as its original may be.
            fs::write(target, fs::read(entry.path()).expect("a file to copy")).expect("a copy");
        }
    }
}
