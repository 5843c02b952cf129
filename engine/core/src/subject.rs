//! What a signal is about. An alert's labels name the exporter as often as the culprit: candidates from the labels are
//! checked against the graph, and what only names the target that was scraped counts last.

use kwhy_proto::v1::{Alert, ObjectRef, Signal, signal::Body};

use crate::{graph::Graph, key::Key, object::text, relation};

/// Labels that name an object of a kind, the most telling first. kube-state-metrics puts them beside its own pod,
/// instance and service.
const KINDS: [(&str, &str); 16] = [
    ("deployment", "Deployment"),
    ("statefulset", "StatefulSet"),
    ("daemonset", "DaemonSet"),
    ("job_name", "Job"),
    ("cronjob", "CronJob"),
    ("horizontalpodautoscaler", "HorizontalPodAutoscaler"),
    ("hpa", "HorizontalPodAutoscaler"),
    ("poddisruptionbudget", "PodDisruptionBudget"),
    ("persistentvolumeclaim", "PersistentVolumeClaim"),
    ("persistentvolume", "PersistentVolume"),
    ("replicaset", "ReplicaSet"),
    ("resourcequota", "ResourceQuota"),
    ("ingress", "Ingress"),
    ("configmap", "ConfigMap"),
    ("secret", "Secret"),
    ("storageclass", "StorageClass"),
];

/// The subject of any signal, as a key of the graph where it names one.
pub(crate) fn of_signal(graph: &Graph, cluster: &str, signal: &Signal) -> Option<ObjectRef> {
    match &signal.body {
        Some(Body::Alert(alert)) => Some(of_alert(graph, cluster, &signal.name, alert)),
        _ => signal.subject.clone(),
    }
}

/// The object an alert is about; the cluster itself where its labels name nothing.
pub(crate) fn of_alert(graph: &Graph, cluster: &str, name: &str, alert: &Alert) -> ObjectRef {
    let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
    // Without honorLabels Prometheus keeps the exporter's labels and renames the subject's own.
    let own = |name: &str| match label(&format!("exported_{name}")) {
        "" => label(name),
        exported => exported,
    };
    let renamed = !label("exported_namespace").is_empty() || !label("exported_pod").is_empty();
    let namespace = own("namespace");
    let known = |key: &Key| graph.get(key).map(|o| o.to_ref());
    let first = |candidates: &[Key]| candidates.iter().find_map(known);

    let mut named: Vec<Key> = Vec::new();
    for (label_name, kind) in KINDS {
        let value = own(label_name);
        if !value.is_empty() {
            let scope = if crate::object::cluster_scoped(kind) { "" } else { namespace };
            named.push(Key::new(kind, scope, value));
        }
    }
    if name.contains("AggregatedAPI") && !label("name").is_empty() {
        // The label is `v1beta1.metrics.k8s.io` or, in old rules, beside a namespace that is the API server's.
        named.insert(0, Key::new("APIService", "", label("name")));
    }
    if let Some(found) = first(&named) {
        return found;
    }
    let pod = Key::new("Pod", namespace, own("pod"));
    let node = Key::new("Node", "", own("node"));
    let scraped = !renamed && is_scrape_target(graph, &pod, label("service"), label("namespace"));
    let order = if scraped { [&node, &pod] } else { [&pod, &node] };
    for candidate in order.into_iter().filter(|k| !k.name.is_empty()) {
        if let Some(found) = known(candidate) {
            return found;
        }
    }
    if let Some(found) = named.first().or(Some(&pod).filter(|k| !k.name.is_empty())) {
        return found.to_ref();
    }
    if !node.name.is_empty() {
        return node.to_ref();
    }
    if let Some(found) = by_instance(graph, label("instance")) {
        return found;
    }
    let scope = label("namespace");
    let job = label("job").rsplit('/').next().unwrap_or("");
    let mut around = Vec::new();
    for name in [label("service"), label("endpoint"), job] {
        if !name.is_empty() {
            around.extend(
                ["Service", "DaemonSet", "Deployment", "StatefulSet"].map(|k| Key::new(k, scope, name)),
            );
        }
    }
    if let Some(found) = first(&around) {
        return found;
    }
    // A job often carries only the component's name: `kube-proxy` without a namespace.
    if !job.is_empty() {
        for kind in ["DaemonSet", "Deployment", "StatefulSet", "Service"] {
            if let Some(found) = graph.of_kind(kind, scope).find(|o| o.key.name == job) {
                return found.to_ref();
            }
        }
    }
    if !label("service").is_empty() && !scope.is_empty() {
        return Key::new("Service", scope, label("service")).to_ref();
    }
    if !namespace.is_empty() {
        return Key::new("Namespace", "", namespace).to_ref();
    }
    Key::new("Cluster", "", cluster).to_ref()
}

/// Whether the pod is the one that Prometheus scraped: the Service of the alert selects it. What such an alert tells
/// came from the pod and is seldom about it.
fn is_scrape_target(graph: &Graph, pod: &Key, service: &str, namespace: &str) -> bool {
    let Some(object) = graph.get(pod) else { return false };
    let service = graph.get(&Key::new("Service", namespace, service));
    service.and_then(|s| relation::selector(s)).is_some_and(|labels| relation::selects(labels, object))
}

/// The pod or node behind `address:port`. Pods of the host network share their node's address, so the node is meant.
fn by_instance(graph: &Graph, instance: &str) -> Option<ObjectRef> {
    let address = instance.rsplit_once(':').map_or(instance, |(host, _)| host).trim_matches(['[', ']']);
    if address.is_empty() {
        return None;
    }
    let has = |o: &&std::sync::Arc<crate::object::Object>| {
        o.list("/status/addresses").iter().any(|a| text(a.get("address")) == address) || o.key.name == address
    };
    let node = graph.of_kind("Node", "").find(has);
    let pod = || graph.of_kind("Pod", "").find(|o| o.str("/status/podIP") == address && o.deleted.is_none());
    node.or_else(pod).map(|o| o.to_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use serde_json::{Value, json};

    fn graph() -> Graph {
        let mut graph = Graph::default();
        let mut put = |kind: &str, namespace: &str, name: &str, json: Value| {
            let key = Key::new(kind, namespace, name);
            graph.put(Object {
                key,
                uid: format!("uid-{name}"),
                resource_version: "1".into(),
                json,
                deleted: None,
            });
        };
        put("Deployment", "shop", "web", json!({}));
        put("Pod", "shop", "web-1", json!({"status": {"podIP": "10.0.0.9"}}));
        put("Pod", "mon", "ksm-1", json!({"metadata": {"labels": {"app": "ksm"}}}));
        put("Service", "mon", "ksm", json!({"spec": {"selector": {"app": "ksm"}}}));
        put("Node", "", "n1", json!({"status": {"addresses": [{"address": "192.168.0.5"}]}}));
        put("DaemonSet", "kube-system", "kube-proxy", json!({}));
        put("APIService", "", "v1beta1.metrics.k8s.io", json!({}));
        graph
    }

    fn subject(name: &str, labels: &[(&str, &str)]) -> String {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = of_alert(&graph(), "lab", name, &Alert { labels, ..Alert::default() });
        Key::from(&found).to_string()
    }

    #[test]
    fn a_workload_label_counts_before_the_exporters_pod_instance_and_service() {
        let exporter =
            [("namespace", "shop"), ("pod", "ksm-1"), ("service", "ksm"), ("job", "kube-state-metrics")];
        let mut labels = exporter.to_vec();
        labels.push(("deployment", "web"));
        assert_eq!(subject("KubeDeploymentReplicasMismatch", &labels), "Deployment shop/web");
    }

    #[test]
    fn the_pod_of_a_crash_alert_is_its_subject_although_kube_state_metrics_tells_it() {
        let labels =
            [("namespace", "shop"), ("pod", "web-1"), ("service", "ksm"), ("job", "kube-state-metrics")];
        assert_eq!(subject("KubePodCrashLooping", &labels), "Pod shop/web-1");
    }

    #[test]
    fn without_honoured_labels_the_exported_ones_name_the_subject() {
        let labels = [
            ("namespace", "mon"),
            ("pod", "ksm-1"),
            ("exported_namespace", "shop"),
            ("exported_pod", "web-1"),
            ("service", "ksm"),
        ];
        assert_eq!(subject("KubePodCrashLooping", &labels), "Pod shop/web-1");
    }

    #[test]
    fn a_node_is_meant_where_the_pod_is_only_who_was_scraped() {
        let labels = [("namespace", "mon"), ("pod", "ksm-1"), ("service", "ksm"), ("node", "n1")];
        assert_eq!(subject("KubeNodeNotReady", &labels), "Node n1");
        let labels = [("namespace", "shop"), ("pod", "web-1"), ("service", "kubelet"), ("node", "n1")];
        assert_eq!(
            subject("CPUThrottlingHigh", &labels),
            "Pod shop/web-1",
            "the kubelet tells of a pod on its node"
        );
    }

    #[test]
    fn an_address_a_job_or_a_namespace_is_better_than_nothing() {
        assert_eq!(subject("X", &[("instance", "10.0.0.9:8080")]), "Pod shop/web-1");
        assert_eq!(subject("X", &[("instance", "192.168.0.5:10250"), ("job", "kubelet")]), "Node n1");
        assert_eq!(subject("KubeProxyDown", &[("job", "kube-proxy")]), "DaemonSet kube-system/kube-proxy");
        assert_eq!(
            subject("KubeAggregatedAPIDown", &[("name", "v1beta1.metrics.k8s.io"), ("namespace", "default")]),
            "APIService v1beta1.metrics.k8s.io"
        );
        assert_eq!(subject("X", &[("namespace", "shop")]), "Namespace shop");
        assert_eq!(subject("X", &[("severity", "info")]), "Cluster lab");
    }
}
