//! Signals onto `KWHY_IN`.

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID};
use kwhy_proto::{
    Message,
    v1::{Signal, SignalBatch},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{
    Bus, BusError,
    send::{Outgoing, Sent},
    subject,
};

const CONTENT_TYPE: &str = "application/x-protobuf; message=kwhy.v1.SignalBatch";

/// What a header cannot hold, and the mark itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// What became of published batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "messages that are too large were not stored"]
pub struct Published {
    /// Batches stored now.
    pub stored: u64,
    /// Batches that NATS had already.
    pub known: u64,
    /// Batches that NATS does not take.
    pub too_large: Vec<TooLarge>,
}

/// A batch above the server's `max_payload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// Its message id.
    pub id: String,
    /// Bytes with headers.
    pub size: usize,
    /// The server's limit.
    pub limit: usize,
}

impl Bus {
    /// Publishes batches in order and returns when every one is acknowledged. All signals of a batch must be of one
    /// cluster, source and namespace, as [`batches`](crate::batches) makes them; a signal that names no cluster is of
    /// the bus's own. Publishing the same batch again within the duplicate window stores nothing.
    ///
    /// # Errors
    /// A batch that is not acknowledged for as long as it may be sent again, or that NATS refuses. What came before it
    /// is stored, what came after may be; publishing all again is safe within the duplicate window.
    pub async fn publish_signals<I>(&self, batches: I) -> Result<Published, BusError>
    where
        I: IntoIterator<Item = SignalBatch>,
        I::IntoIter: Send,
    {
        let mut published = Published::default();
        let messages = batches.into_iter().filter_map(|batch| self.message(&batch));
        self.send_all(messages, |_, message, sent| match sent {
            Sent::Stored(_) => published.stored += 1,
            // Without a condition on the subject, `Occupied` cannot be.
            Sent::Known { .. } | Sent::Occupied { .. } => published.known += 1,
            Sent::TooLarge { size, limit } => {
                published.too_large.push(TooLarge { id: message.id().to_owned(), size, limit });
            }
        })
        .await?;
        Ok(published)
    }

    /// The message of a batch; none for an empty one.
    fn message(&self, batch: &SignalBatch) -> Option<Outgoing> {
        let (first, last) = (batch.signals.first()?, batch.signals.last()?);
        let cluster = if first.cluster.is_empty() { &self.settings.cluster } else { &first.cluster };
        let namespace = first.subject.as_ref().map_or("", |subject| &subject.namespace);
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", CONTENT_TYPE);
        headers.insert(NATS_MESSAGE_ID, message_id(cluster, first, last));
        Some(Outgoing {
            subject: subject::input(cluster, &first.source, namespace),
            headers,
            body: batch.encode_to_vec().into(),
        })
    }
}

/// The natural id of a signal, or of a run of log lines by its ends; with the cluster, as NATS compares ids over the
/// whole stream and the ticks and kubelet lines of two clusters may be called the same.
fn message_id(cluster: &str, first: &Signal, last: &Signal) -> String {
    let id = if first.id == last.id {
        format!("{cluster}/{}", first.id)
    } else {
        format!("{cluster}/{}..{}", first.id, last.id)
    };
    header_text(&id)
}

/// A text as a header can hold it.
pub(crate) fn header_text(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(id: &str) -> Signal {
        Signal { id: id.into(), ..Signal::default() }
    }

    #[test]
    fn a_message_id_is_natural_and_of_one_cluster() {
        let [one, two] = [signal("kubelet/kal/1"), signal("kubelet/kal/9")];
        assert_eq!(message_id("a", &one, &one), "a/kubelet/kal/1");
        assert_eq!(message_id("a", &one, &two), "a/kubelet/kal/1..kubelet/kal/9");
        assert_ne!(message_id("a", &one, &one), message_id("b", &one, &one));
    }

    #[test]
    fn an_id_cannot_forge_a_header() {
        let forged = signal("x\r\nNats-Rollup: all");
        assert_eq!(message_id("a", &forged, &forged), "a/x%0D%0ANats-Rollup: all");
    }
}
