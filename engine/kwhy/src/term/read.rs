//! Reading the log for the engine.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kwhy_bus::{BusError, Entry, Start};
use tokio::sync::mpsc;

use super::{
    Post,
    start::{self, DROPPED},
    store::Store,
    work::Told,
    writer::End,
};

pub(super) struct Reader {
    pub(super) from: Start,
    /// The last place that the newest checkpoint knows.
    pub(super) taken_in: u64,
    pub(super) told: mpsc::Sender<Told>,
    /// Log time.
    pub(super) now: Arc<AtomicU64>,
}

impl Reader {
    /// Tells the engine what comes until told to stop, or until the log makes a new start necessary.
    pub(super) async fn run(
        self,
        post: &Post<'_, impl Store>,
        stop: impl Future<Output = ()>,
    ) -> Result<End> {
        let mut entries = pin!(post.store.read(&post.cluster, self.from));
        let mut stop = pin!(stop);
        loop {
            let entry = tokio::select! {
                biased;
                () = &mut stop => return Ok(End::Stopped),
                entry = entries.next() => entry,
            };
            let next = match entry {
                Some(Ok(Entry::Message { sequence, id, body, .. })) => {
                    Told { place: sequence, entry: id, signals: body.signals }
                }
                Some(Ok(Entry::Unreadable { sequence, subject, id, problem })) => {
                    eprintln!("kwhy: message {sequence} on {subject} is left out: {problem}");
                    Told { place: sequence, entry: id, signals: Vec::new() }
                }
                Some(Ok(Entry::Gap { first, last })) => {
                    // What was taken in before is not lost, though this process did not hear it: a log that is quiet for long
                    // enough is empty.
                    let unread = first.max(self.taken_in + 1);
                    if unread <= last {
                        let now = self.now.load(Ordering::Relaxed);
                        start::tell_of_loss(post, unread, last, DROPPED, now).await?;
                    }
                    continue;
                }
                Some(Err(error @ BusError::TailLost { .. })) => return Ok(End::Anew(error.to_string())),
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the log of signals ended"),
            };
            if self.told.send(next).await.is_err() {
                bail!("the engine ended");
            }
        }
    }
}
