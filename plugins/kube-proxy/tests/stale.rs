//! Configuration that was edited while the pods went on with the old one.

mod small;

use kwhy_sdk::testkit::Input;
use serde_json::json;
use small::{LOOPBACK, STALE, at, cluster, listed, map, only, proxy, proxy_down, run};

const HIDDEN: &str = r#"metricsBindAddress: """#;
const SHOWN: &str = r#"metricsBindAddress: "0.0.0.0:10249""#;

#[test]
fn an_edit_without_a_restart_carries_the_finding_on() {
    let mut all = cluster(HIDDEN);
    all.push(proxy_down("09:00:00"));
    assert_eq!(only(&run(&all)).code, LOOPBACK);
    all.push(Input::changed(at("09:10:00"), map(SHOWN)));
    let bench = run(&all);
    let found = only(&bench);
    assert_eq!((found.code.as_str(), found.root.kind.as_str(), found.confidence), (STALE, "ConfigMap", 93));
    assert_eq!(found.supersedes, [LOOPBACK]);
    assert!(bench.cleared().is_empty(), "one finding goes on: {:#?}", bench.cleared());
    assert!(
        found.evidence[0].excerpt.contains("- metricsBindAddress: \"\""),
        "{}",
        found.evidence[0].excerpt
    );
    assert_eq!(found.remedies[0].command, "kubectl -n kube-system rollout restart daemonset kube-proxy");
    assert!(found.explains.iter().any(|e| e.name == "KubeProxyDown"));

    // One pod after the other is made anew: the finding stands until the last.
    all.push(Input::changed(at("09:20:00"), proxy("kube-proxy-aaaaa", "kal", true, "09:19:00")));
    let found = only(&run(&all));
    assert!(
        found.explanation.contains("1 of 2 pods have run since before (kube-proxy-bbbbb)"),
        "{}",
        found.explanation
    );
    all.push(Input::changed(at("09:21:00"), proxy("kube-proxy-bbbbb", "ford", true, "09:20:30")));
    let bench = run(&all);
    assert!(bench.diagnoses().is_empty());
    assert_eq!(bench.cleared().len(), 1);
}

#[test]
fn an_alert_after_the_edit_finds_the_pods_that_missed_it() {
    let mut all = cluster(HIDDEN);
    all.push(Input::changed(at("08:40:00"), map(SHOWN)));
    all.push(proxy_down("11:30:00"));
    assert_eq!(only(&run(&all)).code, STALE);
}

#[test]
fn an_edit_of_something_else_does_not_explain_the_alert() {
    let mut all = cluster(SHOWN);
    let mut edited = map(SHOWN);
    edited["data"]["config.conf"] = json!(small::config(SHOWN).replace("mode: \"\"", "mode: ipvs"));
    all.push(Input::changed(at("08:40:00"), edited));
    all.push(proxy_down("09:00:00"));
    let bench = run(&all);
    let found = only(&bench);
    assert_eq!((found.code.as_str(), found.severity.as_str()), (STALE, "info"));
    assert!(found.explains.is_empty(), "the edit waits for its restart, but the alert has another cause");
    assert!(bench.rejected(LOOPBACK).is_some());
}

#[test]
fn an_edit_that_hurts_nobody_is_told_after_a_while_as_information() {
    let mut all = cluster(HIDDEN);
    let mut edited = map(HIDDEN);
    edited["data"]["config.conf"] = json!(small::config(HIDDEN).replace("mode: \"\"", "mode: ipvs"));
    all.push(Input::changed(at("08:40:00"), edited));
    let mut bench = run(&all);
    bench.until(at("08:49:00")).unwrap();
    assert!(bench.diagnoses().is_empty(), "a restart may follow");
    bench.until(at("08:51:00")).unwrap();
    let found = only(&bench);
    assert_eq!((found.code.as_str(), found.severity.as_str()), (STALE, "info"));
    assert!(found.explains.is_empty());
    for (name, node) in [("kube-proxy-aaaaa", "kal"), ("kube-proxy-bbbbb", "ford")] {
        bench.feed(&Input::changed(at("08:55:00"), proxy(name, node, true, "08:54:00"))).unwrap();
    }
    assert!(bench.diagnoses().is_empty());
}

#[test]
fn an_edit_followed_by_its_restart_says_nothing() {
    let mut all = cluster(HIDDEN);
    all.push(Input::changed(at("08:40:00"), map(SHOWN)));
    for (name, node) in [("kube-proxy-aaaaa", "kal"), ("kube-proxy-bbbbb", "ford")] {
        all.push(Input::changed(at("08:42:00"), proxy(name, node, true, "08:41:30")));
    }
    let mut bench = run(&all);
    bench.until(at("10:00:00")).unwrap();
    assert!(bench.diagnoses().is_empty() && bench.cleared().is_empty());
}

#[test]
fn an_edit_that_nobody_saw_shows_in_the_versions_of_map_and_pods() {
    let mut newer = map(SHOWN);
    newer["metadata"]["resourceVersion"] = json!("300");
    let mut all = cluster(SHOWN);
    all.push(listed(newer));
    all.push(proxy_down("09:00:00"));
    let found = only(&run(&all));
    assert_eq!((found.code.as_str(), found.confidence), (STALE, 60));
    assert!(found.evidence[0].excerpt.contains("resourceVersion 300, that of the pod 200"));
}

#[test]
fn the_config_map_of_another_proxy_is_not_looked_at() {
    let mut all = cluster(HIDDEN);
    let other = |x: &str| json!({"kind": "ConfigMap", "metadata": {"namespace": "web", "name": "proxy"}, "data": {"envoy.yaml": x}});
    all.push(listed(other("a: 1\n")));
    all.push(Input::changed(at("08:40:00"), other("a: 2\n")));
    let mut bench = run(&all);
    bench.until(at("10:00:00")).unwrap();
    assert!(bench.diagnoses().is_empty());
}
