//! What Prometheus scraped: the pod or node behind `instance`, the members of a `job`.

use std::sync::Arc;

use crate::{
    graph::Graph,
    json::Json,
    key::Key,
    object::{Object, items, text},
    relation,
};

use super::labels::{Labels, host, port};

/// Labels by which the manifests of the control plane and the charts name a component.
const COMPONENT: [&str; 6] =
    ["component", "k8s-app", "app.kubernetes.io/name", "app", "jobLabel", "app.kubernetes.io/component"];

/// The pod that was scraped, where labels and graph tell. Honoured labels may hide its namespace, so it is looked for
/// elsewhere, too; and a pod may be named that is the subject and was never scraped.
pub(super) fn pod(graph: &Graph, labels: &Labels<'_>) -> Option<Key> {
    if let Some(sure) = labels.target_for_sure() {
        return Some(sure);
    }
    let name = labels.pod();
    if name.is_empty() {
        return pod_at(graph, labels.get("instance")).map(|o| o.key.clone());
    }
    let here = Key::new("Pod", labels.target_namespace(), name);
    if let Some(object) = graph.get(&here) {
        return answers(graph, labels, object).then_some(here);
    }
    let mut elsewhere = graph.of_kind("Pod", "").filter(|o| o.key.name == name);
    if let Some(object) = elsewhere.find(|o| answers(graph, labels, o)) {
        return Some(object.key.clone());
    }
    // Unknown to the graph: the pods of an exporter are called as its Service.
    let service = labels.target_service();
    let named_alike = !service.is_empty() && name.strip_prefix(service).is_some_and(|r| r.starts_with('-'));
    named_alike.then_some(here)
}

/// Whether the labels of the target fit the pod: its Service selects it, or it listens where was scraped.
fn answers(graph: &Graph, labels: &Labels<'_>, pod: &Object) -> bool {
    let service = graph.get(&Key::new("Service", &pod.key.namespace, labels.target_service()));
    if let Some(service) = service {
        return relation::selector(service).is_some_and(|selector| relation::selects(selector, pod));
    }
    let instance = labels.get("instance");
    let at_its_address = !host(instance).is_empty() && has_ip(pod, host(instance));
    // Everything of the host network has the same address, also the kubelet that tells of the pod.
    at_its_address
        && (!on_host_network(pod) || port(instance).is_some_and(|port| ports(pod).any(|p| p == port)))
}

fn ports(pod: &Object) -> impl Iterator<Item = i64> {
    let containers = pod.list("/spec/containers").iter().flat_map(|c| items(c.get("ports")));
    containers.filter_map(|p| p.get("containerPort")?.as_i64())
}

fn has_ip(pod: &Object, address: &str) -> bool {
    pod.str("/status/podIP") == address
        || pod.list("/status/podIPs").iter().any(|ip| text(ip.get("ip")) == address)
}

fn on_host_network(pod: &Object) -> bool {
    pod.at("/spec/hostNetwork").and_then(Json::as_bool).unwrap_or(false)
}

/// The pod of its own network behind `address:port`. Addresses are used again: one that stands and runs comes first.
fn pod_at<'a>(graph: &'a Graph, instance: &str) -> Option<&'a Arc<Object>> {
    let address = host(instance);
    if address.is_empty() {
        return None;
    }
    let over = |o: &Object| matches!(o.str("/status/phase"), "Succeeded" | "Failed");
    let all = graph.of_kind("Pod", "").filter(|o| has_ip(o, address) && !on_host_network(o) && !over(o));
    newest(all)
}

/// The node at an address, or of that name.
pub(super) fn node_at<'a>(graph: &'a Graph, instance: &str) -> Option<&'a Arc<Object>> {
    let address = host(instance);
    if address.is_empty() {
        return None;
    }
    newest(graph.of_kind("Node", "").filter(|o| {
        o.key.name == address || o.list("/status/addresses").iter().any(|a| text(a.get("address")) == address)
    }))
}

/// One that stands, else the one that was there last.
fn newest<'a>(all: impl Iterator<Item = &'a Arc<Object>>) -> Option<&'a Arc<Object>> {
    let mut best: Option<&Arc<Object>> = None;
    for object in all {
        let later = |o: &Arc<Object>| o.deleted.unwrap_or(u64::MAX);
        if best.is_none_or(|known| later(object) > later(known)) {
            best = Some(object);
        }
    }
    best
}

/// Whether the pod measures its host: it looks into the host's `/sys` and its processes or whole file system.
pub(super) fn measures_its_host(pod: &Object) -> bool {
    let mounts = |path: &str| {
        let volumes = pod.list("/spec/volumes").iter();
        volumes.filter_map(|v| v.pointer("/hostPath/path")).any(|p| p.as_str() == Some(path))
    };
    mounts("/sys") && (mounts("/proc") || mounts("/"))
}

/// The pod of a component among those of the host network on a node: kube-scheduler, etcd, kube-proxy.
pub(super) fn on_host(graph: &Graph, node: &str, job: &str) -> Option<Key> {
    let all = graph.of_kind("Pod", "").filter(|o| {
        o.deleted.is_none() && o.str("/spec/nodeName") == node && on_host_network(o) && is_component(o, job)
    });
    all.map(|o| o.key.clone()).next()
}

fn is_component(object: &Object, job: &str) -> bool {
    let labels = object.labels();
    let is = |value: &str| {
        value == job || value.strip_prefix("kube-") == Some(job) || job.strip_prefix("kube-") == Some(value)
    };
    !job.is_empty() && COMPONENT.iter().any(|label| labels.get(label).copied().is_some_and(is))
}

/// What stands behind a job: what is called so, else what is labelled so, as a job's name comes from a label of the
/// Service, else its pods. An empty scope means all namespaces.
pub(super) fn behind_job(graph: &Graph, scope: &str, job: &str) -> Option<Key> {
    if job.is_empty() {
        return None;
    }
    let live = |kind: &'static str| graph.of_kind(kind, scope).filter(|o| o.deleted.is_none());
    // In a namespace the job is that of a Service; alone it mostly is the name of a component.
    let kinds = if scope.is_empty() {
        ["DaemonSet", "Deployment", "StatefulSet", "Service"]
    } else {
        ["Service", "DaemonSet", "Deployment", "StatefulSet"]
    };
    let called = kinds.iter().find_map(|kind| live(kind).find(|o| o.key.name == job));
    let labelled = || live("Service").find(|o| is_component(o, job));
    let object = called.or_else(labelled).or_else(|| live("Pod").find(|o| is_component(o, job)))?;
    Some(graph.top(&object.key))
}
