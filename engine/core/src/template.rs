//! Warnings and errors that no rule wants, reduced to what they have in common, so that a *new* kind of message before
//! an unexplained symptom can be shown.

use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::{key::Key, print::print};

/// Kinds of message that are kept for sure, of those seen last; as many more may be.
const GENERATION: usize = 4096;
/// Characters of a message that make its template.
const MAX_CHARS: usize = 200;

/// The first message of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct First {
    pub(crate) at: u64,
    pub(crate) signal: String,
    pub(crate) origin: String,
    pub(crate) source: String,
    pub(crate) message: String,
}

/// One kind of message of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Template {
    pub(crate) count: u32,
    last_at: u64,
    pub(crate) first: Arc<First>,
}

impl Template {
    fn again(&mut self, at: u64) {
        self.count = self.count.saturating_add(1);
        self.last_at = self.last_at.max(at);
    }
}

/// Hashes of an object and of a masked text: most warnings of a log come here, and a node of the map that is copied then
/// shall hold no texts. What is told does not depend on their values.
type Slot = (u64, u64);

/// Kinds of message by object and masked text; a clone is cheap.
///
/// Two generations: when the younger is full, it becomes the older, and what the older one held is forgotten unless it
/// was seen again meanwhile.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Templates {
    younger: OrdMap<Slot, Template>,
    older: OrdMap<Slot, Template>,
}

impl Templates {
    /// Counts a message about an object; `first` makes the record of its first occurrence.
    pub(crate) fn count(&mut self, key: &Key, message: &str, at: u64, first: impl FnOnce() -> First) {
        let slot = (of_object(key), print(&mask(message)));
        if let Some(known) = self.younger.get_mut(&slot) {
            known.again(at);
            return;
        }
        let template = match self.older.remove(&slot) {
            Some(mut known) => {
                known.again(at);
                known
            }
            None => Template { count: 1, last_at: at, first: Arc::new(first()) },
        };
        if self.younger.len() >= GENERATION {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(slot, template);
    }

    /// Kinds of message of an object that were first seen since a time (ms), oldest first.
    pub(crate) fn new_since(&self, key: &Key, since: u64) -> Vec<Template> {
        let own = of_object(key);
        let range = (own, 0)..=(own, u64::MAX);
        let all = self.younger.range(range.clone()).chain(self.older.range(range));
        let mut new: Vec<Template> =
            all.filter(|(_, t)| t.first.at >= since).map(|(_, t)| t.clone()).collect();
        new.sort_by(|a, b| (a.first.at, &a.first.signal).cmp(&(b.first.at, &b.first.signal)));
        new
    }

    /// Forgets kinds last seen before `horizon`.
    pub(crate) fn forget(&mut self, horizon: u64) {
        for generation in [&mut self.younger, &mut self.older] {
            let stale: Vec<Slot> =
                generation.iter().filter(|(_, t)| t.last_at < horizon).map(|(slot, _)| *slot).collect();
            for slot in stale {
                generation.remove(&slot);
            }
        }
    }
}

fn of_object(key: &Key) -> u64 {
    print(&(&key.kind, &key.namespace, &key.name))
}

/// The message with its volatile parts masked: every word that holds a digit, and what stands in quotes.
pub(crate) fn mask(message: &str) -> String {
    let mut rest = head(message);
    let mut out = String::with_capacity(rest.len());
    loop {
        let end = rest.find(|c: char| !in_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.push_str(if word.bytes().any(|b| b.is_ascii_digit()) { "#" } else { word });
        let mut after = after.chars();
        let Some(between) = after.next() else { break };
        out.push(between);
        rest = after.as_str();
        if between == '"' {
            let Some((_, after)) = rest.split_once('"') else { break };
            out.push('"');
            rest = after;
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// What of a message makes its template.
fn head(message: &str) -> &str {
    match message.get(..MAX_CHARS) {
        _ if message.len() <= MAX_CHARS => message,
        Some(head) if head.is_ascii() => head,
        _ => {
            let end = message.char_indices().nth(MAX_CHARS).map_or(message.len(), |(at, _)| at);
            message.get(..end).unwrap_or(message)
        }
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_differ_in_numbers_names_and_quoted_parts_share_a_template() {
        let a = mask(r#"failed to sync pod "web-1" after 31s on 10.0.0.1:8080"#);
        let b = mask(r#"failed to sync pod "db-77" after 8s on 10.0.0.9:9090"#);
        assert_eq!(a, b);
        assert_ne!(a, mask("failed to sync node after 31s"));
        assert_eq!(a, r#"failed to sync pod "" after # on #"#);
    }

    #[test]
    fn the_start_of_a_message_makes_its_template() {
        let long = "word ".repeat(100);
        assert_eq!(mask(&long), mask(&format!("{long}other")));
        assert_eq!(mask(&"ä ".repeat(300)).chars().count(), MAX_CHARS - 1);
        assert_eq!(mask(r#"never "closed 17"#), r#"never ""#);
    }

    fn object(name: &str) -> Key {
        Key::new("Pod", "ns", name)
    }

    fn first(at: u64, message: &str) -> First {
        First {
            at,
            signal: format!("s{at}"),
            origin: String::new(),
            source: "kubelet".into(),
            message: message.into(),
        }
    }

    #[test]
    fn a_kind_of_message_counts_for_its_object_alone() {
        let mut templates = Templates::default();
        for (at, pod, message) in [(1, "a", "slow disk"), (2, "a", "slow disk"), (3, "b", "slow disk")] {
            templates.count(&object(pod), message, at, || first(at, message));
        }
        let seen = |since| templates.new_since(&object("a"), since);
        assert_eq!(seen(1).iter().map(|t| (t.first.at, t.count)).collect::<Vec<_>>(), [(1, 2)]);
        assert!(seen(2).is_empty(), "it was not new then");
    }

    #[test]
    fn what_was_seen_last_outlives_a_flood_of_other_kinds() {
        let mut templates = Templates::default();
        let mut say = |at, name: &str| templates.count(&object(name), "x", at, || first(at, "x"));
        say(1, "lasting");
        say(1, "gone");
        for at in 2..10_000 {
            say(at, &format!("pod{at}"));
            if at % 1000 == 0 {
                say(at, "lasting");
            }
        }
        let kept = |name: &str| templates.new_since(&object(name), 0).len();
        assert_eq!((kept("lasting"), kept("gone"), kept("pod9999")), (1, 0, 1));
        assert!(templates.younger.len() + templates.older.len() <= 2 * GENERATION);
    }
}
