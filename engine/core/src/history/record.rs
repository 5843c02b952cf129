//! One signal as it happened. Most are kept for hours and never read again, so each is packed into one piece of memory.

use serde::{Deserialize, Serialize};

use crate::{print::print, rule::RuleSignal};

/// A signal that was said of an object, with where to look it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The signal's own time, ms.
    pub(crate) at: u64,
    /// Log time at which it was taken in, ms; never before its own time, and never before that of an earlier record.
    pub(crate) heard: u64,
    /// For log lines: the rule whose pattern wanted it; other rules do not see it, so that adding a rule changes
    /// nothing for the others.
    pub(crate) rule: Option<usize>,
    /// Of its id, by which it is found. Two ids that share it are told apart when they are read.
    pub(crate) print: u64,
    packed: Box<[u8]>,
}

/// What is packed. Only the forms of both are the same: one borrows.
#[derive(Serialize)]
struct Packing<'a>(&'a RuleSignal, &'a str);
#[derive(Deserialize)]
struct Packed(RuleSignal, String);

impl Record {
    pub(crate) fn new(signal: &RuleSignal, origin: &str, rule: Option<usize>, now: u64) -> Self {
        // A signal has a form, so nothing is ever lost here.
        let packed = postcard::to_allocvec(&Packing(signal, origin)).unwrap_or_default();
        let (at, heard) = (signal.at, now.max(signal.at));
        Self { at, heard, rule, print: print(&signal.id), packed: packed.into() }
    }

    /// The signal as rules are told of it.
    pub(crate) fn signal(&self) -> RuleSignal {
        self.unpacked().0
    }

    /// The signal, and the source's own place of it.
    pub(crate) fn unpacked(&self) -> (RuleSignal, String) {
        postcard::from_bytes(&self.packed)
            .map_or_else(|_| Default::default(), |Packed(s, origin)| (s, origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_is_what_was_packed() {
        let signal = RuleSignal {
            id: "event/1".into(),
            source: "event".into(),
            name: "BackOff".into(),
            state: "Warning".into(),
            at: 7,
            subject: Some(kwhy_proto::v1::ObjectRef { kind: "Pod".into(), ..Default::default() }),
            message: "Back-off".into(),
            fields: vec![("count".into(), "3".into())],
        };
        let record = Record::new(&signal, "events.json:4", Some(2), 9);
        assert_eq!(record.unpacked(), (signal, "events.json:4".to_owned()));
        assert_eq!((record.at, record.heard, record.rule), (7, 9, Some(2)));
    }
}
