//! `coredns.node-cache-down`: the DNS cache of one node (node-local-dns) does not run, so the pods of that node get no
//! answer while those of all others do.
//!
//! Why it does not run is often told elsewhere: a configuration, an image, its memory. Then this only keeps the account of
//! those who suffer from it. Its addresses are those of `-localip` (kubernetes/dns cmd/node-cache).

use std::net::IpAddr;

use kwhy_sdk::{
    Clearing, Condition, Diagnosis, Evidence, ObjectRef, Remedy, Signal, Step, Verdict, World, clock,
    minutes, seconds,
};

use crate::{
    UNANSWERED, felt, look_at,
    memory::{Watched, id, object},
    server::{Pod, flag_of},
};

pub(crate) const CODE: &str = "coredns.node-cache-down";

/// A cache that is replaced is away for less.
const LASTS: u64 = seconds(90);
/// How long a program's complaint counts.
const RECENT: u64 = minutes(60);
/// Most workloads that are named one by one.
const MANY: usize = 20;

/// The addresses of its node that a cache answers at; none of what is no cache.
fn addresses(pod: &Pod) -> Vec<String> {
    let listed = flag_of(pod, "localip").unwrap_or_default();
    listed.split(',').map(str::trim).filter(|a| !a.is_empty()).map(str::to_owned).collect()
}

/// Whether the pod is a cache that answers at this address.
pub(crate) fn answers_at(pod: &Pod, ip: IpAddr) -> bool {
    addresses(pod).iter().any(|own| own.parse() == Ok(ip))
}

/// Caches that do not answer.
fn silent(pods: &[Pod]) -> impl Iterator<Item = &Pod> {
    pods.iter()
        .filter(|p| !p.ended() && !p.terminating() && p.ready_since().is_none() && !addresses(p).is_empty())
}

/// Whether a workload is such a cache, and one of its pods does not answer.
pub(crate) fn ill(pods: &[Pod]) -> bool {
    silent(pods).next().is_some()
}

/// Who complains of the cache of their own node: each workload with its newest complaint, sorted.
pub(crate) fn dependants(world: &World<'_>, pods: &[Pod]) -> Vec<(ObjectRef, Signal)> {
    let ill: Vec<(String, Vec<String>)> = silent(pods).map(|p| (p.node().to_owned(), addresses(p))).collect();
    let mut all: Vec<(ObjectRef, Signal)> = Vec::new();
    if ill.is_empty() {
        return all;
    }
    let cluster = ObjectRef::new("Cluster", "", world.cluster());
    for line in world.about(&cluster, "cluster", "log", UNANSWERED, world.ago(RECENT), 200) {
        let Some(pod) = &line.subject else { continue };
        let workload = world.workload(pod);
        let place = all.partition_point(|(w, _)| id(w) < id(&workload));
        if all.len() == MANY || all.get(place).is_some_and(|(w, _)| w.is(&workload)) {
            continue;
        }
        let server = line.field("server");
        let server = server.rsplit_once(':').map_or(server, |(address, _)| address);
        let nodes = world.related(pod, "node");
        let own = |(node, addresses): &(String, Vec<String>)| {
            nodes.iter().any(|n| n.name == *node) && addresses.iter().any(|a| a == server)
        };
        if ill.iter().any(own) {
            all.insert(place, (workload, line));
        }
    }
    all
}

/// Judges one workload from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, watched: &mut Watched, workload: &ObjectRef, pods: &[Pod]) -> Verdict {
    let mut verdict = Verdict::default();
    let since = silent(pods).filter_map(|p| Condition::of(&p.pod, "Ready").known_since().or(p.made())).min();
    let felt = dependants(world, pods);
    let Some(since) = since.filter(|_| !felt.is_empty()) else {
        if let Some(root) = watched.cache.take() {
            let because = format!("all pods of {} answer", workload.name);
            verdict.cleared.push(Clearing::new(CODE, &object(&root), because));
        }
        return verdict;
    };
    if since + LASTS > world.now() {
        verdict.wakes.push(look_at(workload, since + LASTS));
        return verdict;
    }
    watched.cache = Some(id(workload));
    verdict.diagnoses.push(diagnose(workload, &silent(pods).collect::<Vec<_>>(), &felt, since));
    verdict
}

fn diagnose(
    workload: &ObjectRef,
    pods: &[&Pod],
    dependants: &[(ObjectRef, Signal)],
    since: u64,
) -> Diagnosis {
    let nodes: Vec<&str> = pods.iter().map(|p| p.node()).collect();
    let on = nodes.join(", ");
    let who: Vec<String> = dependants.iter().take(4).map(|(w, _)| w.path()).collect();
    let mut d = Diagnosis::new(CODE, workload.clone());
    d.severity = "critical".to_owned();
    d.confidence = 80;
    d.title = format!("The DNS cache of node {on} is down: pods there cannot resolve names");
    d.explanation = format!(
        "{} {} answers the pods of each node at {}; on {on} it does not run since {}, and nothing else answers there. It is felt by {}.",
        workload.kind,
        workload.path(),
        pods.first().map(|p| addresses(p).join(" and ")).unwrap_or_default(),
        clock(since),
        who.join(", ")
    );
    for pod in pods.iter().take(3) {
        let waiting = pod.waiting();
        let excerpt = if waiting.is_empty() { pod.fares() } else { waiting };
        d.evidence.push(Evidence::object(&pod.id, excerpt, 50, format!("the cache on {}", pod.node())));
    }
    let said = dependants.iter().take(3);
    d.evidence.extend(said.map(|(_, line)| Evidence::signal(line, 40, "a program that gets no answer")));
    d.explains = felt::own(workload);
    d.explains.extend(felt::of_dependants(dependants));
    d.explains.extend(felt::findings(dependants));
    // Why its container ends is told here too.
    d.explains.extend(felt::weak(workload));
    d.path = vec![Step::new(workload, "", "")];
    d.path.extend(pods.iter().take(3).map(|p| Step::new(&p.id, "owned", p.fares())));
    let ns = &workload.namespace;
    let first = pods.first().map_or(workload.name.as_str(), |p| p.id.name.as_str());
    d.remedies = vec![
        Remedy::new("see why it does not run, and mend that")
            .command(format!("kubectl -n {ns} describe pod {first}"))
            .command(format!("kubectl -n {ns} logs {first} --previous --tail=30")),
        Remedy::new("until then let the pods of that node go elsewhere: no more are placed there")
            .command(format!("kubectl cordon {}", nodes.first().unwrap_or(&"<node>"))),
    ];
    d
}
