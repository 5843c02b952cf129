//! What was said about each object within the history window, in the order of its times.

use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdSet, Vector};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{change::Change, key::Key, lookup::Lookup, rule::RuleSignal};

mod record;
mod register;
mod topics;

pub(crate) use record::Record;
pub(crate) use register::Register;
pub(crate) use topics::Wanted;
use topics::{Topic, Topics};

/// Most signals kept of one object: a container that logs without end must not push out its neighbours' history.
const MAX_PER_OBJECT: usize = 256;
/// Signals of all objects together that are plenty: from then on those of which most is kept lose their oldest.
const PLENTY: usize = 1 << 15;
/// So many are kept of one object however many there are.
const LEAST_PER_OBJECT: usize = 32;
/// Most changes kept in all.
const MAX_CHANGES: usize = 4096;

/// What was said of one object, in the order in which it was said. Former states share most of it.
type Told = Vector<(Topic, Arc<Record>)>;

/// Recent signals by object, recent changes by time; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    told: Lookup<Key, Arc<Told>>,
    /// The keys of all objects of which anything was said, in order.
    keys: OrdSet<Key>,
    topics: Topics,
    changes: Vector<Arc<Change>>,
    /// How many signals are kept.
    kept: usize,
    /// How many were when room was made the last time.
    left: usize,
}

impl History {
    /// Keeps a signal about `key` that was taken in at log time `now` (ms), with where it came from. Returns whether others
    /// of other objects had to go for it.
    pub(crate) fn record(
        &mut self,
        key: &Key,
        signal: &RuleSignal,
        origin: &str,
        rule: Option<usize>,
        now: u64,
        register: &mut Register,
    ) -> bool {
        let record = Arc::new(Record::new(signal, origin, rule, now));
        self.push(key, signal, record.clone());
        // One copy of the key for all that is said of the object.
        register.enter(&record, self.told.key(key).unwrap_or(key));
        self.drop_oldest(key, MAX_PER_OBJECT);
        let full = self.kept > PLENTY.max(self.left + self.left / 3);
        if full {
            self.make_room();
        }
        full
    }

    /// Drops the oldest of all objects of which more than a measure is kept, the largest measure that leaves enough room.
    fn make_room(&mut self) {
        let lengths: Vec<(Key, usize)> =
            self.keys.iter().filter_map(|key| Some((key.clone(), self.told.get(key)?.len()))).collect();
        let left = |most: usize| lengths.iter().map(|(_, length)| (*length).min(most)).sum::<usize>();
        let measures = (LEAST_PER_OBJECT..MAX_PER_OBJECT).rev().step_by(8);
        let most =
            measures.into_iter().find(|most| left(*most) <= PLENTY / 4 * 3).unwrap_or(LEAST_PER_OBJECT);
        lengths.iter().for_each(|(key, _)| self.drop_oldest(key, most));
        self.left = self.kept;
    }

    /// Drops the oldest signals of an object until `most` are left.
    fn drop_oldest(&mut self, key: &Key, most: usize) {
        let Some(told) = self.told.get_mut(key).filter(|told| told.len() > most).map(Arc::make_mut) else {
            return;
        };
        while told.len() > most {
            told.pop_front().into_iter().for_each(|(topic, _)| self.topics.take(topic));
            self.kept -= 1;
        }
    }

    fn push(&mut self, key: &Key, signal: &RuleSignal, record: Arc<Record>) {
        self.kept += 1;
        let topic = self.topics.add(&signal.source, &signal.name);
        if !self.told.contains(key) {
            self.keys.insert(key.clone());
        }
        Arc::make_mut(self.told.or_default(key.clone())).push_back((topic, record));
    }

    /// Enters all that is kept.
    pub(crate) fn enter(&self, register: &mut Register) {
        for key in &self.keys {
            let told = self.told.get(key).into_iter().flat_map(|told| told.iter());
            told.for_each(|(_, record)| register.enter(record, key));
        }
    }

    /// What signals `source` and `name`, which are globs, may mean. None is certain: there are none.
    pub(crate) fn wanted<'a>(&self, source: &'a str, name: &'a str) -> Option<Wanted<'a>> {
        self.topics.wanted(source, name)
    }

    pub(crate) fn record_change(&mut self, change: Change) {
        self.changes.push_back(Arc::new(change));
        if self.changes.len() > MAX_CHANGES {
            self.changes.pop_front();
        }
    }

    /// A signal that is kept, by its id, and where it came from.
    pub(crate) fn get(&self, id: &str, register: &Register) -> Option<(RuleSignal, String)> {
        let kept = register.find(id).filter_map(|(record, key)| {
            let place = self.told.get(key)?.iter().rposition(|(_, told)| Arc::ptr_eq(told, &record))?;
            Some((key, place, record.unpacked()))
        });
        // A line that several patterns want is kept for each of them.
        let last =
            kept.filter(|(_, _, (signal, _))| signal.id == id).max_by_key(|(key, place, _)| (*key, *place));
        last.map(|(_, _, found)| found)
    }

    /// Signals about one object since a time (ms), those first that were taken in last.
    pub(crate) fn of<'a>(
        &'a self,
        key: &Key,
        wanted: &'a Wanted<'_>,
        since: u64,
    ) -> impl Iterator<Item = &'a Record> {
        let told = self.told.get(key).into_iter().flat_map(|told| told.iter().rev());
        told.filter(|(topic, _)| self.topics.is_among(*topic, wanted))
            .map(|(_, record)| &**record)
            .take_while(move |record| record.heard >= since)
            .filter(move |record| record.at >= since)
    }

    /// Whether the next signal about an object pushes out its oldest.
    pub(crate) fn is_full(&self, key: &Key) -> bool {
        self.told.get(key).is_some_and(|told| told.len() >= MAX_PER_OBJECT)
    }

    /// Sources and names of all that is kept about an object.
    pub(crate) fn topics_of(&self, key: &Key) -> impl Iterator<Item = (&str, &str)> {
        let topics = self.told.get(key).into_iter().flat_map(|told| told.iter()).map(|(topic, _)| *topic);
        topics.collect::<BTreeSet<Topic>>().into_iter().filter_map(|topic| self.topics.words(topic))
    }

    /// Whether anything was said about the object.
    pub(crate) fn hears_of(&self, key: &Key) -> bool {
        self.told.contains(key)
    }

    /// Objects that anything was said about, in order.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// Changes since a time (ms), newest first.
    pub(crate) fn changes(&self, since: u64) -> impl Iterator<Item = &Arc<Change>> {
        self.changes.iter().rev().take_while(move |c| c.at >= since)
    }

    /// Forgets what happened before `horizon`.
    pub(crate) fn forget(&mut self, horizon: u64) {
        let old = |told: &Told| told.front().is_some_and(|(_, record)| record.at < horizon);
        let stale = self.keys.iter().filter(|key| self.told.get(*key).is_some_and(|told| old(told)));
        for key in stale.cloned().collect::<Vec<_>>() {
            let Some(told) = self.told.get_mut(&key).map(Arc::make_mut) else { continue };
            while old(told) {
                told.pop_front().into_iter().for_each(|(topic, _)| self.topics.take(topic));
                self.kept -= 1;
            }
            if told.is_empty() {
                self.told.remove(&key);
                self.keys.remove(&key);
            }
        }
        while self.changes.front().is_some_and(|c| c.at < horizon) {
            self.changes.pop_front();
        }
    }
}

/// A history as a snapshot has it.
#[derive(Serialize, Deserialize)]
struct Stored {
    told: Vec<(Key, Vec<Arc<Record>>)>,
    changes: Vec<Arc<Change>>,
    left: usize,
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let of = |key: &Key| {
            let told = self.told.get(key).into_iter().flat_map(|told| told.iter());
            (key.clone(), told.map(|(_, record)| record.clone()).collect())
        };
        let told = self.keys.iter().map(of).collect();
        Stored { told, changes: self.changes.iter().cloned().collect(), left: self.left }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Stored { told, changes, left } = Stored::deserialize(from)?;
        let mut history = Self { changes: changes.into_iter().collect(), left, ..Self::default() };
        for (key, records) in told {
            for record in records {
                history.push(&key, &record.signal(), record);
            }
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: usize, at: u64, source: &str, name: &str) -> RuleSignal {
        let (source, name) = (source.to_owned(), name.to_owned());
        RuleSignal { id: id.to_string(), source, name, at, ..RuleSignal::default() }
    }

    impl History {
        fn hear(&mut self, key: &Key, signal: &RuleSignal) {
            let _made_room = self.record(key, signal, "", None, signal.at, &mut Register::default());
        }

        fn ids(&self, key: &Key, source: &str, name: &str, since: u64) -> Vec<String> {
            let wanted = self.wanted(source, name);
            wanted.iter().flat_map(|wanted| self.of(key, wanted, since)).map(|r| r.signal().id).collect()
        }
    }

    #[test]
    fn what_was_said_of_nothing_is_not_looked_for() {
        let key = Key::new("Pod", "ns", "p");
        let mut history = History::default();
        assert!(history.wanted("event", "Killing").is_none());
        history.hear(&key, &said(1, 5, "event", "Killing"));
        assert!(history.wanted("event", "Killing").is_some());
        assert!(history.wanted("event", "Kill").is_none() && history.wanted("alert", "Killing").is_none());
        assert!(
            history.wanted("event", "Kill*").is_some() && history.wanted("?vent", "Started").is_some(),
            "a glob is tried"
        );
        history.forget(6);
        assert!(history.wanted("event", "Killing").is_none());
        assert!(!history.hears_of(&key) && history.objects().next().is_none());
    }

    #[test]
    fn of_an_id_is_told_what_this_state_keeps() {
        let key = Key::new("Pod", "ns", "p");
        let (mut former, mut register) = (History::default(), Register::default());
        let _made_room = former.record(&key, &said(1, 5, "event", "Killing"), "a", None, 5, &mut register);
        let mut state = former.clone();
        let _made_room = state.record(&key, &said(2, 6, "log", "first"), "b", None, 6, &mut register);
        let _made_room = state.record(&key, &said(2, 6, "log", "second"), "b", None, 6, &mut register);
        let get =
            |state: &History, id| state.get(id, &register).map(|(signal, origin)| (signal.name, origin));
        assert_eq!(get(&state, "1"), Some(("Killing".to_owned(), "a".to_owned())));
        assert_eq!(get(&state, "2"), Some(("second".to_owned(), "b".to_owned())));
        assert_eq!(get(&former, "2"), None);
        state.forget(6);
        assert_eq!(get(&state, "1"), None);
        let again: History = postcard::from_bytes(&postcard::to_allocvec(&state).unwrap()).unwrap();
        let mut register = Register::default();
        again.enter(&mut register);
        assert_eq!(again.get("2", &register).map(|(signal, _)| signal.name), Some("second".to_owned()));
    }

    #[test]
    fn what_an_object_says_without_end_pushes_out_only_its_own() {
        let (loud, calm) = (Key::new("Pod", "ns", "loud"), Key::new("Pod", "ns", "calm"));
        let mut history = History::default();
        history.hear(&loud, &said(0, 1, "event", "Once"));
        history.hear(&calm, &said(1, 1, "event", "Calm"));
        for id in 2..2 + MAX_PER_OBJECT {
            history.hear(&loud, &said(id, 2, "event", "Loud"));
        }
        assert!(history.wanted("event", "Once").is_none() && history.wanted("event", "Calm").is_some());
        assert_eq!(history.ids(&loud, "event", "*", 0).len(), MAX_PER_OBJECT);
    }

    #[test]
    fn where_plenty_is_said_of_all_each_keeps_less_and_what_is_seldom_spoken_of_all() {
        let key = |n: usize| Key::new("Pod", "ns", &format!("p{n}"));
        let calm = Key::new("Pod", "ns", "calm");
        let (mut history, mut register) = (History::default(), Register::default());
        (0..LEAST_PER_OBJECT).for_each(|id| history.hear(&calm, &said(id, 1, "event", "Calm")));
        let loud = 2 * PLENTY / MAX_PER_OBJECT;
        let mut made = 0;
        for n in 0..2 * PLENTY {
            let signal = said(100 + n, 2, "event", "Loud");
            made += usize::from(history.record(&key(n % loud), &signal, "", None, 2, &mut register));
            assert!(history.kept <= PLENTY);
        }
        assert!((2..9).contains(&made), "room was made {made} times");
        assert_eq!(history.ids(&calm, "event", "Calm", 0).len(), LEAST_PER_OBJECT);
        assert!(history.ids(&key(1), "event", "Loud", 0).len() > LEAST_PER_OBJECT);
        let again: History = postcard::from_bytes(&postcard::to_allocvec(&history).unwrap()).unwrap();
        assert_eq!((again.kept, again.left), (history.kept, history.left));
    }

    #[test]
    fn what_is_told_of_several_topics_comes_in_the_order_in_which_it_was_said() {
        let key = Key::new("Pod", "ns", "p");
        let mut history = History::default();
        for (id, name) in ["Pulled", "Created", "Started", "Created", "Pulled"].into_iter().enumerate() {
            history.hear(&key, &said(id, id as u64, "event", name));
        }
        // Late news of the past.
        let _made_room =
            history.record(&key, &said(5, 1, "event", "Started"), "", None, 9, &mut Register::default());
        let again: History = postcard::from_bytes(&postcard::to_allocvec(&history).unwrap()).unwrap();
        for history in [history, again] {
            assert_eq!(history.ids(&key, "event", "*", 0), ["5", "4", "3", "2", "1", "0"]);
            assert_eq!(history.ids(&key, "event", "?reated", 0), ["3", "1"]);
            assert_eq!(history.ids(&key, "event", "Started", 1), ["5", "2"]);
            assert_eq!(history.ids(&key, "event", "Started", 2), ["2"], "since its own time");
            assert_eq!(history.ids(&key, "*", "*d", 3), ["4", "3"]);
        }
    }
}
