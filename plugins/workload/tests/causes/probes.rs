//! Probes that kill or keep out of service.

use kwhy_sdk::testkit::Input;
use serde_json::{Value, json};

use crate::{says, small::*};

fn probed(probe: &str) -> Value {
    container(&json!({probe: {"httpGet": {"path": "/healthz", "port": 8080}, "timeoutSeconds": 1}}))
}

#[test]
fn a_liveness_probe_that_times_out_is_too_strict_and_one_that_hears_500_is_failing() {
    let with_words = |words: &str, status: Value| {
        let mut all = cluster();
        all.push(warn(
            "09:30:58",
            "Pod",
            "web-1-a",
            "Unhealthy",
            &format!("Liveness probe failed: {words}"),
            18,
        ));
        all.push(Input::event(
            at("09:30:59"),
            &id("Pod", "web-1-a"),
            "Killing",
            "Normal",
            "Container web failed liveness probe, will be restarted",
            6,
        ));
        all.push(Input::changed(
            at("09:31:00"),
            pod("web-1-a", "web-1", "08:20:00", &probed("livenessProbe"), status, &json!({})),
        ));
        run(&all, "09:32:00")
    };
    let ended = json!({"lastState": {"terminated": {"reason": "Error", "exitCode": 137, "startedAt": stamp("09:20:00"), "finishedAt": stamp("09:30:59")}}});
    let state = || with(running("09:31:00", 6, false), &ended);
    let found = only(
        &with_words(
            "Get \"http://10.0.0.1:8080/healthz\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            state(),
        ),
        "workload.liveness-too-strict",
        "Deployment",
        "web",
    );
    says(&found, &["\"timeoutSeconds\":5", "timeout of 1 s"]);
    let found = only(
        &with_words("HTTP probe failed with statuscode: 500", state()),
        "workload.liveness-failing",
        "Deployment",
        "web",
    );
    says(&found, &["statuscode: 500"]);
}

#[test]
fn a_single_failed_probe_is_nothing() {
    let mut all = cluster();
    all.push(listed(pod(
        "web-1-a",
        "web-1",
        "06:00:00",
        &probed("livenessProbe"),
        running("06:00:00", 0, true),
        &json!({}),
    )));
    all.push(warn(
        "09:30:58",
        "Pod",
        "web-1-a",
        "Unhealthy",
        "Liveness probe failed: HTTP probe failed with statuscode: 503",
        1,
    ));
    all.push(warn(
        "09:35:58",
        "Pod",
        "web-1-a",
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
        2,
    ));
    silent(&run(&all, "09:40:00"));
}

#[test]
fn a_pod_that_is_not_ready_for_long_says_what_its_probe_meets() {
    let mut all = cluster();
    all.push(Input::changed(
        at("09:31:00"),
        pod(
            "web-1-a",
            "web-1",
            "09:30:00",
            &probed("readinessProbe"),
            running("09:30:02", 0, false),
            &json!({}),
        ),
    ));
    all.push(warn(
        "09:33:00",
        "Pod",
        "web-1-a",
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 404",
        20,
    ));
    silent(&run(&all, "09:39:00"));
    let found = only(&run(&all, "09:46:00"), "workload.readiness-failing", "Deployment", "web");
    says(&found, &["404", "not at the path"]);
    assert!(found.confidence <= 50);
}

#[test]
fn pods_of_a_node_that_is_away_say_nothing() {
    let mut all = one(crashing(6, json!({})));
    all.insert(3, Input::changed(at("09:29:00"), json!({"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})));
    silent(&run(&all, "09:50:00"));
}

/// Pod web-1-a whose containers are ready and whose readiness gate is closed.
fn behind(gate: &str) -> Vec<Input> {
    let gated = json!({"spec": {"readinessGates": [{"conditionType": gate}]}, "status": {"conditions": [
        {"type": "ContainersReady", "status": "True", "lastTransitionTime": stamp("09:30:10")},
        {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": format!("corresponding condition of pod readiness gate {gate:?} does not exist."), "lastTransitionTime": stamp("09:30:00")},
    ]}});
    let mut all = cluster();
    let ready = running("09:30:10", 0, true);
    all.push(Input::changed(
        at("09:30:10"),
        pod("web-1-a", "web-1", "09:30:00", &container(&json!({})), ready, &gated),
    ));
    all
}

#[test]
fn a_closed_readiness_gate_is_told_by_its_name_and_laid_to_a_keeper_that_is_down() {
    let gate = "target-health.elbv2.k8s.aws/k8s-shop-web-0a1b2c3d4e";
    let all = behind(gate);
    silent(&run(&all, "09:35:00"));
    let found = only(&run(&all, "09:36:00"), "workload.readiness-failing", "Deployment", "web");
    says(&found, &[gate, "All containers of web-1-a are ready since 09:30:10"]);
    let keeper = |image: &str, available: u64| {
        let spec = json!({"containers": [{"name": "c", "image": image}]});
        listed(
            json!({"kind": "Deployment", "metadata": {"namespace": "kube-system", "name": "lbc"}, "spec": {"replicas": 2, "template": {"spec": spec}}, "status": {"availableReplicas": available}}),
        )
    };
    let aws = "public.ecr.aws/eks/aws-load-balancer-controller:v2.11.0";
    let lattice = "public.ecr.aws/aws-application-networking-k8s/aws-gateway-controller:v1.1.0";
    let kruise = "openkruise/kruise-manager:v1.7.2";
    for (gate, image, available, code, root) in [
        (gate, aws, 0, "workload.dependency-down", "lbc"),
        (gate, aws, 2, "workload.readiness-failing", "web"),
        (gate, kruise, 0, "workload.readiness-failing", "web"),
        ("InPlaceUpdateReady", kruise, 0, "workload.dependency-down", "lbc"),
        ("KruisePodReady", kruise, 0, "workload.dependency-down", "lbc"),
        ("application-networking.k8s.aws/pod-readiness-gate", lattice, 0, "workload.dependency-down", "lbc"),
    ] {
        let mut all = behind(gate);
        all.insert(0, keeper(image, available));
        only(&run(&all, "09:36:00"), code, "Deployment", root);
    }
    let gke = behind("cloud.google.com/load-balancer-neg-ready");
    let found = only(&run(&gke, "09:36:00"), "workload.readiness-failing", "Deployment", "web");
    says(&found, &["the load balancer's health check"]);
}
