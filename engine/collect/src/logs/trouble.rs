//! What the operator should know of: told once, and again only when it comes back.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use super::{Health, assemble::Excess};

/// What is the matter with the logs of a node. Reading goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// journalctl does not run to its end.
    #[error("journalctl {how}; starting it again from where it was{hint}")]
    Journalctl {
        /// `ended: …`, `was silent for …`.
        how: String,
        /// What to do about it, where that is known.
        hint: &'static str,
    },
    /// journalctl follows wrongly, so the journal is read piece by piece.
    #[error("journalctl does not follow from where it was told to; reading the journal every second instead")]
    Follows,
    /// Something was lost.
    #[error("log lines of this node are missing: {reason}")]
    Lost {
        /// What happened.
        reason: String,
    },
    /// Nothing matches.
    #[error("no file matches `{pattern}`; waiting for one")]
    NoFile {
        /// The pattern.
        pattern: String,
    },
    /// A file that matches cannot be followed.
    #[error("cannot follow {path}: {reason}")]
    Unreadable {
        /// Which.
        path: String,
        /// What the operating system says, or what the file is.
        reason: String,
    },
    /// The positions that were kept are of no use.
    #[error("the positions in {path} cannot be used ({reason}); beginning anew")]
    Positions {
        /// Where they are.
        path: String,
        /// Why.
        reason: String,
    },
    /// The positions cannot be kept.
    #[error("cannot write {path}: {reason}; after a restart lines would be sent again")]
    NotKept {
        /// Where they should be.
        path: String,
        /// What the operating system says.
        reason: String,
    },
    /// NATS does not take what is read.
    #[error("log lines wait for NATS for {seconds} s; reading goes on when it takes them")]
    Behind {
        /// For how long.
        seconds: u64,
    },
    /// A signal that NATS does not take.
    #[error(
        "a log line of {size} bytes is larger than NATS takes and is missing; raise max_payload of nats-server"
    )]
    TooLarge {
        /// Bytes with headers.
        size: usize,
    },
}

impl Trouble {
    /// Whether lines are not read, not sent, or read in vain for as long as it lasts.
    fn lasts(&self) -> bool {
        matches!(self, Trouble::Journalctl { .. } | Trouble::Behind { .. } | Trouble::NotKept { .. })
    }

    /// What it is about: of two alike only the first is told.
    fn about(&self) -> String {
        match self {
            Trouble::Journalctl { .. } => "journalctl".to_owned(),
            Trouble::Follows => "follows".to_owned(),
            // Each loss is one of its own.
            Trouble::Lost { reason } => format!("lost {reason}"),
            Trouble::NoFile { pattern } => format!("pattern {pattern}"),
            Trouble::Unreadable { path, .. } => format!("file {path}"),
            Trouble::Positions { .. } | Trouble::NotKept { .. } => "positions".to_owned(),
            Trouble::Behind { .. } => "behind".to_owned(),
            Trouble::TooLarge { .. } => "large".to_owned(),
        }
    }
}

/// Most troubles that are remembered as told.
const REMEMBERED: usize = 1000;

/// Passes on each trouble once, and keeps account of them.
pub(crate) struct Told {
    about: Mutex<BTreeSet<String>>,
    report: Box<dyn Fn(&Trouble) + Send + Sync>,
    health: Health,
}

impl Told {
    pub(crate) fn new(report: impl Fn(&Trouble) + Send + Sync + 'static, health: Health) -> Told {
        Told { about: Mutex::default(), report: Box::new(report), health }
    }

    pub(crate) fn tell(&self, trouble: &Trouble) {
        let key = trouble.about();
        if matches!(trouble, Trouble::Lost { .. }) {
            self.health.note_gap();
        } else if trouble.lasts() {
            self.health.note(&key, trouble);
        }
        let mut about = self.about.lock().unwrap_or_else(PoisonError::into_inner);
        if about.len() >= REMEMBERED {
            about.clear();
        }
        if about.insert(key) {
            (self.report)(trouble);
        } else {
            tracing::debug!(%trouble, "Met again.");
        }
    }

    /// Lines above the limit were dropped.
    pub(crate) fn dropped(&self, excess: Excess) {
        self.health.note_dropped(excess.lines);
        self.tell(&Trouble::Lost { reason: excess.reason });
    }

    /// It is over, so when it comes back it is news.
    pub(crate) fn well(&self, trouble: &Trouble) {
        let key = trouble.about();
        self.health.well(&key);
        let mut about = self.about.lock().unwrap_or_else(PoisonError::into_inner);
        if about.remove(&key) {
            tracing::info!(%trouble, "Over.");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_trouble_is_told_once_until_it_is_over() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let report = told.clone();
        let health = Health::default();
        let all = Told::new(
            move |trouble: &Trouble| report.lock().unwrap().push(trouble.to_string()),
            health.clone(),
        );
        let behind = |seconds| Trouble::Behind { seconds };
        all.tell(&behind(30));
        all.tell(&behind(40));
        all.tell(&Trouble::Follows);
        assert_eq!(told.lock().unwrap().len(), 2);
        assert_eq!(health.troubles(), [behind(40).to_string()], "what lasts stands, in its newest words");
        all.well(&behind(0));
        assert_eq!(health.troubles(), Vec::<String>::new());
        all.tell(&behind(30));
        assert_eq!(told.lock().unwrap().len(), 3);
    }
}
