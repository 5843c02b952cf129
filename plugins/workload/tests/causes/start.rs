//! Containers that cannot start or do not stay.

use kwhy_sdk::testkit::Input;
use serde_json::json;

use crate::{says, small::*};

#[test]
fn a_root_image_where_root_is_forbidden() {
    let text = "container has runAsNonRoot and image will run as root (pod: \"web\", container: web)";
    only(
        &run(&one(waiting("CreateContainerConfigError", text)), "09:40:00"),
        "workload.pod-security",
        "Deployment",
        "web",
    );
}

#[test]
fn a_memory_limit_below_what_the_runtime_takes() {
    let found = only(
        &run(
            &one(waiting(
                "CreateContainerError",
                "Error response from daemon: Minimum memory limit allowed is 6MB",
            )),
            "09:40:00",
        ),
        "workload.container-refused",
        "Deployment",
        "web",
    );
    says(&found, &["too low"]);
    silent(&run(&one(waiting("CreateContainerError", "context deadline exceeded")), "09:40:00"));
}

#[test]
fn a_shell_that_does_not_find_the_command() {
    let mut all = one(crashing(3, json!({"exitCode": 127})));
    all.insert(3, Input::line(at("09:30:01"), &id("Pod", "web-1-a"), "web", "/bin/sh: 1: serve: not found"));
    let found = only(&run(&all, "09:40:00"), "workload.command-not-found", "Deployment", "web");
    says(&found, &["serve: not found"]);
}

#[test]
fn two_restarts_at_the_start_are_patience_and_a_crash_loop_is_a_finding() {
    silent(&run(
        &one(with(
            running("09:30:50", 2, true),
            &json!({"lastState": {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": stamp("09:30:40")}}}),
        )),
        "09:50:00",
    ));
    let found =
        only(&run(&one(crashing(4, json!({}))), "09:40:00"), "workload.exit-on-start", "Deployment", "web");
    assert!(found.confidence <= 50);
    says(&found, &["logs web-1-a -c web --previous"]);
}

#[test]
fn a_failing_init_container_is_told_apart() {
    let init = json!({
        "spec": {"initContainers": [{"name": "migrate", "image": "a"}]},
        "status": {"phase": "Pending", "initContainerStatuses": [with(crashing(3, json!({})), &json!({"name": "migrate"}))]},
    });
    let mut all = cluster();
    all.push(Input::changed(
        at("09:31:00"),
        pod("web-1-a", "web-1", "09:20:00", &container(&json!({})), waiting("PodInitializing", ""), &init),
    ));
    let found = only(&run(&all, "09:40:00"), "workload.init-container-failing", "Deployment", "web");
    says(&found, &["Init container migrate"]);
}
