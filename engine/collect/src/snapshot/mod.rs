//! A live cluster written down as a capture: its objects and events as they stand, the logs of containers that are not
//! well, and on request the alerts of an Alertmanager and the log of the kubelet on this machine.
//!
//! All is read with the rights of whoever asks. What may not be read is told, once for each kind, and left out. Values of
//! Secrets are gone before anything is written, and credentials in log lines are masked.

mod alerts;
mod api;
mod containers;
mod file;
mod kubelet;
mod logs;
mod objects;

use std::{fs, io, path::PathBuf};

use kube::Client;
use kwhy_ingest::redact;
use kwhy_proto::Timestamp;
use serde::Serialize;

use self::{api::Api, objects::Objects};
use crate::logs::Journal;

pub use self::api::ApiError;

/// What to take, and where to write it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The folder of the capture.
    pub dir: PathBuf,
    /// What the cluster shall be called.
    pub cluster: String,
    /// Only these namespaces; all where there is none.
    pub namespaces: Vec<String>,
    /// Namespaces whose containers' logs are all taken, also of those that are well.
    pub logs_of: Vec<String>,
    /// Where an Alertmanager is.
    pub alertmanager: Option<String>,
    /// The journal of this machine, which must be a node, and the units of its kubelet.
    pub kubelet: Option<Journal>,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Objects.
    pub objects: usize,
    /// Events.
    pub events: usize,
    /// Logs of containers.
    pub logs: usize,
    /// Alerts, where there was an Alertmanager that answered.
    pub alerts: Option<usize>,
    /// The node whose kubelet log was taken.
    pub kubelet: Option<String>,
}

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Not one kind may be read.
    #[error(
        "nothing of the cluster may be read with these credentials; check them with `kubectl auth whoami`"
    )]
    Nothing,
    /// The folder.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

#[derive(Serialize)]
struct Head<'a> {
    cluster: &'a str,
    from: String,
    to: String,
    title: String,
}

/// Takes all that is wanted. `left_out` is told of each thing that may not or cannot be read, in a line.
///
/// # Errors
/// [`SnapshotError`] where nothing could be read or written.
pub async fn take(
    client: Client,
    wanted: &Wanted,
    clock: impl Fn() -> u64,
    left_out: impl Fn(&str),
) -> Result<Taken, SnapshotError> {
    let api = Api::new(client);
    let mut taken = Taken::default();
    let mut objects = Objects::new(wanted)?;
    objects.read(&api, &left_out).await?;
    let containers = objects.containers(&wanted.logs_of);
    let nodes = objects.nodes();
    let oldest = objects.oldest_event();
    (taken.objects, taken.events) = objects.finish()?;
    if taken.objects + taken.events == 0 {
        return Err(SnapshotError::Nothing);
    }
    taken.logs = logs::take(&api, containers, &wanted.dir, &left_out).await?;
    if let Some(url) = &wanted.alertmanager {
        match alerts::take(url).await {
            Ok((body, count)) => {
                write(wanted.dir.join("alerts.json"), &body)?;
                taken.alerts = Some(count);
            }
            Err(reason) => left_out(&format!("no alerts: {reason}")),
        }
    }
    if let Some(journal) = &wanted.kubelet {
        match kubelet::take(journal, &nodes).await {
            Ok((node, log)) => {
                write(wanted.dir.join("kubelet").join(format!("{node}.log")), clean(&log).as_bytes())?;
                taken.kubelet = Some(node);
            }
            Err(reason) => left_out(&format!("no log of the kubelet: {reason}")),
        }
    }
    // After all has been read, so that nothing in it is later.
    let now = clock();
    let from = oldest.map_or(now.saturating_sub(HOUR), |oldest| oldest.max(now.saturating_sub(24 * HOUR)));
    let [from, to] = [from.min(now), now].map(|at| kwhy_ingest::time::rfc3339(&seconds(at)));
    let head =
        Head { cluster: &wanted.cluster, from, to: to.clone(), title: format!("captured live at {to}") };
    let path = wanted.dir.join("capture.yaml");
    let yaml = serde_norway::to_string(&head)
        .map_err(|error| SnapshotError::Write { path: path.clone(), source: io::Error::other(error) })?;
    write(path, yaml.as_bytes())?;
    Ok(taken)
}

/// A log without secrets.
fn clean(log: &str) -> String {
    log.split_inclusive('\n').map(redact::secrets).collect()
}

/// How far back events go that a cluster keeps as it does by default, ms.
const HOUR: u64 = 3_600_000;

/// The next whole second.
fn seconds(ms: u64) -> Timestamp {
    Timestamp { seconds: i64::try_from(ms.div_ceil(1000)).unwrap_or(i64::MAX), nanos: 0 }
}

/// Writes a file, and the folders around it.
fn write(path: PathBuf, content: &[u8]) -> Result<(), SnapshotError> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
    written.map_err(|source| SnapshotError::Write { path, source })
}
