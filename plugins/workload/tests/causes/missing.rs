//! ConfigMaps, Secrets and keys that are not there.

use kwhy_sdk::testkit::Input;
use serde_json::json;

use crate::{says, small::*};

#[test]
fn a_missing_config_map_and_one_that_stands_elsewhere() {
    let mut all = one(waiting("CreateContainerConfigError", r#"configmap "settings" not found"#));
    all.push(Input::changed(
        at("09:31:30"),
        json!({"kind": "ConfigMap", "metadata": {"namespace": "staging", "name": "settings"}}),
    ));
    all.push(warn("09:32:00", "Pod", "web-1-a", "Failed", r#"Error: configmap "settings" not found"#, 4));
    let found = only(&run(&all, "09:40:00"), "workload.missing-configmap", "ConfigMap", "settings");
    says(&found, &["does not exist", "another namespace", "create configmap settings"]);
}

#[test]
fn a_deleted_secret_is_named_with_the_time_of_its_deletion() {
    let secret = json!({"kind": "Secret", "metadata": {"namespace": "shop", "name": "db", "uid": "s"}});
    let mut all = cluster();
    all.push(listed(secret.clone()));
    all.push(Input::deleted(at("09:15:00"), secret));
    let mount = r#"MountVolume.SetUp failed for volume "db" : secret "db" not found"#;
    all.push(Input::changed(
        at("09:31:00"),
        pod(
            "web-1-a",
            "web-1",
            "09:20:00",
            &container(&json!({})),
            waiting("ContainerCreating", ""),
            &json!({"status": {"phase": "Pending"}}),
        ),
    ));
    all.push(warn("09:32:00", "Pod", "web-1-a", "FailedMount", mount, 5));
    let found = only(&run(&all, "09:40:00"), "workload.missing-secret", "Secret", "db");
    says(&found, &["At 09:15:00 UTC it was deleted"]);
}

#[test]
fn a_missing_key_is_named_with_the_keys_that_are_there() {
    let mut all =
        one(waiting("CreateContainerConfigError", "couldn't find key DB_URL in ConfigMap shop/settings"));
    all.insert(0, listed(json!({"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "settings"}, "data": {"DATABASE_URL": "x"}})));
    let found = only(&run(&all, "09:40:00"), "workload.missing-config-key", "ConfigMap", "settings");
    says(&found, &["has no key DB_URL", "keys: DATABASE_URL"]);
}

#[test]
fn a_late_cache_of_the_kubelet_is_nothing() {
    let mut all = one(waiting("ContainerCreating", ""));
    all.push(warn("09:32:00", "Pod", "web-1-a", "FailedMount", r#"MountVolume.SetUp failed for volume "kube-api-access-x" : object "shop"/"kube-root-ca.crt" not registered"#, 2));
    silent(&run(&all, "09:40:00"));
}
