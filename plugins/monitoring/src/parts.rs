//! The parts of the alerting path in the cluster: the pods that run Prometheus and Alertmanager, told by their images.

use kwhy_sdk::{Json, ObjectRef, Signal, World, clock, image_name, parse_time};

pub(crate) const PROMETHEUS: &str = "prometheus";
pub(crate) const ALERTMANAGER: &str = "alertmanager";
/// What the operator calls its own object.
pub(crate) const MANAGER_KIND: &str = "Alertmanager";

/// A workload of the alerting path with its pods.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The StatefulSet or Deployment: what an operator's own object stands for is seen by it.
    pub(crate) workload: ObjectRef,
    pub(crate) pods: Vec<ObjectRef>,
}

impl Part {
    /// Any of its pods does its work.
    pub(crate) fn works(&self, world: &World<'_>) -> bool {
        self.pods.iter().any(|p| world.condition(p, "Ready").holds())
    }

    /// The node that is down and that all of its pods were on.
    pub(crate) fn lost_with(&self, world: &World<'_>) -> Option<ObjectRef> {
        let down = |node: &ObjectRef| world.condition(node, "Ready").status == "Unknown";
        let nodes: Vec<ObjectRef> = self.pods.iter().flat_map(|p| world.related(p, "node")).collect();
        nodes.iter().all(&down).then(|| nodes.into_iter().next()).flatten()
    }

    /// Since when none does, by its pods' own conditions, ms.
    pub(crate) fn down_since(&self, world: &World<'_>) -> u64 {
        self.pods.iter().map(|pod| not_ready_since(world, pod)).max().unwrap_or(0)
    }

    /// Whether a container of its pods has run before, so that it has last words.
    pub(crate) fn has_run(&self, world: &World<'_>) -> bool {
        self.pods.iter().any(|pod| {
            let containers = world.read(pod, "/status/containerStatuses").unwrap_or_default().list("");
            containers.iter().any(|c| c.number("/restartCount") > 0 || c.has("/state/running"))
        })
    }

    /// Claims of its pods, each once.
    pub(crate) fn claims(&self, world: &World<'_>) -> Vec<ObjectRef> {
        let mut out: Vec<ObjectRef> = Vec::new();
        for pod in &self.pods {
            let volumes = world.read(pod, "/spec/volumes").unwrap_or_default();
            for volume in volumes.list("") {
                let name = volume.text("/persistentVolumeClaim/claimName");
                let claim = ObjectRef::new("PersistentVolumeClaim", &pod.namespace, name);
                if !name.is_empty() && !out.iter().any(|c| c.is(&claim)) {
                    out.push(claim);
                }
            }
        }
        out
    }

    /// The memory limit of a container that was killed for want of memory, empty where it has none; none where none was.
    pub(crate) fn out_of_memory(&self, world: &World<'_>) -> Option<String> {
        self.pods.iter().find_map(|pod| {
            let json = world.read(pod, "").unwrap_or_default();
            let killed = json.list("/status/containerStatuses").into_iter().find(|c| {
                let reason = |state: &str| c.text(&format!("/{state}/terminated/reason")) == "OOMKilled";
                reason("state") || reason("lastState")
            })?;
            let containers = json.list("/spec/containers");
            let of_it = containers.iter().find(|c| c.text("/name") == killed.text("/name"));
            Some(of_it.map_or("", |c| c.text("/resources/limits/memory")).to_owned())
        })
    }

    /// What the first pod that does not work says of itself.
    pub(crate) fn state(&self, world: &World<'_>) -> String {
        let Some(pod) = self.pods.iter().find(|p| !world.condition(p, "Ready").holds()) else {
            return "ready".to_owned();
        };
        let status = world.read(pod, "/status").unwrap_or_default();
        let containers = status.list("/containerStatuses");
        let reason = containers
            .iter()
            .map(|c| c.text("/state/waiting/reason").to_owned())
            .find(|r| !r.is_empty())
            .unwrap_or_default();
        let ended = containers
            .iter()
            .map(|c| c.text("/lastState/terminated/reason").to_owned())
            .find(|r| r == "OOMKilled")
            .unwrap_or_default();
        let restarts: i64 = containers.iter().map(|c| c.number("/restartCount")).sum();
        let since = clock(self.down_since(world));
        let mut text = if world.condition(pod, "PodScheduled").fails() {
            format!("without a node since {since}")
        } else {
            format!("not ready since {since}")
        };
        for word in [reason, ended].iter().filter(|w| !w.is_empty()) {
            text.push_str(&format!(", {word}"));
        }
        if restarts > 0 {
            text.push_str(&format!(", restarted {restarts} times"));
        }
        text
    }

    /// Lines of its pods, newest first.
    pub(crate) fn lines(&self, world: &World<'_>, pattern: &str, since: u64) -> Vec<Signal> {
        let all = self.pods.iter().flat_map(|p| world.about(p, "self", "log", pattern, since, 10));
        let mut all: Vec<Signal> = all.collect();
        all.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        all
    }
}

/// Of a pod that no kubelet has taken up nothing says that it is not ready.
fn not_ready_since(world: &World<'_>, pod: &ObjectRef) -> u64 {
    let known = |kind: &str| world.condition(pod, kind).known_since();
    let made = || parse_time(world.read(pod, "/metadata/creationTimestamp").unwrap_or_default().text(""));
    known("Ready").or_else(|| known("PodScheduled")).or_else(made).unwrap_or(0)
}

/// Whether a container runs the program, by its image: mirrors put the name of the project before it
/// (`rancher/mirrored-prometheus-alertmanager`).
fn is(container: &Json, program: &str) -> bool {
    let image = image_name(container.text("/image"));
    image == program || image.strip_suffix(program).is_some_and(|before| before.ends_with("prometheus-"))
}

/// Whether a container of the pod runs that program.
pub(crate) fn runs(world: &World<'_>, pod: &ObjectRef, program: &str) -> bool {
    let containers = world.read(pod, "/spec/containers").unwrap_or_default();
    containers.list("").iter().any(|c| is(c, program))
}

/// What the container that runs the program is called in the part's pods.
pub(crate) fn container(world: &World<'_>, part: &Part, program: &str) -> String {
    let of = |pod: &ObjectRef| world.read(pod, "/spec/containers").unwrap_or_default().list("");
    let found = part.pods.iter().flat_map(of).find(|c| is(c, program));
    found.map_or_else(|| program.to_owned(), |c| c.text("/name").to_owned())
}

/// All workloads that run the program, sorted.
pub(crate) fn all(world: &World<'_>, program: &str) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    for kind in ["StatefulSet", "Deployment"] {
        for workload in world.list(kind, "") {
            let containers = world.read(&workload, "/spec/template/spec/containers").unwrap_or_default();
            if containers.list("").iter().any(|c| is(c, program)) {
                let pods = world.pods(&workload);
                out.push(Part { workload, pods });
            }
        }
    }
    out
}

/// The Prometheus that calls itself so in its external label: `namespace/name` of the operator's object.
pub(crate) fn prometheus(world: &World<'_>, label: &str) -> Option<Part> {
    let parts = all(world, PROMETHEUS);
    let (namespace, name) = label.split_once('/').unwrap_or(("", label));
    let own = |part: &Part| {
        let (ns, called) = (&part.workload.namespace, &part.workload.name);
        let shard = called.strip_prefix("prometheus-").and_then(|rest| rest.strip_prefix(name));
        ns == namespace && shard.is_some_and(|rest| rest.is_empty() || rest.starts_with("-shard-"))
    };
    let named = parts.iter().position(own);
    let only = || if parts.len() == 1 { Some(0) } else { parts.iter().position(|p| !p.works(world)) };
    parts.get(named.or_else(only)?).cloned()
}

/// The workload's part, for a pod of it.
pub(crate) fn of(world: &World<'_>, pod: &ObjectRef) -> Part {
    let owners = world.owners(pod);
    let workload = owners.iter().find(|o| matches!(o.kind.as_str(), "StatefulSet" | "Deployment"));
    let workload = workload.cloned().unwrap_or_else(|| pod.clone());
    let pods = world.pods(&workload);
    Part { workload, pods }
}
