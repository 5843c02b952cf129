//! Each node as a place for one pod: what bars it, judged from the objects as the scheduler does it for selectors, node
//! affinity, taints and requests.

use kwhy_sdk::{Json, ObjectRef, World, hours};

use crate::{
    quantity::{self, Amount},
    wish::{Wish, requests},
};

/// Taints that tell of the node's state and not of whom it is meant for.
const STATES: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
];

/// Taints that a node bears until somebody has made it fit for use.
const UNFINISHED: [&str; 3] = [
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.kubernetes.io/network-unavailable",
    "karpenter.sh/unregistered",
];

/// Whether a taint tells of a node's state.
pub(crate) fn is_state(key: &str) -> bool {
    STATES.contains(&key) || is_unfinished(key)
}

/// Whether a taint tells that an agent or controller has not done its part yet, as `node.cilium.io/agent-not-ready`.
pub(crate) fn is_unfinished(key: &str) -> bool {
    UNFINISHED.contains(&key) || key.ends_with("/agent-not-ready")
}

fn tainted_at(world: &World<'_>, node: &ObjectRef) -> Option<u64> {
    let changes = world.changes(node, "self", world.ago(hours(6)), 20);
    let change = changes.into_iter().find(|c| c.fields.iter().any(|f| f.name.starts_with("/spec/taints")));
    change.map(|c| c.at)
}

pub(crate) fn pointer(resource: &str) -> String {
    format!("/{}", resource.replace('~', "~0").replace('/', "~1"))
}

/// A node as a place for the pod.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) id: ObjectRef,
    pub(crate) labels: Vec<(String, String)>,
    /// Its selector and node affinity allow the node.
    pub(crate) selected: bool,
    /// Its volumes can be used there.
    pub(crate) reached: bool,
    /// Taints that the pod does not tolerate, and that say for whom the node is, `key=value`.
    pub(crate) taints: Vec<(String, String)>,
    /// When its taints were last changed, ms; none where that was not seen or the pod tolerates them.
    pub(crate) tainted_at: Option<u64>,
    /// No taint says for whom it is, tolerated or not.
    pub(crate) open: bool,
    /// Since when it is not ready or tainted so, ms; none where it is well.
    pub(crate) down: Option<u64>,
    pub(crate) cordoned: bool,
    /// The taint that it bears until it is fit for use.
    pub(crate) unfinished: Option<String>,
    /// Short of something by its own word.
    pub(crate) pressed: bool,
    /// Allocatable by resource.
    allocatable: Json,
    /// Capacity by resource.
    hardware: Json,
    /// Requests of the pods on it; none where they were not counted.
    used: Option<Vec<(String, Amount)>>,
    /// How many pods stand on it; none where they were not counted.
    pub(crate) standing: Option<usize>,
}

impl Place {
    pub(crate) fn of(world: &World<'_>, id: &ObjectRef, wish: &Wish) -> Self {
        let spec = world.read(id, "/spec").unwrap_or_default();
        let labels = world.read(id, "/metadata/labels").unwrap_or_default().map("");
        let ready = world.condition(id, "Ready");
        let mut all = spec.list("/taints");
        all.retain(|t| matches!(t.text("/effect"), "NoSchedule" | "NoExecute"));
        let taints: Vec<(String, String)> = all
            .iter()
            .filter(|t| !wish.tolerates(t))
            .map(|t| (t.text("/key").to_owned(), t.text("/value").to_owned()))
            .collect();
        let tainted = |end: &str| taints.iter().any(|(k, _)| is_state(k) && k.ends_with(end));
        let down = if ready.fails() {
            Some(ready.since)
        } else {
            (tainted("/unreachable") || tainted("/not-ready")).then_some(0)
        };
        let cordoned = spec.is_true("/unschedulable") || tainted("/unschedulable");
        Self {
            id: id.clone(),
            selected: wish.selects(&id.name, &labels),
            reached: wish.volumes.iter().all(|v| v.reaches(&id.name, &labels)),
            tainted_at: (!taints.is_empty()).then(|| tainted_at(world, id)).flatten(),
            labels,
            open: all.iter().all(|t| is_state(t.text("/key"))),
            down,
            cordoned,
            pressed: tainted("-pressure"),
            unfinished: taints.iter().map(|(k, _)| k).find(|k| is_unfinished(k)).cloned(),
            taints: taints.into_iter().filter(|(k, _)| !is_state(k)).collect(),
            allocatable: world.read(id, "/status/allocatable").unwrap_or_default(),
            hardware: world.read(id, "/status/capacity").unwrap_or_default(),
            used: None,
            standing: None,
        }
    }

    /// Counts what stands on the node, as long as no more than `budget` pods have to be read for it.
    pub(crate) fn count(&mut self, world: &World<'_>, budget: &mut usize) {
        let pods = world.related(&self.id, "pod");
        let Some(left) = budget.checked_sub(pods.len()) else { return };
        *budget = left;
        let mut used: Vec<(String, Amount)> = Vec::new();
        let mut standing = 0;
        for pod in pods {
            let phase = world.read(&pod, "/status/phase").unwrap_or_default();
            if matches!(phase.text(""), "Succeeded" | "Failed") {
                continue;
            }
            standing += 1;
            for (name, value) in requests(&world.read(&pod, "/spec").unwrap_or_default()) {
                match used.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, total)) => *total += value,
                    None => used.push((name, value)),
                }
            }
        }
        self.used = Some(used);
        self.standing = Some(standing);
    }

    /// The pod may go there, if the node is well and has room.
    pub(crate) fn meant(&self) -> bool {
        self.selected && self.reached && self.taints.is_empty()
    }

    pub(crate) fn capacity(&self, resource: &str) -> Option<Amount> {
        let pointer = pointer(resource);
        if self.allocatable.has(&pointer) {
            return quantity::parse(&self.allocatable.at(&pointer).shown());
        }
        // A device that a node does not have is not in its list; without a list nothing is known.
        self.allocatable.has("/cpu").then_some(0)
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Why it takes no pod of the kind, in a few words; none where it would.
    pub(crate) fn bar(&self, wish: &Wish) -> Option<String> {
        if self.down.is_some() {
            Some("is down".to_owned())
        } else if self.cordoned {
            Some("is cordoned".to_owned())
        } else if let Some((key, value)) = self.taints.first() {
            Some(format!("is tainted {key}{}{value}", if value.is_empty() { "" } else { "=" }))
        } else if let Some(key) = &self.unfinished {
            Some(format!("still bears the taint {key}"))
        } else if !self.selected {
            Some("is not selected".to_owned())
        } else if !self.reached {
            Some("is out of reach of its volume".to_owned())
        } else if let Some(resource) = self.too_small(wish) {
            Some(format!("is too small ({resource})"))
        } else {
            (!self.roomy(wish)).then(|| "has no room".to_owned())
        }
    }

    /// How much of it the node has by its hardware, whether it can be used or not.
    pub(crate) fn installed(&self, resource: &str) -> Option<Amount> {
        quantity::parse(&self.hardware.at(&pointer(resource)).shown())
    }

    pub(crate) fn free(&self, resource: &str) -> Option<Amount> {
        let used = self.used.as_ref()?.iter().find(|(n, _)| n == resource).map_or(0, |(_, v)| *v);
        Some(self.capacity(resource)? - used)
    }

    /// The first request that is larger than the whole node.
    pub(crate) fn too_small(&self, wish: &Wish) -> Option<String> {
        let over = |(name, value): &&(String, Amount)| self.capacity(name).is_some_and(|c| *value > c);
        wish.requests.iter().find(over).map(|(name, _)| name.clone())
    }

    /// Most pods that it may hold.
    pub(crate) fn most_pods(&self) -> Option<usize> {
        usize::try_from(self.capacity("pods")? / 1000).ok().filter(|most| *most > 0)
    }

    fn crowded(&self) -> bool {
        self.standing.zip(self.most_pods()).is_some_and(|(standing, most)| standing >= most)
    }

    /// All requests have room beside what stands there.
    pub(crate) fn roomy(&self, wish: &Wish) -> bool {
        !self.crowded()
            && wish.requests.iter().all(|(name, value)| self.free(name).is_none_or(|free| free >= *value))
    }
}
