//! What is watched: the kinds of which the core reads relations or conditions, and Events.

use std::fmt;

use kube::api::ApiResource;

/// A kind of the API, as its group serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Empty for the core group.
    pub group: &'static str,
    /// As in `v1`.
    pub version: &'static str,
    /// As in `Pod`.
    pub kind: &'static str,
    /// As in `pods`: what RBAC rules and paths call it.
    pub plural: &'static str,
}

impl Resource {
    pub(crate) fn api(&self) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            api_version: self.api_version(),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The rule of a ClusterRole that lets kwhy read it, to be pasted under `rules:`.
    #[must_use]
    pub fn rule(&self) -> String {
        format!(
            r#"- {{apiGroups: ["{}"], resources: ["{}"], verbs: ["get", "list", "watch"]}}"#,
            self.group, self.plural
        )
    }

    /// The path under which the API server serves one object, as `kubectl get --raw` takes it.
    pub(crate) fn path(&self, namespace: Option<&str>, name: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let namespace = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
        format!("{root}/{}/{namespace}{}/{name}", self.api_version(), self.plural)
    }

    /// Events say themselves when and about what; all others are objects.
    pub(crate) fn is_event(&self) -> bool {
        self.kind == "Event"
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

const fn resource(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Resource {
    Resource { group, version, kind, plural }
}

/// Each entry is one watch; the first of its alternatives that the API server grants is taken.
pub(crate) const WATCHED: &[&[Resource]] = &[
    // The same objects under two names.
    &[resource("events.k8s.io", "v1", "Event", "events"), resource("", "v1", "Event", "events")],
    &[resource("", "v1", "Pod", "pods")],
    &[resource("", "v1", "Node", "nodes")],
    &[resource("", "v1", "Namespace", "namespaces")],
    &[resource("", "v1", "Service", "services")],
    &[resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")],
    &[resource("", "v1", "ConfigMap", "configmaps")],
    &[resource("", "v1", "Secret", "secrets")],
    &[resource("", "v1", "ServiceAccount", "serviceaccounts")],
    &[resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")],
    &[resource("", "v1", "PersistentVolume", "persistentvolumes")],
    &[resource("storage.k8s.io", "v1", "StorageClass", "storageclasses")],
    &[resource("apps", "v1", "Deployment", "deployments")],
    &[resource("apps", "v1", "ReplicaSet", "replicasets")],
    &[resource("apps", "v1", "StatefulSet", "statefulsets")],
    &[resource("apps", "v1", "DaemonSet", "daemonsets")],
    &[resource("batch", "v1", "Job", "jobs")],
    &[resource("batch", "v1", "CronJob", "cronjobs")],
    &[resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")],
    &[resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")],
    &[resource("networking.k8s.io", "v1", "Ingress", "ingresses")],
    &[resource("apiregistration.k8s.io", "v1", "APIService", "apiservices")],
];

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        Resource as Known,
        api::{
            apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
            autoscaling::v2::HorizontalPodAutoscaler,
            batch::v1::{CronJob, Job},
            core::v1::{
                ConfigMap, Event as CoreEvent, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
                Secret, Service, ServiceAccount,
            },
            discovery::v1::EndpointSlice,
            events::v1::Event,
            networking::v1::Ingress,
            policy::v1::PodDisruptionBudget,
            storage::v1::StorageClass,
        },
        kube_aggregator::pkg::apis::apiregistration::v1::APIService,
    };

    use super::*;

    fn known<K: Known>() -> (&'static str, &'static str, &'static str, &'static str) {
        (K::GROUP, K::VERSION, K::KIND, K::URL_PATH_SEGMENT)
    }

    #[test]
    fn every_kind_is_called_as_the_api_calls_it() {
        let expected = [
            known::<Event>(),
            known::<CoreEvent>(),
            known::<Pod>(),
            known::<Node>(),
            known::<Namespace>(),
            known::<Service>(),
            known::<EndpointSlice>(),
            known::<ConfigMap>(),
            known::<Secret>(),
            known::<ServiceAccount>(),
            known::<PersistentVolumeClaim>(),
            known::<PersistentVolume>(),
            known::<StorageClass>(),
            known::<Deployment>(),
            known::<ReplicaSet>(),
            known::<StatefulSet>(),
            known::<DaemonSet>(),
            known::<Job>(),
            known::<CronJob>(),
            known::<HorizontalPodAutoscaler>(),
            known::<PodDisruptionBudget>(),
            known::<Ingress>(),
            known::<APIService>(),
        ];
        let ours: Vec<_> =
            WATCHED.iter().flat_map(|a| a.iter()).map(|r| (r.group, r.version, r.kind, r.plural)).collect();
        assert_eq!(ours, expected);
    }

    #[test]
    fn paths_are_those_of_the_api_server() {
        let path = |plural: &str, namespace, name| {
            let all = WATCHED.iter().flat_map(|alternatives| alternatives.iter());
            all.rev().find(|resource| resource.plural == plural).unwrap().path(namespace, name)
        };
        assert_eq!(path("pods", Some("ns"), "p"), "/api/v1/namespaces/ns/pods/p");
        assert_eq!(path("nodes", None, "n"), "/api/v1/nodes/n");
        assert_eq!(path("deployments", Some("ns"), "d"), "/apis/apps/v1/namespaces/ns/deployments/d");
    }
}
