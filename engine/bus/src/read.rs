//! Reading a stream in order, over reconnects, restarts of the server and lost consumers, and saying what is missing.
//!
//! The consumer is ephemeral and unacknowledged: where reading stands is the caller's knowledge alone. Whatever
//! happens to the consumer (a missed heartbeat, a restart, a message lost on the way), it is thrown away and a new one
//! starts at the next sequence, so nothing comes twice. The client's own ordered consumer does the same but notices a
//! restarted server only after two missed heartbeats of 15 seconds, and does not tell holes from lost deliveries.

use std::{sync::atomic::Ordering, time::Duration};

use async_nats::{
    HeaderMap, Subject,
    header::NATS_MESSAGE_ID,
    jetstream::{
        Message as Delivery,
        consumer::{AckPolicy, DeliverPolicy, pull},
        context::GetStreamErrorKind,
    },
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use kwhy_proto::{
    Message, Timestamp,
    v1::{Finding, LogRequest, SignalBatch},
};
use tokio::time::timeout;

use crate::{Bus, BusError, Cause, send::Backoff, state::Doubt, streams, subject};

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest message there is.
    Beginning,
    /// At this sequence; what is no longer there is reported as a gap.
    Sequence(u64),
    /// After the newest message there is when the stream is first polled.
    End,
}

/// One step of an ordered read.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<T> {
    /// A message.
    Message {
        /// Its place in the stream.
        sequence: u64,
        /// When NATS stored it.
        published_at: Timestamp,
        /// What its sender calls it; empty where it has no id.
        id: String,
        /// What it holds.
        body: T,
    },
    /// A message whose body is not what this stream holds; it is passed over.
    Unreadable {
        /// Its place in the stream.
        sequence: u64,
        /// Where it was published.
        subject: String,
        /// What its sender calls it; empty where it has no id.
        id: String,
        /// What is the matter with it.
        problem: String,
    },
    /// Messages `first` to `last` are gone: the stream dropped them before they were read.
    Gap {
        /// The first missing sequence.
        first: u64,
        /// The last missing sequence.
        last: u64,
    },
}

/// Which findings to read; all where nothing is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Name of the cluster.
    pub cluster: Option<String>,
    /// Namespace of the root; empty for roots that have none.
    pub namespace: Option<String>,
    /// `pack.cause`, or `pack` for all its causes.
    pub code: Option<String>,
}

impl Filter {
    /// The subjects under which such findings are stored.
    pub(crate) fn subjects(&self) -> String {
        subject::revisions(self.cluster.as_deref(), self.namespace.as_deref(), self.code.as_deref())
    }
}

impl Bus {
    /// Reads the signals of this cluster in order, past and then new, without end. Passing troubles are mended inside.
    /// What other programs published as it is counts as unreadable; see [`Bus::read_with`].
    ///
    /// The stream ends with an error where going on would be wrong: [`BusError::Replaced`], [`BusError::TailLost`].
    pub fn read(
        &self,
        from: Start,
    ) -> impl Stream<Item = Result<Entry<SignalBatch>, BusError>> + Send + 'static {
        self.read_with(from, |_| Err("a raw message, which nobody reads here".to_owned()))
    }

    /// As [`Bus::read`], with what is published under `kwhy.in.<cluster>.raw.…` made signals by `raw`, which says else
    /// what is the matter with it.
    pub fn read_with(
        &self,
        from: Start,
        mut raw: impl FnMut(&Raw<'_>) -> Result<SignalBatch, String> + Send + 'static,
    ) -> impl Stream<Item = Result<Entry<SignalBatch>, BusError>> + Send + 'static {
        let cluster = self.settings.cluster.clone();
        let ours = move |subject: &str| subject::is_input_of(subject, &cluster);
        let reader = Reader::new(self.clone(), streams::IN, None, from);
        entries(reader, ours, move |message| {
            if let Some(tokens) = subject::raw(&message.subject) {
                let (sequence, published_at) = (message.sequence, message.published_at);
                let (headers, body) = (message.headers.as_ref(), &message.body);
                return raw(&Raw { sequence, published_at, tokens, headers, body });
            }
            let batch = if message.header("Content-Type").is_some_and(|kind| kind.starts_with(JSON)) {
                serde_json::from_slice(&message.body).map_err(|error| error.to_string())
            } else {
                SignalBatch::decode(&*message.body).map_err(|error| error.to_string())
            };
            match batch {
                Ok(batch) if batch.signals.is_empty() => Err("a batch without signals".into()),
                batch => batch,
            }
        })
    }

    /// The signals of this cluster and one source that are stored at the time of the call, in order; then it ends. What
    /// cannot be read is passed over.
    ///
    /// # Errors
    /// Where the stream cannot be looked at. Later errors come as those of [`Bus::read`].
    pub async fn stored(
        &self,
        source: &str,
    ) -> Result<impl Stream<Item = Result<SignalBatch, BusError>> + Send + 'static, BusError> {
        let filter = subject::input_of_source(&self.settings.cluster, source);
        let last = self.last(&filter).await?.map_or(0, |message| message.sequence);
        let reader = Reader::new(self.clone(), streams::IN, Some(filter), Start::Beginning);
        Ok(stream::try_unfold((reader, 0), move |(mut reader, mut at)| async move {
            while at < last {
                if let Found::Message(message) = reader.next().await? {
                    at = message.sequence;
                    if let Ok(batch) = SignalBatch::decode(&*message.body) {
                        return Ok(Some((batch, (reader, at))));
                    }
                }
            }
            Ok(None)
        }))
    }

    /// Reads finding revisions in the order in which they were stored, past and then new, without end. A gap is
    /// reported where retention took what was asked for, not within what a filter passes over. Ends as [`Bus::read`].
    pub fn subscribe_findings(
        &self,
        filter: &Filter,
        from: Start,
    ) -> impl Stream<Item = Result<Entry<Finding>, BusError>> + Send + 'static {
        let reader = Reader::new(self.clone(), streams::OUT, Some(filter.subjects()), from);
        entries(
            reader,
            |_| true,
            |message| Finding::decode(&*message.body).map_err(|error| error.to_string()),
        )
    }
}

/// How a batch may come that is not protobuf.
const JSON: &str = "application/json";

/// A message that another program published as it is.
#[derive(Debug)]
pub struct Raw<'m> {
    /// Its place in the stream.
    pub sequence: u64,
    /// When NATS stored it.
    pub published_at: Timestamp,
    /// What follows `raw` in its subject, decoded.
    pub tokens: Vec<String>,
    /// What it holds.
    pub body: &'m [u8],
    headers: Option<&'m HeaderMap>,
}

impl Raw<'_> {
    /// A header of the message.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.and_then(|headers| headers.get(name)).map(|value| value.as_str())
    }

    /// The id that its sender gave it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.headers.and_then(|headers| headers.get(NATS_MESSAGE_ID)).map(|value| value.as_str())
    }
}

/// A message of a stream.
struct Stored {
    sequence: u64,
    published_at: Timestamp,
    subject: Subject,
    headers: Option<HeaderMap>,
    body: Bytes,
}

impl Stored {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str())
    }
}

impl Bus {
    /// Reads the requests for logs of this cluster that are still of use, and then new ones, without end. Ends as
    /// [`Bus::read`].
    pub fn requests(&self) -> impl Stream<Item = Result<Entry<LogRequest>, BusError>> + Send + 'static {
        let filter = subject::requests_of(&self.settings.cluster);
        let reader = Reader::new(self.clone(), streams::ASK, Some(filter), Start::Beginning);
        entries(
            reader,
            |_| true,
            |message| LogRequest::decode(&*message.body).map_err(|error| error.to_string()),
        )
    }
}

/// What [`Reader`] finds.
enum Found {
    Message(Stored),
    Gap(u64, u64),
}

fn entries<T>(
    reader: Reader,
    ours: impl Fn(&str) -> bool + Send + 'static,
    decode: impl FnMut(&Stored) -> Result<T, String> + Send + 'static,
) -> impl Stream<Item = Result<Entry<T>, BusError>> + Send + 'static
where
    T: Send + 'static,
{
    stream::try_unfold((reader, ours, decode), |(mut reader, ours, mut decode)| async move {
        loop {
            let entry = match reader.next().await? {
                Found::Gap(first, last) => Entry::Gap { first, last },
                Found::Message(message) if !ours(&message.subject) => continue,
                Found::Message(message) => {
                    let (sequence, published_at) = (message.sequence, message.published_at);
                    let id = message.header(NATS_MESSAGE_ID.as_ref()).unwrap_or_default().to_owned();
                    match decode(&message) {
                        Ok(body) => Entry::Message { sequence, published_at, id, body },
                        Err(problem) => {
                            let subject = message.subject.to_string();
                            Entry::Unreadable { sequence, subject, id, problem }
                        }
                    }
                }
            };
            return Ok(Some((entry, (reader, ours, decode))));
        }
    })
}

/// A consumer at work.
struct Live {
    messages: pull::Stream,
    /// How many messages it has delivered; the server counts too.
    delivered: u64,
    /// The connection on which it was started.
    connection: u64,
}

/// The how manieth connection stands.
fn connection(bus: &Bus) -> u64 {
    bus.client.statistics().connects.load(Ordering::Relaxed)
}

struct Reader {
    bus: Bus,
    stream: &'static str,
    filter: Option<String>,
    start: Start,
    /// The sequence to come next; known once the stream has been looked at.
    next: Option<u64>,
    /// When the stream was created, to notice that it was replaced. Nanoseconds since the Unix epoch.
    created: Option<i128>,
    live: Option<Live>,
    /// Found together with a gap, to be handed out after it.
    held: Option<Found>,
    /// Where the stream seems to have lost its end.
    doubt: Doubt,
    backoff: Backoff,
}

/// Messages asked for at a time.
const PREFETCH: usize = 256;
/// A missing sign of life is noticed after two of these.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one request for messages stands.
const EXPIRES: Duration = Duration::from_secs(30);
/// The server forgets a consumer that nobody asks for this long.
const FORGET_AFTER: Duration = Duration::from_secs(60);

impl Reader {
    fn new(bus: Bus, stream: &'static str, filter: Option<String>, start: Start) -> Reader {
        let (doubt, backoff) = (Doubt::default(), Backoff::new());
        Reader {
            bus,
            stream,
            filter,
            start,
            next: None,
            created: None,
            live: None,
            held: None,
            doubt,
            backoff,
        }
    }

    async fn next(&mut self) -> Result<Found, BusError> {
        loop {
            if let Some(found) = self.held.take() {
                return Ok(found);
            }
            let Some(live) = &mut self.live else {
                match self.open().await {
                    Ok(gap) => self.held = gap,
                    Err(Trouble::Final(error)) => return Err(error),
                    Err(Trouble::Passing(cause)) => {
                        if self.backoff.is_worth_telling() {
                            tracing::warn!(stream = self.stream, %cause, "Cannot read the stream. Trying again.");
                        }
                        self.backoff.wait().await;
                    }
                }
                continue;
            };
            let Ok(next) = timeout(HEARTBEAT, live.messages.next()).await else {
                // What was on its way when a connection ended counts as delivered, and the heartbeats go on: only the next
                // message, whenever it comes, would tell.
                if live.connection != connection(&self.bus) {
                    self.drop_consumer(&Cause::of("the connection was lost"));
                }
                continue;
            };
            let delivered = match next {
                Some(Ok(message)) => {
                    live.delivered += 1;
                    place(&message).map(|place| (message, place))
                }
                Some(Err(error)) => Err(Cause::of(error)),
                None => Err(Cause::of("the consumer ended")),
            };
            match delivered {
                Ok((message, place)) if place.delivery == live.delivered => {
                    self.backoff = Backoff::new();
                    if let Some(found) = self.found(message, place) {
                        return Ok(found);
                    }
                }
                Ok(_) => self.drop_consumer(&Cause::of("a message was lost on the way")),
                Err(cause) => self.drop_consumer(&cause),
            }
        }
    }

    fn drop_consumer(&mut self, cause: &Cause) {
        tracing::debug!(stream = self.stream, next = self.next, %cause, "Reading on with a new consumer.");
        self.live = None;
    }

    /// Puts a message in its place; none if it was handed out before.
    fn found(&mut self, message: Delivery, place: Place) -> Option<Found> {
        let next = self.next.unwrap_or(place.sequence);
        if place.sequence < next {
            return None;
        }
        self.next = Some(place.sequence + 1);
        let Place { sequence, published_at, .. } = place;
        let async_nats::Message { subject, headers, payload: body, .. } = message.message;
        let found = Found::Message(Stored { sequence, published_at, subject, headers, body });
        // Without a filter the consumer passes over nothing, so a hole is what the stream has dropped.
        if self.filter.is_none() && sequence > next {
            self.held = Some(found);
            return Some(Found::Gap(next, sequence - 1));
        }
        Some(found)
    }

    /// Looks at the stream and starts a consumer at the next sequence. Gives the gap before it, if there is one.
    async fn open(&mut self) -> Result<Option<Found>, Trouble> {
        let connection = connection(&self.bus);
        let stream = self.bus.context.get_stream(self.stream).await.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code().0 == STREAM_NOT_FOUND => {
                Trouble::Final(BusError::Replaced { stream: self.stream })
            }
            _ => Trouble::Passing(Cause::of(error)),
        })?;
        let info = stream.cached_info();
        let created = info.created.unix_timestamp_nanos();
        if *self.created.get_or_insert(created) != created {
            return Err(Trouble::Final(BusError::Replaced { stream: self.stream }));
        }
        let (first, last) = (info.state.first_sequence.max(1), info.state.last_sequence);
        let next = *self.next.get_or_insert(match self.start {
            Start::Beginning => first,
            Start::Sequence(sequence) => sequence.max(1),
            Start::End => last + 1,
        });
        if !self.doubt.is_over(next > last + 1, info.config.num_replicas) {
            return Err(Trouble::Passing(Doubt::cause()));
        }
        if next > last + 1 {
            return Err(Trouble::Final(BusError::TailLost { stream: self.stream, expected: next, last }));
        }
        let from = next.max(first);
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            ack_policy: AckPolicy::None,
            filter_subject: self.filter.clone().unwrap_or_default(),
            inactive_threshold: FORGET_AFTER,
            num_replicas: 1,
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer =
            stream.create_consumer(config).await.map_err(|error| Trouble::Passing(Cause::of(error)))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(PREFETCH)
            .heartbeat(HEARTBEAT)
            .expires(EXPIRES)
            .messages()
            .await
            .map_err(|error| Trouble::Passing(Cause::of(error)))?;
        self.live = Some(Live { messages, delivered: 0, connection });
        self.next = Some(from);
        Ok((from > next).then(|| Found::Gap(next, from - 1)))
    }
}

const STREAM_NOT_FOUND: u64 = 10059;

/// Why a consumer could not be started.
enum Trouble {
    Passing(Cause),
    Final(BusError),
}

/// What the server says about a delivered message.
struct Place {
    sequence: u64,
    /// The how manieth message of its consumer it is.
    delivery: u64,
    published_at: Timestamp,
}

fn place(message: &Delivery) -> Result<Place, Cause> {
    let info = message.info().map_err(Cause::of)?;
    let published_at = Timestamp {
        seconds: info.published.unix_timestamp(),
        nanos: i32::try_from(info.published.nanosecond()).unwrap_or_default(),
    };
    Ok(Place { sequence: info.stream_sequence, delivery: info.consumer_sequence, published_at })
}
