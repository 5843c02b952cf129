//! What must hold after a round, whatever was done: nothing lost, nothing doubled, nothing made up.

use std::collections::{BTreeMap, btree_map::Entry};

/// What was sent and what must come of it.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The id of each message, in order.
    pub messages: Vec<String>,
    /// The finding revisions, in order, as lines of JSON.
    pub revisions: Vec<String>,
}

/// What there is in the end.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Sequence and id of what the server said it had stored.
    pub acknowledged: Vec<(u64, String)>,
    /// The ids that `KWHY_IN` holds, by sequence.
    pub stored: BTreeMap<u64, String>,
    /// The place of the newest checkpoint; 0 where there is none.
    pub checkpoint: u64,
    /// The finding revisions that `KWHY_OUT` holds, in order, as lines of JSON.
    pub revisions: Vec<String>,
}

/// What is wrong with what there is, a line each; nothing where all is as it must be.
#[must_use]
pub fn faults(wanted: &Wanted, seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    let mut places: BTreeMap<&str, u64> = BTreeMap::new();
    // What tests mark the end with has no id.
    for (sequence, id) in seen.stored.iter().filter(|(_, id)| !id.is_empty()) {
        match places.entry(id) {
            Entry::Occupied(first) => {
                faults.push(format!("doubled: message {id} is stored at {} and {sequence}", first.get()))
            }
            Entry::Vacant(free) => {
                free.insert(*sequence);
            }
        }
    }
    for (sequence, id) in &seen.acknowledged {
        match seen.stored.get(sequence) {
            Some(there) if there == id => {}
            there => faults.push(format!(
                "lost: message {id} was acknowledged at {sequence}, where there is {}",
                there.map_or("nothing", String::as_str)
            )),
        }
    }
    for id in wanted.messages.iter().filter(|id| !places.contains_key(id.as_str())) {
        faults.push(format!("lost: message {id} is not stored"));
    }
    let last = seen.acknowledged.iter().map(|(sequence, _)| *sequence).max().unwrap_or_default();
    if seen.checkpoint < last {
        faults.push(format!("lost: the checkpoint stands at {} of {last} messages", seen.checkpoint));
    }

    let mut count: BTreeMap<&str, i64> = BTreeMap::new();
    for revision in &wanted.revisions {
        *count.entry(revision).or_default() -= 1;
    }
    let before = faults.len();
    for revision in &seen.revisions {
        let excess = count.entry(revision).or_insert(i64::MAX / 2);
        if *excess >= i64::MAX / 2 {
            faults.push(format!("made up: {}", short(revision)));
        } else if *excess >= 0 {
            faults.push(format!("doubled: {}", short(revision)));
        } else {
            *excess += 1;
        }
    }
    for (revision, _) in count.iter().filter(|(_, excess)| **excess < 0) {
        faults.push(format!("lost: {}", short(revision)));
    }
    if faults.len() == before && seen.revisions != wanted.revisions {
        faults.push("the revisions stand in another order than they must".to_owned());
    }
    faults
}

/// The beginning of a revision, which tells its id.
fn short(revision: &str) -> String {
    format!("revision {}", revision.chars().take(160).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
        texts.map(str::to_owned).to_vec()
    }

    fn sound() -> (Wanted, Seen) {
        let wanted = Wanted { messages: texts(["a", "b"]), revisions: texts(["f1/1", "f1/2", "f2/1"]) };
        let stored =
            BTreeMap::from([(1, "a"), (2, "b"), (3, ""), (4, "")].map(|(at, id)| (at, id.to_owned())));
        let acknowledged = vec![(1, "a".to_owned()), (2, "b".to_owned())];
        let seen = Seen { acknowledged, stored, checkpoint: 3, revisions: wanted.revisions.clone() };
        (wanted, seen)
    }

    /// What is found where this is done to a sound ending.
    fn after(damage: impl FnOnce(&mut Seen)) -> Vec<String> {
        let (wanted, mut seen) = sound();
        damage(&mut seen);
        faults(&wanted, &seen)
    }

    #[test]
    fn a_run_in_which_all_is_there_once_has_no_fault() {
        assert_eq!(after(|_| {}), [""; 0]);
    }

    #[test]
    fn a_revision_that_is_missing_doubled_or_made_up_is_found_by_the_check_of_chaos() {
        assert_eq!(after(|seen| drop(seen.revisions.remove(1))), ["lost: revision f1/2"]);
        assert_eq!(after(|seen| seen.revisions.push("f2/1".to_owned())), ["doubled: revision f2/1"]);
        assert_eq!(
            after(|seen| seen.revisions.extend(texts(["x", "x"]))),
            ["made up: revision x", "made up: revision x"]
        );
        assert_eq!(
            after(|seen| seen.revisions.swap(0, 2)),
            ["the revisions stand in another order than they must"]
        );
    }

    #[test]
    fn a_message_that_is_missing_doubled_or_not_taken_in_is_found_by_the_check_of_chaos() {
        let lost = after(|seen| drop(seen.stored.remove(&2)));
        assert_eq!(
            lost,
            [
                "lost: message b was acknowledged at 2, where there is nothing",
                "lost: message b is not stored"
            ]
        );
        let doubled = after(|seen| drop(seen.stored.insert(5, "a".to_owned())));
        assert_eq!(doubled, ["doubled: message a is stored at 1 and 5"]);
        assert_eq!(after(|seen| seen.checkpoint = 1), ["lost: the checkpoint stands at 1 of 2 messages"]);
    }
}
