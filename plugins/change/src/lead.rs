//! The changes that may be felt by a workload, and which of them is the best lead.

use std::cmp::Reverse;

use kwhy_sdk::{ObjectRef, Signal, World, clock, hours, is_stamp, minutes, parse_time};

pub(crate) const ROLLOUT: &str = "change.rollout";
pub(crate) const EDIT: &str = "change.edit";
pub(crate) const SCALE: &str = "change.scale";
pub(crate) const REBOOT: &str = "change.reboot";

/// How long before the onset a change may lie.
const BEFORE: u64 = hours(1);
/// A change so shortly before is the better lead.
const SHORTLY: u64 = minutes(20);
/// What is changed so often within the window is written by a controller as a matter of routine.
const ROUTINE: usize = 4;
/// Kubernetes times have whole seconds, and a pod may be told unready in the second of the change.
const SECOND: u64 = 1000;
/// Pods of one workload that are looked at: they are alike.
const PODS: usize = 20;

/// A change that came before the alerts of a workload.
#[derive(Debug, Clone)]
pub(crate) struct Lead {
    pub(crate) code: &'static str,
    pub(crate) root: ObjectRef,
    /// How the workload hangs on the root.
    pub(crate) relation: &'static str,
    pub(crate) confidence: u8,
    /// The change, or the event that tells of it.
    pub(crate) signal: Signal,
    /// Other changes in the same hour, best first.
    pub(crate) others: Vec<Signal>,
}

impl Lead {
    fn new(
        code: &'static str,
        root: &ObjectRef,
        relation: &'static str,
        confidence: u8,
        signal: Signal,
    ) -> Self {
        Self { code, root: root.clone(), relation, confidence, signal, others: Vec::new() }
    }
}

/// The best lead for a workload that fell ill at `onset` (ms): what lies nearest to it, then what came last.
pub(crate) fn best(world: &World<'_>, workload: &ObjectRef, onset: u64) -> Option<Lead> {
    let since = onset.saturating_sub(BEFORE);
    let mut all = if workload.kind == "Node" {
        of_node(world, workload, "", since, false)
    } else {
        of_workload(world, workload, since)
    };
    let mut around: Vec<(&'static str, ObjectRef)> = Vec::new();
    for pod in world.pods(workload).iter().take(PODS) {
        for neighbour in world.neighbours(pod) {
            let relation = match neighbour.relation.as_str() {
                "uses" => "used-by",
                "selected-by" => "selects",
                "node" => "pod",
                _ => continue,
            };
            if !around.iter().any(|(_, object)| object.is(&neighbour.object)) {
                around.push((relation, neighbour.object));
            }
        }
    }
    let scaled = world.neighbours(workload).into_iter().filter(|n| n.relation == "scaled-by");
    around.extend(scaled.map(|n| ("scales", n.object)));
    for (relation, object) in &around {
        all.extend(if object.kind == "Node" {
            // Pods of a DaemonSet tolerate that their node is closed to others.
            of_node(world, object, relation, since, workload.kind != "DaemonSet")
        } else {
            of_object(world, object, relation, since)
        });
    }
    all.retain(|lead| lead.signal.at < onset + SECOND);
    for lead in &mut all {
        if onset.saturating_sub(lead.signal.at) > SHORTLY {
            lead.confidence -= 5;
        }
    }
    // Stable for one time: neighbours come sorted.
    all.sort_by_key(|lead| Reverse((lead.confidence, lead.signal.at)));
    let mut leads = all.into_iter();
    let mut lead = leads.next()?;
    lead.others = leads.map(|other| other.signal).collect();
    if !lead.others.is_empty() {
        lead.confidence -= 3;
    }
    Some(lead)
}

/// Changes of one object, newest first; none where somebody writes it all the time.
fn changes(world: &World<'_>, object: &ObjectRef, since: u64) -> Vec<Signal> {
    let all = world.changes(object, "self", since, 20);
    if all.len() < ROUTINE { all } else { Vec::new() }
}

/// Whether a pod waits for its image: what the registry answers tells the cause, and that the image is new does not.
fn waits_for_image(world: &World<'_>, workload: &ObjectRef) -> bool {
    world.pods(workload).iter().take(PODS).any(|pod| {
        let status = world.read(pod, "/status").unwrap_or_default();
        ["/initContainerStatuses", "/containerStatuses"].iter().flat_map(|list| status.list(list)).any(|c| {
            matches!(
                c.text("/state/waiting/reason"),
                "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable"
            )
        })
    })
}

/// How many of the last changes of a workload its controller has not acted on: they are done to nothing yet.
fn unheeded(world: &World<'_>, workload: &ObjectRef) -> usize {
    let read = |pointer: &str| world.read(workload, pointer).map(|n| n.number(""));
    let counts = read("/metadata/generation").zip(read("/status/observedGeneration"));
    counts.map_or(0, |(written, seen)| usize::try_from(written - seen).unwrap_or(0))
}

fn made_since(world: &World<'_>, workload: &ObjectRef, at: u64) -> bool {
    let made = |pod: &ObjectRef| parse_time(world.read(pod, "/metadata/creationTimestamp")?.text(""));
    world.pods(workload).iter().filter_map(made).any(|made| made + SECOND > at)
}

/// Whether a pod works and waits only for somebody else to say that it takes traffic: its template has nothing to do with
/// it.
fn waits_for_gate(world: &World<'_>, workload: &ObjectRef) -> bool {
    world.pods(workload).iter().take(PODS).any(|pod| {
        world.condition(pod, "ContainersReady").holds()
            && world.condition(pod, "Ready").reason == "ReadinessGatesNotReady"
    })
}

fn of_workload(world: &World<'_>, workload: &ObjectRef, since: u64) -> Vec<Lead> {
    let autoscaled = !world.related(workload, "scaled-by").is_empty();
    let mut leads = Vec::new();
    let unheeded = unheeded(world, workload);
    let written = changes(world, workload, since).into_iter().filter(|c| c.name == "MODIFIED");
    for (newer, change) in written.enumerate() {
        // A status that is older than the pods which were made since says nothing.
        if newer < unheeded && !made_since(world, workload, change.at) {
            continue;
        }
        let touches = |part: &str| change.fields.iter().any(|f| f.name.starts_with(part));
        // The same template again: what its pods read at their start may be new, the rollout is not.
        if change.fields.iter().all(|f| is_stamp(world, workload, f)) {
            continue;
        }
        let (code, confidence) = if touches("/spec/template") || touches("/spec/jobTemplate") {
            if waits_for_image(world, workload) || waits_for_gate(world, workload) {
                continue;
            }
            (ROLLOUT, 45)
        } else if touches("/spec/replicas") && change.fields.len() == 1 {
            if autoscaled {
                continue;
            }
            (SCALE, 42)
        } else {
            (EDIT, 40)
        };
        leads.push(Lead::new(code, workload, "", confidence, change));
    }
    leads
}

fn of_object(world: &World<'_>, object: &ObjectRef, relation: &'static str, since: u64) -> Vec<Lead> {
    let confidence = match object.kind.as_str() {
        "ConfigMap" | "Secret" => 43,
        "PersistentVolumeClaim" | "ServiceAccount" | "Service" | "NetworkPolicy" => 40,
        "HorizontalPodAutoscaler" | "PodDisruptionBudget" => 36,
        _ => return Vec::new(),
    };
    let telling = |change: &Signal| match change.name.as_str() {
        // A new policy takes something away; other new objects do not.
        "ADDED" => object.kind == "NetworkPolicy",
        _ => true,
    };
    let all = changes(world, object, since).into_iter().filter(telling);
    all.map(|change| Lead::new(EDIT, object, relation, confidence, change)).collect()
}

/// `closing` says whether it is felt that a node takes no new pods; the node itself works on all the same.
fn of_node(
    world: &World<'_>,
    node: &ObjectRef,
    relation: &'static str,
    since: u64,
    closing: bool,
) -> Vec<Lead> {
    // Taints of that prefix are written by controllers and tell of the node's state: an effect, not a cause.
    let by_hand = |change: &Signal| {
        change.fields.iter().any(|f| {
            closing && f.name == "/spec/unschedulable"
                || f.name.starts_with("/spec/taints") && !f.value.contains("node.kubernetes.io/")
        })
    };
    let edits = changes(world, node, since).into_iter().filter(by_hand);
    let mut leads: Vec<Lead> = edits.map(|change| Lead::new(EDIT, node, relation, 35, change)).collect();
    let boots = world.about(node, "self", "event", "Rebooted", since, 1).into_iter();
    leads.extend(boots.map(|event| Lead::new(REBOOT, node, relation, 42, event)));
    leads
}

/// What was done, to follow the name of the object: `was edited at 09:13:02 (data.Corefile edited)`.
pub(crate) fn told(change: &Signal) -> String {
    let at = clock(change.at);
    match change.name.as_str() {
        "Rebooted" => format!("was booted at {at}"),
        "ADDED" => format!("was created at {at}"),
        "DELETED" => format!("was deleted at {at}"),
        _ => format!("was changed at {at} ({})", change.message),
    }
}
