//! A server that holds on to its conditions, or does not, and the way of a process to it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use anyhow::{Result, bail};
use fastrand::Rng;
use futures::{Stream, stream};
use kwhy_bus::{BusError, Commit, Committed, Entry, Head, LogState, Packed, Start};
use kwhy_proto::{
    Timestamp,
    v1::{Checkpoint, Finding, LogRequest, Signal, SignalBatch},
};
use tokio::time::sleep;

use super::{super::store::Store, PLACES, Protection};

pub(super) struct Server {
    protection: Protection,
    /// Nothing comes late.
    calm: bool,
    log: Rc<Vec<SignalBatch>>,
    /// How much of the log was published so far.
    published: u64,
    sequence: u64,
    head: Option<Head>,
    /// Each with its sequence.
    stored: Vec<(u64, Finding)>,
    snapshots: BTreeMap<String, Vec<u8>>,
    /// What was told to be lost of a log that loses nothing.
    pub(super) losses: Vec<String>,
}

impl Server {
    pub(super) fn new(protection: Protection, calm: bool, log: Rc<Vec<SignalBatch>>) -> Self {
        Self {
            protection,
            calm,
            log,
            published: 0,
            sequence: 0,
            head: None,
            stored: Vec::new(),
            snapshots: BTreeMap::new(),
            losses: Vec::new(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.checkpoint.sequence >= PLACES)
    }

    pub(super) fn stored(&self) -> Vec<Finding> {
        self.stored.iter().map(|(_, finding)| finding.clone()).collect()
    }

    fn reached(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.checkpoint.sequence)
    }
}

/// A process's way to the server.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) server: Rc<RefCell<Server>>,
    random: Rc<RefCell<Rng>>,
}

impl Link {
    pub(super) fn new(server: Server, random: Rng) -> Self {
        Self { server: Rc::new(RefCell::new(server)), random: Rc::new(RefCell::new(random)) }
    }

    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    pub(super) async fn pause(&self, most: u64) {
        sleep(Duration::from_millis(self.draw(|random| random.u64(..most)))).await;
    }

    fn one_in(&self, so_many: u8) -> bool {
        self.draw(|random| random.u8(..so_many)) == 0
    }

    /// Sources publish the log.
    pub(super) async fn publish(&self) {
        for place in 1..=PLACES {
            self.pause(400).await;
            self.server.borrow_mut().published = place;
        }
    }
}

impl Store for Link {
    async fn head(&self) -> Result<Option<Head>> {
        self.pause(50).await;
        Ok(self.server.borrow().head.clone())
    }

    async fn commit(
        &self,
        findings: &[Finding],
        checkpoint: &Checkpoint,
        before: Option<&Head>,
    ) -> Result<Commit> {
        // Most arrive soon; of a process that stands still, long after.
        let late = !self.server.borrow().calm && self.one_in(12);
        self.pause(if late { 20_000 } else { 40 }).await;
        let commit = {
            let mut server = self.server.borrow_mut();
            let newest = server.head.as_ref().map_or(0, |head| head.sequence);
            if server.protection.conditions && newest != before.map_or(0, |head| head.sequence) {
                Commit::Fenced(server.head.clone())
            } else {
                for finding in findings {
                    server.sequence += 1;
                    let sequence = server.sequence;
                    server.stored.push((sequence, finding.clone()));
                }
                server.sequence += 1;
                let head = Head { sequence: server.sequence, checkpoint: checkpoint.clone() };
                server.head = Some(head.clone());
                Commit::Stored(head, findings.iter().map(|_| Committed::Now(0)).collect())
            }
        };
        // The answer may take its time, too: whoever is killed meanwhile never hears it.
        self.pause(if late { 5_000 } else { 40 }).await;
        Ok(commit)
    }

    async fn ask(&self, _: &[LogRequest]) -> Result<()> {
        Ok(())
    }

    fn read(&self, _: &str, from: Start) -> impl Stream<Item = Result<Entry<SignalBatch>, BusError>> {
        let server = self.server.borrow();
        let first = match from {
            Start::Beginning | Start::End => 1,
            Start::Sequence(first) => first,
        };
        let first = if server.protection.retold { first } else { first.max(server.reached() + 1) };
        let link = self.clone();
        stream::unfold(first, move |place| {
            let link = link.clone();
            async move {
                while link.server.borrow().published < place {
                    sleep(Duration::from_millis(50)).await;
                }
                // Much of it comes at once, and now and then it halts.
                if link.one_in(8) {
                    link.pause(300).await;
                }
                let body = link.server.borrow().log.get(usize::try_from(place - 1).ok()?)?.clone();
                let id = place.to_string();
                let published_at = Timestamp::default();
                Some((Ok(Entry::Message { sequence: place, published_at, id, body }), place + 1))
            }
        })
    }

    async fn log(&self, _: u64) -> Result<LogState> {
        self.pause(50).await;
        Ok(LogState { created: Timestamp::default(), first: 1, last: self.server.borrow().published })
    }

    async fn entry(&self, sequence: u64) -> Result<Option<String>> {
        self.pause(50).await;
        Ok((sequence <= self.server.borrow().published).then(|| sequence.to_string()))
    }

    async fn tell(&self, signal: Signal) -> Result<()> {
        self.server.borrow_mut().losses.push(signal.message);
        Ok(())
    }

    async fn findings(&self, _: &str, head: &Head) -> Result<Vec<Finding>> {
        // There may be many, and others go on meanwhile.
        self.pause(5_000).await;
        let server = self.server.borrow();
        let as_of = if server.protection.as_of_head { head.sequence } else { u64::MAX };
        let covered = server.stored.iter().filter(|(sequence, _)| *sequence <= as_of);
        let newest: BTreeMap<&str, &Finding> = covered.map(|(_, f)| (f.id.as_str(), f)).collect();
        Ok(newest.into_values().cloned().collect())
    }

    async fn snapshot(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.pause(200).await;
        let mut content = self.server.borrow().snapshots.get(name).cloned();
        match self.draw(|random| random.u8(..12)) {
            0 => content = None,
            // Damaged in a way that its name does not tell.
            1 => content.iter_mut().for_each(|content| content.truncate(content.len() / 2)),
            _ => {}
        }
        Ok(content)
    }

    async fn put_snapshot(&self, packed: &Packed) -> Result<()> {
        self.pause(2_000).await;
        if self.one_in(6) {
            bail!("no room");
        }
        self.server.borrow_mut().snapshots.insert(packed.name.clone(), packed.content()?);
        Ok(())
    }

    async fn keep_snapshots(&self, keep: &BTreeSet<String>) -> Result<()> {
        self.pause(100).await;
        self.server.borrow_mut().snapshots.retain(|name, _| keep.contains(name));
        Ok(())
    }
}
