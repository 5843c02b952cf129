//! Containers that are killed for memory.

use kwhy_sdk::testkit::Input;
use serde_json::json;

use crate::{says, small::*};

#[test]
fn a_container_killed_for_memory_once_is_no_finding_and_one_killed_again_is() {
    let limit = container(&json!({"resources": {"limits": {"memory": "256Mi"}}}));
    let state = |restarts: u64, ready: bool| {
        with(
            running("09:31:00", restarts, ready),
            &json!({"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "startedAt": stamp("09:25:00"), "finishedAt": stamp("09:30:58")}}}),
        )
    };
    let run_with = |status| {
        let mut all = cluster();
        all.push(Input::changed(
            at("09:31:05"),
            pod("web-1-a", "web-1", "07:00:00", &limit, status, &json!({})),
        ));
        run(&all, "09:32:00")
    };
    silent(&run_with(state(1, true)));
    let found = only(&run_with(state(3, true)), "workload.oom-killed", "Deployment", "web");
    says(&found, &["256Mi", "OOMKilled, exit code 137", "--limits=memory=512Mi"]);
}

#[test]
fn a_kill_of_three_days_ago_is_history() {
    let status = with(
        running("09:31:00", 5, true),
        &json!({"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2025-02-08T09:00:00Z"}}}),
    );
    silent(&run(&one(status), "10:40:00"));
}

#[test]
fn an_oom_kill_is_over_when_the_container_has_run_for_ten_minutes() {
    let mut all = one(crashing(3, json!({"reason": "OOMKilled", "exitCode": 137})));
    only(&run(&all, "09:32:00"), "workload.oom-killed", "Deployment", "web");
    all.push(Input::changed(at("09:36:00"), pod("web-1-a", "web-1", "09:20:00", &container(&json!({})), with(running("09:36:00", 4, true), &json!({"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": stamp("09:30:02")}}})), &json!({}))));
    only(&run(&all, "09:40:00"), "workload.oom-killed", "Deployment", "web");
    let bench = run(&all, "09:50:00");
    silent(&bench);
    assert!(
        bench.cleared()[0].because.contains("is ready and its containers run on"),
        "{:?}",
        bench.cleared()
    );
}

#[test]
fn a_limit_that_an_edited_limit_range_filled_in_is_laid_to_the_edit() {
    let range = |memory: &str| json!({"kind": "LimitRange", "metadata": {"namespace": "shop", "name": "defaults", "uid": "l"}, "spec": {"limits": [{"type": "Container", "default": {"memory": memory}}]}});
    let killed = |made: &str, note: &str| {
        let limit = container(&json!({"resources": {"limits": {"memory": "128Mi"}}}));
        let noted = json!({"metadata": {"annotations": {"kubernetes.io/limit-ranger": note}}});
        let status = crashing(5, json!({"reason": "OOMKilled", "exitCode": 137}));
        let mut all = cluster();
        all.push(listed(range("512Mi")));
        all.push(Input::changed(at("09:19:00"), range("128Mi")));
        all.push(Input::changed(at("09:31:00"), pod("web-1-a", "web-1", made, &limit, status, &noted)));
        run(&all, "09:40:00")
    };
    let filled =
        "LimitRanger plugin set: cpu, memory request for container web; memory limit for container web";
    let found = only(&killed("09:20:00", filled), "workload.oom-killed", "LimitRange", "defaults");
    says(&found, &["edited at 09:19:00", "edit limitrange/defaults", "128Mi"]);
    // Made before the edit, or with a limit of its own.
    only(&killed("09:10:00", filled), "workload.oom-killed", "Deployment", "web");
    let request = "LimitRanger plugin set: cpu, memory request for container web";
    only(&killed("09:20:00", request), "workload.oom-killed", "Deployment", "web");
}
