//! `control-plane.leader-flapping`: a component of the control plane loses its lease and starts anew, again and again, and
//! nothing below it tells why.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Program, Remedy, Signal, Step, World, hours, minutes,
};

use crate::{
    line,
    part::{Part, cluster, told},
};

pub(crate) const CODE: &str = "control-plane.leader-flapping";

/// How long a change of leaders counts.
pub(crate) const WINDOW: u64 = hours(1);
/// So many within it are no roll-out, which makes one change for each machine of the control plane.
const CHANGES: usize = 4;
/// So many losses within it are no hiccup.
const LOSSES: usize = 2;

/// Each component that flaps.
pub(crate) fn flapping(world: &World<'_>) -> Vec<Diagnosis> {
    [Part::ControllerManager, Part::Scheduler].into_iter().filter_map(|part| one(world, part)).collect()
}

fn one(world: &World<'_>, part: Part) -> Option<Diagnosis> {
    let since = world.ago(WINDOW);
    let lost = told(world, part, line::LEASE, since);
    let losses = distinct(&lost);
    let events = world.about(&cluster(world), "cluster", "event", "LeaderElection", since, 100);
    let mut changes: Vec<Signal> = Vec::new();
    for event in events {
        let of_part = event.subject.as_ref().is_some_and(|s| s.name == part.name());
        let known = changes.iter().any(|c| c.message == event.message);
        if of_part && !known && event.message.contains("became leader") {
            changes.push(event);
        }
    }
    if losses < LOSSES && changes.len() < CHANGES {
        return None;
    }
    let pods = part.pods(world);
    let again: Vec<&Program> = pods.iter().filter(|p| p.restarts() > 0).collect();
    let who: Vec<ObjectRef> = {
        let mut all: Vec<ObjectRef> = Vec::new();
        for pod in lost.iter().filter_map(|l| l.subject.as_ref()) {
            if !all.iter().any(|p| p.is(pod)) {
                all.push(pod.clone());
            }
        }
        all
    };
    let root = match who.as_slice() {
        [only] => only.clone(),
        _ if pods.len() == 1 => pods.first().map(|p| p.id.clone())?,
        _ => ObjectRef::new("Lease", "kube-system", part.name()),
    };
    let mut d = Diagnosis::new(CODE, root.clone());
    // Lines alone say little; restarts of the pods bear them out, and so do the changes of the lease.
    d.confidence = match (losses >= LOSSES, changes.len() >= LOSSES, again.is_empty()) {
        (true, true, _) => 88,
        (true, false, false) => 82,
        (true, false, true) => 60,
        (false, _, false) => 78,
        (false, _, true) => 72,
    };
    d.title = format!("{} loses its leadership again and again", part.name());
    let nodes: Vec<String> = who.iter().map(|p| crate::part::node_of(world, p)).collect();
    let mut facts: Vec<String> = Vec::new();
    if !lost.is_empty() {
        facts.push(format!(
            "{losses} times in the last hour{}",
            if nodes.is_empty() { String::new() } else { format!(", on {}", nodes.join(", ")) }
        ));
    }
    if !changes.is_empty() {
        facts.push(format!("its lease changed hands {} times", changes.len()));
    }
    let why = lost.iter().map(|l| l.field("why")).find(|w| !w.is_empty());
    d.explanation = format!(
        "{} did not renew its lease in time: {}. It ends itself then and is started anew; meanwhile {}.{} Neither etcd's disk nor \
         the API server tells of a trouble, so look at the machine that it runs on.",
        part.name(),
        facts.join("; "),
        if part == Part::Scheduler { "no pod gets a node" } else { "no controller does its work" },
        why.map_or(String::new(), |w| format!(" The last renewal failed with: {w}."))
    );
    d.evidence.extend(lost.iter().take(3).map(|l| Evidence::signal(l, 50, "its own words")));
    d.evidence.extend(changes.iter().take(3).map(|e| Evidence::signal(e, 30, "another leader")));
    d.evidence.extend(again.iter().take(2).map(|p| Evidence::object(&p.id, p.fares(), 30, "started anew")));
    for pod in &pods {
        for name in ["KubePodCrashLooping", "KubePodNotReady", "KubeContainerWaiting"] {
            d.explains.push(Explains::alert(name, &pod.id, "self"));
        }
        for name in ["BackOff", "Unhealthy"] {
            d.explains.push(Explains::event(name, &pod.id, "self"));
        }
    }
    d.path = vec![Step::new(&root, "", "loses its lease")];
    let node = nodes.first().cloned().or(pods.first().map(|p| p.node().to_owned())).unwrap_or_default();
    let pod = who.first().cloned().or(pods.first().map(|p| p.id.clone())).map_or(String::new(), |p| p.name);
    d.remedies = vec![
        Remedy::new("see what it said last, and what the machine is short of")
            .command(format!("kubectl -n kube-system logs {pod} --previous --tail=30"))
            .command(format!("ssh {node} 'uptime; vmstat 1 5; chronyc tracking'")),
        Remedy::new("see who holds the lease, and since when")
            .command(format!("kubectl -n kube-system get lease {} -o yaml", part.name())),
        Remedy::new("a control plane with one machine only needs no election: --leader-elect=false in its manifest keeps it from ending itself")
            .command(format!("ssh {node} sudoedit /etc/kubernetes/manifests/{}.yaml", part.name()))
            .caution("never where a second one runs: both would act"),
    ];
    Some(d)
}

/// How many losses the lines tell of: one loss writes several lines within a minute.
fn distinct(lines: &[Signal]) -> usize {
    let (mut count, mut last) = (0, u64::MAX);
    for line in lines {
        if last == u64::MAX || line.at + minutes(1) < last {
            count += 1;
        }
        last = line.at;
    }
    count
}
