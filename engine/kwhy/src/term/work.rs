//! The thread on which the engine works.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use kwhy_core::{Engine, Notice, rule::Rules, snapshot::Snapshot};
use kwhy_proto::v1::{Finding, LogRequest, Signal};
use tokio::{sync::mpsc, time::Instant};

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

/// An engine at work.
pub(super) struct Worker<R> {
    engine: Engine<R>,
    /// The last place that it was told of before.
    through: u64,
    shots: Shots,
    /// Is told the log time.
    now: Arc<AtomicU64>,
    build: String,
    /// When a snapshot was taken last, and how many entries came since.
    last: (Instant, u64),
}

impl<R: Rules> Worker<R> {
    pub(super) fn new(engine: Engine<R>, through: u64, shots: Shots, now: Arc<AtomicU64>) -> Self {
        Self { engine, through, shots, now, build: start::build(), last: (Instant::now(), 0) }
    }

    /// Takes in an entry and gives what there is to say: before it, where it is the first that was not told before, and of
    /// it.
    pub(super) fn take_in(&mut self, Told { place, entry, signals }: Told) -> (Option<Answer>, Answer) {
        let engine = &mut self.engine;
        let anew = (place > self.through && engine.is_catching_up()).then(|| {
            let revisions = engine.caught_up();
            Answer { place: self.through, revisions, judged_anew: true, ..answer(engine) }
        });
        engine.stands_at(place);
        let revisions: Vec<Finding> = signals.into_iter().flat_map(|signal| engine.apply(signal)).collect();
        let answer = Answer { place, entry, revisions, ..answer(engine) };
        self.now.store(answer.at, Ordering::Relaxed);
        self.last.1 += 1;
        (anew, answer)
    }

    /// Takes a snapshot where one is due.
    pub(super) fn look(&mut self) {
        let (last, since) = self.last;
        let due = since >= ENTRIES || last.elapsed() >= self.shots.every;
        if due && !self.engine.is_catching_up() && self.shots.owns.load(Ordering::Relaxed) {
            // One that is still being stored is enough.
            let _ = self.shots.taken.try_send(self.engine.snapshot(&self.build));
            self.last = (Instant::now(), 0);
        }
    }
}

/// Takes in what is told until there is no more.
pub(super) fn work<R: Rules>(
    mut worker: Worker<R>,
    mut told: mpsc::Receiver<Told>,
    said: &mpsc::Sender<Answer>,
) {
    while let Some(told) = told.blocking_recv() {
        let (anew, answer) = worker.take_in(told);
        for answer in anew.into_iter().chain([answer]) {
            if said.blocking_send(answer).is_err() {
                return;
            }
        }
        worker.look();
    }
}

/// What is left to say after an entry, without revisions.
fn answer<R: Rules>(engine: &mut Engine<R>) -> Answer {
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
