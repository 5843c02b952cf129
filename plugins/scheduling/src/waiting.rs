//! Pods that wait for a node, from their objects or, where those were never seen, from the scheduler's events alone.

use kwhy_sdk::{ObjectRef, Signal, World, hours, minutes, parse_time};

use crate::message::{self, Unfit};

/// Words of the scheduler that are older than that may be about a pod that is long gone.
const STALE: u64 = hours(1);
/// How far back words are looked for.
const LOOKBACK: u64 = hours(2);
/// What a ReplicaSet, a Job and their pods append to a name.
const SAFE: &str = "bcdfghjklmnpqrstvwxz2456789";

/// A pod that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) pod: ObjectRef,
    /// Since when, ms.
    pub(crate) since: u64,
    /// What the scheduler said of it, as text and read; none where it said nothing about nodes.
    pub(crate) verdict: Option<(String, Unfit)>,
    /// The event that brought it.
    pub(crate) event: Option<Signal>,
}

/// Whether an object was ever told of; one that was deleted was.
fn told_of(world: &World<'_>, id: &ObjectRef) -> bool {
    world.read(id, "/metadata/name").is_some()
}

/// The pod as one that waits; none where it does not, as far as is known.
pub(crate) fn of(world: &World<'_>, pod: &ObjectRef) -> Option<Waiting> {
    if pod.kind != "Pod" {
        return None;
    }
    if told_of(world, pod) { by_object(world, pod) } else { by_events(world, pod) }
}

/// The newest verdict of the scheduler on a pod: another may tell of the same pod why it makes no node for it.
fn said(world: &World<'_>, pod: &ObjectRef, since: u64) -> Option<(Signal, Unfit)> {
    let events = world.about(pod, "self", "event", "FailedScheduling", since, 10);
    events.into_iter().find_map(|event| message::parse(&event.message).map(|unfit| (event, unfit)))
}

fn by_object(world: &World<'_>, pod: &ObjectRef) -> Option<Waiting> {
    if !world.exists(pod) {
        return None;
    }
    let node = world.read(pod, "/spec/nodeName").unwrap_or_default();
    let deleted = world.read(pod, "/metadata/deletionTimestamp").is_some_and(|d| d.has(""));
    let status = world.read(pod, "/status").unwrap_or_default();
    if !node.text("").is_empty() || deleted || !matches!(status.text("/phase"), "" | "Pending") {
        return None;
    }
    let conditions = status.list("/conditions");
    let scheduled = conditions.iter().find(|c| c.text("/type") == "PodScheduled");
    let created = world.read(pod, "/metadata/creationTimestamp").unwrap_or_default();
    let made = parse_time(created.text("")).unwrap_or(0);
    let (words, since) = match scheduled {
        Some(c) if c.text("/status") == "False" && c.text("/reason") == "Unschedulable" => {
            (c.text("/message").to_owned(), parse_time(c.text("/lastTransitionTime")).unwrap_or(made))
        }
        // Gated pods wait on purpose.
        Some(_) => return None,
        None => (String::new(), made),
    };
    let (event, verdict) = match said(world, pod, world.ago(LOOKBACK)) {
        Some((event, unfit)) => {
            let text = event.message.clone();
            (Some(event), Some((text, unfit)))
        }
        None => (None, message::parse(&words).map(|unfit| (words, unfit))),
    };
    Some(Waiting { pod: pod.clone(), since, verdict, event })
}

/// Events are all that is known: it waits until one says that it has a node, or none has said otherwise for long.
fn by_events(world: &World<'_>, pod: &ObjectRef) -> Option<Waiting> {
    let (event, unfit) = said(world, pod, world.ago(STALE))?;
    let later = |name: &str| !world.about(pod, "self", "event", name, event.at, 1).is_empty();
    if ["Scheduled", "Pulling", "Pulled", "Created", "Started", "Killing"].iter().any(|name| later(name)) {
        return None;
    }
    let since = event.field("first-at").parse().unwrap_or(event.at);
    let verdict = Some((event.message.clone(), unfit));
    Some(Waiting { pod: pod.clone(), since, verdict, event: Some(event) })
}

/// When to look again at a pod of which only events are known.
pub(crate) fn stale_at(waiting: &Waiting) -> Option<u64> {
    waiting.event.as_ref().map(|e| e.at + STALE + minutes(1))
}

/// The workload of a pod; of one that was never seen as its name tells.
pub(crate) fn workload(world: &World<'_>, pod: &ObjectRef) -> ObjectRef {
    if told_of(world, pod) {
        return world.workload(pod);
    }
    let Some((owner, tail)) = pod.name.rsplit_once('-') else { return pod.clone() };
    for kind in ["ReplicaSet", "StatefulSet", "DaemonSet", "Job"] {
        let owner = ObjectRef::new(kind, &pod.namespace, owner);
        if told_of(world, &owner) {
            return world.workload(&owner);
        }
    }
    let made_up = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.chars().all(|c| SAFE.contains(c))
    };
    match owner.rsplit_once('-') {
        Some((name, hash)) if made_up(tail, &[5]) && made_up(hash, &[8, 9, 10]) => {
            ObjectRef::new("Deployment", &pod.namespace, name)
        }
        _ => pod.clone(),
    }
}

/// The pods of a workload that wait, the one that waits longest first.
pub(crate) fn all(world: &World<'_>, workload: &ObjectRef) -> Vec<Waiting> {
    let mut pods = world.pods(workload);
    for event in world.about(workload, "namespace", "event", "FailedScheduling", world.ago(STALE), 50) {
        let Some(pod) = event.subject.filter(|pod| !told_of(world, pod)) else { continue };
        if self::workload(world, &pod).is(workload) && !pods.iter().any(|p| p.is(&pod)) {
            pods.push(pod);
        }
    }
    let mut waiting: Vec<Waiting> = pods.iter().filter_map(|pod| of(world, pod)).collect();
    waiting.sort_by(|a, b| (a.since, &a.pod.name).cmp(&(b.since, &b.pod.name)));
    waiting
}
