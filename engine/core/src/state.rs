//! A rule's own memory, kept by the host: bounded, expiring by log time, replaced only when a call returns ok.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use imbl::OrdMap;

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
}

impl StateTable {
    /// The value of `key` unless it has expired at log time `now` (ms).
    #[must_use]
    pub fn get(&self, key: &str, now: u64) -> Option<&[u8]> {
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
        let old = self.entries.get(key).map_or(0, |e| key.len() + e.value.len());
        if self.bytes - old + key.len() + value.len() > MAX_TOTAL {
            self.expire(now);
            let old = self.entries.get(key).map_or(0, |e| key.len() + e.value.len());
            if self.bytes - old + key.len() + value.len() > MAX_TOTAL {
                return Err(StateError::QuotaExceeded);
            }
        }
        self.delete(key);
        self.bytes += key.len() + value.len();
        self.entries.insert(key.to_owned(), Entry { value: value.into(), expires: now.saturating_add(ttl) });
        Ok(())
    }

    /// Forgets `key`.
    pub fn delete(&mut self, key: &str) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= key.len() + old.value.len();
        }
    }

    /// Forgets all that has expired at `now`.
    fn expire(&mut self, now: u64) {
        let dead: Vec<String> =
            self.entries.iter().filter(|(_, e)| e.expires <= now).map(|(k, _)| k.clone()).collect();
        for key in dead {
            self.delete(&key);
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
