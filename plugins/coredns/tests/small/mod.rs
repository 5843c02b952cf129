//! A small cluster in the form that the API server gives it, with the objects as kubeadm makes them.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

use kwhy_coredns::Coredns;
pub(crate) use kwhy_sdk::testkit::words;
use kwhy_sdk::{
    Diagnosis, ObjectRef, parse_time,
    testkit::{Bench, Input},
};
use serde_json::{Value, json};

pub(crate) const LOOP: &str = "coredns.forward-loop";
pub(crate) const TIMEOUT: &str = "coredns.upstream-timeout";
pub(crate) const FATAL: &str = r#"[FATAL] plugin/loop: Loop (127.0.0.1:39386 -> :53) detected for zone ".", see https://coredns.io/plugins/loop#troubleshooting. Query: "HINFO 2267741465582667364.4598883878041902408.""#;

/// ms of a time of day.
pub(crate) fn at(clock: &str) -> u64 {
    parse_time(&format!("2024-03-19T{clock}Z")).unwrap()
}

pub(crate) fn pod(name: &str) -> ObjectRef {
    ObjectRef::new("Pod", "kube-system", name)
}

pub(crate) fn fatal(clock: &str, name: &str) -> Input {
    Input::line(at(clock), &pod(name), "coredns", FATAL)
}

/// kubeadm's default Corefile with another `forward` line.
pub(crate) fn corefile(forward: &str) -> String {
    format!(
        ".:53 {{\n    errors\n    health {{\n       lameduck 5s\n    }}\n    ready\n    kubernetes cluster.local in-addr.arpa ip6.arpa {{\n       pods insecure\n       fallthrough in-addr.arpa ip6.arpa\n       ttl 30\n    }}\n    prometheus :9153\n    {forward}\n    cache 30\n    loop\n    reload\n    loadbalance\n}}\n"
    )
}

pub(crate) fn map(text: &str) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": "coredns"}, "data": {"Corefile": text}})
}

pub(crate) fn node(name: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name}, "status": {"nodeInfo": {"kubeletVersion": "v1.29.2"}}})
}

/// How a pod fares.
pub(crate) enum Fares {
    /// Ready since.
    Ready(&'static str),
    /// In a crash loop after so many restarts.
    Crashing(u64),
    /// Runs since, not ready yet.
    Starting(&'static str),
}

/// A pod of Deployment coredns; `spec` is merged into its spec.
pub(crate) fn coredns(name: &str, node: &str, fares: &Fares, spec: Value) -> Value {
    let (ready, since, count, state, last) = match fares {
        Fares::Ready(since) => {
            ("True", *since, 0, json!({"running": {"startedAt": format!("2024-03-19T{since}Z")}}), json!({}))
        }
        Fares::Crashing(n) => (
            "False",
            "08:00:00",
            *n,
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": format!("back-off 5m0s restarting failed container=coredns pod={name}_kube-system(u)")}}),
            json!({"terminated": {"exitCode": 1, "reason": "Error"}}),
        ),
        Fares::Starting(since) => (
            "False",
            "08:00:00",
            1,
            json!({"running": {"startedAt": format!("2024-03-19T{since}Z")}}),
            json!({"terminated": {"exitCode": 1}}),
        ),
    };
    let mut all = json!({
        "dnsPolicy": "Default", "nodeName": node,
        "containers": [{
            "name": "coredns", "image": "registry.k8s.io/coredns/coredns:v1.11.1",
            "args": ["-conf", "/etc/coredns/Corefile"],
            "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns"}],
        }],
        "volumes": [{"name": "config-volume", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}],
    });
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    json!({
        "kind": "Pod",
        "metadata": {
            "namespace": "kube-system", "name": name, "labels": {"k8s-app": "kube-dns"}, "creationTimestamp": "2024-03-19T07:59:00Z",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "coredns-76f75df574", "controller": true}],
        },
        "spec": all,
        "status": {
            "podIP": format!("10.244.0.{}", name.len()),
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": format!("2024-03-19T{since}Z")}],
            "containerStatuses": [{"name": "coredns", "restartCount": count, "state": state, "lastState": last}],
        },
    })
}

/// Two nodes, Deployment and ReplicaSet coredns, the Service and the ConfigMap.
pub(crate) fn cluster(text: &str) -> Vec<Input> {
    let owned = json!([{"kind": "Deployment", "name": "coredns", "controller": true}]);
    [
        node("kal"),
        node("ford"),
        json!({"kind": "Deployment", "metadata": {"namespace": "kube-system", "name": "coredns"}}),
        json!({"kind": "ReplicaSet", "metadata": {"namespace": "kube-system", "name": "coredns-76f75df574", "ownerReferences": owned}}),
        json!({"kind": "Service", "metadata": {"namespace": "kube-system", "name": "kube-dns"}, "spec": {"clusterIP": "10.96.0.10", "selector": {"k8s-app": "kube-dns"}}}),
        map(text),
    ]
    .into_iter()
    .map(|json| Input::listed(at("08:30:00"), json))
    .collect()
}

pub(crate) fn listed(json: Value) -> Input {
    Input::listed(at("08:30:00"), json)
}

pub(crate) fn run<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Bench<Coredns> {
    Bench::fed(inputs)
}

/// The one diagnosis that stands.
pub(crate) fn only(bench: &Bench<Coredns>) -> Diagnosis {
    bench.only()
}
