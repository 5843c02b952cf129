//! Alerts as Alertmanager's webhook (version 4), Prometheus' push to Alertmanager (API v2) and `GET /api/v2/alerts`
//! give them.
//!
//! Hidden here: the three shapes, their ways to say that an alert is over (a status, an `endsAt` in the past), and which
//! labels make two deliveries the same alert.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use kwhy_proto::{
    Timestamp,
    v1::{Alert, Signal, signal::Body},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{redact, text, time};

/// More labels or annotations than this are not kept; identity takes all labels.
const KEPT: usize = 256;

/// Which labels name the sender and not the alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Labels that differ between the replicas of one Prometheus.
    pub replica_labels: BTreeSet<String>,
}

impl Default for Identity {
    /// `prometheus_replica` and `thanos_ruler_replica`, which the Prometheus operator sets, and Mimir's and Cortex'
    /// `__replica__`. A plain `replica` is not among them: applications use it for replicas of their own.
    fn default() -> Self {
        let labels = ["prometheus_replica", "thanos_ruler_replica", "__replica__"];
        Self { replica_labels: labels.into_iter().map(str::to_owned).collect() }
    }
}

impl Identity {
    /// SHA-256 over the sorted labels less the replica labels and empty ones (an empty label is no label), its first 16
    /// bytes in hex. Names and values are each followed by 0xFF, which no UTF-8 text contains, so no two label sets
    /// look the same.
    #[must_use]
    pub fn of(&self, labels: &BTreeMap<String, String>) -> String {
        let mut hash = Sha256::new();
        for (name, value) in labels {
            if !value.is_empty() && !self.replica_labels.contains(name) {
                for part in [name, value] {
                    hash.update(part.as_bytes());
                    hash.update([0xff]);
                }
            }
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why a body cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum BadBody {
    /// No JSON.
    #[error("the body is not JSON")]
    Json(#[source] serde_json::Error),
    /// JSON of another kind.
    #[error(
        "the body is neither an Alertmanager webhook (an object with alerts) nor a list of alerts (an array)"
    )]
    Shape,
    /// A webhook body of another version.
    #[error("the webhook body has a version other than 4")]
    Version,
}

/// Why one alert of a body is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAlert {
    /// Wrong types.
    #[error("not an alert")]
    Shape,
    /// Nothing to know it by.
    #[error("an alert without labels")]
    Labels,
    /// `startsAt` or `endsAt` is no time.
    #[error("an alert with a bad time")]
    Time,
    /// It ends before it starts.
    #[error("an alert that ends before it starts")]
    Order,
}

/// What a body holds.
#[derive(Debug, Default)]
pub struct Delivery {
    /// The alerts in it, in their order; of one that is there twice with the same state only the first.
    pub alerts: Vec<Listed>,
    /// Positions, from 1, of those that are not used.
    pub bad: Vec<(u32, BadAlert)>,
    /// How many alerts Alertmanager left out (`max_alerts` of the receiver).
    pub left_out: u64,
}

/// One alert of a body.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Position in the body, from 1.
    pub position: u32,
    /// The alert; `at` is the time of delivery.
    pub signal: Signal,
    /// When Alertmanager heard of it last; only `GET /api/v2/alerts` tells.
    pub updated_at: Option<Timestamp>,
    /// What it came with, before anything was cut.
    pub told: Told,
}

/// How much an alert came with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Labels that are not empty.
    pub labels: usize,
    /// Bytes of the longest name or value of a label.
    pub longest_label: usize,
}

impl Listed {
    /// The alert inside the signal.
    #[must_use]
    pub fn alert(&self) -> Option<&Alert> {
        alert(&self.signal)
    }
}

/// The alert inside a signal.
#[must_use]
pub fn alert(signal: &Signal) -> Option<&Alert> {
    match &signal.body {
        Some(Body::Alert(alert)) => Some(alert),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook<'a> {
    #[serde(default)]
    version: Option<Value>,
    #[serde(borrow)]
    alerts: Vec<&'a RawValue>,
    #[serde(default)]
    truncated_alerts: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default)]
    updated_at: Option<String>,
    #[serde(default, rename = "generatorURL")]
    generator_url: Option<String>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Webhook(String),
    Listed { state: String },
    Other(serde::de::IgnoredAny),
}

/// Reads a body that was delivered at `at`. A body that is JSON of a known shape is never refused for some bad alerts:
/// like Alertmanager, kwhy takes the good ones and says which are bad.
///
/// # Errors
/// [`BadBody`] where no alert can be made out.
pub fn body(cluster: &str, at: Timestamp, json: &[u8], identity: &Identity) -> Result<Delivery, BadBody> {
    let (alerts, left_out) = split(json)?;
    let mut delivery = Delivery { left_out, ..Delivery::default() };
    let mut seen = BTreeSet::new();
    for (position, raw) in (1u32..).zip(alerts) {
        match one(cluster, at, raw, identity) {
            Ok((signal, updated_at, told)) => {
                if seen.insert(signal.id.clone()) {
                    delivery.alerts.push(Listed { position, signal, updated_at, told });
                }
            }
            Err(bad) => delivery.bad.push((position, bad)),
        }
    }
    Ok(delivery)
}

/// How many alerts a body has, good or bad, at little cost: for who would not read too many.
///
/// # Errors
/// [`BadBody`] where no alert can be made out.
pub fn count(json: &[u8]) -> Result<usize, BadBody> {
    Ok(split(json)?.0.len())
}

/// The alerts of a body, each as it stands there, and how many Alertmanager left out.
fn split(json: &[u8]) -> Result<(Vec<&RawValue>, u64), BadBody> {
    match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => Ok((serde_json::from_slice(json).map_err(BadBody::Json)?, 0)),
        _ => {
            let webhook: Webhook<'_> =
                serde_json::from_slice(json).map_err(|error| match error.classify() {
                    serde_json::error::Category::Data => BadBody::Shape,
                    _ => BadBody::Json(error),
                })?;
            if webhook.version.is_some_and(|version| version != "4") {
                return Err(BadBody::Version);
            }
            Ok((webhook.alerts, webhook.truncated_alerts.unwrap_or(0)))
        }
    }
}

fn one(
    cluster: &str,
    at: Timestamp,
    raw: &RawValue,
    identity: &Identity,
) -> Result<(Signal, Option<Timestamp>, Told), BadAlert> {
    let raw: Raw = serde_json::from_str(raw.get()).map_err(|_| BadAlert::Shape)?;
    let mut labels = raw.labels.unwrap_or_default();
    labels.retain(|_, value| !value.is_empty());
    let longest = labels.iter().map(|(name, value)| name.len().max(value.len())).max();
    let told = Told { labels: labels.len(), longest_label: longest.unwrap_or(0) };
    // Which replica was heard first must not show in a finding.
    labels.retain(|name, _| !identity.replica_labels.contains(name));
    if labels.is_empty() {
        return Err(BadAlert::Labels);
    }
    let when = |text: &Option<String>| time::optional(text.as_deref()).map_err(|_| BadAlert::Time);
    let (starts, ends, updated) = (when(&raw.starts_at)?, when(&raw.ends_at)?, when(&raw.updated_at)?);
    let over = |ends: Timestamp| order(ends) <= order(at);
    let resolved = match &raw.status {
        Some(Status::Webhook(status)) if status == "resolved" => true,
        Some(Status::Webhook(status)) if status == "firing" => false,
        _ => ends.is_some_and(over),
    };
    // As Alertmanager does for a sender that leaves it out.
    let starts = starts.unwrap_or_else(|| ends.filter(|ends| over(*ends)).unwrap_or(at));
    if ends.is_some_and(|ends| order(ends) < order(starts)) {
        return Err(BadAlert::Order);
    }
    let suppressed = matches!(&raw.status, Some(Status::Listed { state }) if state == "suppressed");

    let annotations = clean(raw.annotations.unwrap_or_default(), text::value);
    let message = ["summary", "description", "message"]
        .iter()
        .find_map(|key| annotations.get(*key).filter(|text| !text.is_empty()))
        .map(|text| text::message(text).into_owned())
        .unwrap_or_default();
    let alert = Alert {
        identity: identity.of(&labels),
        starts_at: Some(starts),
        ends_at: if resolved { Some(ends.unwrap_or(at)) } else { ends.filter(|ends| !over(*ends)) },
        generator_url: redact::clean(text::message(&raw.generator_url.unwrap_or_default())).into_owned(),
        suppressed,
        annotations,
        labels: clean(labels, text::message),
    };
    Ok((signal(cluster, at, resolved, alert, message), updated, told))
}

/// An alert as signal `alert/<identity>/<startsAt>/<state>/<delivery>`.
pub(crate) fn signal(cluster: &str, at: Timestamp, resolved: bool, alert: Alert, message: String) -> Signal {
    let state = if resolved { "resolved" } else { "firing" };
    let starts = alert.starts_at.as_ref().map(time::rfc3339).unwrap_or_default();
    Signal {
        id: format!("alert/{}/{starts}/{state}/{}", alert.identity, time::rfc3339(&at)),
        cluster: cluster.to_owned(),
        source: "alert".to_owned(),
        name: alert.labels.get("alertname").map(|name| text::name(name)).unwrap_or_default(),
        state: state.to_owned(),
        at: Some(at),
        message,
        body: Some(Body::Alert(alert)),
        ..Signal::default()
    }
}

fn clean(
    map: BTreeMap<String, String>,
    value: for<'a> fn(&'a str) -> Cow<'a, str>,
) -> BTreeMap<String, String> {
    let safe = |name: &str, text: &str| match redact::value(name, &value(text)) {
        Cow::Owned(clean) => clean,
        Cow::Borrowed(clean) => clean.to_owned(),
    };
    map.into_iter().take(KEPT).map(|(name, text)| (text::name(&name), safe(&name, &text))).collect()
}

fn order(time: Timestamp) -> (i64, i32) {
    (time.seconds, time.nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const START: &str = "2020-04-24T12:39:32.861Z";
    const AT: &str = "2020-04-24T12:40:02.883Z";

    fn read(body: &Value) -> Delivery {
        super::body("c", time::parse(AT).unwrap(), body.to_string().as_bytes(), &Identity::default()).unwrap()
    }

    fn only(body: &Value) -> (String, Alert) {
        let delivery = read(body);
        assert!(delivery.bad.is_empty() && delivery.alerts.len() == 1, "{delivery:?}");
        (delivery.alerts[0].signal.state.clone(), delivery.alerts[0].alert().unwrap().clone())
    }

    fn webhook(alert: Value) -> Value {
        json!({"version": "4", "groupKey": "{}", "status": "firing", "receiver": "r", "alerts": [alert]})
    }

    #[test]
    fn a_webhook_alert_fires_without_end() {
        let (state, alert) = only(&webhook(
            json!({"status": "firing", "labels": {"alertname": "A", "empty": ""}, "startsAt": START,
            "endsAt": "0001-01-01T00:00:00Z", "annotations": {"summary": "s\u{1b}[31m"}, "generatorURL": "http://g"}),
        ));
        assert_eq!(
            (state.as_str(), alert.ends_at, alert.generator_url.as_str()),
            ("firing", None, "http://g")
        );
        assert_eq!(alert.labels.len(), 1, "an empty label is no label");
        assert_eq!(alert.annotations["summary"], "s");
    }

    #[test]
    fn resolved_is_accepted_without_firing_before() {
        let end = "2020-04-24T12:39:59Z";
        let (state, alert) = only(&webhook(
            json!({"status": "resolved", "labels": {"alertname": "A"}, "startsAt": START, "endsAt": end}),
        ));
        assert_eq!((state.as_str(), alert.ends_at), ("resolved", time::parse(end)));
        let (state, alert) =
            only(&webhook(json!({"status": "resolved", "labels": {"alertname": "A"}, "startsAt": START})));
        assert_eq!(
            (state.as_str(), alert.ends_at),
            ("resolved", time::parse(AT)),
            "an end that is not told is the delivery"
        );
    }

    #[test]
    fn a_pushed_alert_is_over_when_its_end_has_come() {
        for (end, expected, kept) in [
            ("2020-04-24T12:44:02Z", "firing", true),
            (AT, "resolved", true),
            ("2020-04-24T12:40:00Z", "resolved", true),
            ("0001-01-01T00:00:00Z", "firing", false),
        ] {
            let (state, alert) =
                only(&json!([{"labels": {"alertname": "A"}, "startsAt": START, "endsAt": end}]));
            assert_eq!((state.as_str(), alert.ends_at.is_some()), (expected, kept), "{end}");
        }
    }

    #[test]
    fn a_listed_alert_may_be_suppressed() {
        let list = |state: &str| {
            json!([{"labels": {"alertname": "A"}, "startsAt": START, "endsAt": "2020-04-24T12:44:02Z",
            "updatedAt": "2020-04-24T12:40:01Z", "status": {"state": state, "silencedBy": ["x"], "inhibitedBy": []}}])
        };
        assert!(only(&list("suppressed")).1.suppressed);
        assert!(!only(&list("active")).1.suppressed);
        assert_eq!(read(&list("active")).alerts[0].updated_at, time::parse("2020-04-24T12:40:01Z"));
    }

    #[test]
    fn good_alerts_of_a_partly_bad_body_are_kept() {
        let good = json!({"labels": {"alertname": "A"}, "startsAt": START});
        let delivery = read(
            &json!([{"labels": {}}, good, 7, {"labels": {"a": 1}}, {"labels": {"a": "b"}, "startsAt": "soon"},
            {"labels": {"a": "b"}, "startsAt": START, "endsAt": "2020-04-24T12:00:00Z"}, {"labels": {"a": ""}}]),
        );
        assert_eq!(delivery.alerts.iter().map(|alert| alert.position).collect::<Vec<_>>(), [2]);
        assert_eq!(
            delivery.bad,
            [
                (1, BadAlert::Labels),
                (3, BadAlert::Shape),
                (4, BadAlert::Shape),
                (5, BadAlert::Time),
                (6, BadAlert::Order),
                (7, BadAlert::Labels)
            ]
        );
    }

    #[test]
    fn a_body_of_another_kind_is_refused() {
        let bad = |text: &str| {
            super::body("c", time::parse(AT).unwrap(), text.as_bytes(), &Identity::default()).unwrap_err()
        };
        assert!(matches!(bad("[{\"labels\""), BadBody::Json(_)));
        assert!(matches!(bad(""), BadBody::Json(_)));
        assert!(matches!(bad("{}"), BadBody::Shape));
        assert!(matches!(bad("\"x\""), BadBody::Shape));
        assert!(matches!(bad("{\"version\":\"5\",\"alerts\":[]}"), BadBody::Version));
    }

    #[test]
    fn replicas_of_one_prometheus_send_one_alert() {
        let identity = |labels: Value| only(&json!([{"labels": labels, "startsAt": START}])).1.identity;
        let one = identity(json!({"alertname": "A", "prometheus_replica": "a"}));
        assert_eq!(one.len(), 32);
        assert_eq!(one, identity(json!({"alertname": "A", "prometheus_replica": "b"})));
        assert_ne!(
            one,
            identity(json!({"alertname": "A", "replica": "b"})),
            "an application's own label counts"
        );
        assert_ne!(identity(json!({"a": "bc"})), identity(json!({"ab": "c"})));
        let both = read(
            &json!([{"labels": {"a": "b", "__replica__": "1"}, "startsAt": START}, {"labels": {"a": "b"}, "startsAt": START}]),
        );
        assert_eq!(both.alerts.len(), 1, "twice in one body is once");
        let alert = only(&json!([{"labels": {"a": "b", "__replica__": "1"}, "startsAt": START}])).1;
        assert_eq!(
            alert.labels,
            BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            "which replica it was is gone"
        );
    }

    #[test]
    fn identity_follows_its_definition() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned()), ("c".to_owned(), "d".to_owned())]);
        let whole: String =
            Sha256::digest(b"a\xffb\xffc\xffd\xff").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(Identity::default().of(&labels), whole[..32]);
    }

    #[test]
    fn floods_are_bounded() {
        let labels: BTreeMap<String, String> =
            (0..10_000).map(|at| (format!("l{at}"), "x".repeat(10))).collect();
        let body =
            json!([{"labels": labels, "annotations": {"summary": "y".repeat(1 << 20)}, "startsAt": START}]);
        assert_eq!(read(&body).alerts[0].told, Told { labels: 10_000, longest_label: 10 });
        let (_, alert) = only(&body);
        assert_eq!(alert.labels.len(), KEPT);
        assert!(alert.annotations["summary"].len() <= text::MESSAGE_LIMIT);
    }

    proptest! {
        #[test]
        fn no_body_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), json in "[\\[\\]{}\",:0-9a-z]*", label in "\\PC*", end in "\\PC*") {
            let at = time::parse(AT).unwrap();
            let _ = super::body("c", at, &bytes, &Identity::default());
            let _ = super::body("c", at, json.as_bytes(), &Identity::default());
            let body = json!([{"labels": {label.clone(): label.clone()}, "annotations": {end.clone(): label}, "endsAt": end}]);
            let _ = super::body("c", at, body.to_string().as_bytes(), &Identity::default());
        }
    }
}
