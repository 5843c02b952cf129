//! Each code of the pack on the words of Prometheus and Alertmanager, and a near miss each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

use kwhy_monitoring::Monitoring;
use kwhy_sdk::{
    Diagnosis, ObjectRef, Signal, parse_time,
    testkit::{Bench, Input},
};
use serde_json::{Value, json};

fn at(clock: &str) -> u64 {
    parse_time(&format!("2024-05-07T{clock}Z")).unwrap()
}

fn pod_ref(name: &str) -> ObjectRef {
    ObjectRef::new("Pod", "monitoring", name)
}

/// StatefulSet `name` with one pod that runs `image`, ready or not since 09:30.
fn part(name: &str, image: &str, ready: bool) -> Vec<Value> {
    let containers = json!([{"name": image, "image": format!("quay.io/prometheus/{image}:v2.50.1"), "volumeMounts": [{"name": "db", "mountPath": "/prometheus"}]}]);
    let status = if ready { "True" } else { "False" };
    vec![
        json!({"kind": "StatefulSet", "metadata": {"namespace": "monitoring", "name": name}, "spec": {"template": {"spec": {"containers": containers}}}}),
        json!({
            "kind": "Pod", "metadata": {"namespace": "monitoring", "name": format!("{name}-0"), "ownerReferences": [{"kind": "StatefulSet", "name": name, "controller": true}]},
            "spec": {"nodeName": "n1", "containers": containers, "volumes": [{"name": "db", "persistentVolumeClaim": {"claimName": format!("db-{name}-0")}}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": "2024-05-07T09:30:00Z"}], "containerStatuses": [{"restartCount": 7, "state": {"waiting": {"reason": if ready { "" } else { "CrashLoopBackOff" }}}}]},
        }),
        json!({"kind": "PersistentVolumeClaim", "metadata": {"namespace": "monitoring", "name": format!("db-{name}-0")}, "spec": {"storageClassName": "local-path", "resources": {"requests": {"storage": "20Gi"}}}}),
    ]
}

fn cluster(prometheus: bool, alertmanager: bool) -> Vec<Input> {
    let node = json!({"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let parts = [
        vec![node],
        part("prometheus-k8s", "prometheus", prometheus),
        part("alertmanager-main", "alertmanager", alertmanager),
    ]
    .concat();
    parts.into_iter().map(|json| Input::listed(at("08:00:00"), json)).collect()
}

fn beat(clock: &str, state: &str) -> Input {
    let cluster = ObjectRef::new("Cluster", "", "lab");
    let mut input = Input::alert(at(clock), "Watchdog", &cluster, &[("prometheus", "monitoring/k8s")]);
    if let Input::Signal(signal) = &mut input {
        signal.state = state.into();
    }
    input
}

fn beats() -> Vec<Input> {
    ["09:05:00", "09:10:00", "09:15:00", "09:20:00", "09:25:00"].map(|t| beat(t, "firing")).into()
}

fn run(inputs: &[Input], until: &str) -> Bench<Monitoring> {
    let mut bench = Bench::fed(inputs);
    bench.until(at(until)).unwrap();
    bench
}

fn only(bench: &Bench<Monitoring>) -> Diagnosis {
    let found = bench.only();
    assert!(!found.remedies.is_empty() && !found.evidence.is_empty());
    found
}

const ENOSPC: &str = r#"ts=2024-05-07T09:36:00.404Z caller=main.go:1229 level=error err="opening storage failed: open /prometheus/wal/00001873: no space left on device""#;

#[test]
fn a_watchdog_that_stops_is_missed_after_two_and_a_half_intervals() {
    let all = [cluster(false, true), beats()].concat();
    assert!(run(&all, "09:37:29").diagnoses().is_empty());
    let found = only(&run(&all, "09:37:30"));
    assert_eq!(
        (found.code.as_str(), found.root.kind.as_str(), found.root.name.as_str()),
        ("monitoring.watchdog-missing", "StatefulSet", "prometheus-k8s")
    );
    assert_eq!(found.severity, "critical");
    assert!(found.explanation.contains("last heard at 09:25:00"), "{}", found.explanation);
}

#[test]
fn one_that_goes_on_or_was_heard_too_seldom_is_not_missed() {
    let mut all = [cluster(true, true), beats()].concat();
    all.extend(["09:30:00", "09:40:00", "09:47:00", "09:58:00"].map(|t| beat(t, "firing")));
    assert!(run(&all, "10:10:00").diagnoses().is_empty(), "late by a few minutes at times");
    let twice = [cluster(true, true), vec![beat("09:00:00", "firing"), beat("09:05:00", "firing")]].concat();
    assert!(run(&twice, "20:00:00").diagnoses().is_empty(), "two deliveries tell no interval");
}

#[test]
fn a_full_volume_is_known_by_prometheus_own_words_and_before_the_silence_is_certain() {
    let mut all = [cluster(false, true), beats()].concat();
    all.push(Input::line(at("09:30:30"), &pod_ref("prometheus-k8s-0"), "prometheus", ENOSPC));
    let bench = run(&all, "09:30:31");
    let found = only(&bench);
    assert_eq!(found.confidence, 97);
    assert!(found.title.contains("volume is full") && found.title.contains("Watchdog"), "{}", found.title);
    assert!(found.evidence.iter().any(|e| e.excerpt.contains("no space left on device")));
    let claim = found
        .explains
        .iter()
        .find(|e| e.name == "KubePersistentVolumeFillingUp")
        .and_then(|e| e.anchor.clone())
        .unwrap();
    assert_eq!(claim.name, "db-prometheus-k8s-0");
    assert!(found.remedies[0].command.contains("patch pvc db-prometheus-k8s-0"));
    // It runs again and is heard again: over.
    all.extend(
        part("prometheus-k8s", "prometheus", true)
            .into_iter()
            .map(|json| Input::changed(at("09:50:00"), json)),
    );
    all.push(beat("09:51:00", "firing"));
    let bench = run(&all, "09:52:00");
    assert!(bench.diagnoses().is_empty());
    assert_eq!(bench.cleared()[0].because, "the Watchdog is heard again since 09:51:00");
}

#[test]
fn a_volume_that_was_filling_up_is_probably_full() {
    let claim = ObjectRef::new("PersistentVolumeClaim", "monitoring", "db-prometheus-k8s-0");
    let mut all = [cluster(false, true), beats()].concat();
    all.push(Input::alert(
        at("09:26:00"),
        "KubePersistentVolumeFillingUp",
        &claim,
        &[("severity", "critical")],
    ));
    let found = only(&run(&all, "09:40:00"));
    assert_eq!(found.confidence, 86);
    assert!(found.title.contains("probably full"), "{}", found.title);
}

#[test]
fn a_watchdog_that_is_resolved_needs_no_timer_and_a_dead_alertmanager_is_told() {
    let all = [cluster(true, false), beats(), vec![beat("09:31:00", "resolved")]].concat();
    let found = only(&run(&all, "09:31:01"));
    assert_eq!(found.root.name, "alertmanager-main");
    assert!(found.title.contains("no pod of Alertmanager"), "{}", found.title);
    let all = [cluster(true, true), beats(), vec![beat("09:31:00", "resolved")]].concat();
    assert_eq!(only(&run(&all, "09:31:01")).confidence, 70, "both run: the way behind is in question");
}

#[test]
fn a_prometheus_that_went_down_with_its_node_is_the_nodes_to_tell() {
    let mut all = [cluster(false, true), beats()].concat();
    all.push(Input::changed(at("09:30:00"), json!({"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})));
    let found = only(&run(&all, "09:40:00"));
    assert_eq!(found.severity, "info");
    assert!(found.title.contains("went down with node n1"), "{}", found.title);
}

#[test]
fn an_alertmanager_that_went_down_with_its_node_is_the_nodes_to_tell() {
    let mut all = [cluster(true, false), beats()].concat();
    let crashes = only(&run(&all, "09:40:00"));
    assert_eq!(crashes.severity, "critical");
    let lost = json!({"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    all.push(Input::changed(at("09:30:00"), lost));
    let found = only(&run(&all, "09:40:00"));
    assert_eq!((found.severity.as_str(), found.root.name.as_str()), ("info", "alertmanager-main"));
    assert!(found.title.contains("went down with node n1"), "{}", found.title);
}

#[test]
fn another_pod_that_finds_no_space_says_nothing_of_alerting() {
    let mut all = [cluster(true, true), beats()].concat();
    all.push(Input::listed(at("08:00:00"), json!({"kind": "Pod", "metadata": {"namespace": "db", "name": "pg-0"}, "spec": {"containers": [{"name": "pg", "image": "postgres:16"}]}})));
    all.push(Input::line(
        at("09:26:00"),
        &ObjectRef::new("Pod", "db", "pg-0"),
        "pg",
        "open /data/x: no space left on device",
    ));
    assert!(run(&all, "09:26:01").diagnoses().is_empty());
}

fn lines(pod: &str, text: &str, times: usize) -> Vec<Input> {
    let mut all = cluster(true, true);
    all.extend((0..times).map(|i| Input::line(at("09:00:00") + i as u64 * 30_000, &pod_ref(pod), "x", text)));
    all
}

#[test]
fn a_rule_that_fails_at_each_evaluation_is_named_and_a_single_failure_is_not() {
    for text in [
        r#"ts=2024-05-07T09:00:00Z caller=group.go:462 level=warn component="rule manager" file=/etc/prometheus/rules/a.yaml group=shop name=SlowCheckout index=3 msg="Evaluating rule failed" rule="alert: SlowCheckout\nexpr: a / on(b) c" err="found duplicate series for the match group""#,
        r#"time=2025-05-07T09:00:00Z level=WARN source=group.go:544 msg="Evaluating rule failed" component="rule manager" file=/etc/prometheus/rules/a.yaml group=shop name=SlowCheckout index=3 rule="alert: SlowCheckout\nexpr: a / on(b) c" err="found duplicate series for the match group""#,
    ] {
        let mut all = lines("prometheus-k8s-0", text, 3);
        all.insert(0, Input::listed(at("08:00:00"), json!({"kind": "PrometheusRule", "metadata": {"namespace": "shop", "name": "checkout"}, "spec": {"groups": [{"rules": [{"alert": "SlowCheckout"}]}]}})));
        let found = only(&run(&all, "09:02:00"));
        assert_eq!((found.code.as_str(), found.confidence), ("monitoring.rules-failing", 80));
        assert!(
            found.title.contains("SlowCheckout") && found.explanation.contains("duplicate series"),
            "{}",
            found.title
        );
        assert_eq!(found.remedies[0].command, "kubectl -n shop edit prometheusrule checkout");
        assert!(run(&lines("prometheus-k8s-0", text, 2), "09:30:00").diagnoses().is_empty());
    }
}

const NOTIFY: &str = r#"ts=2024-05-07T09:00:00Z caller=dispatch.go:353 level=error component=dispatcher msg="Notify for alerts failed" num_alerts=1 err="slack/slack[0]: notify retry canceled due to unrecoverable error after 1 attempts: unexpected status code 404: no_service""#;

#[test]
fn an_alertmanager_that_nobody_listens_to_is_told_and_an_attempt_that_is_repeated_is_not() {
    let found = only(&run(&lines("alertmanager-main-0", NOTIFY, 3), "09:02:00"));
    assert_eq!(found.code, "monitoring.alertmanager-cannot-notify");
    assert!(
        found.title.contains("slack/slack[0]") && found.explanation.contains("no_service"),
        "{} {}",
        found.title,
        found.explanation
    );
    let retry = r#"ts=2024-05-07T09:58:12.402Z caller=notify.go:745 level=warn component=dispatcher receiver=heartbeat integration=webhook[0] aggrGroup="{}:{}" msg="Notify attempt failed, will retry later" attempts=1 err="Post \"<redacted>\": context deadline exceeded""#;
    assert!(run(&lines("alertmanager-main-0", retry, 9), "09:30:00").diagnoses().is_empty());
    let alert =
        Input::alert(at("09:10:00"), "AlertmanagerFailedToSendAlerts", &pod_ref("alertmanager-main-0"), &[]);
    let found = only(&run(&[lines("alertmanager-main-0", NOTIFY, 1), vec![alert]].concat(), "09:11:00"));
    assert_eq!(found.confidence, 93, "the line and the alert agree");
}

#[test]
fn a_configuration_that_stays_refused_is_told_and_another_programs_is_not() {
    let text = r#"ts=2024-05-07T09:00:00Z caller=main.go:1062 level=error msg="Error reloading config" err="couldn't load configuration (--config.file=\"/etc/prometheus/config_out/prometheus.env.yaml\"): parsing YAML file: yaml: line 7: did not find expected key""#;
    let refused = lines("prometheus-k8s-0", text, 1);
    assert!(run(&refused, "09:04:59").diagnoses().is_empty(), "whoever made it may mend it at once");
    let found = only(&run(&refused, "09:05:00"));
    assert_eq!(found.code, "monitoring.config-reload-failed");
    let taken = r#"ts=2024-05-07T09:03:00Z caller=main.go:1378 level=info msg="Completed loading of configuration file" filename=/etc/prometheus/config_out/prometheus.env.yaml"#;
    let at_last = |clock| Input::line(at(clock), &pod_ref("prometheus-k8s-0"), "x", taken);
    assert!(run(&[refused.clone(), vec![at_last("09:03:00")]].concat(), "09:30:00").diagnoses().is_empty());
    let mended = run(&[refused, vec![at_last("09:08:00")]].concat(), "09:30:00");
    assert!(mended.diagnoses().is_empty(), "mended later: over");
    assert_eq!(mended.cleared()[0].because, "prometheus-k8s-0 took a configuration at 09:08:00");
    assert!(found.explanation.contains("line 7: did not find expected key"), "{}", found.explanation);
    let manager = r#"ts=2024-05-07T09:00:00Z caller=coordinator.go:118 level=error component=configuration msg="Loading configuration file failed" file=/etc/alertmanager/alertmanager.yml err="undefined receiver \"pager\" used in route""#;
    let found = only(&run(&lines("alertmanager-main-0", manager, 1), "09:06:00"));
    assert!(
        found.title.starts_with("Alertmanager")
            && found.explanation.contains(r#"undefined receiver "pager""#),
        "{}",
        found.explanation
    );
    let mut all = lines("prometheus-k8s-0", "", 0);
    all.push(Input::listed(at("08:00:00"), json!({"kind": "Pod", "metadata": {"namespace": "monitoring", "name": "promtail-0"}, "spec": {"containers": [{"name": "promtail", "image": "grafana/promtail:2.9"}]}})));
    all.push(Input::line(at("09:00:00"), &pod_ref("promtail-0"), "promtail", text));
    assert!(run(&all, "09:30:00").diagnoses().is_empty());
}

fn target(policy_at: &str, ready: &str) -> Bench<Monitoring> {
    let mut all = cluster(true, true);
    for json in [
        json!({"kind": "Service", "metadata": {"namespace": "shop", "name": "web"}, "spec": {"selector": {"app": "web"}}}),
        json!({"kind": "Pod", "metadata": {"namespace": "shop", "name": "web-1", "labels": {"app": "web"}}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}),
    ] {
        all.push(Input::listed(at("08:00:00"), json));
    }
    all.push(Input::changed(at(policy_at), json!({"kind": "NetworkPolicy", "metadata": {"namespace": "shop", "name": "deny"}, "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}})));
    let service = ObjectRef::new("Service", "shop", "web");
    all.push(Input::alert(
        at("09:20:00"),
        "TargetDown",
        &service,
        &[("job", "web"), ("namespace", "shop"), ("service", "web")],
    ));
    run(&all, "09:21:00")
}

#[test]
fn a_policy_made_before_the_scrapes_failed_is_the_cause_where_the_pods_are_well() {
    let found = only(&target("09:00:00", "True"));
    assert_eq!(
        (found.code.as_str(), found.root.kind.as_str(), found.root.name.as_str()),
        ("monitoring.target-down-by-cause", "NetworkPolicy", "deny")
    );
    assert!(target("09:00:00", "False").diagnoses().is_empty(), "pods that are ill have another cause");
    assert!(
        target("09:19:00", "True").diagnoses().is_empty(),
        "the alert had waited for ten minutes by then"
    );
}

#[test]
fn an_alert_that_is_resolved_starts_nothing() {
    let mut alert = Input::alert(at("09:10:00"), "PrometheusBadConfig", &pod_ref("prometheus-k8s-0"), &[]);
    if let Input::Signal(Signal { state, .. }) = &mut alert {
        *state = "resolved".into();
    }
    assert!(run(&[cluster(true, true), vec![alert]].concat(), "09:11:00").diagnoses().is_empty());
}

#[test]
fn a_prometheus_without_a_node_has_no_last_words_and_waits_since_it_was_made() {
    let waiting = json!({
        "kind": "Pod",
        "metadata": {"namespace": "monitoring", "name": "prometheus-k8s-0", "ownerReferences": [{"kind": "StatefulSet", "name": "prometheus-k8s", "controller": true}]},
        "spec": {"containers": [{"name": "prometheus", "image": "quay.io/prometheus/prometheus:v2.51.0"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available", "lastTransitionTime": "2024-05-07T09:25:10Z"}]},
    });
    let all = [cluster(true, true), beats(), vec![Input::changed(at("09:25:10"), waiting)]].concat();
    let found = only(&run(&all, "09:40:00"));
    assert!(found.explanation.contains("without a node since 09:25:10"), "{}", found.explanation);
    assert!(found.remedies.iter().all(|r| !r.command.contains("--previous")));
}
