//! The scheduling rule pack: why no node takes a pod.
//!
//! What the scheduler says (event FailedScheduling, condition PodScheduled) is the sign; the cause is judged from the
//! nodes and the workload themselves, so it does not depend on how a version words it.

mod cause;
mod code;
mod finding;
mod message;
mod place;
mod quantity;

use kwhy_sdk::{
    Clearing, Descriptor, ObjectRef, Rejection, Rule, Signal, Subscription, Verdict, Wake, World, hours,
    minutes, parse_time, seconds,
};

use cause::Cause;
use finding::Case;
use place::{Place, Wish};

/// The pack.
#[derive(Debug, Default)]
pub struct Scheduling;

kwhy_sdk::export!(Scheduling);

/// Timer: look at the workload of the pod again.
const LOOK: &str = "scheduling-look";
/// What is held true: workload, code and root.
const HELD: &str = "held";
const KEEP: u64 = hours(24 * 7);
/// A pod may wait that long without anything being wrong: a rollout, a node that comes up.
const PATIENCE: u64 = minutes(2);
/// The autoscaler has promised a node; after that it has not come.
const SCALE_UP: u64 = minutes(10);

/// Most pods that are read in one call to see what nodes have left.
const MOST_PODS: usize = 500;

type Id = (String, String, String);
/// Workload, code and root of what is held true.
type Held = Vec<(Id, String, Id)>;

fn id(object: &ObjectRef) -> Id {
    (object.kind.clone(), object.namespace.clone(), object.name.clone())
}

impl Rule for Scheduling {
    fn describe(&self) -> Descriptor {
        let any = "all of Kubernetes";
        let assign = "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/";
        let resources =
            "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#troubleshooting";
        Descriptor::new("scheduling", env!("CARGO_PKG_VERSION"))
            .code(code::CPU, "No node has the CPU that a pod requests", any, &[resources])
            .code(code::MEMORY, "No node has the memory that a pod requests", any, &[resources])
            .code(code::RESOURCE, "No node has a resource that a pod requests", any, &[resources])
            .code(
                code::TAINT,
                "A pod tolerates none of the nodes it may go to",
                any,
                &["https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"],
            )
            .code(code::SELECTOR, "No node meets the selector or affinity of a pod", any, &[assign])
            .code(
                code::SPREAD,
                "The topology spread of a workload leaves no node",
                any,
                &["https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/"],
            )
            .code(
                code::HOST_PORT,
                "A host port is taken on every node",
                any,
                &["https://kubernetes.io/docs/concepts/configuration/overview/#services"],
            )
            .code(
                code::CORDONED,
                "The node that would take a pod is cordoned",
                any,
                &["https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/"],
            )
            .code(
                code::TOO_MANY_PODS,
                "The nodes hold as many pods as they may",
                any,
                &["https://kubernetes.io/docs/setup/best-practices/cluster-large/"],
            )
            .wants(
                Subscription::events(&["FailedScheduling", "TriggeredScaleUp", "NotTriggerScaleUp"])
                    .kinds(&["Pod"]),
            )
            .wants(Subscription::objects(&["Pod", "Node"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        let mut held: Held = world.recall(HELD).unwrap_or_default();
        let before = held.clone();
        let mut verdict = Verdict::default();
        if signal.source == "object" && signal.state == "listed" {
            // What else was there comes in the same moment, in any order: owners, nodes.
            if waits(world, subject).is_some() {
                verdict.wakes.push(look(subject, world.now() + seconds(1)));
            }
        } else if subject.kind == "Node" {
            // A node that comes, goes or is opened matters to all that wait.
            let mut waiting: Vec<Id> = held.iter().map(|(workload, _, _)| workload.clone()).collect();
            waiting.dedup();
            for (kind, namespace, name) in waiting {
                let workload = ObjectRef::new(&kind, &namespace, &name);
                verdict.merge(judge(world, &mut held, &workload));
            }
        } else {
            let workload = world.workload(subject);
            let known = held.iter().any(|(w, _, _)| *w == id(&workload));
            // Most pods have their node: nothing to look at.
            if known || signal.source != "object" || waits(world, subject).is_some() {
                verdict = judge(world, &mut held, &workload);
            }
        }
        if held != before {
            if held.is_empty() {
                world.forget(HELD);
            } else {
                world.remember(HELD, &held, KEEP);
            }
        }
        Ok(verdict)
    }
}

fn look(pod: &ObjectRef, at: u64) -> Wake {
    Wake { id: LOOK.into(), subject: Some(pod.clone()), at }
}

/// The scheduler's words on a pod that waits for a node, and since when.
fn waits(world: &World<'_>, pod: &ObjectRef) -> Option<(String, u64)> {
    if pod.kind != "Pod" || !world.exists(pod) {
        return None;
    }
    let spec = world.read(pod, "/spec/nodeName").unwrap_or_default();
    let deleted = world.read(pod, "/metadata/deletionTimestamp").is_some_and(|d| d.has(""));
    let status = world.read(pod, "/status").unwrap_or_default();
    if !spec.text("").is_empty() || deleted || !matches!(status.text("/phase"), "" | "Pending") {
        return None;
    }
    let conditions = status.list("/conditions");
    let scheduled = conditions.iter().find(|c| c.text("/type") == "PodScheduled");
    let created = world.read(pod, "/metadata/creationTimestamp").unwrap_or_default();
    let made = parse_time(created.text("")).unwrap_or(0);
    match scheduled {
        Some(c) if c.text("/status") == "False" && c.text("/reason") == "Unschedulable" => {
            Some((c.text("/message").to_owned(), parse_time(c.text("/lastTransitionTime")).unwrap_or(made)))
        }
        // Gated pods wait on purpose.
        Some(_) => None,
        None => Some((String::new(), made)),
    }
}

/// Judges one workload from the facts as they stand now.
fn judge(world: &World<'_>, held: &mut Held, workload: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let mut waiting: Vec<(u64, ObjectRef, String)> = world
        .pods(workload)
        .into_iter()
        .filter_map(|pod| waits(world, &pod).map(|(words, since)| (since, pod, words)))
        .collect();
    waiting.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    let Some((since, pod, words)) = waiting.first().cloned() else {
        let because = if world.pods(workload).is_empty() {
            "no pod waits any more"
        } else {
            "all its pods have a node"
        };
        clear(held, &mut verdict, workload, None, because);
        return verdict;
    };
    let event = world.about(&pod, "self", "event", "FailedScheduling", world.ago(hours(2)), 1).pop();
    let message = match &event {
        Some(event) => event.message.clone(),
        None => words,
    };
    let promised = world.about(&pod, "self", "event", "TriggeredScaleUp", since, 1).pop();
    let due = promised.map_or(since + PATIENCE, |e| e.at + SCALE_UP);
    if world.now() < due {
        verdict.wakes.push(look(&pod, due));
        return verdict;
    }
    let Some(unfit) = message::parse(&message) else { return verdict };
    let wish = Wish::of(world, &pod);
    let mut places: Vec<Place> = world.list("Node", "").iter().map(|n| Place::of(world, n, &wish)).collect();
    let mut budget = MOST_PODS;
    for place in places.iter_mut().filter(|p| p.meant() && p.too_small(&wish).is_none()) {
        place.count(world, &mut budget);
    }
    let cause = cause::of(&unfit, &wish, &places, since);
    let pods = waiting.into_iter().map(|(_, pod, _)| pod).collect();
    let case = Case { world, workload: workload.clone(), pods, message, event, since, wish, places };
    match case.diagnosis(&cause) {
        Some(diagnosis) => {
            clear(
                held,
                &mut verdict,
                workload,
                Some((&diagnosis.code, &diagnosis.root)),
                "another cause is seen now",
            );
            let entry = (id(workload), diagnosis.code.clone(), id(&diagnosis.root));
            if let Err(place) = held.binary_search(&entry) {
                held.insert(place, entry);
            }
            verdict.diagnoses.push(diagnosis);
        }
        None => {
            let because = yields(&cause);
            clear(held, &mut verdict, workload, None, &because);
            if cause != Cause::Unknown {
                verdict.rejections.push(Rejection::new(code::SELECTOR, workload, because));
            }
        }
    }
    verdict
}

/// Why nothing is said though a pod waits.
fn yields(cause: &Cause) -> String {
    let list = |nodes: &[ObjectRef]| nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ");
    match cause {
        Cause::Down(nodes) if nodes.is_empty() => "a node that is down would be its place".to_owned(),
        Cause::Down(nodes) => format!("node {} is down and would be its place", list(nodes)),
        Cause::Pressed(nodes) => {
            format!("node {} takes no pods, being short of something itself", list(nodes))
        }
        Cause::Claim => "its claim is not bound: that is about storage".to_owned(),
        _ => "the scheduler's words tell no cause".to_owned(),
    }
}

/// Takes back what is held of a workload but for one code and root.
fn clear(
    held: &mut Held,
    verdict: &mut Verdict,
    workload: &ObjectRef,
    but: Option<(&str, &ObjectRef)>,
    because: &str,
) {
    let stays = |(w, c, r): &(Id, String, Id)| {
        *w != id(workload) || but.is_some_and(|(code, root)| c == code && *r == id(root))
    };
    // A finding that another code carries on at the same root must not be closed.
    let carried = |(_, _, r): &(Id, String, Id)| but.is_some_and(|(_, root)| *r == id(root));
    for (_, code, (kind, namespace, name)) in held.iter().filter(|e| !stays(e) && !carried(e)) {
        verdict.cleared.push(Clearing::new(code, &ObjectRef::new(kind, namespace, name), because));
    }
    held.retain(|e| stays(e));
}
