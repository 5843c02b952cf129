//! How each watch is doing, for whoever asks: a status page, a probe, an operator.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Resource, Trouble};

/// How the watch of one kind is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Whether it is being watched; else it is being listed, or something keeps it from being read.
    pub watching: bool,
    /// When the API server last said something of it, if only that nothing happens. Milliseconds since the Unix epoch.
    pub last: Option<u64>,
    /// Complete lists so far.
    pub lists: u64,
    /// How often changes may have been missed.
    pub gaps: u64,
    /// Objects that are there; 0 for Events, which are not kept.
    pub objects: usize,
    /// What keeps it from being read.
    pub trouble: Option<Trouble>,
}

/// A watch of which nothing was heard for longer, ms, does not go on. One on which nothing happens is ended by the API
/// server after four minutes at most and begun anew; one that is dead is noticed ten seconds later.
pub const STALE: u64 = 300_000;

impl Progress {
    /// Why changes of this kind do not come through; none where they do, or cannot: what was never granted and what is
    /// not served, any more perhaps, is done without, and was told.
    fn stands_still(&self, now: u64) -> Option<String> {
        let why = match (&self.trouble, self.lists) {
            (Some(Trouble::NotServed { .. }), _) | (Some(Trouble::Forbidden { .. }), 0) => return None,
            (_, 0) => "not listed yet".to_owned(),
            _ => {
                let age = self.age(now).filter(|age| *age > STALE)?;
                format!("nothing was heard of it for {} s", age / 1000)
            }
        };
        Some(match &self.trouble {
            Some(trouble) => format!("{why}: {trouble}"),
            None => why,
        })
    }

    /// Milliseconds since the API server last said something of this kind; none where it never has.
    #[must_use]
    pub fn age(&self, now: u64) -> Option<u64> {
        self.last.map(|last| now.saturating_sub(last))
    }
}

/// How all watches are doing. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<Resource, Progress>>>);

impl Health {
    /// As of now, in the order of groups and kinds.
    #[must_use]
    pub fn all(&self) -> Vec<(Resource, Progress)> {
        self.lock().iter().map(|(resource, progress)| (resource.clone(), progress.clone())).collect()
    }

    /// What keeps changes of the cluster from coming through, a line each.
    #[must_use]
    pub fn troubles(&self, now: u64) -> Vec<String> {
        let all = self.lock();
        if !all.values().any(|progress| progress.lists > 0)
            && all.values().all(|p| p.stands_still(now).is_none())
        {
            return vec!["the cluster is not watched: no kind of object could be listed yet".to_owned()];
        }
        let still = |(resource, progress): (&Resource, &Progress)| {
            Some(format!("watch of {resource}: {}", progress.stands_still(now)?))
        };
        all.iter().filter_map(still).collect()
    }

    pub(crate) fn note(&self, resource: &Resource, change: impl FnOnce(&mut Progress)) {
        let mut all = self.lock();
        let progress = all.entry(resource.clone()).or_insert(Progress {
            watching: false,
            last: None,
            lists: 0,
            gaps: 0,
            objects: 0,
            trouble: None,
        });
        change(progress);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Resource, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::kinds::WATCHED, *};

    const NOW: u64 = 1_700_000_000_000;

    fn kind(index: usize) -> Resource {
        WATCHED[index][0].clone()
    }

    /// A cluster of which Nodes are watched well, and another kind as is said.
    fn beside_nodes(change: impl FnOnce(&mut Progress)) -> Vec<String> {
        let health = Health::default();
        health.note(&kind(0), |nodes| (nodes.last, nodes.lists) = (Some(NOW - 10), 1));
        health.note(&kind(1), change);
        health.troubles(NOW)
    }

    #[test]
    fn a_watch_of_which_nothing_is_heard_is_told_and_a_quiet_one_is_not() {
        let heard = |age: u64| beside_nodes(|p| (p.last, p.lists) = (Some(NOW - age), 3));
        assert_eq!(heard(STALE), Vec::<String>::new());
        assert_eq!(heard(STALE + 1), ["watch of v1 Namespace: nothing was heard of it for 300 s"]);
    }

    #[test]
    fn a_permission_that_was_lost_is_told_and_one_that_was_never_given_is_done_without() {
        let trouble = || Some(Trouble::Forbidden { resource: kind(1) });
        let lost = beside_nodes(|p| (p.last, p.lists, p.trouble) = (Some(NOW - 400_000), 1, trouble()));
        assert!(
            lost[0].starts_with("watch of v1 Namespace: nothing was heard of it for 400 s: kwhy may not"),
            "{lost:?}"
        );
        assert_eq!(beside_nodes(|p| p.trouble = trouble()), Vec::<String>::new());
    }

    #[test]
    fn a_kind_that_is_not_served_any_more_is_done_without() {
        let gone = |p: &mut Progress| {
            (p.last, p.lists) = (Some(NOW - 400_000), 1);
            p.trouble = Some(Trouble::NotServed { resource: kind(1) });
        };
        assert_eq!(beside_nodes(gone), Vec::<String>::new());
    }

    #[test]
    fn before_the_first_list_nothing_is_well() {
        assert_eq!(beside_nodes(|_| ()), ["watch of v1 Namespace: not listed yet"]);
        let health = Health::default();
        assert_eq!(health.troubles(NOW).len(), 1, "nothing is known of any kind");
        health.note(&kind(0), |p| p.trouble = Some(Trouble::Forbidden { resource: kind(0) }));
        assert_eq!(health.troubles(NOW).len(), 1, "nothing may be read at all");
    }
}
