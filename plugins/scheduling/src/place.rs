//! Each node as a place for one pod: what bars it, judged from the objects as the scheduler does it for selectors, node
//! affinity, taints and requests.

use kwhy_sdk::{Json, ObjectRef, World, parse_time};

use crate::quantity::{self, Amount};

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

/// What the pod asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// Requests by resource, sorted by name.
    pub(crate) requests: Vec<(String, Amount)>,
    tolerations: Vec<Json>,
    selector: Vec<(String, String)>,
    terms: Option<Vec<Json>>,
}

impl Wish {
    /// As the pod says or, where it was never seen, its workload; none where that was not seen either.
    pub(crate) fn of(world: &World<'_>, pod: &ObjectRef, workload: &ObjectRef) -> Option<Self> {
        let spec = world.read(pod, "/spec").or_else(|| world.read(workload, "/spec/template/spec"))?;
        let required =
            "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        Some(Self {
            requests: requests(&spec),
            tolerations: spec.list("/tolerations"),
            selector: spec.map("/nodeSelector"),
            terms: spec.has(required).then(|| spec.list(required)),
        })
    }

    pub(crate) fn request(&self, resource: &str) -> Option<Amount> {
        self.requests.iter().find(|(name, _)| name == resource).map(|(_, value)| *value)
    }

    /// In words what nodes it demands; empty where it takes any.
    pub(crate) fn demands(&self) -> String {
        let mut words: Vec<String> = self.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        for term in self.terms.iter().flatten() {
            let expressions = [term.list("/matchExpressions"), term.list("/matchFields")].concat();
            let all: Vec<String> = expressions
                .iter()
                .map(|e| {
                    let values = e.texts("/values").join(", ");
                    let values = if values.is_empty() { values } else { format!(" ({values})") };
                    format!("{} {}{values}", e.text("/key"), e.text("/operator"))
                })
                .collect();
            words.push(all.join(" and "));
        }
        words.join("; ")
    }

    fn tolerates(&self, taint: &Json) -> bool {
        let (key, value, effect) = (taint.text("/key"), taint.text("/value"), taint.text("/effect"));
        self.tolerations.iter().any(|t| {
            let (own_effect, own_key) = (t.text("/effect"), t.text("/key"));
            let exists = t.text("/operator") == "Exists";
            (own_effect.is_empty() || own_effect == effect)
                && ((own_key.is_empty() && exists)
                    || (own_key == key && (exists || t.text("/value") == value)))
        })
    }

    fn selects(&self, name: &str, labels: &[(String, String)]) -> bool {
        let has = |k: &str, v: &str| labels.iter().any(|(key, value)| key == k && value == v);
        self.selector.iter().all(|(k, v)| has(k, v))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| meets(term, name, labels)))
    }
}

fn meets(term: &Json, name: &str, labels: &[(String, String)]) -> bool {
    let (expressions, fields) = (term.list("/matchExpressions"), term.list("/matchFields"));
    let own = [("metadata.name".to_owned(), name.to_owned())];
    // An empty term selects nothing.
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|e| holds(e, labels))
        && fields.iter().all(|e| holds(e, &own))
}

fn holds(expression: &Json, labels: &[(String, String)]) -> bool {
    let key = expression.text("/key");
    let value = labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let values = expression.texts("/values");
    let number = |text: &str| text.parse::<i64>().ok();
    let limit = values.first().and_then(|v| number(v));
    match expression.text("/operator") {
        "In" => value.is_some_and(|v| values.iter().any(|x| x == v)),
        "NotIn" => !value.is_some_and(|v| values.iter().any(|x| x == v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.and_then(number).zip(limit).is_some_and(|(v, l)| v > l),
        "Lt" => value.and_then(number).zip(limit).is_some_and(|(v, l)| v < l),
        _ => true,
    }
}

/// Requests of a pod as the scheduler counts them: containers and sidecars together, or the largest init container.
pub(crate) fn requests(spec: &Json) -> Vec<(String, Amount)> {
    let mut sum: Vec<(String, Amount)> = Vec::new();
    for container in spec.list("/containers") {
        add(&mut sum, &container.at("/resources/requests"));
    }
    let mut first: Vec<(String, Amount)> = Vec::new();
    for container in spec.list("/initContainers") {
        let asks = container.at("/resources/requests");
        if container.text("/restartPolicy") == "Always" {
            add(&mut sum, &asks);
        } else {
            for (name, value) in asks.map("") {
                let value = quantity::parse(&value).unwrap_or(0);
                match first.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, most)) => *most = value.max(*most),
                    None => first.push((name, value)),
                }
            }
        }
    }
    for (name, value) in first {
        match sum.iter_mut().find(|(n, _)| *n == name) {
            Some((_, total)) => *total = value.max(*total),
            None => sum.push((name, value)),
        }
    }
    add(&mut sum, &spec.at("/overhead"));
    sum
}

fn add(sum: &mut Vec<(String, Amount)>, asks: &Json) {
    for (name, value) in asks.map("") {
        let value = quantity::parse(&value).unwrap_or(0);
        match sum.iter_mut().find(|(n, _)| *n == name) {
            Some((_, total)) => *total += value,
            None => sum.push((name, value)),
        }
    }
}

fn pointer(resource: &str) -> String {
    format!("/{}", resource.replace('~', "~0").replace('/', "~1"))
}

/// A node as a place for the pod.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) id: ObjectRef,
    /// Its selector and node affinity allow the node.
    pub(crate) selected: bool,
    /// Taints that the pod does not tolerate, and that say for whom the node is, `key=value`.
    pub(crate) taints: Vec<(String, String)>,
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
}

impl Place {
    pub(crate) fn of(world: &World<'_>, id: &ObjectRef, wish: &Wish) -> Self {
        let spec = world.read(id, "/spec").unwrap_or_default();
        let labels = world.read(id, "/metadata/labels").unwrap_or_default().map("");
        let conditions = world.read(id, "/status/conditions").unwrap_or_default().list("");
        let mut all = spec.list("/taints");
        all.retain(|t| matches!(t.text("/effect"), "NoSchedule" | "NoExecute"));
        let taints: Vec<(String, String)> = all
            .iter()
            .filter(|t| !wish.tolerates(t))
            .map(|t| (t.text("/key").to_owned(), t.text("/value").to_owned()))
            .collect();
        let tainted = |end: &str| taints.iter().any(|(k, _)| is_state(k) && k.ends_with(end));
        let unready = conditions.iter().find(|c| c.text("/type") == "Ready" && c.text("/status") != "True");
        let down = match unready {
            Some(condition) => Some(parse_time(condition.text("/lastTransitionTime")).unwrap_or(0)),
            None => (tainted("/unreachable") || tainted("/not-ready")).then_some(0),
        };
        let cordoned = spec.is_true("/unschedulable") || tainted("/unschedulable");
        Self {
            id: id.clone(),
            selected: wish.selects(&id.name, &labels),
            open: all.iter().all(|t| is_state(t.text("/key"))),
            down,
            cordoned,
            pressed: tainted("-pressure"),
            unfinished: taints.iter().map(|(k, _)| k).find(|k| is_unfinished(k)).cloned(),
            taints: taints.into_iter().filter(|(k, _)| !is_state(k)).collect(),
            allocatable: world.read(id, "/status/allocatable").unwrap_or_default(),
            hardware: world.read(id, "/status/capacity").unwrap_or_default(),
            used: None,
        }
    }

    /// Counts what stands on the node, as long as no more than `budget` pods have to be read for it.
    pub(crate) fn count(&mut self, world: &World<'_>, budget: &mut usize) {
        let pods = world.related(&self.id, "pod");
        let Some(left) = budget.checked_sub(pods.len()) else { return };
        *budget = left;
        let mut used: Vec<(String, Amount)> = Vec::new();
        for pod in pods {
            let phase = world.read(&pod, "/status/phase").unwrap_or_default();
            if matches!(phase.text(""), "Succeeded" | "Failed") {
                continue;
            }
            for (name, value) in requests(&world.read(&pod, "/spec").unwrap_or_default()) {
                match used.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, total)) => *total += value,
                    None => used.push((name, value)),
                }
            }
        }
        self.used = Some(used);
    }

    /// The pod may go there, if the node is well and has room.
    pub(crate) fn meant(&self) -> bool {
        self.selected && self.taints.is_empty()
    }

    pub(crate) fn capacity(&self, resource: &str) -> Option<Amount> {
        let pointer = pointer(resource);
        if self.allocatable.has(&pointer) {
            return quantity::parse(&self.allocatable.at(&pointer).shown());
        }
        // A device that a node does not have is not in its list; without a list nothing is known.
        self.allocatable.has("/cpu").then_some(0)
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

    /// All requests have room beside what stands there.
    pub(crate) fn roomy(&self, wish: &Wish) -> bool {
        wish.requests.iter().all(|(name, value)| self.free(name).is_none_or(|free| free >= *value))
    }
}
