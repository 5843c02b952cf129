//! Pods that wait for a node, from their objects or, where those were never seen, from the scheduler's events alone.

use kwhy_sdk::{ObjectRef, Signal, World, hours, minutes, parse_time};

use crate::message::{self, Unfit};

/// Words of the scheduler that are older than that may be about a pod that is long gone.
const STALE: u64 = hours(1);
/// Words that were said once and not again by then are over (`unschedulableQ` is flushed every five minutes).
const AGAIN: u64 = minutes(10);
/// How far back words are looked for.
const LOOKBACK: u64 = hours(2);

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
    // Nearly all have their node, and nothing else is read of them.
    if world.read(pod, "/spec/nodeName").is_some_and(|node| !node.text("").is_empty()) {
        return None;
    }
    let deleted = world.read(pod, "/metadata/deletionTimestamp").is_some_and(|d| d.has(""));
    let status = world.read(pod, "/status").unwrap_or_default();
    if deleted || !matches!(status.text("/phase"), "" | "Pending") {
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
    let told = said(world, pod, world.ago(LOOKBACK));
    // Whoever wrote the object down may have left its times out.
    let since = match &told {
        Some((event, _)) if since == 0 => event.began(),
        _ => since,
    };
    let (event, verdict) = match told {
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
    let last = world.about(pod, "self", "event", "FailedScheduling", event.at, 1).pop()?;
    if last.message.starts_with("skip schedule deleting pod") {
        return None;
    }
    let later = |name: &str| !world.about(pod, "self", "event", name, event.at, 1).is_empty();
    if ["Scheduled", "Pulling", "Pulled", "Created", "Started", "Killing"].iter().any(|name| later(name)) {
        return None;
    }
    // The scheduler tries again within five minutes and says it again; after that it counts only now and then.
    let once = event.field("count").parse().unwrap_or(1) < 2 && event.at == event.began();
    if once && event.at + AGAIN <= world.now() {
        return None;
    }
    let since = event.began();
    let verdict = Some((event.message.clone(), unfit));
    Some(Waiting { pod: pod.clone(), since, verdict, event: Some(event) })
}

/// When to look again at a pod of which only events are known.
pub(crate) fn stale_at(waiting: &Waiting) -> Option<u64> {
    waiting.event.as_ref().map(|e| e.at + STALE + minutes(1))
}

/// The pods of a workload that wait, the one that waits longest first.
pub(crate) fn all(world: &World<'_>, workload: &ObjectRef) -> Vec<Waiting> {
    let mut pods = world.pods(workload);
    for event in world.about(workload, "namespace", "event", "FailedScheduling", world.ago(STALE), 50) {
        let Some(pod) = event.subject.filter(|pod| !told_of(world, pod)) else { continue };
        if world.workload(&pod).is(workload) && !pods.iter().any(|p| p.is(&pod)) {
            pods.push(pod);
        }
    }
    let mut waiting: Vec<Waiting> = pods.iter().filter_map(|pod| of(world, pod)).collect();
    waiting.sort_by(|a, b| (a.since, &a.pod.name).cmp(&(b.since, &b.pod.name)));
    waiting
}
