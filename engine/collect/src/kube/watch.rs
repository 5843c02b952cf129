//! The watch of one kind: list, then changes, then both again for ever.
//!
//! The client's own `watcher` would do for most of it, but not for three things that API servers do: an answer of 200
//! that ends at once without a word, which is how a resourceVersion of Events that is too old is refused
//! (kubernetes#104171) and which the watcher repeats at once and for ever; a 410 as the answer itself, after which it
//! keeps the same version; and bookmarks, by which one knows that a silent watch is alive and which it keeps for itself.

use std::{pin::pin, time::Duration};

use futures::StreamExt;
use kube::{Client, core::WatchEvent};
use kwhy_ingest::object::{Seen, Verb};
use kwhy_proto::v1::Signal;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};

use super::{
    Health, Resource, Trouble,
    item::Item,
    known::Known,
    owners::Owners,
    retry::Retry,
    stand::{Closed, Stand, Stop, Went},
    started::Started,
    told::Told,
    trouble::Failure,
};
use crate::clock::Clock;

/// A page, or the beginning of a watch, is given up after this; the API server itself gives up after 60 s.
pub(crate) const ANSWER: Duration = Duration::from_secs(90);
/// How long a watch lasts: the API server ends it. At random between the two, or all would begin anew together.
const LASTS: std::ops::Range<u32> = 180..240;
/// A watch that says nothing for this much longer than it may last is taken for dead.
const OVERDUE: Duration = Duration::from_secs(10);
/// A watch that ends sooner than this ends early.
const EARLY: Duration = Duration::from_secs(5);
/// So many early ends in a row without a word mean that the version is not accepted.
const EMPTY: u32 = 2;
/// So many watches in a row that fail mean that the version may be why.
const FAILED: u32 = 3;

/// What all watches share.
pub(crate) struct Watch<'a, C> {
    pub(crate) client: Client,
    pub(crate) cluster: &'a str,
    pub(crate) clock: &'a C,
    pub(crate) signals: mpsc::Sender<Signal>,
    pub(crate) told: &'a Told<'a>,
    pub(crate) health: &'a Health,
    /// How many pages may be in memory.
    pub(crate) pages: &'a Semaphore,
    pub(crate) started: &'a Started,
    pub(crate) owners: &'a Owners,
    /// When something was last told before this process began.
    pub(crate) before: Option<u64>,
    /// Whether Events wait for its first list.
    pub(crate) counted: bool,
}

impl<C: Clock> Watch<'_, C> {
    /// Watches the first of some alternatives that is granted, until nobody takes signals any more.
    pub(crate) async fn run(self, alternatives: Vec<Resource>, known: Known) {
        let closed = self.signals.clone();
        tokio::select! {
            () = closed.closed() => {}
            Closed = self.supervise(&alternatives, known) => {}
        }
    }

    async fn supervise(&self, alternatives: &[Resource], known: Known) -> Closed {
        let event = alternatives.iter().any(Resource::is_event);
        if event {
            self.started.all().await;
        }
        let mut stand = Stand {
            known,
            version: None,
            contact: self.before,
            lost: self.before.map(|_| "nobody was watching"),
            retry: Retry::default(),
            empty: 0,
            failed: 0,
            again: Instant::now(),
        };
        let mut first = self.counted;
        let mut refused: Vec<Trouble> = Vec::new();
        loop {
            // Those before were refused in this round.
            let Some(resource) = alternatives.get(refused.len()).or(alternatives.first()) else {
                return Closed;
            };
            if !event && stand.version.is_some() && Instant::now() >= stand.again {
                stand.version = None;
            }
            let result = match stand.version.clone() {
                None => {
                    let listed = self.list_anew(resource, &mut stand).await;
                    if std::mem::take(&mut first) {
                        self.started.done();
                    }
                    listed
                }
                Some(version) => self.go_on(resource, version, &mut stand).await,
            };
            match result {
                Ok(()) => {}
                Err(Stop::Closed) => return Closed,
                Err(Stop::Failed(Failure::Trouble(
                    trouble @ (Trouble::Forbidden { .. } | Trouble::NotServed { .. }),
                ))) if stand.version.is_none() => {
                    self.ill(resource, &trouble);
                    refused.push(trouble);
                    if refused.len() < alternatives.len() {
                        continue;
                    }
                    // A permission is easier to give than an API to serve.
                    let forbidden =
                        refused.iter().find(|trouble| matches!(trouble, Trouble::Forbidden { .. }));
                    if let Some(trouble) = forbidden.or(refused.first()) {
                        self.told.tell(trouble);
                    }
                    refused.clear();
                    stand.retry.wait().await;
                }
                Err(Stop::Failed(failure)) => {
                    self.failed(resource, failure, &mut stand);
                    stand.retry.wait().await;
                }
            }
        }
    }

    fn failed(&self, resource: &Resource, failure: Failure, stand: &mut Stand) {
        match failure {
            Failure::Expired => stand.lose("they are too long ago for the API server"),
            Failure::Garbled(trouble) => {
                self.ill(resource, &trouble);
                self.told.tell(&trouble);
                stand.lose("what the API server sent could not be read");
            }
            Failure::Passing(reason) => tracing::debug!(%resource, reason, "The watch was cut off."),
            Failure::Trouble(trouble) => {
                self.ill(resource, &trouble);
                self.told.tell(&trouble);
                if matches!(trouble, Trouble::Unreadable { .. }) && stand.version.is_some() {
                    stand.failed += 1;
                    if stand.failed >= FAILED {
                        stand.lose("the API server refused to go on from there");
                    }
                }
            }
        }
    }

    fn ill(&self, resource: &Resource, trouble: &Trouble) {
        self.health.note(resource, |progress| {
            progress.watching = false;
            progress.trouble = Some(trouble.clone());
        });
    }

    pub(crate) fn contact(&self, resource: &Resource, stand: &mut Stand) {
        let now = (self.clock)();
        stand.contact = Some(now);
        self.health.note(resource, |progress| {
            progress.last = Some(now);
            progress.objects = stand.known.len();
        });
    }

    /// One watch, and what its end means.
    async fn go_on(&self, resource: &Resource, version: String, stand: &mut Stand) -> Result<(), Stop> {
        let went = self.watch(resource, version, stand).await?;
        self.health.note(resource, |progress| progress.watching = false);
        if went.lines > 0 || went.lasted >= EARLY {
            (stand.empty, stand.failed) = (0, 0);
            stand.retry.reset();
        }
        went.how?;
        if went.lines == 0 && went.lasted < EARLY {
            stand.empty += 1;
            if stand.empty >= EMPTY {
                stand.lose("the watch ended at once and without a word, as for what is too long ago");
            }
            stand.retry.wait().await;
        } else if went.lasted < EARLY {
            stand.retry.wait().await;
        } else {
            // They end together where the API server restarts.
            sleep(Duration::from_millis(fastrand::u64(..1000))).await;
        }
        Ok(())
    }

    async fn watch(&self, resource: &Resource, version: String, stand: &mut Stand) -> Result<Went, Closed> {
        let begun = Instant::now();
        let seconds = fastrand::u32(LASTS);
        let mut lines = 0;
        let how = self.changes(resource, version, seconds, &mut lines, stand).await;
        let lasted = begun.elapsed();
        match how {
            Err(Stop::Closed) => Err(Closed),
            Err(Stop::Failed(failure)) => Ok(Went { lines, lasted, how: Err(failure) }),
            Ok(()) => {
                // It told all there was up to its end.
                if lasted >= EARLY {
                    self.contact(resource, stand);
                }
                Ok(Went { lines, lasted, how: Ok(()) })
            }
        }
    }

    async fn changes(
        &self,
        resource: &Resource,
        version: String,
        seconds: u32,
        lines: &mut u64,
        stand: &mut Stand,
    ) -> Result<(), Stop> {
        let ask = resource.watch(&version, seconds).map_err(|error| Failure::of(resource, &error))?;
        let stream = timeout(ANSWER, self.client.request_events::<Value>(ask))
            .await
            .map_err(|_elapsed| Failure::silent(resource, ANSWER))?
            .map_err(|error| Failure::of(resource, &error))?;
        self.health.note(resource, |progress| progress.watching = true);
        let silence = Duration::from_secs(seconds.into()) + OVERDUE;
        let mut stream = pin!(stream);
        loop {
            let Ok(next) = timeout(silence, stream.next()).await else {
                return Err(Failure::Passing("not a word, and no end when it was due".to_owned()).into());
            };
            let (verb, value) = match next.transpose().map_err(|error| Failure::within(resource, &error))? {
                None => return Ok(()),
                Some(WatchEvent::Error(status)) => return Err(Failure::answered(resource, &status).into()),
                Some(WatchEvent::Bookmark(bookmark)) => {
                    *lines += 1;
                    stand.version = Some(bookmark.metadata.resource_version);
                    self.contact(resource, stand);
                    self.well(resource);
                    continue;
                }
                Some(WatchEvent::Added(value)) => (Verb::Added, value),
                Some(WatchEvent::Modified(value)) => (Verb::Modified, value),
                Some(WatchEvent::Deleted(value)) => (Verb::Deleted, value),
            };
            *lines += 1;
            let item = Item::new(resource, value);
            let version = item.version();
            if !version.is_empty() {
                stand.version = Some(version.to_owned());
            }
            self.contact(resource, stand);
            self.well(resource);
            self.tell(resource, verb, Seen::Watched, item, &mut stand.known).await?;
        }
    }

    fn well(&self, resource: &Resource) {
        self.told.well(resource);
        self.health.note(resource, |progress| progress.trouble = None);
    }
}
