//! What a signal is about. An alert's labels name the exporter as often as the culprit: candidates from the labels are
//! checked against the graph, and what only names the target that was scraped counts last.
//!
//! Three makes of exporter are told apart: kube-state-metrics and the kubelet tell of other objects, the node exporter
//! of the host that it runs on, everything else of itself.

mod labels;
mod target;

use kwhy_proto::v1::{Alert, ObjectRef};

use crate::{graph::Graph, key::Key};

use labels::Labels;

/// The object an alert is about; the cluster itself where its labels name nothing.
pub(crate) fn of_alert(graph: &Graph, cluster: &str, alert: &Alert) -> ObjectRef {
    let labels = &Labels(&alert.labels);
    let key = named(graph, labels)
        .or_else(|| by_place(graph, labels))
        .or_else(|| {
            let namespace = labels.namespace();
            (!namespace.is_empty()).then(|| Key::new("Namespace", "", namespace))
        })
        .unwrap_or_else(|| Key::new("Cluster", "", cluster));
    graph.to_ref(&key)
}

/// What labels name: an object of a kind, a pod, a node.
fn named(graph: &Graph, labels: &Labels<'_>) -> Option<Key> {
    let objects = labels.objects();
    if let Some(found) = objects.iter().find_map(|key| known(graph, key)) {
        return Some(found);
    }
    let target = target::pod(graph, labels);
    let pod = Some(labels.pod()).filter(|name| !name.is_empty());
    // A label that repeats the name of what was scraped says nothing of the subject.
    let pod = pod.filter(|name| target.as_ref().is_none_or(|t| t.name != *name));
    let pod = pod.filter(|_| !labels.told_by(NODE_EXPORTER));
    let pod = pod.map(|name| Key::new("Pod", labels.namespace(), name));
    if let Some(found) = pod.as_ref().and_then(|key| known(graph, key)) {
        return Some(found);
    }
    // What the graph does not hold is named all the same: not every kind is collected.
    if let Some(found) = objects.into_iter().next().or(pod) {
        return Some(found);
    }
    if let Some(node) = node(graph, labels, target.as_ref()) {
        return Some(node);
    }
    scraped(graph, labels, target?)
}

/// The node that is meant. A target may carry the name of the node it runs on, which then is not what it tells of.
fn node(graph: &Graph, labels: &Labels<'_>, target: Option<&Key>) -> Option<Key> {
    let named = Some(labels.node()).filter(|name| !name.is_empty());
    let object = target.and_then(|key| graph.get(key));
    let runs_on = object.map_or("", |o| o.str("/spec/nodeName"));
    let on_host = labels.told_by(NODE_EXPORTER) || object.is_some_and(|o| target::measures_its_host(o));
    if on_host {
        let at = || target::node_at(graph, labels.get("instance")).map(|o| o.key.name.clone());
        let name = Some(runs_on.to_owned()).filter(|n| !n.is_empty()).or_else(at);
        return name.or_else(|| named.map(str::to_owned)).map(|name| Key::new("Node", "", &name));
    }
    let own = named.is_some_and(|name| target.is_some() && object.is_none_or(|_| runs_on == name));
    // kube-state-metrics tells of its own node as of any other, unless it tells of a namespace.
    let of_namespace = |t: &Key| !["", &t.namespace].contains(&labels.namespace());
    let meant = |t: &Key| labels.told_by(STATE_METRICS) && !of_namespace(t);
    named.filter(|_| !own || target.is_some_and(meant)).map(|name| Key::new("Node", "", name))
}

/// What an alert is about that names only what was scraped: this, unless it told of a namespace that is not its own.
fn scraped(graph: &Graph, labels: &Labels<'_>, target: Key) -> Option<Key> {
    let namespace = labels.namespace();
    let told = labels.told_by(STATE_METRICS) && labels.pod().is_empty() && labels.service().is_empty();
    if !namespace.is_empty() && (target.namespace != namespace || told) {
        return known(graph, &Key::new("Service", namespace, labels.service()))
            .or_else(|| Some(Key::new("Namespace", "", namespace)));
    }
    Some(target)
}

/// What stands where was scraped: behind an address, a Service or a job.
fn by_place(graph: &Graph, labels: &Labels<'_>) -> Option<Key> {
    let (job, namespace) = (labels.job(), labels.namespace());
    if let Some(node) = target::node_at(graph, labels.get("instance")) {
        let component = target::on_host(graph, &node.key.name, job);
        return component.or_else(|| Some(node.key.clone()));
    }
    let service = Key::new("Service", namespace, labels.service());
    known(graph, &service)
        .or_else(|| target::behind_job(graph, namespace, job))
        .or_else(|| Some(service).filter(|key| !key.name.is_empty() && !namespace.is_empty()))
}

/// The object where the graph holds it. Where labels leave the namespace out, the only one of that name.
fn known(graph: &Graph, key: &Key) -> Option<Key> {
    if graph.get(key).is_some() {
        return Some(key.clone());
    }
    if !key.namespace.is_empty() || crate::object::cluster_scoped(&key.kind) || key.name.is_empty() {
        return None;
    }
    let mut all = graph.of_kind(&key.kind, "").filter(|o| o.key.name == key.name && o.deleted.is_none());
    let only = all.next()?;
    all.next().is_none().then(|| only.key.clone())
}

/// How exporters of these makes are called by every chart and manifest.
const STATE_METRICS: &str = "state-metrics";
const NODE_EXPORTER: &str = "node-exporter";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use serde_json::{Value, json};

    fn graph() -> Graph {
        let mut graph = Graph::default();
        let mut put = |kind: &str, namespace: &str, name: &str, json: Value| {
            let key = Key::new(kind, namespace, name);
            graph.put(Object::new(key, "1", json.into(), None));
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

    fn subject(labels: &[(&str, &str)]) -> String {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let subject = of_alert(&graph(), "lab", &Alert { labels, ..Alert::default() });
        Key::from(&subject).to_string()
    }

    #[test]
    fn a_workload_label_counts_before_the_exporters_pod_instance_and_service() {
        let exporter =
            [("namespace", "shop"), ("pod", "ksm-1"), ("service", "ksm"), ("job", "kube-state-metrics")];
        let mut labels = exporter.to_vec();
        labels.push(("deployment", "web"));
        assert_eq!(subject(&labels), "Deployment shop/web");
    }

    #[test]
    fn the_pod_of_a_crash_alert_is_its_subject_although_kube_state_metrics_tells_it() {
        let labels =
            [("namespace", "shop"), ("pod", "web-1"), ("service", "ksm"), ("job", "kube-state-metrics")];
        assert_eq!(subject(&labels), "Pod shop/web-1");
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
        assert_eq!(subject(&labels), "Pod shop/web-1");
    }

    #[test]
    fn a_node_is_meant_where_the_pod_is_only_who_was_scraped() {
        let labels = [("namespace", "mon"), ("pod", "ksm-1"), ("service", "ksm"), ("node", "n1")];
        assert_eq!(subject(&labels), "Node n1");
        let labels = [("namespace", "shop"), ("pod", "web-1"), ("service", "kubelet"), ("node", "n1")];
        assert_eq!(subject(&labels), "Pod shop/web-1", "the kubelet tells of a pod on its node");
    }

    #[test]
    fn an_address_a_job_or_a_namespace_is_better_than_nothing() {
        assert_eq!(subject(&[("instance", "10.0.0.9:8080")]), "Pod shop/web-1");
        assert_eq!(subject(&[("instance", "192.168.0.5:10250"), ("job", "kubelet")]), "Node n1");
        assert_eq!(subject(&[("job", "kube-proxy")]), "DaemonSet kube-system/kube-proxy");
        assert_eq!(
            subject(&[("name", "v1beta1.metrics.k8s.io"), ("namespace", "default")]),
            "APIService v1beta1.metrics.k8s.io"
        );
        assert_eq!(subject(&[("namespace", "shop")]), "Namespace shop");
        assert_eq!(subject(&[("severity", "info")]), "Cluster lab");
    }
}
