//! Which object shows which cause: what the pack remembers, so that one cause that shows on many pods is one
//! diagnosis, told by the first of them, and is over when the last of them is well.

use kwhy_sdk::{
    Clearing, Diagnosis, Explains, Json, ObjectRef, Step, Verdict, World, hours, minutes,
    serde_json::{Value, json},
};

use crate::{
    admission, generic, hpa, look, probe, provisioner, service,
    words::{listed, spoken},
};

/// A cause may stand over a long weekend.
const KEEP: u64 = hours(24 * 7);
/// Most objects remembered of one cause.
const MOST: usize = 64;

/// Kind, namespace, name.
type Id = (String, String, String);

fn id(object: &ObjectRef) -> Id {
    (object.kind.clone(), object.namespace.clone(), object.name.clone())
}

fn object(json: &Json) -> ObjectRef {
    ObjectRef::new(json.text("/0"), json.text("/1"), json.text("/2"))
}

/// A cause at its root.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cause {
    pub(crate) code: String,
    pub(crate) root: ObjectRef,
}

impl Cause {
    fn key(&self) -> String {
        key_of("c", &self.root, &self.code)
    }
}

/// Keys of the host's memory are limited to 256 bytes, names of two objects are not.
fn key_of(what: &str, of: &ObjectRef, code: &str) -> String {
    let key = format!("{what}/{code}/{}/{}", of.kind, of.path());
    if key.len() < 250 { key } else { format!("{what}/{}", crate::words::hash(&key)) }
}

/// What an object was last seen to suffer from.
pub(crate) fn of(world: &World<'_>, sufferer: &ObjectRef) -> Option<Cause> {
    let json = world.recall::<Json>(&key_of("o", sufferer, ""))?;
    Some(Cause { code: json.text("/code").to_owned(), root: object(&json.at("/root")) })
}

fn sufferers(world: &World<'_>, cause: &Cause) -> Vec<(ObjectRef, ObjectRef)> {
    let json = world.recall::<Json>(&cause.key()).unwrap_or_default();
    json.list("").iter().map(|s| (object(&s.at("/who")), object(&s.at("/workload")))).collect()
}

fn keep(world: &World<'_>, cause: &Cause, all: &[(ObjectRef, ObjectRef)]) {
    if all.is_empty() {
        world.forget(&cause.key());
        world.forget(&key_of("p", &cause.root, &cause.code));
    } else {
        let list: Value =
            all.iter().map(|(who, workload)| json!({"who": id(who), "workload": id(workload)})).collect();
        world.remember(&cause.key(), &list, KEEP);
    }
}

/// Workloads that suffered from a cause which others still show: their alerts end a little later.
fn recovered(world: &World<'_>, cause: &Cause) -> Vec<ObjectRef> {
    let key = key_of("p", &cause.root, &cause.code);
    let json = world.recall::<Json>(&key).unwrap_or_default();
    json.list("").iter().map(object).collect()
}

fn recovers(world: &World<'_>, cause: &Cause, workload: &ObjectRef) {
    let mut all = recovered(world, cause);
    if all.len() < MOST && all.iter().all(|w| !w.is(workload)) {
        all.push(workload.clone());
        let list: Value = all.iter().map(|w| json!(id(w))).collect();
        world.remember(&key_of("p", &cause.root, &cause.code), &list, KEEP);
    }
}

/// An object of a workload that is known to suffer.
pub(crate) fn sufferer_of(world: &World<'_>, workload: &ObjectRef) -> Option<ObjectRef> {
    Some(object(&world.recall::<Json>(&key_of("w", workload, ""))?))
}

/// Workloads that cannot work because this one does not.
fn dependents(world: &World<'_>, workload: &ObjectRef) -> Vec<ObjectRef> {
    let json = world.recall::<Json>(&key_of("d", workload, "")).unwrap_or_default();
    json.list("").iter().map(object).collect()
}

/// Notes that a workload needs another one. Says whether that is news.
pub(crate) fn depends(world: &World<'_>, on: &ObjectRef, who: &ObjectRef) -> bool {
    let mut all = dependents(world, on);
    let news = all.len() < MOST && all.iter().all(|d| !d.is(who)) && !on.is(who);
    if news {
        all.push(who.clone());
    }
    let list: Value = all.iter().map(|d| json!(id(d))).collect();
    world.remember(&key_of("d", on, ""), &list, minutes(30));
    news
}

/// The workload that stands for a cause which lies outside of the cluster, such as a registry: the first that shows it,
/// as long as it does.
pub(crate) fn first_of(world: &World<'_>, code: &str, outside: &str, own: &ObjectRef) -> ObjectRef {
    let key = format!("f/{}", crate::words::hash(&format!("{code}/{outside}")));
    let first = world.recall::<Json>(&key).map(|v| object(&v));
    if let Some(first) = first
        && !first.is(own)
        && !sufferers(world, &Cause { code: code.into(), root: first.clone() }).is_empty()
    {
        return first;
    }
    world.remember(&key, &json!(id(own)), KEEP);
    own.clone()
}

/// Says what was found of one object: `found` is the diagnosis that it alone would give; while an earlier
/// object still shows the cause, that one speaks for all of them.
pub(crate) fn found(
    world: &World<'_>,
    sufferer: &ObjectRef,
    workload: &ObjectRef,
    found: Diagnosis,
) -> Verdict {
    let cause = Cause { code: found.code.clone(), root: found.root.clone() };
    let mut verdict = Verdict::default();
    let mut found = found;
    if let Some(before) = of(world, sufferer).filter(|before| *before != cause) {
        verdict = well(world, sufferer, "its pods show another cause now");
        // What was said of the same root goes on under what is known better, unless other pods still show it.
        if before.root.is(&cause.root) && verdict.diagnoses.is_empty() {
            found.supersedes.push(before.code);
        }
    }
    world.remember(&key_of("o", sufferer, ""), &json!({"code": cause.code, "root": id(&cause.root)}), KEEP);
    world.remember(&key_of("w", workload, ""), &json!(id(sufferer)), KEEP);
    let mut all = sufferers(world, &cause);
    if all.len() < MOST && all.iter().all(|(who, _)| !who.is(sufferer)) {
        all.push((sufferer.clone(), workload.clone()));
    }
    // Whoever was said to miss this workload now has a cause that says more.
    let missed = Cause { code: service::DOWN.into(), root: workload.clone() };
    let clients = sufferers(world, &missed);
    if cause.code != missed.code && !clients.is_empty() {
        for (_, client) in &clients {
            depends(world, workload, client);
        }
        verdict.merge(tell(world, &missed, clients, None));
    }
    verdict.merge(tell(world, &cause, all, Some((sufferer, found))));
    verdict
}

/// Whether it is known why a workload does not work, by more than that it does not.
pub(crate) fn known(world: &World<'_>, workload: &ObjectRef) -> bool {
    sufferer_of(world, workload)
        .and_then(|who| of(world, &who))
        .is_some_and(|cause| cause.code != service::DOWN)
}

/// Says that an object no longer shows what it was seen to suffer from, if it was.
pub(crate) fn well(world: &World<'_>, sufferer: &ObjectRef, because: &str) -> Verdict {
    let Some(cause) = of(world, sufferer) else { return Verdict::default() };
    world.forget(&key_of("o", sufferer, ""));
    let mut all = sufferers(world, &cause);
    for (_, workload) in all.iter().filter(|(who, _)| who.is(sufferer)) {
        if sufferer_of(world, workload).is_some_and(|s| s.is(sufferer)) {
            world.forget(&key_of("w", workload, ""));
        }
        recovers(world, &cause, workload);
    }
    all.retain(|(who, _)| !who.is(sufferer));
    let mut verdict = tell(world, &cause, all, None);
    if verdict.diagnoses.is_empty() {
        verdict.cleared.push(Clearing::new(&cause.code, &cause.root, because));
    }
    verdict
}

/// The diagnosis of the first object that still shows the cause, with what stands for all of them.
fn tell(
    world: &World<'_>,
    cause: &Cause,
    mut all: Vec<(ObjectRef, ObjectRef)>,
    fresh: Option<(&ObjectRef, Diagnosis)>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut first = None;
    while let Some((who, _)) = all.first().cloned() {
        first = match &fresh {
            Some((sufferer, diagnosis)) if who.is(sufferer) => Some(diagnosis.clone()),
            _ => look::diagnosis(world, &who).filter(|d| d.code == cause.code && d.root.is(&cause.root)),
        };
        if first.is_some() {
            break;
        }
        all.remove(0);
        world.forget(&key_of("o", &who, ""));
    }
    keep(world, cause, &all);
    if let Some(mut diagnosis) = first {
        add_others(world, &mut diagnosis, &all, &recovered(world, cause));
        verdict.diagnoses.push(diagnosis);
    }
    verdict
}

/// What the other objects add: their names, their workloads' alerts.
fn add_others(
    world: &World<'_>,
    diagnosis: &mut Diagnosis,
    all: &[(ObjectRef, ObjectRef)],
    recovered: &[ObjectRef],
) {
    let mut workloads: Vec<&ObjectRef> = Vec::new();
    for (_, workload) in all {
        if workloads.iter().all(|w| !w.is(workload)) {
            workloads.push(workload);
        }
    }
    let first = all.first().map(|(_, w)| w.clone()).unwrap_or_default();
    let others: Vec<String> = workloads.iter().filter(|w| !w.is(&first)).map(|w| spoken(w)).collect();
    if !others.is_empty() {
        let raised = diagnosis.severity != "info";
        diagnosis.explanation.push_str(&format!(
            " {} suffer{} from it too.",
            listed(&others),
            if others.len() == 1 { "s" } else { "" }
        ));
        if raised {
            diagnosis.severity = "critical".into();
        }
    }
    let own = diagnosis.explains.clone();
    let again = recovered.iter().filter(|r| workloads.iter().all(|w| !w.is(r)));
    for workload in workloads.iter().copied().chain(again).filter(|w| !w.is(&first)) {
        for explains in own.iter().filter(|e| e.anchor.as_ref().is_some_and(|a| a.is(&first))) {
            diagnosis.explains.push(Explains { anchor: Some(workload.clone()), ..explains.clone() });
        }
        if idle(world, workload) {
            diagnosis.explains.push(Explains::alert("*", workload, "workload"));
        }
    }
    let mut pods: Vec<String> = all
        .iter()
        .skip(1)
        .filter(|(who, w)| who.kind == "Pod" && w.is(&first))
        .map(|(who, _)| who.name.clone())
        .collect();
    if !pods.is_empty() {
        pods.truncate(6);
        diagnosis.explanation.push_str(&format!(" The same holds for {}.", listed(&pods)));
    }
    let mut waiting: Vec<ObjectRef> = Vec::new();
    for dependent in workloads.iter().flat_map(|w| dependents(world, w)) {
        if waiting.iter().chain(workloads.iter().copied()).all(|w| !w.is(&dependent)) {
            diagnosis.explains.extend(explains(world, &dependent));
            waiting.push(dependent);
        }
    }
    if !waiting.is_empty() {
        let names: Vec<String> = waiting.iter().map(spoken).collect();
        diagnosis.explanation.push_str(&format!(
            " {} need{} it and fail{} with it.",
            listed(&names),
            if names.len() == 1 { "s" } else { "" },
            if names.len() == 1 { "s" } else { "" }
        ));
    }
}

/// Alerts that say that a workload or its pods do not do their work, of kube-prometheus and of other common rule sets.
const ILL: [&str; 26] = [
    "KubePod*",
    "KubeContainer*",
    "KubeDeployment*",
    "KubeStatefulSet*",
    "KubeDaemonSet*",
    "KubeJob*",
    "KubeCronJob*",
    "KubePdb*",
    "KubeHpa*",
    "Kubernetes*",
    "TargetDown",
    "*Down",
    "*Unavailable*",
    "*Error*",
    "*Fail*",
    "*Absent*",
    "*Latency*",
    "*Restart*",
    "*Crash*",
    "*NotReady*",
    "*Unhealthy*",
    "*Replicas*",
    "*Waiting*",
    "*Pending*",
    "*Rollout*",
    "*Probe*",
];

/// That nobody on its node resolves names where the workload is the DNS cache of nodes.
const DNS_CACHE: &str = "coredns.node-cache-down";
/// What others meet who need the workload, told with it as the root: that they miss it; that the API server gets no answer
/// of it and refuses pods; that autoscalers get no metric of it.
const EFFECTS: [&str; 4] = [service::DOWN, DNS_CACHE, admission::WEBHOOK, hpa::CODE];

/// What a workload that does not do its work makes people see.
pub(crate) fn explains(world: &World<'_>, workload: &ObjectRef) -> Vec<Explains> {
    let down = down(world, workload);
    let mut out = provisioner::explains(world, workload, down);
    if down || idle(world, workload) {
        out.push(Explains::alert("*", workload, "workload"));
    } else {
        out.extend(ILL.iter().map(|name| Explains::alert(name, workload, "workload")));
    }
    for ingress in world.ingresses(workload) {
        let felt = if down { &["*"][..] } else { &AT_THE_DOOR[..] };
        out.extend(felt.iter().map(|name| Explains::alert(name, &ingress, "self")));
    }
    for reason in [
        "BackOff",
        "Failed*",
        "Unhealthy",
        "ProgressDeadlineExceeded",
        "BackoffLimitExceeded",
        "InspectFailed",
    ] {
        out.push(Explains::event(reason, workload, "workload"));
    }
    out.extend(EFFECTS.map(|effect| Explains::finding(effect, workload, "self")));
    out
}

/// Alerts about an Ingress, behind which pods do not do their work.
const AT_THE_DOOR: [&str; 10] = [
    "*Down",
    "*Error*",
    "*Fail*",
    "*Latency*",
    "*Slow*",
    "*Probe*",
    "*Unavailable*",
    "*5xx*",
    "*5XX*",
    "*500*",
];

/// Whether what works by Jobs does not work, because they or their pods are refused.
fn idle(world: &World<'_>, workload: &ObjectRef) -> bool {
    match workload.kind.as_str() {
        "Job" => admission::refused(world, workload),
        "CronJob" => {
            let jobs = world.related(workload, "owned").into_iter().filter(|o| o.kind == "Job");
            admission::refused(world, workload) || jobs.into_iter().any(|job| admission::refused(world, &job))
        }
        _ => false,
    }
}

/// Whether nothing of a workload is available.
pub(crate) fn down(world: &World<'_>, workload: &ObjectRef) -> bool {
    let Some(all) = world.read(workload, "") else { return false };
    let wanted = if all.has("/spec/replicas") { all.number("/spec/replicas") } else { 1 };
    match workload.kind.as_str() {
        "Deployment" => wanted > 0 && all.number("/status/availableReplicas") == 0,
        "StatefulSet" | "ReplicaSet" => wanted > 0 && all.number("/status/readyReplicas") == 0,
        "DaemonSet" => {
            all.number("/status/desiredNumberScheduled") > 0 && all.number("/status/numberReady") == 0
        }
        _ => false,
    }
}

/// A diagnosis of a pod's trouble with all that is common to them.
pub(crate) fn of_pod(
    world: &World<'_>,
    code: &str,
    root: &ObjectRef,
    pod: &crate::pod::Pod,
    confidence: u8,
) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(code, root.clone());
    diagnosis.confidence = confidence;
    if down(world, &pod.workload) {
        diagnosis.severity = "critical".into();
    }
    diagnosis.explains = explains(world, &pod.workload);
    if matches!(code, generic::EXIT | generic::INIT | probe::READINESS) {
        // Who only sees that it does not run knows less than who tells what that does.
        diagnosis.explains.retain(|e| e.name == service::DOWN || !EFFECTS.contains(&e.name.as_str()));
    }
    if root.is(&pod.id) {
        diagnosis.path.push(Step::new(root, "", ""));
    } else {
        let relation = if root.is(&pod.workload) || root.is(&pod.holder) {
            "owned"
        } else if root.kind == "Node" {
            "pod"
        } else {
            "used-by"
        };
        diagnosis.path.push(Step::new(root, "", ""));
        diagnosis.path.push(Step::new(&pod.id, relation, ""));
    }
    diagnosis
}

/// Says what is the matter with the root in the tree.
pub(crate) fn note_root(diagnosis: &mut Diagnosis, note: impl Into<String>) {
    if let Some(step) = diagnosis.path.first_mut() {
        step.note = note.into();
    }
}
