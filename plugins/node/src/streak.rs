//! A kubelet that ends at each of its starts: one trouble, however often systemd tries, told by how it began.

use kwhy_sdk::{Evidence, ObjectRef, Signal, World, hours, minutes, seconds};

use crate::line;

/// A unit that has run for so long works.
const LIVES: u64 = minutes(1);
/// A unit that fails again and again fails again within this; its start counts only once it has lasted as long.
const TRIES: u64 = minutes(5);
/// So many lines of one pattern are looked at.
pub(crate) const MOST: u32 = 200;
/// Lines of one end lie closer together than that.
const ONE_END: u64 = seconds(3);

/// How the kubelet began to end.
pub(crate) struct Streak {
    pub(crate) since: u64,
    last: u64,
    /// Why, in its own words or else in systemd's.
    pub(crate) why: String,
    /// The line that says so: its id and its words.
    told: (String, String),
}

/// As it is remembered.
type Kept = (u64, u64, String, (String, String));

impl Streak {
    /// The one that goes on at `node`; none where the kubelet has lived since it last ended.
    pub(crate) fn of(world: &World<'_>, node: &ObjectRef, from: u64) -> Option<Self> {
        let said = |pattern: &str, limit| world.about(node, "self", "kubelet", pattern, from, limit);
        let ends = |limit| [said(line::FAILED_TO_RUN, limit), said(line::UNIT, limit)].concat();
        let newest = ends(3);
        let last = newest.iter().map(|l| l.at).max()?;
        let started = said(line::UNIT_STARTED, 1).first().map_or(0, |l| l.at);
        let again = newest.iter().any(|l| l.at + ONE_END < last && l.at + TRIES > last);
        if started > last && started + if again { TRIES } else { LIVES } <= world.now() {
            return None;
        }
        let key = format!("ends/{}", node.name);
        let known = world.recall::<Kept>(&key).filter(|(_, until, ..)| until + TRIES >= last);
        let known = known.map(|(since, _, why, told)| Self { since, last, why, told });
        // Another reason is told anew, though the trouble began with the first.
        let streak = match known {
            Some(known) if newest.iter().any(|l| line::why(l) == known.why) => known,
            known => {
                let since = known.map_or_else(|| began(ends(200), last), |k| k.since);
                Self::begun(&newest, since, last)?
            }
        };
        world.remember(&key, &(streak.since, last, &streak.why, &streak.told), hours(24));
        Some(streak)
    }

    fn begun(newest: &[Signal], since: u64, last: u64) -> Option<Self> {
        let telling = newest.iter().find(|l| !line::why(l).is_empty()).or(newest.first())?;
        let told = (telling.id.clone(), telling.message.clone());
        Some(Self { since, last, why: line::why(telling), told })
    }

    /// What it was first told by, for the evidence: each further line says the same.
    pub(crate) fn line(&self, node: &ObjectRef) -> Signal {
        let (id, message) = self.told.clone();
        Signal { id, message, at: self.last, subject: Some(node.clone()), ..Signal::default() }
    }
}

/// A complaint that is repeated: the line with which it began tells as much as the newest, and since when.
pub(crate) struct Repeated {
    first: Signal,
    often: usize,
}

impl Repeated {
    /// Of lines of a pattern.
    pub(crate) fn of(world: &World<'_>, node: &ObjectRef, pattern: &str, from: u64) -> Option<Self> {
        let lines = world.about(node, "self", "kubelet", pattern, from, MOST);
        Self::among(world, &format!("first/{pattern}/{}", node.name), &lines)
    }

    /// Of these, newest first. Which was the first is remembered under `key`, since the past is kept for a while only.
    pub(crate) fn among(world: &World<'_>, key: &str, lines: &[Signal]) -> Option<Self> {
        let newest = lines.first()?;
        let known = world.recall::<(u64, u64, String, String)>(key);
        let known = known.filter(|(until, ..)| until + TRIES >= newest.at);
        let goes_on = lines.windows(2).take_while(|pair| match pair {
            [later, earlier] => earlier.at + TRIES >= later.at,
            _ => false,
        });
        let often = goes_on.count() + 1;
        let (at, id, message) = match known {
            Some((_, at, id, message)) => (at, id, message),
            None => lines.get(often - 1).map(|l| (l.at, l.id.clone(), l.message.clone()))?,
        };
        world.remember(key, &(newest.at, at, &id, &message), hours(2));
        Some(Self { first: Signal { id, message, at, ..newest.clone() }, often })
    }

    pub(crate) fn since(&self) -> u64 {
        self.first.at
    }

    /// The count is given in steps: it grows with each line, and is no news.
    pub(crate) fn evidence(&self, weight: i8) -> Evidence {
        let step = [100, 50, 10].into_iter().find(|step| self.often >= *step);
        let note = match (step, self.often) {
            (Some(step), _) => format!("the node's journal, the first of at least {step} such lines"),
            (None, 1) => "the node's journal".to_owned(),
            (None, _) => "the node's journal, the first of several such lines".to_owned(),
        };
        Evidence::signal(&self.first, weight, note)
    }
}

/// When the first of the ends came that follow one another up to the last.
fn began(mut ends: Vec<Signal>, last: u64) -> u64 {
    ends.sort_by_key(|l| std::cmp::Reverse(l.at));
    ends.iter().fold(last, |first, l| if l.at + TRIES < first { first } else { first.min(l.at) })
}
