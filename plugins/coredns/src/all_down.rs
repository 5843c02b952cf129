//! `coredns.all-replicas-down`: no pod behind the cluster's DNS Service is ready, so names do not resolve anywhere.
//!
//! Why the pods are down is often seen elsewhere: an image, a node, a loop. Then this only keeps the account of those who
//! suffer from it.

use kwhy_sdk::{
    Clearing, Condition, Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World,
    clock, hours, seconds,
};

use crate::{
    API, felt, look_at,
    memory::{Watched, id, object},
    server::{Pod, coredns_container},
};

pub(crate) const CODE: &str = "coredns.all-replicas-down";

/// How long no pod is ready before it counts: a roll-out of one replica takes less.
const LASTS: u64 = seconds(60);
/// How long it may take until it answers once it was started: its first list of what is in the cluster, its probes.
const COMES_UP: u64 = seconds(60);
/// How long a line about the API server speaks for its pod.
const RECENT: u64 = hours(1);

/// The Service of the cluster's DNS that leads to this workload, and whether the workload is one.
pub(crate) fn service(world: &World<'_>, workload: &ObjectRef, pods: &[Pod]) -> Option<ObjectRef> {
    let template = world.read(workload, "/spec/template").filter(|t| t.has("/spec"));
    let labels = match (&template, pods.first()) {
        (Some(template), _) => {
            coredns_container(template)?;
            template.at("/metadata/labels")
        }
        (None, Some(pod)) => pod.pod.at("/metadata/labels"),
        (None, None) => return None,
    };
    let serves = |service: &ObjectRef| {
        let spec = world.read(service, "/spec").unwrap_or_default();
        let selector = spec.at("/selector").map("");
        spec.list("/ports").iter().any(|p| p.number("/port") == 53)
            && !selector.is_empty()
            && selector.iter().all(|(k, v)| labels.map("").iter().any(|(l, w)| l == k && w == v))
    };
    // A server for other zones, as of a company, is not the cluster's.
    let config = pods.iter().find_map(|p| p.config(world));
    if config.is_some_and(|c| !c.servers.is_empty() && !c.servers.iter().any(|s| s.has("kubernetes"))) {
        return None;
    }
    world.list("Service", &workload.namespace).into_iter().find(serves)
}

/// Why no pod is ready.
struct Why {
    /// Another rule tells of it better.
    known_elsewhere: bool,
    confidence: u8,
    text: String,
    evidence: Vec<Evidence>,
    remedies: Vec<Remedy>,
}

/// Judges one workload from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, watched: &mut Watched, workload: &ObjectRef, pods: &[Pod]) -> Verdict {
    let mut verdict = Verdict::default();
    let standing: Vec<&Pod> = pods.iter().filter(|p| !p.ended()).collect();
    let ready = standing.iter().find(|p| p.ready_since().is_some());
    let better = !watched.loops.is_empty() || watched.invalid.is_some();
    let service = service(world, workload, pods);
    let over = match (ready, &service) {
        (Some(pod), _) => {
            Some(format!("{} is ready since {}", pod.id.name, pod.ready_at().unwrap_or_default()))
        }
        _ if better => Some("it is known why its pods end".to_owned()),
        _ if !world.exists(workload) => Some(format!("{} {} is gone", workload.kind, workload.path())),
        (_, None) => Some("no Service leads to it".to_owned()),
        _ => None,
    };
    let (None, Some(service)) = (over.as_ref(), service) else {
        if let Some(root) = watched.down.take() {
            verdict.cleared.push(Clearing::new(CODE, &object(&root), over.unwrap_or_default()));
        }
        watched.down_since = None;
        return verdict;
    };
    let since = since(world, watched, workload, &standing);
    // What was started anew a moment ago, as after a boot of its node, is about to answer.
    let anew = standing.iter().filter_map(|p| p.running_since()).max().map_or(0, |at| at + COMES_UP);
    let due = (since + LASTS).max(anew.min(since + LASTS + COMES_UP));
    if due > world.now() && watched.down.is_none() {
        verdict.wakes.push(look_at(workload, due));
        return verdict;
    }
    watched.down = Some(id(workload));
    verdict.diagnoses.push(diagnose(world, workload, &service, &standing, since));
    verdict
}

/// Since when no pod is ready: by their own conditions, else by the change of the workload, else since it was seen.
fn since(world: &World<'_>, watched: &mut Watched, workload: &ObjectRef, pods: &[&Pod]) -> u64 {
    let not_ready = |pod: &&Pod| Condition::of(&pod.pod, "Ready").known_since().or(pod.made());
    if let Some(at) = pods.iter().filter_map(not_ready).max() {
        return at;
    }
    let seen = *watched.down_since.get_or_insert(world.now());
    scaled(world, workload).map_or(seen, |change| change.at)
}

/// The change that left the workload without pods.
fn scaled(world: &World<'_>, workload: &ObjectRef) -> Option<Signal> {
    let changes = world.changes(workload, "self", 0, 20);
    changes.into_iter().find(|c| c.fields.iter().any(|f| f.name == "/spec/replicas"))
}

fn diagnose(
    world: &World<'_>,
    workload: &ObjectRef,
    service: &ObjectRef,
    pods: &[&Pod],
    since: u64,
) -> Diagnosis {
    let why = why(world, workload, pods);
    let dependants = felt::without_any(world, workload);
    let mut d = Diagnosis::new(CODE, workload.clone());
    d.severity = if why.known_elsewhere { "info" } else { "critical" }.to_owned();
    d.confidence = why.confidence;
    d.title = format!("The cluster's DNS is down: no pod of {} {} is ready", workload.kind, workload.path());
    let mut who: Vec<String> = dependants.iter().take(3).map(|(w, _)| w.path()).collect();
    if dependants.len() > 3 {
        who.push(format!("{} more", dependants.len() - 3));
    }
    d.explanation = format!(
        "Service {} has had no pod to lead to since {}, so names do not resolve in the cluster. {}{}",
        service.path(),
        clock(since),
        why.text,
        if who.is_empty() { String::new() } else { format!(" It is felt by {}.", who.join(", ")) }
    );
    d.evidence = why.evidence;
    if pods.is_empty() {
        d.evidence.push(Evidence::object(service, "selects no pod", 20, "the address of the cluster's DNS"));
    }
    let said = dependants.iter().take(3);
    d.evidence.extend(said.map(|(_, line)| Evidence::signal(line, 20, "a program that gets no answer")));
    d.explains = felt::own(workload);
    d.explains.extend(felt::ABSENT.map(|name| Explains::alert(name, workload, "cluster")));
    d.explains.extend(felt::of_dependants(&dependants));
    d.path = vec![
        Step::new(workload, "", "no pod is ready"),
        Step::new(service, "selected-by", "leads to no pod"),
    ];
    d.remedies = why.remedies;
    d
}

fn why(world: &World<'_>, workload: &ObjectRef, pods: &[&Pod]) -> Why {
    let (ns, kind) = (&workload.namespace, workload.kind.to_ascii_lowercase());
    let describe = Remedy::new("see why its pods are not ready")
        .command(format!("kubectl -n {ns} describe {kind} {}", workload.name));
    let Some(first) = pods.first() else { return without_pods(world, workload, describe) };
    let mut evidence: Vec<Evidence> = Vec::new();
    for pod in pods.iter().take(3) {
        let waiting = pod.waiting();
        let excerpt = if waiting.is_empty() { pod.fares() } else { waiting };
        evidence.push(Evidence::object(&pod.id, excerpt, 40, pod.fares()));
    }
    if let Some(text) = pods.iter().map(|p| elsewhere(world, p)).collect::<Option<Vec<String>>>() {
        let text = text.into_iter().next().unwrap_or_default();
        return Why { known_elsewhere: true, confidence: 60, text, evidence, remedies: vec![describe] };
    }
    let logs = Remedy::new("read what it says").command(format!(
        "kubectl -n {ns} logs {} {}--tail=30",
        first.id.name,
        if first.keeps_ending() { "--previous " } else { "" }
    ));
    // What the API server answers tells more than that CoreDNS waits for it.
    let said = pods
        .iter()
        .flat_map(|p| world.about(&p.id, "self", "log", API, world.ago(RECENT), 50))
        .max_by_key(|l| (l.message.contains("is forbidden"), l.at, l.id.clone()));
    if let Some(line) = said {
        evidence.push(Evidence::signal(&line, 60, "what it waits for"));
        let forbidden = line.message.contains("is forbidden");
        let text = if forbidden {
            "CoreDNS may not read the Services from the API server: its role or its binding is gone."
        } else {
            "CoreDNS runs but gets nothing from the API server, at the address of Service default/kubernetes."
        };
        let way = if forbidden {
            Remedy::new("give CoreDNS its role back: list and watch of endpoints, services, pods, namespaces and endpointslices")
                .command("kubectl get clusterrole,clusterrolebinding | grep -i dns")
        } else {
            Remedy::new(format!(
                "see what is between pods on {} and the API server: kube-proxy, the pod network, network policies",
                first.node()
            ))
            .command(format!("kubectl -n {ns} get pods -o wide --field-selector spec.nodeName={}", first.node()))
            .command("kubectl get endpoints kubernetes")
        };
        let remedies = vec![way, logs, describe];
        return Why { known_elsewhere: false, confidence: 85, text: text.to_owned(), evidence, remedies };
    }
    let text = if first.keeps_ending() && first.restarts() > 1 {
        "Its pods end again and again; why, its last words tell."
    } else {
        "Its pods run but are not ready."
    };
    Why {
        known_elsewhere: false,
        confidence: 75,
        text: text.to_owned(),
        evidence,
        remedies: vec![logs, describe],
    }
}

fn without_pods(world: &World<'_>, workload: &ObjectRef, describe: Remedy) -> Why {
    let (ns, kind) = (&workload.namespace, workload.kind.to_ascii_lowercase());
    let spec = world.read(workload, "/spec").unwrap_or_default();
    if !(spec.has("/replicas") && spec.number("/replicas") == 0) {
        return Why {
            known_elsewhere: true,
            confidence: 60,
            text: "It has no pods at all.".to_owned(),
            evidence: vec![Evidence::object(workload, "no pods", 40, "none was made")],
            remedies: vec![describe],
        };
    }
    let change = scaled(world, workload);
    let at = change.as_ref().map_or(String::new(), |c| format!(" at {}", clock(c.at)));
    let mut evidence = vec![Evidence::object(workload, "spec.replicas: 0", 70, "nobody answers")];
    evidence.extend(change.iter().map(|c| Evidence::signal(c, 40, "the change that left it without pods")));
    Why {
        known_elsewhere: false,
        confidence: 95,
        text: format!("It was scaled to 0 replicas{at}."),
        evidence,
        remedies: vec![
            Remedy::new("scale it up again; two replicas are the usual number")
                .command(format!("kubectl -n {ns} scale {kind} {} --replicas=2", workload.name)),
            Remedy::new(
                "and see who scaled it: an autoscaler of the cluster's DNS, or a script for the night",
            )
            .command(format!(
                "kubectl -n {ns} get {kind} {} -o yaml --show-managed-fields | grep -B3 -A3 replicas",
                workload.name
            )),
        ],
    }
}

/// What is wrong with a pod where a rule of its own tells of it: no place, no image, no memory, no node.
fn elsewhere(world: &World<'_>, pod: &Pod) -> Option<String> {
    let name = &pod.id.name;
    if pod.node().is_empty() {
        return Some(format!("Pod {name} has no node."));
    }
    let nodes = world.related(&pod.id, "node");
    if nodes.iter().any(|n| !world.condition(n, "Ready").holds()) {
        return Some(format!("Node {} of pod {name} is not ready.", pod.node()));
    }
    let status = pod.status();
    let ended = status.text("/lastState/terminated/reason");
    match pod.waiting_reason().as_str() {
        "" | "CrashLoopBackOff" if ended == "OOMKilled" => Some(format!("Pod {name} runs out of memory.")),
        "" | "CrashLoopBackOff" => None,
        reason => Some(format!("Pod {name} cannot start ({reason}).")),
    }
}
