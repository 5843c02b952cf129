//! One Node as its own status tells it: conditions, taints, versions.

use kwhy_sdk::{Condition, Json, ObjectRef, World, minutes, parse_time};

/// A node that stands in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: ObjectRef,
    pub(crate) ready: Condition,
    /// Somebody has cordoned it, before it was lost where it is.
    pub(crate) cordoned: bool,
    /// An autoscaler or a cloud takes it away.
    pub(crate) leaving: bool,
    /// It stands in the cluster as far as was seen. Where no node was collected at all, only what is said of it counts.
    pub(crate) seen: bool,
    pub(crate) created: u64,
    pub(crate) kubelet: String,
    pub(crate) runtime: String,
    pub(crate) address: String,
    conditions: Json,
}

impl Node {
    /// None where no such node stands in the cluster though others were seen.
    pub(crate) fn load(world: &World<'_>, id: &ObjectRef) -> Option<Self> {
        let seen = world.exists(id);
        let collected = || world.read(id, "/metadata").is_some() || !world.list("Node", "").is_empty();
        if id.kind != "Node" || (!seen && collected()) {
            return None;
        }
        // Part by part: most of a node's status is a list of images.
        let read = |pointer: &str| world.read(id, pointer).unwrap_or_default();
        let (conditions, spec, info) = (read("/status/conditions"), read("/spec"), read("/status/nodeInfo"));
        let ready = Condition::among(&conditions, "Ready");
        let addresses = read("/status/addresses").list("");
        let internal = addresses.iter().find(|a| a.text("/type") == "InternalIP");
        Some(Self {
            id: id.clone(),
            cordoned: cordoned(&spec, &ready),
            leaving: read("/metadata/deletionTimestamp").has("") || leaving(world, id, &spec),
            seen,
            ready,
            created: parse_time(read("/metadata/creationTimestamp").text("")).unwrap_or(0),
            kubelet: info.text("/kubeletVersion").to_owned(),
            runtime: info.text("/containerRuntimeVersion").to_owned(),
            address: internal.map_or("", |a| a.text("/address")).to_owned(),
            conditions,
        })
    }

    /// The same with another word of its kubelet on whether it is ready.
    pub(crate) fn saying(&self, ready: Condition) -> Self {
        Self { ready, ..self.clone() }
    }

    pub(crate) fn condition(&self, kind: &str) -> Condition {
        Condition::among(&self.conditions, kind)
    }

    /// The machine, as ssh or ping take it.
    pub(crate) fn host(&self) -> &str {
        if self.address.is_empty() { &self.id.name } else { &self.address }
    }

    /// The systemd unit that runs the kubelet.
    pub(crate) fn unit(&self) -> &'static str {
        if self.kubelet.contains("+k3s") {
            "k3s-agent"
        } else if self.kubelet.contains("+rke2") {
            "rke2-agent"
        } else {
            "kubelet"
        }
    }

    /// The systemd unit of the container runtime; k3s and rke2 run theirs inside the agent.
    pub(crate) fn runtime_unit(&self) -> &'static str {
        match self.unit() {
            "kubelet" => match self.runtime.split("://").next().unwrap_or("") {
                "cri-o" => "crio",
                "docker" => "docker",
                _ => "containerd",
            },
            agent => agent,
        }
    }

    /// The same where words name the socket of the runtime: distributions keep theirs under paths of their own, and where
    /// nobody has shown the node nothing else tells.
    pub(crate) fn runtime_unit_at(&self, words: &str) -> &'static str {
        let named = SOCKETS.iter().find(|(path, _)| words.contains(path)).map(|(_, unit)| *unit);
        named.filter(|_| self.unit() == "kubelet").unwrap_or_else(|| self.runtime_unit())
    }
}

/// Sockets of runtimes and the units that listen at them.
const SOCKETS: [(&str, &str); 5] = [
    ("/k3s/containerd", "k3s-agent"),
    ("/snap/microk8s/", "snap.microk8s.daemon-containerd"),
    ("crio.sock", "crio"),
    ("cri-dockerd.sock", "cri-docker"),
    ("docker.sock", "docker"),
];

/// Taints of those who take nodes away or down: the autoscalers, kured, and the person who says that it is off.
const LEAVING_TAINTS: [&str; 6] = [
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disruption",
    "karpenter.sh/disrupted",
    "weave.works/kured-node-reboot",
    "aws-node-termination-handler/",
    "node.kubernetes.io/out-of-service",
];
/// Events with which they tell of it, on the node.
const LEAVING_EVENTS: [&str; 5] =
    ["ScaleDown", "SpotInterrupted", "TerminatingOnInterruption", "Disruption*", "DeletingNode"];

fn leaving(world: &World<'_>, id: &ObjectRef, spec: &Json) -> bool {
    let tainted = |t: &Json| LEAVING_TAINTS.iter().any(|key| t.text("/key").starts_with(key));
    spec.list("/taints").iter().any(tainted)
        || LEAVING_EVENTS
            .iter()
            .any(|name| !world.about(id, "self", "event", name, world.ago(minutes(30)), 1).is_empty())
}

/// Who cordons a node that is lost already does not tell that it was meant.
fn cordoned(spec: &Json, ready: &Condition) -> bool {
    let taints = spec.list("/taints");
    let taint = taints.iter().find(|t| t.text("/key") == "node.kubernetes.io/unschedulable");
    let added = taint.and_then(|t| parse_time(t.text("/timeAdded"))).unwrap_or(0);
    spec.is_true("/unschedulable") && (ready.status == "True" || added <= ready.since)
}
