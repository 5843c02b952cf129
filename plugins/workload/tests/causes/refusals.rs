//! Pods that the API server refuses.

use kwhy_sdk::testkit::Input;
use serde_json::{Value, json};

use crate::{says, small::*};

fn refused(message: &str) -> Vec<Input> {
    let mut all = cluster();
    all.push(Input::changed(
        at("09:30:00"),
        replica_set("web-1", 1, "05:00:00", &container(&json!({})), &json!({"status": {"replicas": 1}})),
    ));
    all.push(warn(
        "09:31:00",
        "ReplicaSet",
        "web-1",
        "FailedCreate",
        &format!("Error creating: {message}"),
        9,
    ));
    all
}

#[test]
fn what_the_api_server_refuses_is_named_by_its_rule() {
    let forbidden = r#"pods "web-1-x" is forbidden: "#;
    for (text, code, kind, name) in [
        (
            "exceeded quota: compute, requested: limits.cpu=2, used: limits.cpu=8, limited: limits.cpu=10",
            "workload.quota-exceeded",
            "ResourceQuota",
            "compute",
        ),
        (
            "failed quota: compute: must specify cpu for: web; memory for: web",
            "workload.quota-exceeded",
            "Deployment",
            "web",
        ),
        (
            "maximum memory usage per Container is 800Mi, but limit is 900Mi",
            "workload.limit-range",
            "Deployment",
            "web",
        ),
        (
            "minimum cpu usage per Container is 100m, but request is 1m",
            "workload.limit-range",
            "Deployment",
            "web",
        ),
        (
            r#"violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false"#,
            "workload.pod-security",
            "Deployment",
            "web",
        ),
        (
            r#"error looking up service account shop/robot: serviceaccount "robot" not found"#,
            "workload.missing-service-account",
            "ServiceAccount",
            "robot",
        ),
    ] {
        let found = only(&run(&refused(&format!("{forbidden}{text}")), "09:40:00"), code, kind, name);
        assert!(found.explains.iter().any(|e| e.anchor.as_ref().is_some_and(|a| a.name == "web")), "{text}");
    }
    let text =
        r#"admission webhook "no-latest.policy.example" denied the request: tag latest is not allowed"#;
    let found = only(&run(&refused(text), "09:40:00"), "workload.admission-denied", "Deployment", "web");
    says(&found, &["tag latest is not allowed"]);
}

#[test]
fn a_refusal_that_ends_within_two_minutes_is_nothing() {
    let mut all = refused(
        r#"pods "web-1-x" is forbidden: exceeded quota: compute, requested: cpu=1, used: cpu=9, limited: cpu=10"#,
    );
    all.push(Input::changed(
        at("09:32:00"),
        replica_set("web-1", 1, "05:00:00", &container(&json!({})), &json!({})),
    ));
    silent(&run(&all, "09:50:00"));
}

#[test]
fn a_refusal_is_over_when_the_pods_are_there() {
    let mut all = refused(
        r#"pods "web-1-x" is forbidden: exceeded quota: compute, requested: cpu=1, used: cpu=9, limited: cpu=10"#,
    );
    all.push(Input::changed(
        at("09:36:00"),
        replica_set("web-1", 1, "05:00:00", &container(&json!({})), &json!({})),
    ));
    only(&run(&all[..5], "09:35:00"), "workload.quota-exceeded", "ResourceQuota", "compute");
    silent(&run(&all, "09:50:00"));
}

#[test]
fn a_webhook_that_nobody_answers_is_laid_to_what_stands_behind_it() {
    let mut all = refused(
        r#"Internal error occurred: failed calling webhook "validate.guard.example": failed to call webhook: Post "https://guard.guard.svc:443/validate?timeout=10s": dial tcp 10.96.0.9:443: connect: connection refused"#,
    );
    let hook = |service: Value| json!({"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "guard"}, "webhooks": [{"name": "validate.guard.example", "clientConfig": {"service": service}}]});
    all.insert(0, listed(hook(json!({"namespace": "guard", "name": "guard"}))));
    all.insert(1, listed(json!({"kind": "Service", "metadata": {"namespace": "guard", "name": "guard"}, "spec": {"selector": {"app": "guard"}}})));
    let found = only(
        &run(&all, "09:40:00"),
        "workload.webhook-unreachable",
        "ValidatingWebhookConfiguration",
        "guard",
    );
    says(&found, &["has no pod behind it", "delete validatingwebhookconfiguration/guard"]);
    let guard = json!({"kind": "Pod", "metadata": {"namespace": "guard", "name": "guard-x", "labels": {"app": "guard"}, "ownerReferences": owner("DaemonSet", "guard")}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}});
    all.insert(2, listed(json!({"kind": "DaemonSet", "metadata": {"namespace": "guard", "name": "guard"}})));
    all.insert(3, listed(guard));
    let found = only(&run(&all, "09:40:00"), "workload.webhook-unreachable", "DaemonSet", "guard");
    says(&found, &["rollout restart daemonset/guard"]);
}

#[test]
fn a_cron_job_whose_jobs_are_refused_does_not_work_whatever_its_alert_is_called() {
    let alert = |message: &str| {
        let mut all = cluster();
        all.push(listed(json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "report"}, "spec": {"schedule": "*/10 * * * *"}})));
        all.push(warn("09:31:00", "CronJob", "report", "FailedCreate", message, 9));
        run(&all, "09:40:00")
    };
    let bench = alert(
        r#"Error creating job: jobs.batch "report-1" is forbidden: exceeded quota: compute, requested: count/jobs.batch=1, used: count/jobs.batch=30, limited: count/jobs.batch=30"#,
    );
    let found = only(&bench, "workload.quota-exceeded", "ResourceQuota", "compute");
    let cron = |e: &kwhy_sdk::Explains| e.anchor.as_ref().is_some_and(|a| a.name == "report");
    assert!(found.explains.iter().any(|e| e.source == "alert" && e.name == "*" && cron(e)), "{found:#?}");
}
