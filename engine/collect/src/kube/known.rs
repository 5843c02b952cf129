//! Which objects of a kind were told of, so that one that has vanished between two lists can be told as deleted.

use std::collections::BTreeMap;

/// An object that is there, as far as was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct There {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Digest of what is worth telling, for kinds that change without anything being worth it.
    pub(crate) digest: Option<u64>,
    /// The list in which it was last seen.
    round: u64,
}

/// The objects of one kind, by uid.
#[derive(Debug, Default)]
pub(crate) struct Known {
    there: BTreeMap<String, There>,
    round: u64,
}

impl Known {
    /// Notes an object, and whether it is news.
    pub(crate) fn add(&mut self, uid: String, namespace: &str, name: &str, digest: Option<u64>) -> News {
        let round = self.round;
        let there = There { namespace: namespace.to_owned(), name: name.to_owned(), digest, round };
        match self.there.insert(uid, there) {
            None => News::Added,
            Some(before) if digest.is_some() && before.digest == digest => News::Same,
            Some(_) => News::Modified,
        }
    }

    pub(crate) fn remove(&mut self, uid: &str) {
        self.there.remove(uid);
    }

    /// A list begins.
    pub(crate) fn begin(&mut self) {
        self.round += 1;
    }

    /// A list is complete: what was not in it is gone, and is given back once.
    pub(crate) fn vanished(&mut self) -> Vec<(String, There)> {
        let round = self.round;
        let gone: Vec<String> =
            self.there.iter().filter(|(_, there)| there.round != round).map(|(uid, _)| uid.clone()).collect();
        gone.into_iter().filter_map(|uid| Some((uid.clone(), self.there.remove(&uid)?))).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.there.len()
    }
}

/// What an object is to those who were told of it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Added,
    Modified,
    /// Nothing that is worth telling has changed.
    Same,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_lacks_has_vanished_and_is_told_once() {
        let mut known = Known::default();
        known.begin();
        for uid in ["a", "b", "c"] {
            assert_eq!(known.add(uid.to_owned(), "ns", uid, None), News::Added);
        }
        assert_eq!(known.vanished(), [], "all were in it");
        known.remove("c");
        known.begin();
        assert_eq!(known.add("a".to_owned(), "ns", "a", None), News::Modified);
        let gone: Vec<String> = known.vanished().into_iter().map(|(uid, _)| uid).collect();
        assert_eq!(gone, ["b"]);
        known.begin();
        known.add("a".to_owned(), "ns", "a", None);
        assert_eq!(known.vanished(), []);
        assert_eq!(known.len(), 1);
    }

    #[test]
    fn a_list_that_was_broken_off_makes_nothing_vanish() {
        let mut known = Known::default();
        known.begin();
        known.add("a".to_owned(), "ns", "a", None);
        known.vanished();
        known.begin();
        // Broken off here; the next one is complete.
        known.begin();
        known.add("a".to_owned(), "ns", "a", None);
        assert_eq!(known.vanished(), []);
    }
}
