//! Each workload with pods that wait, judged from the facts as they stand; and what is held true of all of them.

use kwhy_sdk::{Clearing, Diagnosis, ObjectRef, Rejection, Signal, Verdict, Wake, World, hours, minutes};

use crate::{
    cause::{self, Cause},
    closed,
    finding::Case,
    place::Place,
    waiting::{self, Waiting},
    wish::Wish,
};

/// Timer: look at the workload of the pod again.
pub(crate) const LOOK: &str = "scheduling-look";
/// A pod may wait that long without anything being wrong: a rollout, a node that comes up.
const PATIENCE: u64 = minutes(2);
/// An autoscaler has promised a node; after that it has not come.
const SCALE_UP: u64 = minutes(10);
/// Most pods that are read in one call to see what nodes have left.
const MOST_PODS: usize = 500;
/// Most workloads that are told of in one finding.
const MOST_WORKLOADS: usize = 20;

type Id = (String, String, String);

fn id(object: &ObjectRef) -> Id {
    (object.kind.clone(), object.namespace.clone(), object.name.clone())
}

fn object((kind, namespace, name): &Id) -> ObjectRef {
    ObjectRef::new(kind, namespace, name)
}

/// Workload, code and root.
type Entry = (Id, String, Id);

/// What is held true.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Held(Vec<Entry>);

impl Held {
    const KEY: &str = "held";
    const KEEP: u64 = hours(24 * 7);

    pub(crate) fn recall(world: &World<'_>) -> Self {
        Self(world.recall(Self::KEY).unwrap_or_default())
    }

    pub(crate) fn remember(&self, world: &World<'_>) {
        if self.0.is_empty() {
            world.forget(Self::KEY);
        } else {
            world.remember(Self::KEY, &self.0, Self::KEEP);
        }
    }

    pub(crate) fn knows(&self, workload: &ObjectRef) -> bool {
        self.0.iter().any(|(w, _, _)| *w == id(workload))
    }

    /// The workloads of which something is held true.
    pub(crate) fn workloads(&self) -> Vec<ObjectRef> {
        let mut all: Vec<&Id> = self.0.iter().map(|(workload, _, _)| workload).collect();
        all.dedup();
        all.into_iter().map(object).collect()
    }

    /// The workloads that have one cause at one root.
    fn sharing(&self, code: &str, root: &ObjectRef) -> Vec<ObjectRef> {
        let same = self.0.iter().filter(|(_, c, r)| c == code && *r == id(root));
        same.map(|(workload, _, _)| object(workload)).take(MOST_WORKLOADS).collect()
    }

    fn add(&mut self, workload: &ObjectRef, diagnosis: &Diagnosis) {
        let entry = (id(workload), diagnosis.code.clone(), id(&diagnosis.root));
        if let Err(place) = self.0.binary_search(&entry) {
            self.0.insert(place, entry);
        }
    }

    /// Takes out what is held of a workload but for one code and root.
    fn take(&mut self, workload: &ObjectRef, but: Option<&Diagnosis>) -> Vec<(String, ObjectRef)> {
        let stays =
            |(w, c, r): &Entry| *w != id(workload) || but.is_some_and(|d| *c == d.code && *r == id(&d.root));
        let gone = self.0.iter().filter(|e| !stays(e)).map(|(_, c, r)| (c.clone(), object(r))).collect();
        self.0.retain(stays);
        gone
    }
}

/// How a workload stands.
enum Standing {
    /// None of its pods waits.
    Placed(&'static str),
    /// One waits, and that may be in order until then.
    Early(ObjectRef, u64),
    /// The scheduler has said nothing about nodes.
    Unsaid,
    /// Another tells of it, or nothing can be said.
    /// The code that is not the cause, and what is.
    Yields(&'static str, Cause),
    Caused(Box<Diagnosis>),
}

pub(crate) fn look(pod: &ObjectRef, at: u64) -> Wake {
    Wake { id: LOOK.into(), subject: Some(pod.clone()), at }
}

/// Judges one workload from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, workload: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let waiting = waiting::all(world, workload);
    if let Some(first) = waiting.first().filter(|w| !world.exists(&w.pod)) {
        verdict.wakes.extend(waiting::stale_at(first).map(|at| look(&first.pod, at)));
    }
    match stand(world, workload, &waiting) {
        Standing::Placed(because) => clear(world, held, &mut verdict, workload, None, because),
        Standing::Early(pod, until) => verdict.wakes.push(look(&pod, until)),
        Standing::Unsaid => {}
        Standing::Yields(code, cause) => {
            let because = yields(&cause);
            clear(world, held, &mut verdict, workload, None, &because);
            if cause != Cause::Unknown {
                verdict.rejections.push(Rejection::new(code, workload, because));
            }
        }
        Standing::Caused(diagnosis) => {
            clear(world, held, &mut verdict, workload, Some(&diagnosis), "another cause is seen now");
            held.add(workload, &diagnosis);
            let others = held.sharing(&diagnosis.code, &diagnosis.root);
            verdict.diagnoses.push(together(world, &others, (workload, *diagnosis)));
        }
    }
    verdict
}

fn stand(world: &World<'_>, workload: &ObjectRef, waiting: &[Waiting]) -> Standing {
    let Some(first) = waiting.first() else {
        let none = world.pods(workload).is_empty();
        return Standing::Placed(if none { "no pod waits any more" } else { "all its pods have a node" });
    };
    let due = promise(world, &first.pod, first.since).map_or(first.since + PATIENCE, |at| at + SCALE_UP);
    if world.now() < due {
        return Standing::Early(first.pod.clone(), due);
    }
    // The oldest may have been judged by a scheduler that has said nothing of it since.
    let Some((told, (message, unfit))) = waiting.iter().find_map(|w| Some((w, w.verdict.clone()?))) else {
        return Standing::Unsaid;
    };
    let mut places = Vec::new();
    let wish = Wish::of(world, &told.pod, workload);
    if let Some(wish) = &wish {
        places = world.list("Node", "").iter().map(|n| Place::of(world, n, wish)).collect();
        let mut budget = MOST_PODS;
        let counts = |p: &&mut Place| p.selected && p.reached && (p.meant() || p.tainted_at.is_some());
        for place in places.iter_mut().filter(counts).filter(|p| p.too_small(wish).is_none()) {
            place.count(world, &mut budget);
        }
    }
    let wish = wish.unwrap_or_default();
    let cause = cause::of(&unfit, &wish, &places, first.since);
    let code = cause::code_by_words(&unfit, &wish, &places);
    let case = Case {
        world,
        workload: workload.clone(),
        pods: waiting.iter().map(|w| w.pod.clone()).collect(),
        told: told.pod.clone(),
        message,
        event: told.event.clone(),
        refusal: refusal(world, &told.pod, first.since),
        since: first.since,
        wish,
        places,
    };
    match case.diagnosis(&cause) {
        Some(diagnosis) => Standing::Caused(Box::new(diagnosis)),
        None => Standing::Yields(code, cause),
    }
}

/// When an autoscaler first promised the pod a node, ms.
fn promise(world: &World<'_>, pod: &ObjectRef, since: u64) -> Option<u64> {
    let promises = ["TriggeredScaleUp", "Nominated"];
    let told = promises.iter().flat_map(|name| world.about(pod, "self", "event", name, since, 20));
    told.map(|e| e.began().max(since)).min()
}

/// What an autoscaler says why it adds no node.
fn refusal(world: &World<'_>, pod: &ObjectRef, since: u64) -> Option<Signal> {
    let declined = world.about(pod, "self", "event", "NotTriggerScaleUp", since, 1).pop();
    declined.or_else(|| {
        let said = world.about(pod, "self", "event", "FailedScheduling", since, 10);
        said.into_iter().find(|e| e.message.starts_with("Failed to schedule pod, "))
    })
}

/// One diagnosis for all workloads that wait for the same.
fn together(world: &World<'_>, workloads: &[ObjectRef], known: (&ObjectRef, Diagnosis)) -> Diagnosis {
    let (judged, diagnosis) = known;
    let mut all = Vec::new();
    for workload in workloads.iter().filter(|w| !w.is(judged)) {
        if let Standing::Caused(other) = stand(world, workload, &waiting::all(world, workload))
            && other.code == diagnosis.code
            && other.root.is(&diagnosis.root)
        {
            all.push((workload.clone(), *other));
        }
    }
    if all.is_empty() {
        return diagnosis;
    }
    all.push((judged.clone(), diagnosis));
    all.sort_by_key(|(workload, _)| id(workload));
    closed::together(all)
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
        Cause::VolumeElsewhere => "its volume lies on other nodes: that is about storage".to_owned(),
        _ => "the scheduler's words tell no cause".to_owned(),
    }
}

/// Takes back what is held of a workload but for the diagnosis that holds now.
fn clear(
    world: &World<'_>,
    held: &mut Held,
    verdict: &mut Verdict,
    workload: &ObjectRef,
    but: Option<&Diagnosis>,
    because: &str,
) {
    for (code, root) in held.take(workload, but) {
        // A finding that another code carries on at the same root must not be closed.
        if but.is_some_and(|d| d.root.is(&root)) {
            continue;
        }
        let others = held.sharing(&code, &root);
        let still = others.iter().find_map(|other| {
            let Standing::Caused(d) = stand(world, other, &waiting::all(world, other)) else { return None };
            (d.code == code && d.root.is(&root)).then(|| together(world, &others, (other, *d)))
        });
        match still {
            Some(diagnosis) => verdict.diagnoses.push(diagnosis),
            None => verdict.cleared.push(Clearing::new(&code, &root, because)),
        }
    }
}
