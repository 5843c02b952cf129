//! A small cluster in the form that the API server gives it, with the objects as kubeadm makes them.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails here"
)]

use kwhy_kube_proxy::KubeProxy;
pub(crate) use kwhy_sdk::testkit::words;
use kwhy_sdk::{
    Diagnosis, ObjectRef, parse_time,
    testkit::{Bench, Input},
};
use serde_json::{Value, json};

pub(crate) const LOOPBACK: &str = "kube-proxy.metrics-bind-loopback";
pub(crate) const STALE: &str = "kube-proxy.config-changed-not-restarted";

/// ms of a time of day.
pub(crate) fn at(clock: &str) -> u64 {
    parse_time(&format!("2024-03-19T{clock}Z")).unwrap()
}

/// KubeProxyConfiguration as kubeadm writes it, with another line for the metrics.
pub(crate) fn config(line: &str) -> String {
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nbindAddress: 0.0.0.0\nbindAddressHardFail: false\nclientConnection:\n  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf\nhealthzBindAddress: \"\"\nkind: KubeProxyConfiguration\n{line}\nmode: \"\"\nportRange: \"\"\n"
    )
}

pub(crate) fn map(line: &str) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": "kube-proxy", "resourceVersion": "100"},
        "data": {"config.conf": config(line), "kubeconfig.conf": "apiVersion: v1\nkind: Config\n"}})
}

pub(crate) fn node(name: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name}, "status": {
        "conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.29.2"}}})
}

fn status(ready: bool, name: &str, started: &str) -> Value {
    json!({
        "hostIP": "192.168.10.11", "podIP": "192.168.10.11", "phase": "Running",
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": format!("2024-03-19T{started}Z")}],
        "containerStatuses": [{"name": name, "restartCount": 0, "ready": ready,
            "state": if ready { json!({"running": {"startedAt": format!("2024-03-19T{started}Z")}}) } else { json!({"waiting": {"reason": "CrashLoopBackOff"}}) }}],
    })
}

pub(crate) fn daemon_set() -> Value {
    json!({"kind": "DaemonSet", "metadata": {"namespace": "kube-system", "name": "kube-proxy"},
        "status": {"desiredNumberScheduled": 2, "numberReady": 2}})
}

/// A pod of DaemonSet kube-proxy.
pub(crate) fn proxy(name: &str, node: &str, ready: bool, started: &str) -> Value {
    proxy_with(
        name,
        node,
        ready,
        started,
        json!(["/usr/local/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.conf"]),
    )
}

pub(crate) fn proxy_with(name: &str, node: &str, ready: bool, started: &str, command: Value) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "namespace": "kube-system", "name": name, "labels": {"k8s-app": "kube-proxy"}, "resourceVersion": "200",
            "ownerReferences": [{"kind": "DaemonSet", "name": "kube-proxy", "controller": true}],
        },
        "spec": {
            "nodeName": node, "hostNetwork": true,
            "containers": [{"name": "kube-proxy", "image": "registry.k8s.io/kube-proxy:v1.29.2", "command": command,
                "volumeMounts": [{"mountPath": "/var/lib/kube-proxy", "name": "kube-proxy"}]}],
            "volumes": [{"configMap": {"name": "kube-proxy"}, "name": "kube-proxy"}],
        },
        "status": status(ready, "kube-proxy", started),
    })
}

/// A static pod as the kubelet mirrors it.
pub(crate) fn static_pod(component: &str, node: &str, args: &[&str], ready: bool) -> Value {
    let command: Vec<&str> = std::iter::once(component).chain(args.iter().copied()).collect();
    json!({
        "kind": "Pod",
        "metadata": {
            "namespace": "kube-system", "name": format!("{component}-{node}"), "labels": {"component": component},
            "annotations": {"kubernetes.io/config.mirror": "2f01ba79ec34f4a79664baada3d6faae"}, "resourceVersion": "200",
            "ownerReferences": [{"kind": "Node", "name": node, "controller": true}],
        },
        "spec": {"nodeName": node, "hostNetwork": true,
            "containers": [{"name": component, "image": format!("registry.k8s.io/{component}:v1.29.2"), "command": command}]},
        "status": status(ready, component, "06:00:00"),
    })
}

pub(crate) fn listed(json: Value) -> Input {
    Input::listed(at("08:30:00"), json)
}

/// Two nodes with kube-proxy ready on both since 06:00.
pub(crate) fn cluster(line: &str) -> Vec<Input> {
    [
        node("kal"),
        node("ford"),
        daemon_set(),
        map(line),
        proxy("kube-proxy-aaaaa", "kal", true, "06:00:00"),
        proxy("kube-proxy-bbbbb", "ford", true, "06:00:00"),
    ]
    .into_iter()
    .map(listed)
    .collect()
}

pub(crate) fn subject(kind: &str, name: &str) -> ObjectRef {
    ObjectRef::new(kind, if matches!(kind, "Node" | "Cluster") { "" } else { "kube-system" }, name)
}

/// KubeProxyDown as the core hands it on: only the job is known.
pub(crate) fn proxy_down(clock: &str) -> Input {
    Input::alert(
        at(clock),
        "KubeProxyDown",
        &subject("DaemonSet", "kube-proxy"),
        &[("job", "kube-proxy"), ("severity", "critical")],
    )
}

pub(crate) fn target_down(clock: &str, job: &str) -> Input {
    let service = format!("kube-prometheus-stack-{job}");
    let labels = [("job", job), ("namespace", "kube-system"), ("service", service.as_str())];
    Input::alert(at(clock), "TargetDown", &subject("Service", &service), &labels)
}

pub(crate) fn resolved(clock: &str, alert: Input) -> Input {
    let Input::Signal(mut signal) = alert else { panic!("not an alert") };
    signal.state = "resolved".into();
    signal.at = at(clock);
    signal.id.push_str("/resolved");
    Input::Signal(signal)
}

pub(crate) fn run<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Bench<KubeProxy> {
    Bench::fed(inputs)
}

/// The one diagnosis that stands.
pub(crate) fn only(bench: &Bench<KubeProxy>) -> Diagnosis {
    bench.only()
}
