//! The capture reader: a directory of raw upstream files in, one ordered list of signals out. It also takes what other
//! tools have collected (`layout.rs`), and all of it as an archive.
//!
//! The format is described in `tests/captures/FORMAT.md`. Reading the same directory gives the same signals, wherever
//! and in whatever order its files lie on disk. What cannot be read becomes a [`Problem`]; only where nothing at all
//! could be read is that an error.
//!
//! Signals cite their place as `events.json#3` (third item), `changes.ndjson:7` and `kubelet/kal.log:118` (lines), all from
//! 1; an alert that `alerts.json` no longer lists cites `alerts.json`. A packed file is cited without `.gz`.

mod archive;
mod dump;
mod frames;
mod inventory;
mod layout;
mod list;
mod problem;
mod reader;
mod skim;
mod waiting;

use std::{io, path::Path, path::PathBuf};

use kwhy_proto::{millis, timestamp, v1::Signal};

pub use self::{
    archive::ArchiveError,
    problem::{Problem, Unit},
    waiting::Waiting,
};
use crate::alert::Identity;

/// Says which log lines shall become signals. Warnings, errors and fatal lines always do. Several threads may ask.
pub trait Interest: Sync {
    /// Whether a line is wanted. `source` is `kubelet` or `log`, `message` what [`Signal::message`] would be; `severity`
    /// is `I`, `W`, `E`, `F` or empty.
    fn wants_line(&self, source: &str, message: &str, severity: &str) -> bool;
}

/// Wants every line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everything;

impl Interest for Everything {
    fn wants_line(&self, _source: &str, _message: &str, _severity: &str) -> bool {
        true
    }
}

/// A capture, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Capture {
    /// Name of the cluster; that of the directory where `capture.yaml` gives none.
    pub cluster: String,
    /// What it is about, in its author's words; may be empty.
    pub title: String,
    /// Start of the span observed, milliseconds since the Unix epoch.
    pub from: u64,
    /// End of the span observed, milliseconds since the Unix epoch.
    pub to: u64,
    /// In the order of [`kwhy_proto::order`]; every id once.
    pub signals: Vec<Waiting>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// Lines of logs and of line-wise JSON, whether used or not.
    pub lines_read: u64,
    /// Files that gave something, `capture.yaml` not counted.
    pub files_read: u32,
    /// Whether there was a file of objects at all, readable or not.
    pub has_objects: bool,
}

impl Capture {
    /// A tick at the end of the capture, after which nothing more is known: at `to`, or at the last signal where a
    /// source went on for longer. What was listed at the very end is given a moment, so that it can be looked at as a
    /// whole.
    #[must_use]
    pub fn end_tick(&self) -> Signal {
        let mut heads = self.signals.iter().map(Waiting::head);
        let last = heads.clone().next_back().and_then(|signal| signal.at.as_ref()).map_or(0, millis);
        let listed = heads.rfind(|signal| signal.state == "listed" && signal.source == "object");
        let looked = listed.and_then(|signal| signal.at.as_ref()).map_or(0, |at| millis(at) + LOOK);
        let at = self.to.max(last).max(looked);
        Signal {
            id: format!("tick/{}", at / 1000),
            cluster: self.cluster.clone(),
            source: "tick".to_owned(),
            at: Some(timestamp(at)),
            ..Signal::default()
        }
    }
}

/// How long a list is looked at before what stands in it is judged, ms.
const LOOK: u64 = 2000;

/// Why a directory gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Nothing is at the path.
    #[error("{}: there is no such directory", path.display())]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// Something that is no file either.
    #[error("{}: neither a directory nor an archive (.tar, .tar.gz, .tgz or .zip)", path.display())]
    NotADirectory {
        /// The path that was given.
        path: PathBuf,
    },
    /// A file that is no archive, or one that is refused.
    #[error("{}", path.display())]
    Archive {
        /// The path that was given.
        path: PathBuf,
        /// Why nothing was taken out of it.
        #[source]
        source: ArchiveError,
    },
    /// Dumps that do not belong together.
    #[error("{}: several dumps are in it, name one of them: {}", path.display(), dumps.join(", "))]
    Several {
        /// The path that was given.
        path: PathBuf,
        /// The folders in which they are.
        dumps: Vec<String>,
    },
    /// No folder of a dump.
    #[error("{}: more than {limit} files in it, which no dump has; name the folder of the dump", path.display())]
    Many {
        /// The path that was given.
        path: PathBuf,
        /// How many were looked at.
        limit: usize,
    },
    /// The operating system refuses.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The path that was given.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// None of the files that a capture or a dump may have.
    #[error(
        "{}: no file of a capture in it: objects.json, changes.ndjson, signals.ndjson, events.json, alerts.ndjson, alerts.json, kubelet/NODE.log, pods/NAMESPACE/POD/CONTAINER.log; \
         nor a dump: of `kubectl cluster-info dump` (nodes.json and NAMESPACE/pods.json), a must-gather (cluster-scoped-resources/ or namespaces/), \
         a support bundle of troubleshoot.sh (cluster-resources/)",
        path.display()
    )]
    NoFiles {
        /// The path that was given.
        path: PathBuf,
    },
    /// Files of a capture, none of which could be used.
    #[error("{}: nothing in it could be read: {}", path.display(), problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NothingRead {
        /// The path that was given.
        path: PathBuf,
        /// What is wrong with each file.
        problems: Vec<Problem>,
    },
}

/// Reads the capture in `dir` with the usual replica labels.
///
/// # Errors
/// [`CaptureError`] where nothing could be read.
pub fn read(dir: &Path, interest: &dyn Interest) -> Result<Capture, CaptureError> {
    read_with(dir, interest, &Identity::default())
}

/// Reads the capture in `dir`; `identity` says which alerts are the same.
///
/// # Errors
/// [`CaptureError`] where nothing could be read.
pub fn read_with(dir: &Path, interest: &dyn Interest, identity: &Identity) -> Result<Capture, CaptureError> {
    reader::read(dir, interest, identity)
}
