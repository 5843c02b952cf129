//! What an engine knows, put away and taken up again by another process.
//!
//! A snapshot holds the oldest state that the engine can go back to, and not what came after it: that stands in the log.
//! So it stays small however much came within the lateness window, and whoever restores it tells the engine once more
//! what stands in the log from [`Resumed::from`] to [`Resumed::through`]. Nothing of that is published a second time, and
//! what follows is what would have followed without the break.

use std::{collections::BTreeMap, sync::Arc};

use kwhy_proto::{Message, v1::Finding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    correlator::State,
    engine::{Engine, Order, Place, Published},
    heard::Heard,
    rule::Rules,
};

/// Of the encoding; another one is not read.
const FORMAT: u32 = 5;

/// What an engine knew at one place of the log. Cheap to take; the work is in [`Snapshot::encode`], which needs no engine.
#[derive(Debug, Clone)]
pub struct Snapshot {
    made_by: String,
    base: Order,
    state: State,
    resume: Place,
    through: u64,
    heard: Heard,
    published: BTreeMap<String, Published>,
    asked: BTreeMap<String, u64>,
    counts: (u64, u64, u64),
}

/// What is written down; the form of each part is its own.
#[derive(Serialize, Deserialize)]
struct Stored {
    base: Order,
    state: State,
    resume: Place,
    through: u64,
    heard: Vec<(u64, u64)>,
    published: Vec<Vec<u8>>,
    asked: BTreeMap<String, u64>,
    counts: (u64, u64, u64),
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// The first place of the log to tell.
    pub from: u64,
    /// The last place that the engine had been told of. Then comes [`Engine::caught_up`].
    pub through: u64,
}

/// What is to be published of a log that was told before, besides what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// What these rules say otherwise: others judged it then.
    Anew,
    /// What is newer than what was published: a part of the log is lost, and other signals may have come in its place.
    Newer,
}

/// Why a snapshot cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// By a version of kwhy, with rules or with settings that are not those of this engine.
    #[error("made by another version of kwhy, with other rules or with other settings")]
    Foreign,
    /// Not a snapshot, or a damaged one.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl Snapshot {
    /// The last place of the log that is in it.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// The same bytes for the same knowledge.
    ///
    /// # Errors
    /// Only where a defect makes a part of it that has no form.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let findings = self.published.values();
        let stored = Stored {
            base: self.base.clone(),
            state: self.state.clone(),
            resume: self.resume,
            through: self.through,
            heard: self.heard.before(self.resume.number),
            published: findings
                .map(|p| Finding { revision: p.revision, ..(*p.content).clone() }.encode_to_vec())
                .collect(),
            asked: self.asked.clone(),
            counts: self.counts,
        };
        postcard::to_extend(&stored, postcard::to_allocvec(&(FORMAT, &self.made_by))?)
    }
}

impl<R: Rules> Engine<R> {
    /// What it knows now. `build` names the program: whoever has another one may know other things.
    pub fn snapshot(&self, build: &str) -> Snapshot {
        let (base, state) = self.checkpoints.front().cloned().unwrap_or_default();
        let waiting = self.waiting.values().map(|entry| entry.place);
        let first = self.entries.first_place().into_iter().chain(waiting).min_by_key(|place| place.number);
        // Where nothing came after the base, all that is left to do is to let time pass.
        let through = self.place.number;
        let resume = first.unwrap_or(Place { number: through + 1, frontier: self.frontier });
        Snapshot {
            made_by: self.identity(build),
            base,
            state,
            resume,
            through,
            heard: self.heard.clone(),
            published: self.published.clone(),
            asked: self.asked.clone(),
            counts: self.counts,
        }
    }

    /// Takes up what a snapshot holds, in an engine that has seen nothing.
    ///
    /// # Errors
    /// A [`RestoreError`]; the engine is as it was.
    pub fn restore(&mut self, build: &str, encoded: &[u8]) -> Result<Resumed, RestoreError> {
        let damaged = |error: postcard::Error| RestoreError::Damaged(error.to_string());
        let ((format, made_by), rest): ((u32, String), _) =
            postcard::take_from_bytes(encoded).map_err(damaged)?;
        if format != FORMAT || made_by != self.identity(build) {
            return Err(RestoreError::Foreign);
        }
        let stored: Stored = postcard::from_bytes(rest).map_err(damaged)?;
        let findings = stored.published.iter().map(|finding| Finding::decode(finding.as_slice()));
        let findings: Vec<Finding> =
            findings.collect::<Result<_, _>>().map_err(|error| RestoreError::Damaged(error.to_string()))?;
        let resume = stored.resume;
        self.state = stored.state.clone();
        self.state.history.enter(&mut self.register);
        self.checkpoints = [(stored.base, stored.state)].into();
        self.place = resume;
        self.frontier = resume.frontier;
        self.heard = stored.heard.into_iter().collect();
        self.published = published(findings);
        self.asked = stored.asked;
        self.counts = stored.counts;
        self.retold = Some(stored.through);
        if resume.number > stored.through {
            let frontier = self.frontier;
            self.with_env(|state, env| state.advance(frontier, env));
        }
        Ok(Resumed { from: resume.number, through: stored.through })
    }

    /// Where there is no snapshot to take up: these findings were published of what stands in the log up to `through`,
    /// which the engine is told from its beginning. Nothing of that is published until [`Engine::caught_up`].
    pub fn adopt(&mut self, findings: Vec<Finding>, through: u64, judged: Judged) {
        self.published = published(findings);
        self.adopted = Some(judged);
        self.retold = Some(through);
    }

    /// Whether what it is told was told before.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.retold.is_some()
    }

    /// All that was told before has been told. Gives back what must be published of it: nothing, unless what was published
    /// was adopted.
    pub fn caught_up(&mut self) -> Vec<Finding> {
        if self.retold.take().is_none() {
            return Vec::new();
        }
        self.take_notices();
        let began = self.state.began;
        let at = |time: &Option<kwhy_proto::Timestamp>| time.as_ref().map_or(0, kwhy_proto::millis);
        match self.adopted.take() {
            None => {
                self.fresh.clear();
                Vec::new()
            }
            // Of what began before the log does, nothing can be said anew: as it was published it stands.
            Some(Judged::Anew) => self.reconcile_but(|published, found| {
                found.is_none() && (began == 0 || at(&published.opened_at) < began)
            }),
            Some(Judged::Newer) => self.reconcile_but(|published, found| {
                found.is_none_or(|found| at(&found.updated_at) <= at(&published.updated_at))
            }),
        }
    }

    /// Who says the same of the same log, and can read a snapshot: the same program, rules and settings.
    pub fn identity(&self, build: &str) -> String {
        let mut hash = Sha256::new();
        let settings = format!("{:?}", self.settings);
        let rules = self.rules.descriptors().iter().flat_map(|d| [&d.name, &d.version, &d.digest]);
        for part in [env!("CARGO_PKG_VERSION"), build, &settings].into_iter().chain(rules.map(String::as_str))
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Revisions as the engine keeps them: a content has no number.
fn published(findings: Vec<Finding>) -> BTreeMap<String, Published> {
    let split = |finding: Finding| {
        let (id, revision) = (finding.id.clone(), finding.revision);
        (id, Published { revision, content: Arc::new(Finding { revision: 0, ..finding }) })
    };
    findings.into_iter().map(split).collect()
}
