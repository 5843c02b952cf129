//! Why a node is not ready: one cause of several, by what the node controller wrote, what the kubelet wrote of itself,
//! and what it said last in its journal.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, Wake, World, clock, minutes,
    seconds,
};

use crate::{
    LOOK,
    felt::{self, Load},
    last, lost,
    memory::Held,
    node::Node,
    sandbox, told, word,
};

pub(crate) const DOWN: &str = "node.down";
pub(crate) const STOPPED: &str = "node.kubelet-stopped";
pub(crate) const RUNTIME: &str = "node.container-runtime-down";
pub(crate) const CNI: &str = "node.cni-not-ready";
pub(crate) const PLEG: &str = "node.pleg-unhealthy";
pub(crate) const EXPIRED: &str = "node.certificate-expired";
/// Of a node that is not ready one of them holds, and a better known cause carries the finding on.
pub(crate) const CODES: [&str; 6] = [DOWN, STOPPED, RUNTIME, CNI, PLEG, EXPIRED];

/// How long a node may be away before it counts: a restart of the kubelet or a quick reboot takes less.
const SETTLE: u64 = minutes(2);
/// How long after a reboot a node may take until its status says that it is ready.
const COMING: u64 = minutes(5);
/// How long the pods of a node that was meant to go may hang on it, and its kubelet fail.
const STUCK: u64 = minutes(10);
/// How long a new node may take to get its network.
const JOINING: u64 = minutes(5);

/// What is wrong, before it is put in words.
pub(crate) struct Cause {
    pub(crate) code: &'static str,
    pub(crate) confidence: u8,
    /// By its own words the kubelet cannot work: nobody who takes a node out of service means that.
    pub(crate) fails: bool,
    pub(crate) title: String,
    pub(crate) what: String,
    pub(crate) said: Vec<Evidence>,
    pub(crate) remedies: Vec<Remedy>,
}

/// Lines of the node's journal as evidence.
pub(crate) fn journal(lines: &[Signal]) -> Vec<Evidence> {
    lines.iter().map(|line| Evidence::signal(line, 60, "the node's journal")).collect()
}

/// Since when the node is not ready, and who says so.
pub(crate) struct Gone {
    pub(crate) since: u64,
    /// By its status; else only an event or an alert tells, after the status was last seen.
    pub(crate) by_status: bool,
    pub(crate) told: Vec<Signal>,
}

/// Judges one node from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, id: &ObjectRef, node: Option<&Node>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(node) = node else {
        held.clear(&mut verdict, &CODES, id, "the node was removed from the cluster");
        return verdict;
    };
    let Some(gone) = gone(world, node) else {
        let because = format!("node {} is ready since {}", id.name, clock(node.ready.since));
        match sandbox::judge(world, node, &mut verdict) {
            Some(diagnosis) => {
                held.forget(&diagnosis.supersedes, id);
                held.assert(&mut verdict, diagnosis);
            }
            None if node.ready.since == 0 => {
                held.clear(&mut verdict, &CODES, id, "nothing tells of it any more");
            }
            None => held.clear(&mut verdict, &CODES, id, &because),
        }
        return verdict;
    };
    if told::driver_ends_it(world, node) {
        held.clear(&mut verdict, &CODES, id, "its kubelet and its runtime use different cgroup drivers");
        return verdict;
    }
    let joining = node.ready.status == "False" && node.created + JOINING > world.now();
    let due = if joining { node.created + JOINING } else { gone.since + SETTLE };
    if due > world.now() && !CODES.iter().any(|c| held.holds(c, id)) {
        verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id.clone()), at: due });
        return verdict;
    }
    let alone = !node.seen && gone.told.is_empty();
    let cause = match (alone, node.ready.status.as_str()) {
        (true, _) => match lost::by_journal(world, node, &gone) {
            Some(cause) => cause,
            None => return verdict,
        },
        (_, "False") => word::cause(world, node, &gone),
        _ => lost::cause(world, node, &gone),
    };
    let load = Load::of(world, id, gone.since);
    let diagnosis = put(world, node, &gone, cause, &load);
    held.forget(&diagnosis.supersedes, id);
    held.assert(&mut verdict, diagnosis);
    let stuck = gone.since + STUCK;
    if (node.cordoned || node.leaving) && world.now() < stuck {
        verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id.clone()), at: stuck });
    }
    if alone {
        // Nobody else says when it is over.
        let at = world.now() + lost::HEARD;
        verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id.clone()), at });
    }
    verdict
}

fn gone(world: &World<'_>, node: &Node) -> Option<Gone> {
    let horizon = minutes(60);
    let told = |name: &str, source: &str| {
        world
            .about(&node.id, "self", source, name, world.ago(horizon), 5)
            .into_iter()
            .find(|s| s.state != "resolved")
    };
    let events = told("NodeNotReady", "event");
    // A kubelet that tells of a new boot speaks again: its status follows.
    let back = told("Rebooted", "event").filter(|e| e.at >= node.ready.since && e.at + COMING > world.now());
    if back.is_some() {
        return None;
    }
    if matches!(node.ready.status.as_str(), "False" | "Unknown") {
        let told = events.into_iter().filter(|e| e.at + minutes(5) > node.ready.since).collect();
        return Some(Gone { since: node.ready.since, by_status: true, told });
    }
    if node.seen && (node.ready.status != "True" || node.ready.since == 0) {
        return None;
    }
    // A status that was last seen before, or never: the event or the alert is newer.
    let back = told("NodeReady", "event").map_or(0, |e| e.at).max(node.ready.since);
    let alerts = ["KubeNodeUnreachable", "KubeNodeNotReady"].iter().filter_map(|name| {
        let all = world.about(&node.id, "self", "alert", name, world.ago(horizon), 5);
        // The newest word on it counts.
        all.into_iter().next().filter(|a| a.state == "firing" && a.at > back + minutes(15))
    });
    let told: Vec<Signal> = events.into_iter().filter(|e| e.at > back).chain(alerts).collect();
    if told.is_empty() && !node.seen {
        let since = lost::complains(world, &node.id, back)?;
        return Some(Gone { since, by_status: false, told });
    }
    // An alert has waited for a quarter of an hour before it fires.
    let began = |s: &Signal| if s.source == "alert" { s.at.saturating_sub(minutes(15)) } else { s.at };
    let since = told.iter().map(began).min()?;
    Some(Gone { since, by_status: false, told })
}

fn put(world: &World<'_>, node: &Node, gone: &Gone, cause: Cause, load: &Load) -> Diagnosis {
    let name = &node.id.name;
    let mut d = Diagnosis::new(cause.code, node.id.clone());
    d.title = cause.title;
    let planned = node.cordoned || node.leaving;
    let late = world.now() >= gone.since + STUCK;
    let stuck = late && (!load.moved().is_empty() || (cause.fails && !node.leaving));
    // A node that was cordoned first is being worked on, or taken away: nobody is to be called for it, unless what it
    // bore hangs on it still, or the work has failed.
    d.severity = match (planned, stuck) {
        (true, false) => "info",
        (true, true) => "warning",
        (false, _) => "critical",
    }
    .into();
    d.confidence = cause.confidence;
    d.supersedes = CODES.iter().filter(|c| **c != cause.code).map(|c| (*c).to_owned()).collect();
    let moved = load.moved();
    let mut text = cause.what;
    if !load.pods.is_empty() {
        text.push_str(&format!(" {} pods stand on {name}", load.pods.len()));
        if !moved.is_empty() {
            let names: Vec<String> =
                moved.iter().take(6).map(|w| format!("{} {}", w.kind, w.path())).collect();
            let more = if moved.len() > 6 { format!(" and {} more", moved.len() - 6) } else { String::new() };
            text.push_str(&format!(", of {}{more}", names.join(", ")));
        }
        text.push('.');
    }
    if !load.stranded.is_empty() {
        let names: Vec<&str> = load.stranded.iter().take(4).map(|s| s.pod.name.as_str()).collect();
        text.push_str(&format!(
            " The replacements {} find no other place or wait for their volume: {name} is what they lack.",
            names.join(", ")
        ));
    }
    if node.leaving {
        text.push_str(" It is being taken away by an autoscaler, its cloud or a person.");
    } else if node.cordoned {
        text.push_str(" It is cordoned, so somebody is probably at work on it.");
    }
    d.explanation = text;
    d.evidence.extend(gone.told.iter().map(|s| Evidence::signal(s, 60, "the control plane says so")));
    if node.seen {
        let quote = node.ready.quote("Ready");
        let note = format!("since {}", clock(node.ready.since));
        d.evidence.push(Evidence::object(&node.id, quote, if gone.by_status { 80 } else { -10 }, note));
    }
    d.evidence.extend(cause.said.into_iter().take(3));
    for stranded in load.stranded.iter().take(3) {
        if let Some(why) = &stranded.why {
            d.evidence.push(Evidence::signal(why, 20, "a replacement waits for what the node held"));
        }
    }
    d.remedies = cause.remedies;
    d.explains = felt::explains(world, node, load, gone.since.saturating_sub(seconds(60)));
    if cause.code == CNI {
        d.explains.push(felt::elsewhere(CNI, &node.id));
        if let Some((pod, false)) = word::network_pod(world, &node.id) {
            d.evidence.extend(last::evidence(world, &pod));
            network_pod_waits(world, &mut d, &pod);
        }
    }
    // An alert of control-plane measured before what has come true now.
    if cause.code == EXPIRED {
        d.explains.push(Explains::finding("control-plane.certificate-expiring", &node.id, "self"));
    }
    d.path = vec![Step::new(&node.id, "", state(node, gone))];
    d
}

/// Why the network's own pod does not start is why the node has no network: it is told here.
fn network_pod_waits(world: &World<'_>, d: &mut Diagnosis, pod: &ObjectRef) {
    let Some(why) = word::held_up(world, pod) else { return };
    let workload = world.workload(pod);
    d.evidence.push(Evidence::object(pod, why.clone(), 50, "the network's pod waits"));
    for name in ["Failed", "BackOff"] {
        let event = world.about(pod, "self", "event", name, world.ago(minutes(60)), 1);
        d.evidence
            .extend(event.iter().map(|e| Evidence::signal(e, 40, "why its network's pod does not start")));
    }
    d.explains.extend(felt::still(&workload));
    d.explains.push(Explains::alert("KubePodCrashLooping", pod, "self"));
    d.explains.push(Explains::finding("workload.*", &workload, "self"));
    if why.contains("ImagePull") || why.contains("ErrImage") {
        d.remedies.push(
            Remedy::new("let the node pull the image of its network's pod: a mirror or a login at the registry against its rate limit, or the image brought to the node")
                .command(format!("kubectl -n {} describe pod {}", pod.namespace, pod.name))
                .command(format!("kubectl -n {} get pod {} -o jsonpath='{{.spec.imagePullSecrets}}{{.spec.containers[*].image}}'", pod.namespace, pod.name)),
        );
    }
}

fn state(node: &Node, gone: &Gone) -> String {
    let reason = if gone.by_status { node.ready.reason.as_str() } else { "NodeNotReady" };
    format!("not ready since {}: {reason}", clock(gone.since))
}

pub(crate) fn watch(node: &Node) -> Remedy {
    Remedy::new("then see the node come back").command(format!("kubectl get node {} -w", node.id.name))
}

/// The first words, for a title.
pub(crate) fn short(text: &str) -> String {
    let text = text.trim_end_matches('.');
    match text.char_indices().nth(90) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or(text)),
        None => text.to_owned(),
    }
}
