//! The logs of a node: its kubelet, container runtime and kernel, from the systemd journal and from files.
//!
//! What is read travels in batches, and the place up to which it was read is stored only when NATS has acknowledged
//! what stands before it ([`positions`]). So a restart loses nothing, and what it may send twice has the same ids.
//! Whatever is lost on the way here, by a truncated file, a vacuumed journal or a limit, leaves a `gap` signal that
//! says so ([`Trouble`] tells the operator as well).
//!
//! - [`journal`]: a `journalctl` child, watched and started anew where it ends, hangs or speaks nonsense.
//! - [`tail`]: files, through rotation, truncation, deletion and restarts.
//! - [`assemble`]: texts to signals: lines joined, levels and limits kept to.
//! - [`ship`]: signals to NATS, then positions to disk.

mod assemble;
mod health;
pub mod journal;
mod lines;
mod positions;
mod ship;
mod tail;
mod trouble;
mod watching;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use self::{assemble::Assembler, positions::Store, tail::Tailer, trouble::Told};
pub use self::{
    assemble::Level,
    health::Health,
    journal::{Journal, KUBELETS},
    positions::StateError,
    ship::Shipped,
    tail::check_pattern,
    trouble::Trouble,
};
use crate::{Outgoing, Sink, clock::Clock};

/// Chunks between the sources and NATS. While NATS takes nothing, this is what waits in memory, at most 64 KiB each.
const BETWEEN: usize = 16;
/// How often files are looked at.
const POLL: Duration = Duration::from_millis(250);

/// What to read and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the node, as Kubernetes knows it.
    pub node: String,
    /// The systemd journal, where it is to be read.
    pub journal: Option<Journal>,
    /// Files to follow; each may have `*`, `?` and `[…]`.
    pub files: Vec<String>,
    /// Zone of the times in files that name none, seconds east of UTC.
    pub utc_offset: i64,
    /// Lines below it are left out.
    pub level: Level,
    /// Most lines of one second of log time; what is above is counted and dropped.
    pub lines_per_second: u32,
    /// How far back to begin where nothing was read before.
    pub since: Duration,
    /// Folder in which the positions are kept.
    pub state_dir: PathBuf,
}

/// A piece of a log on its way to NATS.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Signals of one source, in order.
    pub(crate) signals: Vec<kwhy_proto::v1::Signal>,
    /// Where to go on when they are stored.
    pub(crate) marks: Vec<positions::Mark>,
}

/// How the logs of a node are doing.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// How reading goes.
    pub reading: Health,
    /// How publishing goes.
    pub outgoing: Outgoing,
}

/// Reads and ships until `stop` is done; then ships what was read, for as long as [`ship::PATIENCE`] allows.
///
/// # Errors
/// What the sink says where time cannot mend it, and a folder for the positions that cannot be used.
pub async fn run<S: Sink>(
    settings: Settings,
    sink: &S,
    clock: impl Clock + Clone + 'static,
    stop: impl Future<Output = ()>,
    report: impl Fn(&Trouble) + Send + Sync + 'static,
    vitals: Vitals,
) -> Result<Shipped, RunError<S::Error>> {
    let told = Arc::new(Told::new(report, vitals.reading));
    let store = Store::open(&settings.state_dir, &settings.node, clock(), &told).map_err(RunError::State)?;
    let (sender, chunks) = mpsc::channel(BETWEEN);
    let (stopper, stopped) = watch::channel(false);
    let mut sources = tokio::task::JoinSet::new();
    if let Some(journal) = settings.journal.clone() {
        let assembler = assembler(&settings, &clock);
        let follower = journal::Follower::new(
            journal,
            assembler,
            store.positions().journal.clone(),
            told.clone(),
            sender.clone(),
        );
        let since = clock().saturating_sub(millis(settings.since));
        sources.spawn(follower.run(since, stopped.clone()));
    }
    if !settings.files.is_empty() {
        let begin = store.is_new().then(|| clock().saturating_sub(millis(settings.since)));
        let tailer = Tailer::new(settings.files.clone(), store.positions(), begin);
        let files = watching::Files::new(
            assembler(&settings, &clock),
            settings.utc_offset,
            told.clone(),
            sender.clone(),
            clock.clone(),
        );
        let stopped = stopped.clone();
        sources.spawn_blocking(move || files.run(tailer, POLL, &stopped));
    }
    drop(sender);
    let shipper = ship::ship(sink, chunks, store, &told, &vitals.outgoing, clock);
    let mut shipper = std::pin::pin!(shipper);
    tokio::select! {
        ended = &mut shipper => return ended.map_err(RunError::Sink),
        () = stop => {}
    }
    let _ = stopper.send(true);
    match tokio::time::timeout(ship::PATIENCE, shipper).await {
        Ok(shipped) => shipped.map_err(RunError::Sink),
        // What is not acknowledged was not noted either, so it is read again.
        Err(_elapsed) => Ok(Shipped::default()),
    }
}

/// Why reading and shipping ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E: std::error::Error + 'static> {
    /// Positions cannot be kept.
    #[error(transparent)]
    State(StateError),
    /// Signals cannot be stored.
    #[error(transparent)]
    Sink(E),
}

fn assembler<C: Clock>(settings: &Settings, clock: &C) -> Assembler {
    Assembler::new(
        settings.cluster.clone(),
        settings.node.clone(),
        settings.level,
        settings.lines_per_second,
        clock(),
    )
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The name of this host, by which a node is called where nothing else is said.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    kwhy_ingest::text::name(name.trim())
}

/// A path as it is shown.
fn shown(path: &Path) -> String {
    kwhy_ingest::text::line(&path.to_string_lossy()).into_owned()
}
