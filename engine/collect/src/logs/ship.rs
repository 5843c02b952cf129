//! Chunks to NATS, and positions to disk when they are stored there.

use std::{io, time::Duration};

use kwhy_bus::batches;
use kwhy_proto::{
    millis,
    v1::{Signal, SignalBatch},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Chunk,
    positions::Store,
    trouble::{Told, Trouble},
};
use crate::{Outgoing, Sink, clock::Clock};

/// How long what was read before the end is tried to be stored.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Chunks that are on their way at a time.
const AT_ONCE: usize = 16;
/// Positions are written to disk so often at most; what was sent since then is sent again after a crash, with the
/// same ids.
const SAVE: Duration = Duration::from_secs(1);
/// Waiting longer than this is worth telling.
const BEHIND: Duration = Duration::from_secs(30);

/// What was shipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Signals that NATS has acknowledged, those of gaps among them.
    pub signals: u64,
    /// Messages in which they went.
    pub messages: u64,
    /// The newest time among them, ms.
    pub newest: u64,
}

/// Publishes what comes until all sources are gone.
pub(crate) async fn ship<S: Sink>(
    sink: &S,
    chunks: mpsc::Receiver<Chunk>,
    store: Store,
    told: &Told,
    outgoing: &Outgoing,
    clock: impl Clock,
) -> Result<Shipped, S::Error> {
    tokio::select! {
        shipped = publish(sink, chunks, store, told, outgoing, &clock) => shipped,
        () = watch(outgoing, told) => Ok(Shipped::default()),
    }
}

/// Tells when NATS takes nothing, and when it does again.
async fn watch(outgoing: &Outgoing, told: &Told) {
    let mut ticks = interval(Duration::from_secs(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match outgoing.figures().waiting.filter(|waited| *waited >= BEHIND) {
            Some(waited) => told.tell(&Trouble::Behind { seconds: waited.as_secs() }),
            None => told.well(&Trouble::Behind { seconds: 0 }),
        }
    }
}

async fn publish<S: Sink>(
    sink: &S,
    mut chunks: mpsc::Receiver<Chunk>,
    mut store: Store,
    told: &Told,
    outgoing: &Outgoing,
    clock: &impl Clock,
) -> Result<Shipped, S::Error> {
    let mut taken = Vec::with_capacity(AT_ONCE);
    let mut shipped = Shipped::default();
    let mut saved = Instant::now();
    let mut dirty = false;
    loop {
        let due = saved + SAVE;
        let got = tokio::select! {
            got = chunks.recv_many(&mut taken, AT_ONCE) => got,
            () = tokio::time::sleep_until(due), if dirty => {
                save(&store, told).await;
                (saved, dirty) = (Instant::now(), false);
                continue;
            }
        };
        if got == 0 {
            if dirty {
                save(&store, told).await;
            }
            return Ok(shipped);
        }
        let mut signals: Vec<Signal> = Vec::new();
        let mut marks = Vec::new();
        for chunk in taken.drain(..) {
            signals.extend(chunk.signals);
            marks.extend(chunk.marks);
        }
        let newest = signals.iter().filter_map(|signal| signal.at.as_ref()).map(millis).max();
        let count = signals.len() as u64;
        let together: Vec<SignalBatch> = batches(signals).collect();
        let again = |error: &S::Error| {
            tracing::info!(error = error as &dyn std::error::Error, "Log lines are not stored yet.");
        };
        let published = outgoing.store(sink, &together, clock, again).await?;
        for large in published.too_large {
            told.tell(&Trouble::TooLarge { size: large.size });
        }
        shipped.signals += count;
        shipped.messages += together.len() as u64;
        shipped.newest = shipped.newest.max(newest.unwrap_or(0));
        if let Some(newest) = newest {
            tracing::debug!(lines = count, lag_ms = clock().saturating_sub(newest), "Log lines are stored.");
        }
        store.apply(marks);
        dirty = true;
        if saved.elapsed() >= SAVE {
            save(&store, told).await;
            (saved, dirty) = (Instant::now(), false);
        }
    }
}

/// Writes the positions on a thread that may wait for the disk.
async fn save(store: &Store, told: &Told) {
    let trouble = |reason| Trouble::NotKept { path: store.path(), reason };
    let written = match store.snapshot() {
        Ok(snapshot) => tokio::task::spawn_blocking(move || snapshot.write()).await.map_err(io::Error::other),
        Err(error) => Err(error),
    };
    match written.and_then(|written| written) {
        Ok(()) => told.well(&trouble(String::new())),
        Err(error) => told.tell(&trouble(error.to_string())),
    }
}
