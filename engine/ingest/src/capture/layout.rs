//! How the tools that people already have lay out what they collect, and what of it kwhy reads.
//!
//! - `kubectl cluster-info dump --output-directory=DIR` (kubectl, pkg/cmd/clusterinfo/clusterinfo_dump.go)
//! - `oc adm must-gather` and `oc adm inspect` (oc, pkg/cli/admin/inspect; openshift/must-gather, collection-scripts)
//! - a support bundle of troubleshoot.sh (troubleshoot, pkg/collect/cluster_resources.go and logs.go)
//!
//! A layout only says which file holds what. That of a capture itself is [`super::inventory`]'s.

use super::inventory::Kind;
use crate::text;

/// A layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    SupportBundle,
    MustGather,
    ClusterDump,
}

impl Layout {
    /// All, the one that is told with most certainty first.
    pub(super) const ALL: [Self; 3] = [Self::SupportBundle, Self::MustGather, Self::ClusterDump];

    /// What a file holds, by its path below the root of the dump.
    pub(super) fn kind(self, path: &[&str]) -> Option<Kind> {
        match self {
            Self::ClusterDump => cluster_dump(path),
            Self::MustGather => must_gather(path),
            Self::SupportBundle => support_bundle(path),
        }
    }
}

/// `-o json` is the default, `-o yaml` the other way.
fn listed(file: &str) -> Option<&str> {
    file.strip_suffix(".json").or_else(|| yaml(file))
}

fn yaml(file: &str) -> Option<&str> {
    file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml"))
}

fn log(namespace: &str, pod: &str, container: &str, previous: bool, timed: bool) -> Kind {
    let [namespace, pod, container] = [namespace, pod, container].map(text::name);
    Kind::Log { namespace, pod, container, previous, timed }
}

fn cluster_dump(path: &[&str]) -> Option<Kind> {
    Some(match *path {
        ["nodes.json" | "nodes.yaml"] => Kind::Objects { of: "Node" },
        [namespace, pod, "logs.txt"] => {
            Kind::PodLog { namespace: text::name(namespace), pod: text::name(pod) }
        }
        [_, file] => match listed(file)? {
            "events" => Kind::Events,
            "pods" => Kind::Objects { of: "Pod" },
            "services" => Kind::Objects { of: "Service" },
            "deployments" => Kind::Objects { of: "Deployment" },
            "replicasets" => Kind::Objects { of: "ReplicaSet" },
            "daemonsets" => Kind::Objects { of: "DaemonSet" },
            "replication-controllers" => Kind::Objects { of: "ReplicationController" },
            _ => return None,
        },
        _ => return None,
    })
}

/// API groups of which nothing is read: what they hold is large, and no rule asks for it.
const UNREAD: [&str; 5] = [
    "apiextensions.k8s.io",
    "authorization.openshift.io",
    "image.openshift.io",
    "rbac.authorization.k8s.io",
    "packages.operators.coreos.com",
];

fn must_gather(path: &[&str]) -> Option<Kind> {
    let objects = || Some(Kind::Objects { of: "" });
    match *path {
        ["cluster-scoped-resources" | "namespaces", ..] if yaml(path.last()?).is_some() => match *path {
            ["namespaces", _, _, "events.yaml"] => Some(Kind::Events),
            // Which of the pods run; core/pods.yaml has them all.
            ["namespaces", _, "pods", pod, file] => {
                (yaml(file) == Some(pod)).then_some(Kind::Spare { of: "Pod", in_file: "core/pods.yaml" })
            }
            ["namespaces", namespace, file] if yaml(file) == Some(namespace) => objects(),
            ["cluster-scoped-resources", group, _]
            | ["cluster-scoped-resources", group, _, _]
            | ["namespaces", _, group, _]
            | ["namespaces", _, group, _, _]
                if !UNREAD.contains(&group) =>
            {
                objects()
            }
            _ => None,
        },
        ["namespaces", namespace, "pods", pod, container, same, "logs", file] if container == same => {
            let previous = match file {
                "current.log" => false,
                "previous.log" => true,
                _ => return None,
            };
            Some(log(namespace, pod, container, previous, true))
        }
        // Of all masters, or all workers, line by line as the times are; each line names its node.
        ["host_service_logs", _, "kubelet_service.log"] => Some(Kind::Kubelet { node: String::new() }),
        _ => None,
    }
}

/// What `cluster-resources` has files of. Items of old bundles do not say what they are.
const RESOURCES: [(&str, &str); 27] = [
    ("configmaps", "ConfigMap"),
    ("cronjobs", "CronJob"),
    ("daemonsets", "DaemonSet"),
    ("deployments", "Deployment"),
    ("endpoints", "Endpoints"),
    ("endpointslices", "EndpointSlice"),
    ("ingress", "Ingress"),
    ("jobs", "Job"),
    ("limitranges", "LimitRange"),
    ("mutating-webhook-configurations", "MutatingWebhookConfiguration"),
    ("namespaces", "Namespace"),
    ("network-policy", "NetworkPolicy"),
    ("nodes", "Node"),
    ("pod-disruption-budgets", "PodDisruptionBudget"),
    ("pods", "Pod"),
    ("priorityclasses", "PriorityClass"),
    ("pvcs", "PersistentVolumeClaim"),
    ("pvs", "PersistentVolume"),
    ("replicasets", "ReplicaSet"),
    ("resource-quota", "ResourceQuota"),
    ("resource-quotas", "ResourceQuota"),
    ("serviceaccounts", "ServiceAccount"),
    ("services", "Service"),
    ("statefulsets", "StatefulSet"),
    ("storage-classes", "StorageClass"),
    ("validating-webhook-configurations", "ValidatingWebhookConfiguration"),
    ("volumeattachments", "VolumeAttachment"),
];

fn support_bundle(path: &[&str]) -> Option<Kind> {
    match *path {
        ["cluster-resources", "events", file] => listed(file).map(|_| Kind::Events),
        ["cluster-resources", "pods", "logs", namespace, pod, file] => {
            let container = file.strip_suffix(".log")?;
            if container.ends_with("-logs-errors") {
                return None;
            }
            let before = container.strip_suffix("-previous");
            Some(log(namespace, pod, before.unwrap_or(container), before.is_some(), false))
        }
        ["cluster-resources", file] => resource(listed(file)?),
        ["cluster-resources", resources, file] => listed(file).and_then(|_| resource(resources)),
        // What a collector of the host ran is called as its author likes.
        ["host-collectors", "run-host", .., file]
            if file.starts_with("journalctl") && file.contains("kubelet") && file.ends_with(".txt") =>
        {
            Some(Kind::Kubelet { node: String::new() })
        }
        _ => None,
    }
}

fn resource(name: &str) -> Option<Kind> {
    let (_, of) = RESOURCES.iter().find(|(known, _)| *known == name)?;
    Some(Kind::Objects { of })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(layout: Layout, path: &str) -> Option<Kind> {
        layout.kind(&path.split('/').collect::<Vec<_>>())
    }

    fn of(container: &str, previous: bool, timed: bool) -> Option<Kind> {
        Some(log("ns", "p", container, previous, timed))
    }

    #[test]
    fn names_of_a_cluster_dump_are_known() {
        let kind = |path| kind(Layout::ClusterDump, path);
        assert_eq!(kind("nodes.yaml"), Some(Kind::Objects { of: "Node" }));
        assert_eq!(kind("kube-system/events.json"), Some(Kind::Events));
        let logs = Kind::PodLog { namespace: "ns".into(), pod: "p".into() };
        assert_eq!(kind("ns/p/logs.txt"), Some(logs));
        for other in ["pods.json", "ns/x.json", "ns/p/c/logs.txt", "ns/pods.txt"] {
            assert_eq!(kind(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_a_must_gather_are_known() {
        let kind = |path| kind(Layout::MustGather, path);
        let objects = Some(Kind::Objects { of: "" });
        for path in [
            "cluster-scoped-resources/core/nodes/n1.yaml",
            "cluster-scoped-resources/config.openshift.io/infrastructures.yaml",
            "namespaces/ns/ns.yaml",
            "namespaces/ns/core/configmaps.yaml",
            "namespaces/ns/apps/deployments/web.yaml",
        ] {
            assert_eq!(kind(path), objects, "{path}");
        }
        assert_eq!(kind("namespaces/ns/core/events.yaml"), Some(Kind::Events));
        assert_eq!(
            kind("namespaces/ns/pods/p/p.yaml"),
            Some(Kind::Spare { of: "Pod", in_file: "core/pods.yaml" })
        );
        assert_eq!(kind("namespaces/ns/pods/p/c/c/logs/current.log"), of("c", false, true));
        assert_eq!(kind("namespaces/ns/pods/p/c/c/logs/previous.log"), of("c", true, true));
        assert_eq!(
            kind("host_service_logs/masters/kubelet_service.log"),
            Some(Kind::Kubelet { node: String::new() })
        );
        for other in [
            "cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions/x.yaml",
            "namespaces/ns/pods/p/c/c/logs/previous.insecure.log",
            "namespaces/ns/pods/p/c/c/healthz/index",
            "host_service_logs/masters/crio_service.log",
            "event-filter.html",
            "version",
        ] {
            assert_eq!(kind(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_a_support_bundle_are_known() {
        let kind = |path| kind(Layout::SupportBundle, path);
        assert_eq!(kind("cluster-resources/nodes.json"), Some(Kind::Objects { of: "Node" }));
        assert_eq!(
            kind("cluster-resources/pvcs/ns.json"),
            Some(Kind::Objects { of: "PersistentVolumeClaim" })
        );
        assert_eq!(kind("cluster-resources/events/ns.json"), Some(Kind::Events));
        assert_eq!(kind("cluster-resources/pods/logs/ns/p/c.log"), of("c", false, false));
        assert_eq!(kind("cluster-resources/pods/logs/ns/p/c-previous.log"), of("c", true, false));
        for other in [
            "cluster-resources/pods-errors.json",
            "cluster-resources/pods/logs/ns/p/c-logs-errors.log",
            "cluster-resources/custom-resource-definitions.json",
            "cluster-resources/auth-cani-list/ns.json",
            "all-logs/p/c.log",
            "analysis.json",
        ] {
            assert_eq!(kind(other), None, "{other}");
        }
    }
}
