//! `coredns.forward-loop`: CoreDNS gets its own queries back and ends, by the last words of its loop plugin.
//!
//! The line alone is worth little: what counts is that the pod keeps ending and what its Corefile forwards to. From
//! that follows whose fault it is: the node's resolver, the Corefile, the pod's dnsPolicy, or a server outside.

use std::net::IpAddr;

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, ObjectRef, Signal, Step, Verdict, World, clock, hours, minutes, seconds,
};

use crate::{
    CONFIG, LOOP, VERSION,
    corefile::{self, Forward, Server},
    each_once, felt, look_at,
    memory::{Watched, id, object},
    node_cache,
    remedy::{self, Broken},
    server::{Config, Pod, Resolver, Target, stays_inside, targets},
    upstream_timeout,
};

pub(crate) const CODE: &str = "coredns.forward-loop";

/// How long the last words of a container speak for its pod; a crash loop repeats them every five minutes.
const LOOKBACK: u64 = minutes(60);
/// The plugin looks for loops in the first 30 s (plugin/loop/setup.go); a run that lasts longer has passed.
const PASSED: u64 = seconds(35);
/// How long the kubelet may take to bring an edited ConfigMap to a pod: its sync period and the age of its cache.
const SYNC: u64 = minutes(2);
/// How long a loop that nobody shows any more is held true when nothing says that it is over.
const GRACE: u64 = minutes(2);

/// A pod that loops.
struct Looping<'a> {
    pod: &'a Pod,
    line: Signal,
    config: Option<Config>,
    cause: Cause,
    /// The server block has lost its `loop` line since, so that the loop goes on unseen.
    unguarded: bool,
}

/// Whose fault the loop is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause {
    /// The node's resolver configuration, that the Corefile forwards to.
    Node(Forward),
    /// The Corefile names CoreDNS itself; in words what the address is.
    Corefile(Forward, String),
    /// The pod's own resolver settings name CoreDNS; in words how.
    PodSpec(Forward, String),
    /// A server elsewhere sends the queries back.
    Upstream(Forward),
    /// The Corefile cannot be read or does not say.
    Unknown,
}

impl Cause {
    fn forward(&self) -> Option<&Forward> {
        match self {
            Self::Node(f) | Self::Corefile(f, _) | Self::PodSpec(f, _) | Self::Upstream(f) => Some(f),
            Self::Unknown => None,
        }
    }
}

/// Judges one workload from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, watched: &mut Watched, workload: &ObjectRef, pods: &[Pod]) -> Verdict {
    let mut verdict = Verdict::default();
    let recent = world.ago(LOOKBACK);
    // What is held true is not dropped merely because its line has grown old.
    let since = if watched.loops.is_empty() { recent } else { recent.min(watched.seen) };
    let (mut looping, mut over): (Vec<Looping<'_>>, _) = (Vec::new(), Vec::new());
    // A pod that is being deleted says nothing of how things will be.
    for pod in pods.iter().filter(|p| !p.terminating()) {
        let Some(line) = world.about(&pod.id, "self", "log", LOOP, since, 1).into_iter().next() else {
            continue;
        };
        match judge_pod(world, pod, line) {
            // The newest line first: where pods differ, it tells how things are now.
            Ok(found) => {
                let place = looping.partition_point(|l| l.line.at >= found.line.at);
                looping.insert(place, found);
            }
            Err(because) => over.push(because),
        }
        if let Some(started) = pod.running_since().filter(|s| s + PASSED > world.now()) {
            verdict.wakes.push(look_at(workload, started + PASSED));
        }
    }
    watched.map = pods.iter().find_map(|p| p.config(world)).map(|c| id(&c.map)).or(watched.map.take());
    let Some(first) = looping.first() else {
        verdict.merge(clear_all(world, watched, workload, pods, over));
        return verdict;
    };
    watched.undecided = None;
    let diagnosis = diagnose(world, workload, pods, &looping, first);
    for root in watched.loops.iter().filter(|r| **r != id(&diagnosis.root)) {
        let because =
            format!("what shows it now points to {} {}", diagnosis.root.kind, diagnosis.root.path());
        verdict.cleared.push(Clearing::new(CODE, &object(root), because));
    }
    watched.loops = vec![id(&diagnosis.root)];
    verdict.rejections.extend(upstream_timeout::ruled_out(world, &diagnosis.root, pods, |p| {
        looping.iter().any(|l| l.pod.id.is(&p.id))
    }));
    verdict.diagnoses.push(diagnosis);
    verdict
}

/// Takes back what is held true, at once where something says that it is over, else after a grace.
fn clear_all(
    world: &World<'_>,
    watched: &mut Watched,
    workload: &ObjectRef,
    pods: &[Pod],
    over: Vec<String>,
) -> Verdict {
    let mut verdict = Verdict::default();
    if watched.loops.is_empty() {
        return verdict;
    }
    // Between a looping pod and its successor only the others stand there, ready as they were all along.
    let recovered = pods.iter().any(|p| p.ready_since().is_some_and(|t| t > watched.seen));
    let all_ready = recovered && pods.iter().all(|p| p.ready_since().is_some());
    let started = *watched.undecided.get_or_insert(world.now());
    let because = match over.into_iter().next() {
        Some(because) => because,
        None if all_ready => match pods {
            [only] => format!("{} is ready", only.id.name),
            _ => format!("all {} pods of {} are ready", pods.len(), workload.name),
        },
        None if !world.exists(workload) => format!("{} {} is gone", workload.kind, workload.path()),
        None if started + GRACE <= world.now() => {
            format!("no pod of {} has told of a loop since {}", workload.name, clock(watched.seen))
        }
        None => {
            verdict.wakes.push(look_at(workload, started + GRACE));
            return verdict;
        }
    };
    let roots = std::mem::take(&mut watched.loops);
    verdict.cleared.extend(roots.iter().map(|r| Clearing::new(CODE, &object(r), because.clone())));
    watched.undecided = None;
    verdict
}

/// Whether a pod that told of a loop still has it, and why; else what says that it is over.
fn judge_pod<'a>(world: &World<'_>, pod: &'a Pod, line: Signal) -> Result<Looping<'a>, String> {
    let name = &pod.id.name;
    let config = pod.config(world);
    let zone =
        [line.field("zone"), line.field("zone_then")].into_iter().find(|z| !z.is_empty()).unwrap_or(".");
    let server = config.as_ref().and_then(|c| corefile::serving(&c.servers, zone));
    let forward = server.and_then(|s| corefile::forward(s, zone));
    let cause = cause(world, pod, forward.as_ref());
    // An edit after the line, or so shortly before it that the kubelet may not yet have brought it to a pod that was
    // there already: the words are those of the old Corefile and count no more.
    let edit = config.as_ref().and_then(|c| edited(world, c, line.at.saturating_sub(SYNC)));
    let edit = edit.filter(|at| *at > line.at || pod.made().is_none_or(|made| made < *at));
    if let Some(at) = edit.filter(|_| !matches!(cause, Cause::Corefile(..))) {
        let now = forward.map_or("no forward for that zone".to_owned(), |f| format!("`{}`", f.text));
        let map = config.map(|c| c.map.path()).unwrap_or_default();
        return Err(format!("the Corefile in {map} was edited at {} and now has {now}", clock(at)));
    }
    let unguarded = server.is_some_and(|s: &Server| !s.has("loop"));
    if !unguarded {
        if let Some(ready) = pod.ready_since().filter(|ready| *ready > line.at) {
            return Err(format!("{name} is ready since {}", clock(ready)));
        }
        let passed = |started: &u64| *started > line.at && started + PASSED <= world.now();
        if let Some(started) = pod.running_since().filter(passed) {
            return Err(format!("{name} runs since {} and has passed its check for loops", clock(started)));
        }
    }
    Ok(Looping { pod, line, config, cause, unguarded })
}

/// When the `forward` lines of the Corefile last changed after `since`, if they did.
fn edited(world: &World<'_>, config: &Config, since: u64) -> Option<u64> {
    let changes = world.changes(&config.map, "self", since.saturating_add(1), 20);
    let of_forward = |diff: &str| {
        diff.lines().any(|l| {
            let words = l.trim_start_matches(['-', '+']).trim_start();
            words.starts_with("forward ") || words.starts_with("proxy ")
        })
    };
    // A change that shows no diff may be of anything.
    let counts = |c: &&Signal| c.fields.is_empty() || c.fields.iter().any(|f| of_forward(&f.value));
    changes.iter().find(counts).map(|c| c.at)
}

fn cause(world: &World<'_>, pod: &Pod, forward: Option<&Forward>) -> Cause {
    let Some(forward) = forward else { return Cause::Unknown };
    let services = pod.services(world);
    let itself = |ip: IpAddr, port: u16| -> Option<String> {
        if stays_inside(ip) && port == forward.port {
            return Some("a loopback address, which inside the pod is CoreDNS itself".to_owned());
        }
        if let Some((service, _)) = services.iter().find(|(_, ips)| ips.contains(&ip)) {
            return Some(format!("the address of Service {}, which leads back to CoreDNS", service.path()));
        }
        let own = pod.addresses().contains(&ip) || node_cache::answers_at(pod, ip);
        (own && port == forward.port).then(|| "the address of the CoreDNS pod itself".to_owned())
    };
    let all = targets(forward);
    for target in &all {
        if let Target::Address(ip, port) = target
            && let Some(what) = itself(*ip, *port)
        {
            return Cause::Corefile(forward.clone(), format!("{ip} is {what}"));
        }
    }
    for target in &all {
        let Target::File(path) = target else { continue };
        match pod.resolver(path) {
            Resolver::Node => return Cause::Node(forward.clone()),
            Resolver::ClusterDns => {
                let policy = pod.dns_policy();
                let how = format!(
                    "with dnsPolicy {policy} the kubelet writes the cluster DNS into {path} of the pod, which is CoreDNS itself"
                );
                return Cause::PodSpec(forward.clone(), how);
            }
            Resolver::Listed(servers) => {
                let bad =
                    servers.into_iter().find_map(|ip| itself(ip, 53).map(|what| format!("{ip}, {what}")));
                if let Some(bad) = bad {
                    return Cause::PodSpec(forward.clone(), format!("dnsConfig of the pod names {bad}"));
                }
            }
            Resolver::Unknown => {}
        }
    }
    Cause::Upstream(forward.clone())
}

fn diagnose(
    world: &World<'_>,
    workload: &ObjectRef,
    pods: &[Pod],
    looping: &[Looping<'_>],
    first: &Looping<'_>,
) -> Diagnosis {
    let nodes = each_once(looping.iter().map(|l| l.pod.node()));
    let map = first.config.as_ref().map(|c| c.map.clone());
    let node = match (&first.cause, nodes.as_slice()) {
        (Cause::Node(_), [only]) => {
            let bare = ObjectRef::new("Node", "", only);
            Some(world.related(&first.pod.id, "node").into_iter().next().unwrap_or(bare))
        }
        _ => None,
    };
    let root = match &first.cause {
        Cause::PodSpec(..) => workload.clone(),
        _ => node.clone().or_else(|| map.clone()).unwrap_or_else(|| workload.clone()),
    };
    let sibling = sibling(world, pods, looping, first);
    let resolver = node.as_ref().and_then(|n| applied_nameservers(world, n));
    let mut diagnosis = Diagnosis::new(CODE, root);
    diagnosis.severity = "critical".to_owned();
    diagnosis.confidence = confidence(looping, first, sibling.is_some(), resolver.as_ref());
    diagnosis.title = title(first, workload, &nodes);
    diagnosis.explanation = explanation(first, workload, &nodes, sibling);
    diagnosis.evidence = evidence(world, looping, first, sibling, resolver.as_ref());
    diagnosis.explains = felt::all(world, workload, pods);
    diagnosis.path = path(first, map.as_ref(), node.as_ref(), looping);
    diagnosis.remedies = remedies(world, workload, pods, looping, first, &nodes, sibling);
    diagnosis
}

/// A pod of the workload on another node that is ready with the same Corefile and image.
fn sibling<'a>(
    world: &World<'_>,
    pods: &'a [Pod],
    looping: &[Looping<'_>],
    first: &Looping<'_>,
) -> Option<&'a Pod> {
    let sum = |pod: &Pod| {
        let last = world.about(&pod.id, "self", "log", CONFIG, 0, 1).into_iter().next();
        last.map(|line| line.field("sum").to_owned())
    };
    let here = sum(first.pod);
    pods.iter().find(|p| {
        let elsewhere = looping.iter().all(|l| l.pod.node() != p.node());
        let same = p.config(world) == first.config && p.image() == first.pod.image();
        // A pod may run on with an older Corefile than the one that its volume shows: the sums it logged tell.
        let differs = matches!((&here, sum(p)), (Some(a), Some(b)) if *a != b);
        elsewhere && same && !differs && p.ready_since().is_some() && !p.terminating()
    })
}

/// What the kubelet says it puts into resolv.conf for pods that take it from the node, where it ever said so.
fn applied_nameservers(world: &World<'_>, node: &ObjectRef) -> Option<(Signal, Vec<IpAddr>)> {
    let said = world.about(node, "on-node", "event", "DNSConfigForming", world.ago(hours(24)), 20);
    said.into_iter().find_map(|event| {
        let from_node = event.subject.as_ref().is_some_and(|pod| {
            let spec = world.read(pod, "/spec").unwrap_or_default();
            let policy = spec.text("/dnsPolicy");
            policy == "Default" || (policy == "ClusterFirst" && spec.is_true("/hostNetwork"))
        });
        let (_, list) = event.message.split_once("the applied nameserver line is: ")?;
        let servers: Vec<IpAddr> = list.split_whitespace().filter_map(|s| s.parse().ok()).collect();
        (from_node && !servers.is_empty()).then_some((event, servers))
    })
}

/// Where the query that came back last was from; none in the wording before 1.3.1.
fn came_from(line: &Signal) -> Option<IpAddr> {
    let (host, _) = line.field("from").rsplit_once(':')?;
    host.trim_matches(['[', ']']).split('%').next()?.parse().ok()
}

/// Whether that is CoreDNS itself as seen from inside the pod.
fn inside(looping: &Looping<'_>) -> Option<bool> {
    came_from(&looping.line).map(|ip| stays_inside(ip) || node_cache::answers_at(looping.pod, ip))
}

/// The same where it is the address at which a cache of a node answers.
fn from_cache(looping: &Looping<'_>) -> Option<IpAddr> {
    came_from(&looping.line).filter(|ip| node_cache::answers_at(looping.pod, *ip))
}

fn confidence(
    looping: &[Looping<'_>],
    first: &Looping<'_>,
    sibling: bool,
    resolver: Option<&(Signal, Vec<IpAddr>)>,
) -> u8 {
    let inside = inside(first);
    let agrees = looping.iter().any(|l| l.pod.keeps_ending());
    let (more, most) = match first.cause {
        Cause::Node(_) if inside == Some(false) => (8, 75),
        Cause::Node(_) | Cause::Corefile(..) | Cause::PodSpec(..) => (8, 96),
        Cause::Upstream(_) => (0, 75),
        Cause::Unknown => (0, 70),
    };
    let mut sum = 55 + more;
    sum += if agrees { 25 } else { 0 };
    sum += if inside == Some(true) { 4 } else { 0 };
    sum += if sibling || looping.len() > 1 || matches!(first.cause, Cause::Corefile(..)) { 4 } else { 0 };
    // The kubelet itself says that the node has no loopback resolver for pods.
    sum -=
        if resolver.is_some_and(|(_, servers)| !servers.iter().any(|s| stays_inside(*s))) { 15 } else { 0 };
    sum.min(most).min(if agrees { 96 } else { 60 })
}

/// `a`, `a and b`, `a, b and 3 more`.
fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
    }
}

fn title(first: &Looping<'_>, workload: &ObjectRef, nodes: &[String]) -> String {
    let map = first.config.as_ref().map(|c| c.map.path()).unwrap_or_default();
    match (&first.cause, nodes) {
        (Cause::Node(_), [node]) => format!("CoreDNS on node {node} forwards queries to itself"),
        (Cause::Node(_), _) => format!("CoreDNS on nodes {} forwards queries to itself", list(nodes)),
        (Cause::Corefile(..), _) => format!("The Corefile in {map} makes CoreDNS forward queries to itself"),
        (Cause::PodSpec(..), _) => {
            format!("{} {} has CoreDNS itself as its resolver", workload.kind, workload.path())
        }
        (Cause::Upstream(_), _) => {
            format!("The DNS server that {} forwards to sends the queries back to it", workload.path())
        }
        (Cause::Unknown, _) => format!("CoreDNS in {} gets its own queries back", workload.path()),
    }
}

/// A few sentences; a terminal shows four lines of them, so the cause comes first and nothing is told twice.
fn explanation(first: &Looping<'_>, workload: &ObjectRef, nodes: &[String], sibling: Option<&Pod>) -> String {
    let pod = first.pod;
    let from = came_from(&first.line);
    let back = from.map_or_else(String::new, |ip| format!(" from {ip}"));
    let mut text = format!(
        "CoreDNS in pod {} ends at its start: it got its own probe back{back}, a forwarding loop.",
        pod.id.name
    );
    let inside = inside(first) != Some(false);
    match &first.cause {
        Cause::Node(f) => {
            let on = if let [_, _, ..] = nodes {
                format!("nodes {}", list(nodes))
            } else {
                format!("node {}", pod.node())
            };
            text.push_str(&format!(" `{}` takes the resolv.conf of {on}, which names ", f.text));
            text.push_str(&match from_cache(first) {
                Some(ip) => format!("{ip}; at that address it answers itself."),
                None if inside => {
                    "a loopback address (127.0.0.53 is systemd-resolved); inside the pod that is CoreDNS itself."
                        .to_owned()
                }
                None => {
                    "a server that leads back to CoreDNS, such as the cluster DNS or a loopback address of the node."
                        .to_owned()
                }
            });
            if let Some(well) = sibling {
                text.push_str(&format!(
                    " On node {} the same Corefile and image work, so the node differs.",
                    well.node()
                ));
            }
        }
        Cause::Corefile(f, what) => {
            text.push_str(&format!(" The Corefile says `{}`, and {what}.", f.text));
        }
        Cause::PodSpec(f, how) => text.push_str(&format!(
            " The Corefile says `{}`, and {how}. The pods of {} {} need dnsPolicy Default.",
            f.text, workload.kind, workload.name
        )),
        Cause::Upstream(f) => text.push_str(&format!(
            " The Corefile says `{}`, which is not CoreDNS itself; so the server there sends the queries on to CoreDNS.",
            f.text
        )),
        Cause::Unknown => text.push_str(
            " What its Corefile forwards to is not known here; most often it is /etc/resolv.conf with a loopback address in it.",
        ),
    }
    if first.unguarded {
        text.push_str(
            " The Corefile has lost its `loop` line since: queries now go round unseen until memory is used up.",
        );
    }
    text
}

fn evidence(
    world: &World<'_>,
    looping: &[Looping<'_>],
    first: &Looping<'_>,
    sibling: Option<&Pod>,
    resolver: Option<&(Signal, Vec<IpAddr>)>,
) -> Vec<Evidence> {
    let mut all = Vec::new();
    for l in looping.iter().take(3) {
        all.push(Evidence::signal(&l.line, 50, "the last words of the container: its own probe came back"));
    }
    if let (Some(forward), Some(config)) = (first.cause.forward(), &first.config) {
        let note = match &first.cause {
            Cause::Node(_) => {
                format!("line {} of the Corefile: the upstreams are those of the node", forward.line)
            }
            Cause::Corefile(_, what) => format!("line {} of the Corefile: {what}", forward.line),
            Cause::PodSpec(_, how) => format!("line {} of the Corefile; {how}", forward.line),
            _ => format!("line {} of the Corefile", forward.line),
        };
        all.push(Evidence::object(&config.map, forward.text.clone(), 40, note));
    }
    for l in looping.iter().take(3) {
        let waiting = l.pod.waiting();
        if !waiting.is_empty() {
            all.push(Evidence::object(&l.pod.id, waiting, 30, l.pod.fares()));
        }
        if let Some(event) = world.about(&l.pod.id, "self", "event", "BackOff", 0, 1).into_iter().next() {
            let count = event.field("count");
            let times = if count.is_empty() || count == "1" { String::new() } else { format!(" ×{count}") };
            let said = format!("{}{times}: {}", event.name, event.message);
            all.push(Evidence::signal(&event, 20, "the kubelet holds back the next start").citing(said));
        }
    }
    if let Some(well) = sibling {
        // An absolute time: words that change with every look would make a new revision of the same facts.
        let shown = format!("{} since {}", well.fares(), well.ready_at().unwrap_or_default());
        let note = format!("same Corefile on node {}, ready: the node differs, not the image", well.node());
        all.push(Evidence::object(&well.id, shown, 20, note));
    }
    if let Some((event, servers)) = resolver {
        let (weight, note) = if servers.iter().any(|s| stays_inside(*s)) {
            (30, "the resolv.conf that the kubelet of this node gives to pods names a loopback address")
        } else {
            (-20, "the kubelet of this node names no loopback address here")
        };
        all.push(Evidence::signal(event, weight, note));
    }
    if let Some(line) = world.about(&first.pod.id, "self", "log", VERSION, 0, 1).into_iter().next() {
        all.push(Evidence::signal(&line, 5, format!("the version that runs, image {}", first.pod.image())));
    }
    let mut strongest: Vec<Evidence> = Vec::new();
    for e in all {
        let place = strongest.partition_point(|s| s.weight.unsigned_abs() >= e.weight.unsigned_abs());
        strongest.insert(place, e);
    }
    strongest
}

fn path(
    first: &Looping<'_>,
    map: Option<&ObjectRef>,
    node: Option<&ObjectRef>,
    looping: &[Looping<'_>],
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let relation = |steps: &[Step], name: &'static str| if steps.is_empty() { "" } else { name };
    if let Some(map) = map {
        let note = first.cause.forward().map_or(String::new(), |f| f.text.clone());
        steps.push(Step::new(map, "", note));
    }
    if let Some(node) = node {
        let note = if from_cache(first).is_some() {
            "its resolv.conf names the cache itself"
        } else if inside(first) != Some(false) {
            "its resolv.conf names a loopback resolver"
        } else {
            "its resolv.conf leads back to CoreDNS"
        };
        steps.push(Step::new(node, relation(&steps, "uses"), note));
    }
    let others: Vec<String> = looping.iter().skip(1).map(|l| l.pod.id.name.clone()).collect();
    let also = if others.is_empty() { String::new() } else { format!("; likewise {}", list(&others)) };
    let mut pod = Step::new(
        &first.pod.id,
        relation(&steps, if node.is_some() { "pod" } else { "used-by" }),
        format!("{}{also}", first.pod.fares()),
    );
    pod.signal = Some(first.line.id.clone());
    steps.push(pod);
    steps
}

fn remedies(
    world: &World<'_>,
    workload: &ObjectRef,
    pods: &[Pod],
    looping: &[Looping<'_>],
    first: &Looping<'_>,
    nodes: &[String],
    sibling: Option<&Pod>,
) -> Vec<kwhy_sdk::Remedy> {
    let broken = Broken {
        workload,
        pods: looping.iter().map(|l| l.pod).collect(),
        others_well: pods.iter().any(|p| p.ready_since().is_some()),
    };
    // Servers that another node's pods get are known to be reached from this cluster.
    let (mut upstream, mut whose) = (Vec::new(), String::new());
    let elsewhere = sibling.and_then(|well| world.related(&well.id, "node").into_iter().next());
    if let Some((node, (_, servers))) = elsewhere.and_then(|n| applied_nameservers(world, &n).map(|a| (n, a)))
    {
        upstream = servers.iter().filter(|s| !stays_inside(**s)).map(ToString::to_string).collect();
        whose = format!("what the resolv.conf of node {} names", node.name);
    }
    let edit = match (&first.config, first.cause.forward()) {
        (Some(config), Some(forward)) => {
            Some(remedy::edit_corefile(world, config, &forward.text, &upstream, &whose, &broken))
        }
        _ => None,
    };
    let mut all = Vec::new();
    match first.cause {
        Cause::PodSpec(..) => {
            all.push(remedy::dns_policy(&broken));
            all.extend(edit);
        }
        Cause::Node(_) | Cause::Unknown => {
            all.extend(edit);
            all.push(remedy::kubelet_resolv_conf(world, nodes, &broken));
        }
        Cause::Corefile(..) | Cause::Upstream(_) => all.extend(edit),
    }
    all
}
