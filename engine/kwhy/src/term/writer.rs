//! Storing what the engine says, as the one who does or as the one who waits to.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use kwhy_bus::{Commit, Committed, Head, LogState, chain};
use kwhy_collect::probes::Engine;
use kwhy_proto::{
    timestamp,
    v1::{Checkpoint, Finding, SnapshotRef},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{BETWEEN, keep::KEPT, owner, store::Store, work::Answer};
use crate::{notices::Notices, notify::News};

/// How often a checkpoint is stored when there is nothing else to store.
const BEAT: Duration = Duration::from_secs(2);
/// How often is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// Most revisions of one commit, but for one entry that has more.
const MOST: usize = 800;

/// How a term ends.
pub(super) enum End {
    /// It was told to.
    Stopped,
    /// It must be begun anew, and why.
    Anew(String),
}

/// Whether this process stores.
enum Role {
    Owner {
        stored: Instant,
    },
    Standby {
        /// Since when the newest checkpoint is the newest.
        since: Instant,
        /// Since when this process has been further than the newest checkpoints, and they all at the same place.
        stuck: Option<Instant>,
    },
}

/// What a writer is told of its place.
pub(super) struct Desk<'a, S> {
    pub(super) store: &'a S,
    pub(super) cluster: String,
    /// Names this process.
    pub(super) owner: String,
    /// How long no other process must have stored a checkpoint before this one does.
    pub(super) takeover_after: Duration,
    /// For how long the checkpoints of another process must not have gone further, though this one is, before it does.
    pub(super) stuck_after: Duration,
    /// What is stored of what the engine knew, the newest first.
    pub(super) snapshots: watch::Receiver<Vec<SnapshotRef>>,
    /// Who tells people.
    pub(super) news: mpsc::Sender<News>,
    /// Who is told how it goes.
    pub(super) health: Engine,
}

pub(super) struct Writer<'a, S> {
    pub(super) desk: Desk<'a, S>,
    /// Of program, rules and settings: others would say other things.
    identity: String,
    head: Option<Head>,
    log: LogState,
    role: Role,
    owns: Arc<AtomicBool>,
    /// What is not stored yet.
    pending: VecDeque<Answer>,
    notices: Notices,
    /// None once it is reached.
    behind: Option<Behind>,
}

/// What a term has to catch up with.
pub(super) struct Behind {
    /// The last place that an earlier term had been told.
    pub(super) through: u64,
    /// When the term began.
    pub(super) began: std::time::Instant,
    /// Where it goes on from, for people.
    pub(super) how: &'static str,
}

impl<'a, S: Store> Writer<'a, S> {
    pub(super) fn new(
        desk: Desk<'a, S>,
        identity: String,
        head: Option<Head>,
        log: LogState,
        owns: Arc<AtomicBool>,
        behind: Behind,
    ) -> Self {
        Self {
            desk,
            identity,
            head,
            log,
            role: Role::Standby { since: Instant::now(), stuck: None },
            owns,
            pending: VecDeque::new(),
            notices: Notices::default(),
            behind: Some(behind),
        }
    }

    /// Stores what comes until nothing more does.
    pub(super) async fn run(mut self, mut from_engine: mpsc::Receiver<Answer>) -> Result<End> {
        // Nobody is waited for where nobody is, or where who was there has left, or it was this process in its last term.
        let alone = |Checkpoint { released, owner, .. }: &Checkpoint| {
            *released || *owner == self.desk.owner || owner::is_gone(owner)
        };
        if self.head.as_ref().is_none_or(|head| alone(&head.checkpoint)) {
            self.take_over().await?;
        }
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch: Vec<Answer> = Vec::new();
        loop {
            tokio::select! {
                // In a fixed order, so that a schedule can be played again: first what comes once a second.
                biased;
                _ = look.tick() => {
                    let end = match self.role {
                        Role::Owner { stored } => {
                            if stored.elapsed() >= BEAT {
                                self.store(false).await?;
                            }
                            None
                        }
                        Role::Standby { .. } => self.look().await?,
                    };
                    if let Some(end) = end {
                        return Ok(end);
                    }
                }
                count = from_engine.recv_many(&mut batch, BETWEEN) => {
                    if count == 0 {
                        break;
                    }
                    for answer in batch.drain(..) {
                        self.hear(answer).await;
                    }
                    if matches!(self.role, Role::Owner { .. }) && self.worth_storing() {
                        self.store(false).await?;
                    }
                }
            }
        }
        if matches!(self.role, Role::Owner { .. }) {
            self.store(true).await?;
        }
        Ok(End::Stopped)
    }

    /// Takes note of what the engine says.
    async fn hear(&mut self, mut answer: Answer) {
        self.notices.show(std::mem::take(&mut answer.notices));
        self.desk.health.note_taken_in(answer.place);
        if let Some(Behind { through, began, how }) = self.behind.take_if(|b| answer.place >= b.through)
            && through > 0
        {
            let took = began.elapsed().as_millis();
            eprintln!("caught up with message {through} of KWHY_IN in {took} ms, {how}");
        }
        if answer.judged_anew || answer.place > self.stored_up_to() {
            self.pending.push_back(answer);
        } else {
            self.pass_over(answer).await;
        }
    }

    /// What is stored already was told by whoever stored it.
    async fn pass_over(&self, answer: Answer) {
        for finding in answer.revisions {
            let _ = self.desk.news.send(News { finding, stored: false }).await;
        }
    }

    /// The last place of the log that the newest checkpoint knows.
    fn stored_up_to(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.checkpoint.sequence)
    }

    fn worth_storing(&self) -> bool {
        self.pending.iter().any(|answer| !answer.revisions.is_empty() || !answer.asks.is_empty())
    }

    /// As one who waits: whether there is a new checkpoint, and for how long there has been none, or none that goes further.
    async fn look(&mut self) -> Result<Option<End>> {
        let head = self.desk.store.head().await?;
        let mut takes_over = head.as_ref().is_some_and(|head| head.checkpoint.released);
        if head.as_ref().map(|head| head.sequence) == self.head.as_ref().map(|head| head.sequence) {
            takes_over |= self.head.as_ref().is_some_and(|head| owner::is_gone(&head.checkpoint.owner))
                || matches!(self.role, Role::Standby { since, .. } if since.elapsed() >= self.desk.takeover_after);
        } else {
            self.follow(head).await;
        }
        if !takes_over && !self.owner_is_stuck() {
            return Ok(None);
        }
        let stranger = self.is_a_stranger();
        self.take_over().await?;
        // What a stranger stored since this term began is not what this engine would have said.
        let anew = stranger && matches!(self.role, Role::Owner { .. });
        Ok(anew.then(|| {
            End::Anew("findings were stored by another version of kwhy, or with other rules".to_owned())
        }))
    }

    /// Whether the one who stores has stayed at one place for long though the log goes on: its checkpoints come, and its
    /// engine hangs. Whoever comes to that place and hangs there as well is no further, and leaves it to stand.
    fn owner_is_stuck(&mut self) -> bool {
        let stored = self.stored_up_to();
        let further = self.pending.iter().any(|answer| answer.place > stored);
        let Role::Standby { stuck, .. } = &mut self.role else { return false };
        if !further {
            *stuck = None;
            return false;
        }
        let long = stuck.get_or_insert_with(Instant::now).elapsed() >= self.desk.stuck_after;
        if long {
            eprintln!(
                "taking over: another kwhy stores checkpoints, but none beyond message {stored} of KWHY_IN"
            );
        }
        long
    }

    /// Whether the newest checkpoint is of a process that would say other things of the same log.
    fn is_a_stranger(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.checkpoint.identity != self.identity)
    }

    /// Lets go of what another process has stored.
    async fn follow(&mut self, head: Option<Head>) {
        let before = self.stored_up_to();
        self.head = head;
        let stored = self.stored_up_to();
        let stuck = match self.role {
            Role::Standby { stuck, .. } if stored == before => stuck,
            _ => None,
        };
        self.role = Role::Standby { since: Instant::now(), stuck };
        self.owns.store(false, Ordering::Relaxed);
        self.desk.health.note_owner(false);
        self.desk.health.note_checkpoint(stored, 0);
        let (known, pending): (VecDeque<Answer>, _) =
            self.pending.drain(..).partition(|a: &Answer| a.place <= stored && !a.judged_anew);
        self.pending = pending;
        for answer in known {
            self.pass_over(answer).await;
        }
    }

    /// Stores a checkpoint of its own, so that nobody else goes on, and then what is pending; not in the place of a
    /// stranger, where it must be judged anew first.
    async fn take_over(&mut self) -> Result<()> {
        let stranger = self.is_a_stranger();
        let before = self.head.as_ref().map(|head| head.checkpoint.clone()).unwrap_or_default();
        let claim = Checkpoint {
            cluster: self.desk.cluster.clone(),
            log_created: Some(self.log.created),
            owner: self.desk.owner.clone(),
            epoch: before.epoch + 1,
            identity: self.identity.clone(),
            released: false,
            snapshots: if stranger { Vec::new() } else { before.snapshots.clone() },
            ..before
        };
        match self.desk.store.commit(&[], &claim, self.head.as_ref()).await? {
            Commit::Fenced(head) => {
                self.follow(head).await;
                eprintln!("standing by: another kwhy stores the findings of this cluster");
                Ok(())
            }
            Commit::Stored(head, _) => {
                tracing::info!(epoch = claim.epoch, "Storing the findings of this cluster from now on.");
                self.head = Some(head);
                self.role = Role::Owner { stored: Instant::now() };
                self.owns.store(true, Ordering::Relaxed);
                self.desk.health.note_owner(true);
                self.desk.health.note_checkpoint(self.stored_up_to(), 0);
                if stranger { Ok(()) } else { self.store(false).await }
            }
        }
    }

    /// Stores all that is pending, in as many commits as it takes. `last`: this process ends.
    async fn store(&mut self, last: bool) -> Result<()> {
        loop {
            let mut count = 0;
            let fit = |answer: &&Answer| {
                count += answer.revisions.len();
                count <= MOST
            };
            let some = self.pending.iter().take_while(fit).count().max(1).min(self.pending.len());
            let part: Vec<Answer> = self.pending.drain(..some).collect();
            let all = self.pending.is_empty();
            let asks: Vec<_> = part.iter().flat_map(|answer| answer.asks.iter().cloned()).collect();
            if !asks.is_empty() {
                self.desk.store.ask(&asks).await?;
            }
            let revisions: Vec<Finding> =
                part.iter().flat_map(|answer| answer.revisions.iter().cloned()).collect();
            let before = self.head.as_ref().map(|head| head.checkpoint.clone()).unwrap_or_default();
            let reached = part.iter().rfind(|answer| answer.place > before.sequence);
            let sequence = reached.map_or(before.sequence, |answer| answer.place);
            let named = self
                .desk
                .snapshots
                .borrow()
                .iter()
                .filter(|s| s.sequence <= sequence)
                .take(KEPT)
                .cloned()
                .collect();
            let checkpoint = Checkpoint {
                sequence,
                at: reached.map(|answer| timestamp(answer.at)).or(before.at),
                entry: reached.map_or(before.entry.clone(), |answer| answer.entry.clone()),
                chain: chain(&before.chain, sequence, &revisions),
                snapshots: named,
                released: last && all,
                ..before
            };
            match self.desk.store.commit(&revisions, &checkpoint, self.head.as_ref()).await? {
                Commit::Stored(head, stored) => {
                    self.head = Some(head);
                    self.role = Role::Owner { stored: Instant::now() };
                    let new =
                        stored.iter().filter(|committed| matches!(committed, Committed::Now(_))).count();
                    self.desk.health.note_checkpoint(self.stored_up_to(), new);
                    for (finding, committed) in revisions.into_iter().zip(stored) {
                        let stored = matches!(committed, Committed::Now(_));
                        // Nobody listens any more only when the process ends.
                        let _ = self.desk.news.send(News { finding, stored }).await;
                    }
                }
                Commit::Fenced(head) => {
                    eprintln!("standing by: another kwhy has taken over the findings of this cluster");
                    part.into_iter().rev().for_each(|answer| self.pending.push_front(answer));
                    self.follow(head).await;
                    return Ok(());
                }
            }
            if all {
                return Ok(());
            }
        }
    }
}
