//! Which kinds are served, and what they are called in paths.

use serde_json::{Value, json};

/// API groups of the kinds that are not in `v1`.
const GROUPS: &[(&str, &[&str])] = &[
    ("apps/v1", &["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"]),
    ("batch/v1", &["Job", "CronJob"]),
    ("autoscaling/v2", &["HorizontalPodAutoscaler"]),
    ("policy/v1", &["PodDisruptionBudget"]),
    ("networking.k8s.io/v1", &["Ingress", "IngressClass", "NetworkPolicy"]),
    ("discovery.k8s.io/v1", &["EndpointSlice"]),
    ("storage.k8s.io/v1", &["StorageClass", "CSINode", "VolumeAttachment"]),
    ("coordination.k8s.io/v1", &["Lease"]),
    ("apiregistration.k8s.io/v1", &["APIService"]),
    ("admissionregistration.k8s.io/v1", &["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"]),
    // Custom resources.
    ("argoproj.io/v1alpha1", &["Rollout"]),
    ("monitoring.coreos.com/v1", &["Alertmanager", "Prometheus"]),
];

const CORE: &[&str] = &[
    "Pod",
    "Node",
    "Namespace",
    "Service",
    "Endpoints",
    "ConfigMap",
    "Secret",
    "ServiceAccount",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "ResourceQuota",
    "LimitRange",
    "Event",
];

/// The path of a whole cluster's objects for one of a namespace's, and the namespace.
pub(super) fn of_cluster(path: &str) -> (String, Option<String>) {
    let inside = path.split_once("/namespaces/").and_then(|(root, rest)| Some((root, rest.split_once('/')?)));
    match inside {
        Some((root, (namespace, plural))) => (format!("{root}/{plural}"), Some(namespace.to_owned())),
        None => (path.to_owned(), None),
    }
}

/// A kind that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) api_version: &'static str,
    pub(super) name: &'static str,
}

impl Kind {
    pub(super) fn all() -> impl Iterator<Item = Kind> {
        let core = CORE.iter().map(|name| Kind { api_version: "v1", name });
        let groups = GROUPS
            .iter()
            .flat_map(|(api_version, names)| names.iter().map(move |name| Kind { api_version, name }));
        core.chain(groups)
    }

    pub(super) fn named(name: &str) -> Option<Kind> {
        Kind::all().find(|kind| kind.name == name)
    }

    /// As paths call it.
    pub(super) fn plural(self) -> String {
        let name = self.name.to_ascii_lowercase();
        if name == "endpoints" {
            name
        } else if let Some(stem) = name.strip_suffix('y') {
            format!("{stem}ies")
        } else if name.ends_with('s') {
            format!("{name}es")
        } else {
            format!("{name}s")
        }
    }

    /// The path of all its objects.
    pub(super) fn path(self) -> String {
        let root = if self.api_version.contains('/') { "apis" } else { "api" };
        format!("/{root}/{}/{}", self.api_version, self.plural())
    }

    /// Whether the API server keeps a watch cache for it.
    pub(super) fn cached(self) -> bool {
        self.name != "Event"
    }
}

/// Events in the spelling of events.k8s.io/v1.
pub(super) const NEW_EVENTS: &str = "/apis/events.k8s.io/v1/events";

/// A stored Event of core/v1 as events.k8s.io/v1 shows it.
pub(super) fn new_event(event: &Value) -> Value {
    let mut out = event.clone();
    let Some(fields) = out.as_object_mut() else { return out };
    fields.insert("apiVersion".to_owned(), "events.k8s.io/v1".into());
    for (old, new) in [
        ("involvedObject", "regarding"),
        ("message", "note"),
        ("reportingComponent", "reportingController"),
        ("source", "deprecatedSource"),
        ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"),
        ("count", "deprecatedCount"),
    ] {
        if let Some(value) = fields.remove(old) {
            fields.insert(new.to_owned(), value);
        }
    }
    // A time that is not set is written as null.
    fields.entry("eventTime").or_insert(Value::Null);
    out
}

/// What a group serves.
pub(super) fn discovery(api_version: &str) -> Option<Value> {
    let resources: Vec<Value> = Kind::all()
        .filter(|kind| kind.api_version == api_version)
        .map(|kind| {
            json!({"name": kind.plural(), "singularName": "", "namespaced": true, "kind": kind.name,
                "verbs": ["get", "list", "watch"]})
        })
        .collect();
    (!resources.is_empty()).then(|| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources})
    })
}
