//! Which containers are not well: they crash, do not come up, or stay unready.

use serde_json::Value;

/// A log that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Log {
    /// Whether the container is well; others come first where not all can be taken.
    pub(super) is_well: bool,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// That of the run before the present one.
    pub(super) previous: bool,
}

/// What a container waits for before it has ever run in this pod.
const BEFORE: [&str; 7] = [
    "ContainerCreating",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "PodInitializing",
];

/// The logs of a pod to take: of containers that are not well, or of `all` that have run.
pub(super) fn logs(pod: &Value, all: bool) -> Vec<Log> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let done = text("/status/phase") == "Succeeded";
    let mut logs = Vec::new();
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        let statuses = pod.pointer(&format!("/status/{list}")).and_then(Value::as_array);
        for status in statuses.into_iter().flatten() {
            let is_well = done || is_well(status, list == "containerStatuses");
            if is_well && !all {
                continue;
            }
            let has = |state: &str| status.pointer(state).is_some_and(|state| !state.is_null());
            let waits = status.pointer("/state/waiting/reason").and_then(Value::as_str);
            let before = has("/lastState/terminated");
            let ran = before || waits.is_none_or(|reason| !BEFORE.contains(&reason));
            let container = status.pointer("/name").and_then(Value::as_str).unwrap_or_default();
            let log = |previous| Log {
                is_well,
                namespace: namespace.clone(),
                pod: name.clone(),
                container: container.to_owned(),
                previous,
            };
            if ran && !container.is_empty() {
                logs.push(log(false));
            }
            if before && !container.is_empty() {
                logs.push(log(true));
            }
        }
    }
    logs
}

fn is_well(status: &Value, should_be_ready: bool) -> bool {
    let failed = |state: &str| {
        status.pointer(state).is_some_and(|ended| {
            ended.pointer("/exitCode").and_then(Value::as_i64).is_some_and(|code| code != 0)
        })
    };
    let waits = status.pointer("/state/waiting").is_some_and(|waiting| !waiting.is_null());
    let unready = should_be_ready
        && status.pointer("/ready").and_then(Value::as_bool) == Some(false)
        && status.pointer("/state/terminated").is_none_or(Value::is_null);
    !waits && !unready && !failed("/state/terminated") && !failed("/lastState/terminated")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(status: Value, phase: &str, all: bool) -> Vec<bool> {
        let mut status = status;
        status["name"] = json!("c");
        let pod = json!({"metadata": {"namespace": "ns", "name": "p"}, "status": {"phase": phase, "containerStatuses": [status]}});
        logs(&pod, all).into_iter().map(|log| log.previous).collect()
    }

    #[test]
    fn logs_are_wanted_of_containers_that_crash_or_stay_unready() {
        let running = json!({"ready": true, "state": {"running": {}}});
        assert_eq!(wanted(running.clone(), "Running", false), [false; 0]);
        assert_eq!(wanted(running, "Running", true), [false]);
        assert_eq!(wanted(json!({"ready": false, "state": {"running": {}}}), "Running", false), [false]);
        let crashes = json!({"ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}});
        assert_eq!(wanted(crashes, "Running", false), [false, true]);
        let crashed =
            json!({"ready": true, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137}}});
        assert_eq!(wanted(crashed, "Running", false), [false, true]);
        let restarted =
            json!({"ready": true, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 0}}});
        assert_eq!(wanted(restarted, "Running", false), [false; 0]);
        let pulls = json!({"ready": false, "state": {"waiting": {"reason": "ImagePullBackOff"}}});
        assert_eq!(wanted(pulls, "Pending", false), [false; 0], "it has never run");
        let done = json!({"ready": false, "state": {"terminated": {"exitCode": 0}}});
        assert_eq!(wanted(done, "Succeeded", false), [false; 0]);
    }
}
