//! What a node that does not work makes people see: alerts on itself, on its pods, on their workloads, and on the
//! replacements that find no other place.

use kwhy_sdk::{Condition, Explains, ObjectRef, Signal, World, minutes, seconds};

use crate::node::Node;

/// Alerts of pods that stand still, of workloads that lack them, and of what serves through them. Crashes, failed jobs
/// and full volumes are not among them: a node that stands still makes none.
const STILL: [&str; 13] = [
    "KubePodNotReady",
    "KubeContainerWaiting",
    "KubeDeploymentReplicasMismatch",
    "KubeDeploymentRolloutStuck",
    "KubeStatefulSetReplicasMismatch",
    "KubeStatefulSetUpdateNotRolledOut",
    "KubeDaemonSet*",
    "KubeJobNotCompleted",
    "KubeHpaReplicasMismatch",
    "KubePdbNotEnoughHealthyPods",
    "*InstanceUnreachable",
    "AlertmanagerCluster*",
    "etcdMembersDown",
];

/// Until when after the loss of its node a DaemonSet's alert has fired: a quarter of an hour, and some for the ways that
/// scrapes and rules take.
const DAEMONS_BY: u64 = minutes(25);

/// Alerts of one workload that stands still, and what those see who need it.
pub(crate) fn still(workload: &ObjectRef) -> impl Iterator<Item = Explains> + '_ {
    let alerts = STILL.iter().map(move |name| Explains::alert(name, workload, "workload"));
    alerts.chain([Explains::missed(workload, "self")])
}

/// The same cause at other nodes, as a network plugin or a time server that fails for all: one finding tells, and
/// the others stand under it, whether or not anybody has shown those nodes.
pub(crate) fn elsewhere(code: &str, node: &ObjectRef) -> Explains {
    Explains::finding(code, node, "cluster")
}

/// A pod that was made for another one on the node and finds no place, or not its volume, which the node holds.
pub(crate) struct Stranded {
    pub(crate) pod: ObjectRef,
    pub(crate) why: Option<Signal>,
}

/// Alerting is silent because the node took away all that there is of a part of it.
pub(crate) fn silence<'a>(
    world: &'a World<'_>,
    workloads: impl IntoIterator<Item = &'a ObjectRef> + 'a,
) -> impl Iterator<Item = Explains> + 'a {
    let works =
        |workload: &ObjectRef| world.pods(workload).iter().any(|pod| world.condition(pod, "Ready").holds());
    let gone = workloads.into_iter().filter(move |workload| !works(workload));
    // Its root is the StatefulSet, which an operator's own object may own.
    gone.map(|workload| Explains::finding("monitoring.watchdog-missing", workload, "owned"))
}

/// What the node bears.
pub(crate) struct Load {
    pub(crate) pods: Vec<ObjectRef>,
    /// Top-level owners of the pods, each once, sorted as the pods are.
    pub(crate) workloads: Vec<ObjectRef>,
    /// Workloads that had a pod here which was not ready long before.
    pub(crate) ill_before: Vec<ObjectRef>,
    pub(crate) stranded: Vec<Stranded>,
}

impl Load {
    /// What stands on `node`, which has been in trouble since `since` (ms).
    pub(crate) fn of(world: &World<'_>, node: &ObjectRef, since: u64) -> Self {
        let pods = world.related(node, "pod");
        let mut load =
            Self { pods: Vec::new(), workloads: Vec::new(), ill_before: Vec::new(), stranded: Vec::new() };
        for pod in pods {
            let status = world.read(&pod, "/status").unwrap_or_default();
            if matches!(status.text("/phase"), "Succeeded" | "Failed") {
                continue;
            }
            let workload = world.workload(&pod);
            let ready = Condition::among(&status.at("/conditions"), "Ready");
            let ill = ready.status == "False" && ready.since + seconds(60) < since;
            let list = if ill { &mut load.ill_before } else { &mut load.workloads };
            if !list.iter().any(|w| w.is(&workload)) {
                list.push(workload);
            }
            load.pods.push(pod);
        }
        let ill = load.ill_before.clone();
        load.workloads.retain(|w| !ill.iter().any(|i| i.is(w)));
        for workload in load.workloads.iter().filter(|w| w.kind != "Pod" && w.kind != "DaemonSet") {
            for pod in world.pods(workload) {
                let placed = world.read(&pod, "/spec/nodeName").is_some_and(|n| !n.text("").is_empty());
                let event = |reason: &str| world.about(&pod, "self", "event", reason, since, 1).pop();
                if !placed {
                    let why = event("FailedScheduling");
                    load.stranded.push(Stranded { pod, why });
                } else if let Some(why) = held_volume(&event("FailedAttachVolume")) {
                    load.stranded.push(Stranded { pod, why: Some(why) });
                }
            }
        }
        load
    }

    /// Pods that a controller cares for, without those that every node has.
    pub(crate) fn moved(&self) -> Vec<&ObjectRef> {
        self.workloads.iter().filter(|w| !matches!(w.kind.as_str(), "DaemonSet" | "Pod")).collect()
    }
}

/// The volume is on the lost node still: the attach-detach controller's words, and those of the drivers' clouds.
fn held_volume(event: &Option<Signal>) -> Option<Signal> {
    let words = ["Multi-Attach error", "already attached", "is being deleted", "still being used"];
    event.clone().filter(|e| words.iter().any(|w| e.message.contains(w)))
}

/// All that follows from the node standing still.
pub(crate) fn explains(world: &World<'_>, node: &Node, load: &Load, since: u64) -> Vec<Explains> {
    let id = &node.id;
    let mut out: Vec<Explains> = ["KubeNode*", "Kubelet*", "*InstanceUnreachable"]
        .map(|name| Explains::alert(name, id, "self"))
        .into();
    out.push(Explains::alert("NodeSystemdService*", id, "self"));
    out.push(Explains::event("*", id, "self"));
    for event in
        ["NodeNotReady", "FailedCreatePodSandBox", "NetworkNotReady", "FailedMount", "FailedAttachVolume"]
    {
        out.push(Explains::event(event, id, "on-node"));
    }
    if load.ill_before.is_empty() {
        out.extend(STILL.map(|name| Explains::alert(name, id, "on-node")));
    } else {
        // A workload that was ill before has another cause, so the others are named one by one.
        for workload in &load.workloads {
            out.extend(STILL.map(|name| Explains::alert(name, workload, "owned")));
            out.push(Explains::alert("KubePdb*", workload, "workload"));
        }
    }
    out.extend(load.workloads.iter().map(|workload| Explains::missed(workload, "self")));
    out.extend(silence(world, &load.workloads));
    for stranded in &load.stranded {
        for alert in ["KubePodNotReady", "KubeContainerWaiting"] {
            out.push(Explains::alert(alert, &stranded.pod, "self"));
        }
        for event in ["FailedScheduling", "FailedAttachVolume", "FailedMount"] {
            out.push(Explains::event(event, &stranded.pod, "self"));
        }
    }
    out.extend(
        targets(world, node, since).iter().map(|subject| Explains::alert("TargetDown", subject, "self")),
    );
    if load.pods.is_empty() {
        out.extend(daemons(world, node, since));
    }
    out
}

/// Where nobody has shown the node's pods, which DaemonSets had one on it is not known. Each has one on each node as a
/// rule, so those count whose alert comes with the node's own: both wait as long before they fire.
fn daemons(world: &World<'_>, node: &Node, since: u64) -> Vec<Explains> {
    let alerts = world.about(&node.id, "cluster", "alert", "KubeDaemonSet*", since, 100);
    let mut out: Vec<Explains> = Vec::new();
    for alert in alerts.iter().filter(|a| a.state == "firing" && a.at < since + DAEMONS_BY) {
        let Some(set) = alert.subject.as_ref().filter(|s| s.kind == "DaemonSet") else { continue };
        let known = out.iter().any(|e| e.name == alert.name && e.anchor.as_ref().is_some_and(|a| a.is(set)));
        if !known && world.only_told(set) {
            out.push(Explains::alert(&alert.name, set, "self"));
        }
    }
    out
}

/// Jobs of which a part is down that is no greater than the part of the nodes that is. More than that has a cause of
/// its own, as a component that nobody can scrape on any node.
fn targets(world: &World<'_>, node: &Node, since: u64) -> Vec<ObjectRef> {
    // An alert waits for ten minutes before it fires, so only what began after the node stopped counts.
    let alerts = world.about(&node.id, "cluster", "alert", "TargetDown", since, 100);
    if alerts.is_empty() {
        return Vec::new();
    }
    let nodes = world.list("Node", "");
    let stands_still = |n: &ObjectRef| n.is(&node.id) || world.condition(n, "Ready").status != "True";
    let still = nodes.iter().filter(|n| stands_still(n)).count();
    let share = 100 * still / nodes.len().max(1);
    let mut out: Vec<ObjectRef> = Vec::new();
    for alert in alerts.iter().filter(|a| a.state == "firing") {
        let Some(subject) = &alert.subject else { continue };
        let percent = alert.message.split('%').next().and_then(|n| {
            let number = n.rsplit(' ').next().unwrap_or(n);
            number.split('.').next().and_then(|whole| whole.parse::<usize>().ok())
        });
        let host_job = alert.field("job").contains("kubelet") || alert.field("job").contains("node-exporter");
        // A workload with few pods loses a greater share than the cluster does.
        let part = percent.map_or(host_job, |p| p <= share + 5 || (!host_job && p < 100));
        let near = host_job || touches(world, &node.id, subject);
        if part && near && !out.iter().any(|o| o.is(subject)) {
            out.push(subject.clone());
        }
    }
    out
}

/// Whether the subject of a target's alert has a pod on the node.
fn touches(world: &World<'_>, node: &ObjectRef, subject: &ObjectRef) -> bool {
    let pods = match subject.kind.as_str() {
        "Service" => world.related(subject, "selects"),
        _ => world.pods(subject),
    };
    pods.iter().any(|p| world.related(p, "node").iter().any(|n| n.is(node)))
}
