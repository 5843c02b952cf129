//! An incident as it would be in another part of the cluster: under other names, addresses and ids, at another time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use kwhy_proto::v1::{Finding, Signal, signal::Body};
use regex::{Captures, Regex};
use serde_json::Value;

use crate::play::Recorded;

/// What every name of the other part ends in.
pub(crate) const MARK: &str = "-zz";

#[allow(clippy::unwrap_used, reason = "they are constants")]
static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z").unwrap());
#[allow(clippy::unwrap_used, reason = "they are constants")]
static UID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b[0-9a-f](?:[0-9a-f]{7}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b").unwrap()
});
#[allow(clippy::unwrap_used, reason = "they are constants")]
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(10|172|192)(\.\d{1,3}\.\d{1,3}\.\d{1,3})\b").unwrap());
#[allow(clippy::unwrap_used, reason = "they are constants")]
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9][A-Za-z0-9-]*").unwrap());

/// What a cluster has once: a second of it would not be unrelated. Of the nodes only the one that is down is taken along.
const ONCE: [&str; 3] = ["kube-system", "monitoring", "local-path-storage"];

/// Captures of incidents in a namespace of their own, and the one of a node.
const INCIDENTS: [&str; 5] = [
    "d1-crashloop-after-configmap-change",
    "d2-oom-after-rollout",
    "d3-imagepull-bad-tag",
    "d4-pvc-pending",
    "d6-unschedulable-resources",
];
const NODE_DOWN: (&str, &str) = ("d5-node-down-cascade", "barn-w3");

pub(crate) fn incidents(all: &[Recorded]) -> Vec<&Recorded> {
    let found: Vec<&Recorded> =
        all.iter().filter(|c| c.name == NODE_DOWN.0 || INCIDENTS.contains(&c.name.as_str())).collect();
    assert_eq!(found.len(), INCIDENTS.len() + 1, "each is there");
    found
}

/// The signals of `other` moved to the time of `capture`, with names of nodes, namespaces and all that stands in none
/// changed, and every address and uid.
pub(crate) fn moved(other: &Recorded, capture: &Recorded) -> Vec<Signal> {
    renamed(other, capture, &names(other))
}

/// The same under the names it has, as no incident elsewhere would be.
pub(crate) fn amid(other: &Recorded, capture: &Recorded) -> Vec<Signal> {
    renamed(other, capture, &BTreeSet::new())
}

fn renamed(other: &Recorded, capture: &Recorded, names: &BTreeSet<String>) -> Vec<Signal> {
    let shift = i128::from(capture.from) - i128::from(other.from);
    let mut signals = Vec::new();
    for signal in other.signals.iter().filter(|s| moves(s, other)) {
        let mut value = serde_json::to_value(signal).expect("JSON");
        walk(&mut value, &|text| change(text, names, shift));
        let mut signal: Signal = serde_json::from_value(value).expect("a signal");
        signal.id.push_str(MARK);
        match &mut signal.body {
            Some(Body::Alert(alert)) => alert.identity.push_str(MARK),
            Some(Body::Object(object)) => object.json = reserved(&object.json),
            _ => {}
        }
        signals.push(signal);
    }
    signals
}

fn moves(signal: &Signal, other: &Recorded) -> bool {
    let down = |node: &str| NODE_DOWN == (other.name.as_str(), node);
    match (&signal.body, &signal.subject) {
        (Some(Body::Alert(alert)), _) => {
            let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
            let of_node = signal.name.starts_with("KubeNode") && down(label("node"));
            of_node || !(label("namespace").is_empty() || ONCE.contains(&label("namespace")))
        }
        (_, Some(subject)) if subject.namespace.is_empty() => subject.kind == "Node" && down(&subject.name),
        (_, Some(subject)) => !ONCE.contains(&subject.namespace.as_str()),
        _ => false,
    }
}

/// Nodes of the other part are for its own pods.
fn reserved(json: &str) -> String {
    let mut object: Value = serde_json::from_str(json).expect("JSON");
    if object["kind"] == "Node" {
        let taint = serde_json::json!({"key": "part", "value": "other", "effect": "NoSchedule"});
        match &mut object["spec"]["taints"] {
            Value::Array(taints) => taints.push(taint),
            none => *none = serde_json::json!([taint]),
        }
    }
    object.to_string()
}

/// Whether a finding is about the other part.
pub(crate) fn is_elsewhere(finding: &Finding) -> bool {
    finding.title.contains(MARK)
        || finding.root.as_ref().is_some_and(|r| r.namespace.ends_with(MARK) || r.name.contains(MARK))
}

fn names(other: &Recorded) -> BTreeSet<String> {
    let subjects = other.signals.iter().filter_map(|s| s.subject.as_ref());
    subjects
        .map(|object| if object.namespace.is_empty() { &object.name } else { &object.namespace })
        .cloned()
        .collect()
}

fn walk(value: &mut Value, change: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(list) => list.iter_mut().for_each(|v| walk(v, change)),
        Value::Object(map) => map.iter_mut().for_each(|(_, v)| walk(v, change)),
        _ => {}
    }
}

fn change(text: &str, names: &BTreeSet<String>, shift: i128) -> String {
    let text = TIME.replace_all(text, |found: &Captures<'_>| later(&found[0], shift));
    let text = UID.replace_all(&text, |found: &Captures<'_>| format!("f{}", &found[0][1..]));
    let text = ADDRESS.replace_all(&text, |found: &Captures<'_>| {
        let first: BTreeMap<&str, &str> = BTreeMap::from([("10", "11"), ("172", "173"), ("192", "193")]);
        format!("{}{}", first[&found[1]], &found[2])
    });
    // Names with dots are names of APIs, which are not told apart by words.
    let dotted = names.iter().filter(|n| n.contains('.'));
    let text = dotted.fold(text.into_owned(), |text, name| text.replace(name, &format!("{name}{MARK}")));
    let marked = |found: &Captures<'_>| match names.contains(&found[0]) {
        true => format!("{}{MARK}", &found[0]),
        false => found[0].to_owned(),
    };
    WORD.replace_all(&text, marked).into_owned()
}

fn later(time: &str, shift: i128) -> String {
    let Ok(at) = time.parse::<jiff::Timestamp>() else { return time.to_owned() };
    let nanos = at.as_nanosecond() + shift * 1_000_000;
    jiff::Timestamp::from_nanosecond(nanos).map_or_else(|_| time.to_owned(), |t| t.to_string())
}
