//! Lines of nodes and containers: as text, and as records of JSON in which the text is one field of several.

use std::{borrow::Cow, collections::BTreeMap};

use kwhy_proto::{Timestamp, millis};
use serde_json::Value;

use super::{Kind, Message, Read, items};
use crate::{
    container, journal,
    log::{self, Container, Text},
    multiline::Joiner,
    text, time,
    written::{Reader, Written},
};

/// Whose line it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Node(String),
    Container([String; 3]),
}

/// What belongs to a text.
#[derive(Debug)]
struct Head {
    whose: Whose,
    at: Timestamp,
    priority: Option<u8>,
    position: String,
}

/// Puts lines together and makes signals of them.
struct Maker<'m, 'r> {
    message: &'m Message<'m>,
    read: &'r mut Read,
    /// By writer: lines of several may stand between each other.
    joiners: BTreeMap<Whose, Joiner<Head>>,
}

/// Reads a body of text, line by line.
pub(super) fn text(message: &Message<'_>, read: &mut Read) {
    let whose = match message.kind {
        Kind::Log { of: Some(of) } => Whose::Container(of.clone()),
        Kind::Kubelet { node } if !node.is_empty() => Whose::Node(node.clone()),
        _ => return read.problem(0, "the subject names no writer, and text cannot"),
    };
    let now = millis(&message.at);
    let mut reader = Reader::default();
    let mut maker = Maker { message, read, joiners: BTreeMap::new() };
    let mut partial: Option<(Timestamp, u32, String)> = None;
    for (number, line) in (1u32..).zip(message.body.split(|byte| *byte == b'\n')) {
        let line = text::utf8(line.strip_suffix(b"\r").unwrap_or(line));
        let written = match &whose {
            Whose::Node(_) => reader.read(&line, 0, now),
            Whose::Container(_) if line.trim().is_empty() => None,
            Whose::Container(_) => {
                let (at, text) = container::parse(&line).unwrap_or((message.at, &line));
                match runtime(text) {
                    // The container runtime has cut a long line into several.
                    Some((false, text)) => {
                        let (_, _, whole) = partial.get_or_insert((at, number, String::new()));
                        if whole.len() < 64 * 1024 {
                            whole.push_str(text);
                        }
                        None
                    }
                    whole => {
                        let text = whole.map_or(text, |(_, text)| text);
                        Some(match partial.take() {
                            Some((at, _, start)) => {
                                Written { at, text: Cow::Owned(start + text), priority: None }
                            }
                            None => Written { at, text: Cow::Owned(text.to_owned()), priority: None },
                        })
                    }
                }
            }
        };
        if let Some(Written { at, text, priority }) = written {
            let position = place(message, number);
            maker.feed(Head { whose: whose.clone(), at, priority, position }, &text);
        }
    }
    if let Some((at, number, text)) = partial {
        maker.feed(Head { whose, at, priority: None, position: place(message, number) }, &text);
    }
    maker.finish();
}

/// Reads a body of JSON, record by record.
pub(super) fn records(message: &Message<'_>, read: &mut Read) {
    let mut found = Vec::new();
    items::each(message.body, read, |number, item, read| match record(message, number, &item) {
        Ok(line) => found.push(line),
        Err(why) => read.problem(number, why),
    });
    let mut maker = Maker { message, read, joiners: BTreeMap::new() };
    for (head, text) in found {
        maker.feed(head, &text);
    }
    maker.finish();
}

fn place(message: &Message<'_>, number: u32) -> String {
    format!("{}-{number:06}", message.key)
}

/// `stdout F text`, as container runtimes write (CRI); whether the line ends with it.
fn runtime(text: &str) -> Option<(bool, &str)> {
    let rest = text.strip_prefix("stdout ").or_else(|| text.strip_prefix("stderr "))?;
    let (tag, text) = rest.split_once(' ').unwrap_or((rest, ""));
    match tag {
        "F" => Some((true, text)),
        "P" => Some((false, text)),
        _ => None,
    }
}

/// One record: the fields that journalctl, Vector and Fluent Bit give the parts of a line.
fn record(message: &Message<'_>, number: u32, item: &items::Item) -> Result<(Head, String), String> {
    let Value::Object(_) = &item.value else { return Err("not an object with a message".to_owned()) };
    let field =
        |names: &[&str]| names.iter().find_map(|name| item.value.pointer(name)).filter(|v| !v.is_null());
    let string = |names: &[&str]| field(names).and_then(Value::as_str).filter(|text| !text.is_empty());

    let whose = whose(message.kind, &string)?;
    let said = field(&["/MESSAGE", "/message", "/log", "/msg", "/body"]).ok_or("it has no message")?;
    let said = match said {
        Value::String(said) => said.clone(),
        // journalctl's way to give bytes that are no text.
        Value::Array(bytes) => {
            let bytes = bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()));
            let bytes: Option<Vec<u8>> = bytes.collect();
            text::utf8(&bytes.ok_or("its message is no text")?).into_owned()
        }
        _ => return Err("its message is no text".to_owned()),
    };
    let said = said.trim_end_matches(['\r', '\n']);
    let micros = string(&["/__REALTIME_TIMESTAMP"]).and_then(|micros| micros.parse::<i64>().ok());
    let told = micros.filter(|micros| *micros >= 0).map(|micros| Timestamp {
        seconds: micros / 1_000_000,
        nanos: i32::try_from(micros % 1_000_000 * 1000).unwrap_or(0),
    });
    let when = field(&["/timestamp", "/@timestamp", "/time", "/ts"]);
    let told = told
        .or_else(|| when.and_then(Value::as_str).and_then(time::parse))
        .or_else(|| when.and_then(items::seconds))
        .or(item.at);
    let (at, said) = match told {
        Some(at) => (at, said.to_owned()),
        // The time may stand in the line itself.
        None => match (&whose, container::parse(said)) {
            (Whose::Container(_), Some((at, rest))) => {
                (at, runtime(rest).map_or(rest, |(_, text)| text).to_owned())
            }
            (Whose::Node(_), _) => match Reader::default().read(said, 0, millis(&message.at)) {
                Some(written) => (written.at, written.text.into_owned()),
                None => (message.at, said.to_owned()),
            },
            _ => (message.at, said.to_owned()),
        },
    };
    let priority = field(&["/PRIORITY"])
        .and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
        .and_then(|priority| u8::try_from(priority).ok());
    // The same entry has the same id, whoever ships it.
    let position =
        string(&["/__CURSOR"]).and_then(journal::position).unwrap_or_else(|| place(message, number));
    Ok((Head { whose, at, priority, position }, said))
}

fn whose<'v>(kind: &Kind, string: &dyn Fn(&[&str]) -> Option<&'v str>) -> Result<Whose, String> {
    match kind {
        // What the subject says counts: who may publish there is decided by NATS.
        Kind::Kubelet { node } if !node.is_empty() => Ok(Whose::Node(node.clone())),
        Kind::Kubelet { .. } => string(&["/node", "/_HOSTNAME", "/hostname", "/host", "/kubernetes/host"])
            .map(|node| Whose::Node(text::name(node)))
            .ok_or_else(|| {
                "it does not tell its node; put it into the subject, or a field `node`".to_owned()
            }),
        Kind::Log { of: Some(of) } => Ok(Whose::Container(of.clone())),
        _ => {
            let namespace =
                string(&["/kubernetes/pod_namespace", "/kubernetes/namespace_name", "/namespace"]);
            let pod = string(&["/kubernetes/pod_name", "/pod"]);
            let container = string(&["/kubernetes/container_name", "/container"]);
            match (namespace, pod, container) {
                (Some(namespace), Some(pod), Some(container)) => {
                    Ok(Whose::Container([namespace, pod, container].map(text::name)))
                }
                _ => Err("it does not tell its namespace, pod and container".to_owned()),
            }
        }
    }
}

impl Maker<'_, '_> {
    fn feed(&mut self, head: Head, said: &str) {
        if !self.joiners.contains_key(&head.whose) {
            self.joiners.insert(head.whose.clone(), Joiner::new());
        }
        let (message, read) = (self.message, &mut *self.read);
        if let Some(joiner) = self.joiners.get_mut(&head.whose) {
            joiner.feed(head, said, |head, said| make(message, read, &head, said));
        }
    }

    fn finish(self) {
        for (_, mut joiner) in self.joiners {
            joiner.finish(|head, said| make(self.message, self.read, &head, said));
        }
    }
}

fn make(message: &Message<'_>, read: &mut Read, head: &Head, said: &str) {
    let mut said = Text::read(said);
    if said.severity.is_empty() {
        said.severity = journal::severity(head.priority);
    }
    if said.message.is_empty() {
        return;
    }
    let (cluster, position, origin) = (message.cluster, head.position.as_str(), String::new());
    read.signals.push(match &head.whose {
        Whose::Node(node) => log::kubelet(cluster, node, &said, head.at, position, origin),
        Whose::Container([namespace, pod, name]) => {
            let of = Container { namespace, pod, name, previous: false };
            log::container(cluster, of, &said, head.at, position, origin)
        }
    });
}
