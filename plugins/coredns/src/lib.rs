//! The coredns rule pack: why the cluster's DNS server does not come up or does not answer.
//!
//! Every string matched here is CoreDNS's own: `plugin/loop/loop.go`, `plugin/errors/errors.go`,
//! `plugin/reload/reload.go` and `coremain/run.go` in coredns/coredns. CoreDNS is told by what a pod runs, never by
//! its name.

mod all_down;
mod config_invalid;
mod corefile;
mod felt;
mod forward_loop;
mod memory;
mod node_cache;
mod remedy;
mod server;
mod upstream_timeout;

use kwhy_sdk::{Descriptor, ObjectRef, Pattern, Rule, Signal, Subscription, Verdict, Wake, World, seconds};

use memory::{Memory, Watched, id, object};
use server::Pod;

/// The pack.
#[derive(Debug, Default)]
pub struct Coredns;

kwhy_sdk::export!(Coredns);

/// Pattern of the loop plugin's last words; older releases worded them otherwise and share the prefix.
pub(crate) const LOOP: &str = "coredns-loop";
pub(crate) const TIMEOUT: &str = "coredns-timeout";
pub(crate) const VERSION: &str = "coredns-version";
pub(crate) const CONFIG: &str = "coredns-config";
/// A configuration that is refused, at a start or at a reload.
pub(crate) const REFUSED: &str = "coredns-refused";
/// CoreDNS gets nothing from the API server.
pub(crate) const API: &str = "coredns-api";
/// Any program gets no answer from the name server.
pub(crate) const UNANSWERED: &str = "coredns-unanswered";
/// Words of libraries that say the same where a name does not exist.
pub(crate) const UNCLEAR: &str = "coredns-unanswered-or-unknown";
/// Timers.
const LOOK: &str = "coredns-look";
/// How soon a pod that is not yet known is looked for again.
const RETRY: u64 = seconds(30);

impl Rule for Coredns {
    fn describe(&self) -> Descriptor {
        // The wording since 1.3.1, of 1.2.3 to 1.3.0, and of 1.2.0 to 1.2.2.
        let loops = Pattern::new(
            LOOP,
            "plugin/loop: ",
            concat!(
                r#"plugin/loop: (?:Loop \((?P<from>\S+) -> (?P<to>\S*)\) detected for zone "(?P<zone>[^"]*)""#,
                r#"|Forwarding loop detected in "(?P<zone_then>[^"]*)" zone\."#,
                r#"|Seen "HINFO IN \S+" more than twice, loop detected)"#,
            ),
        );
        // A server that is silent, and one that cannot be reached or does not listen.
        let timeouts = ["i/o timeout", "connection refused", "no route to host", "network is unreachable"].map(|why| {
            let head = r"plugin/errors: \d+ (?P<query>\S+) (?P<type>[A-Z0-9]+): (?:unreachable backend: )?(?:read|write|dial) (?:udp|tcp)[46]? (?:\S+->)?(?P<upstream>\S+): (?:[a-z]+: )?(?P<why>";
            Pattern::new(TIMEOUT, why, &format!("{head}{why})"))
        });
        let version =
            Pattern::new(VERSION, "CoreDNS-", r"^(?:\S+ )?(?:\[INFO\] )?CoreDNS-(?P<version>\d\S*)$");
        let config = Pattern::new(
            CONFIG,
            "plugin/reload: Running configuration",
            r"plugin/reload: Running configuration (?P<hash>MD5|SHA512) = (?P<sum>[0-9a-f]+)",
        );
        Descriptor::new("coredns", env!("CARGO_PKG_VERSION"))
            .code(
                forward_loop::CODE,
                "CoreDNS forwards queries to itself and ends",
                "CoreDNS 1.2.0 and later (the loop plugin)",
                &[
                    "https://coredns.io/plugins/loop#troubleshooting",
                    "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/#known-issues",
                    "https://github.com/coredns/coredns/issues/2087",
                    "https://github.com/kubernetes/kubeadm/issues/1162",
                ],
            )
            .code(
                upstream_timeout::CODE,
                "The DNS servers that CoreDNS forwards to do not answer",
                "all of CoreDNS",
                &["https://coredns.io/plugins/forward/", "https://coredns.io/plugins/errors/"],
            )
            .code(
                config_invalid::CODE,
                "CoreDNS refuses its configuration",
                "all of CoreDNS; reloads since 1.1.2",
                &[
                    "https://coredns.io/manual/configuration/",
                    "https://coredns.io/plugins/reload/",
                    "https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/",
                ],
            )
            .code(
                all_down::CODE,
                "No pod of the cluster's DNS is ready",
                "all of CoreDNS",
                &[
                    "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
                    "https://coredns.io/plugins/ready/",
                ],
            )
            .code(
                node_cache::CODE,
                "The DNS cache of one node does not run",
                "node-local-dns of any version",
                &["https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/"],
            )
            .wants(Subscription::logs(vec![loops, version, config]))
            .wants(Subscription::logs(timeouts.into()))
            .wants(Subscription::logs(patterns()))
            .wants(Subscription::alerts(&["CoreDNSDown", "KubeDNSDown"]))
            .wants(Subscription::objects(&["Deployment", "DaemonSet"]).workloads(&["*dns*"]))
            .wants(Subscription::events(&["BackOff", "DNSConfigForming"]).kinds(&["Pod"]))
            .wants(Subscription::objects(&["Pod", "ConfigMap"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        match (signal.source.as_str(), signal.name.as_str()) {
            ("log", LOOP | REFUSED | API) => Ok(told_of_trouble(world, subject, signal)),
            ("log", UNANSWERED | UNCLEAR) => Ok(told_by_dependant(world, subject)),
            ("alert", _) => Ok(look_at_servers(world, Memory::load(world).unwrap_or_default())),
            ("log", TIMEOUT) => Ok(told_of_timeout(world, subject, signal)),
            ("timer", LOOK) if subject.kind == "Pod" && !world.exists(subject) => {
                Ok(look_again(world, subject))
            }
            _ => Ok(look_at_watched(world, subject, signal.name == "DNSConfigForming")),
        }
    }
}

/// Lines that tell of a CoreDNS that does not come up, and of programs that get no answer from it.
fn patterns() -> Vec<Pattern> {
    // `Restart failed:` is said by the instance, `reload failed:` by the plugin, both of the same refusal.
    let head = concat!(
        r"^(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?",
        r"(?:\[ERROR\] (?:plugin/reload: Corefile changed but )?(?P<reload>Restart|reload) failed: )?(?:starting with listener file descriptors: )?",
    );
    // A plugin names itself before its complaint.
    let parse = r"(?:plugin/(?P<plugin>[a-z0-9_-]+): )?(?:(?P<file>\S+):(?P<line>\d+) - )?Error during parsing: (?P<why>.+)$";
    let setup = r"plugin/(?P<plugin>[a-z0-9_-]+): (?P<why>.+)$";
    // What a resolver library says of a server that is silent or fails; a name that does not exist is not among it.
    let silent = r"lookup (?P<name>\S+?)(?: on (?P<server>\S+))?: .*(?:i/o timeout|connection refused|server misbehaving)";
    vec![
        Pattern::new(REFUSED, "Error during parsing: ", &format!("{head}{parse}")),
        Pattern::new(REFUSED, "plugin/", &format!("{head}{setup}")),
        Pattern::new(
            REFUSED,
            "it is already defined",
            &format!(r"{head}(?P<why>cannot serve \S+ - it is already defined.*)$"),
        ),
        Pattern::new(REFUSED, "loading Caddyfile via flag: ", r"loading Caddyfile via flag: (?P<why>.+)$"),
        Pattern::new(
            API,
            "plugin/",
            r"(?:plugin/kubernetes: .*(?:[Ff]ailed to (?:list|watch)|unsynced Kubernetes API|waiting for Kubernetes API)|plugin/ready: (?:Still waiting on|Plugins not ready): \W*kubernetes)",
        ),
        Pattern::new(
            API,
            "is forbidden: User ",
            r"[Ff]ailed to (?:list|watch) \*v1\w*\.(?:EndpointSlice|Endpoints|Service|Namespace|Pod|Node): .*is forbidden",
        ),
        Pattern::new(UNANSWERED, "lookup ", silent),
        Pattern::new(UNANSWERED, "EAI_AGAIN", ""),
        // glibc's words of EAI_AGAIN, and musl's, which say it of more than names.
        Pattern::new(UNANSWERED, "emporary failure in name resolution", ""),
        Pattern::new(
            UNANSWERED,
            ": Try again",
            r"(?:getaddrinfo|address information|host ?name|resolve).*: Try again",
        ),
        Pattern::new(UNANSWERED, "could not be resolved (110: ", ""),
        Pattern::new(UNANSWERED, "no servers could be reached", ""),
        // c-ares, as of aiodns, Envoy and Node.js, and curl.
        Pattern::new(UNANSWERED, "Timeout while contacting DNS servers", ""),
        Pattern::new(UNANSWERED, "Could not contact DNS servers", ""),
        Pattern::new(UNANSWERED, " ETIMEOUT", r"\bquery[A-Z]\w* ETIMEOUT\b"),
        Pattern::new(UNANSWERED, " ESERVFAIL", r"\bquery[A-Z]\w* ESERVFAIL\b"),
        Pattern::new(UNANSWERED, "queryA ECONNREFUSED", ""),
        Pattern::new(UNANSWERED, "Resolving timed out after ", ""),
        Pattern::new(UNCLEAR, "Could not resolve host", ""),
        Pattern::new(UNCLEAR, "UnknownHostException", ""),
        Pattern::new(UNCLEAR, "bad address '", ""),
    ]
}

fn told_of_trouble(world: &World<'_>, pod: &ObjectRef, signal: &Signal) -> Verdict {
    if signal.name == REFUSED && !config_invalid::is_refusal(signal) {
        return Verdict::default();
    }
    let mut memory = Memory::load(world).unwrap_or_default();
    if !world.exists(pod) {
        // The log may be faster than the list of pods; a pod that is gone for good is given up in time.
        memory.pending.retain(|(p, _)| *p != id(pod));
        memory.pending.push((id(pod), signal.at));
        memory.save(world);
        return wake(world, pod);
    }
    let speaks = Pod::load(world, pod).is_some_and(|p| {
        let container = signal.field("container");
        container.is_empty() || container == p.container_name()
    });
    if !speaks {
        return Verdict::default();
    }
    let workload = world.workload(pod);
    memory.watch(&workload, signal.at);
    examine(world, memory, |w| w.workload == id(&workload))
}

fn told_of_timeout(world: &World<'_>, pod: &ObjectRef, signal: &Signal) -> Verdict {
    let workload = world.workload(pod);
    let mut memory = Memory::load(world).unwrap_or_default();
    // A resolver that is down writes a line for each query: one look in ten seconds tells as much.
    let looked = memory.watched.iter().find(|w| w.workload == id(&workload)).map_or(0, |w| w.looked);
    if looked + seconds(10) > world.now() || Pod::load(world, pod).is_none() {
        return Verdict::default();
    }
    memory.watch(&workload, signal.at);
    if let Some(watched) = memory.watched.iter_mut().find(|w| w.workload == id(&workload)) {
        watched.looked = world.now();
    }
    examine(world, memory, |w| w.workload == id(&workload))
}

/// A program somewhere gets no answer: who else suffers where it is known that CoreDNS is silent, else a reason to look.
fn told_by_dependant(world: &World<'_>, pod: &ObjectRef) -> Verdict {
    let memory = Memory::load(world).unwrap_or_default();
    let sufferer = id(&world.workload(pod));
    if !memory.watched.iter().any(Watched::silent) {
        let known = memory.watched.iter().any(|w| w.cache.is_some() && w.felt.contains(&sufferer));
        return if known { Verdict::default() } else { look_at_servers(world, memory) };
    }
    examine(world, memory, |w| w.silent() && !w.felt.contains(&sufferer))
}

/// Looks at all that run CoreDNS and are not ready.
fn look_at_servers(world: &World<'_>, mut memory: Memory) -> Verdict {
    let mut found: Vec<ObjectRef> = Vec::new();
    for kind in ["Deployment", "DaemonSet"] {
        let all = world.list(kind, "").into_iter().filter(|o| o.name.contains("dns"));
        found.extend(all.filter(|o| silent(world, o) || cache_silent(world, o)));
    }
    for workload in &found {
        memory.watch(workload, world.now());
    }
    examine(world, memory, |w| found.iter().any(|o| id(o) == w.workload))
}

/// Whether a workload is the cluster's DNS and none of its pods is ready.
fn silent(world: &World<'_>, workload: &ObjectRef) -> bool {
    let pods: Vec<Pod> = world.pods(workload).iter().filter_map(|p| Pod::load(world, p)).collect();
    pods.iter().all(|p| p.ready_since().is_none()) && all_down::service(world, workload, &pods).is_some()
}

/// Whether a workload is a cache on each node, and one of them does not answer.
fn cache_silent(world: &World<'_>, workload: &ObjectRef) -> bool {
    if workload.kind != "DaemonSet" {
        return false;
    }
    let pods: Vec<Pod> = world.pods(workload).iter().filter_map(|p| Pod::load(world, p)).collect();
    node_cache::ill(&pods)
}

/// Objects, events, timers and lines that only matter where something has already been seen. What is `said_of_node` on
/// one pod matters to all CoreDNS pods of its node.
fn look_at_watched(world: &World<'_>, subject: &ObjectRef, said_of_node: bool) -> Verdict {
    // A pod's name begins with that of what made it. Nearly all of a cluster's pods go by here.
    let may_be = subject.name.contains("dns");
    if !may_be && memory::is_empty(world) {
        return Verdict::default();
    }
    let workload = world.workload(subject);
    let known = said_of_node || [subject, &workload].iter().any(|o| memory::concerns(world, o));
    if !known && !may_be {
        return Verdict::default();
    }
    let mut memory = Memory::load(world);
    if may_be && matches!(workload.kind.as_str(), "Deployment" | "DaemonSet") && silent(world, &workload) {
        memory.get_or_insert_default().watch(&workload, world.now());
    }
    let Some(mut memory) = memory else { return Verdict::default() };
    if subject.kind == "ConfigMap" {
        return examine(world, memory, |w| w.map == Some(id(subject)));
    }
    let waited = memory.pending.iter().position(|(p, _)| *p == id(subject));
    if let Some(at) = waited.filter(|_| world.exists(subject)) {
        let (_, seen) = memory.pending.remove(at);
        if Pod::load(world, subject).is_some() {
            memory.watch(&workload, seen);
        }
    }
    let nodes = if said_of_node { world.related(subject, "node") } else { Vec::new() };
    let shares_node = |pod: &ObjectRef| world.related(pod, "node").iter().any(|n| nodes.contains(n));
    examine(world, memory, |w| {
        w.workload == id(&workload)
            || (said_of_node && world.pods(&object(&w.workload)).iter().any(shares_node))
    })
}

fn look_again(world: &World<'_>, pod: &ObjectRef) -> Verdict {
    let Some(memory) = Memory::load(world) else { return Verdict::default() };
    let waits = memory.pending.iter().any(|(p, at)| *p == id(pod) && at + memory::PENDING > world.now());
    memory.save(world);
    if waits { wake(world, pod) } else { Verdict::default() }
}

fn wake(world: &World<'_>, pod: &ObjectRef) -> Verdict {
    let wake = Wake { id: LOOK.into(), subject: Some(pod.clone()), at: world.now() + RETRY };
    Verdict { wakes: vec![wake], ..Verdict::default() }
}

/// Judges the watched workloads that `which` picks and keeps what was found.
fn examine(world: &World<'_>, mut memory: Memory, which: impl Fn(&Watched) -> bool) -> Verdict {
    let mut verdict = Verdict::default();
    for watched in memory.watched.iter_mut().filter(|w| which(w)) {
        let workload = object(&watched.workload);
        let pods: Vec<Pod> = world.pods(&workload).iter().filter_map(|p| Pod::load(world, p)).collect();
        verdict.merge(forward_loop::judge(world, watched, &workload, &pods));
        verdict.merge(config_invalid::judge(world, watched, &workload, &pods));
        verdict.merge(all_down::judge(world, watched, &workload, &pods));
        verdict.merge(node_cache::judge(world, watched, &workload, &pods));
        let felt = match (watched.silent(), watched.cache.is_some()) {
            (true, _) => felt::without_any(world, &workload),
            (_, true) => node_cache::dependants(world, &pods),
            _ => Vec::new(),
        };
        watched.felt = felt.iter().map(|(w, _)| id(w)).collect();
        verdict.merge(upstream_timeout::judge(world, watched, &workload, &pods));
    }
    memory.save(world);
    verdict
}

/// A timer that makes the pack look at a workload again.
pub(crate) fn look_at(workload: &ObjectRef, at: u64) -> Wake {
    Wake { id: LOOK.into(), subject: Some(workload.clone()), at }
}

/// The texts that are not empty, sorted, each once.
pub(crate) fn each_once<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    // Sorting as such costs a component five kilobytes for each type; these lists are short.
    let mut all: Vec<String> = Vec::new();
    for text in texts.filter(|t| !t.is_empty()) {
        if let Err(place) = all.binary_search_by(|t| t.as_str().cmp(text)) {
            all.insert(place, text.to_owned());
        }
    }
    all
}
