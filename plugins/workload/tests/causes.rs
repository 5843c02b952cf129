//! Each cause as it shows, and what comes near it and is none.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

mod small;

use std::path::Path;

use kwhy_sdk::{ObjectRef, testkit::Input};
use serde_json::{Value, json};
use small::*;

fn words(d: &kwhy_sdk::Diagnosis) -> String {
    let remedies: String = d.remedies.iter().map(|r| format!("\n{}\n{}", r.text, r.command)).collect();
    let evidence: String = d.evidence.iter().map(|e| format!("\n{} | {}", e.excerpt, e.note)).collect();
    format!("{}\n{}{remedies}{evidence}", d.title, d.explanation)
}

fn says(d: &kwhy_sdk::Diagnosis, parts: &[&str]) {
    let all = words(d);
    for part in parts {
        assert!(all.contains(part), "{part:?} is missing in:\n{all}");
    }
}

// --- images ---------------------------------------------------------------------------------------------

#[test]
fn a_refused_pull_asks_for_credentials_and_names_the_registry() {
    let text = r#"failed to pull and unpack image "ghcr.io/acme/web:v1": failed to resolve reference "ghcr.io/acme/web:v1": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token: 401 Unauthorized"#;
    let found = only(
        &run(
            &one(waiting(
                "ImagePullBackOff",
                &format!("Back-off pulling image \"ghcr.io/acme/web:v1\": ErrImagePull: {text}"),
            )),
            "09:40:00",
        ),
        "workload.image-auth",
        "Deployment",
        "web",
    );
    says(&found, &["ghcr.io refuses", "create secret docker-registry", "patch serviceaccount default"]);
}

#[test]
fn a_registry_that_is_away_for_a_moment_is_no_finding_and_one_that_stays_away_is() {
    let text = r#"Failed to pull image "ghcr.io/acme/web:v1": failed to do request: Head "https://ghcr.io/v2/acme/web/manifests/v1": dial tcp 140.82.1.1:443: i/o timeout"#;
    let fresh = |made| {
        pod(
            "web-1-a",
            "web-1",
            made,
            &container(&json!({})),
            waiting("ImagePullBackOff", "Back-off pulling image \"ghcr.io/acme/web:v1\""),
            &json!({"status": {"phase": "Pending"}}),
        )
    };
    let mut all = cluster();
    all.push(Input::changed(at("09:31:00"), fresh("09:30:00")));
    all.push(warn("09:31:01", "Pod", "web-1-a", "Failed", text, 2));
    silent(&run(&all, "09:32:00"));
    let found = only(&run(&all, "09:34:00"), "workload.image-registry-unreachable", "Deployment", "web");
    says(&found, &["ghcr.io cannot be reached", "i/o timeout"]);
}

#[test]
fn an_image_for_another_processor_is_told_by_the_manifest_and_by_the_kernel() {
    let text = "Back-off pulling image \"ghcr.io/acme/web:v1\": ErrImagePull: no match for platform in manifest: not found";
    let found = only(
        &run(&one(waiting("ImagePullBackOff", text)), "09:40:00"),
        "workload.image-architecture",
        "Deployment",
        "web",
    );
    says(&found, &["arm64"]);
    let mut all = one(crashing(3, json!({})));
    all.insert(
        3,
        Input::line(
            at("09:30:01"),
            &id("Pod", "web-1-a"),
            "web",
            "exec /usr/local/bin/web: exec format error",
        ),
    );
    only(&run(&all, "09:40:00"), "workload.image-architecture", "Deployment", "web");
}

// --- memory ---------------------------------------------------------------------------------------------

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

// --- configuration --------------------------------------------------------------------------------------

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

// --- what is missing ------------------------------------------------------------------------------------

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

// --- start ----------------------------------------------------------------------------------------------

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

// --- probes ---------------------------------------------------------------------------------------------

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

// --- refused pods ---------------------------------------------------------------------------------------

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

// --- jobs, autoscalers, budgets -------------------------------------------------------------------------

fn job(name: &str, status: Value) -> Value {
    json!({"kind": "Job", "metadata": {"namespace": "shop", "name": name, "ownerReferences": owner("CronJob", "nightly")}, "spec": {"activeDeadlineSeconds": 600}, "status": status})
}

fn failed(reason: &str, clock: &str) -> Value {
    json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": reason, "message": "Job has failed", "lastTransitionTime": stamp(clock)}]})
}

#[test]
fn a_job_that_failed_is_a_finding_until_a_later_one_succeeds() {
    let cron = json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "nightly"}});
    let mut all = vec![
        listed(cron),
        Input::changed(at("09:30:00"), job("nightly-1", failed("BackoffLimitExceeded", "09:30:00"))),
    ];
    only(&run(&all, "09:40:00"), "workload.job-backoff", "CronJob", "nightly");
    all.push(Input::changed(at("09:45:00"), job("nightly-2", json!({"succeeded": 1, "completionTime": stamp("09:45:00"), "conditions": [{"type": "Complete", "status": "True"}]}))));
    silent(&run(&all, "09:50:00"));
    let late = [
        all[0].clone(),
        Input::changed(at("09:30:00"), job("nightly-1", failed("DeadlineExceeded", "09:30:00"))),
    ];
    let found = only(&run(&late, "09:40:00"), "workload.deadline-exceeded", "CronJob", "nightly");
    says(&found, &["deadline of 10 min"]);
}

#[test]
fn a_job_with_one_retry_that_succeeds_is_nothing() {
    let all = [
        Input::changed(at("09:30:00"), job("nightly-1", json!({"active": 1, "failed": 1}))),
        Input::changed(
            at("09:32:00"),
            job(
                "nightly-1",
                json!({"succeeded": 1, "failed": 1, "completionTime": stamp("09:32:00"), "conditions": [{"type": "Complete", "status": "True"}]}),
            ),
        ),
    ];
    silent(&run(&all, "09:40:00"));
}

#[test]
fn a_cron_job_that_has_given_up_counting() {
    let mut all =
        vec![listed(json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "nightly"}}))];
    all.push(warn(
        "09:30:00",
        "CronJob",
        "nightly",
        "MissSchedule",
        "Missed scheduled time to start a job",
        1,
    ));
    silent(&run(&all, "09:40:00"));
    all.push(warn(
        "09:30:00",
        "CronJob",
        "nightly",
        "TooManyMissedTimes",
        "too many missed start times: 101. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
        1,
    ));
    only(&run(&all, "09:40:00"), "workload.cronjob-missed", "CronJob", "nightly");
}

#[test]
fn an_autoscaler_without_requests_is_ours_and_one_without_metrics_is_not() {
    let mut all = cluster();
    all.push(listed(json!({"kind": "HorizontalPodAutoscaler", "metadata": {"namespace": "shop", "name": "web"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}})));
    all.push(warn("09:30:00", "HorizontalPodAutoscaler", "web", "FailedGetResourceMetric", "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)", 30));
    silent(&run(&all, "09:40:00"));
    all.push(warn(
        "09:30:10",
        "HorizontalPodAutoscaler",
        "web",
        "FailedGetResourceMetric",
        "failed to get cpu utilization: missing request for cpu in container web of Pod web-1-a",
        30,
    ));
    let found = only(&run(&all, "09:40:00"), "workload.hpa-no-metrics", "Deployment", "web");
    says(&found, &["-c web --requests=cpu=100m"]);
}

#[test]
fn a_budget_without_room_matters_only_where_somebody_drains() {
    let budget = json!({
        "kind": "PodDisruptionBudget", "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    });
    let mut all = cluster();
    all.push(listed(pod(
        "web-1-a",
        "web-1",
        "06:00:00",
        &container(&json!({})),
        running("06:00:00", 0, true),
        &json!({}),
    )));
    all.push(listed(budget));
    silent(&run(&all, "09:30:00"));
    all.push(Input::line(at("09:31:00"), &ObjectRef::new("Pod", "kube-system", "kured-x"), "kured", r#"error when evicting pods/"web-1-a" -n "shop" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget."#));
    let found = only(&run(&all, "09:32:00"), "workload.pdb-blocks-drain", "PodDisruptionBudget", "web");
    says(&found, &["minAvailable 1", "--replicas=2"]);
}

// --- services -------------------------------------------------------------------------------------------

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

// --- churn ----------------------------------------------------------------------------------------------

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

// --- real pods ------------------------------------------------------------------------------------------

#[test]
fn the_faults_of_real_pods_are_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects/pods.json");
    let list: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let code_of = |name: &str| {
        let pod = list["items"].as_array().unwrap().iter().find(|p| p["metadata"]["name"] == name).unwrap();
        let made = kwhy_sdk::parse_time(pod["metadata"]["creationTimestamp"].as_str().unwrap()).unwrap();
        let mut bench = kwhy_sdk::testkit::Bench::<kwhy_workload::Workload>::new();
        bench.feed(&Input::listed(made + 600_000, pod.clone())).unwrap();
        bench.until(made + 1_200_000).unwrap();
        bench.diagnoses().first().map(|d| d.code.clone()).unwrap_or_default()
    };
    assert_eq!(code_of("no-image-deployment-849c4c4958-rxqmt"), "workload.image-registry-unreachable");
    assert_eq!(code_of("init-demo2"), "workload.command-not-found");
    assert_eq!(code_of("init-demo"), "workload.command-not-found");
    assert_eq!(code_of("oom-kill-job3-gbb89"), "workload.oom-killed");
}

/// Event reasons and messages of a published set of faults (Kubernetes events as operators collect them), without any
/// object.
#[test]
fn what_events_alone_tell_is_named_with_less_confidence() {
    for (kind, reason, text, code) in [
        (
            "Pod",
            "CreateContainerError",
            "Error response from daemon: Minimum memory limit allowed is 6MB",
            "workload.container-refused",
        ),
        (
            "Pod",
            "OOMKilled",
            "the last termination reason is OOMKilled container=server pod=cart-7f-x",
            "workload.oom-killed",
        ),
        (
            "ReplicaSet",
            "FailedCreate",
            "pods cart-7f-x is forbidden: exceeded quota: ba-test, requested: cpu=500m, used: cpu=0, limited: cpu=400m",
            "workload.quota-exceeded",
        ),
        (
            "ReplicaSet",
            "FailedCreate",
            "pods cart-7f-x is forbidden: failed quota: ba-test: must specify cpu for: server; memory for: server",
            "workload.quota-exceeded",
        ),
        (
            "ReplicaSet",
            "FailedCreate",
            "pods cart-7f-x is forbidden: maximum cpu usage per Container is 700m, but limit is 900m",
            "workload.limit-range",
        ),
        (
            "ReplicaSet",
            "FailedCreate",
            "pods cart-7f-x is forbidden: minimum memory usage per Container is 100Mi, but request is 80Mi",
            "workload.limit-range",
        ),
        (
            "Pod",
            "Failed",
            r#"Failed to pull image "acme/cart:v9": rpc error: code = NotFound desc = docker.io/acme/cart:v9: not found"#,
            "workload.image-not-found",
        ),
    ] {
        let bench = run(&[warn("09:30:00", kind, "cart-7f-x", reason, text, 1)], "09:31:00");
        let all = bench.diagnoses();
        assert_eq!(all.iter().map(|d| d.code.as_str()).collect::<Vec<_>>(), [code], "{text}");
    }
    silent(&run(
        &[warn("09:30:00", "Pod", "cart-7f-x", "BackOff", "Back-off restarting failed container", 1)],
        "09:31:00",
    ));
}
