//! What was changed before a workload fell ill.

use kwhy_sdk::testkit::Input;
use serde_json::{Value, json};

use crate::{says, small::*};

fn map(text: &str) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "settings", "uid": "m"}, "data": {"app.yaml": text}})
}

fn mounting() -> Value {
    container(&json!({"volumeMounts": [{"name": "c", "mountPath": "/etc/web"}]}))
}

fn volumes() -> Value {
    json!({"spec": {"volumes": [{"name": "c", "configMap": {"name": "settings"}}]}})
}

#[test]
fn an_edit_after_the_crash_began_is_not_its_cause() {
    let mut all = cluster();
    all.push(listed(map("a: 1\n")));
    all.push(Input::changed(
        at("09:21:00"),
        pod("web-1-a", "web-1", "09:20:00", &mounting(), crashing(4, json!({})), &volumes()),
    ));
    all.push(Input::changed(at("09:25:00"), map("a: 2\n")));
    all.push(Input::changed(
        at("09:31:00"),
        pod("web-1-a", "web-1", "09:20:00", &mounting(), crashing(5, json!({})), &volumes()),
    ));
    only(&run(&all, "09:40:00"), "workload.exit-on-start", "Deployment", "web");
}

#[test]
fn a_config_map_that_only_another_container_reads_is_not_blamed() {
    let mut all = cluster();
    all.push(listed(map("a: 1\n")));
    all.push(Input::changed(at("09:15:00"), map("a: 2\n")));
    all.push(Input::changed(
        at("09:31:00"),
        pod("web-1-a", "web-1", "09:20:00", &container(&json!({})), crashing(5, json!({})), &volumes()),
    ));
    only(&run(&all, "09:40:00"), "workload.exit-on-start", "Deployment", "web");
}

#[test]
fn one_edit_that_breaks_two_workloads_is_one_diagnosis_with_the_alerts_of_both() {
    let mut all = cluster();
    all.push(listed(map("a: 1\n")));
    all.push(listed(json!({"kind": "StatefulSet", "metadata": {"namespace": "shop", "name": "db"}, "spec": {"replicas": 1}, "status": {"readyReplicas": 1}})));
    all.push(Input::changed(at("09:15:00"), map("a: [\n")));
    all.push(Input::changed(
        at("09:31:00"),
        pod("web-1-a", "web-1", "09:20:00", &mounting(), crashing(5, json!({})), &volumes()),
    ));
    let other = with(volumes(), &json!({"metadata": {"ownerReferences": owner("StatefulSet", "db")}}));
    all.push(Input::changed(
        at("09:32:00"),
        pod("db-0", "", "09:20:00", &mounting(), crashing(5, json!({})), &other),
    ));
    let found = only(&run(&all, "09:40:00"), "workload.config-change", "ConfigMap", "settings");
    says(&found, &["StatefulSet shop/db suffers from it too", "+ a: ["]);
    for kind in ["Deployment", "StatefulSet"] {
        assert!(found.explains.iter().any(|e| e.anchor.as_ref().is_some_and(|a| a.kind == kind)), "{kind}");
    }
}

#[test]
fn a_rollout_that_changes_the_arguments_is_blamed_and_the_former_pod_speaks_for_it() {
    let new = container(&json!({"args": ["--mode=fast"]}));
    let mut all = cluster();
    all.push(listed(pod(
        "web-1-a",
        "web-1",
        "06:00:00",
        &container(&json!({})),
        running("06:00:01", 0, true),
        &json!({}),
    )));
    all.push(Input::changed(at("09:19:59"), deployment(&new, &json!({}))));
    all.push(Input::changed(at("09:20:00"), replica_set("web-2", 2, "09:20:00", &new, &json!({}))));
    all.push(Input::changed(
        at("09:31:00"),
        pod("web-2-b", "web-2", "09:20:01", &new, crashing(5, json!({"exitCode": 2})), &json!({})),
    ));
    let found = only(&run(&all, "09:40:00"), "workload.config-change", "Deployment", "web");
    assert_eq!(found.confidence, 82);
    says(
        &found,
        &["--mode=fast", "web-1-a, of the former revision, is ready", "rollout undo deployment/web"],
    );
}

#[test]
fn a_rollout_in_the_midst_of_a_crash_loop_is_an_attempt_and_not_the_cause() {
    let new = container(&json!({"args": ["--mode=fast"]}));
    let mut all = cluster();
    all.push(warn("09:10:00", "Pod", "web-1-a", "BackOff", "Back-off restarting failed container web", 12));
    all.push(listed(pod(
        "web-1-a",
        "web-1",
        "06:00:00",
        &container(&json!({})),
        crashing(9, json!({})),
        &json!({}),
    )));
    all.sort_by_key(Input::at);
    all.push(Input::changed(at("09:20:00"), deployment(&new, &json!({}))));
    all.push(Input::changed(at("09:20:00"), replica_set("web-2", 2, "09:20:00", &new, &json!({}))));
    all.push(Input::changed(
        at("09:31:00"),
        pod("web-2-b", "web-2", "09:20:01", &new, crashing(5, json!({})), &json!({})),
    ));
    only(&run(&all, "09:40:00"), "workload.exit-on-start", "Deployment", "web");
}

#[test]
fn a_stamp_that_forces_a_rollout_is_not_blamed_and_the_edit_before_it_is() {
    let stamp = json!({"env": [{"name": "STAKATER_SETTINGS_CONFIGMAP", "value": "3351ff494b9faf"}]});
    let level = json!({"env": [{"name": "LOG_LEVEL", "value": "debug"}]});
    let told = |env: &Value| {
        let made = with(mounting(), env);
        let mut all = cluster();
        all.push(listed(deployment(&mounting(), &json!({}))));
        all.push(listed(replica_set("web-1", 1, "05:00:00", &mounting(), &json!({}))));
        all.push(listed(map("timeout: 30s\n")));
        all.push(Input::changed(at("09:19:00"), map("timeout: 30\n")));
        all.push(Input::changed(at("09:19:30"), deployment(&made, &json!({}))));
        all.push(Input::changed(at("09:19:31"), replica_set("web-2", 2, "09:19:31", &made, &json!({}))));
        let pod = pod("web-2-a", "web-2", "09:20:00", &made, crashing(4, json!({})), &volumes());
        all.push(Input::changed(at("09:24:00"), pod));
        run(&all, "09:40:00")
    };
    let found = only(&told(&stamp), "workload.config-change", "ConfigMap", "settings");
    assert!(!crate::words(&found).contains("rollout undo deployment"), "{found:#?}");
    only(&told(&level), "workload.config-change", "Deployment", "web");
}
