//! Finding revisions and the checkpoint that says where they end, stored together or not at all.
//!
//! The checkpoint is stored on the condition that the one before is still the newest: that alone decides who of two
//! engines goes on. An answer that is lost is not guessed at; the checkpoint that is stored tells what became of it.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    client::RequestErrorKind,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{publish::PublishAck, response::Response},
};
use bytes::Bytes;
use kwhy_proto::{
    Message,
    v1::{Checkpoint, Finding},
};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};

use crate::{
    Bus, BusError, Cause, Committed,
    findings::message,
    send::{Backoff, Outgoing, Refusal, header_bytes},
    subject,
};

const CHECKPOINT: &str = "application/x-protobuf; message=kwhy.v1.Checkpoint";
const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";
/// Most messages of a batch; the server takes 1000.
const MOST: usize = 900;
/// Most bytes of a batch.
const MOST_BYTES: usize = 8 << 20;

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Its sequence in `KWHY_OUT`.
    pub sequence: u64,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Commit {
    /// Stored: the new head, and of each revision whether this call stored it.
    Stored(Head, Vec<Committed>),
    /// Another process has stored a checkpoint since; nothing of this call is stored, unless it was before.
    Fenced(Option<Head>),
}

/// What the server said to a batch.
enum Outcome {
    Stored(u64),
    /// A condition did not hold, or an id was known: nothing of it is stored.
    Conflict,
    /// No answer: it may be stored.
    Unknown(Cause),
}

/// The chain after these revisions.
#[must_use]
pub fn chain(before: &[u8], sequence: u64, findings: &[Finding]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update((before.len() as u64).to_be_bytes());
    hash.update(before);
    hash.update(sequence.to_be_bytes());
    for finding in findings {
        let bytes = finding.encode_to_vec();
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().to_vec()
}

impl Bus {
    /// The newest checkpoint of this cluster, asked of the leader; none where no engine has stored one.
    ///
    /// # Errors
    /// Where the server does not answer, or what is stored there is no checkpoint.
    pub async fn head(&self) -> Result<Option<Head>, BusError> {
        let subject = subject::checkpoint(&self.settings.cluster);
        let Some(stored) = self.last_under(&subject).await? else { return Ok(None) };
        let checkpoint = Checkpoint::decode(stored.payload).map_err(|error| BusError::Api {
            doing: format!("read the checkpoint {subject} (KWHY_OUT sequence {})", stored.sequence),
            cause: Cause::of(error),
        })?;
        Ok(Some(Head { sequence: stored.sequence, checkpoint }))
    }

    /// Stores the revisions and the checkpoint in one atomic batch, on the condition that `before` is the newest
    /// checkpoint, and then publishes the JSON twins of what is new.
    ///
    /// # Errors
    /// As [`Bus::publish_findings`]. After an error nothing is certain but that committing the same again is safe.
    pub async fn commit(
        &self,
        findings: &[Finding],
        checkpoint: &Checkpoint,
        before: Option<&Head>,
    ) -> Result<Commit, BusError> {
        let deadline = Instant::now() + self.settings.retry_for;
        let mut backoff = Backoff::new();
        let before = before.map_or(0, |head| head.sequence);
        let mark = self.mark(checkpoint, before);
        let batch: Vec<Outgoing> = findings.iter().map(message).chain([mark]).collect();
        let fits = self.fits(&batch);
        let mut tried = false;
        loop {
            let outcome = if fits { self.send_batch(&batch).await? } else { Outcome::Conflict };
            if let Outcome::Stored(sequence) = outcome {
                let head = Head { sequence, checkpoint: checkpoint.clone() };
                // The sequences of a batch follow each other.
                let first = sequence.saturating_sub(findings.len() as u64);
                let stored = (first..sequence).map(Committed::Now).collect();
                self.publish_twins(findings.iter()).await;
                return Ok(Commit::Stored(head, stored));
            }
            let head = self.head().await?;
            match &head {
                Some(head) if head.sequence != before && head.checkpoint == *checkpoint => {
                    // It was ours; its answer was lost.
                    let first = head.sequence.saturating_sub(findings.len() as u64);
                    let stored = (first..head.sequence).map(Committed::Now).collect();
                    self.publish_twins(findings.iter()).await;
                    return Ok(Commit::Stored(head.clone(), stored));
                }
                head if head.as_ref().map_or(0, |head| head.sequence) != before => {
                    return Ok(Commit::Fenced(head.clone()));
                }
                _ => {}
            }
            if matches!(outcome, Outcome::Conflict) {
                if tried {
                    return Ok(Commit::Fenced(head));
                }
                tried = true;
                // The checkpoint is the same, so some of the revisions are stored without it: the end of the stream was
                // lost in the middle of a batch. Or there are more of them than a batch takes. One by one, then.
                let stored = self.publish_findings(findings).await?;
                let alone = [self.mark(checkpoint, before)];
                if let Outcome::Stored(sequence) = self.send_batch(&alone).await? {
                    let head = Head { sequence, checkpoint: checkpoint.clone() };
                    return Ok(Commit::Stored(head, stored));
                }
                continue;
            }
            if let Outcome::Unknown(cause) = outcome
                && Instant::now() >= deadline
            {
                let message = format!("a batch of {} revisions with its checkpoint", findings.len());
                return Err(BusError::NotAcknowledged { message, waited: self.settings.retry_for, cause });
            }
            if backoff.is_worth_telling() {
                tracing::warn!("NATS does not acknowledge findings. Committing them again.");
            }
            backoff.wait().await;
        }
    }

    /// The message of a checkpoint.
    fn mark(&self, checkpoint: &Checkpoint, before: u64) -> Outgoing {
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", CHECKPOINT);
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, before.to_string().as_str());
        let body = checkpoint.encode_to_vec().into();
        Outgoing { subject: subject::checkpoint(&self.settings.cluster), headers, body }
    }

    /// Whether these messages make one batch.
    fn fits(&self, batch: &[Outgoing]) -> bool {
        let limit = self.client.max_payload();
        let size = |message: &Outgoing| message.body.len() + header_bytes(&message.headers);
        batch.len() <= MOST
            && batch.iter().map(size).sum::<usize>() <= MOST_BYTES
            && batch.iter().all(|message| size(message) + BATCH_ROOM <= limit)
    }

    /// Sends one batch and waits for the answer to its last message.
    async fn send_batch(&self, batch: &[Outgoing]) -> Result<Outcome, BusError> {
        let Some((last, rest)) = batch.split_last() else { return Ok(Outcome::Conflict) };
        if rest.is_empty() {
            return self.request(last, last.headers.clone()).await;
        }
        let id = format!("{:016x}", fastrand::u64(..));
        let headers = |message: &Outgoing, number: usize| {
            let mut headers = message.headers.clone();
            headers.insert(BATCH_ID, id.as_str());
            headers.insert(BATCH_SEQUENCE, number.to_string().as_str());
            headers
        };
        for (n, message) in rest.iter().enumerate() {
            let headers = headers(message, n + 1);
            if n == 0 {
                // A server that knows no batches would answer as to any message; this one answers with nothing.
                match self.ask_server(message, headers).await {
                    Ok(body) if body.is_empty() => {}
                    Ok(body) => return judge(&body, "the first message of a batch", true),
                    Err(cause) => return Ok(Outcome::Unknown(cause)),
                }
                continue;
            }
            let sent =
                self.client.publish_with_headers(message.subject.clone(), headers, message.body.clone());
            match timeout(self.settings.ack_timeout, sent).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Ok(Outcome::Unknown(Cause::of(error))),
                Err(_elapsed) => return Ok(Outcome::Unknown(Cause::of("the client's buffer is full"))),
            }
        }
        let mut headers = headers(last, batch.len());
        headers.insert(BATCH_COMMIT, "1");
        self.request(last, headers).await
    }

    async fn request(&self, message: &Outgoing, headers: HeaderMap) -> Result<Outcome, BusError> {
        match self.ask_server(message, headers).await {
            Ok(body) => judge(&body, "a checkpoint", false),
            Err(cause) => Ok(Outcome::Unknown(cause)),
        }
    }

    async fn ask_server(&self, message: &Outgoing, headers: HeaderMap) -> Result<Bytes, Cause> {
        if !self.connected_by(Instant::now() + self.settings.ack_timeout).await {
            return Err(Cause::of("the connection to NATS is lost"));
        }
        let request = async_nats::Request::new()
            .headers(headers)
            .payload(message.body.clone())
            .timeout(Some(self.settings.ack_timeout));
        match self.client.send_request(message.subject.clone(), request).await {
            Ok(answer) => Ok(answer.payload),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                // JetStream restarts or moves its leader.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(Cause::of(error))
            }
            Err(error) => Err(Cause::of(error)),
        }
    }
}

/// Room for the headers that make a message one of a batch.
const BATCH_ROOM: usize = 128;

/// What an answer of the server means. An answer to a message that opens a batch means that it opens none.
fn judge(body: &[u8], message: &str, opens: bool) -> Result<Outcome, BusError> {
    let refused = |cause: Cause| BusError::Rejected { message: message.to_owned(), cause };
    let error = match serde_json::from_slice(body).map_err(|error| refused(Cause::of(error)))? {
        Response::Ok(PublishAck { .. }) if opens => {
            return Err(refused(Cause::of(
                "the server stores the messages of a batch one by one: it does not know atomic batches",
            )));
        }
        Response::Ok(PublishAck { sequence, .. }) => return Ok(Outcome::Stored(sequence)),
        Response::Err { error } => error,
    };
    let cause = Cause::of(&error);
    match (error.error_code().0, Refusal::of(&error)) {
        (WRONG_LAST_SEQUENCE | DUPLICATE_IN_BATCH, _) => Ok(Outcome::Conflict),
        // A part was lost on the way.
        (INCOMPLETE_BATCH, _) | (_, Refusal::Passing) => Ok(Outcome::Unknown(cause)),
        (_, Refusal::Full) => Err(BusError::Full { message: message.to_owned(), cause }),
        (_, Refusal::Lasting) => Err(refused(cause)),
    }
}

const WRONG_LAST_SEQUENCE: u64 = 10071;
const DUPLICATE_IN_BATCH: u64 = 10201;
const INCOMPLETE_BATCH: u64 = 10176;
