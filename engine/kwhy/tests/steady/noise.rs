//! What goes on in a healthy cluster while something else is wrong: nothing of it is worth a word.

use kwhy_proto::{
    timestamp,
    v1::{Alert, Event, LogLine, ObjectChange, ObjectRef, Signal, signal::Body},
};
use serde_json::{Value, json};

use crate::{play::Recorded, random::Random};

const NAMESPACE: &str = "elsewhere";

/// Signals of other objects, and the routine of those that are there, spread over the capture.
pub(crate) fn noise(capture: &Recorded, random: &mut Random, count: usize) -> Vec<Signal> {
    let mut out = workload(capture.from);
    let span = capture.to - capture.from;
    while out.len() < count {
        let at = capture.from + 1 + random.below(span);
        let n = out.len();
        match random.below(6) {
            0 => out.push(normal_event(at, n, random)),
            1 => out.push(resolved_alert(at, n, random)),
            2 => out.push(line(capture, at, n, random)),
            3 => out.extend(again(capture, at, n, random, "Node")),
            4 => out.extend(healed(at, n, random)),
            _ => out.push(status(at, n, random)),
        }
    }
    out
}

fn reference(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        kind: kind.into(),
        namespace: NAMESPACE.into(),
        name: name.into(),
        uid: format!("noise-{kind}-{name}"),
    }
}

fn pod_name(n: u64) -> String {
    format!("calm-5f7d9c6b8-{n:05}")
}

fn object(at: u64, kind: &str, name: &str, mut json: Value, version: usize, listed: bool) -> Signal {
    let subject = reference(kind, name);
    let version = format!("90{version:08}");
    json["kind"] = json!(kind);
    json["metadata"]["name"] = json!(name);
    json["metadata"]["namespace"] = json!(NAMESPACE);
    json["metadata"]["uid"] = json!(subject.uid);
    json["metadata"]["resourceVersion"] = json!(version);
    Signal {
        id: format!("object/{}/{version}", subject.uid),
        source: "object".into(),
        name: if listed { "ADDED" } else { "MODIFIED" }.into(),
        state: if listed { "listed" } else { "watched" }.into(),
        at: Some(timestamp(at)),
        subject: Some(subject),
        body: Some(Body::Object(ObjectChange { json: json.to_string(), resource_version: version })),
        ..Default::default()
    }
}

fn pod(ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    let owner = json!([{"kind": "ReplicaSet", "name": "calm-5f7d9c6b8", "controller": true, "apiVersion": "apps/v1"}]);
    json!({
        "metadata": {"labels": {"app": "calm"}, "ownerReferences": owner},
        "spec": {"containers": [{"name": "calm", "image": "registry.example/calm:1"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "calm", "ready": ready == "True", "restartCount": 0, "state": {"running": {}}}],
        },
    })
}

/// A Deployment of five pods that is there from the start and stays well.
fn workload(at: u64) -> Vec<Signal> {
    let owner = json!([{"kind": "Deployment", "name": "calm", "controller": true, "apiVersion": "apps/v1"}]);
    let ready = json!({"replicas": 5, "readyReplicas": 5, "availableReplicas": 5, "updatedReplicas": 5});
    let spec = json!({"replicas": 5, "selector": {"matchLabels": {"app": "calm"}}});
    let set = json!({"metadata": {"ownerReferences": owner}, "spec": spec, "status": ready});
    let mut out = vec![
        object(at, "Deployment", "calm", json!({"spec": spec, "status": ready}), 1, true),
        object(at, "ReplicaSet", "calm-5f7d9c6b8", set, 1, true),
        object(at, "Service", "calm", json!({"spec": {"selector": {"app": "calm"}}}), 1, true),
    ];
    out.extend((0..5).map(|n| object(at, "Pod", &pod_name(n), pod(true), 1, true)));
    out
}

fn event(at: u64, n: usize, subject: ObjectRef, state: &str, reason: &str, message: &str) -> Signal {
    let time = Some(timestamp(at));
    Signal {
        id: format!("event/noise/{n:06}"),
        source: "event".into(),
        name: reason.into(),
        state: state.into(),
        at: time,
        subject: Some(subject),
        message: message.into(),
        body: Some(Body::Event(Event {
            count: 1,
            first_at: time,
            last_at: time,
            reporter: "kubelet".into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn normal_event(at: u64, n: usize, random: &mut Random) -> Signal {
    let (reason, message) = *random.pick(&[
        ("Scheduled", "Successfully assigned elsewhere/calm to a node"),
        ("Pulling", "Pulling image \"registry.example/calm:1\""),
        ("Pulled", "Successfully pulled image \"registry.example/calm:1\" in 2.1s"),
        ("Created", "Created container calm"),
        ("Started", "Started container calm"),
        ("Killing", "Stopping container calm"),
        ("SuccessfulCreate", "Created pod: calm-5f7d9c6b8-00001"),
        ("ScalingReplicaSet", "Scaled up replica set calm-5f7d9c6b8 to 5"),
        ("LeaderElection", "calm became leader"),
    ]);
    event(at, n, reference("Pod", &pod_name(random.below(5))), "Normal", reason, message)
}

/// An alert of which only the end arrives, as after a restart of Alertmanager.
fn resolved_alert(at: u64, n: usize, random: &mut Random) -> Signal {
    let (name, label, value) = *random.pick(&[
        ("KubeDeploymentReplicasMismatch", "deployment", "calm"),
        ("KubePodNotReady", "pod", "calm-5f7d9c6b8-00002"),
        ("KubePodCrashLooping", "pod", "calm-5f7d9c6b8-00003"),
        ("CPUThrottlingHigh", "pod", "calm-5f7d9c6b8-00001"),
        ("TargetDown", "service", "calm"),
    ]);
    let labels = [("alertname", name), ("namespace", NAMESPACE), (label, value), ("severity", "warning")];
    let starts = at.saturating_sub(random.below(600_000));
    Signal {
        id: format!("alert/noise/{n:06}"),
        source: "alert".into(),
        name: name.into(),
        state: "resolved".into(),
        at: Some(timestamp(at)),
        body: Some(Body::Alert(Alert {
            identity: format!("noise-{n}"),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            starts_at: Some(timestamp(starts)),
            ends_at: Some(timestamp(at)),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// A line that says that all is well, of a pod that may well be one with a problem.
fn line(capture: &Recorded, at: u64, n: usize, random: &mut Random) -> Signal {
    let pods: Vec<&ObjectRef> =
        capture.signals.iter().filter_map(|s| s.subject.as_ref()).filter(|o| o.kind == "Pod").collect();
    let own = reference("Pod", &pod_name(random.below(5)));
    let subject = if pods.is_empty() || random.below(2) == 0 { own } else { (*random.pick(&pods)).clone() };
    let text = *random.pick(&[
        "GET /healthz 200 1ms",
        "reconciled 12 objects",
        "[INFO] plugin/reload: Running configuration MD5 = 4e235fcc3696966e76816bcd9034ebc7",
        "Handler is healthy",
        "cache synced",
        "request completed without an error",
    ]);
    Signal {
        id: format!("log/noise/{n:06}"),
        source: "log".into(),
        state: "I".into(),
        at: Some(timestamp(at)),
        subject: Some(subject),
        message: text.into(),
        body: Some(Body::Log(LogLine { container: "calm".into(), ..Default::default() })),
        ..Default::default()
    }
}

/// An object of a kind as it is at the time, once more: what a watch brings of each node every few minutes, and of
/// everything when something changes that does not matter. An empty kind is any.
pub(crate) fn again(
    capture: &Recorded,
    at: u64,
    n: usize,
    random: &mut Random,
    kind: &str,
) -> Option<Signal> {
    let time = |s: &Signal| s.at.as_ref().map_or(0, kwhy_proto::millis);
    let before: Vec<(&Signal, &ObjectRef)> = capture
        .signals
        .iter()
        .filter(|s| s.source == "object" && time(s) < at)
        .filter_map(|s| Some((s, s.subject.as_ref()?)))
        .filter(|(_, o)| kind.is_empty() || o.kind == kind)
        // A new version of a Secret is an edit of its values, which are not kept.
        .filter(|(_, o)| o.kind != "Secret")
        .collect();
    if before.is_empty() {
        return None;
    }
    let (_, object) = *random.pick(&before);
    let (now, _) = before.iter().rfind(|(_, o)| {
        (&o.kind, &o.namespace, &o.name) == (&object.kind, &object.namespace, &object.name)
    })?;
    let Some(Body::Object(change)) = &now.body else { return None };
    // So it is with what is masked elsewhere.
    if now.name == "DELETED" || change.json.contains(kwhy_proto::MASK) {
        return None;
    }
    let version = format!("91{n:08}");
    let mut json: Value = serde_json::from_str(&change.json).ok()?;
    json["metadata"]["resourceVersion"] = json!(version);
    Some(Signal {
        id: format!("object/noise/{}/{version}", object.name),
        name: "MODIFIED".into(),
        state: "watched".into(),
        at: Some(timestamp(at)),
        body: Some(Body::Object(ObjectChange { json: json.to_string(), resource_version: version })),
        ..(*now).clone()
    })
}

/// What no healthy cluster has: a pod that is killed again and again for its memory.
pub(crate) fn ill(capture: &Recorded) -> Vec<Signal> {
    let last = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    (0..10)
        .map(|n| {
            let mut pod = pod(false);
            pod["status"]["containerStatuses"][0]["restartCount"] = json!(n + 1);
            pod["status"]["containerStatuses"][0]["lastState"] = last.clone();
            let at = capture.from + (capture.to - capture.from) * (n + 1) / 12;
            object(at, "Pod", &pod_name(1), pod, 200_000 + usize::try_from(n).unwrap_or(0), false)
        })
        .collect()
}

/// A warning and the sign that it was nothing, some seconds later.
fn healed(at: u64, n: usize, random: &mut Random) -> Vec<Signal> {
    let name = pod_name(random.below(5));
    let (reason, message) = *random.pick(&[
        ("Unhealthy", "Readiness probe failed: Get \"http://10.9.9.9:8080/ready\": dial tcp 10.9.9.9:8080: connect: connection refused"),
        ("FailedMount", "MountVolume.SetUp failed for volume \"kube-api-access-x2x2x\" : failed to sync configmap cache: timed out waiting for the condition"),
        ("FailedScheduling", "0/3 nodes are available: 3 node(s) had untolerated taint {node.kubernetes.io/not-ready: }."),
    ]);
    let subject = reference("Pod", &name);
    vec![
        event(at, n, subject, "Warning", reason, message),
        object(at + 20_000, "Pod", &name, pod(true), 1000 + n, false),
    ]
}

fn status(at: u64, n: usize, random: &mut Random) -> Signal {
    object(at, "Pod", &pod_name(random.below(5)), pod(true), 100_000 + n, false)
}
