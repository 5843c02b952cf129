//! Publishing with acknowledgement: many at a time, each awaited, the unanswered sent again.
//!
//! Messages go out in the order given. Only when one is not acknowledged does sending stop until all others on their
//! way are answered; then exactly the unanswered are sent again, in their order. So order is kept unless NATS loses
//! or refuses a message, and then at most one window of messages is out of order.

use std::{collections::VecDeque, time::Duration};

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{
        context::{PublishAckFuture, PublishError, PublishErrorKind},
        message::PublishMessage,
    },
};
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Bus, BusError, Cause, streams::api_error};

/// Most messages on their way at a time.
const WINDOW: usize = 256;
/// Most bytes on their way at a time, unless a single message is larger. The server holds 128 MiB for a stream.
const WINDOW_BYTES: usize = 8 << 20;

/// Delays between attempts at something that may pass: 100 ms, doubling to 5 s.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff(Duration::from_millis(100))
    }

    /// True once, when it has gone on long enough for somebody to want to know.
    pub(crate) fn is_worth_telling(&self) -> bool {
        self.0 == Duration::from_millis(3200)
    }

    pub(crate) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(5));
    }
}

/// A message to be stored.
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Stored under this sequence.
    Stored(u64),
    /// Its id is known, so it is stored already. `ours`: it had been sent before without an answer.
    Known { ours: bool },
    /// The condition on its subject failed: something is stored there. `ours` as above.
    Occupied { ours: bool },
    /// Larger than the server takes; not sent.
    TooLarge { size: usize, limit: usize },
}

/// A message on its way or waiting to be sent again.
struct Flight {
    number: usize,
    message: Outgoing,
    since: Instant,
    /// When it was last sent.
    sent: Instant,
    attempts: u32,
}

enum Answer {
    Done(Sent),
    Again(Cause),
    Fatal(BusError),
}

impl Bus {
    /// Sends all messages and tells `done` of each, with its place in the sequence, what became of it. After an error
    /// nothing is on its way any more.
    pub(crate) async fn send_all(
        &self,
        messages: impl Iterator<Item = Outgoing> + Send,
        mut done: impl FnMut(usize, &Outgoing, Sent) + Send,
    ) -> Result<(), BusError> {
        let mut messages = messages.enumerate();
        let mut on_their_way: VecDeque<(Flight, PublishAckFuture)> = VecDeque::new();
        let mut again: VecDeque<Flight> = VecDeque::new();
        let mut failed: Option<BusError> = None;
        let mut bytes = 0;
        let mut backoff = Backoff::new();
        loop {
            while failed.is_none() && again.is_empty() && on_their_way.len() < WINDOW && bytes < WINDOW_BYTES
            {
                let Some((number, message)) = messages.next() else { break };
                let size = message.body.len() + header_bytes(&message.headers);
                let limit = self.client.max_payload();
                if size > limit {
                    done(number, &message, Sent::TooLarge { size, limit });
                    continue;
                }
                let now = Instant::now();
                let flight = Flight { number, message, since: now, sent: now, attempts: 0 };
                bytes += flight.message.body.len();
                match self.launch(flight).await {
                    Ok(launched) => on_their_way.push_back(launched),
                    Err((flight, cause)) => self.keep(flight, cause, &mut again, &mut failed),
                }
            }
            if let Some((flight, ack)) = on_their_way.pop_front() {
                // Counted from the sending: after a lost connection all of a window are overdue together.
                let overdue = flight.sent + self.settings.ack_timeout;
                let ack = timeout_at(overdue, ack).await;
                let ack = ack.unwrap_or_else(|_| Err(PublishError::new(PublishErrorKind::TimedOut)));
                match self.answer(ack, &flight) {
                    Answer::Done(sent) => {
                        bytes = bytes.saturating_sub(flight.message.body.len());
                        backoff = Backoff::new();
                        done(flight.number, &flight.message, sent);
                    }
                    Answer::Again(cause) => self.keep(flight, cause, &mut again, &mut failed),
                    Answer::Fatal(error) => failed = failed.or(Some(error)),
                }
            } else if let Some(error) = failed {
                return Err(error);
            } else if again.is_empty() {
                return Ok(());
            } else {
                if backoff.is_worth_telling() {
                    tracing::warn!(
                        messages = again.len(),
                        "NATS does not acknowledge messages. Sending them again."
                    );
                }
                backoff.wait().await;
                for flight in std::mem::take(&mut again) {
                    match self.launch(flight).await {
                        Ok(launched) => on_their_way.push_back(launched),
                        Err((flight, cause)) => self.keep(flight, cause, &mut again, &mut failed),
                    }
                }
            }
        }
    }

    /// Sends once, when the connection stands.
    async fn launch(&self, mut flight: Flight) -> Result<(Flight, PublishAckFuture), (Flight, Cause)> {
        if !self.connected_by(flight.since + self.settings.retry_for).await {
            return Err((flight, Cause::of("the connection to NATS is lost")));
        }
        flight.attempts += 1;
        flight.sent = Instant::now();
        let publish = PublishMessage::build()
            .headers(flight.message.headers.clone())
            .payload(flight.message.body.clone());
        match self.context.send_publish(flight.message.subject.clone(), publish).await {
            Ok(ack) => Ok((flight, ack)),
            Err(error) => Err((flight, Cause::of(error))),
        }
    }

    /// Keeps a message for another attempt, or gives it up when its time is over.
    fn keep(
        &self,
        flight: Flight,
        cause: Cause,
        again: &mut VecDeque<Flight>,
        failed: &mut Option<BusError>,
    ) {
        if flight.since.elapsed() < self.settings.retry_for {
            tracing::debug!(subject = flight.message.subject, %cause, "A message was not acknowledged. Sending it again.");
            again.push_back(flight);
        } else if failed.is_none() {
            let waited = flight.since.elapsed();
            *failed = Some(BusError::NotAcknowledged { message: name(&flight.message), waited, cause });
        }
    }

    fn answer(
        &self,
        answer: Result<async_nats::jetstream::publish::PublishAck, PublishError>,
        flight: &Flight,
    ) -> Answer {
        let ours = flight.attempts > 1;
        let error = match answer {
            Ok(ack) if ack.duplicate => return Answer::Done(Sent::Known { ours }),
            Ok(ack) => return Answer::Done(Sent::Stored(ack.sequence)),
            Err(error) => error,
        };
        let cause = Cause::of(&error);
        let message = || name(&flight.message);
        match error.kind() {
            PublishErrorKind::WrongLastSequence => Answer::Done(Sent::Occupied { ours }),
            // No responders: JetStream restarts, moves its leader, or the stream is gone; time will tell.
            PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::StreamNotFound
            | PublishErrorKind::MaxAckPending => Answer::Again(cause),
            _ => match api_error(&error).map(Refusal::of) {
                Some(Refusal::Full) => Answer::Fatal(BusError::Full { message: message(), cause }),
                Some(Refusal::Passing) => Answer::Again(cause),
                Some(Refusal::Lasting) | None => {
                    Answer::Fatal(BusError::Rejected { message: message(), cause })
                }
            },
        }
    }

    /// Asks until there is an answer, for as long as a message may be sent again; the last failure then.
    pub(crate) async fn patiently<T>(
        &self,
        mut ask: impl AsyncFnMut() -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let deadline = Instant::now() + self.settings.retry_for;
        let mut backoff = Backoff::new();
        loop {
            match ask().await {
                Err(_) if Instant::now() < deadline => backoff.wait().await,
                answer => return answer,
            }
        }
    }
}

/// What an error of JetStream means for a message, conditions on it aside.
pub(crate) enum Refusal {
    /// There is no room for it.
    Full,
    /// The server is busy, moves its leader, or another write to that subject is on its way.
    Passing,
    /// It will never be taken.
    Lasting,
}

impl Refusal {
    pub(crate) fn of(error: &async_nats::jetstream::Error) -> Self {
        match (error.error_code().0, error.code()) {
            (NO_RESOURCES, _) => Self::Full,
            (STORE_FAILED, _) if error.to_string().contains("maximum") => Self::Full,
            (WRONG_SEQUENCE_IN_FLIGHT, _) | (_, 429 | 503) => Self::Passing,
            _ => Self::Lasting,
        }
    }
}

const NO_RESOURCES: u64 = 10023;
const STORE_FAILED: u64 = 10077;
const WRONG_SEQUENCE_IN_FLIGHT: u64 = 10164;

impl Outgoing {
    pub(crate) fn id(&self) -> &str {
        self.headers.get(NATS_MESSAGE_ID).map_or("", |id| id.as_str())
    }
}

/// How a message is called in an error.
fn name(message: &Outgoing) -> String {
    format!("message `{}` for {}", message.id(), message.subject)
}

/// Bytes of headers on the wire, which count towards the server's limit.
pub(crate) fn header_bytes(headers: &HeaderMap) -> usize {
    let frame = "NATS/1.0\r\n\r\n".len();
    let line = |name: &str, value: &str| name.len() + value.len() + ": \r\n".len();
    frame
        + headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| line(name.as_ref(), value.as_str())))
            .sum::<usize>()
}
