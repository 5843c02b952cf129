//! The connection: who we talk to, whether it can do what we need, and leaving it in order.

use std::{str::FromStr, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr,
    connection::State,
    jetstream::{Context, ContextBuilder, ErrorCode, message::PublishMessage},
};
use kwhy_proto::LARGEST_FINDING;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout_at};

use crate::{BusError, Cause, Settings, streams, subject};

/// The oldest nats-server that will do: atomic batches (2.12), without the holes closed in 2.12.7.
pub const OLDEST_SERVER: &str = "2.12.7";

/// A batch of log lines and its headers must fit.
const SMALLEST_PAYLOAD: usize = 128 * 1024;
/// The largest finding must fit, with its number, times and headers.
const FINDING_PAYLOAD: usize = LARGEST_FINDING + 16 * 1024;

/// A connection to NATS with its streams in place. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) context: Context,
    pub(crate) settings: Arc<Settings>,
}

impl Bus {
    /// Connects, checks the server, and creates or checks the streams; done or failed within `connect_timeout`.
    /// Once connected, a lost connection is taken up again without end.
    ///
    /// # Errors
    /// Settings that cannot work; a server that does not answer, refuses the credentials, is older than
    /// [`OLDEST_SERVER`], takes too small messages, has no JetStream or no room; a stream that exists and cannot be made to fit.
    pub async fn connect(settings: &Settings) -> Result<Bus, BusError> {
        let deadline = Instant::now() + settings.connect_timeout;
        let bus = Bus::greet(settings, deadline).await?;
        let url = settings.shown_url();
        takes(&bus.client, &url, FINDING_PAYLOAD)?;
        let forgetful = |error| match error {
            BusError::Unfit { stream, problems, asked: true } => BusError::Forgets {
                url: url.clone(),
                found: bus.server_version(),
                needed: OLDEST_SERVER,
                stream,
                problems,
            },
            error => error,
        };
        let prepare = async {
            streams::probe(&bus.context, &url).await?;
            streams::Plan::input(settings).ensure(&bus.context).await.map_err(forgetful)?;
            streams::Plan::output(settings).ensure(&bus.context).await.map_err(forgetful)?;
            streams::Plan::requests(settings).ensure(&bus.context).await.map_err(forgetful)
        };
        let waited = settings.connect_timeout;
        let cause = Cause::of("the server answers, its JetStream does not");
        timeout_at(deadline, prepare).await.map_err(|_elapsed| BusError::Unreachable {
            url: url.clone(),
            waited,
            cause,
        })??;
        Ok(bus)
    }

    /// Connects for publishing signals alone, as a collector on a node does. The streams are neither looked at nor made,
    /// so no right is needed but to publish on `kwhy.in.<cluster>.>`. Until `kwhy run` has made `KWHY_IN`, publishing
    /// waits for it.
    ///
    /// # Errors
    /// As [`Bus::connect`], but for what has to do with streams.
    pub async fn publisher(settings: &Settings) -> Result<Bus, BusError> {
        Bus::greet(settings, Instant::now() + settings.connect_timeout).await
    }

    /// Connects and checks the server.
    async fn greet(settings: &Settings, deadline: Instant) -> Result<Bus, BusError> {
        settings.check()?;
        let url = settings.shown_url();
        let silent = |what: &str| BusError::Unreachable {
            url: url.clone(),
            waited: settings.connect_timeout,
            cause: Cause::of(what),
        };

        let (options, servers) = options(settings)?;
        let client = timeout_at(deadline, options.connect(servers))
            .await
            .map_err(|_elapsed| silent("no answer"))?
            .map_err(|error| refused(&url, settings.connect_timeout, &error))?;

        let server = client.server_info();
        if !is_at_least(&server.version, OLDEST_SERVER) {
            return Err(BusError::TooOld { url, found: server.version, needed: OLDEST_SERVER });
        }
        takes(&client, &url, SMALLEST_PAYLOAD)?;

        let context = ContextBuilder::new().timeout(settings.ack_timeout).build(client.clone());
        Ok(Bus { client, context, settings: Arc::new(settings.clone()) })
    }

    /// Version of the nats-server this is connected to.
    #[must_use]
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Whether the connection stands at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Whether the stream of signals answers now. It is asked to store a signal that is meant for another stream, which
    /// it refuses: so no right is needed but that to publish, and nothing is stored.
    pub async fn takes_signals(&self) -> bool {
        if !self.is_connected() {
            return false;
        }
        let probe = PublishMessage::build().expected_stream("NONE");
        let subject = subject::input(&self.settings.cluster, "probe", "");
        let Ok(sent) = self.context.send_publish(subject, probe).await else { return false };
        let answer = sent.await;
        let error = answer.as_ref().err().and_then(|error| streams::api_error(error));
        error.is_some_and(|error| error.error_code() == ErrorCode::STREAM_NOT_MATCH)
    }

    /// Sends what is still in the client's buffer and closes the connection, for all clones. Everything published
    /// durably is acknowledged before its call returns; this is for plain publishes.
    pub async fn close(self) {
        let flushed = tokio::time::timeout(self.settings.ack_timeout, self.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("The connection to NATS closed before all JSON twins of findings were sent.");
        }
        self.client.drain().await.ok();
    }

    /// Waits for the connection to stand, so that nothing is queued for later: a message that leaves the client's
    /// queue long after it was given up could pass the duplicate window. False if the deadline came first.
    pub(crate) async fn connected_by(&self, deadline: Instant) -> bool {
        while !self.is_connected() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }
}

/// The client takes no credentials from the URL, so they are taken out here.
fn options(settings: &Settings) -> Result<(ConnectOptions, Vec<ServerAddr>), BusError> {
    // Each server of a list gets its share, or a mute one would keep the next from being tried.
    let servers = u32::try_from(settings.url.split(',').count()).unwrap_or(u32::MAX);
    let mut options = ConnectOptions::new()
        .name("kwhy")
        .connection_timeout(settings.connect_timeout / servers.max(1))
        .request_timeout(Some(settings.ack_timeout))
        // A peer that vanished without a word is noticed after two of these.
        .ping_interval(Duration::from_secs(10))
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("Connected to NATS."),
                Event::Disconnected => tracing::warn!("The connection to NATS is lost. Reconnecting."),
                Event::SlowConsumer(_) => {
                    tracing::warn!("NATS delivers faster than is read. Reading again what was lost.")
                }
                event => tracing::debug!(%event, "NATS client event."),
            }
        });
    let mut servers = Vec::new();
    for url in settings.url.split(',').map(str::trim) {
        let server = ServerAddr::from_str(url).map_err(|error| {
            BusError::Settings(format!(
                "`{}` is no URL of a NATS server ({error}); write nats://host:4222",
                settings.shown_url()
            ))
        })?;
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        options = match (server.username(), server.password()) {
            (Some(user), Some(password)) => options.user_and_password(plain(user), plain(password)),
            (Some(token), None) => options.token(plain(token)),
            _ => options,
        };
        servers.push(server);
    }
    if let Some(path) = &settings.credentials {
        let unreadable = |error| BusError::File { path: path.clone(), cause: Cause::of(error) };
        let credentials = std::fs::read_to_string(path).map_err(unreadable)?;
        options = options.credentials(&credentials).map_err(unreadable)?;
    }
    if let Some(path) = &settings.ca {
        options = options.add_root_certificates(path.clone());
    }
    Ok((options, servers))
}

/// Whether the server takes messages of that size.
fn takes(client: &Client, url: &str, needed: usize) -> Result<(), BusError> {
    let found = client.max_payload();
    if found < needed {
        return Err(BusError::PayloadTooSmall { url: url.to_owned(), found, needed });
    }
    Ok(())
}

fn refused(url: &str, waited: Duration, error: &ConnectError) -> BusError {
    let cause = Cause::of(error);
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            BusError::Refused { url: url.to_owned(), cause }
        }
        _ => BusError::Unreachable { url: url.to_owned(), waited, cause },
    }
}

/// Compares the numbers of two versions; a pre-release counts as its release.
pub(crate) fn is_at_least(found: &str, needed: &str) -> bool {
    let numbers = |version: &str| -> Vec<u64> {
        let version = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
        version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    };
    numbers(found) >= numbers(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for new_enough in ["2.12.7", "v2.15.1", "2.15.0-dev", "2.12.10", "3.0.0"] {
            assert!(is_at_least(new_enough, OLDEST_SERVER), "{new_enough}");
        }
        for old in ["2.9.10", "2.12.6", "2.12", "1.99.99", "", "unknown"] {
            assert!(!is_at_least(old, OLDEST_SERVER), "{old}");
        }
    }
}
