//! Of which sources and names anything is kept at all. Rules ask of every object for what was hardly ever said of any.

use std::sync::Arc;

use imbl::OrdMap;

use crate::{glob, lookup::Lookup};

/// Number of a topic.
pub(crate) type Topic = u32;

/// A source and a name of signals.
#[derive(Debug)]
struct Words {
    source: String,
    name: String,
}

/// Topics of which something is kept; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topics {
    /// By source and name.
    numbers: Lookup<String, Lookup<String, Topic>>,
    /// And how much of it is kept.
    all: OrdMap<Topic, (Arc<Words>, usize)>,
    next: Topic,
}

/// What somebody asks for.
#[derive(Debug)]
pub(crate) enum Wanted<'a> {
    /// One topic.
    One(Topic),
    /// All whose source and name these globs mean.
    Any {
        /// The first glob.
        source: &'a str,
        /// The second.
        name: &'a str,
    },
}

impl Topics {
    /// Counts a signal that is kept.
    pub(crate) fn add(&mut self, source: &str, name: &str) -> Topic {
        if let Some(topic) = self.number(source, name) {
            if let Some((_, count)) = self.all.get_mut(&topic) {
                *count += 1;
            }
            return topic;
        }
        // There are not so many at a time, so a number that comes round again is free.
        let topic = self.next;
        self.next = self.next.wrapping_add(1);
        self.numbers.or_default(source.to_owned()).insert(name.to_owned(), topic);
        let words = Words { source: source.to_owned(), name: name.to_owned() };
        self.all.insert(topic, (Arc::new(words), 1));
        topic
    }

    /// A signal is kept no longer.
    pub(crate) fn take(&mut self, topic: Topic) {
        let Some((words, count)) = self.all.get_mut(&topic) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        if let Some(names) = self.numbers.get_mut(&words.source) {
            names.remove(&words.name);
        }
        self.all.remove(&topic);
    }

    /// The topics that `source` and `name`, which are globs, may mean. None: nothing of them is kept.
    pub(crate) fn wanted<'a>(&self, source: &'a str, name: &'a str) -> Option<Wanted<'a>> {
        if glob::is_plain(source) && glob::is_plain(name) {
            return self.number(source, name).map(Wanted::One);
        }
        Some(Wanted::Any { source, name })
    }

    /// Whether the topic is one of those that are asked for.
    pub(crate) fn is_among(&self, topic: Topic, wanted: &Wanted<'_>) -> bool {
        match wanted {
            Wanted::One(one) => topic == *one,
            Wanted::Any { source, name } => self.all.get(&topic).is_some_and(|(words, _)| {
                glob::matches(source, &words.source) && glob::matches(name, &words.name)
            }),
        }
    }

    /// Source and name of a topic.
    pub(crate) fn words(&self, topic: Topic) -> Option<(&str, &str)> {
        self.all.get(&topic).map(|(words, _)| (&*words.source, &*words.name))
    }

    fn number(&self, source: &str, name: &str) -> Option<Topic> {
        self.numbers.get(source)?.get(name).copied()
    }
}
