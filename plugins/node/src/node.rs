//! One Node as its own status tells it: conditions, taints, versions.

use kwhy_sdk::{Json, ObjectRef, World, parse_time};

/// One condition of the status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// `True`, `False`, `Unknown`; empty where the condition is not there.
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Since when the status is that, ms.
    pub(crate) since: u64,
    /// When the kubelet last reported, ms.
    pub(crate) heartbeat: u64,
}

impl Condition {
    /// As a person would quote it.
    pub(crate) fn quote(&self, kind: &str) -> String {
        format!("{kind}={} {}: {}", self.status, self.reason, self.message)
    }
}

/// A node that stands in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: ObjectRef,
    pub(crate) ready: Condition,
    /// Somebody has cordoned it.
    pub(crate) cordoned: bool,
    pub(crate) created: u64,
    pub(crate) kubelet: String,
    pub(crate) runtime: String,
    pub(crate) address: String,
    status: Json,
}

impl Node {
    /// None where no such node stands in the cluster.
    pub(crate) fn load(world: &World<'_>, id: &ObjectRef) -> Option<Self> {
        if id.kind != "Node" || !world.exists(id) {
            return None;
        }
        let status = world.read(id, "/status").unwrap_or_default();
        let created = world.read(id, "/metadata/creationTimestamp").unwrap_or_default();
        let addresses = status.list("/addresses");
        let internal = addresses.iter().find(|a| a.text("/type") == "InternalIP");
        Some(Self {
            id: id.clone(),
            ready: condition(&status, "Ready"),
            cordoned: world.read(id, "/spec").is_some_and(|spec| spec.is_true("/unschedulable")),
            created: parse_time(created.text("")).unwrap_or(0),
            kubelet: status.text("/nodeInfo/kubeletVersion").to_owned(),
            runtime: status.text("/nodeInfo/containerRuntimeVersion").to_owned(),
            address: internal.map_or("", |a| a.text("/address")).to_owned(),
            status,
        })
    }

    pub(crate) fn condition(&self, kind: &str) -> Condition {
        condition(&self.status, kind)
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
}

fn condition(status: &Json, kind: &str) -> Condition {
    let all = status.list("/conditions");
    let Some(found) = all.iter().find(|c| c.text("/type") == kind) else { return Condition::default() };
    Condition {
        status: found.text("/status").to_owned(),
        reason: found.text("/reason").to_owned(),
        message: found.text("/message").to_owned(),
        since: parse_time(found.text("/lastTransitionTime")).unwrap_or(0),
        heartbeat: parse_time(found.text("/lastHeartbeatTime")).unwrap_or(0),
    }
}
