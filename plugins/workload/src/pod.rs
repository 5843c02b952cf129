//! A pod as the kubelet reports it: its containers, how each one fares and how it last ended.

use kwhy_sdk::{Condition, Json, ObjectRef, Signal, World, hours, minutes, parse_time};

use crate::{case, told, words::quoted};

/// A container that has run for so long has got over what made it end before.
pub(crate) const STABLE: u64 = minutes(10);

/// The name of a container of which no name is known.
pub(crate) const ANY: &str = "*";

/// How a container's process ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// OOMKilled, Error, Completed, StartError, ContainerCannotRun, ContainerStatusUnknown.
    pub(crate) reason: String,
    pub(crate) code: i64,
    /// What the runtime said, or the container's termination message.
    pub(crate) message: String,
    /// ms; 0 where unknown.
    pub(crate) started: u64,
    pub(crate) finished: u64,
}

impl End {
    fn read(json: &Json) -> Option<Self> {
        let time = |name: &str| parse_time(json.text(name)).unwrap_or(0);
        json.has("").then(|| Self {
            reason: json.text("/reason").to_owned(),
            code: json.number("/exitCode"),
            message: json.text("/message").trim().to_owned(),
            started: time("/startedAt"),
            finished: time("/finishedAt"),
        })
    }

    /// How long the process lived, ms; none where the times are not known.
    pub(crate) fn lived(&self) -> Option<u64> {
        (self.started > 0 && self.finished >= self.started).then(|| self.finished - self.started)
    }
}

/// One container with its specification and status.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) name: String,
    /// Runs to its end before the others start.
    pub(crate) init: bool,
    pub(crate) spec: Json,
    status: Json,
    /// Its pod is known to suffer, so that it runs for the moment says nothing yet.
    held: bool,
    /// Nothing is known of its pod but events.
    by_events: bool,
    now: u64,
}

impl Container {
    pub(crate) fn image(&self) -> &str {
        let known = [self.spec.text("/image"), self.status.text("/image")]
            .into_iter()
            .find(|image| !image.is_empty());
        known.or_else(|| quoted(self.waiting().1, "image ")).unwrap_or("")
    }

    /// Whether its specification is known as a whole: an API server never has one without an image.
    pub(crate) fn shown(&self) -> bool {
        self.spec.has("/image") && !self.by_events
    }

    /// What it is called in a sentence.
    pub(crate) fn called(&self) -> String {
        if self.name == ANY { "a container".to_owned() } else { format!("container {}", self.name) }
    }

    /// Why it does not run, and the kubelet's words; empty where it runs.
    pub(crate) fn waiting(&self) -> (&str, &str) {
        (self.status.text("/state/waiting/reason"), self.status.text("/state/waiting/message"))
    }

    pub(crate) fn restarts(&self) -> i64 {
        self.status.number("/restartCount")
    }

    pub(crate) fn ready(&self) -> bool {
        self.status.is_true("/ready")
    }

    /// Since when it runs, ms.
    pub(crate) fn running(&self) -> Option<u64> {
        self.status
            .has("/state/running")
            .then(|| parse_time(self.status.text("/state/running/startedAt")).unwrap_or(0))
    }

    /// How it ended, now or the time before.
    pub(crate) fn end(&self) -> Option<End> {
        End::read(&self.status.at("/state/terminated"))
            .or_else(|| End::read(&self.status.at("/lastState/terminated")))
    }

    /// Dead or waiting to be started again, which is what a container in a crash loop is most of the time.
    pub(crate) fn crashing(&self) -> bool {
        let ended = End::read(&self.status.at("/state/terminated"));
        self.waiting().0 == "CrashLoopBackOff"
            || ended.is_some_and(|e| e.code != 0 || (!self.init && self.restarts() > 0))
            || (self.held && self.end().is_some() && self.running().is_some_and(|at| at + STABLE > self.now))
    }
}

/// A pod that stands in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) id: ObjectRef,
    /// The top-level controller; the pod itself where it has none.
    pub(crate) workload: ObjectRef,
    /// What holds the template: a Deployment rather than its ReplicaSet or the custom resource above it.
    pub(crate) holder: ObjectRef,
    pub(crate) json: Json,
    /// Nothing is known of it but what its events say.
    pub(crate) by_events: bool,
    held: bool,
    now: u64,
}

/// Kinds with a pod template that a person edits, and `kubectl rollout` or at least `kubectl edit` understands.
const HOLDERS: [&str; 6] = ["CronJob", "Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"];

impl Pod {
    /// None where it is gone, or unknown and not told of in events either.
    pub(crate) fn load(world: &World<'_>, id: &ObjectRef) -> Option<Self> {
        if !world.exists(id) {
            return told::pod(world, id);
        }
        let json = world.read(id, "")?;
        let (workload, holder) = around(world, id);
        let id = ObjectRef { uid: json.text("/metadata/uid").to_owned(), ..id.clone() };
        let held = case::of(world, &id).is_some();
        Some(Self { id, workload, holder, json, by_events: false, held, now: world.now() })
    }

    /// One of which nothing is known but its name and what `json` says.
    pub(crate) fn assumed(world: &World<'_>, id: ObjectRef, json: Json) -> Self {
        let (workload, holder) = around(world, &id);
        let held = case::of(world, &id).is_some();
        Self { id, workload, holder, json, by_events: true, held, now: world.now() }
    }

    /// Whether it is known to suffer from something.
    pub(crate) fn held(&self) -> bool {
        self.held
    }

    pub(crate) fn containers(&self) -> Vec<Container> {
        let lists = [
            ("/spec/initContainers", "/status/initContainerStatuses", true),
            ("/spec/containers", "/status/containerStatuses", false),
        ];
        let mut all = Vec::new();
        for (specs, statuses, init) in lists {
            let specs = self.json.list(specs);
            for status in self.json.list(statuses) {
                let name = status.text("/name").to_owned();
                let spec = specs.iter().find(|s| s.text("/name") == name).cloned().unwrap_or_default();
                // A sidecar stands among the init containers and never ends.
                let init = init && spec.text("/restartPolicy") != "Always";
                let (held, by_events, now) = (self.held, self.by_events, self.now);
                all.push(Container { name, init, spec, status, held, by_events, now });
            }
        }
        all
    }

    pub(crate) fn container(&self, name: &str) -> Option<Container> {
        self.containers().into_iter().find(|c| c.name == name)
    }

    pub(crate) fn phase(&self) -> &str {
        self.json.text("/status/phase")
    }

    pub(crate) fn ready(&self) -> bool {
        self.condition("Ready") == "True"
    }

    /// True, False or Unknown; empty where the condition is not there.
    pub(crate) fn condition(&self, kind: &str) -> String {
        Condition::of(&self.json, kind).status
    }

    pub(crate) fn going(&self) -> bool {
        self.json.has("/metadata/deletionTimestamp")
    }

    /// ms; of a pod that is shown without it, when its kubelet took it up.
    pub(crate) fn created(&self) -> u64 {
        let times = ["/metadata/creationTimestamp", "/status/startTime"];
        times.iter().find_map(|at| parse_time(self.json.text(at))).unwrap_or(0)
    }

    pub(crate) fn node(&self) -> &str {
        self.json.text("/spec/nodeName")
    }

    /// The node for people, who may not know it.
    pub(crate) fn where_it_runs(&self) -> String {
        if self.node().is_empty() { "its node".to_owned() } else { format!("node {}", self.node()) }
    }

    /// Of a Job, now or by way of a CronJob.
    pub(crate) fn of_job(&self) -> bool {
        matches!(self.holder.kind.as_str(), "Job" | "CronJob")
    }

    /// Of those the ones about a container, as far as they say which they are about.
    pub(crate) fn told(
        &self,
        world: &World<'_>,
        container: &Container,
        reason: &str,
        since: u64,
    ) -> Vec<Signal> {
        let mut all = self.events(world, reason, since);
        all.retain(|e| {
            container.name == ANY || matches!(e.field("container"), c if c.is_empty() || c == container.name)
        });
        all
    }

    /// Events about it with that reason (a glob), newest first.
    pub(crate) fn events(&self, world: &World<'_>, reason: &str, since: u64) -> Vec<Signal> {
        world.about(&self.id, "self", "event", reason, since, 50)
    }
}

/// Whether a pod asks for no look: it runs, is ready, and each of its containers is and has hardly ever ended, or they are
/// being made and nobody complains. Most do most of the time, and to read one as a whole costs many times as much.
pub(crate) fn goes_well(world: &World<'_>, id: &ObjectRef) -> bool {
    let Some(status) = world.exists(id).then(|| world.read(id, "/status")).flatten() else { return false };
    let all = |is: fn(&Json) -> bool| {
        ["/containerStatuses", "/initContainerStatuses"].iter().all(|at| status.list(at).iter().all(is))
    };
    match status.text("/phase") {
        "Running" => {
            Condition::among(&status.at("/conditions"), "Ready").holds()
                && all(|c| c.is_true("/ready") && c.number("/restartCount") < 2)
        }
        "Pending" => {
            let begins = |c: &Json| {
                matches!(c.text("/state/waiting/reason"), "ContainerCreating" | "PodInitializing")
                    && !c.has("/lastState/terminated")
            };
            all(begins) && world.about(id, "self", "event", "Failed*", world.ago(hours(2)), 1).is_empty()
        }
        _ => false,
    }
}

/// The top-level owner of an object and the holder of its pod template.
pub(crate) fn around(world: &World<'_>, id: &ObjectRef) -> (ObjectRef, ObjectRef) {
    let mut chain = world.owners(id);
    chain.retain(|o| o.kind != "Node");
    let workload = chain.last().cloned().unwrap_or_else(|| id.clone());
    let own = std::iter::once(id);
    let holder = own.chain(&chain).rfind(|o| HOLDERS.contains(&o.kind.as_str())).cloned();
    // Whatever makes ReplicaSets has the template that people edit, as an Argo Rollout does.
    let holder = holder.filter(|h| h.kind != "ReplicaSet" || h.is(&workload));
    (workload.clone(), holder.unwrap_or(workload))
}
