//! Whose fault a loop is, and what must not be taken for one.

mod small;

use kwhy_sdk::{ObjectRef, testkit::Input};
use serde_json::json;
use small::{
    Fares::{Crashing, Ready, Starting},
    LOOP, at, cluster, coredns, corefile, fatal, listed, map, node, only, pod, run, words,
};

fn one_looping(forward: &str, spec: serde_json::Value) -> Vec<Input> {
    let mut all = cluster(&corefile(forward));
    all.push(listed(coredns("coredns-a", "kal", &Crashing(7), spec.clone())));
    all.push(listed(coredns("coredns-bb", "ford", &Ready("08:00:00"), spec)));
    all.push(fatal("09:00:00", "coredns-a"));
    all
}

#[test]
fn loops_on_several_nodes_are_the_corefiles_and_clear_the_nodes() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    assert_eq!(only(&run(&all)).root.kind, "Node");
    all.push(Input::changed(at("09:05:00"), coredns("coredns-bb", "ford", &Crashing(2), json!({}))));
    all.push(fatal("09:05:01", "coredns-bb"));
    let bench = run(&all);
    let found = only(&bench);
    assert_eq!((found.root.kind.as_str(), found.root.name.as_str()), ("ConfigMap", "coredns"));
    assert_eq!(found.title, "CoreDNS on nodes ford and kal forwards queries to itself");
    assert_eq!(bench.cleared().iter().map(|c| c.root.name.as_str()).collect::<Vec<_>>(), ["kal"]);
    assert!(
        found.remedies[0].command.contains("rollout restart deployment coredns"),
        "{}",
        found.remedies[0].command
    );
    assert!(found.remedies[0].text.contains("<address of your DNS server>"), "{}", found.remedies[0].text);
}

#[test]
fn a_corefile_that_names_a_loopback_address_is_the_root_itself() {
    for address in ["127.0.0.1", "127.0.0.53", "[::1]:53", "dns://127.0.0.1"] {
        let found = only(&run(&one_looping(&format!("forward . {address}"), json!({}))));
        assert_eq!(found.root.kind, "ConfigMap", "{address}");
        assert!(
            words(&found).contains("a loopback address, which inside the pod is CoreDNS itself"),
            "{}",
            words(&found)
        );
        assert!(found.confidence > 90);
    }
}

#[test]
fn a_corefile_that_names_its_own_service_is_the_root_itself() {
    let found = only(&run(&one_looping("forward . 10.96.0.10", json!({}))));
    assert_eq!(found.root.kind, "ConfigMap");
    assert!(
        words(&found).contains("10.96.0.10 is the address of Service kube-system/kube-dns"),
        "{}",
        words(&found)
    );
}

#[test]
fn with_dns_policy_cluster_first_the_workload_is_the_root() {
    let found = only(&run(&one_looping("forward . /etc/resolv.conf", json!({"dnsPolicy": "ClusterFirst"}))));
    assert_eq!((found.root.kind.as_str(), found.root.name.as_str()), ("Deployment", "coredns"));
    assert!(
        found.remedies[0].command.contains(r#"-p '{"spec":{"template":{"spec":{"dnsPolicy":"Default"}}}}'"#)
    );
    // In the host's network the kubelet gives the node's resolv.conf all the same.
    let found = only(&run(&one_looping(
        "forward . /etc/resolv.conf",
        json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}),
    )));
    assert_eq!(found.root.kind, "Node");
}

#[test]
fn a_server_elsewhere_that_sends_queries_back_is_said_with_less_confidence() {
    let found = only(&run(&one_looping("forward . 192.168.7.1", json!({}))));
    assert_eq!(found.root.kind, "ConfigMap");
    assert!(found.title.contains("sends the queries back"), "{}", found.title);
    assert!(found.confidence <= 75, "{}", found.confidence);
}

#[test]
fn a_query_that_came_back_from_elsewhere_leaves_doubt_about_the_loopback() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    all.pop();
    let line = small::FATAL.replace("127.0.0.1:39386", "192.168.7.1:39386");
    all.push(Input::line(at("09:00:00"), &pod("coredns-a"), "coredns", &line));
    let found = only(&run(&all));
    assert_eq!((found.root.kind.as_str(), found.confidence), ("Node", 75));
    assert!(found.explanation.contains("names a server that leads back to CoreDNS"), "{}", found.explanation);
}

#[test]
fn older_wordings_of_the_loop_plugin_are_known() {
    for line in [
        r#"2018/10/12 13:02:45 [FATAL] plugin/loop: Forwarding loop detected in "." zone. Exiting. See https://coredns.io/plugins/loop#troubleshooting. Probe query: "HINFO 2050421060481615995.5620656063561519376."."#,
        r#"2018/09/06 13:02:45 [FATAL] plugin/loop: Seen "HINFO IN 2050421060481615995.5620656063561519376." more than twice, loop detected"#,
    ] {
        let mut all = one_looping("proxy . /etc/resolv.conf", json!({}));
        all.pop();
        all.push(Input::line(at("09:00:00"), &pod("coredns-a"), "coredns", line));
        let found = only(&run(&all));
        assert_eq!(found.root.name, "kal");
        assert!(found.evidence.iter().any(|e| e.excerpt == "proxy . /etc/resolv.conf"));
    }
}

#[test]
fn the_line_without_a_pod_that_keeps_ending_is_worth_sixty_at_most() {
    let mut all = cluster(&corefile("forward . /etc/resolv.conf"));
    all.push(listed(coredns("coredns-a", "kal", &Ready("08:00:00"), json!({}))));
    all.push(fatal("09:00:00", "coredns-a"));
    assert!(only(&run(&all)).confidence <= 60);
    all.push(Input::changed(at("09:28:00"), coredns("coredns-a", "kal", &Crashing(9), json!({}))));
    assert!(only(&run(&all)).confidence > 85, "the state came 28 minutes later");
}

#[test]
fn what_the_kubelet_says_of_the_nodes_resolver_counts_for_and_against() {
    let flannel = ObjectRef::new("Pod", "kube-system", "flannel-1");
    let json = json!({"kind": "Pod", "metadata": {"namespace": "kube-system", "name": "flannel-1"}, "spec": {"nodeName": "kal", "hostNetwork": true, "dnsPolicy": "ClusterFirst"}});
    let said = |servers: &str| {
        let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
        all.push(listed(json.clone()));
        let text = format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {servers}"
        );
        all.push(Input::event(at("09:01:00"), &flannel, "DNSConfigForming", "Warning", &text, 3));
        only(&run(&all))
    };
    let with = said("127.0.0.53 1.1.1.1 8.8.8.8");
    assert!(
        with.confidence > 90
            && with.evidence.iter().any(|e| e.weight == 30 && e.excerpt.contains("127.0.0.53"))
    );
    let against = said("192.168.7.1 1.1.1.1 8.8.8.8");
    assert!(against.confidence < with.confidence);
    assert!(against.evidence.iter().any(|e| e.weight < 0));
}

#[test]
fn node_local_dns_is_told_by_its_image_and_judged_by_the_zone_of_the_line() {
    let text = "cluster.local:53 {\n    errors\n    loop\n    bind 169.254.20.10\n    forward . 10.96.0.10 {\n        force_tcp\n    }\n}\n.:53 {\n    errors\n    loop\n    bind 169.254.20.10\n    forward . /etc/resolv.conf\n}\n";
    let cache = json!({
        "kind": "Pod",
        "metadata": {"namespace": "dns", "name": "cache-x", "ownerReferences": [{"kind": "DaemonSet", "name": "cache", "controller": true}]},
        "spec": {
            "nodeName": "kal", "hostNetwork": true, "dnsPolicy": "Default",
            "containers": [{"name": "cache", "image": "registry.k8s.io/dns/k8s-dns-node-cache:1.23.1", "args": ["-localip", "169.254.20.10", "-conf", "/etc/Corefile"], "volumeMounts": [{"name": "c", "mountPath": "/etc/coredns"}]}],
            "volumes": [{"name": "c", "configMap": {"name": "cache-config", "items": [{"key": "Corefile", "path": "Corefile.base"}]}}],
        },
        "status": {"containerStatuses": [{"name": "cache", "restartCount": 4, "lastState": {"terminated": {"exitCode": 1}}}]},
    });
    let all = [
        listed(node("kal")),
        listed(json!({"kind": "DaemonSet", "metadata": {"namespace": "dns", "name": "cache"}})),
        listed(
            json!({"kind": "ConfigMap", "metadata": {"namespace": "dns", "name": "cache-config"}, "data": {"Corefile": text}}),
        ),
        listed(cache),
        Input::line(at("09:00:00"), &ObjectRef::new("Pod", "dns", "cache-x"), "cache", small::FATAL),
    ];
    let found = only(&run(&all));
    assert_eq!((found.root.kind.as_str(), found.root.name.as_str()), ("Node", "kal"));
    assert!(
        found
            .explains
            .iter()
            .all(|e| e.anchor.as_ref().is_some_and(|a| a.kind == "DaemonSet" && a.name == "cache"))
    );
}

#[test]
fn a_pod_that_ships_the_logs_of_coredns_does_not_loop() {
    let mut all = cluster(&corefile("forward . /etc/resolv.conf"));
    all.push(listed(json!({"kind": "Pod", "metadata": {"namespace": "logging", "name": "promtail-1"}, "spec": {"nodeName": "kal", "containers": [{"name": "promtail", "image": "grafana/promtail:2.9.2", "args": ["-config.file=/etc/promtail/promtail.yaml"]}]}})));
    all.push(Input::line(
        at("09:00:00"),
        &ObjectRef::new("Pod", "logging", "promtail-1"),
        "promtail",
        small::FATAL,
    ));
    // Nor does a sidecar of CoreDNS itself that repeats the line.
    all.push(listed(coredns("coredns-a", "kal", &Crashing(7), json!({}))));
    all.push(Input::line(at("09:00:01"), &pod("coredns-a"), "tailer", small::FATAL));
    assert!(run(&all).diagnoses().is_empty());
}

#[test]
fn a_crash_loop_of_coredns_for_another_reason_is_not_a_loop() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    all.pop();
    all.push(Input::line(
        at("09:00:00"),
        &pod("coredns-a"),
        "coredns",
        "/etc/coredns/Corefile:12 - Error during parsing: Unknown directive 'forwrd'",
    ));
    all.push(Input::event(
        at("09:00:01"),
        &pod("coredns-a"),
        "BackOff",
        "Warning",
        "Back-off restarting failed container",
        12,
    ));
    assert!(run(&all).diagnoses().is_empty());
}

#[test]
fn a_pod_that_became_ready_or_runs_past_its_check_has_no_loop_any_more() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    all.push(Input::changed(at("09:10:00"), coredns("coredns-a", "kal", &Ready("09:10:00"), json!({}))));
    let bench = run(&all);
    assert!(bench.diagnoses().is_empty());
    assert_eq!(bench.cleared()[0].because, "coredns-a is ready since 09:10:00");

    all.pop();
    all.push(Input::changed(at("09:10:01"), coredns("coredns-a", "kal", &Starting("09:10:00"), json!({}))));
    let mut bench = run(&all);
    assert_eq!(bench.diagnoses().len(), 1, "one second after its start nothing is known yet");
    bench.until(at("09:10:36")).unwrap();
    assert!(bench.diagnoses().is_empty());
    assert_eq!(
        bench.cleared()[0].because,
        "coredns-a runs since 09:10:00 and has passed its check for loops"
    );
}

#[test]
fn words_of_the_old_corefile_spoken_right_after_an_edit_do_not_blame_the_new_one() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    all.push(Input::changed(at("09:04:00"), map(&corefile("forward . 1.1.1.1"))));
    all.push(fatal("09:04:40", "coredns-a"));
    let bench = run(&all);
    assert!(bench.diagnoses().is_empty(), "{:#?}", bench.diagnoses());
    all.push(fatal("09:09:40", "coredns-a"));
    let found = only(&run(&all));
    assert!(
        found.title.contains("sends the queries back"),
        "five minutes later the new Corefile is in force: {}",
        found.title
    );
}

#[test]
fn an_edit_of_another_line_does_not_clear_it() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    all.push(Input::changed(
        at("09:04:00"),
        map(&corefile("forward . /etc/resolv.conf").replace("cache 30", "cache 60")),
    ));
    assert_eq!(only(&run(&all)).root.name, "kal");
}

#[test]
fn a_corefile_that_lost_its_loop_line_hides_the_loop_and_does_not_end_it() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    all.push(Input::changed(
        at("09:04:00"),
        map(&corefile("forward . /etc/resolv.conf").replace("    loop\n", "")),
    ));
    all.push(Input::changed(at("09:05:00"), coredns("coredns-a", "kal", &Ready("09:05:00"), json!({}))));
    let bench = run(&all);
    assert!(
        bench.standing(LOOP).is_some_and(|d| d.explanation.contains("has lost its `loop` line")),
        "{:#?}",
        bench.cleared()
    );
}

#[test]
fn a_deleted_pod_clears_it_only_when_its_successor_has_not_looped() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    all.push(Input::deleted(at("09:10:00"), coredns("coredns-a", "kal", &Crashing(8), json!({}))));
    all.push(Input::changed(at("09:10:02"), coredns("coredns-ccc", "kal", &Starting("09:10:01"), json!({}))));
    let mut again = all.clone();
    again.push(fatal("09:10:03", "coredns-ccc"));
    let bench = run(&again);
    assert_eq!(only(&bench).root.name, "kal");
    assert!(bench.cleared().is_empty(), "no flicker: {:#?}", bench.cleared());

    all.push(Input::changed(at("09:10:20"), coredns("coredns-ccc", "kal", &Ready("09:10:20"), json!({}))));
    let bench = run(&all);
    assert!(bench.diagnoses().is_empty());
    assert_eq!(bench.cleared()[0].because, "all 2 pods of coredns are ready");
}

#[test]
fn a_line_that_comes_before_its_pod_is_known_is_not_lost() {
    let mut all = cluster(&corefile("forward . /etc/resolv.conf"));
    all.push(fatal("09:00:00", "coredns-a"));
    assert!(run(&all).diagnoses().is_empty());
    let mut listed_late = all.clone();
    listed_late.push(Input::listed(at("09:00:10"), coredns("coredns-a", "kal", &Crashing(7), json!({}))));
    let mut bench = run(&listed_late);
    bench.until(at("09:01:00")).unwrap();
    assert_eq!(only(&bench).root.name, "kal", "found by the timer");
    all.push(Input::changed(at("09:00:10"), coredns("coredns-a", "kal", &Crashing(7), json!({}))));
    assert_eq!(only(&run(&all)).root.name, "kal", "found by the change");
}

#[test]
fn a_pod_without_an_owner_and_without_a_config_map_is_its_own_root() {
    let mut json = coredns("coredns-a", "kal", &Crashing(3), json!({"volumes": []}));
    json["metadata"]["ownerReferences"] = json!([{"kind": "Node", "name": "kal", "controller": true}]);
    let found = only(&run(&[listed(node("kal")), listed(json), fatal("09:00:00", "coredns-a")]));
    assert_eq!((found.root.kind.as_str(), found.root.name.as_str()), ("Pod", "coredns-a"));
    assert!(found.confidence <= 70);
}

#[test]
fn words_that_may_mean_a_wrong_name_count_only_while_no_pod_of_coredns_answers() {
    let felt = |sibling| {
        let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
        all.push(listed(coredns("coredns-bb", "ford", &sibling, json!({}))));
        all.push(listed(json!({"kind": "Pod", "metadata": {"namespace": "shop", "name": "sync"}})));
        let said = "curl: (6) Could not resolve host: api.psp.example";
        all.push(Input::line(at("09:00:05"), &ObjectRef::new("Pod", "shop", "sync"), "sync", said));
        all.push(fatal("09:00:10", "coredns-a"));
        let explains = only(&run(&all)).explains;
        explains.iter().any(|e| e.anchor.as_ref().is_some_and(|o| o.name == "sync"))
    };
    assert!(felt(Crashing(3)));
    assert!(!felt(Ready("08:00:00")), "the other one answers, so the name may be wrong");
}

#[test]
fn a_config_map_that_a_tool_manages_is_to_be_changed_there_too() {
    let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
    let mut helm = map(&corefile("forward . /etc/resolv.conf"));
    helm["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
    all.insert(0, listed(helm.clone()));
    all.retain(|i| !matches!(i, Input::Object { json, .. } if json["kind"] == "ConfigMap" && *json != helm));
    assert!(only(&run(&all)).remedies[0].caution.contains("Helm manages this ConfigMap"));
}

#[test]
fn a_config_map_that_k3s_writes_at_each_start_is_to_be_changed_beside_it() {
    let caution = |version: &str, owner: &str| {
        let mut all = one_looping("forward . /etc/resolv.conf", json!({}));
        for input in &mut all {
            let Input::Object { json, .. } = input else { continue };
            match json["kind"].as_str() {
                Some("Node") => json["status"]["nodeInfo"]["kubeletVersion"] = json!(version),
                Some("ConfigMap") if !owner.is_empty() => {
                    json["metadata"]["annotations"] = json!({"objectset.rio.cattle.io/owner-gvk": owner});
                }
                _ => {}
            }
        }
        only(&run(&all)).remedies[0].caution.contains("coredns-custom")
    };
    assert!(caution("v1.27.3+k3s1", ""));
    assert!(caution("v1.27.3", "k3s.cattle.io/v1, Kind=Addon"), "the node is not shown as one of k3s");
    assert!(!caution("v1.27.3", ""));
    assert!(!caution("v1.27.3+rke2r1", ""));
    assert!(!caution("v1.27.3+k3s1", "fleet.cattle.io/v1alpha1, Kind=BundleDeployment"), "Fleet's own");
}
