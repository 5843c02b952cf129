//! The watch of one kind: list, then changes, then both again for ever.

use std::{collections::HashSet, pin::pin};

use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, TypeMeta},
    runtime::{
        WatchStreamExt, watcher,
        watcher::{DefaultBackoff, Event},
    },
};
use kwhy_ingest::{
    event,
    object::{self, Seen, Verb},
};
use kwhy_proto::{timestamp, v1::Signal};
use tokio::{sync::mpsc, time::sleep};

use super::{Resource, Trouble, told::Told, trouble::Failure};
use crate::clock::Clock;

/// Nobody takes signals any more.
struct Closed;

/// Why a watch was left.
enum Left {
    /// This alternative is refused.
    Refused(Trouble),
    /// It must list anew.
    Expired,
}

pub(crate) struct Watch<'a, C> {
    pub(crate) client: Client,
    pub(crate) cluster: &'a str,
    pub(crate) clock: &'a C,
    pub(crate) signals: mpsc::Sender<Signal>,
    pub(crate) told: &'a Told<'a>,
}

impl<C: Clock> Watch<'_, C> {
    /// Watches the first of some alternatives that is granted, until nobody takes signals any more.
    pub(crate) async fn run(self, alternatives: &[Resource]) {
        let closed = self.signals.clone();
        tokio::select! {
            () = closed.closed() => {}
            () = self.supervise(alternatives) => {}
        }
    }

    async fn supervise(&self, alternatives: &[Resource]) {
        let mut backoff = DefaultBackoff::default();
        let mut known = HashSet::new();
        let mut refused: Vec<Trouble> = Vec::new();
        loop {
            // Those before were refused in this round.
            let Some(resource) = alternatives.get(refused.len()).or(alternatives.first()) else { return };
            match self.follow(*resource, &mut known, &mut backoff).await {
                Err(Closed) => return,
                Ok(Left::Refused(trouble)) => {
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
                }
                Ok(Left::Expired) => tracing::info!(%resource, "The watch is too far behind. Listing anew."),
            }
            wait(&mut backoff).await;
        }
    }

    /// One watch, through all that it can mend by itself.
    async fn follow(
        &self,
        resource: Resource,
        known: &mut HashSet<String>,
        backoff: &mut DefaultBackoff,
    ) -> Result<Left, Closed> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource.api());
        let stream = watcher(api, watcher::Config::default()).modify(|object: &mut DynamicObject| {
            // The bulk of many objects; a page of them waits in memory.
            object.metadata.managed_fields = None;
        });
        let mut stream = pin!(stream);
        let mut listed = HashSet::new();
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(id(&object));
                    self.send(resource, Verb::Added, Seen::Listed, object).await?;
                }
                Ok(Event::InitDone) => {
                    *known = std::mem::take(&mut listed);
                    self.told.well(resource);
                }
                Ok(Event::Apply(object)) => {
                    self.told.well(resource);
                    // The watcher does not say which it was.
                    let verb = if known.insert(id(&object)) { Verb::Added } else { Verb::Modified };
                    self.send(resource, verb, Seen::Watched, object).await?;
                }
                Ok(Event::Delete(object)) => {
                    known.remove(&id(&object));
                    // An Event goes when its time to live is over, which is no news.
                    if !resource.is_event() {
                        self.send(resource, Verb::Deleted, Seen::Watched, object).await?;
                    }
                }
                Err(error) => {
                    match Failure::of(resource, &error) {
                        Failure::Expired => return Ok(Left::Expired),
                        // What may be listed but not watched is not listed over and over.
                        Failure::Trouble(
                            trouble @ (Trouble::Forbidden { .. } | Trouble::NotServed { .. }),
                        ) if matches!(error, watcher::Error::InitialListFailed(_)) => {
                            return Ok(Left::Refused(trouble));
                        }
                        Failure::Trouble(trouble) => self.told.tell(&trouble),
                        Failure::Passing(reason) => {
                            tracing::debug!(%resource, reason, "The watch was cut off.")
                        }
                    }
                    wait(backoff).await;
                }
            }
        }
        // The watcher never ends by itself; if it should, starting anew is right.
        Ok(Left::Expired)
    }

    async fn send(
        &self,
        resource: Resource,
        verb: Verb,
        seen: Seen,
        mut object: DynamicObject,
    ) -> Result<(), Closed> {
        let path = resource.path(object.metadata.namespace.as_deref(), &object.name_any());
        // The items of a list do not say what they are.
        let api = resource.api();
        object.types = Some(TypeMeta { api_version: api.api_version, kind: api.kind });
        match self.signal(resource, verb, seen, object) {
            Ok(mut signal) => {
                signal.origin = path;
                self.signals.send(signal).await.map_err(|_closed| Closed)
            }
            Err(reason) => {
                self.told.tell(&Trouble::Unusable { resource, path, reason });
                Ok(())
            }
        }
    }

    fn signal(
        &self,
        resource: Resource,
        verb: Verb,
        seen: Seen,
        object: DynamicObject,
    ) -> Result<Signal, String> {
        let value = serde_json::to_value(object).map_err(|error| error.to_string())?;
        if resource.is_event() {
            event::signal(self.cluster, &value).map_err(|error| error.to_string())
        } else {
            let now = timestamp((self.clock)());
            object::signal(self.cluster, verb, seen, now, value).map_err(|error| error.to_string())
        }
    }
}

/// What tells an object from others of its kind, past and present.
fn id(object: &DynamicObject) -> String {
    object.uid().unwrap_or_else(|| object.name_any())
}

/// 0.8 s to 30 s, as client-go waits; from the start again after two quiet minutes.
async fn wait(backoff: &mut DefaultBackoff) {
    if let Some(delay) = backoff.next() {
        sleep(delay).await;
    }
}
