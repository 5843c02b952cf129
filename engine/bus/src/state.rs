//! What the streams hold, for those who look after them.

use std::time::Duration;

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{LastRawMessageErrorKind, RawMessageErrorKind},
};
use kwhy_proto::Timestamp;
use tokio::time::Instant;

use crate::{Bus, BusError, Cause, streams, subject};

/// How long the copies of a stream may disagree on its end while another of them comes to lead: one that is cut off takes
/// ten seconds and more to know that it does not lead any longer, and one that was just chosen may be behind.
const UNSETTLED: Duration = Duration::from_secs(30);

/// Doubt in the end of a stream that is older than what was read of it.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    since: Option<Instant>,
}

impl Doubt {
    /// Whether an end that is `behind` what was read has to be believed. Of one copy it has; of several, only when it has
    /// stayed so for longer than they may disagree.
    pub(crate) fn is_over(&mut self, behind: bool, copies: usize) -> bool {
        if !behind {
            self.since = None;
            return true;
        }
        copies <= 1 || self.since.get_or_insert_with(Instant::now).elapsed() >= UNSETTLED
    }

    /// What is told meanwhile.
    pub(crate) fn cause() -> Cause {
        Cause::of("the server that answers knows less of the stream than was read of it")
    }
}

/// A stream as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// Its name.
    pub name: &'static str,
    /// Messages in it.
    pub messages: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// When the newest message was stored; none where it is empty.
    pub newest_at: Option<Timestamp>,
}

/// The log of signals as it is now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogState {
    /// When it was created: another time is another log.
    pub created: Timestamp,
    /// The oldest sequence that is stored; one after the last where none is.
    pub first: u64,
    /// The newest sequence; 0 where none was ever stored.
    pub last: u64,
}

impl Bus {
    /// What `KWHY_IN` is now, of which the message `seen` is known to have been read; asked again until it is answered, and
    /// where the stream has several copies, until one answers that has that message, or none came to for half a minute.
    ///
    /// # Errors
    /// JetStream does not answer for as long as a message may be sent again.
    pub async fn log(&self, seen: u64) -> Result<LogState, BusError> {
        let mut doubt = Doubt::default();
        self.patiently(async || {
            let stream = self.context.get_stream(streams::IN).await.map_err(Cause::of)?;
            let info = stream.cached_info();
            if !doubt.is_over(info.state.last_sequence < seen, info.config.num_replicas) {
                return Err(Doubt::cause());
            }
            let created = stored_at(info.created.unix_timestamp(), info.created.nanosecond());
            Ok(LogState { created, first: info.state.first_sequence, last: info.state.last_sequence })
        })
        .await
        .map_err(|cause| BusError::Api { doing: format!("look at stream {}", streams::IN), cause })
    }

    /// What the message of `KWHY_IN` with that sequence is called by its sender; none where it is not stored. Asked again
    /// until it is answered.
    ///
    /// # Errors
    /// As [`Bus::log`].
    pub async fn entry(&self, sequence: u64) -> Result<Option<String>, BusError> {
        self.patiently(async || {
            let stream = self.context.get_stream_no_info(streams::IN).await.map_err(Cause::of)?;
            match stream.get_raw_message(sequence).await {
                Ok(message) => {
                    let id = message.headers.get(async_nats::header::NATS_MESSAGE_ID);
                    Ok(Some(id.map(|id| id.as_str().to_owned()).unwrap_or_default()))
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(Cause::of(error)),
            }
        })
        .await
        .map_err(|cause| BusError::Api {
            doing: format!("read message {sequence} of {}", streams::IN),
            cause,
        })
    }

    /// What `KWHY_IN` and `KWHY_OUT` hold, of all clusters.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn states(&self) -> Result<Vec<StreamState>, BusError> {
        let mut states = Vec::new();
        for name in [streams::IN, streams::OUT] {
            let failed = |cause| BusError::Api { doing: format!("look at stream {name}"), cause };
            let stream = self.context.get_stream(name).await.map_err(|error| failed(Cause::of(error)))?;
            let state = &stream.cached_info().state;
            states.push(StreamState {
                name,
                messages: state.messages,
                bytes: state.bytes,
                newest_at: (state.messages > 0).then(|| {
                    stored_at(state.last_timestamp.unix_timestamp(), state.last_timestamp.nanosecond())
                }),
            });
        }
        Ok(states)
    }

    /// When the newest signal of a source (`alert`, `event`, `kubelet` …) of this cluster was stored; none where the
    /// stream has none.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn newest(&self, source: &str) -> Result<Option<Timestamp>, BusError> {
        let last = self.last(&subject::input_of_source(&self.settings.cluster, source)).await?;
        Ok(last.map(|message| stored_at(message.time.unix_timestamp(), message.time.nanosecond())))
    }

    /// The sequence of the last message of this cluster that is stored on `KWHY_IN`; none where there is none.
    ///
    /// # Errors
    /// JetStream does not answer.
    pub async fn last_input(&self) -> Result<Option<u64>, BusError> {
        let last = self.last(&subject::inputs_of(&self.settings.cluster)).await?;
        Ok(last.map(|message| message.sequence))
    }

    /// The last message on `KWHY_IN` under such a subject.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<StreamMessage>, BusError> {
        let failed = |cause| BusError::Api { doing: format!("look at stream {}", streams::IN), cause };
        let stream = self.context.get_stream(streams::IN).await.map_err(|error| failed(Cause::of(error)))?;
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(Cause::of(error))),
        }
    }
}

fn stored_at(seconds: i64, nanos: u32) -> Timestamp {
    Timestamp { seconds, nanos: i32::try_from(nanos).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_older_end_is_believed_of_one_copy_at_once_and_of_three_when_it_stays() {
        let mut doubt = Doubt::default();
        assert!(doubt.is_over(true, 1), "nobody else could know more");
        assert!(doubt.is_over(false, 3));
        assert!(!doubt.is_over(true, 3));
        tokio::time::advance(UNSETTLED / 2).await;
        assert!(!doubt.is_over(true, 3));
        // One that knows all has answered in between.
        assert!(doubt.is_over(false, 3));
        tokio::time::advance(UNSETTLED).await;
        assert!(!doubt.is_over(true, 3));
        tokio::time::advance(UNSETTLED).await;
        assert!(doubt.is_over(true, 3));
    }
}
