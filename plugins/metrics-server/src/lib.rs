//! The metrics-server rule pack: why the metrics API is missing, with all that autoscalers and aggregated APIs then show.
//!
//! Every string matched here is metrics-server's own (`pkg/sources/manager.go` of 0.3, `pkg/server/server.go` of 0.4,
//! `pkg/scraper/scraper.go` since 0.5, in kubernetes-sigs/metrics-server), or that of Go's resolver and x509 packages.
//! metrics-server is told by what a container runs, never by a name.

mod down;
mod impact;
mod line;
mod memory;
mod reading;
mod remedy;
mod scrape;
mod server;

use kwhy_sdk::{
    Clearing, Descriptor, ObjectRef, Pattern, Rule, Signal, Subscription, Verdict, Wake, World, clock, hours,
    minutes, seconds,
};

use impact::{Api, Impact, misses_metrics};
use memory::{Memory, Watched, id, object};
use reading::Reading;
use scrape::Server;
use server::Pod;

/// The pack.
#[derive(Debug, Default)]
pub struct MetricsServer;

kwhy_sdk::export!(MetricsServer);

/// Pattern: a kubelet gave no metrics.
pub(crate) const SCRAPE: &str = "metrics-server-scrape";
/// All that can be held of a metrics-server.
const CODES: [&str; 4] = [scrape::NAMES, scrape::CERTIFICATE, scrape::UNKNOWN_CA, down::CODE];
/// Timer.
const LOOK: &str = "metrics-server-look";
/// Each node writes a line every round: one look in so long tells as much.
const PAUSE: u64 = seconds(10);
/// How long a ready metrics-server must have nothing to complain of before a cause counts as over: metrics-server of old
/// becomes ready first and complains a minute later.
pub(crate) const SETTLED: u64 = minutes(4);

impl Rule for MetricsServer {
    fn describe(&self) -> Descriptor {
        let literals =
            ["Failed to scrape node", "unable to fully collect metrics", "unable to fully scrape metrics"];
        let patterns = literals.iter().map(|literal| Pattern::new(SCRAPE, literal, "")).collect();
        Descriptor::new("metrics-server", env!("CARGO_PKG_VERSION"))
            .code(
                scrape::NAMES,
                "metrics-server asks the kubelets by names that DNS does not know",
                "metrics-server of any version that prefers Hostname, the default without --kubelet-preferred-address-types",
                &[
                    "https://github.com/kubernetes-sigs/metrics-server/issues/131",
                    "https://github.com/kubernetes-sigs/metrics-server#configuration",
                ],
            )
            .code(
                scrape::CERTIFICATE,
                "The kubelets' certificates have no SAN for the addresses that metrics-server asks",
                "metrics-server of any version with kubelets that make their own certificates",
                &[
                    "https://github.com/kubernetes-sigs/metrics-server/issues/196",
                    "https://github.com/kubernetes/kubeadm/issues/2028",
                    "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#kubelet-serving-certs",
                ],
            )
            .code(
                scrape::UNKNOWN_CA,
                "metrics-server does not trust the CA that signed the kubelets' certificates",
                "metrics-server of any version",
                &[
                    "https://github.com/kubernetes-sigs/metrics-server#requirements",
                    "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/#kubelet-serving-certs",
                ],
            )
            .code(
                down::CODE,
                "metrics-server does not serve the metrics API",
                "metrics-server of any version",
                &[
                    "https://github.com/kubernetes-sigs/metrics-server/blob/master/KNOWN_ISSUES.md",
                    "https://github.com/kubernetes-sigs/metrics-server/issues/1480",
                    "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubeaggregatedapidown",
                ],
            )
            .wants(Subscription::logs(patterns))
            .wants(Subscription::alerts(&["*AggregatedAPI*"]))
            .wants(Subscription::events(&["FailedGetResourceMetric", "FailedComputeMetricsReplicas"]).kinds(&["HorizontalPodAutoscaler"]))
            .wants(Subscription::events(&["Unhealthy", "BackOff"]).kinds(&["Pod"]))
            .wants(Subscription::objects(&["Pod", "Deployment", "APIService"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        Ok(match (signal.source.as_str(), subject.kind.as_str()) {
            ("log", _) => told(world, subject, signal),
            ("alert", _) if Api::is(signal.field("name")) => {
                let mut memory = Memory::load(world).unwrap_or_default();
                memory.hear(signal, subject);
                watch_servers(world, &mut memory, signal.at);
                examine(world, memory, |_| true)
            }
            ("event", "HorizontalPodAutoscaler") if misses_metrics(signal) => missed(world, subject, signal),
            ("object", "APIService") if Api::is(&subject.name) => {
                let mut memory = Memory::load(world).unwrap_or_default();
                if Api::find(world).is_some_and(|a| a.missing) {
                    watch_servers(world, &mut memory, signal.at);
                }
                examine(world, memory, |_| true)
            }
            ("alert", _) | ("event", "HorizontalPodAutoscaler") | ("object", "APIService") => {
                Verdict::default()
            }
            ("timer", "APIService") | ("object", "Deployment") => Memory::load(world)
                .map_or_else(Verdict::default, |m| examine(world, m, |w| w.workload == id(subject))),
            _ => {
                let Some(mut memory) = Memory::load(world) else { return Ok(Verdict::default()) };
                let workload = world.workload(subject);
                // A pod whose lines came before it was known has an owner now.
                let early =
                    memory.watched.iter().position(|w| w.workload == id(subject) && !workload.is(subject));
                if let Some(early) = early.map(|at| memory.watched.remove(at))
                    && Pod::load(world, subject).is_some()
                {
                    memory.watch(&workload, early.seen);
                }
                examine(world, memory, |w| w.workload == id(&workload))
            }
        })
    }
}

/// A line of a container that may be metrics-server.
fn told(world: &World<'_>, pod: &ObjectRef, signal: &Signal) -> Verdict {
    let workload = world.workload(pod);
    let mut memory = Memory::load(world).unwrap_or_default();
    let known = memory.watched.iter_mut().find(|w| w.workload == id(&workload));
    if let Some(watched) = known.filter(|w| w.looked + PAUSE > world.now()) {
        watched.seen = watched.seen.max(signal.at);
        let wake = look_at(&workload, watched.looked + PAUSE);
        memory.save(world);
        return Verdict { wakes: vec![wake], ..Verdict::default() };
    }
    // A pod that is not listed yet is looked for again: the log may be faster than the list.
    if world.exists(pod) && Pod::load(world, pod).is_none_or(|p| speaks_not(&p, signal)) {
        return Verdict::default();
    }
    memory.watch(&workload, signal.at);
    examine(world, memory, |w| w.workload == id(&workload))
}

fn speaks_not(pod: &Pod, signal: &Signal) -> bool {
    let container = signal.field("container");
    !container.is_empty() && container != pod.container_name()
}

/// An autoscaler that has no metrics.
fn missed(world: &World<'_>, autoscaler: &ObjectRef, signal: &Signal) -> Verdict {
    let mut memory = Memory::load(world).unwrap_or_default();
    // Without anything else, autoscalers miss metrics for a moment after every start of theirs.
    if memory.watched.is_empty() && Api::find(world).is_some_and(|a| a.missing) {
        watch_servers(world, &mut memory, signal.at);
    }
    if memory.watched.is_empty() || !memory.misses(autoscaler) {
        return Verdict::default();
    }
    examine(world, memory, |_| true)
}

/// Puts what stands behind the metrics API under watch; the APIService itself where nothing does.
fn watch_servers(world: &World<'_>, memory: &mut Memory, seen: u64) {
    let Some(api) = Api::find(world) else { return };
    let servers = api.servers(world);
    for server in &servers {
        memory.watch(server, seen);
    }
    if servers.is_empty() {
        memory.watch(&api.id, seen);
    }
}

/// Judges the watched metrics-servers that `which` picks and keeps what was found.
fn examine(world: &World<'_>, mut memory: Memory, which: impl Fn(&Watched) -> bool) -> Verdict {
    let mut verdict = Verdict::default();
    if memory.watched.iter().any(&which) {
        // Autoscalers may have complained before there was anything to watch.
        let anywhere = ObjectRef::default();
        let told =
            world.about(&anywhere, "cluster", "event", "FailedGetResourceMetric", world.ago(hours(1)), 200);
        for event in told.iter().filter(|e| misses_metrics(e)) {
            if let Some(autoscaler) = &event.subject {
                memory.misses(autoscaler);
            }
        }
    }
    let mut watched = std::mem::take(&mut memory.watched);
    for one in watched.iter_mut().filter(|w| which(w)) {
        verdict.merge(judge(world, &memory, one));
    }
    memory.watched = watched;
    memory.save(world);
    verdict
}

fn judge(world: &World<'_>, memory: &Memory, watched: &mut Watched) -> Verdict {
    let mut verdict = Verdict::default();
    let workload = object(&watched.workload);
    watched.looked = world.now();
    let pods: Vec<Pod> = world.pods(&workload).iter().filter_map(|p| Pod::load(world, p)).collect();
    let impact = Impact::look(world, memory, &pods);
    let reading = Reading::of(world, &pods);
    let newest = reading.as_ref().map_or(0, |r| r.newest);
    let missing = impact.api.as_ref().filter(|a| a.missing).map(|a| a.since);
    if let Some(because) = recovered(world, &workload, &pods, newest, missing) {
        if let Some((code, root)) = watched.held.take() {
            verdict.cleared.push(Clearing::new(&code, &object(&root), because));
        }
        return verdict;
    }
    let server = Server { workload: &workload, pods: &pods, impact: &impact, memory };
    let by_log = reading.filter(|r| r.lasts(world, &pods)).and_then(|r| scrape::diagnose(world, &server, &r));
    // What the log has told once stands until it is over: a capture may hold but the tail of a log.
    let log_told = watched.held.as_ref().is_some_and(|(code, _)| code != down::CODE);
    let found = by_log.or_else(|| if log_told { None } else { down::from_objects(world, &server) });
    if let Some(mut diagnosis) = found {
        if let Some((code, root)) = watched.held.as_ref().filter(|(_, root)| *root != id(&diagnosis.root)) {
            verdict.cleared.push(Clearing::new(code, &object(root), format!("now {}", diagnosis.title)));
        }
        // One metrics-server has one trouble at a time: each mend shows the next.
        let others = CODES.iter().filter(|c| **c != diagnosis.code);
        diagnosis.supersedes = others.map(|c| (*c).to_owned()).collect();
        watched.held = Some((diagnosis.code.clone(), id(&diagnosis.root)));
        verdict.diagnoses.push(diagnosis);
    }
    let ready = pods.iter().filter_map(|p| p.ready_since()).max().unwrap_or(0);
    let due = ready.max(newest) + SETTLED;
    if watched.held.is_some() && due > world.now() {
        verdict.wakes.push(look_at(&workload, due));
    }
    if let Some(since) = missing.filter(|s| s + down::PATIENCE > world.now()) {
        verdict.wakes.push(look_at(&workload, since + down::PATIENCE));
    }
    verdict
}

/// Why a metrics-server serves again; none while that is not certain.
fn recovered(
    world: &World<'_>,
    workload: &ObjectRef,
    pods: &[Pod],
    newest: u64,
    missing: Option<u64>,
) -> Option<String> {
    if !world.exists(workload) {
        return Some(format!("{} {} is gone", workload.kind, workload.path()));
    }
    if missing.is_some() {
        return None;
    }
    if workload.kind == "APIService" {
        return Some(format!("{} is available again", workload.name));
    }
    let ready: Vec<u64> = pods.iter().filter_map(|p| p.ready_since()).collect();
    let since = ready.iter().copied().max()?;
    let quiet = since.max(newest) + SETTLED <= world.now();
    let all = ready.len() == pods.len();
    (quiet && all).then(|| match pods {
        [only] => {
            format!("{} is ready since {} and has complained of no kubelet since", only.id.name, clock(since))
        }
        _ => format!("all {} pods of {} are ready since {}", pods.len(), workload.name, clock(since)),
    })
}

fn look_at(workload: &ObjectRef, at: u64) -> Wake {
    Wake { id: LOOK.into(), subject: Some(workload.clone()), at }
}

/// `a`, `a and b`, `a, b and 3 more`.
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
    }
}
