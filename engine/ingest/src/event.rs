//! Kubernetes Events, as core/v1 and as events.k8s.io/v1: the same objects in two spellings.
//!
//! A repeat is an update of the Event it repeats, so one Event is one signal at its last occurrence, with the count and
//! the first occurrence in the body. Old recorders fill `firstTimestamp`, `lastTimestamp` and `count`; new ones
//! `eventTime` and `series` and leave the others null.
//!
//! The API server lets an event with an `eventTime` name an object of another namespace than its own, so whoever may
//! write events in one namespace could accuse the objects of another (kubernetes: pkg/apis/core/validation/events.go).
//! What such an event says is kept as its author's word: it is about nothing but itself, and the object that it names
//! is its `related`, which nothing is concluded from.

use kwhy_proto::{
    Timestamp,
    v1::{Event, ObjectRef, Signal, signal::Body},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    object::identity,
    redact, text,
    time::{self, BadTime},
};

/// What the recorder puts before the text of the last of several similar events.
const COMBINED: &str = "(combined from similar events): ";

/// Why a value is not an Event.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// A field is missing or of another type.
    #[error("not an Event of core/v1 or events.k8s.io/v1")]
    Shape(#[source] serde_json::Error),
    /// A time is not one.
    #[error("an Event with a bad time")]
    Time(#[source] BadTime),
    /// No time is set at all.
    #[error("an Event without any time")]
    NoTime,
    /// It has no reason.
    #[error("an Event without reason")]
    Reason,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
    #[serde(alias = "regarding", default)]
    involved_object: Option<Reference<'a>>,
    #[serde(default)]
    related: Option<Reference<'a>>,
    #[serde(default)]
    reason: Option<&'a str>,
    #[serde(default)]
    action: Option<&'a str>,
    #[serde(default, rename = "type")]
    kind: Option<&'a str>,
    #[serde(alias = "note", default)]
    message: Option<&'a str>,
    #[serde(alias = "deprecatedCount", default)]
    count: Option<i64>,
    #[serde(default)]
    series: Option<Series<'a>>,
    #[serde(alias = "deprecatedFirstTimestamp", default)]
    first_timestamp: Option<&'a str>,
    #[serde(alias = "deprecatedLastTimestamp", default)]
    last_timestamp: Option<&'a str>,
    #[serde(default)]
    event_time: Option<&'a str>,
    #[serde(alias = "deprecatedSource", default)]
    source: Option<Source<'a>>,
    #[serde(alias = "reportingController", default)]
    reporting_component: Option<&'a str>,
    #[serde(default)]
    reporting_instance: Option<&'a str>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata<'a> {
    name: Option<&'a str>,
    namespace: Option<&'a str>,
    uid: Option<&'a str>,
    creation_timestamp: Option<&'a str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference<'a> {
    kind: Option<&'a str>,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    uid: Option<&'a str>,
    #[serde(rename = "fieldPath")]
    field_path: Option<&'a str>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Series<'a> {
    count: Option<i64>,
    last_observed_time: Option<&'a str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Source<'a> {
    component: Option<&'a str>,
    host: Option<&'a str>,
}

impl Reference<'_> {
    fn object(&self) -> Option<ObjectRef> {
        let (kind, name) = (self.kind.unwrap_or_default(), self.name.unwrap_or_default());
        if kind.is_empty() || name.is_empty() {
            return None;
        }
        let mut object = ObjectRef {
            kind: text::name(kind),
            namespace: text::name(self.namespace.unwrap_or_default()),
            name: text::name(name),
            uid: text::name(self.uid.unwrap_or_default()),
        };
        if object.kind == "Node" {
            object.namespace.clear();
            // The kubelet knows no uid of its node and writes the name there.
            if object.uid == object.name {
                object.uid.clear();
            }
        }
        Some(object)
    }

    /// `web` in `spec.containers{web}`, as the kubelet names a container
    /// (pkg/kubelet/container/ref.go).
    fn container(&self) -> Option<&str> {
        let (place, name) = self.field_path?.strip_suffix('}')?.split_once('{')?;
        place.ends_with("ontainers").then_some(name)
    }
}

/// An Event as signal `event/<uid>/<count, 10 digits>/<last time>`.
///
/// # Errors
/// [`BadEvent`] where the value is none or cannot be placed.
pub fn signal(cluster: &str, event: &Value) -> Result<Signal, BadEvent> {
    let raw = Raw::deserialize(event).map_err(BadEvent::Shape)?;
    let reason = raw.reason.filter(|reason| !reason.is_empty()).ok_or(BadEvent::Reason)?;
    let namespace = raw.metadata.namespace.unwrap_or_default();
    let own = ObjectRef {
        kind: "Event".to_owned(),
        namespace: text::name(namespace),
        name: text::name(raw.metadata.name.unwrap_or_default()),
        uid: text::name(raw.metadata.uid.unwrap_or_default()),
    };
    let named = raw.involved_object.as_ref().and_then(Reference::object);
    let foreign = |object: &ObjectRef| {
        !object.namespace.is_empty() && !own.namespace.is_empty() && object.namespace != own.namespace
    };
    let mut related = raw.related.as_ref().and_then(Reference::object);
    let subject = match named {
        Some(object) if foreign(&object) => {
            related = Some(object);
            Some(own.clone())
        }
        named => named,
    };

    let series = raw.series.unwrap_or_default();
    let when = |text| time::optional(text).map_err(BadEvent::Time);
    let (old_first, old_last) = (when(raw.first_timestamp)?, when(raw.last_timestamp)?);
    let (observed, event_time) = (when(series.last_observed_time)?, when(raw.event_time)?);
    let created = when(raw.metadata.creation_timestamp)?;
    let last = old_last.or(observed).or(event_time).or(old_first).or(created).ok_or(BadEvent::NoTime)?;
    let first = old_first.or(event_time).or(created).unwrap_or(last).min_by_time(last);

    let count = [raw.count, series.count].into_iter().flatten().max().unwrap_or(1);
    let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let message = raw.message.unwrap_or_default();
    let source = raw.source.unwrap_or_default();
    let either = |one: Option<&str>, other: Option<&str>| {
        text::name(one.filter(|text| !text.is_empty()).or(other).unwrap_or_default())
    };
    Ok(Signal {
        id: format!("event/{}/{count:010}/{}", identity(&own), time::rfc3339(&last)),
        cluster: cluster.to_owned(),
        source: "event".to_owned(),
        name: text::name(reason),
        state: text::name(raw.kind.unwrap_or_default()),
        at: Some(last),
        subject,
        message: redact::clean(text::message(message.strip_prefix(COMBINED).unwrap_or(message))).into_owned(),
        body: Some(Body::Event(Event {
            count,
            first_at: Some(first),
            last_at: Some(last),
            reporter: either(raw.reporting_component, source.component),
            instance: either(raw.reporting_instance, source.host),
            action: text::name(raw.action.unwrap_or_default()),
            related,
            container: text::name(
                raw.involved_object.as_ref().and_then(Reference::container).unwrap_or_default(),
            ),
            init: raw
                .involved_object
                .as_ref()
                .and_then(|object| object.field_path)
                .is_some_and(|path| path.starts_with("spec.initContainers{")),
        })),
        ..Signal::default()
    })
}

trait Earlier {
    fn min_by_time(self, other: Self) -> Self;
}

impl Earlier for Timestamp {
    fn min_by_time(self, other: Self) -> Self {
        if (other.seconds, other.nanos) < (self.seconds, self.nanos) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn body(signal: &Signal) -> &Event {
        match &signal.body {
            Some(Body::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    fn at(time: &Option<Timestamp>) -> String {
        time::rfc3339(time.as_ref().unwrap())
    }

    #[test]
    fn an_old_event_counts_by_its_count() {
        let signal = signal("c", &json!({"kind": "Event", "apiVersion": "v1", "count": 53, "eventTime": null, "series": null,
            "firstTimestamp": "2020-04-24T09:12:26Z", "lastTimestamp": "2020-04-24T13:09:21Z", "type": "Normal",
            "involvedObject": {"kind": "Pod", "namespace": "ns", "name": "p", "uid": "u", "fieldPath": "spec.initContainers{x}"},
            "message": "(combined from similar events): Created\ncontainer \u{1b}[31mx", "reason": "Created", "reportingComponent": "",
            "metadata": {"name": "p.1", "namespace": "ns", "uid": "e-1"}, "source": {"component": "kubelet", "host": "kal"}})).unwrap();
        assert_eq!(signal.id, "event/e-1/0000000053/2020-04-24T13:09:21Z");
        assert_eq!(
            (signal.name.as_str(), signal.state.as_str(), signal.message.as_str()),
            ("Created", "Normal", "Created container x")
        );
        assert_eq!(signal.subject.as_ref().map(|object| object.name.as_str()), Some("p"));
        let event = body(&signal);
        assert_eq!(
            (at(&event.first_at), at(&event.last_at)),
            ("2020-04-24T09:12:26Z".into(), "2020-04-24T13:09:21Z".into())
        );
        assert_eq!((event.reporter.as_str(), event.instance.as_str()), ("kubelet", "kal"));
        assert_eq!((event.container.as_str(), event.init), ("x", true));
    }

    #[test]
    fn a_new_event_counts_by_its_series() {
        let signal = signal("c", &json!({"apiVersion": "events.k8s.io/v1", "eventTime": "2024-10-15T16:20:00.123456Z",
            "deprecatedFirstTimestamp": null, "deprecatedLastTimestamp": null, "deprecatedCount": null, "action": "Scheduling",
            "series": {"count": 7, "lastObservedTime": "2024-10-15T16:30:00.654321Z"}, "note": "0/3 nodes", "reason": "FailedScheduling",
            "regarding": {"kind": "Pod", "namespace": "ns", "name": "p"}, "reportingController": "default-scheduler", "type": "Warning",
            "reportingInstance": "s-1", "metadata": {"name": "p.1", "namespace": "ns"}, "related": {"kind": "Node", "name": "n", "uid": "n"}})).unwrap();
        assert_eq!(at(&signal.at), "2024-10-15T16:30:00.654321Z");
        assert_eq!(signal.id, "event/Event:ns:p.1/0000000007/2024-10-15T16:30:00.654321Z");
        let event = body(&signal);
        assert_eq!((event.count, at(&event.first_at).as_str()), (7, "2024-10-15T16:20:00.123456Z"));
        assert_eq!(
            (event.reporter.as_str(), event.instance.as_str(), event.action.as_str()),
            ("default-scheduler", "s-1", "Scheduling")
        );
        assert_eq!(
            event.related.as_ref().map(|object| object.uid.as_str()),
            Some(""),
            "a node's name is not its uid"
        );
    }

    #[test]
    fn times_are_taken_in_their_order() {
        let all = [
            ("lastTimestamp", "05"),
            ("series", "04"),
            ("eventTime", "03"),
            ("firstTimestamp", "02"),
            ("creationTimestamp", "01"),
        ];
        for skip in 0..all.len() {
            let mut event = json!({"reason": "R", "metadata": {}});
            for (key, second) in &all[skip..] {
                let time = json!(format!("2024-01-01T00:00:{second}Z"));
                match *key {
                    "series" => event["series"] = json!({"lastObservedTime": time}),
                    "creationTimestamp" => event["metadata"]["creationTimestamp"] = time,
                    key => event[key] = time,
                }
            }
            assert_eq!(at(&signal("c", &event).unwrap().at), format!("2024-01-01T00:00:{}Z", all[skip].1));
        }
        assert!(matches!(
            signal("c", &json!({"reason": "R", "metadata": {}, "lastTimestamp": "0001-01-01T00:00:00Z"})),
            Err(BadEvent::NoTime)
        ));
    }

    #[test]
    fn counts_out_of_range_are_bounded() {
        let count = |count: i64| {
            body(
                &signal("c", &json!({"reason": "R", "eventTime": "2024-01-01T00:00:00Z", "count": count}))
                    .unwrap(),
            )
            .count
        };
        assert_eq!((count(0), count(-5), count(i64::MAX)), (1, 1, u32::MAX));
    }

    #[test]
    fn an_event_cannot_accuse_an_object_of_another_namespace_and_what_it_says_is_kept() {
        let event = |own: &str, kind: &str, other: &str| {
            signal(
                "c",
                &json!({"reason": "R", "eventTime": "2024-01-01T00:00:00Z", "note": "it said",
            "metadata": {"namespace": own, "name": "e", "uid": "e-1"},
            "regarding": {"kind": kind, "namespace": other, "name": "x", "uid": "u"}}),
            )
            .unwrap()
        };
        let forged = event("a", "Pod", "b");
        let subject = forged.subject.clone().unwrap();
        assert_eq!(
            (subject.kind.as_str(), subject.namespace.as_str(), subject.uid.as_str()),
            ("Event", "a", "e-1")
        );
        let named = body(&forged).related.clone().unwrap();
        assert_eq!((named.kind.as_str(), named.namespace.as_str(), named.name.as_str()), ("Pod", "b", "x"));
        assert_eq!((forged.name.as_str(), forged.message.as_str()), ("R", "it said"));
        for (own, kind, other) in [("a", "Pod", "a"), ("default", "Node", ""), ("", "Pod", "b")] {
            assert_eq!(event(own, kind, other).subject.unwrap().kind, kind);
        }
    }

    #[test]
    fn what_is_no_event_says_why() {
        assert!(matches!(signal("c", &json!("Event")), Err(BadEvent::Shape(_))));
        assert!(matches!(signal("c", &json!({"eventTime": "2024-01-01T00:00:00Z"})), Err(BadEvent::Reason)));
        assert!(matches!(signal("c", &json!({"reason": "R", "eventTime": "soon"})), Err(BadEvent::Time(_))));
        assert!(matches!(signal("c", &json!({"reason": "R", "count": "many"})), Err(BadEvent::Shape(_))));
    }

    proptest! {
        #[test]
        fn no_event_panics(reason in "\\PC*", message in "\\PC*", time in "\\PC*", count: i64) {
            let _ = signal("c", &json!({"reason": reason, "message": message, "eventTime": "2024-01-01T00:00:00Z", "count": count,
                "regarding": {"kind": message, "name": time}}));
            let _ = signal("c", &json!({"reason": reason, "eventTime": time}));
        }
    }
}
