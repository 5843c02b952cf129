//! A small cluster in the form that the API server gives it.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails here"
)]

use kwhy_metrics_server::MetricsServer;
pub(crate) use kwhy_sdk::testkit::claims;
use kwhy_sdk::{
    Diagnosis, ObjectRef, parse_time,
    testkit::{Bench, Input},
};
use serde_json::{Value, json};

pub(crate) const NAMES: &str = "metrics-server.node-name-unresolvable";
pub(crate) const CERTIFICATE: &str = "metrics-server.certificate-without-san";
pub(crate) const UNKNOWN_CA: &str = "metrics-server.unknown-ca";
pub(crate) const DOWN: &str = "metrics-server.down";

/// ms of a time of day.
pub(crate) fn at(clock: &str) -> u64 {
    parse_time(&format!("2024-03-21T{clock}Z")).unwrap()
}

pub(crate) fn node(name: &str, ip: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name}, "status": {
        "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
        "nodeInfo": {"kubeletVersion": "v1.29.2"}}})
}

pub(crate) fn container(args: &[&str]) -> Value {
    json!({"name": "metrics-server", "image": "registry.k8s.io/metrics-server/metrics-server:v0.7.0", "args": args,
        "volumeMounts": [{"mountPath": "/etc/kubelet-ca", "name": "ca"}]})
}

pub(crate) fn deployment(args: &[&str], replicas: u32) -> Value {
    json!({"kind": "Deployment", "metadata": {"namespace": "kube-system", "name": "metrics-server"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container(args)]}}}})
}

/// A pod of ReplicaSet metrics-server-TEMPLATE; `since` is since when it is ready, empty while it is not.
pub(crate) fn pod_of(template: &str, args: &[&str], made: &str, since: &str) -> Value {
    let (ready, since) = if since.is_empty() { ("False", made) } else { ("True", since) };
    json!({
        "kind": "Pod",
        "metadata": {
            "namespace": "kube-system", "name": format!("metrics-server-{template}-x"), "creationTimestamp": format!("2024-03-21T{made}Z"),
            "labels": {"k8s-app": "metrics-server", "pod-template-hash": template},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("metrics-server-{template}"), "controller": true}],
        },
        "spec": {"nodeName": "kal", "serviceAccountName": "metrics-server", "containers": [container(args)],
            "volumes": [{"name": "ca", "configMap": {"name": "kubelet-serving-ca"}}]},
        "status": {
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": format!("2024-03-21T{since}Z")}],
            "containerStatuses": [{"name": "metrics-server", "restartCount": 0, "state": {"running": {"startedAt": format!("2024-03-21T{made}Z")}}}],
        },
    })
}

pub(crate) fn replica_set(template: &str) -> Value {
    json!({"kind": "ReplicaSet", "metadata": {"namespace": "kube-system", "name": format!("metrics-server-{template}"),
        "ownerReferences": [{"kind": "Deployment", "name": "metrics-server", "controller": true}]}})
}

pub(crate) fn service() -> Value {
    json!({"kind": "Service", "metadata": {"namespace": "kube-system", "name": "metrics-server"}, "spec": {"selector": {"k8s-app": "metrics-server"}}})
}

pub(crate) fn api(available: bool, since: &str, reason: &str) -> Value {
    json!({"kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"group": "metrics.k8s.io", "service": {"namespace": "kube-system", "name": "metrics-server"}},
        "status": {"conditions": [{"type": "Available", "status": if available { "True" } else { "False" },
            "lastTransitionTime": format!("2024-03-21T{since}Z"), "reason": reason,
            "message": "endpoints for service/metrics-server in \"kube-system\" have no addresses with port name \"https\""}]}})
}

pub(crate) fn listed(json: Value) -> Input {
    Input::listed(at("08:30:00"), json)
}

pub(crate) const BY_ADDRESS: &str = "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname";

/// Two nodes, metrics-server with these arguments; its pod `a` was made at 08:00 and is not ready, the API is missing.
pub(crate) fn cluster(args: &[&str]) -> Vec<Input> {
    let mut all = healthy(args);
    all.push(listed(pod_of("a", args, "08:00:00", "")));
    all.push(Input::changed(at("08:31:00"), api(false, "08:00:30", "MissingEndpoints")));
    all
}

/// The same with all well since 08:01.
pub(crate) fn healthy(args: &[&str]) -> Vec<Input> {
    [
        node("kal", "192.168.7.10"),
        node("ford", "192.168.7.11"),
        deployment(args, 1),
        replica_set("a"),
        service(),
        api(true, "08:01:00", "Passed"),
        pod_of("a", args, "08:00:00", "08:01:00"),
    ]
    .into_iter()
    .map(listed)
    .collect()
}

pub(crate) fn pod(template: &str) -> ObjectRef {
    ObjectRef::new("Pod", "kube-system", &format!("metrics-server-{template}-x"))
}

/// What 0.5 and later write of one node.
pub(crate) fn failed(clock: &str, template: &str, node: &str, why: &str) -> Input {
    let line = format!(r#""Failed to scrape node" err="{}" node="{node}""#, why.replace('"', "\\\""));
    Input::line(at(clock), &pod(template), "metrics-server", &line)
}

pub(crate) const NO_SAN: &str = r#"Get "https://192.168.7.10:10250/metrics/resource": tls: failed to verify certificate: x509: cannot validate certificate for 192.168.7.10 because it doesn't contain any IP SANs"#;
pub(crate) const NO_SAN_FORD: &str = r#"Get "https://192.168.7.11:10250/metrics/resource": tls: failed to verify certificate: x509: cannot validate certificate for 192.168.7.11 because it doesn't contain any IP SANs"#;
pub(crate) const NO_NAME: &str =
    r#"Get "https://kal:10250/metrics/resource": dial tcp: lookup kal on 10.96.0.10:53: no such host"#;
pub(crate) const NO_NAME_FORD: &str =
    r#"Get "https://ford:10250/metrics/resource": dial tcp: lookup ford on 10.96.0.10:53: no such host"#;

/// Both nodes at once.
pub(crate) fn round(clock: &str, template: &str, kal: &str, ford: &str) -> Vec<Input> {
    vec![failed(clock, template, "kal", kal), failed(clock, template, "ford", ford)]
}

pub(crate) fn unknown(ip: &str) -> String {
    format!(
        r#"Get "https://{ip}:10250/metrics/resource": tls: failed to verify certificate: x509: certificate signed by unknown authority"#
    )
}

/// KubeAggregatedAPIDown as the core hands it on.
pub(crate) fn api_down(clock: &str) -> Input {
    let api = ObjectRef::new("APIService", "", "v1beta1.metrics.k8s.io");
    Input::alert(
        at(clock),
        "KubeAggregatedAPIDown",
        &api,
        &[("name", "v1beta1.metrics.k8s.io"), ("namespace", "default")],
    )
}

pub(crate) fn hpa_failed(clock: &str, message: &str) -> Input {
    let hpa = ObjectRef::new("HorizontalPodAutoscaler", "shop", "web");
    Input::event(at(clock), &hpa, "FailedGetResourceMetric", "Warning", message, 12)
}

pub(crate) const NO_API: &str = "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)";

pub(crate) fn run<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Bench<MetricsServer> {
    Bench::fed(inputs)
}

/// All inputs and what follows within half a minute.
pub(crate) fn settled<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Bench<MetricsServer> {
    let all: Vec<&Input> = inputs.into_iter().collect();
    let last = all.iter().map(|i| i.at()).max().unwrap();
    let mut bench = run(all.iter().copied());
    bench.until(last + 30_000).unwrap();
    bench
}

/// The one diagnosis that stands.
pub(crate) fn only(bench: &Bench<MetricsServer>) -> Diagnosis {
    bench.only()
}
