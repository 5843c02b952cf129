//! `coredns.upstream-timeout`: the servers that CoreDNS forwards to do not answer in time, or at all, again and again. A few such
//! lines are the daily noise of any network, and the loop plugin's own HINFO probe adds some at each start.

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Explains, ObjectRef, Rejection, Remedy, Signal, Step, Verdict, World,
    clock, hours, minutes,
};

use crate::{
    TIMEOUT, corefile, each_once, felt, look_at,
    memory::{Watched, id, object},
    remedy,
    server::Pod,
};

pub(crate) const CODE: &str = "coredns.upstream-timeout";

/// Over how long it has to go on, how much of that it has to cover, and how often it has to happen.
const WINDOW: u64 = minutes(10);
const COVERS: u64 = minutes(3);
const OFTEN: usize = 30;
/// How often it is told anew while it goes on.
const AGAIN: u64 = minutes(5);
/// Fewer than this in a window are noise again.
const SELDOM: usize = 5;

/// Lines of clients' queries that no upstream answered, newest first.
fn lines(world: &World<'_>, pod: &Pod, since: u64) -> Vec<Signal> {
    let mut all = world.about(&pod.id, "self", "log", TIMEOUT, since, 200);
    all.retain(|line| line.field("type") != "HINFO");
    all
}

/// Judges one workload from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, watched: &mut Watched, workload: &ObjectRef, pods: &[Pod]) -> Verdict {
    let mut verdict = Verdict::default();
    // A pod that ends at its start asks nobody.
    if watched.looked == 0 || !watched.loops.is_empty() {
        return verdict;
    }
    let since = world.ago(WINDOW);
    let told: Vec<(&Pod, Vec<Signal>)> =
        pods.iter().map(|p| (p, lines(world, p, since))).filter(|(_, l)| !l.is_empty()).collect();
    let all = || told.iter().flat_map(|(_, lines)| lines);
    let count = all().count();
    let newest = all().max_by_key(|l| (l.at, &l.id));
    let covers = newest.map_or(0, |n| n.at - all().map(|l| l.at).min().unwrap_or(n.at));
    if let Some(held) = watched.timeouts.clone().filter(|_| count < SELDOM) {
        let because = format!("{count} upstream timeouts in the last 10 min");
        verdict.cleared.push(Clearing::new(CODE, &object(&held), because));
        watched.timeouts = None;
    }
    let persists = watched.timeouts.is_some() || (count >= OFTEN && covers >= COVERS);
    let (Some(newest), true) = (newest, persists) else { return verdict };
    // Each line would make a new revision of the same facts.
    if watched.timeouts.is_some() && watched.told + AGAIN > world.now() {
        return verdict;
    }
    watched.told = world.now();
    let diagnosis = diagnose(world, workload, pods, &told, newest, count);
    if let Some(held) = watched.timeouts.replace(id(&diagnosis.root)).filter(|h| *h != id(&diagnosis.root)) {
        verdict.cleared.push(Clearing::new(CODE, &object(&held), "other pods show it now"));
    }
    verdict.diagnoses.push(diagnosis);
    verdict.wakes.push(look_at(workload, world.now() + WINDOW));
    verdict
}

fn diagnose(
    world: &World<'_>,
    workload: &ObjectRef,
    pods: &[Pod],
    told: &[(&Pod, Vec<Signal>)],
    newest: &Signal,
    count: usize,
) -> Diagnosis {
    let upstreams = each_once(told.iter().flat_map(|(_, l)| l).map(|l| l.field("upstream")));
    let servers = upstreams.join(", ");
    let config = told.first().and_then(|(p, _)| p.config(world));
    let hosts: Vec<&str> = upstreams.iter().map(|u| host(u)).collect();
    let forward = config.as_ref().and_then(|c| corefile::forward_to(&c.servers, &hosts));
    let (zone, forward) = match forward {
        Some((zone, forward)) => (zone, Some(forward)),
        None => {
            let root = config.as_ref().and_then(|c| corefile::serving(&c.servers, "."));
            (".".to_owned(), root.and_then(|s| corefile::forward(s, ".")))
        }
    };
    let node = told.first().map_or("", |(p, _)| p.node());
    let elsewhere = pods.iter().any(|p| p.node() != node && p.ready_since().is_some());
    let one_node = elsewhere && told.iter().all(|(p, _)| p.node() == node);
    let mut root = config.as_ref().map_or_else(|| workload.clone(), |c| c.map.clone());
    let mut wide = format!("seen by {} of {} CoreDNS pods", told.len(), pods.len());
    if one_node {
        root = ObjectRef::new("Node", "", node);
        wide = format!("on node {node} only, so the way from that node to the server is broken");
    }
    let mut diagnosis = Diagnosis::new(CODE, root);
    diagnosis.confidence = 65;
    let why = newest.field("why");
    let (title, got) = match why {
        "connection refused" => {
            ("refuses the queries of CoreDNS", "were refused (connection refused)".to_owned())
        }
        "no route to host" | "network is unreachable" => {
            ("is out of reach of CoreDNS", format!("found no way there ({why})"))
        }
        _ => ("does not answer CoreDNS", "got no answer within its time limit".to_owned()),
    };
    let whom = if zone == "." { String::new() } else { format!(" for {}", zone.trim_end_matches('.')) };
    diagnosis.title = format!("The DNS server {servers}{whom} {title}");
    let felt = if zone == "." {
        "Names outside the cluster resolve slowly or not at all; names inside do.".to_owned()
    } else {
        format!("Names under {} resolve slowly or not at all; all others do.", zone.trim_end_matches('.'))
    };
    diagnosis.explanation = format!(
        "{count} queries that CoreDNS forwarded to {servers} in the last 10 min {got}, {wide}. {felt}"
    );
    let dependants = felt::outside(world, workload, &zone);
    if !dependants.is_empty() {
        diagnosis.confidence = 85;
        let who: Vec<String> = dependants.iter().take(3).map(|(w, _)| w.path()).collect();
        let more = dependants.len().saturating_sub(who.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        diagnosis.explanation.push_str(&format!(" It is felt by {}{more}.", who.join(", ")));
    }
    diagnosis.evidence.push(Evidence::signal(newest, 40, format!("the newest of {count} such lines")));
    let said = dependants.iter().take(3);
    diagnosis
        .evidence
        .extend(said.map(|(_, line)| Evidence::signal(line, 20, "a program that misses a name outside")));
    diagnosis.explains = felt::of_dependants(&dependants);
    diagnosis.explains.extend(felt::findings(&dependants));
    if let (Some(config), Some(forward)) = (&config, &forward) {
        let note = format!("line {} of the Corefile", forward.line);
        diagnosis.evidence.push(Evidence::object(&config.map, forward.text.clone(), 20, note));
        diagnosis.path.push(Step::new(&config.map, "", forward.text.clone()));
    }
    for alert in ["CoreDNSForward*", "CoreDNSErrorsHigh", "CoreDNSLatencyHigh", "NodeLocalDNS*"] {
        diagnosis.explains.push(Explains::alert(alert, workload, "workload"));
    }
    if let Some(pod) = newest.subject.as_ref() {
        let relation = if diagnosis.path.is_empty() { "" } else { "used-by" };
        let mut step = Step::new(pod, relation, format!("no answer from {servers}"));
        step.signal = Some(newest.id.clone());
        diagnosis.path.push(step);
    }
    let server = upstreams.first().map_or("", |u| host(u));
    // A name that the server is asked for.
    let query = if zone == "." { "example.org" } else { newest.field("query") };
    let namespace = &workload.namespace;
    diagnosis.remedies.push(
        Remedy::new("see whether the server answers from a pod, on the node that reports it").command(format!(
            "kubectl -n {namespace} run dns-check --rm -it --restart=Never --image=busybox --overrides='{{\"spec\":{{\"nodeName\":\"{node}\"}}}}' -- nslookup {query} {server}"
        )),
    );
    if let Some(config) = config {
        let edit = format!("kubectl -n {} edit configmap {}", config.map.namespace, config.map.name);
        let forward = Remedy::new("or forward to another server in the Corefile").command(edit);
        diagnosis.remedies.push(match remedy::undone(world, &config.map) {
            Some(undone) => forward.caution(undone),
            None => forward,
        });
    }
    diagnosis
}

/// The host of `10.0.0.2:53` or `[fd00::2]:53`.
fn host(upstream: &str) -> &str {
    upstream.rsplit_once(':').map_or(upstream, |(host, _)| host).trim_matches(['[', ']'])
}

/// Why the timeouts that were seen are not what ends a pod that loops; none where there were none.
pub(crate) fn ruled_out(
    world: &World<'_>,
    root: &ObjectRef,
    pods: &[Pod],
    loops: impl Fn(&Pod) -> bool,
) -> Option<Rejection> {
    let told: Vec<(&Pod, Vec<Signal>)> = pods
        .iter()
        .map(|p| (p, lines(world, p, world.ago(hours(2)))))
        .filter(|(_, l)| !l.is_empty())
        .collect();
    let count: usize = told.iter().map(|(_, l)| l.len()).sum();
    let (pod, newest) = told
        .iter()
        .filter_map(|(p, l)| l.first().map(|n| (*p, n)))
        .max_by_key(|(p, n)| (n.at, p.id.name.clone()))?;
    let many = if count == 1 { "one timeout".to_owned() } else { format!("{count} timeouts, the last") };
    let on = &pod.id.name;
    let because = if told.iter().any(|(p, _)| loops(p)) {
        format!(
            "{many} at {} on {on}; the pods that loop end within a second of their start, before an upstream could time out",
            clock(newest.at)
        )
    } else {
        let well = if pod.ready_since().is_some() { "ready" } else { "not one of those that loop" };
        format!("{many} at {}, on {on}, which is {well}; the pods that loop have none", clock(newest.at))
    };
    let mut rejection = Rejection::new(CODE, root, because);
    rejection.evidence.push(Evidence::signal(newest, -10, "an upstream that did not answer in time"));
    Some(rejection)
}
