//! A small cluster in the form that the API server gives it.
#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

use kwhy_sdk::{
    Diagnosis, ObjectRef, parse_time,
    testkit::{Bench, Input},
};
use kwhy_workload::Workload;
use serde_json::{Value, json};

/// ms of a time of day.
pub(crate) fn at(clock: &str) -> u64 {
    parse_time(&stamp(clock)).unwrap()
}

pub(crate) fn stamp(clock: &str) -> String {
    format!("2025-02-11T{clock}Z")
}

pub(crate) fn id(kind: &str, name: &str) -> ObjectRef {
    ObjectRef::new(kind, "shop", name)
}

pub(crate) fn listed(json: Value) -> Input {
    Input::listed(at("09:00:00"), json)
}

pub(crate) fn owner(kind: &str, name: &str) -> Value {
    json!([{"kind": kind, "name": name, "controller": true}])
}

/// Lays `patch` over `base`, map by map.
pub(crate) fn with(mut base: Value, patch: &Value) -> Value {
    if let (Some(into), Some(from)) = (base.as_object_mut(), patch.as_object()) {
        for (key, value) in from {
            let old = into.remove(key).unwrap_or(Value::Null);
            let new = if value.is_object() && old.is_object() { with(old, value) } else { value.clone() };
            into.insert(key.clone(), new);
        }
        return base;
    }
    patch.clone()
}

/// The container of the Deployment `web`.
pub(crate) fn container(patch: &Value) -> Value {
    with(json!({"name": "web", "image": "ghcr.io/acme/web:v1"}), patch)
}

pub(crate) fn template(container: &Value) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}})
}

pub(crate) fn deployment(container: &Value, patch: &Value) -> Value {
    with(
        json!({
            "kind": "Deployment", "metadata": {"namespace": "shop", "name": "web", "uid": "d"},
            "spec": {"replicas": 2, "template": template(container)},
            "status": {"replicas": 2, "availableReplicas": 1},
        }),
        patch,
    )
}

pub(crate) fn replica_set(name: &str, revision: u64, made: &str, container: &Value, patch: &Value) -> Value {
    with(
        json!({
            "kind": "ReplicaSet",
            "metadata": {
                "namespace": "shop", "name": name, "uid": name, "creationTimestamp": stamp(made),
                "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
                "ownerReferences": owner("Deployment", "web"),
            },
            "spec": {"replicas": 2, "template": template(container)},
            "status": {"replicas": 2},
        }),
        patch,
    )
}

/// A pod of a ReplicaSet with one container and its status; `made` also is when it was last ready or not.
pub(crate) fn pod(
    name: &str,
    set: &str,
    made: &str,
    container: &Value,
    status: Value,
    patch: &Value,
) -> Value {
    let ready = status["ready"] == json!(true);
    let mut of = json!({"name": "web", "restartCount": 0, "ready": false});
    of = with(of, &status);
    with(
        json!({
            "kind": "Pod",
            "metadata": {"namespace": "shop", "name": name, "uid": name, "labels": {"app": "web"}, "creationTimestamp": stamp(made), "ownerReferences": owner("ReplicaSet", set)},
            "spec": {"nodeName": "n1", "containers": [container]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": stamp(made)}],
                "containerStatuses": [of],
            },
        }),
        patch,
    )
}

pub(crate) fn waiting(reason: &str, message: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason, "message": message}}})
}

/// In a crash loop: restarts, and how it ended last.
pub(crate) fn crashing(restarts: u64, ended: Value) -> Value {
    let ended = with(
        json!({"reason": "Error", "exitCode": 1, "startedAt": stamp("09:30:00"), "finishedAt": stamp("09:30:02")}),
        &ended,
    );
    json!({"restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container=web"}}, "lastState": {"terminated": ended}})
}

pub(crate) fn running(since: &str, restarts: u64, ready: bool) -> Value {
    json!({"ready": ready, "restartCount": restarts, "state": {"running": {"startedAt": stamp(since)}}})
}

/// Deployment web with its ReplicaSet web-1, made long ago.
pub(crate) fn cluster() -> Vec<Input> {
    let c = container(&json!({}));
    vec![
        listed(
            json!({"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"architecture": "arm64"}}}),
        ),
        listed(deployment(&c, &json!({}))),
        listed(replica_set("web-1", 1, "05:00:00", &c, &json!({}))),
    ]
}

pub(crate) fn warn(clock: &str, kind: &str, name: &str, reason: &str, message: &str, count: u32) -> Input {
    Input::event(at(clock), &id(kind, name), reason, "Warning", message, count)
}

/// Feeds all and lets time pass until `clock`.
pub(crate) fn run(inputs: &[Input], clock: &str) -> Bench<Workload> {
    let mut bench = Bench::new();
    bench.feed_all(inputs).unwrap();
    bench.until(at(clock)).unwrap();
    bench
}

/// The one diagnosis that stands, of that code and root.
pub(crate) fn only(bench: &Bench<Workload>, code: &str, kind: &str, name: &str) -> Diagnosis {
    let all = bench.diagnoses();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(
        (all[0].code.as_str(), all[0].root.kind.as_str(), all[0].root.name.as_str()),
        (code, kind, name),
        "{all:#?}"
    );
    assert!(
        !all[0].remedies.is_empty() && !all[0].evidence.is_empty() && !all[0].path.is_empty(),
        "{all:#?}"
    );
    all[0].clone()
}

pub(crate) fn silent(bench: &Bench<Workload>) {
    assert!(bench.diagnoses().is_empty(), "{:#?}", bench.diagnoses());
}

/// A cluster with one pod whose container fares like that.
pub(crate) fn one(status: Value) -> Vec<Input> {
    let mut all = cluster();
    all.push(Input::changed(
        at("09:31:00"),
        pod("web-1-a", "web-1", "09:20:00", &container(&json!({})), status, &json!({})),
    ));
    all
}
