//! What is watched: Events, and the kinds of which the core reads relations or conditions.

use std::{borrow::Cow, fmt};

use kube::api::{ListParams, Request, WatchParams};

/// A kind of the API, as its group serves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Empty for the core group.
    pub group: Cow<'static, str>,
    /// As in `v1`.
    pub version: Cow<'static, str>,
    /// As in `Pod`.
    pub kind: Cow<'static, str>,
    /// As in `pods`: what RBAC rules and paths call it.
    pub plural: Cow<'static, str>,
    /// Whether its objects are asked for without spec and status.
    pub metadata_only: bool,
}

impl Resource {
    /// As in `apps/v1`; `v1` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone().into_owned()
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

    /// The path of all its objects.
    fn root(&self) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        format!("{root}/{}/{}", self.api_version(), self.plural)
    }

    /// The path under which the API server serves one object, as `kubectl get --raw` takes it.
    pub(crate) fn path(&self, namespace: &str, name: &str) -> String {
        if namespace.is_empty() {
            return format!("{}/{name}", self.root());
        }
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        format!("{root}/{}/namespaces/{namespace}/{}/{name}", self.api_version(), self.plural)
    }

    /// The request for a page of its objects.
    pub(crate) fn list(&self, after: Option<&str>) -> Result<Ask, kube::Error> {
        let mut page = ListParams::default().limit(self.page());
        page.continue_token = after.map(str::to_owned);
        page.field_selector = self.fields().map(str::to_owned);
        let request = Request::new(self.root());
        let ask = if self.metadata_only { request.list_metadata(&page) } else { request.list(&page) };
        ask.map_err(kube::Error::BuildRequest)
    }

    /// The request for its changes after a resourceVersion, for so many seconds.
    pub(crate) fn watch(&self, version: &str, seconds: u32) -> Result<Ask, kube::Error> {
        let mut watch = WatchParams::default().timeout(seconds);
        watch.field_selector = self.fields().map(str::to_owned);
        let request = Request::new(self.root());
        let ask = if self.metadata_only {
            request.watch_metadata(&watch, version)
        } else {
            request.watch(&watch, version)
        };
        ask.map_err(kube::Error::BuildRequest)
    }

    /// Events say themselves when and about what; all others are objects.
    pub(crate) fn is_event(&self) -> bool {
        self.kind == "Event"
    }

    /// Objects that come at a time, as one page of them is in memory as text. Those that can hold a megabyte each come
    /// in small pages.
    fn page(&self) -> u32 {
        match &*self.kind {
            "ConfigMap" | "Secret" => 50,
            _ => 500,
        }
    }

    /// Which objects are asked for; all where there is nothing.
    fn fields(&self) -> Option<&'static str> {
        match &*self.kind {
            // Helm keeps every release it ever made in one, up to a megabyte each, and no pod uses them.
            "Secret" => Some("type!=helm.sh/release.v1"),
            // Each node renews one every ten seconds; that it does not is told by the Node.
            "Lease" => Some("metadata.namespace!=kube-node-lease"),
            _ => None,
        }
    }
}

/// A request without a body.
type Ask = http::Request<Vec<u8>>;

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
    Resource {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(kind),
        plural: Cow::Borrowed(plural),
        metadata_only: false,
    }
}

const HOOKS: &str = "admissionregistration.k8s.io";

/// Each entry is one watch; the first of its alternatives that the API server grants is taken. Lists begin in this
/// order: what others hang on comes first, and Events, which speak of all others, last.
pub(crate) const WATCHED: &[&[Resource]] = &[
    &[resource("", "v1", "Node", "nodes")],
    &[resource("", "v1", "Namespace", "namespaces")],
    &[resource("apps", "v1", "Deployment", "deployments")],
    &[resource("apps", "v1", "ReplicaSet", "replicasets")],
    &[resource("apps", "v1", "StatefulSet", "statefulsets")],
    &[resource("apps", "v1", "DaemonSet", "daemonsets")],
    &[resource("batch", "v1", "CronJob", "cronjobs")],
    &[resource("batch", "v1", "Job", "jobs")],
    &[resource("", "v1", "Pod", "pods")],
    &[resource("", "v1", "Service", "services")],
    &[resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")],
    &[resource("", "v1", "ConfigMap", "configmaps")],
    &[resource("", "v1", "Secret", "secrets")],
    &[resource("", "v1", "ServiceAccount", "serviceaccounts")],
    &[resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")],
    &[resource("", "v1", "PersistentVolume", "persistentvolumes")],
    &[resource("storage.k8s.io", "v1", "StorageClass", "storageclasses")],
    &[resource("storage.k8s.io", "v1", "CSINode", "csinodes")],
    &[resource("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments")],
    &[resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")],
    &[resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")],
    &[resource("networking.k8s.io", "v1", "IngressClass", "ingressclasses")],
    &[resource("networking.k8s.io", "v1", "Ingress", "ingresses")],
    &[resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")],
    &[resource("", "v1", "ResourceQuota", "resourcequotas")],
    &[resource("", "v1", "LimitRange", "limitranges")],
    &[resource("coordination.k8s.io", "v1", "Lease", "leases")],
    &[resource("apiregistration.k8s.io", "v1", "APIService", "apiservices")],
    &[resource(HOOKS, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations")],
    &[resource(HOOKS, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations")],
    // The same objects under two names.
    &[resource("events.k8s.io", "v1", "Event", "events"), resource("", "v1", "Event", "events")],
];

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        Resource as Known,
        api::{
            admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
            apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
            autoscaling::v2::HorizontalPodAutoscaler,
            batch::v1::{CronJob, Job},
            coordination::v1::Lease,
            core::v1::{
                ConfigMap, Event as CoreEvent, LimitRange, Namespace, Node, PersistentVolume,
                PersistentVolumeClaim, Pod, ResourceQuota, Secret, Service, ServiceAccount,
            },
            discovery::v1::EndpointSlice,
            events::v1::Event,
            networking::v1::{Ingress, IngressClass, NetworkPolicy},
            policy::v1::PodDisruptionBudget,
            storage::v1::{CSINode, StorageClass, VolumeAttachment},
        },
        kube_aggregator::pkg::apis::apiregistration::v1::APIService,
    };

    use super::*;

    fn known<K: Known>() -> (String, String, String, String) {
        (K::GROUP.into(), K::VERSION.into(), K::KIND.into(), K::URL_PATH_SEGMENT.into())
    }

    fn named(plural: &str) -> &'static Resource {
        WATCHED.iter().flat_map(|alternatives| alternatives.iter()).find(|r| r.plural == plural).unwrap()
    }

    #[test]
    fn every_kind_is_called_as_the_api_calls_it() {
        let expected = [
            known::<Node>(),
            known::<Namespace>(),
            known::<Deployment>(),
            known::<ReplicaSet>(),
            known::<StatefulSet>(),
            known::<DaemonSet>(),
            known::<CronJob>(),
            known::<Job>(),
            known::<Pod>(),
            known::<Service>(),
            known::<EndpointSlice>(),
            known::<ConfigMap>(),
            known::<Secret>(),
            known::<ServiceAccount>(),
            known::<PersistentVolumeClaim>(),
            known::<PersistentVolume>(),
            known::<StorageClass>(),
            known::<CSINode>(),
            known::<VolumeAttachment>(),
            known::<HorizontalPodAutoscaler>(),
            known::<PodDisruptionBudget>(),
            known::<IngressClass>(),
            known::<Ingress>(),
            known::<NetworkPolicy>(),
            known::<ResourceQuota>(),
            known::<LimitRange>(),
            known::<Lease>(),
            known::<APIService>(),
            known::<ValidatingWebhookConfiguration>(),
            known::<MutatingWebhookConfiguration>(),
            known::<Event>(),
            known::<CoreEvent>(),
        ];
        let ours: Vec<_> = WATCHED
            .iter()
            .flat_map(|a| a.iter())
            .map(|r| (r.group.to_string(), r.version.to_string(), r.kind.to_string(), r.plural.to_string()))
            .collect();
        assert_eq!(ours, expected);
    }

    #[test]
    fn paths_are_those_of_the_api_server() {
        assert_eq!(named("pods").path("ns", "p"), "/api/v1/namespaces/ns/pods/p");
        assert_eq!(named("nodes").path("", "n"), "/api/v1/nodes/n");
        assert_eq!(named("deployments").path("ns", "d"), "/apis/apps/v1/namespaces/ns/deployments/d");
    }

    #[test]
    fn requests_are_bounded_and_leave_out_what_nobody_reads() {
        let uri = |ask: Result<Ask, kube::Error>| ask.unwrap().uri().to_string();
        assert_eq!(uri(named("pods").list(None)), "/api/v1/pods?&limit=500");
        assert_eq!(uri(named("pods").list(Some("abc"))), "/api/v1/pods?&limit=500&continue=abc");
        assert_eq!(
            uri(named("secrets").list(None)),
            "/api/v1/secrets?&fieldSelector=type%21%3Dhelm.sh%2Frelease.v1&limit=50"
        );
        assert_eq!(
            uri(named("leases").watch("7", 240)),
            "/apis/coordination.k8s.io/v1/leases?&watch=true&timeoutSeconds=240\
             &fieldSelector=metadata.namespace%21%3Dkube-node-lease&allowWatchBookmarks=true&resourceVersion=7"
        );
    }

    #[test]
    fn of_custom_kinds_only_the_metadata_is_asked_for() {
        let rollout =
            Resource { metadata_only: true, ..resource("argoproj.io", "v1alpha1", "Rollout", "rollouts") };
        for ask in [rollout.list(None).unwrap(), rollout.watch("1", 9).unwrap()] {
            let accept = ask.headers()["accept"].to_str().unwrap();
            assert!(accept.contains("as=PartialObjectMetadata"), "{accept}");
        }
    }
}
