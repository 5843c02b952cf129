//! What changed between two states of an object: spec and data, never status, never a Secret's values.

use std::{collections::BTreeSet, sync::Arc};

use kwhy_proto::MASK;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    json::Json,
    key::Key,
    object::Object,
    wire::{self, Word},
};

/// Most lines of a diff that are kept.
const MAX_LINES: usize = 20;
/// Longest value shown in a diff, characters.
const MAX_VALUE: usize = 160;

/// One change, as rules and findings are told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) at: u64,
    /// ADDED, MODIFIED or DELETED.
    #[serde(deserialize_with = "kind")]
    pub(crate) kind: Word,
    /// `data.Corefile edited`, `spec.replicas 2 → 3`, `created`.
    pub(crate) summary: String,
    /// By pointer: lines with `- ` and `+ `.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) signal: String,
    pub(crate) origin: String,
}

/// The kind of a change as it was stored.
fn kind<'de, D: Deserializer<'de>>(stored: D) -> Result<Word, D::Error> {
    wire::one_of(&["ADDED", "MODIFIED", "DELETED"], stored)
}

impl Change {
    /// All diff lines, cut to the first twenty.
    pub(crate) fn diff(&self) -> String {
        let lines: Vec<&str> = self.fields.iter().flat_map(|(_, d)| d.lines()).take(MAX_LINES).collect();
        lines.join("\n")
    }
}

/// Controllers of Kubernetes itself: what they own follows from their own spec. What an operator's custom resource owns
/// is seen only by its own changes.
const CONTROLLERS: [&str; 8] = [
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Job",
    "Node",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
];

/// Kinds whose comings, goings and specs follow from what owns them, or that change all the time without meaning.
fn follows_others(object: &Object) -> bool {
    matches!(
        object.key.kind.as_str(),
        "Event" | "Endpoints" | "EndpointSlice" | "Lease" | "ControllerRevision" | "Pod" | "ReplicaSet"
    ) || object.owner().is_some_and(|owner| CONTROLLERS.contains(&owner.kind.as_str()))
        // Leader election of old writes into annotations of ConfigMaps and Endpoints, which is no change of data.
        || object.at("/metadata/annotations/control-plane.alpha.kubernetes.io~1leader").is_some()
}

/// The change from `old` to `new`, if it is one that somebody made. `listed` objects were there before kwhy looked.
pub(crate) fn between(old: Option<&Arc<Object>>, new: &Object, at: u64, listed: bool) -> Option<Change> {
    if follows_others(new) {
        return None;
    }
    let change = |kind, summary: String, fields| {
        Some(Change {
            key: new.key.clone(),
            uid: new.uid.clone(),
            at,
            kind,
            summary,
            fields,
            signal: String::new(),
            origin: String::new(),
        })
    };
    if new.deleted.is_some() {
        return change("DELETED", "deleted".to_owned(), Vec::new());
    }
    let Some(old) = old.filter(|o| o.deleted.is_none()) else {
        return if listed { None } else { change("ADDED", "created".to_owned(), Vec::new()) };
    };
    let mut fields = Vec::new();
    for part in ["spec", "data", "binaryData", "stringData", "webhooks", "provisioner", "parameters"] {
        let (before, after) = (written(old, part), written(new, part));
        diff(before.as_ref(), after.as_ref(), &format!("/{part}"), &mut fields);
    }
    if new.key.kind == "Node" {
        relabelled(old, new, &mut fields);
    }
    if fields.is_empty() {
        let fields: Vec<_> = rewritten(old, new).into_iter().map(|part| (part, String::new())).collect();
        return if fields.is_empty() { None } else { change("MODIFIED", "values edited".to_owned(), fields) };
    }
    if new.key.kind == "Secret" {
        for (_, text) in &mut fields {
            text.clear();
        }
    }
    let summary = summarise(&fields);
    change("MODIFIED", summary, fields)
}

/// Taints by which the node controller repeats a node's conditions and its cordon: nobody made that change.
const OF_CONDITIONS: [&str; 7] = [
    "not-ready",
    "unreachable",
    "memory-pressure",
    "disk-pressure",
    "pid-pressure",
    "network-unavailable",
    "unschedulable",
];

/// Labels that a node had and has no more, or otherwise: pods select nodes by them. New ones come by themselves, of clouds and of
/// drivers, and so do those that tell a time.
fn relabelled(old: &Object, new: &Object, fields: &mut Vec<(String, String)>) {
    let labels = "/metadata/labels";
    let before = old.json.pointer(labels).and_then(Json::as_object).unwrap_or_default();
    for (name, value) in before.iter().filter(|(name, _)| !name.ends_with("timestamp")) {
        let after = new.json.pointer(labels).and_then(|all| all.get(name));
        diff(Some(value), after, &format!("{labels}/{}", step(name)), fields);
    }
}

/// A part of an object as somebody wrote it.
fn written(object: &Object, part: &str) -> Option<Json> {
    let whole = object.json.get(part)?;
    let (Some(entries), "Node", "spec") = (whole.as_object(), object.key.kind.as_str(), part) else {
        return Some(whole.clone());
    };
    let by_hand = |taint: &&Json| {
        let key = taint.get("key").and_then(Json::as_str).unwrap_or_default();
        !key.strip_prefix("node.kubernetes.io/").is_some_and(|of| OF_CONDITIONS.contains(&of))
    };
    let entries = entries.iter().filter_map(|(name, value)| match value.as_array() {
        Some(taints) if **name == *"taints" => {
            let kept: Vec<Json> = taints.iter().filter(by_hand).cloned().collect();
            (!kept.is_empty()).then(|| (name.clone(), Json::Array(kept.into())))
        }
        _ => Some((name.clone(), value.clone())),
    });
    Some(Json::Object(entries.collect()))
}

/// Pointers to values that are not kept, one of which was edited: those of a Secret, and what is masked elsewhere. It shows
/// only by elimination: the API server counts what was really written, and nothing else of it differs.
fn rewritten(old: &Object, new: &Object) -> Vec<String> {
    let same = |part: &&str| old.json.pointer(part) == new.json.pointer(part);
    let kept = [
        "/metadata/annotations",
        "/metadata/labels",
        "/metadata/ownerReferences",
        "/metadata/finalizers",
        "/type",
    ];
    let (before, after) = (&old.resource_version, &new.resource_version);
    let versions = !before.is_empty() && !after.is_empty() && before != after;
    // Some objects have a number for what was written; of others each version was.
    let count = |object: &Object| object.json.pointer("/metadata/generation").and_then(Json::as_i64);
    let made = ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"];
    let kind = new.json.pointer("/type").and_then(Json::as_str).unwrap_or_default();
    let mut parts = Vec::new();
    match (new.key.kind.as_str(), count(old), count(new)) {
        _ if old.uid != new.uid => {}
        ("Secret", ..) if versions && kept.iter().all(same) && !made.contains(&kind) => {
            parts.extend(keys(new).map(|key| format!("/data/{key}")));
        }
        ("ConfigMap", ..) if versions && kept.iter().all(same) => {
            masked(new.json.get("data"), "/data", &mut parts);
            masked(new.json.get("binaryData"), "/binaryData", &mut parts);
        }
        // Annotations count as written for some kinds.
        (_, Some(before), Some(after)) if before != after && same(&"/metadata/annotations") => {
            masked(new.json.get("spec"), "/spec", &mut parts);
        }
        _ => {}
    }
    parts
}

/// Pointers to the texts in which something is masked.
fn masked(value: Option<&Json>, pointer: &str, out: &mut Vec<String>) {
    match value {
        Some(Json::String(text)) if text.contains(MASK) => out.push(pointer.to_owned()),
        Some(Json::Array(items)) => {
            items.iter().enumerate().for_each(|(i, item)| masked(Some(item), &format!("{pointer}/{i}"), out));
        }
        Some(Json::Object(fields)) => {
            for (name, value) in fields.iter() {
                masked(Some(value), &format!("{pointer}/{}", step(name)), out);
            }
        }
        _ => {}
    }
}

fn keys(secret: &Object) -> impl Iterator<Item = String> + '_ {
    let data = secret.json.get("data").and_then(Json::as_object);
    data.into_iter().flatten().map(|(k, _)| step(k))
}

/// A name as a step of a JSON pointer.
fn step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn summarise(fields: &[(String, String)]) -> String {
    let Some((pointer, text)) = fields.first() else { return String::new() };
    let name = pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
    let more = if fields.len() > 1 { format!(" and {} more", fields.len() - 1) } else { String::new() };
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("- ") {
            old.push(rest);
        } else if let Some(rest) = line.strip_prefix("+ ") {
            new.push(rest);
        }
    }
    match (old.as_slice(), new.as_slice()) {
        ([old], [new]) if old.len() + new.len() < 60 && !pointer.starts_with("/data") => {
            format!("{name} {old} → {new}{more}")
        }
        ([], [_, ..]) => format!("{name} added{more}"),
        ([_, ..], []) => format!("{name} removed{more}"),
        _ => format!("{name} edited{more}"),
    }
}

fn diff(old: Option<&Json>, new: Option<&Json>, pointer: &str, out: &mut Vec<(String, String)>) {
    match (old, new) {
        (a, b) if a == b => {}
        (Some(x @ Json::Object(a)), Some(y @ Json::Object(b))) => {
            let names: BTreeSet<&str> = a.iter().chain(b.iter()).map(|(name, _)| &**name).collect();
            for name in names {
                diff(x.get(name), y.get(name), &format!("{pointer}/{}", step(name)), out);
            }
        }
        (Some(Json::Array(a)), Some(Json::Array(b))) => {
            for i in 0..a.len().max(b.len()) {
                diff(a.get(i), b.get(i), &format!("{pointer}/{i}"), out);
            }
        }
        (Some(Json::String(a)), Some(Json::String(b))) if a.contains('\n') || b.contains('\n') => {
            out.push((pointer.to_owned(), line_diff(a, b)));
        }
        (a, b) => {
            let mut text = String::new();
            for (mark, value) in [("- ", a), ("+ ", b)] {
                if let Some(value) = value {
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    for line in shown.lines().take(MAX_LINES) {
                        text.push_str(mark);
                        text.extend(line.chars().take(MAX_VALUE));
                        text.push('\n');
                    }
                }
            }
            out.push((pointer.to_owned(), text));
        }
    }
}

/// Removed and added lines of a text, without the lines they share.
fn line_diff(old: &str, new: &str) -> String {
    let mut text = String::new();
    let mut lines = 0;
    for change in similar::TextDiff::from_lines(old, new).iter_all_changes() {
        let mark = match change.tag() {
            similar::ChangeTag::Delete => "- ",
            similar::ChangeTag::Insert => "+ ",
            similar::ChangeTag::Equal => continue,
        };
        if lines == MAX_LINES {
            break;
        }
        lines += 1;
        text.push_str(mark);
        text.extend(change.value().trim_end_matches('\n').chars().take(MAX_VALUE));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(kind: &str, json: Value) -> Object {
        Object::new(Key::new(kind, "ns", "x"), "1", json.into(), None)
    }

    fn changed(kind: &str, old: Value, new: Value) -> Option<Change> {
        between(Some(&Arc::new(object(kind, old))), &object(kind, new), 7, false)
    }

    #[test]
    fn an_edited_line_of_a_config_map_is_shown_and_its_unchanged_lines_are_not() {
        let change = changed(
            "ConfigMap",
            json!({"data": {"Corefile": "errors\nforward . /etc/resolv.conf\n"}}),
            json!({"data": {"Corefile": "errors\nforward . 1.1.1.1\n"}}),
        )
        .unwrap();
        assert_eq!(change.summary, "data.Corefile edited");
        assert_eq!(change.diff(), "- forward . /etc/resolv.conf\n+ forward . 1.1.1.1");
    }

    #[test]
    fn a_label_that_a_node_loses_is_a_change_and_one_that_it_gets_is_none() {
        let node = |labels: Value| json!({"metadata": {"labels": labels}});
        let had = node(json!({"disk/type": "ssd", "gfd.timestamp": "1"}));
        let change = changed("Node", had.clone(), node(json!({"gfd.timestamp": "2"}))).unwrap();
        assert_eq!(change.summary, "metadata.labels.disk/type removed");
        assert_eq!(change.fields, [("/metadata/labels/disk~1type".to_owned(), "- ssd\n".to_owned())]);
        let more = node(json!({"disk/type": "ssd", "gfd.timestamp": "2", "zone": "a"}));
        assert_eq!(changed("Node", had.clone(), more), None);
        assert_eq!(changed("Deployment", had, node(json!({}))), None);
    }

    #[test]
    fn the_value_of_a_secret_is_never_shown() {
        let change =
            changed("Secret", json!({"data": {"token": "b2xk"}}), json!({"data": {"token": "bmV3"}}))
                .unwrap();
        assert_eq!(change.diff(), "");
        assert!(change.summary.starts_with("data.token"), "{}", change.summary);
        assert!(!format!("{change:?}").contains("bmV3"));
    }

    #[test]
    fn a_secret_of_the_same_keys_and_a_new_version_was_edited_and_one_with_a_new_label_was_not() {
        let secret = |version: &str, label: &str| Object {
            resource_version: version.to_owned(),
            ..object("Secret", json!({"metadata": {"labels": {"a": label}}, "data": {"token": null}}))
        };
        let change = |new| between(Some(&Arc::new(secret("1", "x"))), &new, 7, false);
        let edited = change(secret("2", "x")).unwrap();
        assert_eq!((edited.summary.as_str(), edited.fields.len()), ("values edited", 1));
        assert_eq!(change(secret("2", "y")), None);
        assert_eq!(change(secret("1", "x")), None);
    }

    /// A password in the environment of a container that was changed: what is stored of both is the mask.
    #[test]
    fn a_masked_value_was_edited_where_the_generation_moved_and_nothing_else_did() {
        let deployment = |generation: u32, password: &str, revision: &str| {
            json!({
                "metadata": {"generation": generation, "annotations": {"revision": revision}},
                "spec": {"template": {"spec": {"containers": [{"env": [{"name": "DB_PASSWORD", "value": password}]}]}}},
            })
        };
        let change = |new| changed("Deployment", deployment(1, MASK, "1"), new);
        let edited = change(deployment(2, MASK, "1")).unwrap();
        assert_eq!(edited.summary, "values edited");
        assert_eq!(edited.fields[0].0, "/spec/template/spec/containers/0/env/0/value");
        assert_eq!(change(deployment(1, MASK, "1")), None, "a status");
        assert_eq!(change(deployment(2, MASK, "2")), None, "an annotation");
        assert_eq!(changed("Deployment", deployment(1, "x", "1"), deployment(2, "x", "1")), None);
    }

    #[test]
    fn what_a_controller_of_kubernetes_owns_has_no_changes_of_its_own_and_what_an_operator_owns_has() {
        let spec = |owner: &str, replicas: u32| {
            json!({
                "metadata": {"ownerReferences": [{"kind": owner, "name": "o", "controller": true}]},
                "spec": {"replicas": replicas},
            })
        };
        assert_eq!(changed("Job", spec("CronJob", 1), spec("CronJob", 2)), None);
        assert_eq!(changed("ReplicaSet", spec("Rollout", 1), spec("Rollout", 2)), None);
        let change = changed("StatefulSet", spec("Prometheus", 1), spec("Prometheus", 2)).unwrap();
        assert_eq!(change.summary, "spec.replicas 1 → 2");
    }

    #[test]
    fn a_status_update_is_no_change() {
        assert_eq!(
            changed("Deployment", json!({"status": {"replicas": 1}}), json!({"status": {"replicas": 2}})),
            None
        );
    }

    #[test]
    fn a_short_scalar_is_summarised_with_both_values() {
        let change =
            changed("Deployment", json!({"spec": {"replicas": 1}}), json!({"spec": {"replicas": 2}}))
                .unwrap();
        assert_eq!(change.summary, "spec.replicas 1 → 2");
    }
}
