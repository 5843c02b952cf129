//! `kube-proxy.metrics-bind-loopback`: Prometheus finds a component down on all its nodes while its pods are ready, and
//! the component's own settings say that it answers for metrics on the loopback address only.
//!
//! A pod that is not ready says nothing of this kind, and an address that others can reach acquits the setting.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Step, World};

use crate::{
    address, bare,
    component::Component,
    instance::{Instance, Listening, Told},
    list,
    memory::{Edit, Firing, Memory, id, object},
    remedy,
};

pub(crate) const CODE: &str = "kube-proxy.metrics-bind-loopback";

/// Whether a copy runs with settings older than those that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stale {
    No,
    /// The oldest edit that was seen since it started.
    Edited(Edit),
    /// No edit was seen, but the ConfigMap's version is newer than the pod's.
    Newer {
        map: u64,
        pod: u64,
    },
}

/// A copy of the component with its settings.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) instance: Instance,
    pub(crate) now: Option<Listening>,
    /// The address that it serves on, where an edit has changed the setting since it started.
    pub(crate) then: Option<String>,
    pub(crate) stale: Stale,
}

/// All copies of a component that are ready, and how many there are in all.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) component: Component,
    pub(crate) copies: Vec<Copy>,
    pub(crate) all: usize,
    pub(crate) restarts: i64,
}

impl Copy {
    fn look(world: &World<'_>, component: Component, memory: &Memory, instance: Instance) -> Self {
        let now = instance.listening(world, component);
        let map =
            now.as_ref().and_then(|l| if let Told::Map { map, .. } = &l.told { Some(map) } else { None });
        let (mut then, mut stale) = (None, Stale::No);
        if let (Some(map), Some(started)) = (map, instance.started_at()) {
            let mut since = memory.edits.iter().filter(|e| e.map == id(map) && e.at > started);
            let revision = world.read(map, "/metadata/resourceVersion").unwrap_or_default();
            let revision: u64 = revision.text("").parse().unwrap_or(0);
            if let Some(first) = since.clone().next() {
                then = since.find_map(|e| e.old.clone());
                stale = Stale::Edited(first.clone());
            } else if revision > instance.revision() && instance.revision() > 0 {
                stale = Stale::Newer { map: revision, pod: instance.revision() };
            }
        }
        // The default of the same family.
        let then =
            then.map(|old| if old.is_empty() { format!("127.0.0.1:{}", component.port()) } else { old });
        Self { instance, now, then, stale }
    }

    /// Whether the settings of today hide the metrics, and did when it started.
    pub(crate) fn hides(&self) -> bool {
        let then = self.then.as_deref().is_none_or(address::is_loopback);
        then && self.now.as_ref().is_some_and(|l| address::is_loopback(&l.address))
    }

    /// Whether today's settings would show the metrics.
    pub(crate) fn would_show(&self) -> bool {
        self.now.as_ref().is_some_and(|l| !address::is_loopback(&l.address))
    }
}

impl Seen {
    pub(crate) fn look(
        world: &World<'_>,
        component: Component,
        memory: &Memory,
        instances: Vec<Instance>,
    ) -> Self {
        let all = instances.len();
        let restarts = instances.iter().map(Instance::restarts).sum();
        let ready = instances.into_iter().filter(Instance::ready);
        let copies = ready.map(|i| Copy::look(world, component, memory, i)).collect();
        Self { component, copies, all, restarts }
    }

    /// The object that holds the setting: the ConfigMap, else the workload, which of a static pod is the pod.
    pub(crate) fn root(&self) -> Option<ObjectRef> {
        self.copies.first().map(Copy::root)
    }

    /// Whether most copies are ready: a component that is ill has other troubles than its metrics.
    pub(crate) fn is_well(&self) -> bool {
        !self.copies.is_empty() && self.copies.len() * 2 > self.all
    }

    /// `all 3 pods are ready`.
    pub(crate) fn fares(&self) -> String {
        match (self.copies.len(), self.all) {
            (1, 1) => "its pod is ready".to_owned(),
            (ready, all) if ready == all => format!("all {all} pods are ready"),
            (ready, all) => format!("{ready} of {all} pods are ready"),
        }
    }

    /// Why nothing is held of it.
    pub(crate) fn well(&self, silent: bool) -> String {
        let name = self.component.name();
        if silent {
            return format!("no alert says any more that the metrics of {name} cannot be read");
        }
        if !self.is_well() {
            return format!(
                "{} of {} pods of {name} are ready, so its metrics are not all that is missing",
                self.copies.len(),
                self.all
            );
        }
        match self.copies.first().and_then(|c| c.now.as_ref()) {
            Some(l) if !address::is_loopback(&l.address) => {
                let set = match &l.told {
                    Told::Map { map, line } => format!("`{line}` in ConfigMap {}", map.path()),
                    Told::Flag(word) => format!("`{word}`"),
                    Told::Nowhere => "the default".to_owned(),
                };
                format!("{name} serves its metrics on {}, which is not a loopback address ({set})", l.address)
            }
            _ => format!("where {name} serves its metrics is not known here"),
        }
    }
}

impl Copy {
    pub(crate) fn root(&self) -> ObjectRef {
        match self.now.as_ref().map(|l| &l.told) {
            Some(Told::Map { map, .. }) => bare(map),
            _ => bare(&self.instance.workload),
        }
    }
}

/// The diagnosis, where the settings say so.
pub(crate) fn diagnose(world: &World<'_>, seen: &Seen, firing: &[Firing]) -> Option<Diagnosis> {
    let hidden: Vec<&Copy> = seen.copies.iter().filter(|c| c.hides()).collect();
    let first = *hidden.first()?;
    let listening = first.now.as_ref()?;
    if firing.is_empty() || !seen.is_well() {
        return None;
    }
    let name = seen.component.name();
    let mut diagnosis = Diagnosis::new(CODE, first.root());
    diagnosis.confidence = if hidden.len() == seen.all { 95 } else { 85 };
    let addresses = &listening.address;
    diagnosis.title = format!(
        "{name} serves its metrics on {} only, where Prometheus cannot reach them",
        host_of(addresses)
    );
    let set = match &listening.told {
        Told::Map { map, line } if line.is_empty() => {
            format!("ConfigMap {} sets no metricsBindAddress, which stands for {addresses}", map.path())
        }
        Told::Map { map, line } if !line.contains(addresses.as_str()) => {
            format!("`{line}` in ConfigMap {} stands for the default {addresses}", map.path())
        }
        Told::Map { map, line } => format!("ConfigMap {} says `{line}`", map.path()),
        Told::Flag(word) => format!("{} runs with `{word}`", at_first(&hidden)),
        Told::Nowhere => {
            format!("{} sets no --{}, so it is {addresses}", at_first(&hidden), seen.component.flag())
        }
    };
    diagnosis.explanation = format!(
        "{set}: a loopback address, which only the node itself can reach. Prometheus asks at the node's own address, so it \
         finds the {} down. {} itself is well: {}, and {}.",
        if seen.all == 1 { "target".to_owned() } else { format!("targets on {} nodes", hidden.len()) },
        name,
        seen.fares(),
        seen.component.work(),
    );
    evidence(seen, &hidden, listening, &mut diagnosis);
    diagnosis.explains = explains(seen, firing, &diagnosis.root);
    diagnosis.path = path(seen, &hidden, listening);
    diagnosis.remedies = remedy::listen(world, seen, &hidden, listening);
    Some(diagnosis)
}

fn host_of(address: &str) -> &str {
    if address.contains("://") {
        address
    } else {
        address.rsplit_once(':').map_or(address, |(host, _)| if host.is_empty() { address } else { host })
    }
}

/// `pod kube-system/kube-scheduler-cp1`, or the workload where there are more.
fn at_first(hidden: &[&Copy]) -> String {
    let Some(first) = hidden.first() else { return String::new() };
    let workload = &first.instance.workload;
    let own = format!("{} {}", workload.kind, workload.path());
    match hidden.len() {
        n if n > 1 && workload.kind == "Pod" => format!("{own} (and {} more)", n - 1),
        _ => own,
    }
}

fn evidence(seen: &Seen, hidden: &[&Copy], listening: &Listening, diagnosis: &mut Diagnosis) {
    let address = &listening.address;
    let (object, excerpt) = match &listening.told {
        Told::Map { map, line } if line.is_empty() => (map.clone(), "(no metricsBindAddress)".to_owned()),
        Told::Map { map, line } => (map.clone(), line.clone()),
        Told::Flag(word) => (diagnosis.root.clone(), word.clone()),
        Told::Nowhere => (diagnosis.root.clone(), format!("(no --{})", seen.component.flag())),
    };
    diagnosis.evidence.push(Evidence::object(
        &object,
        excerpt,
        50,
        format!("metrics are served on {address} only"),
    ));
    let workload = hidden.first().map(|c| c.instance.workload.clone());
    let Some(workload) = workload else { return };
    // Absolute times: words that change with every look would make a new revision of the same facts.
    let starts = hidden.iter().map(|c| c.instance.started());
    let newest = starts.reduce(|a, b| if b > a { b } else { a }).unwrap_or_default();
    let running =
        if newest.is_empty() { String::new() } else { format!(", running since {newest} or longer") };
    let restarts = match seen.restarts {
        0 => "never restarted".to_owned(),
        1 => "restarted once".to_owned(),
        n => format!("{n} restarts in all"),
    };
    diagnosis.evidence.push(Evidence::object(
        &workload,
        format!("{}{running}, {restarts}", seen.fares()),
        30,
        format!("{} itself is well, only its metrics are out of reach", seen.component.name()),
    ));
}

/// The alerts that say that nothing was scraped: the component's own wherever they stand, the general ones where they
/// were seen and where its Services and pods are.
pub(crate) fn explains(seen: &Seen, firing: &[Firing], root: &ObjectRef) -> Vec<Explains> {
    let own = seen.component.own_alerts().iter();
    let mut all: Vec<Explains> = own.map(|name| Explains::alert(name, root, "cluster")).collect();
    let mut near: Vec<ObjectRef> = Vec::new();
    for copy in &seen.copies {
        let workload = bare(&copy.instance.workload);
        if !near.contains(&workload) {
            near.push(workload);
        }
    }
    for general in ["TargetDown", "PrometheusTarget*", "PrometheusAllTargetsMissing", "PrometheusJobMissing"]
    {
        all.extend(near.iter().take(10).map(|w| Explains::alert(general, w, "workload")));
    }
    for alert in firing {
        let subject = object(&alert.subject);
        // Whatever else is wrong would be told of the same cluster or namespace.
        if !matches!(subject.kind.as_str(), "Cluster" | "Namespace") {
            let explains = Explains::alert(&alert.name, &subject, "self");
            if !all.contains(&explains) {
                all.push(explains);
            }
        }
    }
    all
}

fn path(seen: &Seen, hidden: &[&Copy], listening: &Listening) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Told::Map { map, line } = &listening.told {
        let note = if line.is_empty() { "no metricsBindAddress".to_owned() } else { line.clone() };
        steps.push(Step::new(map, "", note));
    }
    let mut workloads: Vec<(ObjectRef, String)> = Vec::new();
    for copy in hidden {
        let workload = copy.instance.workload.clone();
        if workloads.iter().all(|(w, _)| !w.is(&workload)) {
            let word = match &copy.now {
                Some(Listening { told: Told::Flag(word), .. }) => format!("{word}; "),
                _ => String::new(),
            };
            let fares = if workload.kind == "Pod" { "ready".to_owned() } else { seen.fares() };
            workloads.push((workload, format!("{word}{fares}")));
        }
    }
    for (workload, note) in workloads.into_iter().take(5) {
        let relation = if steps.is_empty() { "" } else { "used-by" };
        steps.push(Step::new(&workload, relation, note));
    }
    steps
}

/// The nodes of some copies, sorted.
pub(crate) fn nodes(copies: &[&Copy]) -> String {
    let mut names: Vec<String> = Vec::new();
    for copy in copies {
        let node = copy.instance.node().to_owned();
        if let Err(place) = names.binary_search(&node) {
            names.insert(place, node);
        }
    }
    list(&names)
}
