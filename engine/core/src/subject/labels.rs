//! What an alert's labels say, whichever way they came about.
//!
//! Prometheus gives every target labels of its own (`namespace`, `pod`, `service`, `instance`, `job`) and the metric
//! brings others, by the same names where it tells of Kubernetes objects. With `honor_labels` the metric's win;
//! without, they are renamed to `exported_…`. Set-ups that scrape by annotations call the target's
//! `kubernetes_namespace`, `kubernetes_pod_name` and so on, and the metric's stay what they are.
//!
//! Alerts of other makes come through Alertmanager, too: Datadog's tags are called `kube_deployment`, `kube_namespace` and
//! so on, the resource attributes of OpenTelemetry `k8s_deployment_name`, `k8s_namespace_name`.

use std::collections::BTreeMap;

use crate::{key::Key, object::cluster_scoped};

/// Labels that name an object of a kind, the most telling first. None of them is ever a target's own.
const KINDS: [(&str, &str); 30] = [
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
    ("replicationcontroller", "ReplicationController"),
    ("resourcequota", "ResourceQuota"),
    ("ingress", "Ingress"),
    ("networkpolicy", "NetworkPolicy"),
    ("configmap", "ConfigMap"),
    ("secret", "Secret"),
    ("storageclass", "StorageClass"),
    ("volumeattachment", "VolumeAttachment"),
    ("kube_deployment", "Deployment"),
    ("kube_stateful_set", "StatefulSet"),
    ("kube_daemon_set", "DaemonSet"),
    ("kube_cronjob", "CronJob"),
    ("kube_job", "Job"),
    ("kube_replica_set", "ReplicaSet"),
    ("k8s_deployment_name", "Deployment"),
    ("k8s_statefulset_name", "StatefulSet"),
    ("k8s_daemonset_name", "DaemonSet"),
    ("k8s_cronjob_name", "CronJob"),
    ("k8s_job_name", "Job"),
];

/// Kinds that the label `workload_type` of the mixin's recording rules names in small letters.
const WORKLOADS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet"];

/// The labels of one alert. Every reader gives an empty string where there is nothing.
pub(super) struct Labels<'a>(pub(super) &'a BTreeMap<String, String>);

impl<'a> Labels<'a> {
    pub(super) fn get(&self, name: &str) -> &'a str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn first(&self, names: &[&str]) -> &'a str {
        names.iter().map(|n| self.get(n)).find(|v| !v.is_empty()).unwrap_or("")
    }

    /// The namespace of what the alert is about.
    pub(super) fn namespace(&self) -> &'a str {
        self.first(&[
            "exported_namespace",
            "namespace",
            "kubernetes_namespace",
            "kube_namespace",
            "k8s_namespace_name",
        ])
    }

    /// A pod that may be what the alert is about. Kubelets before 1.16 said `pod_name`.
    pub(super) fn pod(&self) -> &'a str {
        self.first(&["exported_pod", "pod", "pod_name", "kube_pod", "k8s_pod_name"])
    }

    /// A node that may be what the alert is about.
    pub(super) fn node(&self) -> &'a str {
        self.first(&[
            "exported_node",
            "node",
            "kubernetes_node",
            "kubernetes_io_hostname",
            "kube_node",
            "k8s_node_name",
        ])
    }

    /// A Service that may be what the alert is about.
    pub(super) fn service(&self) -> &'a str {
        self.first(&["exported_service", "service", "kubernetes_name", "kube_service"])
    }

    /// The pod that was scraped, where the labels name one for sure.
    pub(super) fn target_for_sure(&self) -> Option<Key> {
        // Only what the target has, too, is renamed.
        let plain = if self.get("exported_pod").is_empty() { "" } else { self.get("pod") };
        let name =
            if plain.is_empty() { self.first(&["kubernetes_pod_name", "kubernetes_pod"]) } else { plain };
        (!name.is_empty()).then(|| Key::new("Pod", self.target_namespace(), name))
    }

    /// The namespace of what was scraped, as far as honoured labels leave it visible.
    pub(super) fn target_namespace(&self) -> &'a str {
        let renamed = !self.get("exported_namespace").is_empty();
        if renamed { self.get("namespace") } else { self.first(&["kubernetes_namespace", "namespace"]) }
    }

    /// The Service through which it was scraped.
    pub(super) fn target_service(&self) -> &'a str {
        self.first(&["service", "kubernetes_name"])
    }

    /// The job without the namespace that a PodMonitor puts before it.
    pub(super) fn job(&self) -> &'a str {
        self.get("job").rsplit('/').next().unwrap_or("")
    }

    /// Whether what was scraped is of that make, by the name of the job or else of the Service. Exporters are told
    /// apart by nothing else when the graph does not know their pods.
    pub(super) fn told_by(&self, make: &str) -> bool {
        let by = match self.get("job") {
            "" => self.target_service(),
            job => job,
        };
        by.replace('_', "-").contains(make)
    }

    /// Objects that labels name outright, the most telling first.
    pub(super) fn objects(&self) -> Vec<Key> {
        let key = |kind: &str, name: &str| {
            Key::new(kind, if cluster_scoped(kind) { "" } else { self.namespace() }, name)
        };
        let mut named = Vec::new();
        // Whatever a set-up makes kube-state-metrics tell of custom resources.
        let custom = self.first(&["customresource_kind", "exported_kind"]);
        if !custom.is_empty() && !self.get("name").is_empty() {
            named.push(key(custom, self.get("name")));
        }
        if is_api_service(self.get("name")) {
            named.push(Key::new("APIService", "", self.get("name")));
        }
        for (label, kind) in KINDS {
            let name = self.first(&[&format!("exported_{label}"), label]);
            if !name.is_empty() {
                named.push(key(kind, name));
            }
        }
        let workload = WORKLOADS.iter().find(|k| k.eq_ignore_ascii_case(self.get("workload_type")));
        let name = self.first(&["workload", "workload_name"]);
        if let Some(kind) = workload.filter(|_| !name.is_empty()) {
            named.push(key(kind, name));
        }
        named
    }
}

/// Whether a name is one of an APIService: version, dot, group.
fn is_api_service(name: &str) -> bool {
    let Some((version, group)) = name.split_once('.') else { return false };
    let Some(number) = version.strip_prefix('v') else { return false };
    number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || "alphbet".contains(c))
        && !group.is_empty()
}

/// The host of `host:port`, `[host]:port` or a URL.
pub(super) fn host(instance: &str) -> &str {
    let rest = instance.split_once("://").map_or(instance, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or("");
    if let Some(inside) = rest.strip_prefix('[') {
        return inside.split(']').next().unwrap_or("");
    }
    match rest.split_once(':') {
        // More than one colon without brackets is an IPv6 address.
        Some((host, port)) if !port.contains(':') => host,
        _ => rest,
    }
}

/// The port of an instance, where it has one.
pub(super) fn port(instance: &str) -> Option<i64> {
    let rest = instance.split_once("://").map_or(instance, |(_, rest)| rest);
    rest.split('/').next()?.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_read_from_addresses_names_and_urls() {
        for (instance, expected) in [
            ("10.0.0.9:8080", "10.0.0.9"),
            ("n1", "n1"),
            ("n1.example:9100", "n1.example"),
            ("[fd00::1]:9100", "fd00::1"),
            ("fd00::1", "fd00::1"),
            ("http://10.0.0.9:8080/metrics", "10.0.0.9"),
            ("", ""),
        ] {
            assert_eq!(host(instance), expected, "{instance}");
        }
        assert_eq!(port("10.0.0.9:8080"), Some(8080));
        assert_eq!(port("n1"), None);
    }

    #[test]
    fn an_api_service_is_known_by_its_name() {
        for name in ["v1beta1.metrics.k8s.io", "v1.apps", "v2alpha1.example.com"] {
            assert!(is_api_service(name), "{name}");
        }
        for name in ["docker.service", "v1", "valve.example", "v1.", "systemd-timesyncd.service"] {
            assert!(!is_api_service(name), "{name}");
        }
    }
}
