//! The list of one kind, page by page, what is no longer in it, and how an object becomes a signal.

use std::time::Duration;

use kwhy_ingest::object::{Seen, Verb};
use kwhy_proto::v1::Signal;
use tokio::time::{Instant, timeout};

use super::{
    Resource, Trouble, gap,
    item::Item,
    known::{Known, News},
    page::Page,
    stand::{Closed, Stand, Stop},
    trouble::Failure,
    watch::{ANSWER, Watch},
};
use crate::clock::Clock;

/// Everything is told again this often, so that it stays in NATS, which forgets.
const AGAIN: Duration = Duration::from_secs(6 * 3600);

impl<C: Clock> Watch<'_, C> {
    /// Lists, and says what may be missing since the last watch.
    pub(crate) async fn list_anew(&self, resource: &Resource, stand: &mut Stand) -> Result<(), Stop> {
        self.health.note(resource, |progress| progress.watching = false);
        let version = self.list(resource, &mut stand.known).await?;
        stand.version = Some(version);
        stand.again = Instant::now() + AGAIN;
        let since = stand.contact;
        self.contact(resource, stand);
        self.told.well(resource);
        self.health.note(resource, |progress| {
            progress.lists += 1;
            progress.trouble = None;
        });
        if let Some(why) = stand.lost.take() {
            let now = (self.clock)();
            let from = since.unwrap_or(now);
            tracing::info!(%resource, why, "Listed anew.");
            self.health.note(resource, |progress| progress.gaps += 1);
            self.send(gap::signal(self.cluster, resource, from, now, why)).await?;
        }
        Ok(())
    }

    /// All pages of a list, then what is no longer in it. Gives the version to watch from.
    async fn list(&self, resource: &Resource, known: &mut Known) -> Result<String, Stop> {
        known.begin();
        let mut after: Option<String> = None;
        let version = loop {
            // It is never closed.
            let _page = self.pages.acquire().await;
            let ask = resource.list(after.as_deref()).map_err(|error| Failure::of(resource, &error))?;
            let text = timeout(ANSWER, self.client.request_text(ask))
                .await
                .map_err(|_elapsed| Failure::silent(resource, ANSWER))?
                .map_err(|error| Failure::of(resource, &error))?;
            let page: Page<'_> =
                serde_json::from_str(&text).map_err(|error| Failure::no_list(resource, error))?;
            for item in page.items.iter().flatten() {
                let item =
                    serde_json::from_str(item.get()).map_err(|error| Failure::no_list(resource, error))?;
                self.tell(resource, Verb::Added, Seen::Listed, Item::new(resource, item), known).await?;
            }
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => after = Some(next.into_owned()),
                None => break page.metadata.resource_version.unwrap_or_default().into_owned(),
            }
        };
        if version.is_empty() {
            return Err(Failure::no_version(resource).into());
        }
        for (uid, there) in known.vanished() {
            let item = Item::vanished(resource, &uid, &there, &version);
            self.tell(resource, Verb::Deleted, Seen::Listed, item, known).await?;
        }
        Ok(version)
    }

    /// Makes a signal of it and sends it, where it is news.
    pub(crate) async fn tell(
        &self,
        resource: &Resource,
        verb: Verb,
        seen: Seen,
        item: Item,
        known: &mut Known,
    ) -> Result<(), Closed> {
        // An Event goes when its time to live is over, which is no news.
        if resource.is_event() && verb == Verb::Deleted {
            return Ok(());
        }
        if !resource.is_event() {
            self.owners.note(&item);
            if verb == Verb::Deleted {
                known.remove(&item.uid());
            } else {
                let news = known.add(item.uid(), item.namespace(), item.name(), item.digest());
                if news == News::Same && seen == Seen::Watched {
                    return Ok(());
                }
            }
        }
        let path = resource.path(item.namespace(), item.name());
        match item.signal(self.cluster, verb, seen, (self.clock)()) {
            Ok(mut signal) => {
                signal.origin = path;
                self.send(signal).await
            }
            Err(reason) => {
                self.told.tell(&Trouble::Unusable { resource: resource.clone(), path, reason });
                Ok(())
            }
        }
    }

    async fn send(&self, signal: Signal) -> Result<(), Closed> {
        self.signals.send(signal).await.map_err(|_closed| Closed)
    }
}
