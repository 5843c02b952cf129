//! What the log says against what the cluster shows, and what must not be taken for a cause.

mod small;

use kwhy_sdk::{ObjectRef, testkit::Input};
use serde_json::json;
use small::{
    BY_ADDRESS, CERTIFICATE, DOWN, NAMES, NO_API, NO_NAME, NO_NAME_FORD, NO_SAN, NO_SAN_FORD, UNKNOWN_CA,
    api, api_down, at, claims, cluster, deployment, failed, healthy, hpa_failed, listed, node, only, pod,
    pod_of, replica_set, round, run, settled, unknown,
};

#[test]
fn certificates_without_an_address_are_told_with_the_address_that_was_asked() {
    let mut all = cluster(&["--cert-dir=/tmp", BY_ADDRESS]);
    all.extend(round("09:00:00", "a", NO_SAN, NO_SAN_FORD));
    all.push(api_down("09:05:00"));
    let found = only(&settled(&all));
    assert_eq!(
        (found.code.as_str(), found.root.name.as_str(), found.confidence),
        (CERTIFICATE, "metrics-server", 96)
    );
    assert!(
        found.explanation.contains("192.168.7.11 and 192.168.7.10")
            || found.explanation.contains("192.168.7.10"),
        "{}",
        found.explanation
    );
    assert_eq!(
        found.evidence.iter().filter(|e| e.excerpt.contains("doesn't contain any IP SANs")).count(),
        2
    );
    assert!(found.remedies[0].command.contains("certificate approve"), "{}", found.remedies[0].command);
    assert!(found.remedies[0].text.contains("of ford and kal"), "{}", found.remedies[0].text);
    assert!(
        found.remedies[1].command.ends_with(
            r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--kubelet-insecure-tls"}]'"#
        ),
        "{}",
        found.remedies[1].command
    );
    assert!(found.remedies[1].text.starts_with("as a stop-gap only"));
}

#[test]
fn other_wordings_of_the_same_refusal_are_known() {
    for why in [
        "x509: certificate is valid for 10.0.0.5, 127.0.0.1, not 192.168.7.10",
        "x509: certificate is not valid for any names, but wanted to match kal",
        "x509: certificate relies on legacy Common Name field, use SANs instead",
    ] {
        let why = format!(r#"Get "https://192.168.7.10:10250/metrics/resource": {why}"#);
        let mut all = cluster(&[BY_ADDRESS]);
        all.extend(round("09:00:00", "a", &why, &why));
        assert_eq!(only(&settled(&all)).code, CERTIFICATE, "{why}");
    }
}

#[test]
fn names_that_are_unknown_lead_to_the_address_types_wherever_they_are_set() {
    for (args, patch) in [
        (
            vec!["--cert-dir=/tmp"],
            r#"{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--kubelet-preferred-address-types=InternalIP"}"#,
        ),
        (
            vec!["--x", "--kubelet-preferred-address-types=Hostname"],
            r#"{"op":"replace","path":"/spec/template/spec/containers/0/args/1","value":"--kubelet-preferred-address-types=InternalIP"}"#,
        ),
        (
            vec!["--kubelet-preferred-address-types", "Hostname"],
            r#"{"op":"replace","path":"/spec/template/spec/containers/0/args/1","value":"InternalIP"}"#,
        ),
        (
            vec![],
            r#"{"op":"add","path":"/spec/template/spec/containers/0/args","value":["--kubelet-preferred-address-types=InternalIP"]}"#,
        ),
    ] {
        let mut all = cluster(&args);
        all.extend(round("09:00:00", "a", NO_NAME, NO_NAME_FORD));
        let found = only(&settled(&all));
        assert_eq!((found.code.as_str(), found.confidence), (NAMES, 96));
        assert_eq!(found.title, "metrics-server cannot resolve the host names of the nodes (ford and kal)");
        assert!(found.remedies[0].command.contains(patch), "{}", found.remedies[0].command);
        assert!(
            found.explanation.contains("DNS at 10.96.0.10 does not know ford and kal: no such host"),
            "{}",
            found.explanation
        );
    }
}

#[test]
fn an_unknown_ca_is_told_without_a_word_of_names_or_addresses() {
    let never =
        regex::Regex::new(r"(?i)\bSANs?\b|subject alternative|preferred-address-types|no such host|resolve")
            .unwrap();
    for args in [vec![BY_ADDRESS], vec![BY_ADDRESS, "--kubelet-certificate-authority=/etc/kubelet-ca/ca.crt"]]
    {
        let mut all = cluster(&args);
        all.extend(round("09:00:00", "a", &unknown("192.168.7.10"), &unknown("192.168.7.11")));
        let found = only(&settled(&all));
        assert_eq!((found.code.as_str(), found.confidence), (UNKNOWN_CA, 95));
        assert!(!never.is_match(&claims(&found)), "{}", claims(&found));
        let edit = found.remedies[0]
            .command
            .contains("kubectl -n kube-system edit configmap kubelet-serving-ca     # ca.crt");
        assert_eq!(edit, args.len() == 2, "{}", found.remedies[0].command);
        assert!(found.remedies.iter().any(|r| r.text.contains("serverTLSBootstrap")));
    }
}

#[test]
fn one_finding_changes_its_cause_as_each_mend_shows_the_next() {
    let mut all = cluster(&["--cert-dir=/tmp"]);
    all.extend(round("09:00:00", "a", NO_NAME, NO_NAME_FORD));
    assert_eq!(only(&settled(&all)).code, NAMES);
    // By address now; the old pod stays beside the new one that does not become ready.
    all.push(Input::changed(
        at("09:10:00"),
        deployment(&["--cert-dir=/tmp", "--kubelet-preferred-address-types=InternalIP"], 1),
    ));
    all.push(Input::changed(at("09:10:01"), replica_set("b")));
    all.push(Input::changed(
        at("09:10:02"),
        pod_of("b", &["--kubelet-preferred-address-types=InternalIP"], "09:10:02", ""),
    ));
    assert_eq!(only(&settled(&all)).code, NAMES, "nothing new is known yet");
    all.extend(round("09:11:00", "b", NO_SAN, NO_SAN_FORD));
    all.extend(round("09:11:10", "a", NO_NAME, NO_NAME_FORD));
    let bench = settled(&all);
    let found = only(&bench);
    assert_eq!(
        (found.code.as_str(), found.supersedes.contains(&NAMES.to_owned())),
        (CERTIFICATE, true),
        "the younger template speaks"
    );
    assert!(bench.cleared().is_empty());
    let change = found.evidence.iter().find(|e| e.note.contains("last change")).unwrap();
    assert!(change.excerpt.contains("--kubelet-preferred-address-types=InternalIP"), "{}", change.excerpt);

    all.push(Input::deleted(at("09:12:00"), pod_of("a", &[], "08:00:00", "")));
    all.extend(round("09:20:00", "b", &unknown("192.168.7.10"), &unknown("192.168.7.11")));
    let bench = settled(&all);
    assert_eq!((only(&bench).code.as_str(), bench.cleared().len()), (UNKNOWN_CA, 0));
}

#[test]
fn a_line_alone_is_believed_only_when_it_goes_on() {
    let mut all = healthy(&[BY_ADDRESS]);
    all.push(failed("09:00:00", "a", "ford", NO_SAN_FORD));
    assert!(settled(&all).diagnoses().is_empty(), "once is nothing: a node may be starting");
    for minute in 1..12 {
        all.push(failed(&format!("09:{minute:02}:00"), "a", "ford", NO_SAN_FORD));
    }
    let found = only(&settled(&all));
    assert_eq!((found.code.as_str(), found.confidence), (CERTIFICATE, 55));
    assert!(found.remedies[0].text.contains("of ford,"), "{}", found.remedies[0].text);
}

#[test]
fn kubelets_that_cannot_be_reached_one_by_one_are_no_fault_of_metrics_server() {
    let mut all = cluster(&[BY_ADDRESS]);
    all.push(listed(node("arthur", "192.168.7.12")));
    let timeout =
        r#"Get "https://192.168.7.11:10250/metrics/resource": dial tcp 192.168.7.11:10250: i/o timeout"#;
    for minute in 0..15 {
        all.push(failed(&format!("09:{minute:02}:00"), "a", "ford", timeout));
    }
    let bench = settled(&all);
    assert!(bench.diagnoses().iter().all(|d| d.severity == "info"), "{:#?}", bench.diagnoses());
}

#[test]
fn other_reasons_of_all_kubelets_are_told_as_what_they_are() {
    let get = r#"Get "https://192.168.7.10:10250/metrics/resource": "#;
    for (why, severity, title) in [
        (format!("{get}remote error: tls: internal error"), "warning", "no serving certificate yet"),
        (
            r#"request failed, status: "403 Forbidden""#.to_owned(),
            "warning",
            "do not let metrics-server read",
        ),
        (
            format!(
                "{get}x509: certificate has expired or is not yet valid: current time 2024-03-21T09:00:00Z is after 2024-03-20T00:00:00Z"
            ),
            "warning",
            "have expired",
        ),
        (format!("{get}dial tcp 192.168.7.10:10250: i/o timeout"), "warning", "does not reach the kubelets"),
        (
            "no address matched types [ExternalIP]".to_owned(),
            "warning",
            "addresses that the nodes do not have",
        ),
        (
            format!(
                "{get}dial tcp: lookup kal on 10.96.0.10:53: read udp 10.244.1.2:4->10.96.0.10:53: i/o timeout"
            ),
            "info",
            "no answer from DNS",
        ),
        ("unexpected EOF".to_owned(), "info", "gets no metrics"),
    ] {
        let mut all = cluster(&[BY_ADDRESS]);
        all.extend(round("09:00:00", "a", &why, &why));
        let found = only(&settled(&all));
        assert_eq!((found.code.as_str(), found.severity.as_str()), (DOWN, severity), "{why}");
        assert!(found.title.contains(title), "{} for {why}", found.title);
        assert!(!found.remedies.is_empty());
    }
}

#[test]
fn autoscalers_that_miss_the_api_are_explained_and_those_that_lack_requests_are_not() {
    let mut all = cluster(&[BY_ADDRESS]);
    all.extend(round("09:00:00", "a", NO_SAN, NO_SAN_FORD));
    let other = "failed to get cpu utilization: missing request for cpu in container app of Pod web-1";
    let hpa = |d: &kwhy_sdk::Diagnosis| {
        d.explains.iter().any(|e| {
            e.anchor.as_ref().is_some_and(|a| a.kind == "HorizontalPodAutoscaler" && a.name == "web")
        })
    };
    let mut lacking = all.clone();
    lacking.push(hpa_failed("09:01:00", other));
    assert!(!hpa(&only(&settled(&lacking))));
    all.push(hpa_failed("09:01:00", NO_API));
    let found = only(&settled(&all));
    assert!(hpa(&found));
    assert!(
        found
            .evidence
            .iter()
            .any(|e| e.excerpt.contains("unable to fetch metrics from resource metrics API"))
    );
}

#[test]
fn an_alert_of_old_rules_is_explained_where_it_was_understood_to_be() {
    let mut all = cluster(&[BY_ADDRESS]);
    all.extend(round("09:00:00", "a", NO_SAN, NO_SAN_FORD));
    let namespace = ObjectRef::new("Namespace", "", "default");
    all.push(Input::alert(
        at("09:05:00"),
        "AggregatedAPIDown",
        &namespace,
        &[("name", "v1beta1.metrics.k8s.io"), ("namespace", "default")],
    ));
    // Another API is another matter.
    all.push(Input::alert(
        at("09:05:00"),
        "KubeAggregatedAPIDown",
        &ObjectRef::new("APIService", "", "v1beta1.custom.metrics.k8s.io"),
        &[("name", "v1beta1.custom.metrics.k8s.io")],
    ));
    let found = only(&settled(&all));
    let anchored = |kind: &str, name: &str| {
        found.explains.iter().any(|e| e.anchor.as_ref().is_some_and(|a| a.kind == kind && a.name == name))
    };
    assert!(anchored("Namespace", "default") && anchored("APIService", "v1beta1.metrics.k8s.io"));
    assert!(!anchored("APIService", "v1beta1.custom.metrics.k8s.io"));
}

#[test]
fn it_is_over_when_the_pods_are_ready_and_complain_no_more_but_not_at_once() {
    let mut all = cluster(&[BY_ADDRESS]);
    all.extend(round("09:00:00", "a", NO_SAN, NO_SAN_FORD));
    all.push(Input::changed(at("09:10:00"), pod_of("a", &[BY_ADDRESS], "08:00:00", "09:10:00")));
    all.push(Input::changed(at("09:10:01"), api(true, "09:10:01", "Passed")));
    let mut bench = run(&all);
    assert_eq!(bench.diagnoses().len(), 1, "0.3 is ready first and complains a minute later");
    bench.until(at("09:15:00")).unwrap();
    assert!(bench.diagnoses().is_empty());
    assert!(
        bench.cleared()[0].because.starts_with("metrics-server-a-x is ready since 09:10:00"),
        "{}",
        bench.cleared()[0].because
    );
}

#[test]
fn an_api_that_is_missing_for_a_moment_is_nothing_and_later_information_only() {
    let mut bench = run(&healthy(&[BY_ADDRESS]));
    bench.feed(&Input::changed(at("08:40:00"), pod_of("a", &[BY_ADDRESS], "08:00:00", ""))).unwrap();
    bench.feed(&Input::changed(at("08:40:00"), api(false, "08:40:00", "MissingEndpoints"))).unwrap();
    bench.until(at("08:44:00")).unwrap();
    assert!(bench.diagnoses().is_empty());
    bench.until(at("08:46:00")).unwrap();
    let found = only(&bench);
    assert_eq!((found.code.as_str(), found.severity.as_str(), found.confidence), (DOWN, "info", 30));
    // The log then tells the cause, and the same finding goes on.
    for line in round("08:47:00", "a", NO_SAN, NO_SAN_FORD) {
        bench.feed(&line).unwrap();
    }
    let found = only(&bench);
    assert_eq!((found.code.as_str(), found.supersedes.contains(&DOWN.to_owned())), (CERTIFICATE, true));
}

#[test]
fn a_deployment_without_replicas_and_an_api_without_a_service_are_told() {
    let start = |replicas| {
        let mut all = healthy(&[BY_ADDRESS]);
        all.push(Input::changed(at("08:40:00"), deployment(&[BY_ADDRESS], replicas)));
        all.push(Input::deleted(at("08:40:01"), pod_of("a", &[BY_ADDRESS], "08:00:00", "08:01:00")));
        all.push(Input::changed(at("08:40:02"), api(false, "08:40:02", "MissingEndpoints")));
        all
    };
    let mut bench = run(&start(0));
    bench.until(at("08:46:00")).unwrap();
    let found = only(&bench);
    assert_eq!((found.code.as_str(), found.severity.as_str()), (DOWN, "warning"));
    assert_eq!(
        found.remedies[0].command,
        "kubectl -n kube-system scale deployment metrics-server --replicas=1"
    );

    let mut gone = start(0);
    gone.push(Input::deleted(at("08:40:03"), deployment(&[BY_ADDRESS], 0)));
    gone.push(Input::deleted(at("08:40:03"), small::service()));
    gone.push(Input::changed(at("08:40:04"), api(false, "08:40:02", "ServiceNotFound")));
    let mut bench = run(&gone);
    bench.until(at("08:46:00")).unwrap();
    let found = only(&bench);
    assert_eq!(
        (found.root.kind.as_str(), found.root.name.as_str()),
        ("APIService", "v1beta1.metrics.k8s.io")
    );
    assert!(found.remedies[1].command.contains("kubectl delete apiservice v1beta1.metrics.k8s.io"));
    assert!(found.explains.iter().any(|e| e.name == "*AggregatedAPI*"));
}

#[test]
fn a_server_that_is_ready_but_out_of_the_api_servers_reach_is_told() {
    let mut all = healthy(&[BY_ADDRESS]);
    all.push(Input::changed(at("08:40:00"), api(false, "08:40:00", "FailedDiscoveryCheck")));
    let mut bench = run(&all);
    bench.until(at("08:46:00")).unwrap();
    let found = only(&bench);
    assert_eq!((found.severity.as_str(), found.confidence), ("warning", 70));
    assert!(found.title.starts_with("The API server does not reach metrics-server"));
}

#[test]
fn an_adapter_that_serves_the_metrics_api_is_not_metrics_server() {
    let adapter = json!({"kind": "Deployment", "metadata": {"namespace": "kube-system", "name": "adapter"}, "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "registry.k8s.io/prometheus-adapter/prometheus-adapter:v0.11"}]}}}});
    let all = [
        listed(adapter),
        listed(small::service()),
        Input::changed(at("08:40:00"), api(false, "08:40:00", "MissingEndpoints")),
        api_down("08:50:00"),
    ];
    assert!(settled(&all).diagnoses().is_empty());
}

#[test]
fn a_pod_that_ships_the_logs_of_metrics_server_is_not_one() {
    let mut all = healthy(&[BY_ADDRESS]);
    all.push(listed(json!({"kind": "Pod", "metadata": {"namespace": "logging", "name": "promtail-1"}, "spec": {"containers": [{"name": "promtail", "image": "grafana/promtail:2.9.2"}]}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}})));
    let line = format!(r#""Failed to scrape node" err="{}" node="kal""#, NO_SAN.replace('"', "\\\""));
    let promtail = ObjectRef::new("Pod", "logging", "promtail-1");
    all.push(Input::line(at("09:00:00"), &promtail, "promtail", &line));
    // Nor is a sidecar of metrics-server itself.
    all.push(Input::changed(at("09:00:01"), pod_of("a", &[BY_ADDRESS], "08:00:00", "")));
    all.push(Input::line(at("09:00:02"), &pod("a"), "nanny", &line));
    assert!(settled(&all).diagnoses().is_empty());
}

#[test]
fn a_line_that_comes_before_its_pod_is_known_is_not_lost() {
    let mut all: Vec<Input> = round("08:29:00", "a", NO_SAN, NO_SAN_FORD);
    all.extend(
        healthy(&[BY_ADDRESS])
            .into_iter()
            .filter(|i| !matches!(i, Input::Object { json, .. } if json["kind"] == "Pod")),
    );
    all.push(Input::changed(at("08:31:00"), pod_of("a", &[BY_ADDRESS], "08:00:00", "")));
    assert_eq!(only(&settled(&all)).code, CERTIFICATE);
}
