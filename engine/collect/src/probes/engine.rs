//! How the engine is doing: how far it is behind the log of signals, and since when nothing was stored.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A checkpoint is stored every two seconds; where none comes for so long, something is wrong.
const STALE: Duration = Duration::from_secs(8);
/// A message of the log that waits for longer is a backlog and no burst.
const BEHIND: Duration = Duration::from_secs(60);
/// Most ends of the log that are remembered. An engine that is further behind is so for as long as the oldest says.
const MARKS: usize = 100;

/// How an engine is doing. Clones show the same.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Mutex<Stand>>);

#[derive(Debug)]
struct Stand {
    owner: bool,
    taken_in: u64,
    /// Where the log ends.
    end: u64,
    /// Former ends that are not reached yet, the oldest first, each with when it was seen.
    ahead: VecDeque<(u64, Instant)>,
    committed: u64,
    /// When the newest checkpoint was stored or heard of; when it began, where there was none yet.
    since: Instant,
    revisions: u64,
}

/// What can be read off an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineFigures {
    /// Whether it stores findings; else it stands by.
    pub owner: bool,
    /// The place in the log of the last message that it has taken in; 0 where there was none.
    pub taken_in: u64,
    /// How many places of the log follow that one.
    pub behind: u64,
    /// How long the oldest message that is known to follow has waited.
    pub waiting: Duration,
    /// The place in the log up to which findings are stored, by whichever process.
    pub committed: u64,
    /// How old the newest checkpoint is.
    pub age: Duration,
    /// Finding revisions that this process has stored.
    pub revisions: u64,
}

impl Default for Engine {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Stand {
            owner: false,
            taken_in: 0,
            end: 0,
            ahead: VecDeque::new(),
            committed: 0,
            since: Instant::now(),
            revisions: 0,
        })))
    }
}

impl Engine {
    /// It has taken in the log up to this place.
    pub fn note_taken_in(&self, place: u64) {
        let mut stand = self.lock();
        stand.taken_in = place;
        while stand.ahead.front().is_some_and(|(end, _)| *end <= place) {
            stand.ahead.pop_front();
        }
    }

    /// The log ends at this place now; 0 where it is empty.
    pub fn note_end(&self, end: u64) {
        let mut stand = self.lock();
        stand.end = end;
        // What was lost of it is not waited for.
        stand.ahead.retain(|(seen, _)| *seen <= end);
        let known = stand.ahead.back().map_or(stand.taken_in, |(seen, _)| *seen);
        if end > known && stand.ahead.len() < MARKS {
            stand.ahead.push_back((end, Instant::now()));
        }
    }

    /// A checkpoint is the newest now: findings are stored up to this place, so many revisions of them by this process.
    pub fn note_checkpoint(&self, place: u64, revisions: usize) {
        let mut stand = self.lock();
        (stand.committed, stand.since) = (place, Instant::now());
        stand.revisions += revisions as u64;
    }

    /// Whether it stores findings from now on.
    pub fn note_owner(&self, owner: bool) {
        self.lock().owner = owner;
    }

    /// As of now.
    #[must_use]
    pub fn figures(&self) -> EngineFigures {
        let stand = self.lock();
        EngineFigures {
            owner: stand.owner,
            taken_in: stand.taken_in,
            behind: stand.end.saturating_sub(stand.taken_in),
            waiting: stand.ahead.front().map(|(_, seen)| seen.elapsed()).unwrap_or_default(),
            committed: stand.committed,
            age: stand.since.elapsed(),
            revisions: stand.revisions,
        }
    }

    /// What keeps it from doing its work now, a line each.
    pub(super) fn troubles(&self) -> Vec<String> {
        let EngineFigures { behind, waiting, age, .. } = self.figures();
        let stale = (age >= STALE).then(|| format!("no checkpoint was stored for {} s", age.as_secs()));
        let slow = (waiting >= BEHIND)
            .then(|| format!("the engine is {behind} messages behind, for {} s", waiting.as_secs()));
        stale.into_iter().chain(slow).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Stand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_message_that_waits_for_long_is_told_and_none_that_came_later() {
        let engine = Engine::default();
        engine.note_end(5);
        advance(Duration::from_secs(30)).await;
        engine.note_end(9);
        engine.note_checkpoint(0, 0);
        assert_eq!((engine.figures().behind, engine.figures().waiting.as_secs()), (9, 30));
        engine.note_taken_in(5);
        assert_eq!((engine.figures().behind, engine.figures().waiting.as_secs()), (4, 0));
        advance(Duration::from_secs(60)).await;
        engine.note_checkpoint(5, 0);
        assert_eq!(engine.troubles(), ["the engine is 4 messages behind, for 60 s"]);
        engine.note_taken_in(9);
        assert_eq!((engine.troubles(), engine.figures().waiting), (vec![], Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_log_lost_is_not_waited_for() {
        let engine = Engine::default();
        engine.note_end(5);
        advance(BEHIND).await;
        engine.note_end(3);
        engine.note_taken_in(3);
        assert_eq!((engine.figures().behind, engine.figures().waiting), (0, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_goes_on_is_not_behind_however_much_comes() {
        let engine = Engine::default();
        for n in 1..1000 {
            engine.note_end(n * 10);
            let taken_in = (n * 10_u64).saturating_sub(15);
            engine.note_taken_in(taken_in);
            engine.note_checkpoint(taken_in, 1);
            advance(Duration::from_secs(5)).await;
            assert_eq!(engine.troubles(), [""; 0]);
        }
        assert!(engine.figures().waiting <= Duration::from_secs(10));
        assert_eq!(engine.figures().revisions, 999);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_stored_for_some_beats_it_is_told() {
        let engine = Engine::default();
        advance(STALE).await;
        assert_eq!(engine.troubles(), ["no checkpoint was stored for 8 s"]);
        engine.note_checkpoint(7, 0);
        assert_eq!((engine.troubles(), engine.figures().committed), (vec![], 7));
    }
}
