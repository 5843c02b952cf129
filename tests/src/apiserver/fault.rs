//! What goes wrong, and when.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Which requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// Lists.
    List,
    /// Watches.
    Watch,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A Status with this code.
    Status(u16),
    /// The answer begins after this long.
    Slow(Duration),
    /// A watch of 200 that ends at once without a word.
    Empty,
    /// A watch in which 410 comes as an ERROR.
    ExpiredWithin,
    /// A watch that says nothing and never ends.
    Silent,
    /// A watch whose connection breaks in the middle of the next line.
    CutInLine,
    /// A watch that sends a line that is no JSON, and ends.
    Garbled,
}

/// How a watch from a version that was compacted is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// 410 is the answer.
    Status,
    /// 200, and 410 as an ERROR within.
    Within,
    /// 200, and the end.
    Empty,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    once: BTreeMap<(String, On), VecDeque<Fault>>,
    always: BTreeMap<(String, On), Fault>,
    old: BTreeMap<String, Old>,
}

impl Faults {
    pub(super) fn add(&mut self, path: &str, on: On, faults: impl IntoIterator<Item = Fault>) {
        self.once.entry((path.to_owned(), on)).or_default().extend(faults);
    }

    pub(super) fn always(&mut self, path: &str, on: On, fault: Fault) {
        self.always.insert((path.to_owned(), on), fault);
    }

    pub(super) fn mend(&mut self, path: &str) {
        self.once.retain(|(of, _), _| of != path);
        self.always.retain(|(of, _), _| of != path);
    }

    pub(super) fn old(&mut self, path: &str, how: Old) {
        self.old.insert(path.to_owned(), how);
    }

    /// Whether such a request is always forbidden.
    pub(super) fn refuses(&self, path: &str, on: On) -> bool {
        self.always.get(&(path.to_owned(), on)) == Some(&Fault::Status(403))
    }

    /// The next one of such a request.
    pub(super) fn next(&mut self, path: &str, on: On) -> Option<Fault> {
        let key = (path.to_owned(), on);
        self.once.get_mut(&key).and_then(VecDeque::pop_front).or_else(|| self.always.get(&key).cloned())
    }

    /// Events have no watch cache, by which all others know that a version is too old.
    pub(super) fn how_old(&self, path: &str, cached: bool) -> Old {
        self.old.get(path).copied().unwrap_or(if cached { Old::Within } else { Old::Empty })
    }
}
