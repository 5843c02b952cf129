//! What other programs ship as it is: kubelet and container lines, events, objects and alerts, in the shapes in which
//! Vector, Fluent Bit, kubectl, journalctl and Alertmanager hand them on.
//!
//! One message makes the same signals whenever it is read: times come from the text, else from when the message was
//! stored; ids come from the text where it has one of its own (a journal cursor, a uid), else from the message.

mod items;
mod lines;

use kwhy_proto::{Timestamp, v1::Signal};
use sha2::{Digest, Sha256};

use crate::{
    alert::{self, Identity},
    event,
    object::{self, Seen, Verb},
    text,
};

/// Most problems of one message that are told.
const PROBLEMS: usize = 5;

/// What a message holds, by its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Lines of a node: `kubelet.<node>`. Without a node each line must tell its own.
    Kubelet {
        /// Name of the node; empty where the subject has none.
        node: String,
    },
    /// Lines of a container: `log.<namespace>.<pod>.<container>`, or `log` alone where each line tells its own.
    Log {
        /// Namespace, pod and container.
        of: Option<[String; 3]>,
    },
    /// Events of Kubernetes: `events`.
    Events,
    /// Objects of Kubernetes: `objects`. Events among them are taken for what they are.
    Objects,
    /// A body of Alertmanager's webhook or of its API: `alerts`.
    Alerts,
}

/// Why a message is not used at all.
#[derive(Debug, thiserror::Error)]
pub enum BadRaw {
    /// The subject says nothing that is known.
    #[error("`{0}` is none of kubelet.NODE, log.NAMESPACE.POD.CONTAINER, events, objects, alerts")]
    Kind(String),
    /// The body is empty.
    #[error("it is empty")]
    Empty,
    /// The body is not text.
    #[error("it is neither text nor JSON; encodings other than UTF-8 and compressed bodies are not read")]
    Binary,
    /// A body of alerts that is none.
    #[error(transparent)]
    Alerts(#[from] alert::BadBody),
}

impl Kind {
    /// Reads what follows `raw.` in a subject, with its tokens decoded. A node may have dots in its name, and so may a
    /// pod.
    ///
    /// # Errors
    /// [`BadRaw::Kind`] for what is none.
    pub fn of(tokens: &[String]) -> Result<Kind, BadRaw> {
        match tokens {
            [kind, node @ ..] if kind == "kubelet" => Ok(Kind::Kubelet { node: node.join(".") }),
            [kind] if kind == "log" => Ok(Kind::Log { of: None }),
            [kind, namespace, pod @ .., container] if kind == "log" && !pod.is_empty() => {
                Ok(Kind::Log { of: Some([namespace.clone(), pod.join("."), container.clone()]) })
            }
            [kind] if kind == "events" => Ok(Kind::Events),
            [kind] if kind == "objects" => Ok(Kind::Objects),
            [kind] if kind == "alerts" => Ok(Kind::Alerts),
            _ => Err(BadRaw::Kind(text::name(&tokens.join(".")))),
        }
    }
}

/// A message as it was stored.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    /// Name of the cluster, by its subject.
    pub cluster: &'m str,
    /// What it holds.
    pub kind: &'m Kind,
    /// When it came about: as its sender says, else when it was stored.
    pub at: Timestamp,
    /// What tells it from all others, as [`key`] makes it.
    pub key: &'m str,
    /// The body.
    pub body: &'m [u8],
}

/// What tells a message from all others: the id that its sender gave it, so that it is known again when it is sent once
/// more, else its place in the stream.
#[must_use]
pub fn key(id: Option<&str>, stored_at: Timestamp, sequence: u64) -> String {
    match id {
        Some(id) => {
            let digest: String =
                Sha256::digest(id).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
            format!("m{digest}")
        }
        // The time as well: a server that lost the end of a stream gives its sequences out again.
        None => format!("r{:011}{:09}-{sequence}", stored_at.seconds.max(0), stored_at.nanos.max(0)),
    }
}

/// What became of a message.
#[derive(Debug, Default)]
pub struct Read {
    /// Its signals, in order.
    pub signals: Vec<Signal>,
    /// The first items that could not be used, by number from 1, and why.
    pub problems: Vec<(u32, String)>,
    /// How many items could not be used.
    pub bad: u32,
}

impl Read {
    fn problem(&mut self, item: u32, why: impl ToString) {
        self.bad = self.bad.saturating_add(1);
        if self.problems.len() < PROBLEMS {
            self.problems.push((item, why.to_string()));
        }
    }
}

/// Reads a message. Good items of a partly bad one are kept.
///
/// # Errors
/// [`BadRaw`] where nothing in it can be made out.
pub fn read(message: &Message<'_>) -> Result<Read, BadRaw> {
    let Some(first) = message.body.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return Err(BadRaw::Empty);
    };
    // One bad byte in a line is no reason to lose the others; mostly such bytes are.
    let odd = message.body.iter().take(4096).filter(|b| matches!(b, 0..=8 | 14..=26 | 28..=31)).count();
    if odd * 10 > message.body.len().min(4096) {
        return Err(BadRaw::Binary);
    }
    let is_json = matches!(first, b'{' | b'[');
    let mut read = Read::default();
    match message.kind {
        Kind::Kubelet { .. } | Kind::Log { .. } if is_json => lines::records(message, &mut read),
        Kind::Kubelet { .. } | Kind::Log { .. } => lines::text(message, &mut read),
        Kind::Events | Kind::Objects => items::each(message.body, &mut read, |number, item, read| {
            let verb = item.verb.as_deref();
            match one(message, verb, item.at, item.value) {
                Ok(signal) => read.signals.extend(signal),
                Err(why) => read.problem(number, why),
            }
        }),
        Kind::Alerts => {
            let delivery = alert::body(message.cluster, message.at, message.body, &Identity::default())?;
            read.signals = delivery.alerts.into_iter().map(|listed| listed.signal).collect();
            for (number, bad) in delivery.bad {
                read.problem(number, bad);
            }
            if delivery.left_out > 0 {
                read.problem(0, format!("Alertmanager left out {} alerts (max_alerts)", delivery.left_out));
            }
        }
    }
    for signal in &mut read.signals {
        if signal.origin.is_empty() {
            signal.origin = format!("raw {}", message.key);
        }
    }
    Ok(read)
}

fn one(
    message: &Message<'_>,
    verb: Option<&str>,
    at: Option<Timestamp>,
    value: serde_json::Value,
) -> Result<Option<Signal>, String> {
    let is_event = object::text_at(&value, "/kind") == "Event"
        || (*message.kind == Kind::Events && value.get("kind").is_none());
    if is_event {
        // An Event goes when its time to live is over, which is no news.
        if verb == Some("DELETED") {
            return Ok(None);
        }
        return event::signal(message.cluster, &value).map(Some).map_err(|error| error.to_string());
    }
    if *message.kind == Kind::Events {
        return Err("not an Event".to_owned());
    }
    let at = at.unwrap_or(message.at);
    let made = match verb {
        None => object::signal(message.cluster, Verb::Added, Seen::Listed, at, value).map(Some),
        Some(verb) => Verb::of(verb).and_then(|verb| {
            verb.map(|verb| object::signal(message.cluster, verb, Seen::Watched, at, value)).transpose()
        }),
    };
    made.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
