//! What can be fed to a rule under test.

use serde_json::Value;

use super::relation::id_of;
use crate::{Field, ObjectRef, Signal};

/// One thing that happens, with the time at which it does.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A state of an object.
    Object {
        /// Log time, ms.
        at: u64,
        /// ADDED, MODIFIED or DELETED.
        change: String,
        /// It was there before anybody looked: a rule hears of it, but it is no change.
        listed: bool,
        /// The whole object.
        json: Value,
    },
    /// Anything else: an event, an alert, a line of a log. A line's `name` is empty until a pattern matches it.
    Signal(Signal),
}

impl Input {
    /// Log time, ms.
    #[must_use]
    pub fn at(&self) -> u64 {
        match self {
            Self::Object { at, .. } => *at,
            Self::Signal(signal) => signal.at,
        }
    }

    /// An object that stood there from the beginning.
    #[must_use]
    pub fn listed(at: u64, json: Value) -> Self {
        Self::Object { at, change: "ADDED".into(), listed: true, json }
    }

    /// A new or changed object.
    #[must_use]
    pub fn changed(at: u64, json: Value) -> Self {
        Self::Object { at, change: "MODIFIED".into(), listed: false, json }
    }

    /// The last state of an object that is gone.
    #[must_use]
    pub fn deleted(at: u64, json: Value) -> Self {
        Self::Object { at, change: "DELETED".into(), listed: false, json }
    }

    /// A Kubernetes event; `kind` is Normal or Warning.
    #[must_use]
    pub fn event(at: u64, subject: &ObjectRef, reason: &str, kind: &str, message: &str, count: u32) -> Self {
        Self::Signal(Signal {
            id: format!("event/{}/{reason}/{count:010}/{at}", subject.path()),
            source: "event".into(),
            name: reason.into(),
            state: kind.into(),
            at,
            subject: Some(subject.clone()),
            message: message.into(),
            fields: fields(&[("count", &count.to_string()), ("last-at", &at.to_string())]),
        })
    }

    /// A firing alert about an object.
    #[must_use]
    pub fn alert(at: u64, name: &str, subject: &ObjectRef, labels: &[(&str, &str)]) -> Self {
        Self::Signal(Signal {
            id: format!("alert/{name}/{}/{at}", subject.path()),
            source: "alert".into(),
            name: name.into(),
            state: "firing".into(),
            at,
            subject: Some(subject.clone()),
            message: String::new(),
            fields: fields(labels),
        })
    }

    /// A line that a container wrote.
    #[must_use]
    pub fn line(at: u64, pod: &ObjectRef, container: &str, message: &str) -> Self {
        Self::Signal(Signal {
            id: format!("log/{}/{container}/{at}/{message}", pod.path()),
            source: "log".into(),
            name: String::new(),
            state: String::new(),
            at,
            subject: Some(pod.clone()),
            message: message.into(),
            fields: fields(&[("container", container)]),
        })
    }

    /// The object as a rule hears of it, also of one that stood there from the beginning.
    pub(crate) fn object_signal(&self) -> Option<Signal> {
        let Self::Object { at, change, listed, json } = self else { return None };
        let subject = id_of(json);
        let version = json.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or("");
        Some(Signal {
            id: format!("object/{}/{}/{version:0>20}/{at}", subject.kind, subject.path()),
            source: "object".into(),
            name: change.clone(),
            state: if *listed { "listed" } else { "watched" }.into(),
            at: *at,
            subject: Some(subject),
            ..Signal::default()
        })
    }
}

/// Fields sorted by name, empty values left out.
pub(crate) fn fields(pairs: &[(&str, &str)]) -> Vec<Field> {
    let given = pairs.iter().filter(|(_, v)| !v.is_empty());
    let mut fields: Vec<Field> =
        given.map(|(n, v)| Field { name: (*n).into(), value: (*v).into() }).collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    fields
}
