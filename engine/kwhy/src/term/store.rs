//! What a term needs of NATS, so that its fate under any fault can be tried without one.

use std::collections::BTreeSet;

use anyhow::Result;
use futures::Stream;
use kwhy_bus::{Bus, BusError, Commit, Entry, Filter, Head, LogState, Packed, Start};
use kwhy_proto::v1::{Checkpoint, Finding, LogRequest, Signal, SignalBatch};

use crate::raw;

/// Where the log is, and where findings, checkpoints and snapshots are stored. See [`Bus`] for what each call means.
pub(super) trait Store {
    async fn head(&self) -> Result<Option<Head>>;

    async fn commit(
        &self,
        findings: &[Finding],
        checkpoint: &Checkpoint,
        before: Option<&Head>,
    ) -> Result<Commit>;

    async fn ask(&self, requests: &[LogRequest]) -> Result<()>;

    /// The log of a cluster; what cannot be a signal is unreadable.
    fn read(&self, cluster: &str, from: Start) -> impl Stream<Item = Result<Entry<SignalBatch>, BusError>>;

    async fn log(&self, seen: u64) -> Result<LogState>;

    async fn entry(&self, sequence: u64) -> Result<Option<String>>;

    /// Publishes a signal on the log.
    async fn tell(&self, signal: Signal) -> Result<()>;

    /// The newest revision of each finding of a cluster that a checkpoint covers.
    async fn findings(&self, cluster: &str, head: &Head) -> Result<Vec<Finding>>;

    async fn snapshot(&self, name: &str) -> Result<Option<Vec<u8>>>;

    async fn put_snapshot(&self, packed: &Packed) -> Result<()>;

    async fn keep_snapshots(&self, keep: &BTreeSet<String>) -> Result<()>;
}

impl Store for Bus {
    async fn head(&self) -> Result<Option<Head>> {
        Ok(Bus::head(self).await?)
    }

    async fn commit(
        &self,
        findings: &[Finding],
        checkpoint: &Checkpoint,
        before: Option<&Head>,
    ) -> Result<Commit> {
        Ok(Bus::commit(self, findings, checkpoint, before).await?)
    }

    async fn ask(&self, requests: &[LogRequest]) -> Result<()> {
        Ok(Bus::ask(self, requests).await?)
    }

    fn read(&self, cluster: &str, from: Start) -> impl Stream<Item = Result<Entry<SignalBatch>, BusError>> {
        self.read_with(from, raw::reader(cluster.to_owned()))
    }

    async fn log(&self, seen: u64) -> Result<LogState> {
        Ok(Bus::log(self, seen).await?)
    }

    async fn entry(&self, sequence: u64) -> Result<Option<String>> {
        Ok(Bus::entry(self, sequence).await?)
    }

    async fn tell(&self, signal: Signal) -> Result<()> {
        let _published = self.publish_signals([SignalBatch { signals: vec![signal] }]).await?;
        Ok(())
    }

    async fn findings(&self, cluster: &str, head: &Head) -> Result<Vec<Finding>> {
        let filter = Filter { cluster: Some(cluster.to_owned()), ..Filter::default() };
        Ok(self.findings_as_of(&filter, head).await?)
    }

    async fn snapshot(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(Bus::snapshot(self, name).await?)
    }

    async fn put_snapshot(&self, packed: &Packed) -> Result<()> {
        Ok(Bus::put_snapshot(self, packed).await?)
    }

    async fn keep_snapshots(&self, keep: &BTreeSet<String>) -> Result<()> {
        Ok(Bus::keep_snapshots(self, keep).await?)
    }
}
