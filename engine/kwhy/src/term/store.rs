//! What a writer needs of NATS, so that its fate under any fault can be tried without one.

use anyhow::Result;
use kwhy_bus::{Bus, Commit, Head};
use kwhy_proto::v1::{Checkpoint, Finding, LogRequest};

/// Where findings and checkpoints are stored. See [`Bus`] for what each call means.
pub(super) trait Store {
    async fn head(&self) -> Result<Option<Head>>;

    async fn commit(
        &self,
        findings: &[Finding],
        checkpoint: &Checkpoint,
        before: Option<&Head>,
    ) -> Result<Commit>;

    async fn ask(&self, requests: &[LogRequest]) -> Result<()>;
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
}
