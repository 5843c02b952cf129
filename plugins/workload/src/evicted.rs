//! `workload.local-storage-exceeded`: the kubelet throws out pods that write more to the node's disk than their own limit
//! allows, however much room the node has.
//!
//! Texts of pkg/kubelet/eviction/eviction_manager.go (`emptyDirMessageFmt`, `podEphemeralStorageMessageFmt`,
//! `containerEphemeralStorageMessageFmt`).

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, hours, minutes,
    parse_time,
};

use crate::{
    case, look,
    pod::Pod,
    words::{between, kubectl, named, quoted, set, short, spoken},
};

pub(crate) const CODE: &str = "workload.local-storage-exceeded";

/// How long one eviction counts.
const RECENT: u64 = hours(1);

/// Which limit was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Limit {
    /// `sizeLimit` of an emptyDir: the volume and its limit.
    Volume(String, String),
    /// `ephemeral-storage` of one container.
    Container(String, String),
    /// Of all containers in sum.
    Pod(String),
}

fn read(message: &str) -> Option<Limit> {
    let bare = |text: &str| text.trim().trim_end_matches('.').trim_matches('"').to_owned();
    if let Some(volume) = quoted(message, "Usage of EmptyDir volume ") {
        let limit = quoted(message, "exceeds the limit ")?;
        return Some(Limit::Volume(volume.to_owned(), bare(limit)));
    }
    if let Some(limit) = message.split_once("exceeds the total limit of containers ").map(|(_, l)| l) {
        return Some(Limit::Pod(bare(limit)));
    }
    let container = between(message, "Container ", " exceeded its local ephemeral storage limit")?;
    let limit = quoted(message, "storage limit ")?;
    Some(Limit::Container(container.to_owned(), bare(limit)))
}

/// Whether an event tells of a pod that was thrown out for its own limit.
pub(crate) fn tells(event: &Signal) -> bool {
    event.name == "Evicted" && read(&event.message).is_some()
}

/// Whether a pod was thrown out for its own limit.
pub(crate) fn own(pod: &Pod) -> bool {
    pod.phase() == "Failed"
        && pod.json.text("/status/reason") == "Evicted"
        && read(pod.json.text("/status/message")).is_some()
}

/// One pod that was thrown out.
struct Thrown {
    pod: ObjectRef,
    at: u64,
    message: String,
    event: Option<Signal>,
}

/// Pods of the workload that met it within the last hour, by events and by what stands of them, the newest first.
fn recent(world: &World<'_>, workload: &ObjectRef) -> Vec<Thrown> {
    let since = world.ago(RECENT);
    let mut all: Vec<Thrown> = Vec::new();
    for event in world.about(workload, "workload", "event", "Evicted", since, 50) {
        let Some(pod) = event.subject.clone().filter(|_| tells(&event)) else { continue };
        let thrown = Thrown { pod, at: event.at, message: event.message.clone(), event: Some(event) };
        insert(&mut all, thrown);
    }
    for pod in world.pods(workload) {
        let status = world.read(&pod, "/status").unwrap_or_default();
        let message = status.text("/message");
        if status.text("/reason") != "Evicted" || read(message).is_none() {
            continue;
        }
        let ends = status.list("/containerStatuses");
        let ends = ends.iter().filter_map(|c| parse_time(c.text("/state/terminated/finishedAt")));
        let told = status.list("/conditions");
        let told = told.iter().filter_map(|c| parse_time(c.text("/lastTransitionTime")));
        let at = ends.chain(told).max().unwrap_or(0);
        // Its event told of it already, some seconds before its end.
        let known = all.iter().any(|t| t.pod.is(&pod) && t.at.abs_diff(at) < minutes(5));
        if at > since && !known {
            insert(&mut all, Thrown { pod, at, message: message.to_owned(), event: None });
        }
    }
    all
}

/// So few are put in their places at less cost than a sort has.
fn insert(all: &mut Vec<Thrown>, thrown: Thrown) {
    let older = |known: &Thrown| (known.at, &known.pod.name) < (thrown.at, &thrown.pod.name);
    let place = all.iter().position(older).unwrap_or(all.len());
    all.insert(place, thrown);
}

/// Looks at a workload of which a pod was thrown out.
pub(crate) fn examine(world: &World<'_>, workload: &ObjectRef) -> Verdict {
    let all = recent(world, workload);
    let Some(found) = diagnose(world, workload, &all) else {
        return if holds(world, workload) {
            let because = format!("no pod of {} was thrown out for its own limit for an hour", workload.name);
            case::well(world, workload, &because)
        } else {
            Verdict::default()
        };
    };
    let mut verdict = case::found(world, workload, workload, found);
    if let Some(last) = all.first() {
        verdict.merge(look::later(world, workload, last.at + RECENT + 1));
    }
    verdict
}

/// Whether that is what a workload is known to suffer from.
pub(crate) fn holds(world: &World<'_>, workload: &ObjectRef) -> bool {
    case::of(world, workload).is_some_and(|c| c.code == CODE)
}

/// What it would say again.
pub(crate) fn again(world: &World<'_>, workload: &ObjectRef) -> Option<Diagnosis> {
    diagnose(world, workload, &recent(world, workload)).filter(|_| holds(world, workload))
}

/// Once may be a day with much to do, and the successor works; a Job speaks for its pods itself.
fn diagnose(world: &World<'_>, workload: &ObjectRef, all: &[Thrown]) -> Option<Diagnosis> {
    let last = all.first()?;
    let alone = workload.kind == "Pod";
    if (all.len() < 2 && !alone) || matches!(workload.kind.as_str(), "Job" | "CronJob") {
        return None;
    }
    let limit = read(&last.message)?;
    let (_, holder) = crate::pod::around(world, &last.pod);
    let whose = spoken(workload);
    let (what, shown) = match &limit {
        Limit::Volume(volume, limit) => (format!("sizeLimit {limit} of its emptyDir volume {volume}"), limit),
        Limit::Container(name, limit) => {
            (format!("ephemeral-storage limit {limit} of container {name}"), limit)
        }
        Limit::Pod(limit) => (format!("ephemeral-storage limits, {limit} in sum"), limit),
    };
    let mut d = Diagnosis::new(CODE, workload.clone());
    d.confidence = 90;
    if case::down(world, workload) {
        d.severity = "critical".into();
    }
    d.title = format!(
        "{whose} writes more to the node's disk than its limit of {shown} allows, and its pods are evicted"
    );
    let times = match all.len() {
        1 => format!("{} was thrown out", last.pod.name),
        n => format!("{n} times within an hour a pod of it was thrown out"),
    };
    d.explanation = format!(
        "{times}: logs, files in the containers and emptyDir volumes went past the {what}. The node itself is not short of disk."
    );
    d.explains = case::explains(world, workload);
    d.explains.push(Explains::event("Evicted", workload, "workload"));
    for thrown in all.iter().take(3) {
        let note = "why the kubelet threw it out";
        d.evidence.push(match &thrown.event {
            Some(event) => Evidence::signal(event, 50, note),
            None => Evidence::object(&thrown.pod, short(&thrown.message, 300), 50, note),
        });
    }
    d.path.push(Step::new(workload, "", what));
    let k = kubectl(&workload.namespace);
    // kubectl finds a pod of these itself, whichever runs then.
    let live = if matches!(
        workload.kind.as_str(),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job"
    ) {
        named(workload)
    } else {
        let ready = |p: &ObjectRef| world.condition(p, "Ready").holds();
        world.pods(workload).into_iter().find(ready).map_or("<pod>".to_owned(), |p| p.name)
    };
    let raise = match &limit {
        Limit::Container(name, _) => {
            set(&holder, "resources", &format!("-c {name} --limits=ephemeral-storage=<more>"))
        }
        Limit::Pod(_) => set(&holder, "resources", "--limits=ephemeral-storage=<more>"),
        Limit::Volume(volume, _) => {
            format!("{k} edit {}     # volumes: {volume}: emptyDir.sizeLimit", named(&holder))
        }
    };
    d.remedies.push(
        Remedy::new(
            "see what it writes: logs, caches, temporary files, and let it clear them or write to a volume of its own",
        )
        .command(format!("{k} exec {live} -- du -xhd2 / 2>/dev/null | sort -h | tail")),
    );
    d.remedies.push(Remedy::new("or raise the limit, if it needs that much").command(raise).caution(
        "the request counts when a node is chosen: raise it with the limit, or the node's disk fills",
    ));
    Some(d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_words_name_the_limit() {
        for (text, want) in [
            (
                "Usage of EmptyDir volume \"cache\" exceeds the limit \"500Mi\". ",
                Some(Limit::Volume("cache".into(), "500Mi".into())),
            ),
            (
                "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
                Some(Limit::Pod("1Gi".into())),
            ),
            (
                "Container app exceeded its local ephemeral storage limit \"2Gi\". ",
                Some(Limit::Container("app".into(), "2Gi".into())),
            ),
            (
                "The node was low on resource: ephemeral-storage. Container app was using 9Gi, request is 0, has larger consumption of ephemeral-storage. ",
                None,
            ),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }
}
