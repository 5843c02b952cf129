//! Templates and pods that change again and again.

use kwhy_sdk::testkit::Input;
use serde_json::{Value, json};

use crate::{says, small::*};

fn stateful(image: &str, generation: u64) -> Value {
    json!({"kind": "StatefulSet", "metadata": {"namespace": "shop", "name": "db", "generation": generation, "ownerReferences": owner("Database", "db")}, "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "db", "image": image}]}}}})
}

fn operator(namespace: &str, name: &str, tag: &str) -> Input {
    listed(
        json!({"kind": "Deployment", "metadata": {"namespace": namespace, "name": name, "creationTimestamp": if tag == "v2.0.0" { stamp("08:59:00") } else { "2024-01-01T00:00:00Z".into() }}, "spec": {"template": {"spec": {"containers": [{"name": "m", "image": format!("quay.io/acme/database-operator:{tag}")}]}}}}),
    )
}

fn turns(n: usize) -> Vec<Input> {
    let images = ["quay.io/acme/db:v1.9.0", "quay.io/acme/db:v2.0.0"];
    let mut all = vec![listed(stateful(images[0], 1))];
    all.extend(
        (1..=n).map(|i| {
            Input::changed(at("09:30:00") + i as u64 * 60_000, stateful(images[i % 2], i as u64 + 1))
        }),
    );
    all
}

#[test]
fn two_operators_that_write_in_turn_are_named_and_the_newcomer_is_to_go() {
    let mut all = turns(5);
    all.push(operator("data", "db-operator", "v1.9.0"));
    all.push(operator("default", "database-operator", "v2.0.0"));
    all.sort_by_key(Input::at);
    let found = only(&run(&all, "09:40:00"), "workload.operator-fight", "Deployment", "database-operator");
    says(&found, &["db-operator", "v1.9.0", "v2.0.0", "scale deployment/database-operator --replicas=0"]);
    let found = only(&run(&turns(5), "09:40:00"), "workload.operator-fight", "StatefulSet", "db");
    says(&found, &["--show-managed-fields"]);
}

#[test]
fn a_deploy_and_a_rollback_are_no_fight() {
    silent(&run(&turns(2), "09:40:00"));
}

#[test]
fn pods_that_come_anew_again_and_again_are_churn_and_a_rollout_is_not() {
    let born = |i: u64| {
        let name = format!("web-1-{i}");
        Input::Object {
            at: at("09:30:00") + i * 30_000,
            change: "ADDED".into(),
            listed: false,
            json: pod(
                &name,
                "web-1",
                "09:30:00",
                &container(&json!({})),
                running("09:30:00", 0, true),
                &json!({}),
            ),
        }
    };
    let mut all = cluster();
    all.extend((0..4).map(born));
    silent(&run(&all, "09:40:00"));
    all.extend((4..12).map(born));
    only(&run(&all, "09:40:00"), "workload.real-churn", "Deployment", "web");
}

#[test]
fn pods_that_a_kubelet_refuses_one_after_the_other_are_told_with_its_words() {
    let text = "forbidden sysctl: \"net.core.somaxconn\" not allowlisted";
    let refused = |i: u64| {
        let name = format!("web-1-{i}");
        let status = json!({"status": {"phase": "Failed", "reason": "SysctlForbidden", "message": format!("Pod was rejected: {text}"), "containerStatuses": []}});
        let made = at("09:30:00") + i * 60_000;
        let json =
            pod(&name, "web-1", "09:30:00", &container(&json!({})), running("09:30:00", 0, false), &status);
        [
            Input::changed(made, json),
            Input::event(made, &id("Pod", &name), "SysctlForbidden", "Warning", text, 1),
        ]
    };
    let mut all = cluster();
    all.extend((0..2).flat_map(refused));
    silent(&run(&all, "09:40:00"));
    all.extend((2..5).flat_map(refused));
    let found = only(&run(&all, "09:40:00"), "workload.container-refused", "Deployment", "web");
    says(&found, &["The kubelet of node n1", "net.core.somaxconn", "allowedUnsafeSysctls", "5 within"]);
    // A later one is admitted.
    let ready = pod(
        "web-1-z",
        "web-1",
        "09:36:00",
        &container(&json!({})),
        running("09:36:00", 0, true),
        &json!({"spec": {"nodeName": "n2"}}),
    );
    all.push(Input::changed(at("09:36:30"), ready));
    silent(&run(&all, "09:45:00"));
}
