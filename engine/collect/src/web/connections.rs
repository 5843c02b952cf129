//! Places for connections: so many and no more, and whoever dawdles gives way.
//!
//! When all places are taken, the connection that has waited longest without having sent its whole request is cut off.
//! A sender needs milliseconds for that, so slow clients, however many, keep nobody out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::{AbortHandle, AbortRegistration, Abortable};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type Readers = Arc<Mutex<BTreeMap<u64, AbortHandle>>>;

/// All places.
#[derive(Debug)]
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    reading: Readers,
    next: u64,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    reading: Reading,
    registration: AbortRegistration,
}

/// The mark of a connection that has not sent its whole request yet.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    number: u64,
    readers: Readers,
}

impl Connections {
    pub(crate) fn new(most: usize) -> Self {
        let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
        Self { places, reading: Readers::default(), next: 0 }
    }

    /// Waits for a place; makes one where somebody dawdles.
    pub(crate) async fn place(&mut self) -> Option<Place> {
        let permit = match self.places.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let oldest = lock(&self.reading).pop_first();
                if let Some((_, slow)) = oldest {
                    slow.abort();
                }
                self.places.clone().acquire_owned().await.ok()?
            }
        };
        self.next += 1;
        let (handle, registration) = AbortHandle::new_pair();
        lock(&self.reading).insert(self.next, handle);
        let reading = Reading { number: self.next, readers: self.reading.clone() };
        Some(Place { _permit: permit, reading, registration })
    }
}

impl Place {
    pub(crate) fn reading(&self) -> Reading {
        self.reading.clone()
    }

    /// Takes the place for as long as `connection` lasts, or until it is cut off.
    pub(crate) async fn hold(self, connection: impl Future<Output = ()>) {
        // An error says that it was cut off, which is known.
        let _ = Abortable::new(connection, self.registration).await;
        self.reading.done();
    }
}

impl Reading {
    /// The request is here: what is left to do is ours.
    pub(crate) fn done(&self) {
        lock(&self.readers).remove(&self.number);
    }
}

fn lock(readers: &Readers) -> std::sync::MutexGuard<'_, BTreeMap<u64, AbortHandle>> {
    readers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::{spawn, time::timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_dawdles_longest_gives_way_and_who_is_served_does_not() {
        let mut connections = Connections::new(3);
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let place = connections.place().await.unwrap();
            tasks.push((place.reading(), spawn(place.hold(pending()))));
        }
        tasks[0].0.done();
        let place = connections.place().await.unwrap();
        (&mut tasks[1].1).await.unwrap();
        assert!(!tasks[0].1.is_finished() && !tasks[2].1.is_finished());
        tasks[2].0.done();
        place.reading().done();
        let second = std::time::Duration::from_secs(1);
        assert!(timeout(second, connections.place()).await.is_err(), "nobody is cut off while it is served");
        drop(place);
        assert!(connections.place().await.is_some());
    }
}
