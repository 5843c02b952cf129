//! What was not stored and will be sent again: the same body gets the time of its first attempt, and with it the same
//! ids, so that what NATS stored of the first attempt is not stored twice.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

/// Most bodies that are remembered; with more of them the oldest is forgotten.
const MOST: usize = 1024;
/// For how long, ms: as long as NATS remembers message ids.
const KEEP: u64 = 120_000;

/// The bodies that are on their way or came to nothing, each with the time of its first attempt.
#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<BTreeMap<[u8; 32], u64>>);

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    body: [u8; 32],
    /// When the body was first tried, ms.
    pub(super) at: u64,
}

impl Retries {
    /// A body that came at `now`, ms.
    pub(super) fn attempt(&self, body: &[u8], now: u64) -> Attempt {
        let body: [u8; 32] = Sha256::digest(body).into();
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.retain(|_, at| *at <= now && now - *at < KEEP);
        if first.len() >= MOST
            && let Some(oldest) = first.iter().min_by_key(|(_, at)| **at).map(|(body, _)| *body)
        {
            first.remove(&oldest);
        }
        Attempt { body, at: *first.entry(body).or_insert(now) }
    }

    /// The attempt is stored: the same body later is another delivery.
    pub(super) fn stored(&self, attempt: &Attempt) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_stored_keeps_the_time_of_its_first_attempt() {
        let retries = Retries::default();
        assert_eq!(retries.attempt(b"a", 1000).at, 1000);
        let again = retries.attempt(b"a", 3000);
        assert_eq!((again.at, retries.attempt(b"b", 3000).at), (1000, 3000));
        retries.stored(&again);
        assert_eq!(retries.attempt(b"a", 4000).at, 4000, "the next delivery of the same is another one");
        assert_eq!(retries.attempt(b"a", 4000 + KEEP).at, 4000 + KEEP);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let retries = Retries::default();
        for n in 0..3 * MOST as u64 {
            retries.attempt(&n.to_be_bytes(), 1000 + n);
        }
        assert_eq!(retries.0.lock().unwrap().len(), MOST);
    }
}
