//! Warnings and errors that no rule wants, reduced to what they have in common, so that a *new* kind of message before
//! an unexplained symptom can be shown.

use std::sync::Arc;

use imbl::OrdMap;

use crate::key::Key;

/// Most kinds of message kept; the one seen longest ago goes first.
const MAX_TEMPLATES: usize = 2000;
/// Characters of a message that make its template.
const MAX_CHARS: usize = 200;

/// One kind of message of one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    pub(crate) first_at: u64,
    pub(crate) last_at: u64,
    pub(crate) count: u32,
    /// Id, origin and words of its first message.
    pub(crate) signal: String,
    pub(crate) origin: String,
    pub(crate) source: String,
    pub(crate) message: String,
}

/// Kinds of message by object and masked text; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Templates {
    seen: OrdMap<(Key, String), Arc<Template>>,
}

impl Templates {
    /// Counts a message about `key`; `first` makes the record of its first occurrence.
    pub(crate) fn count(&mut self, key: &Key, message: &str, at: u64, first: impl FnOnce() -> Template) {
        let slot = (key.clone(), mask(message));
        if let Some(known) = self.seen.get_mut(&slot) {
            let known = Arc::make_mut(known);
            known.count += 1;
            known.last_at = known.last_at.max(at);
            return;
        }
        if self.seen.len() >= MAX_TEMPLATES {
            let oldest = self.seen.iter().min_by_key(|(k, t)| (t.last_at, *k)).map(|(k, _)| k.clone());
            if let Some(oldest) = oldest {
                self.seen.remove(&oldest);
            }
        }
        self.seen.insert(slot, Arc::new(first()));
    }

    /// Kinds of message of an object that were first seen since a time (ms), oldest first.
    pub(crate) fn new_since(&self, key: &Key, since: u64) -> Vec<Arc<Template>> {
        let from = (key.clone(), String::new());
        let own = self.seen.range(from..).take_while(|((k, _), _)| k == key);
        let mut new: Vec<Arc<Template>> =
            own.filter(|(_, t)| t.first_at >= since).map(|(_, t)| t.clone()).collect();
        new.sort_by(|a, b| (a.first_at, &a.signal).cmp(&(b.first_at, &b.signal)));
        new
    }

    /// Forgets kinds last seen before `horizon`.
    pub(crate) fn forget(&mut self, horizon: u64) {
        let stale: Vec<_> =
            self.seen.iter().filter(|(_, t)| t.last_at < horizon).map(|(k, _)| k.clone()).collect();
        for slot in stale {
            self.seen.remove(&slot);
        }
    }
}

/// The message with its volatile parts masked: every word that holds a digit, and what stands in quotes.
pub(crate) fn mask(message: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let mut quote = None;
    for c in message.chars().take(MAX_CHARS).chain([' ']) {
        if let Some(mark) = quote {
            if c == mark {
                quote = None;
                out.push(c);
            }
            continue;
        }
        if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':') {
            word.push(c);
            continue;
        }
        out.push_str(if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { &word });
        word.clear();
        out.push(c);
        if c == '"' {
            quote = Some(c);
        }
    }
    out.truncate(out.trim_end().len());
    out
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
    }
}
