//! The thread on which the engine works.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kwhy_core::{Engine, Notice, snapshot::Snapshot};
use kwhy_proto::v1::{Finding, LogRequest, Signal};
use kwhy_sandbox::Sandbox;
use tokio::sync::mpsc;

use super::start;

/// Entries after which a snapshot is taken, however soon.
const ENTRIES: u64 = 50_000;

/// One entry of the log.
pub(super) struct Told {
    pub(super) place: u64,
    /// What its sender calls it.
    pub(super) entry: String,
    pub(super) signals: Vec<Signal>,
}

/// What the engine says about one entry.
pub(super) struct Answer {
    pub(super) place: u64,
    pub(super) entry: String,
    /// Log time after it, ms.
    pub(super) at: u64,
    pub(super) revisions: Vec<Finding>,
    /// Revisions that come of a new judgement on what was told before, and not of this entry.
    pub(super) judged_anew: bool,
    pub(super) asks: Vec<LogRequest>,
    pub(super) notices: Vec<Notice>,
}

/// When snapshots are taken.
pub(super) struct Shots {
    pub(super) every: Duration,
    /// Whether this process is the one that stores.
    pub(super) owns: Arc<AtomicBool>,
    pub(super) taken: mpsc::Sender<Snapshot>,
}

/// Takes in what is told until there is no more. What stands up to `through` was told before. `now` is told the log time.
pub(super) fn work(
    mut engine: Engine<Sandbox>,
    through: u64,
    mut told: mpsc::Receiver<Told>,
    said: &mpsc::Sender<Answer>,
    shots: Shots,
    now: &AtomicU64,
) {
    let build = start::build();
    let (mut last, mut since) = (Instant::now(), 0_u64);
    while let Some(Told { place, entry, signals }) = told.blocking_recv() {
        if place > through && engine.is_catching_up() {
            let revisions = engine.caught_up();
            let anew = Answer { place: through, entry: String::new(), revisions, ..answer(&mut engine) };
            if said.blocking_send(Answer { judged_anew: true, ..anew }).is_err() {
                return;
            }
        }
        engine.stands_at(place);
        let revisions: Vec<Finding> = signals.into_iter().flat_map(|signal| engine.apply(signal)).collect();
        let answer = Answer { place, entry, revisions, ..answer(&mut engine) };
        now.store(answer.at, Ordering::Relaxed);
        if said.blocking_send(answer).is_err() {
            return;
        }
        since += 1;
        let due = since >= ENTRIES || last.elapsed() >= shots.every;
        if due && !engine.is_catching_up() && shots.owns.load(Ordering::Relaxed) {
            // One that is still being stored is enough.
            let _ = shots.taken.try_send(engine.snapshot(&build));
            (last, since) = (Instant::now(), 0);
        }
    }
}

/// What is left to say after an entry, without revisions.
fn answer(engine: &mut Engine<Sandbox>) -> Answer {
    Answer {
        place: 0,
        entry: String::new(),
        at: engine.now(),
        revisions: Vec::new(),
        judged_anew: false,
        asks: engine.take_asks(),
        notices: engine.take_notices(),
    }
}
