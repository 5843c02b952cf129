//! Services that lead nowhere and those who miss them.

use kwhy_sdk::testkit::Input;
use serde_json::{Value, json};

use crate::{says, small::*};

fn shop() -> Vec<Input> {
    let client = json!({"kind": "Deployment", "metadata": {"namespace": "shop", "name": "front"}, "spec": {"replicas": 1}, "status": {"availableReplicas": 1}});
    let front = json!({"kind": "Pod", "metadata": {"namespace": "shop", "name": "front-x", "labels": {"app": "front"}, "ownerReferences": owner("Deployment", "front")}, "spec": {"nodeName": "n1", "containers": [{"name": "front"}]}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "front", "ready": true, "state": {"running": {"startedAt": stamp("05:00:00")}}}]}});
    let mut all = cluster();
    all.extend([listed(client), listed(front)]);
    all
}

fn service(selector: Value, target: Value) -> Input {
    listed(
        json!({"kind": "Service", "metadata": {"namespace": "shop", "name": "web"}, "spec": {"clusterIP": "10.96.3.4", "selector": selector, "ports": [{"port": 80, "targetPort": target}]}}),
    )
}

fn ready(ports: Value) -> Input {
    listed(pod(
        "web-1-a",
        "web-1",
        "06:00:00",
        &container(&json!({"ports": ports})),
        running("06:00:00", 0, true),
        &json!({}),
    ))
}

/// The client says so, six times within a few minutes.
fn complaints(text: &str) -> Vec<Input> {
    (0..6).map(|i| Input::line(at("09:31:00") + i * 40_000, &id("Pod", "front-x"), "front", text)).collect()
}

const REFUSED: &str = r#"error calling backend: Get "http://web.shop.svc:80/api": dial tcp 10.96.3.4:80: connect: connection refused"#;

#[test]
fn a_selector_that_lost_its_pods_is_found_by_the_complaints_of_a_client() {
    let mut all = shop();
    all.push(service(json!({"app": "web", "tier": "api"}), json!(8080)));
    all.push(ready(json!([{"containerPort": 8080}])));
    silent(&run(&all, "09:31:00"));
    all.extend(complaints(REFUSED));
    let found = only(&run(&all, "09:40:00"), "workload.selector-mismatch", "Service", "web");
    says(&found, &["tier=api", "Deployment shop/front needs it"]);
}

#[test]
fn a_service_that_leads_to_no_port_of_its_pods() {
    let mut all = shop();
    all.push(service(json!({"app": "web"}), json!("http")));
    all.push(ready(json!([{"containerPort": 8080, "name": "web"}])));
    all.extend(complaints(REFUSED));
    let found = only(&run(&all, "09:40:00"), "workload.port-mismatch", "Service", "web");
    says(&found, &["targetPort http", "web 8080"]);
}

#[test]
fn a_few_complaints_or_a_service_that_is_well_are_nothing() {
    let mut all = shop();
    all.push(service(json!({"app": "web"}), json!(8080)));
    all.push(ready(json!([{"containerPort": 8080}])));
    all.extend(complaints(REFUSED));
    silent(&run(&all, "09:40:00"));
    let mut all = shop();
    all.push(service(json!({"app": "web"}), json!("http")));
    all.push(ready(json!([{"containerPort": 8080, "name": "web"}])));
    all.extend(complaints(REFUSED).into_iter().take(3));
    silent(&run(&all, "09:40:00"));
}

#[test]
fn silence_after_a_new_network_policy_is_laid_to_it() {
    let mut all = shop();
    all.push(service(json!({"app": "web"}), json!(8080)));
    all.push(ready(json!([{"containerPort": 8080}])));
    let silence = complaints(r#"Get "http://web.shop.svc:80/api": dial tcp 10.96.3.4:80: i/o timeout"#);
    let mut without = all.clone();
    without.extend(silence.clone());
    silent(&run(&without, "09:40:00"));
    all.push(Input::changed(at("09:25:00"), json!({"kind": "NetworkPolicy", "metadata": {"namespace": "shop", "name": "deny"}, "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}})));
    all.extend(silence);
    only(&run(&all, "09:40:00"), "workload.network-policy-denies", "NetworkPolicy", "deny");
}

#[test]
fn a_name_that_does_not_resolve_is_a_deleted_service_or_nothing_that_is_known_here() {
    let text = "dial tcp: lookup web.shop.svc.cluster.local on 10.96.0.10:53: no such host";
    let mut all = shop();
    all.extend(complaints(text));
    silent(&run(&all, "09:40:00"));
    let mut all = shop();
    let service = json!({"kind": "Service", "metadata": {"namespace": "shop", "name": "web", "uid": "s"}, "spec": {"selector": {"app": "web"}}});
    all.push(listed(service.clone()));
    all.push(Input::deleted(at("09:29:00"), service));
    all.extend(complaints(text));
    let found = only(&run(&all, "09:40:00"), "workload.missing-service", "Service", "web");
    says(&found, &["deleted at 09:29:00"]);
}

#[test]
fn a_name_server_that_is_down_is_told_as_what_others_need() {
    let mut all = shop();
    all.push(listed(json!({"kind": "Service", "metadata": {"namespace": "kube-system", "name": "kube-dns"}, "spec": {"clusterIP": "10.96.0.10", "selector": {"k8s-app": "kube-dns"}, "ports": [{"port": 53}]}})));
    all.push(listed(json!({"kind": "Deployment", "metadata": {"namespace": "kube-system", "name": "coredns"}, "spec": {"replicas": 1}})));
    all.push(listed(json!({"kind": "Pod", "metadata": {"namespace": "kube-system", "name": "coredns-x", "labels": {"k8s-app": "kube-dns"}, "ownerReferences": owner("Deployment", "coredns")}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}})));
    all.extend(complaints(
        "dial tcp: lookup web.shop.svc on 10.96.0.10:53: read udp 10.0.0.3:4711->10.96.0.10:53: i/o timeout",
    ));
    let found = only(&run(&all, "09:40:00"), "workload.dependency-down", "Deployment", "coredns");
    assert_eq!(found.severity, "info");
}

#[test]
fn a_backend_that_is_scaled_to_zero_is_the_cause_of_its_clients_trouble() {
    let mut all = shop();
    all.push(service(json!({"app": "web"}), json!(8080)));
    all.push(Input::changed(
        at("09:25:00"),
        deployment(
            &container(&json!({})),
            &json!({"spec": {"replicas": 0}, "status": {"replicas": 0, "availableReplicas": 0}}),
        ),
    ));
    all.extend(complaints(REFUSED));
    let found = only(&run(&all, "09:40:00"), "workload.dependency-down", "Deployment", "web");
    says(&found, &["scaled to zero", "scaled down at 09:25:00"]);
}

#[test]
fn what_is_known_of_a_backend_speaks_for_its_clients_too() {
    let mut all = shop();
    all.push(service(json!({"app": "web"}), json!(8080)));
    all.push(Input::changed(
        at("09:30:30"),
        pod(
            "web-1-a",
            "web-1",
            "09:20:00",
            &container(&json!({})),
            crashing(5, json!({"reason": "OOMKilled", "exitCode": 137})),
            &json!({}),
        ),
    ));
    all.extend(complaints(REFUSED));
    let bench = run(&all, "09:40:00");
    let oom = bench.standing("workload.oom-killed").unwrap();
    assert!(oom.explains.iter().any(|e| e.anchor.as_ref().is_some_and(|a| a.name == "front")), "{oom:#?}");
    says(oom, &["Deployment shop/front needs it"]);
    assert_eq!(bench.standing("workload.dependency-down").unwrap().severity, "info");
}

#[test]
fn a_backend_whose_pods_are_never_made_is_missed_as_one_that_is_not_ready() {
    let none = |labels: Value| {
        let patch = json!({"spec": {"replicas": 1, "template": {"metadata": {"labels": labels}}}, "status": {"replicas": 0, "availableReplicas": 0}});
        listed(deployment(&container(&json!({})), &patch))
    };
    let mut all = shop();
    all.push(service(json!({"app": "web"}), json!(8080)));
    all.push(none(json!({"app": "web"})));
    let mut well = shop();
    well.push(service(json!({"app": "web"}), json!(8080)));
    for all in [&mut all, &mut well] {
        all.extend(complaints(REFUSED));
    }
    let found = only(&run(&all, "09:40:00"), "workload.dependency-down", "Deployment", "web");
    says(&found, &["which has no pods at all", "Deployment shop/front needs it"]);
    // One that says it has its pods, which nobody has shown.
    silent(&run(&well, "09:40:00"));
    // Why they are not made says more.
    all.push(warn("09:32:00", "Deployment", "web", "ReplicaSetCreateError", r#"Error creating: pods "web-1-x" is forbidden: exceeded quota: compute, requested: limits.cpu=2, used: limits.cpu=8, limited: limits.cpu=9"#, 9));
    all.sort_by_key(Input::at);
    let bench = run(&all, "09:40:00");
    says(bench.standing("workload.quota-exceeded").unwrap(), &["Deployment shop/front needs it"]);
}

#[test]
fn alerts_on_an_ingress_before_a_workload_that_is_down_are_explained_by_its_cause() {
    let ingress = |of: &str, service: &str| {
        listed(
            json!({"kind": "Ingress", "metadata": {"namespace": "shop", "name": of}, "spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": service}}}]}}]}}),
        )
    };
    let mut all = one(crashing(5, json!({"reason": "OOMKilled", "exitCode": 137})));
    all.push(listed(deployment(&container(&json!({})), &json!({"status": {"availableReplicas": 0}}))));
    all.push(service(json!({"app": "web"}), json!(8080)));
    all.extend([ingress("door", "web"), ingress("other", "cart")]);
    all.sort_by_key(Input::at);
    let found = only(&run(&all, "09:40:00"), "workload.oom-killed", "Deployment", "web");
    let felt = |name: &str| {
        found.explains.iter().any(|e| e.name == "*" && e.anchor.as_ref().is_some_and(|a| a.name == name))
    };
    assert!(felt("door") && !felt("other"), "{:#?}", found.explains);
}

#[test]
fn what_others_meet_of_a_workload_is_the_effect_of_its_cause_where_that_is_known() {
    let effects = |d: &kwhy_sdk::Diagnosis| {
        let of = |code: &str| d.explains.iter().any(|e| e.source == "finding" && e.name == code);
        [of("workload.webhook-unreachable"), of("workload.hpa-no-metrics")]
    };
    let killed = run(&one(crashing(5, json!({"reason": "OOMKilled", "exitCode": 137}))), "09:40:00");
    assert_eq!(effects(&only(&killed, "workload.oom-killed", "Deployment", "web")), [true, true]);
    let ended = run(&one(crashing(5, json!({}))), "09:40:00");
    assert_eq!(effects(&only(&ended, "workload.exit-on-start", "Deployment", "web")), [false, false]);
}
