//! Which change is a lead, and which one only looks like it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

use kwhy_change::Change;
use kwhy_sdk::{
    ObjectRef, parse_time,
    testkit::{Bench, Input},
};
use serde_json::{Value, json};

fn at(clock: &str) -> u64 {
    parse_time(&format!("2024-09-17T{clock}Z")).unwrap()
}

fn listed(json: Value) -> Input {
    Input::listed(at("09:00:00"), json)
}

/// Deployment front, as it stands after each of its changes.
fn front(generation: u64, observed: u64, image: &str, annotations: Value) -> Value {
    json!({
        "kind": "Deployment",
        "metadata": {"namespace": "shop", "name": "front", "uid": "d", "generation": generation},
        "spec": {"replicas": 1, "template": {"metadata": {"annotations": annotations}, "spec": {
            "containers": [{"name": "front", "image": image}],
            "volumes": [{"name": "conf", "configMap": {"name": "front-conf"}}],
        }}},
        "status": {"observedGeneration": observed},
    })
}

fn conf(timeout: &str) -> Value {
    json!({
        "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "front-conf", "uid": "c"},
        "data": {"nginx.conf": format!("proxy_read_timeout {timeout};\n")},
    })
}

/// A pod of a workload on node n1, behind Service front.
fn pod(kind: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": "front-a", "uid": "p", "labels": {"app": "front"}, "ownerReferences": [{"kind": kind, "name": "front", "controller": true}]},
        "spec": {"nodeName": "n1", "volumes": [{"name": "conf", "configMap": {"name": "front-conf"}}]},
    })
}

fn node(closed: bool) -> Value {
    json!({"kind": "Node", "metadata": {"name": "n1", "uid": "n"}, "spec": {"unschedulable": closed}})
}

fn alert(name: &str, kind: &str, of: &str) -> Input {
    let namespace = if kind == "Node" { "" } else { "shop" };
    Input::alert(at("09:17:00"), name, &ObjectRef::new(kind, namespace, of), &[("severity", "warning")])
}

fn run(mut inputs: Vec<Input>) -> Bench<Change> {
    inputs.sort_by_key(Input::at);
    let mut bench = Bench::new();
    bench.feed_all(&inputs).unwrap();
    bench.until(at("09:30:00")).unwrap();
    bench
}

fn roots(bench: &Bench<Change>) -> Vec<(String, String)> {
    bench.diagnoses().iter().map(|d| (d.code.clone(), d.root.name.clone())).collect()
}

fn one(code: &str, root: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), root.to_owned())]
}

#[test]
fn a_checksum_in_the_template_points_to_the_edit_that_it_tells_of() {
    let all = |stamps: Value, edited: bool| {
        let mut all = vec![
            listed(front(1, 1, "front:1", json!({"checksum/config": "cba0"}))),
            listed(conf("60s")),
            listed(pod("Deployment")),
            Input::changed(at("09:10:01"), front(2, 2, "front:1", stamps)),
            alert("FrontGatewayTimeouts", "Deployment", "front"),
        ];
        if edited {
            all.push(Input::changed(at("09:10:00"), conf("2s")));
        }
        run(all)
    };
    let bench = all(json!({"checksum/config": "1150"}), true);
    assert_eq!(roots(&bench), one("change.edit", "front-conf"));
    assert!(bench.diagnoses()[0].remedies.iter().all(|r| !r.command.contains("undo")));
    assert!(roots(&all(json!({"checksum/config": "1150"}), false)).is_empty(), "the same template again");
    let scraped = all(json!({"checksum/config": "1150", "sidecar.istio.io/inject": "true"}), true);
    assert_eq!(roots(&scraped), one("change.rollout", "front"));
}

#[test]
fn a_change_that_the_controller_has_not_acted_on_is_felt_by_nobody() {
    let all = |observed, made: &str, name| {
        let mut pod = pod("Deployment");
        pod["metadata"]["creationTimestamp"] = json!(format!("2024-09-17T{made}Z"));
        run(vec![
            listed(front(1, 1, "front:1", json!({}))),
            Input::changed(at("09:10:00"), front(2, observed, "front:2", json!({}))),
            Input::changed(at("09:12:00"), pod),
            alert(name, "Deployment", "front"),
        ])
    };
    let told = "FrontGatewayTimeouts";
    assert!(roots(&all(1, "06:00:00", "KubeDeploymentGenerationMismatch")).is_empty());
    assert!(roots(&all(1, "06:00:00", told)).is_empty());
    assert_eq!(roots(&all(2, "06:00:00", told)), one("change.rollout", "front"));
    assert_eq!(roots(&all(1, "09:10:02", told)), one("change.rollout", "front"), "pods are made of it");
}

#[test]
fn a_cordon_is_felt_by_who_needs_another_place_and_not_by_the_node_or_a_daemon_set() {
    let all = |kind: &str, of: &str, name: &str| {
        run(vec![
            listed(node(false)),
            listed(json!({"kind": kind, "metadata": {"namespace": "shop", "name": "front"}})),
            listed(pod(kind)),
            Input::changed(at("09:10:00"), node(true)),
            alert(name, if of == "n1" { "Node" } else { kind }, of),
        ])
    };
    assert!(roots(&all("Deployment", "n1", "KubeNodeNotReady")).is_empty());
    assert!(roots(&all("DaemonSet", "front", "KubeDaemonSetRolloutStuck")).is_empty());
    assert_eq!(roots(&all("Deployment", "front", "FrontErrors")), one("change.edit", "n1"));
}

#[test]
fn an_alert_on_an_ingress_speaks_of_the_one_workload_that_it_leads_to() {
    let all = |services: &[&str]| {
        let paths: Vec<Value> =
            services.iter().map(|name| json!({"backend": {"service": {"name": name}}})).collect();
        let mut all = vec![
            listed(front(1, 1, "front:1", json!({}))),
            listed(pod("Deployment")),
            listed(
                json!({"kind": "Ingress", "metadata": {"namespace": "shop", "name": "door"}, "spec": {"rules": [{"http": {"paths": paths}}]}}),
            ),
            Input::changed(at("09:10:00"), front(2, 2, "front:2", json!({}))),
            alert("NGINXTooMany500s", "Ingress", "door"),
        ];
        for name in ["front", "cart"] {
            all.push(listed(json!({"kind": "Service", "metadata": {"namespace": "shop", "name": name}, "spec": {"selector": {"app": name}}})));
        }
        run(all)
    };
    assert_eq!(roots(&all(&["front"])), one("change.rollout", "front"));
    assert!(roots(&all(&["cart", "front"])).is_empty(), "which of them is not said");
}

#[test]
fn a_rollout_whose_pods_wait_for_a_readiness_gate_only_is_not_taken_back() {
    let all = |reason: &str| {
        let mut waits = pod("Deployment");
        waits["status"] = json!({"conditions": [
            {"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "False", "reason": reason},
        ]});
        run(vec![
            listed(front(1, 1, "front:1", json!({}))),
            Input::changed(at("09:10:00"), front(2, 2, "front:2", json!({}))),
            Input::changed(at("09:10:05"), waits),
            alert("KubeDeploymentRolloutStuck", "Deployment", "front"),
        ])
    };
    assert!(roots(&all("ReadinessGatesNotReady")).is_empty());
    assert_eq!(roots(&all("ContainersNotReady")), one("change.rollout", "front"));
}
