//! Storing snapshots beside the work, and deleting those that no checkpoint will name any more.

use std::collections::BTreeSet;

use kwhy_bus::{Bus, Packed};
use kwhy_core::snapshot::Snapshot;
use kwhy_proto::v1::SnapshotRef;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};

use super::store::Store;

/// Snapshots that are kept: the newest may be damaged, and the one before.
pub(super) const KEPT: usize = 3;

/// Stores each snapshot that is taken. `stored` is told those that are there, the newest first.
pub(super) fn start(
    bus: Bus,
    mut taken: mpsc::Receiver<Snapshot>,
    stored: watch::Sender<Vec<SnapshotRef>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(snapshot) = taken.recv().await {
            let sequence = snapshot.through();
            let Ok(packed) = spawn_blocking(move || pack(&snapshot)).await else { return };
            keep(&bus, sequence, packed, &stored).await;
        }
    })
}

/// Stores one that stands at this place of the log, and deletes what is too old.
pub(super) async fn keep(
    store: &impl Store,
    sequence: u64,
    packed: Result<Packed, String>,
    stored: &watch::Sender<Vec<SnapshotRef>>,
) {
    let packed = match packed {
        Ok(packed) => packed,
        Err(problem) => {
            tracing::error!(problem, "A snapshot cannot be made.");
            return;
        }
    };
    if let Err(error) = store.put_snapshot(&packed).await {
        tracing::warn!(%error, "A snapshot was not stored. A restart takes longer until the next one is.");
        return;
    }
    tracing::debug!(sequence, bytes = packed.size(), name = packed.name, "Snapshot stored.");
    stored.send_modify(|all| {
        all.retain(|known| known.name != packed.name);
        all.insert(0, SnapshotRef { name: packed.name.clone(), sequence });
        // One more than a checkpoint names: the newest is not named before its entries are.
        all.truncate(KEPT + 1);
    });
    let keep: BTreeSet<String> = stored.borrow().iter().map(|known| known.name.clone()).collect();
    if let Err(error) = store.keep_snapshots(&keep).await {
        tracing::warn!(%error, "Old snapshots were not deleted.");
    }
}

pub(super) fn pack(snapshot: &Snapshot) -> Result<Packed, String> {
    let content = snapshot.encode().map_err(|error| error.to_string())?;
    Packed::new(&content).map_err(|error| error.to_string())
}
