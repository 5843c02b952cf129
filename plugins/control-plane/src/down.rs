//! `control-plane.part-down`: the scheduler or the controller manager ends at each start and no other one works, so what
//! it does for the whole cluster stays undone.
//!
//! Their last words are those of `component-base/cli/run.go` and of cobra.

use kwhy_sdk::{
    Condition, Diagnosis, Evidence, Explains, ObjectRef, Program, Remedy, Signal, Step, Verdict, World,
    hours, minutes, parse_time,
};

use crate::{
    line, look_at,
    part::{Part, cluster, firing, told},
};

pub(crate) const CODE: &str = "control-plane.part-down";

/// Alerts that say that nobody can measure it.
pub(crate) const ALERTS: [&str; 2] = ["KubeSchedulerDown", "KubeControllerManagerDown"];

/// One that is started anew, as an upgrade does, is back sooner.
const PATIENCE: u64 = minutes(3);
/// A scheduler that works has had a look at a pod by then.
const LOOKED_AT: u64 = minutes(2);
/// More pods that wait are not named one by one.
const MANY: usize = 200;

/// Parts of which none works. One that may still come up is looked at again.
pub(crate) fn down(world: &World<'_>, verdict: &mut Verdict) -> Vec<Diagnosis> {
    let mut out = Vec::new();
    for part in [Part::Scheduler, Part::ControllerManager] {
        let pods = part.pods(world);
        if pods.is_empty() || !pods.iter().all(Program::keeps_ending) {
            continue;
        }
        let since = pods.iter().map(|p| Condition::of(&p.pod, "Ready").since).max().unwrap_or(0);
        if since + PATIENCE > world.now() {
            verdict.wakes.push(look_at(world, since + PATIENCE));
        } else if let Some(first) = pods.first() {
            out.push(put(world, part, first, pods.len()));
        }
    }
    out
}

fn put(world: &World<'_>, part: Part, pod: &Program, of: usize) -> Diagnosis {
    let (name, node, id) = (part.name(), pod.node(), &pod.id);
    let said = told(world, part, line::ENDS, world.ago(hours(2)));
    let last = said.iter().find(|l| l.subject.as_ref().is_some_and(|s| s.is(id)));
    let why = last.map_or("", |l| l.field("why"));
    let words = if why.is_empty() { String::new() } else { format!(": {why}") };
    let mut d = Diagnosis::new(CODE, id.clone());
    d.severity = "critical".into();
    d.confidence = if last.is_some() { 93 } else { 86 };
    d.title = format!("{name} does not run{words}");
    d.explanation = format!(
        "{} ends at each start{words}{}. {}",
        id.name,
        if of > 1 { ", and so do the others" } else { ", and there is no other" },
        undone(part)
    );
    let waiting = pod.waiting();
    let state = if waiting.is_empty() { pod.fares() } else { waiting };
    d.evidence.push(Evidence::object(id, state, 50, format!("{name} on {node}, {}", pod.fares())));
    d.evidence.extend(last.map(|l| Evidence::signal(l, 60, "its last words")));
    let measured: Vec<Signal> = firing(world, &ALERTS, world.ago(hours(24)));
    d.evidence.extend(
        measured
            .iter()
            .filter(|a| a.name == alert(part))
            .take(1)
            .map(|a| Evidence::signal(a, 40, "measured")),
    );
    d.explains = explains(world, part);
    d.path = vec![Step::new(id, "", "does not run")];
    d.remedies = remedies(part, pod, why);
    d
}

fn alert(part: Part) -> &'static str {
    if part == Part::Scheduler { "KubeSchedulerDown" } else { "KubeControllerManagerDown" }
}

/// What nobody does while it is away.
fn undone(part: Part) -> &'static str {
    if part == Part::Scheduler {
        "Until it runs, no pod that is made gets a node: it waits without a word why. What runs goes on."
    } else {
        "Until it runs, no controller acts: Deployments and Jobs make no pods, lost nodes are not noticed, no token and no \
         address is given out. What runs goes on."
    }
}

fn explains(world: &World<'_>, part: Part) -> Vec<Explains> {
    let all = cluster(world);
    let name = if part == Part::Scheduler { "KubeScheduler*" } else { "KubeControllerManager*" };
    let mut out = vec![Explains::alert(name, &all, "cluster")];
    for pod in part.pods(world) {
        let alerts = ["KubePodCrashLooping", "KubePodNotReady", "KubeContainerWaiting"];
        out.extend(alerts.map(|name| Explains::alert(name, &pod.id, "self")));
        out.extend(["Unhealthy", "BackOff"].map(|name| Explains::event(name, &pod.id, "self")));
        out.push(Explains::finding("workload.*", &pod.id, "self"));
    }
    if part == Part::ControllerManager {
        out.push(Explains::alert("Kube*GenerationMismatch", &all, "cluster"));
        return out;
    }
    let mut known: Vec<ObjectRef> = Vec::new();
    for pod in world.list("Pod", "").iter().filter(|pod| unseen(world, pod)).take(MANY) {
        out.extend(Explains::waiting(pod, "self"));
        let workload = world.workload(pod);
        if !workload.is(pod) && !known.iter().any(|w| w.is(&workload)) {
            out.extend(Explains::waiting(&workload, "workload"));
            known.push(workload);
        }
    }
    out
}

/// No scheduler has had a look at the pod: it has no node, and nothing stands there why not.
fn unseen(world: &World<'_>, pod: &ObjectRef) -> bool {
    let read = |pointer: &str| world.read(pod, pointer).unwrap_or_default();
    let made = parse_time(read("/metadata/creationTimestamp").text("")).unwrap_or(0);
    read("/spec/nodeName").text("").is_empty()
        && made + LOOKED_AT <= world.now()
        && world.condition(pod, "PodScheduled").status.is_empty()
}

fn remedies(part: Part, pod: &Program, why: &str) -> Vec<Remedy> {
    let (name, node, id) = (part.name(), pod.node(), &pod.id);
    let manifest = format!("/etc/kubernetes/manifests/{name}.yaml");
    let mend = match why.strip_prefix("unknown flag: ") {
        Some(flag) => Remedy::new(format!(
            "take {flag} out of the manifest of {name} on each machine of the control plane: this version does not know it any more"
        ))
        .command(format!("ssh {node} sudo grep -n -e {flag} {manifest}")),
        None => Remedy::new(format!("mend what its last words name; the kubelet of {node} starts it from its manifest"))
            .command(format!("ssh {node} sudo cat {manifest}")),
    };
    vec![
        mend.caution(
            "the kubelet takes up a manifest as soon as it is written: edit a copy elsewhere, not beside it",
        ),
        Remedy::new("read what it said last")
            .command(format!("kubectl -n {} logs {} --previous --tail=20", id.namespace, id.name)),
    ]
}
