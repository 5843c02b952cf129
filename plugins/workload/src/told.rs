//! Pods of which nothing is known but their events, as where all that was collected is `kubectl get events`. What the
//! events say is put where a pod's status would have it, so that the rest of the pack reads it like any other pod.
//!
//! Reasons of pkg/kubelet/events/event.go, texts of pkg/kubelet/kuberuntime, pkg/kubelet/images and pkg/kubelet/prober.
//! A kubelet repeats an event while the trouble lasts, after 25 times only every five minutes (`EventSourceObjectSpamFilter`
//! of client-go), so trouble that was not heard of for longer is over.

use std::collections::BTreeMap;

use kwhy_sdk::{
    Json, ObjectRef, Signal, World, hours, minutes, seconds,
    serde_json::{Value, json},
    stamp,
};

use crate::{
    missing,
    pod::{ANY, Pod},
    synced,
    words::{any, between, quoted},
};

/// How far back events count.
const LOOKBACK: u64 = hours(2);
/// Trouble that was not heard of for so long is over.
const HEARD: u64 = minutes(12);
/// A container that was held back for so long, or so often, does not come up by itself.
const LASTS: u64 = minutes(3);
const OFTEN: u64 = 10;
/// What is tried again at once, and said so often, fails for good.
const TRIES: u64 = 3;
/// Failures in a row after which a kubelet kills for a liveness probe, where nobody set another number.
const THRESHOLD: u64 = 3;
/// A pod that is unready for so long does not only start slowly.
const UNREADY: u64 = minutes(9);

/// The most that is believed where nobody has shown the pod.
pub(crate) const CONFIDENCE: u8 = 75;

/// All that was said in the same words: how often, and from when until when.
#[derive(Debug, Clone, Default)]
struct Said {
    count: u64,
    first: u64,
    last: u64,
    message: String,
}

impl Said {
    fn add(&mut self, event: &Signal) {
        let first = event.began();
        self.count = self.count.max(event.field("count").parse().unwrap_or(1));
        self.first = if self.first == 0 { first } else { self.first.min(first) };
        if event.at >= self.last {
            self.last = event.at;
            self.message.clone_from(&event.message);
        }
    }

    fn lasted(&self) -> u64 {
        self.last.saturating_sub(self.first)
    }

    fn persists(&self) -> bool {
        self.lasted() >= LASTS || self.count >= OFTEN
    }
}

/// One container, by what was said of it.
#[derive(Debug, Clone, Default)]
struct Container {
    init: bool,
    image: String,
    /// Its image does not come: the waiting reason, and the words that tell most.
    pull: Option<(&'static str, Said)>,
    /// It is not made or not started.
    refused: Option<(&'static str, Said)>,
    /// The kubelet waits before it starts it again.
    held_back: Said,
    started: Said,
    /// The runtime has it, so its image has come.
    pulled: u64,
    /// Killed for a probe.
    killed: Said,
    alive: Said,
    ready: Said,
    out_of_memory: Said,
}

/// The pod as its events tell it; none where they say nothing of now, or that it is gone.
pub(crate) fn pod(world: &World<'_>, id: &ObjectRef) -> Option<Pod> {
    if id.kind != "Pod" || !world.only_told(id) {
        return None;
    }
    let mut events = world.about(id, "self", "event", "*", world.ago(LOOKBACK), 200);
    if events.is_empty() {
        events = synced::events(world, id);
    }
    events.reverse();
    if gone(world, id, &events) {
        return None;
    }
    let mut containers: BTreeMap<String, Container> = BTreeMap::new();
    for event in events.iter().filter(|e| of_container(e)) {
        take(containers.entry(name_of(event, &events)).or_default(), event);
    }
    let first = events.iter().map(|e| e.began()).min()?;
    let node = events
        .iter()
        .rev()
        .find(|e| e.field("reporter") == "kubelet")
        .map_or("", |e| e.field("reporter-host"));
    let mut status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": stamp(first)}]});
    let mut spec = json!({"nodeName": node});
    let mut ill = false;
    for (init, specs, statuses) in
        [(true, "initContainers", "initContainerStatuses"), (false, "containers", "containerStatuses")]
    {
        let of = || containers.iter().filter(|(_, c)| c.init == init);
        let told: Vec<Value> = of().filter_map(|(name, c)| c.status(world, name)).collect();
        ill |= !told.is_empty();
        put(&mut spec, specs, of().map(|(name, c)| c.spec(name)).collect());
        put(&mut status, statuses, told.into());
    }
    let meta = json!({"namespace": id.namespace, "name": id.name, "creationTimestamp": stamp(first)});
    ill.then(|| {
        Pod::assumed(world, id.clone(), Json::new(json!({"metadata": meta, "spec": spec, "status": status})))
    })
}

/// Whether an event is about a container and not the pod as a whole.
fn of_container(event: &Signal) -> bool {
    match event.name.as_str() {
        "BackOff"
        | "Created"
        | "CreateContainerError"
        | "ErrImageNeverPull"
        | "Failed"
        | "InspectFailed"
        | "Killing"
        | "OOMKilled"
        | "ProbeWarning"
        | "Pulled"
        | "RunContainerError"
        | "Started"
        | "Unhealthy" => true,
        "FailedMount" => missing::read(&event.message).is_some(),
        _ => false,
    }
}

fn put(into: &mut Value, name: &str, value: Value) {
    if let Some(fields) = into.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// Whether the last that was heard of the pod is its end.
fn gone(world: &World<'_>, id: &ObjectRef, events: &[Signal]) -> bool {
    let ends = |e: &Signal| {
        matches!(
            e.name.as_str(),
            "Evicted" | "Preempted" | "Preempting" | "TaintManagerEviction" | "NodeShutdown"
        ) || (e.name == "Killing" && e.message.starts_with("Stopping container"))
    };
    let last = events.iter().filter(|e| ends(e)).map(|e| e.at).max();
    let deleted = world.owners(id).first().is_some_and(|owner| {
        let all = world.about(owner, "self", "event", "SuccessfulDelete", world.ago(LOOKBACK), 50);
        all.iter().any(|e| e.message.split([' ', ',']).any(|word| word == id.name))
    });
    deleted || last.is_some_and(|at| events.iter().all(|e| e.at <= at + seconds(60)))
}

/// Which container is meant: by the path that the kubelet gives with the event, else by its words, or as the
/// only one that other events name.
fn name_of(event: &Signal, all: &[Signal]) -> String {
    let own = |event: &Signal| {
        let text = event.message.as_str();
        let named = Some(event.field("container"))
            .filter(|name| !name.is_empty())
            .or_else(|| quoted(text, "container "))
            .or_else(|| between(text, "failed container ", " in pod"))
            .or_else(|| between(text, "ontainer ", " failed "))
            .or_else(|| Some(text.split_once("container=")?.1.split(' ').next().unwrap_or("")));
        named.filter(|name| !name.is_empty() && !name.contains(' ')).map(str::to_owned)
    };
    own(event).unwrap_or_else(|| {
        let mut names = all.iter().filter_map(own);
        let first = names.next();
        first.filter(|one| names.all(|name| name == *one)).unwrap_or_else(|| ANY.to_owned())
    })
}

/// What one event says of its container.
fn take(of: &mut Container, event: &Signal) {
    let text = event.message.as_str();
    of.init |= event.field("init") == "true";
    if event.name == "OOMKilled" || text.contains("OOMKilled") {
        of.out_of_memory.add(event);
    }
    if let Some(image) = quoted(text, "mage ") {
        image.clone_into(&mut of.image);
    }
    match event.name.as_str() {
        "Pulled" | "Created" => of.pulled = event.at,
        "Started" => {
            of.pulled = event.at;
            of.started.add(event);
        }
        "BackOff" if text.starts_with("Back-off pulling image") => of.pull("ImagePullBackOff", event, text),
        "BackOff" => of.held_back.add(event),
        "ErrImageNeverPull" => of.pull("ErrImageNeverPull", event, text),
        "InspectFailed" => of.pull("InvalidImageName", event, text),
        "Killing" if any(text, &["failed liveness probe", "failed startup probe"]) => of.killed.add(event),
        "Unhealthy" | "ProbeWarning" if text.starts_with("Readiness probe") => of.ready.add(event),
        "Unhealthy" | "ProbeWarning" => of.alive.add(event),
        "CreateContainerError" => of.refuse("CreateContainerError", event, text),
        "RunContainerError" => of.refuse("RunContainerError", event, text),
        "FailedMount" => of.refuse("ContainerCreating", event, text),
        "Failed" if text.starts_with("Failed to pull image") => of.pull("ErrImagePull", event, text),
        "Failed" => failed(of, event, text.strip_prefix("Error: ").unwrap_or(text)),
        _ => {}
    }
}

/// `Failed` says why a container is not there, in the words that its status would have.
fn failed(of: &mut Container, event: &Signal, text: &str) {
    for reason in ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"] {
        if text == reason {
            of.pull(reason, event, "");
            return;
        }
    }
    let config = missing::read(text).is_some() || any(text, &["runAsNonRoot", "breaks non-root policy"]);
    let run = [
        "failed to start container",
        "OCI runtime",
        "runc create",
        "container process",
        "failed to create shim",
    ];
    if config {
        of.refuse("CreateContainerConfigError", event, text);
    } else if any(text, &run) {
        of.refuse("RunContainerError", event, text);
    } else {
        of.refuse("CreateContainerError", event, text);
    }
}

impl Container {
    fn pull(&mut self, reason: &'static str, event: &Signal, text: &str) {
        let (of, said) = self.pull.get_or_insert_with(|| (reason, Said::default()));
        let before = std::mem::take(&mut said.message);
        said.add(event);
        // The first failure names the reason, what follows it only counts.
        let tells = |text: &str| text.contains(": ");
        let better = before.is_empty() || (tells(text) && text.len() > 40) || !tells(&before);
        said.message = if better && !text.is_empty() { text.to_owned() } else { before };
        if matches!(reason, "ErrImageNeverPull" | "InvalidImageName") || !said.message.is_empty() {
            *of = reason;
        }
    }

    fn refuse(&mut self, reason: &'static str, event: &Signal, text: &str) {
        let (of, said) = self.refused.get_or_insert_with(|| (reason, Said::default()));
        *of = reason;
        said.add(event);
        text.clone_into(&mut said.message);
    }

    /// What is known of its specification.
    fn spec(&self, name: &str) -> Value {
        let mut spec = json!({"name": name});
        if !self.image.is_empty() {
            put(&mut spec, "image", self.image.as_str().into());
        }
        spec
    }

    /// What its status would be; none where nothing is wrong with it now.
    fn status(&self, world: &World<'_>, name: &str) -> Option<Value> {
        let heard = |said: &Said| said.last + HEARD > world.now() && said.count > 0;
        let waits = |reason: &str, message: &str, restarts: u64| json!({"name": name, "ready": false, "restartCount": restarts, "state": {"waiting": {"reason": reason, "message": message}}});
        // What was said once may have passed: the kubelet tries again within seconds and says it again.
        let again = |said: &Said| said.count > 1 || said.lasted() > 0;
        // A container that was started since has got over what kept it from it. While it is held back nothing else is said.
        let stands = |said: &&(&str, Said)| {
            again(&said.1) && (heard(&said.1) || heard(&self.held_back)) && said.1.last >= self.started.last
        };
        if let Some((reason, said)) =
            self.pull.as_ref().filter(stands).filter(|(_, said)| said.last >= self.pulled)
        {
            return Some(waits(reason, &said.message, 0));
        }
        if self.out_of_memory.count >= 2 && (heard(&self.out_of_memory) || heard(&self.held_back)) {
            let mut status = waits("CrashLoopBackOff", "", 2);
            put(&mut status, "lastState", json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}}));
            return Some(status);
        }
        if let Some((reason, said)) = self.refused.as_ref().filter(stands) {
            // An object that the pod needs may come a moment later.
            let tried = said.count >= TRIES || said.lasted() >= LASTS || *reason != "ContainerCreating";
            return tried.then(|| waits(reason, &said.message, said.count.saturating_sub(1)));
        }
        let running = |since: u64| json!({"name": name, "ready": false, "state": {"running": {"startedAt": stamp(since)}}});
        let killed =
            self.killed.count.max(if self.alive.persists() { self.alive.count / THRESHOLD } else { 0 });
        if killed >= 2 && (heard(&self.killed) || heard(&self.alive)) {
            let mut status = running(self.started.last.max(self.killed.last));
            put(&mut status, "restartCount", killed.into());
            // Where the kill itself is not told, so many failures in a row mean it.
            put(&mut status, "lastState", json!({"terminated": {"reason": "Error", "exitCode": 137}}));
            return Some(status);
        }
        if self.held_back.persists() && heard(&self.held_back) {
            let restarts = TRIES.max(self.started.count.saturating_sub(1));
            return Some(waits("CrashLoopBackOff", &self.held_back.message, restarts));
        }
        (self.ready.lasted() >= UNREADY && heard(&self.ready)).then(|| running(self.ready.first))
    }
}
