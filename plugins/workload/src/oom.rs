//! `workload.oom-killed`: the kernel kills a container because it reaches its own memory limit.
//!
//! The kubelet reports reason OOMKilled when the cgroup's limit was hit and exit code 137; a node that itself runs out
//! of memory shows as MemoryPressure, evictions and SystemOOM events, and is not claimed here.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, World, hours, minutes};

use crate::{
    case,
    change::{self, Rollout},
    pod::{Container, Pod},
    words::{set, spoken, undo},
};

pub(crate) const CODE: &str = "workload.oom-killed";

/// A kill that the container has survived for so long is over.
pub(crate) const FRESH: u64 = minutes(15);

pub(crate) fn killed(container: &Container) -> bool {
    container.end().is_some_and(|e| e.reason == "OOMKilled") || container.waiting().1.contains("OOMKilled")
}

/// The node's own shortage of memory, which would be another cause.
fn node_is_short(world: &World<'_>, pod: &Pod) -> bool {
    let node = ObjectRef::new("Node", "", pod.node());
    let conditions = world.read(&node, "/status/conditions").unwrap_or_default();
    conditions.list("").iter().any(|c| c.text("/type") == "MemoryPressure" && c.text("/status") == "True")
        || !world.about(&node, "self", "event", "SystemOOM", world.ago(minutes(30)), 1).is_empty()
}

pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    if !killed(container) {
        return None;
    }
    let end = container.end();
    let fresh = end.as_ref().is_none_or(|e| e.finished == 0 || e.finished + FRESH > world.now());
    let gone = pod.phase() == "Failed" || container.crashing();
    let again = container.restarts() >= 2 && fresh;
    if !(again || (gone && (container.restarts() >= 1 || pod.phase() == "Failed"))) {
        return None;
    }
    let limit = container.spec.text("/resources/limits/memory").to_owned();
    if limit.is_empty() && node_is_short(world, pod) {
        return None;
    }
    Some(diagnose(world, pod, container, &limit))
}

/// The change that brought it: what runs or how much it may use.
fn brought(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Rollout> {
    let mut rollout = change::rollout(world, pod)?;
    rollout.fields.retain(|f| {
        f.container == container.name
            && (matches!(f.name.as_str(), "image" | "args" | "command" | "container")
                || f.name.starts_with("env")
                || f.name.starts_with("resources.limits"))
    });
    (!rollout.fields.is_empty()).then_some(rollout)
}

/// The edit of a LimitRange that gave the pod, made after it, the limit which its template does not name.
fn filled_in(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Signal> {
    // `LimitRanger plugin set: cpu, memory request for container web; memory limit for container web`
    let set = pod.json.text("/metadata/annotations/kubernetes.io~1limit-ranger");
    let of = format!("limit for container {}", container.name);
    let here = |part: &str| part.contains("memory") && part.trim().ends_with(&of);
    if !set.split([';', ':']).any(here) {
        return None;
    }
    let ranges = world.list("LimitRange", &pod.id.namespace);
    let edits = ranges.iter().flat_map(|range| world.changes(range, "self", world.ago(hours(2)), 5));
    // Kubernetes times have no fractions.
    edits.filter(|edit| edit.at < pod.created() + 1000).max_by_key(|edit| edit.at)
}

fn diagnose(world: &World<'_>, pod: &Pod, container: &Container, limit: &str) -> Diagnosis {
    let rollout = brought(world, pod, container);
    let edit = filled_in(world, pod, container).filter(|_| rollout.is_none());
    let range = edit.as_ref().and_then(|e| e.subject.clone());
    let root = range.clone().unwrap_or_else(|| pod.workload.clone());
    let mut diagnosis = case::of_pod(world, CODE, &root, pod, 90);
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let of = if limit.is_empty() { String::new() } else { format!(" of {limit}") };
    // What was not shown in full may have a limit all the same.
    let none = limit.is_empty() && container.shown();
    let shown = match limit {
        "" if none => "none",
        "" => "not known here",
        limit => limit,
    };
    let since = match &rollout {
        Some(r) => {
            diagnosis.confidence = 95;
            let image = r
                .field(name, "image")
                .map(|f| crate::words::image_parts(&f.new).1.to_owned())
                .filter(|t| !t.is_empty());
            image.map_or(" since its last rollout".to_owned(), |tag| format!(" since the rollout of {tag}"))
        }
        None => String::new(),
    };
    diagnosis
        .explains
        .extend(["*Memory*", "*OOM*", "*Oom*"].map(|name| Explains::alert(name, &pod.workload, "workload")));
    diagnosis.title = if none {
        format!("{whose} is killed for memory (OOMKilled){since}, though container {name} has no limit")
    } else {
        format!("{whose} needs more than its memory limit{of} and is OOMKilled{since}")
    };
    let left = if node_is_short(world, pod) { "" } else { "; its node reports no shortage of memory" };
    diagnosis.explanation = if none {
        format!(
            "The kernel kills container {name}. It has no memory limit of its own, so the limit above it (pod, QoS class or node) is the one that is reached."
        )
    } else {
        format!("The kernel kills container {name} each time that it reaches its own memory limit{of}{left}.")
    };
    if let Some(rollout) = &rollout {
        diagnosis.explanation.push_str(&format!(
            " It began after the rollout at {} UTC: {}.",
            kwhy_sdk::clock(rollout.at),
            rollout.words()
        ));
        diagnosis.evidence.push(rollout.evidence(30, "the change before it began"));
    }
    if let (Some(edit), Some(range)) = (&edit, &range) {
        let at = kwhy_sdk::clock(edit.at);
        diagnosis.title =
            format!("{whose} is OOMKilled at the limit{of} that {} gives it since its edit", spoken(range));
        diagnosis.explanation.push_str(&format!(
            " The template names no limit: {} fills one in when a pod is made, and it was edited at {at} UTC, before this pod was made.",
            spoken(range)
        ));
        diagnosis.evidence.push(
            Evidence::signal(edit, 40, "the edit before the pod was made").citing(edit.message.clone()),
        );
    }
    let end = container.end();
    let lived = end
        .as_ref()
        .and_then(crate::pod::End::lived)
        .map(|ms| format!(" after it ran for {}", kwhy_sdk::span(ms)))
        .unwrap_or_default();
    let code = end.as_ref().map_or(137, |e| e.code);
    diagnosis.evidence.push(Evidence::object(
        &pod.id,
        format!("OOMKilled, exit code {code}: container {name}, memory limit {shown}"),
        50,
        format!("last end of the container{lived}"),
    ));
    if let Some(event) = pod
        .told(world, container, "BackOff", world.ago(hours(1)))
        .into_iter()
        .find(|e| e.message.contains(name.as_str()) || !e.message.contains("container "))
    {
        diagnosis.evidence.push(crate::counted(&event, 20, "the kubelet waits longer before each new start"));
    }
    case::note_root(&mut diagnosis, format!("memory limit {shown}"));
    if let Some(range) = &range {
        let k = crate::words::kubectl(&range.namespace);
        let mut back = Remedy::new(format!(
            "give {} its former default back, and let the pods be made anew",
            spoken(range)
        ))
        .command(format!("{k} edit {}", crate::words::named(range)));
        if let Some(again) = crate::words::restart(&pod.holder) {
            back = back.command(again);
        }
        diagnosis.remedies.push(back);
    }
    remedies(&mut diagnosis, pod, container, limit, rollout.as_ref());
    diagnosis
}

/// `256Mi` doubled is `512Mi`; none for what is no plain number with a unit.
fn doubled(limit: &str) -> Option<String> {
    let digits = limit.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = limit.get(..digits)?.parse().ok()?;
    let unit = limit.get(digits..)?;
    matches!(unit, "" | "k" | "K" | "Ki" | "M" | "Mi" | "G" | "Gi").then(|| format!("{}{unit}", number * 2))
}

fn remedies(
    diagnosis: &mut Diagnosis,
    pod: &Pod,
    container: &Container,
    limit: &str,
    rollout: Option<&Rollout>,
) {
    let name = &container.name;
    let image = rollout.and_then(|r| r.field(name, "image"));
    if let Some((field, back)) = image.zip(undo(&pod.holder)) {
        diagnosis.remedies.push(
            Remedy::new(format!("go back to {} until the new version's need is known", field.old))
                .command(back)
                .caution("it takes back every change of that rollout"),
        );
    }
    let lowered = rollout
        .and_then(|r| r.field(name, "resources.limits.memory"))
        .filter(|f| !f.old.is_empty())
        .map(|f| f.old.clone());
    let to = lowered.or_else(|| doubled(limit)).unwrap_or_else(|| "<more>".into());
    diagnosis.remedies.push(
        Remedy::new(format!("give container {name} more memory than it needs at its peak"))
            .command(set(&pod.holder, "resources", &format!("-c {name} --limits=memory={to}")))
            .caution(
                "a leak only takes longer to reach a larger limit: watch container_memory_working_set_bytes",
            ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_doubled_in_its_unit() {
        assert_eq!(doubled("256Mi").as_deref(), Some("512Mi"));
        assert_eq!(doubled("1Gi").as_deref(), Some("2Gi"));
        assert_eq!(doubled(""), None);
        assert_eq!(doubled("1.5Gi"), None);
    }
}
