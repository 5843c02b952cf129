//! A pod that never was seen itself: what the events about it tell, in the place where its status has them.

use kwhy_sdk::{Diagnosis, Json, ObjectRef, Signal, Verdict, World, hours, minutes, serde_json::json};

use crate::{command, generic, image, look::later, missing, oom, pod::Pod, refused};

/// What tells of trouble.
const REASONS: [&str; 7] = [
    "Failed",
    "FailedMount",
    "InspectFailed",
    "OOMKilled",
    "CreateContainerError",
    "RunContainerError",
    "BackOff",
];
/// What is over within this time is no finding.
const PATIENCE: u64 = minutes(2);

/// Whether nothing is known of a pod but its name.
pub(crate) fn is(world: &World<'_>, pod: &ObjectRef) -> bool {
    !world.exists(pod) && world.read(pod, "/metadata").is_none()
}

pub(crate) fn look(world: &World<'_>, pod: &ObjectRef) -> Verdict {
    let since = world.ago(hours(2));
    let mut events: Vec<Signal> =
        REASONS.iter().flat_map(|r| world.about(pod, "self", "event", r, since, 10)).collect();
    events.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
    let started = world.about(pod, "self", "event", "Started", since, 1).first().map_or(0, |s| s.at);
    let mut soonest = None;
    for event in &events {
        let Some(found) = judge(world, event) else { continue };
        let began = event.field("first-at").parse().unwrap_or(event.at);
        if began + PATIENCE > world.now() {
            soonest = Some(began + PATIENCE);
            continue;
        }
        // What has started since has got over it, unless it was made to start.
        if started > event.at && found.code != generic::EXIT {
            continue;
        }
        return Verdict { diagnoses: vec![found], ..Verdict::default() };
    }
    soonest.map_or_else(Verdict::default, |at| later(world, pod, at))
}

fn judge(world: &World<'_>, event: &Signal) -> Option<Diagnosis> {
    image::judge_event(world, event)
        .or_else(|| missing::judge_event(world, event))
        .or_else(|| by_words(world, event))
}

/// A kubelet's words, in the place where the status of a pod has them.
fn by_words(world: &World<'_>, event: &Signal) -> Option<Diagnosis> {
    let text = event.message.as_str();
    let name = container(text);
    let failed = event.name == "Failed" && text.starts_with("Error: ");
    let status = if event.name == "OOMKilled" || text.contains("OOMKilled") {
        json!({"restartCount": 2, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}})
    } else if matches!(event.name.as_str(), "CreateContainerError" | "RunContainerError") {
        json!({"state": {"waiting": {"reason": event.name, "message": text}}})
    } else if failed && !text.starts_with("Error: ErrImage") && !text.contains("BackOff") {
        json!({"restartCount": 2, "state": {"waiting": {"reason": "CreateContainerError", "message": text}}})
    } else if event.name == "BackOff" && text.starts_with("Back-off restarting") && often(world, event) {
        json!({"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": text}}})
    } else {
        return None;
    };
    let mut of = json!({"name": name});
    if let (Some(into), Some(from)) = (of.as_object_mut(), status.as_object()) {
        into.extend(from.clone());
    }
    let json = json!({"spec": {"containers": [{"name": name}]}, "status": {"phase": "Running", "containerStatuses": [of]}});
    let pod = Pod::assumed(world, event.subject.clone()?, Json::new(json));
    let container = pod.container(name)?;
    let mut found = oom::judge(world, &pod, &container)
        .or_else(|| command::judge(world, &pod, &container))
        .or_else(|| refused::judge(world, &pod, &container).ok().flatten())
        .or_else(|| generic::judge(world, &pod, &container))?;
    found.confidence = found.confidence.min(75);
    found.evidence.insert(0, crate::counted(event, 50, "what was said of it"));
    Some(found)
}

/// A loop that somebody is called for, and not one start that took two tries, nor what lies before the pods were listed.
fn often(world: &World<'_>, event: &Signal) -> bool {
    let alerts = |pod| world.about(pod, "self", "alert", "*", world.ago(hours(1)), 1);
    if event.subject.as_ref().is_none_or(|pod| alerts(pod).is_empty()) {
        return false;
    }
    let count: u64 = event.field("count").parse().unwrap_or(1);
    let began: u64 = event.field("first-at").parse().unwrap_or(event.at);
    count >= 5 && began + minutes(5) <= event.at
}

/// The container that a text is about: `container=web pod=…` before 1.25, `container web in pod …` since.
fn container(text: &str) -> &str {
    let after = |mark: &str| text.split_once(mark).and_then(|(_, rest)| rest.split(' ').next());
    after("container=").or_else(|| after("failed container ")).unwrap_or("*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_of_a_back_off_is_named_in_both_wordings() {
        assert_eq!(container("back-off 10s restarting failed container=web pod=web-1_shop(x)"), "web");
        assert_eq!(container("Back-off restarting failed container web in pod web-1_shop(x)"), "web");
        assert_eq!(container("Back-off restarting failed container"), "*");
    }
}
