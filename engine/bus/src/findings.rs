//! Findings onto `KWHY_OUT`, each revision once.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use async_nats::{
    HeaderMap,
    header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID},
    jetstream::{message::StreamMessage, stream::RawMessageErrorKind},
};
use futures::StreamExt as _;
use kwhy_proto::{Message, fit, v1::Finding};
use tokio::time::timeout;

use crate::{
    Bus, BusError, Cause, Entry, Filter, Head, Start,
    send::{Outgoing, Sent, header_bytes},
    streams, subject,
};

const PROTOBUF: &str = "application/x-protobuf; message=kwhy.v1.Finding";
const JSON: &str = "application/json; message=kwhy.v1.Finding";

/// Makes the server look for the expected sequence under a filter of its own instead of under the message's subject.
const EXPECTED_UNDER: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// What became of a finding revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// Stored by this call, under this sequence of `KWHY_OUT`.
    Now(u64),
    /// Was there before with the same bytes, under this sequence.
    Before(u64),
}

impl Bus {
    /// Stores finding revisions, each once for as long as it is retained, and then publishes the JSON twin of those
    /// that are new (at most once: a subscriber that was away reads `KWHY_OUT`). Answers are in the order given.
    ///
    /// # Errors
    /// A revision that is stored already with other content, does not fit, or is not acknowledged. The others of the
    /// call may be stored; publishing all again is always safe.
    pub async fn publish_findings(&self, findings: &[Finding]) -> Result<Vec<Committed>, BusError> {
        let committed = self.store(findings).await?;
        let new = findings.iter().zip(&committed).filter(|(_, done)| matches!(done, Committed::Now(_)));
        self.publish_twins(new.map(|(finding, _)| finding)).await;
        Ok(committed)
    }

    /// Publishes the JSON twins of revisions that were stored.
    pub(crate) async fn publish_twins(&self, findings: impl Iterator<Item = &Finding> + Send) {
        for finding in findings {
            self.publish_twin(finding).await;
        }
        if !matches!(timeout(self.settings.ack_timeout, self.client.flush()).await, Ok(Ok(()))) {
            tracing::warn!("JSON twins of findings may be missing: the connection to NATS is lost.");
        }
    }

    /// The newest revision of each finding that is stored at the time of the call, in the order of their ids.
    ///
    /// # Errors
    /// Where the server does not answer or the stream cannot be read.
    pub async fn stored_findings(&self, filter: &Filter) -> Result<Vec<Finding>, BusError> {
        Ok(newest(self.stored_revisions(filter).await?))
    }

    /// The same of those that this checkpoint covers; and of those that none covers, as after a loss. Another engine may
    /// store more while this reads, and that is what its next checkpoints cover.
    ///
    /// # Errors
    /// As [`Bus::stored_findings`].
    pub async fn findings_as_of(&self, filter: &Filter, head: &Head) -> Result<Vec<Finding>, BusError> {
        let mut all = self.stored_revisions(filter).await?;
        let last = self.head().await?.map_or(0, |head| head.sequence);
        all.retain(|(sequence, _)| *sequence <= head.sequence || *sequence > last);
        Ok(newest(all))
    }

    /// What is stored at the time of the call, each with its sequence.
    async fn stored_revisions(&self, filter: &Filter) -> Result<Vec<(u64, Finding)>, BusError> {
        let mut all = Vec::new();
        let Some(last) = self.last_under(&filter.subjects()).await? else { return Ok(all) };
        let mut entries = std::pin::pin!(self.subscribe_findings(filter, Start::Beginning));
        while let Some(entry) = entries.next().await {
            let sequence = match entry? {
                Entry::Message { sequence, body, .. } => {
                    all.push((sequence, body));
                    sequence
                }
                Entry::Unreadable { sequence, .. } => sequence,
                Entry::Gap { last, .. } => last,
            };
            if sequence >= last.sequence {
                break;
            }
        }
        Ok(all)
    }

    /// Stores revisions one by one, without a checkpoint.
    async fn store(&self, findings: &[Finding]) -> Result<Vec<Committed>, BusError> {
        if let Some(finding) = findings.iter().find(|finding| finding.id.is_empty() || finding.revision == 0)
        {
            let (code, id, revision) = (finding.code.clone(), finding.id.clone(), finding.revision);
            return Err(BusError::Anonymous { code, id, revision });
        }
        let mut outcomes: Vec<Option<Sent>> = vec![None; findings.len()];
        self.send_all(findings.iter().map(message), |number, _, sent| {
            if let Some(outcome) = outcomes.get_mut(number) {
                *outcome = Some(sent);
            }
        })
        .await?;

        let mut committed = Vec::with_capacity(findings.len());
        for (finding, outcome) in findings.iter().zip(outcomes) {
            committed.push(match outcome {
                Some(Sent::Stored(sequence)) => Committed::Now(sequence),
                Some(Sent::TooLarge { size, limit }) => {
                    let (id, revision) = (finding.id.clone(), finding.revision);
                    return Err(BusError::FindingTooLarge { id, revision, size, limit });
                }
                Some(Sent::Known { ours } | Sent::Occupied { ours }) => {
                    let sequence = self.stored_copy(finding).await?;
                    if ours { Committed::Now(sequence) } else { Committed::Before(sequence) }
                }
                // `send_all` tells of every message when it succeeds.
                None => return Err(vanished(finding)),
            });
        }
        Ok(committed)
    }

    /// Sequence of the stored copy, which must have the same bytes. Read from the leader: a replica may lag.
    async fn stored_copy(&self, finding: &Finding) -> Result<u64, BusError> {
        let stored = self.last_under(&subject::copies(finding)).await?.ok_or_else(|| vanished(finding))?;
        if stored.payload == finding.encode_to_vec() {
            return Ok(stored.sequence);
        }
        let (id, revision) = (finding.id.clone(), finding.revision);
        Err(BusError::Diverged { id, revision, sequence: stored.sequence })
    }

    /// The newest message of `KWHY_OUT` under a subject; asked again until it is answered.
    pub(crate) async fn last_under(&self, filter: &str) -> Result<Option<StreamMessage>, BusError> {
        let api =
            |cause| BusError::Api { doing: format!("read {filter} from stream {}", streams::OUT), cause };
        self.patiently(async || {
            // A handle without asking the server.
            let stream = self.context.get_stream_no_info(streams::OUT).await.map_err(Cause::of)?;
            match stream.get_last_raw_message_by_subject(filter).await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(Cause::of(error)),
            }
        })
        .await
        .map_err(api)
    }

    async fn publish_twin(&self, finding: &Finding) {
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", JSON);
        // Not the id of the protobuf: a stream that takes in both would drop one as a duplicate.
        headers.insert(NATS_MESSAGE_ID, format!("{}/json", message_id(finding)));
        let limit = self.client.max_payload().saturating_sub(header_bytes(&headers));
        let sent = match json_within(finding, limit) {
            Ok(body) => {
                let sent = self.client.publish_with_headers(subject::json(finding), headers, body.into());
                match timeout(Duration::from_secs(1), sent).await {
                    Ok(sent) => sent.map_err(Cause::of),
                    Err(_elapsed) => Err(Cause::of("the client's buffer is full")),
                }
            }
            Err(error) => Err(Cause::of(error)),
        };
        if let Err(error) = sent {
            tracing::warn!(finding = finding.id, revision = finding.revision, %error, "A finding is stored, but its JSON twin is not sent.");
        }
    }
}

fn newest(revisions: Vec<(u64, Finding)>) -> Vec<Finding> {
    let by_id: BTreeMap<String, Finding> =
        revisions.into_iter().map(|(_, finding)| (finding.id.clone(), finding)).collect();
    by_id.into_values().collect()
}

/// The message of a revision.
pub(crate) fn message(finding: &Finding) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", PROTOBUF);
    headers.insert(NATS_MESSAGE_ID, message_id(finding));
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
    headers.insert(EXPECTED_UNDER, subject::copies(finding));
    Outgoing { subject: subject::finding(finding), headers, body: finding.encode_to_vec().into() }
}

/// A finding as JSON of at most so many bytes. JSON is larger than protobuf, so more may have to be left out of it.
fn json_within(finding: &Finding, limit: usize) -> serde_json::Result<Vec<u8>> {
    let mut body = serde_json::to_vec(finding)?;
    let (mut finding, mut most) = (Cow::Borrowed(finding), finding.encoded_len());
    while body.len() > limit && most > 0 {
        most /= 2;
        fit(finding.to_mut(), most);
        body = serde_json::to_vec(&*finding)?;
    }
    Ok(body)
}

fn message_id(finding: &Finding) -> String {
    format!("{}/{}", subject::token(&finding.id), finding.revision)
}

fn vanished(finding: &Finding) -> BusError {
    BusError::Vanished { id: finding.id.clone(), revision: finding.revision }
}
