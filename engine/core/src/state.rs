//! A rule's own memory, kept by the host: bounded, expiring by log time, replaced only when a call returns ok.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use imbl::OrdMap;

use crate::seen::{self, Watch};

/// Longest key, bytes.
pub const MAX_KEY: usize = 256;
/// Largest value, bytes.
pub const MAX_VALUE: usize = 64 << 10;
/// Most that one rule may keep, bytes of keys and values.
pub const MAX_TOTAL: usize = 4 << 20;

/// Why a write was refused; the rule goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Longer than [`MAX_KEY`].
    #[error("key too long")]
    KeyTooLong,
    /// Larger than [`MAX_VALUE`].
    #[error("value too large")]
    ValueTooLarge,
    /// The rule would keep more than [`MAX_TOTAL`].
    #[error("quota exceeded")]
    QuotaExceeded,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    value: Arc<[u8]>,
    expires: u64,
}

/// One rule's memory. A clone is cheap and independent, so a call works on a clone and a failed call leaves no trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateTable {
    entries: OrdMap<String, Entry>,
    bytes: usize,
    /// Of the call that works on it, with the number of the rule and how many bytes there were at first.
    #[serde(skip)]
    watch: (Watch, usize, usize),
}

/// What a slot holds after a call that wrote to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) slot: String,
    entry: Option<Entry>,
}

impl StateTable {
    /// The value of `key` unless it has expired at log time `now` (ms).
    #[must_use]
    pub fn get(&self, key: &str, now: u64) -> Option<&[u8]> {
        self.note(key);
        self.entries.get(key).filter(|e| e.expires > now).map(|e| &*e.value)
    }

    /// Keeps `value` under `key` for `ttl` ms of log time after `now`.
    ///
    /// # Errors
    /// A [`StateError`] where a limit would be passed; the table is unchanged then.
    pub fn set(&mut self, key: &str, value: &[u8], ttl: u64, now: u64) -> Result<(), StateError> {
        if key.len() > MAX_KEY {
            return Err(StateError::KeyTooLong);
        }
        if value.len() > MAX_VALUE {
            return Err(StateError::ValueTooLarge);
        }
        self.note_write(key);
        let old = self.entries.get(key).map_or(0, |e| key.len() + e.value.len());
        if self.bytes - old + key.len() + value.len() > MAX_TOTAL {
            self.watch.0.note(|seen| seen.full = true);
            self.expire(now);
            let old = self.entries.get(key).map_or(0, |e| key.len() + e.value.len());
            if self.bytes - old + key.len() + value.len() > MAX_TOTAL {
                return Err(StateError::QuotaExceeded);
            }
        }
        self.remove(key);
        self.bytes += key.len() + value.len();
        let growth = self.bytes.saturating_sub(self.watch.2);
        self.watch.0.note(|seen| seen.growth = seen.growth.max(growth));
        self.entries.insert(key.to_owned(), Entry { value: value.into(), expires: now.saturating_add(ttl) });
        Ok(())
    }

    /// Forgets `key`.
    pub fn delete(&mut self, key: &str) {
        self.note_write(key);
        self.remove(key);
    }

    fn remove(&mut self, key: &str) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= key.len() + old.value.len();
        }
    }

    /// Forgets all that has expired at `now`.
    fn expire(&mut self, now: u64) {
        let dead: Vec<String> =
            self.entries.iter().filter(|(_, e)| e.expires <= now).map(|(k, _)| k.clone()).collect();
        for key in dead {
            self.remove(&key);
        }
    }

    /// The same with what a call of a rule looks at in it, and writes, being noted.
    pub(crate) fn watched(mut self, watch: &Watch, rule: usize) -> Self {
        self.watch = (watch.clone(), rule, self.bytes);
        self
    }

    /// The same after the call, and whether it is the table that the call was given.
    pub(crate) fn unwatched(mut self) -> (Self, bool) {
        let (watch, ..) = std::mem::take(&mut self.watch);
        (self, watch.is_on())
    }

    fn note(&self, key: &str) {
        self.watch.0.note(|seen| seen.tokens.push(seen::of_slot(self.watch.1, key)));
    }

    fn note_write(&self, key: &str) {
        self.note(key);
        self.watch.0.note(|seen| {
            if !seen.written.iter().any(|known| known == key) {
                seen.written.push(key.to_owned());
            }
        });
    }

    /// Whether nothing would have to make room where it grew by so many bytes.
    pub(crate) fn has_room_for(&self, growth: usize) -> bool {
        self.bytes + growth <= MAX_TOTAL
    }

    /// Whether anything is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What stands now in these slots.
    pub(crate) fn written(&self, slots: &[String]) -> Vec<Write> {
        slots
            .iter()
            .map(|slot| Write { slot: slot.clone(), entry: self.entries.get(slot).cloned() })
            .collect()
    }

    /// Writes again what was written.
    pub(crate) fn write(&mut self, writes: &[Write]) {
        for Write { slot, entry } in writes {
            self.remove(slot);
            if let Some(entry) = entry {
                self.bytes += slot.len() + entry.value.len();
                self.entries.insert(slot.clone(), entry.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_forgotten_when_its_time_to_live_has_passed() {
        let mut table = StateTable::default();
        table.set("k", b"v", 1000, 5000).unwrap();
        assert_eq!(table.get("k", 5999), Some(&b"v"[..]));
        assert_eq!(table.get("k", 6000), None);
    }

    #[test]
    fn expired_values_make_room_before_the_quota_refuses() {
        let mut table = StateTable::default();
        let big = vec![0; MAX_VALUE];
        for i in 0..62 {
            table.set(&format!("old{i}"), &big, 10, 0).unwrap();
        }
        assert_eq!(table.set("more", &big, 10, 5), Ok(()), "62 values and keys leave room for one");
        assert_eq!(table.set("too-much", &big, 10, 6), Err(StateError::QuotaExceeded));
        assert_eq!(table.set("later", &big, 10, 20), Ok(()));
        assert_eq!(table.get("old0", 20), None);
    }

    #[test]
    fn a_write_to_a_clone_leaves_the_original_alone() {
        let mut table = StateTable::default();
        table.set("k", b"old", 1000, 0).unwrap();
        let mut staged = table.clone();
        staged.set("k", b"new", 1000, 0).unwrap();
        assert_eq!(table.get("k", 1), Some(&b"old"[..]));
    }
}
