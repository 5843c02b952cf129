//! Which troubles have been told, so that each is told once although it is met at every attempt.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Resource, Trouble};

/// What a trouble is about: one kind, or the API server as a whole, which every watch runs into.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Server,
    Reading(Resource),
    Using(Resource),
}

impl Trouble {
    fn about(&self) -> About {
        match self {
            Trouble::Unauthorized | Trouble::Unreachable { .. } => About::Server,
            Trouble::Forbidden { resource }
            | Trouble::NotServed { resource }
            | Trouble::Unreadable { resource, .. } => About::Reading(resource.clone()),
            Trouble::Unusable { resource, .. } => About::Using(resource.clone()),
        }
    }
}

/// Passes on each trouble once.
pub(crate) struct Told<'a> {
    about: Mutex<BTreeSet<About>>,
    report: &'a (dyn Fn(&Trouble) + Send + Sync),
}

impl<'a> Told<'a> {
    pub(crate) fn new(report: &'a (dyn Fn(&Trouble) + Send + Sync)) -> Told<'a> {
        Told { about: Mutex::default(), report }
    }

    pub(crate) fn tell(&self, trouble: &Trouble) {
        if self.about().insert(trouble.about()) {
            (self.report)(trouble);
        } else {
            tracing::debug!(%trouble, "Met again.");
        }
    }

    /// A kind was read: what kept it from being read is over.
    pub(crate) fn well(&self, resource: &Resource) {
        let mut about = self.about();
        let (server, reading) =
            (about.remove(&About::Server), about.remove(&About::Reading(resource.clone())));
        if server || reading {
            tracing::info!(%resource, "The API server answers again.");
        }
    }

    fn about(&self) -> MutexGuard<'_, BTreeSet<About>> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
