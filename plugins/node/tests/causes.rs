//! Each code of the pack on the words that the kubelet, the node controller and systemd write, and a near miss each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

use kwhy_node::NodePack;
use kwhy_sdk::{
    Diagnosis, Field, ObjectRef, Signal, parse_time,
    testkit::{Bench, Input},
};
use serde_json::{Value, json};

fn at(clock: &str) -> u64 {
    parse_time(&format!("2024-05-07T{clock}Z")).unwrap()
}

fn n1() -> ObjectRef {
    ObjectRef::new("Node", "", "n1")
}

/// A node with one condition of that kind, the others as they are when all is well.
fn node(
    name: &str,
    kind: &str,
    status: &str,
    since: &str,
    reason: &str,
    message: &str,
    spec: Value,
) -> Value {
    let mut all = vec![
        json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": format!("2024-05-07T{since}Z"), "lastHeartbeatTime": format!("2024-05-07T{since}Z")}),
    ];
    if kind != "Ready" {
        all.push(json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status", "lastTransitionTime": "2024-01-01T00:00:00Z"}));
    }
    json!({
        "kind": "Node", "metadata": {"name": name, "creationTimestamp": "2024-01-01T00:00:00Z"}, "spec": spec,
        "status": {"conditions": all, "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "nodeInfo": {"kubeletVersion": "v1.29.2", "containerRuntimeVersion": "containerd://1.7.13"}},
    })
}

fn well(name: &str) -> Value {
    node(name, "Ready", "True", "08:00:00", "KubeletReady", "kubelet is posting ready status", json!({}))
}

fn lost(since: &str, spec: Value) -> Value {
    node("n1", "Ready", "Unknown", since, "NodeStatusUnknown", "Kubelet stopped posting node status.", spec)
}

fn unready(message: &str) -> Value {
    node("n1", "Ready", "False", "09:00:00", "KubeletNotReady", message, json!({}))
}

/// Deployment web with pods on n1 and n2; the one on n1 is `ready` since.
fn workload(ready: &str, since: &str) -> Vec<Input> {
    let owned = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "controller": true}]);
    let pod = |name: &str, on: &str, ready: &str, since: &str| {
        json!({
            "kind": "Pod", "metadata": {"namespace": "shop", "name": name, "ownerReferences": owned("ReplicaSet", "web-1")},
            "spec": {"nodeName": on},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": format!("2024-05-07T{since}Z")}]},
        })
    };
    [
        json!({"kind": "Deployment", "metadata": {"namespace": "shop", "name": "web"}}),
        json!({"kind": "ReplicaSet", "metadata": {"namespace": "shop", "name": "web-1", "ownerReferences": owned("Deployment", "web")}}),
        pod("web-1-a", "n1", ready, since),
        pod("web-1-b", "n2", "True", "08:00:00"),
    ]
    .into_iter()
    .map(|json| Input::listed(at("08:30:00"), json))
    .collect()
}

fn kubelet(clock: &str, message: &str) -> Input {
    Input::Signal(Signal {
        id: format!("kubelet/n1/{clock}/{}", message.len()),
        source: "kubelet".into(),
        at: at(clock),
        subject: Some(n1()),
        message: message.into(),
        fields: vec![Field { name: "node".into(), value: "n1".into() }],
        ..Signal::default()
    })
}

fn run(inputs: &[Input], until: &str) -> Bench<NodePack> {
    let mut bench = Bench::new();
    bench
        .feed_all(
            [Input::listed(at("08:30:00"), well("n1")), Input::listed(at("08:30:00"), well("n2"))].iter(),
        )
        .unwrap();
    bench.feed_all(inputs).unwrap();
    bench.until(at(until)).unwrap();
    bench
}

fn only(bench: &Bench<NodePack>) -> Diagnosis {
    let all = bench.diagnoses();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0].root.kind, "Node");
    assert!(
        !all[0].remedies.is_empty() && all[0].remedies[0].command.contains("n1")
            || all[0].remedies[0].command.contains("10.0.0.1"),
        "{:?}",
        all[0].remedies
    );
    all[0].clone()
}

#[test]
fn a_node_whose_kubelet_fell_silent_is_down_after_two_minutes_and_not_before() {
    let mut all = workload("False", "09:00:00");
    all.push(Input::changed(at("09:00:00"), lost("09:00:00", json!({}))));
    all.push(Input::event(
        at("09:00:00"),
        &n1(),
        "NodeNotReady",
        "Normal",
        "Node n1 status is now: NodeNotReady",
        1,
    ));
    assert!(run(&all, "09:01:59").diagnoses().is_empty());
    let found = only(&run(&all, "09:02:00"));
    assert_eq!(
        (found.code.as_str(), found.severity.as_str(), found.confidence),
        ("node.down", "critical", 96)
    );
    for part in ["Kubelet stopped posting node status", "status is now: NodeNotReady"] {
        assert!(found.evidence.iter().any(|e| e.excerpt.contains(part)), "{part}");
    }
    assert!(found.explains.iter().any(|e| e.name == "KubePodNotReady" && e.reach == "on-node"));
    all.push(Input::changed(
        at("09:10:00"),
        node("n1", "Ready", "True", "09:10:00", "KubeletReady", "kubelet is posting ready status", json!({})),
    ));
    let bench = run(&all, "09:10:01");
    assert!(bench.diagnoses().is_empty());
    assert_eq!(bench.cleared()[0].because, "node n1 is ready since 09:10:00");
}

#[test]
fn a_blink_of_a_minute_says_nothing() {
    let all = [
        Input::changed(at("09:00:00"), lost("09:00:00", json!({}))),
        Input::changed(
            at("09:01:10"),
            node(
                "n1",
                "Ready",
                "True",
                "09:01:10",
                "KubeletReady",
                "kubelet is posting ready status",
                json!({}),
            ),
        ),
    ];
    let bench = run(&all, "09:30:00");
    assert!(bench.diagnoses().is_empty() && bench.cleared().is_empty());
}

#[test]
fn a_replacement_that_finds_no_place_is_explained_and_a_workload_that_was_ill_before_is_not() {
    let mut all = workload("False", "08:40:00");
    all.push(Input::changed(at("09:00:00"), lost("09:00:00", json!({}))));
    let found = only(&run(&all, "09:05:00"));
    assert!(
        !found.explains.iter().any(|e| e.reach == "on-node" && e.name == "KubePodNotReady"),
        "web was ill before: {:#?}",
        found.explains
    );

    let mut all = workload("False", "09:00:00");
    all.push(Input::changed(at("09:00:00"), lost("09:00:00", json!({}))));
    let stranded = ObjectRef::new("Pod", "shop", "web-1-c");
    all.push(Input::changed(at("09:05:10"), json!({
        "kind": "Pod", "metadata": {"namespace": "shop", "name": "web-1-c", "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": true}]}, "spec": {}, "status": {"phase": "Pending"},
    })));
    all.push(Input::event(at("09:05:11"), &stranded, "FailedScheduling", "Warning", "0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.", 1));
    let found = only(&run(&all, "09:06:00"));
    let anchored = found.explains.iter().find(|e| e.anchor.as_ref().is_some_and(|a| a.is(&stranded)));
    assert_eq!(anchored.map(|e| (e.name.as_str(), e.reach.as_str())), Some(("KubePodNotReady", "self")));
    assert!(found.explanation.contains("web-1-c"), "{}", found.explanation);
}

#[test]
fn half_of_a_target_down_with_half_of_the_nodes_is_the_nodes_doing_and_all_of_it_is_not() {
    let targets = |percent: &str| {
        let mut all = workload("False", "09:00:00");
        all.push(Input::changed(at("09:00:00"), lost("09:00:00", json!({}))));
        let service = ObjectRef::new("Service", "kube-system", "kubelet");
        let mut alert = Input::alert(
            at("09:10:00"),
            "TargetDown",
            &service,
            &[("job", "kubelet"), ("namespace", "kube-system")],
        );
        if let Input::Signal(signal) = &mut alert {
            signal.message =
                format!("{percent}% of the kubelet/kubelet targets in kube-system namespace are down.");
        }
        all.push(alert);
        only(&run(&all, "09:11:00")).explains.into_iter().any(|e| e.name == "TargetDown")
    };
    assert!(targets("50") && targets("49.5"));
    assert!(!targets("100"));
}

#[test]
fn an_event_or_alert_newer_than_the_status_tells_of_the_loss() {
    let event = Input::event(
        at("09:00:00"),
        &n1(),
        "NodeNotReady",
        "Normal",
        "Node n1 status is now: NodeNotReady",
        1,
    );
    let found = only(&run(std::slice::from_ref(&event), "09:03:00"));
    assert_eq!((found.code.as_str(), found.confidence), ("node.down", 85));
    let back = Input::changed(
        at("09:01:00"),
        node("n1", "Ready", "True", "09:00:30", "KubeletReady", "kubelet is posting ready status", json!({})),
    );
    assert!(run(&[event, back], "09:30:00").diagnoses().is_empty());
}

#[test]
fn a_cordoned_node_that_goes_down_is_worked_on() {
    let found = only(&run(
        &[Input::changed(at("09:00:00"), lost("09:00:00", json!({"unschedulable": true})))],
        "09:05:00",
    ));
    assert_eq!(found.severity, "info");
}

#[test]
fn a_kubelet_that_systemd_says_has_ended_is_stopped_and_says_why() {
    let all = [
        kubelet(
            "08:59:00",
            r#"E0507 08:59:00.1 77 run.go:74] "command failed" err="failed to run Kubelet: running with swap on is not supported, please disable swap or set --fail-swap-on flag to false""#,
        ),
        kubelet("08:59:01", "kubelet.service: Main process exited, code=exited, status=1/FAILURE"),
        Input::changed(at("09:00:00"), lost("09:00:00", json!({}))),
    ];
    let found = only(&run(&all, "09:03:00"));
    assert_eq!(found.code, "node.kubelet-stopped");
    assert!(found.title.contains("running with swap on is not supported"), "{}", found.title);
    assert!(found.supersedes.iter().any(|c| c == "node.down"));
    // A restart long before, by an update, is no reason.
    let all = [
        kubelet("07:00:00", "kubelet.service: Main process exited, code=killed, status=15/TERM"),
        Input::changed(at("09:00:00"), lost("09:00:00", json!({}))),
    ];
    assert_eq!(only(&run(&all, "09:03:00")).code, "node.down");
}

#[test]
fn an_expired_client_certificate_is_told_from_a_gone_machine_and_from_a_registrys_certificate() {
    let gone = Input::changed(at("09:00:00"), lost("09:00:00", json!({})));
    let line = r#"E0507 08:58:00.1 77 bootstrap.go:266] part of the existing bootstrap client certificate in /etc/kubernetes/kubelet.conf is expired: 2024-05-07 08:30:11 +0000 UTC"#;
    let found = only(&run(&[kubelet("08:58:00", line), gone.clone()], "09:03:00"));
    assert_eq!(found.code, "node.certificate-expired");
    assert!(found.explanation.contains("2024-05-07 08:30:11"), "{}", found.explanation);
    let registry = r#"E0507 08:58:00.1 77 kuberuntime_image.go:55] "Failed to pull image" err="Get \"https://registry.corp/v2/\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2024-05-07T08:58:00Z is after 2024-05-01T00:00:00Z""#;
    assert_eq!(only(&run(&[kubelet("08:58:00", registry), gone], "09:03:00")).code, "node.down");
}

#[test]
fn the_kubelets_own_word_tells_runtime_network_and_pleg_apart() {
    let code =
        |message: &str| only(&run(&[Input::changed(at("09:00:00"), unready(message))], "09:03:00")).code;
    assert_eq!(
        code(
            "[container runtime is down, PLEG is not healthy: pleg was last seen active 3m10s ago; threshold is 3m0s]"
        ),
        "node.container-runtime-down"
    );
    assert_eq!(
        code("PLEG is not healthy: pleg was last seen active 3m10.5s ago; threshold is 3m0s"),
        "node.pleg-unhealthy"
    );
    assert_eq!(
        code(
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"
        ),
        "node.cni-not-ready"
    );
    assert_eq!(
        code(
            "runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:docker: network plugin is not ready: cni config uninitialized"
        ),
        "node.cni-not-ready"
    );
    assert_eq!(code("node is shutting down"), "node.down");
}

#[test]
fn a_new_node_may_take_its_time_to_get_a_network() {
    let mut json = unready(
        "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized",
    );
    json["metadata"]["creationTimestamp"] = json!("2024-05-07T09:00:00Z");
    let all = [Input::changed(at("09:00:00"), json)];
    assert!(run(&all, "09:04:59").diagnoses().is_empty());
    assert_eq!(only(&run(&all, "09:05:00")).code, "node.cni-not-ready");
}

#[test]
fn pressure_is_the_kubelets_word_and_names_what_was_thrown_out() {
    for (kind, reason, message, code, resource) in [
        (
            "DiskPressure",
            "KubeletHasDiskPressure",
            "kubelet has disk pressure",
            "node.disk-pressure",
            "ephemeral-storage",
        ),
        (
            "MemoryPressure",
            "KubeletHasInsufficientMemory",
            "kubelet has insufficient memory available",
            "node.memory-pressure",
            "memory",
        ),
        (
            "PIDPressure",
            "KubeletHasInsufficientPID",
            "kubelet has insufficient PID available",
            "node.pid-pressure",
            "pids",
        ),
    ] {
        let mut all = workload("True", "08:00:00");
        all.push(Input::changed(
            at("09:00:00"),
            node("n1", kind, "True", "09:00:00", reason, message, json!({})),
        ));
        let found = only(&run(&all, "09:00:01"));
        assert_eq!((found.code.as_str(), found.severity.as_str()), (code, "warning"));
        let pod = ObjectRef::new("Pod", "shop", "web-1-a");
        all.push(Input::event(
            at("09:01:00"),
            &pod,
            "Evicted",
            "Warning",
            &format!("The node was low on resource: {resource}. Threshold quantity: 9, available: 8."),
            1,
        ));
        let found = only(&run(&all, "09:01:01"));
        assert_eq!(found.severity, "critical");
        assert!(found.explains.iter().any(|e| e.anchor.as_ref().is_some_and(|a| a.kind == "Deployment")));
        all.push(Input::changed(
            at("09:20:00"),
            node("n1", kind, "False", "09:20:00", "KubeletHasNo", "", json!({})),
        ));
        assert!(run(&all, "09:20:01").diagnoses().is_empty());
    }
    assert!(run(&[Input::changed(at("09:00:00"), well("n1"))], "09:10:00").diagnoses().is_empty());
}

#[test]
fn a_kill_outside_of_all_limits_is_the_nodes_and_a_containers_own_is_not() {
    let event = Input::event(
        at("09:00:00"),
        &n1(),
        "SystemOOM",
        "Warning",
        "System OOM encountered, victim process: java, pid: 4711",
        1,
    );
    let found = only(&run(&[event], "09:00:01"));
    assert_eq!(found.code, "node.kernel-oom");
    assert!(found.title.contains("java"), "{}", found.title);
    let pod = ObjectRef::new("Pod", "shop", "web-1-a");
    let mut all = workload("True", "08:00:00");
    all.push(Input::event(
        at("09:00:00"),
        &pod,
        "OOMKilling",
        "Warning",
        "Memory cgroup out of memory: Killed process 4711 (java)",
        1,
    ));
    assert!(run(&all, "09:10:00").diagnoses().is_empty());
}

#[test]
fn a_reboot_is_a_note_unless_somebody_feels_it_or_it_comes_again() {
    let reboot = |clock: &str, boot: &str| {
        Input::event(
            at(clock),
            &n1(),
            "Rebooted",
            "Warning",
            &format!("Node n1 has been rebooted, boot id: {boot}"),
            1,
        )
    };
    let found = only(&run(&[reboot("09:00:00", "a")], "09:00:01"));
    assert_eq!((found.code.as_str(), found.severity.as_str()), ("node.reboot", "info"));
    let found = only(&run(&[reboot("09:00:00", "a"), reboot("09:20:00", "b")], "09:20:01"));
    assert_eq!(found.severity, "warning");
    let mut all = workload("False", "09:00:00");
    all.push(reboot("09:00:00", "a"));
    all.push(Input::alert(at("09:16:00"), "KubePodNotReady", &ObjectRef::new("Pod", "shop", "web-1-a"), &[]));
    assert_eq!(only(&run(&all, "09:16:01")).severity, "warning");
    assert!(
        run(&[reboot("09:00:00", "a")], "09:30:00").diagnoses().is_empty(),
        "nothing is told of the node by then"
    );
}

#[test]
fn a_clock_that_is_behind_is_told_by_a_certificate_that_is_not_yet_valid() {
    let line = r#"E0507 09:00:00.1 77 kubelet_node_status.go:92] "Unable to register node with API server" err="Post \"https://10.0.0.9:6443/api/v1/nodes\": x509: certificate has expired or is not yet valid: current time 2023-05-07T09:00:00Z is before 2024-04-01T10:11:12Z" node="n1""#;
    let found = only(&run(&[kubelet("09:00:00", line)], "09:00:01"));
    assert_eq!((found.code.as_str(), found.confidence), ("node.clock-skew", 90));
    let after = line.replace("is before", "is after");
    assert!(
        run(&[kubelet("09:00:00", &after)], "09:10:00").diagnoses().is_empty(),
        "a node that is ready with an expired certificate says nothing of its clock"
    );
    let alert =
        Input::alert(at("09:00:00"), "NodeClockSkewDetected", &n1(), &[("instance", "10.0.0.1:9100")]);
    assert_eq!(only(&run(&[alert], "09:00:01")).confidence, 70);
}

#[test]
fn two_cgroup_drivers_are_told_by_the_path_that_runc_refuses() {
    let pod = ObjectRef::new("Pod", "shop", "web-1-a");
    let message = |why: &str| {
        format!(
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to create containerd task: OCI runtime create failed: {why}"
        )
    };
    let mut all = workload("False", "08:59:00");
    all.push(Input::event(at("09:00:00"), &pod, "FailedCreatePodSandBox", "Warning", &message(r#"expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/kubepods/burstable/poda668c416/64727a3e" instead: unknown"#), 3));
    assert_eq!(only(&run(&all, "09:00:01")).code, "node.cgroup-driver-mismatch");
    let mut all = workload("False", "08:59:00");
    all.push(Input::event(
        at("09:00:00"),
        &pod,
        "FailedCreatePodSandBox",
        "Warning",
        &message("runc did not terminate successfully: exit status 2: unknown"),
        3,
    ));
    assert!(run(&all, "09:10:00").diagnoses().is_empty());
    let old = r#"F0507 09:00:00.1 77 server.go:274] failed to run Kubelet: misconfiguration: kubelet cgroup driver: "cgroupfs" is different from docker cgroup driver: "systemd""#;
    let bench = run(&[kubelet("09:00:00", old)], "09:00:01");
    assert!(
        bench.standing("node.cgroup-driver-mismatch").is_some_and(|d| d.explanation.contains("cgroupfs"))
    );
}

#[test]
fn a_node_that_nobody_listed_is_known_by_its_alerts_where_no_node_was_listed_at_all() {
    let firing = Input::Signal(Signal {
        id: "alert/1".into(),
        source: "alert".into(),
        name: "KubeNodeUnreachable".into(),
        state: "firing".into(),
        at: at("09:20:00"),
        subject: Some(n1()),
        ..Signal::default()
    });
    let mut bench: Bench<NodePack> = Bench::new();
    bench.feed_all([firing.clone()].iter()).unwrap();
    bench.until(at("09:25:00")).unwrap();
    assert_eq!(only(&bench).code, "node.down");
    let mut bench: Bench<NodePack> = Bench::new();
    bench.feed_all([Input::listed(at("08:30:00"), well("n2")), firing].iter()).unwrap();
    bench.until(at("09:25:00")).unwrap();
    assert!(bench.diagnoses().is_empty(), "others were listed, so n1 is none of the cluster's");
}

#[test]
fn alerts_of_daemon_sets_that_come_with_a_node_that_nobody_listed_are_its_loss() {
    let set = ObjectRef::new("DaemonSet", "logging", "fluent-bit");
    let explained = |clock: &str, listed: bool| {
        let mut all = vec![
            Input::alert(at("09:20:00"), "KubeNodeUnreachable", &n1(), &[]),
            Input::alert(at(clock), "KubeDaemonSetRolloutStuck", &set, &[]),
        ];
        if listed {
            let json =
                json!({"kind": "DaemonSet", "metadata": {"namespace": "logging", "name": "fluent-bit"}});
            all.insert(0, Input::listed(at("08:30:00"), json));
        }
        if clock < "09:20:00" {
            all.reverse();
        }
        let mut bench: Bench<NodePack> = Bench::new();
        bench.feed_all(&all).unwrap();
        bench.until(at("09:50:00")).unwrap();
        only(&bench).explains.iter().any(|e| e.anchor.as_ref().is_some_and(|a| a.is(&set)))
    };
    assert!(explained("09:21:00", false) && explained("09:19:00", false));
    assert!(!explained("09:02:00", false), "it was stuck before the node was lost");
    assert!(!explained("09:40:00", false), "it came long after");
    assert!(!explained("09:21:00", true), "of a DaemonSet that was shown its pods tell where it runs");
}

#[test]
fn a_kubelet_that_cannot_reach_the_api_server_lives() {
    let line = r#""Error updating node status, will retry" err="error getting node \"n1\": Get \"https://10.0.0.1:6443/api/v1/nodes/n1\": dial tcp 10.0.0.1:6443: i/o timeout""#;
    let all = [
        kubelet("08:59:30", line),
        Input::changed(at("09:00:00"), lost("09:00:00", json!({}))),
        kubelet("09:01:00", line),
    ];
    let found = only(&run(&all, "09:05:00"));
    assert_eq!(found.code, "node.down");
    assert!(found.title.contains("cut off") && found.title.contains("i/o timeout"), "{}", found.title);
}

#[test]
fn a_kubelet_that_runs_again_did_not_end_for_good() {
    let all = [
        kubelet("08:50:00", "kubelet.service: Main process exited, code=exited, status=1/FAILURE"),
        kubelet("08:50:10", "Started kubelet: The Kubernetes Node Agent."),
        Input::changed(at("09:00:00"), lost("09:00:00", json!({}))),
    ];
    assert_eq!(only(&run(&all, "09:05:00")).code, "node.down");
    let stopped = [
        kubelet("08:58:00", "Stopped kubelet.service - kubelet: The Kubernetes Node Agent."),
        Input::changed(at("09:00:00"), lost("09:00:00", json!({}))),
    ];
    let found = only(&run(&stopped, "09:05:00"));
    assert_eq!((found.code.as_str(), found.confidence), ("node.kubelet-stopped", 85));
}

#[test]
fn a_node_that_an_autoscaler_takes_away_is_a_note() {
    let taint = json!({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]});
    let found = only(&run(&[Input::changed(at("09:00:00"), lost("09:00:00", taint))], "09:05:00"));
    assert_eq!(found.severity, "info");
}

#[test]
fn who_cordons_a_lost_node_did_not_mean_its_loss() {
    let spec = json!({"unschedulable": true, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2024-05-07T09:10:00Z"}]});
    let found = only(&run(&[Input::changed(at("09:12:00"), lost("09:00:00", spec))], "09:15:00"));
    assert_eq!(found.severity, "critical");
}

#[test]
fn a_plugin_that_fails_for_each_sandbox_is_a_node_without_network_though_it_is_ready() {
    let pod = |phase: &str| {
        json!({
            "kind": "Pod", "metadata": {"namespace": "shop", "name": "late"}, "spec": {"nodeName": "n1"},
            "status": {"phase": phase, "podIP": if phase == "Running" { "10.1.1.1" } else { "" }},
        })
    };
    let told = Input::event(
        at("09:00:00"),
        &ObjectRef::new("Pod", "shop", "late"),
        "FailedCreatePodSandBox",
        "Warning",
        r#"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "0f": plugin type="flannel" failed (add): open /run/flannel/subnet.env: no such file or directory"#,
        9,
    );
    let waits = [Input::listed(at("08:30:00"), pod("Pending")), told.clone()];
    let found = only(&run(&waits, "09:05:00"));
    assert_eq!(found.code, "node.cni-not-ready");
    assert!(found.title.contains("/run/flannel/subnet.env"), "{}", found.title);
    let runs =
        [Input::listed(at("08:30:00"), pod("Pending")), told, Input::changed(at("09:00:40"), pod("Running"))];
    assert!(run(&runs, "09:05:00").diagnoses().is_empty());
}

/// Ends of a kubelet at its start, each ten seconds after the one before, from `first` (a second of the day) on.
fn crash_loop(first: u64, times: u64) -> Vec<Input> {
    let clock = |at: u64| format!("{:02}:{:02}:{:02}", at / 3600, at / 60 % 60, at % 60);
    (0..times)
        .flat_map(|n| {
            let at = first + 11 * n;
            [
                kubelet(&clock(at), "Started kubelet: The Kubernetes Node Agent."),
                kubelet(
                    &clock(at + 1),
                    r#""command failed" err="failed to parse kubelet flag: unknown flag: --network-plugin""#,
                ),
                kubelet(
                    &clock(at + 1),
                    "kubelet.service: Main process exited, code=exited, status=1/FAILURE",
                ),
            ]
        })
        .collect()
}

const NINE: u64 = 9 * 3600;

#[test]
fn a_kubelet_that_ends_at_each_start_is_told_once_and_by_its_first_end() {
    let mut all = crash_loop(NINE - 60, 6);
    all.push(Input::changed(at("09:00:00"), lost("09:00:00", json!({}))));
    all.extend(crash_loop(NINE + 10, 60));
    let mut bench = run(&all, "09:12:00");
    let found = only(&bench);
    assert_eq!(found.code, "node.kubelet-stopped");
    assert!(found.explanation.contains("08:59:01"), "{}", found.explanation);
    assert!(bench.cleared().is_empty(), "no start between two ends says that it is over");
    let before = found;
    bench.feed_all(&crash_loop(NINE + 720, 3)).unwrap();
    let after = only(&bench);
    assert_eq!((before.explanation, before.evidence), (after.explanation, after.evidence));
}

#[test]
fn a_cordon_excuses_no_kubelet_that_cannot_work_by_its_own_words() {
    let cordon = json!({"unschedulable": true});
    let gone = Input::changed(at("09:00:00"), lost("09:00:00", cordon.clone()));
    let mut all = crash_loop(NINE - 60, 5);
    all.push(gone.clone());
    assert_eq!(only(&run(&all, "09:05:00")).severity, "info");
    assert_eq!(only(&run(&all, "09:10:01")).severity, "warning");
    let stopped = kubelet("08:59:30", "Stopped kubelet: The Kubernetes Node Agent.");
    assert_eq!(only(&run(&[stopped, gone], "09:10:01")).severity, "info");
}

#[test]
fn a_full_disk_that_stops_a_kubelet_is_to_be_made_free() {
    let all = [
        kubelet(
            "08:59:30",
            "\"command failed\" err=\"failed to run Kubelet: could not initialize checkpoint manager: write /var/lib/kubelet/.2841: no space left on device\"",
        ),
        Input::changed(at("09:00:00"), lost("09:00:00", json!({}))),
    ];
    assert!(only(&run(&all, "09:03:00")).remedies[0].command.contains("df -h /var/lib/kubelet"));
}

#[test]
fn who_needs_a_workload_of_a_lost_node_lacks_the_node() {
    let mut all = workload("False", "09:00:00");
    all.push(Input::changed(at("09:00:00"), lost("09:00:00", json!({}))));
    let web = ObjectRef::new("Deployment", "shop", "web");
    let missed = |d: &Diagnosis| {
        d.explains.iter().any(|e| {
            e.name == "workload.dependency-down" && e.anchor.as_ref().is_some_and(|anchor| anchor.is(&web))
        })
    };
    assert!(missed(&only(&run(&all, "09:02:00"))));
    let mut ill_before = workload("False", "08:40:00");
    ill_before.push(Input::changed(at("09:00:00"), lost("09:00:00", json!({}))));
    assert!(!missed(&only(&run(&ill_before, "09:02:00"))));
}

#[test]
fn each_plugin_that_has_no_address_left_is_helped_in_its_own_way() {
    let remedy = |why: &str| {
        let pod = json!({
            "kind": "Pod", "metadata": {"namespace": "shop", "name": "late"}, "spec": {"nodeName": "n1"},
            "status": {"phase": "Pending"},
        });
        let id = ObjectRef::new("Pod", "shop", "late");
        let message = format!(
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"0f\": plugin type=\"x\" failed (add): {why}"
        );
        let told = Input::event(at("09:00:00"), &id, "FailedCreatePodSandBox", "Warning", &message, 9);
        let bench = run(&[Input::listed(at("08:30:00"), pod), told], "09:05:00");
        let found = bench.diagnoses()[0].clone();
        (found.title, found.remedies[0].command.clone())
    };
    for (why, command) in [
        (
            "failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses; No more free affine blocks and strict affinity enabled",
            "calicoctl ipam show",
        ),
        ("add cmd: failed to assign an IP address to container", "daemonset/aws-node"),
        (
            "failed to allocate for range 0: no IP addresses available in range set: 10.244.1.1-10.244.1.254",
            "/var/lib/cni/networks",
        ),
    ] {
        let (title, done) = remedy(why);
        assert!(title.contains("no address left") && done.contains(command), "{title}: {done}");
    }
}

#[test]
fn a_disk_without_inodes_and_the_greediest_container_are_named() {
    let pod = ObjectRef::new("Pod", "shop", "web-1-a");
    let thrown = |message: &str| Input::event(at("09:01:00"), &pod, "Evicted", "Warning", message, 1);
    let short = |kind: &str, reason: &str| {
        let mut all = workload("True", "08:00:00");
        all.push(Input::changed(at("09:00:00"), node("n1", kind, "True", "09:00:00", reason, "", json!({}))));
        all
    };
    let mut all = short("DiskPressure", "KubeletHasDiskPressure");
    all.push(thrown("The node was low on resource: inodes. Threshold quantity: 1310720, available: 61022."));
    let found = only(&run(&all, "09:01:01"));
    assert!(found.explanation.contains("inodes") && found.remedies[0].command.contains("df -i"));
    let mut all = short("DiskPressure", "KubeletHasDiskPressure");
    all.push(thrown("The node was low on resource: ephemeral-storage. Threshold quantity: 9, available: 8."));
    assert!(!only(&run(&all, "09:01:01")).explanation.contains("inodes"));
    let mut all = short("MemoryPressure", "KubeletHasInsufficientMemory");
    all.push(thrown("The node was low on resource: memory. Threshold quantity: 100Mi, available: 77256Ki. Container app was using 27730808Ki, request is 64Mi, has larger consumption of memory."));
    let found = run(&all, "09:01:01").diagnoses()[0].clone();
    assert!(found.remedies[0].text.contains("container app of Deployment shop/web"));
    assert!(found.explains.iter().any(|e| e.name == "workload.real-churn"));
}

#[test]
fn restarts_by_a_boot_are_the_boots_and_later_ones_are_not() {
    let ended = |at: &str| {
        json!({
            "kind": "Pod", "metadata": {"namespace": "shop", "name": "a"}, "spec": {"nodeName": "n1"},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "a", "restartCount": 2, "state": {"running": {"startedAt": "2024-05-07T09:21:00Z"}},
                "lastState": {"terminated": {"exitCode": 255, "reason": "Unknown", "finishedAt": format!("2024-05-07T{at}Z")}},
            }]},
        })
    };
    let boot = Input::event(
        at("09:00:00"),
        &n1(),
        "Rebooted",
        "Warning",
        "Node n1 has been rebooted, boot id: a",
        1,
    );
    let own = |end: &str| {
        let found = only(&run(&[Input::listed(at("08:30:00"), ended(end)), boot.clone()], "09:00:01"));
        found.explains.iter().any(|e| e.name == "KubePodCrashLooping")
    };
    assert!(own("08:59:40") && !own("09:20:50"));
}

#[test]
fn the_runtimes_unit_is_read_from_its_socket_where_no_node_was_shown() {
    for (socket, unit) in [
        ("/var/run/crio/crio.sock", "-u crio "),
        ("/run/k3s/containerd/containerd.sock", "-u k3s-agent "),
        ("/var/snap/microk8s/common/run/containerd.sock", "-u snap.microk8s.daemon-containerd "),
        ("/run/containerd/containerd.sock", "-u containerd "),
    ] {
        let words = format!(
            r#""Status from runtime service failed" err="rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing dial unix {socket}: connect: no such file or directory\"""#
        );
        let all: Vec<Input> = ["09:00", "09:02", "09:04", "09:06"]
            .iter()
            .map(|m| kubelet(&format!("{m}:00"), &words))
            .collect();
        let mut bench = Bench::<NodePack>::new();
        bench.feed_all(&all).unwrap();
        bench.until(at("09:06:30")).unwrap();
        let found = only(&bench);
        assert_eq!(found.code, "node.container-runtime-down");
        assert!(found.remedies[0].command.contains(unit), "{}", found.remedies[0].command);
    }
}

#[test]
fn a_node_for_which_no_range_is_left_says_so_and_one_that_has_its_range_does_not() {
    let late = json!({
        "kind": "Pod", "metadata": {"namespace": "shop", "name": "late"}, "spec": {"nodeName": "n1"},
        "status": {"phase": "Pending"},
    });
    let refused = |spec: Value, own: Value| {
        let node = node(
            "n1",
            "Ready",
            own["ready"].as_str().unwrap(),
            "08:50:00",
            "KubeletReady",
            own["message"].as_str().unwrap(),
            spec,
        );
        let all = [
            Input::changed(at("08:50:00"), node),
            Input::listed(at("08:50:00"), late.clone()),
            Input::event(
                at("08:59:00"),
                &n1(),
                "CIDRNotAvailable",
                "Normal",
                "Node n1 status is now: CIDRNotAvailable",
                3,
            ),
            Input::event(
                at("09:00:00"),
                &ObjectRef::new("Pod", "shop", "late"),
                "FailedCreatePodSandBox",
                "Warning",
                r#"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "0f": plugin type="flannel" failed (add): loadFlannelSubnetEnv failed: open /run/flannel/subnet.env: no such file or directory"#,
                9,
            ),
        ];
        only_of(&run(&all, "09:05:00"))
    };
    let ready = json!({"ready": "True", "message": "kubelet is posting ready status"});
    let unready = json!({"ready": "False", "message": "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"});
    for own in [ready.clone(), unready] {
        let found = refused(json!({}), own);
        assert_eq!(found.code, "node.cni-not-ready");
        assert!(found.title.contains("no range of addresses left"), "{}", found.title);
        assert!(found.remedies[0].text.contains("--cluster-cidr") && found.remedies.len() == 1);
    }
    assert!(!refused(json!({"podCIDR": "10.244.3.0/24"}), ready).title.contains("no range"));
}

fn only_of(bench: &Bench<NodePack>) -> Diagnosis {
    let all = bench.diagnoses();
    assert_eq!(all.len(), 1, "{all:#?}");
    all[0].clone()
}

#[test]
fn a_disk_that_fills_up_is_told_before_it_is_pressure_where_it_is_measured_too() {
    let vain = Input::event(
        at("09:30:00"),
        &n1(),
        "ImageGCFailed",
        "Warning",
        "Failed to garbage collect required amount of images. Attempted to free 9123456512 bytes, but only found 0 bytes eligible to free.",
        5,
    );
    let measured = Input::alert(at("09:20:00"), "NodeFilesystemSpaceFillingUp", &n1(), &[]);
    let found = only(&run(&[measured.clone(), vain.clone()], "09:31:00"));
    assert_eq!((found.code.as_str(), found.severity.as_str()), ("node.disk-pressure", "warning"));
    assert!(found.title.contains("fills up"), "{}", found.title);
    assert!(run(&[vain], "09:31:00").diagnoses().is_empty(), "nothing measures it");
    assert!(run(&[measured], "09:31:00").diagnoses().is_empty(), "the kubelet finds enough to remove");
}

/// One of so many pods of StatefulSet monitoring/prometheus-k8s, which the operator's own object owns.
fn prometheus(ordinal: u32, on: &str, ready: &str) -> Value {
    let owner = json!([{"kind": "StatefulSet", "name": "prometheus-k8s", "controller": true}]);
    json!({
        "kind": "Pod", "metadata": {"namespace": "monitoring", "name": format!("prometheus-k8s-{ordinal}"), "ownerReferences": owner},
        "spec": {"nodeName": on},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2024-05-07T09:00:00Z"}]},
    })
}

#[test]
fn alerting_falls_silent_with_the_node_that_took_all_of_a_part_of_it_and_not_with_one_of_two() {
    let owner = json!([{"kind": "Prometheus", "name": "k8s", "controller": true}]);
    let set = json!({"kind": "StatefulSet", "metadata": {"namespace": "monitoring", "name": "prometheus-k8s", "ownerReferences": owner}});
    let silenced = |pods: &[Value]| {
        let mut all: Vec<Input> =
            pods.iter().chain([&set]).map(|json| Input::listed(at("08:30:00"), json.clone())).collect();
        all.push(Input::changed(at("09:00:00"), lost("09:00:00", json!({}))));
        let found = only(&run(&all, "09:02:00"));
        found.explains.iter().any(|e| e.name == "monitoring.watchdog-missing")
    };
    assert!(silenced(&[prometheus(0, "n1", "False")]));
    assert!(!silenced(&[prometheus(0, "n1", "False"), prometheus(1, "n2", "True")]));
}

fn said_by_network(clock: &str, message: &str) -> Input {
    Input::Signal(Signal {
        id: format!("log/flannel/{clock}"),
        source: "log".into(),
        at: at(clock),
        subject: Some(ObjectRef::new("Pod", "kube-flannel", "kube-flannel-ds-w8h7r")),
        message: message.into(),
        ..Signal::default()
    })
}

#[test]
fn a_networks_pod_says_itself_why_it_does_not_come() {
    let owner = json!([{"kind": "DaemonSet", "name": "kube-flannel-ds", "controller": true}]);
    let pod = json!({
        "kind": "Pod", "metadata": {"namespace": "kube-flannel", "name": "kube-flannel-ds-w8h7r", "ownerReferences": owner},
        "spec": {"nodeName": "n1", "volumes": [{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2024-05-07T09:00:00Z"}]},
    });
    let with = |line: Option<&str>| {
        let mut all = vec![
            Input::listed(at("08:30:00"), pod.clone()),
            Input::changed(
                at("09:00:00"),
                unready(
                    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized",
                ),
            ),
        ];
        all.extend(line.map(|line| said_by_network("09:01:00", line)));
        only_of(&run(&all, "09:06:00"))
    };
    let no_range = r#"E0507 09:01:00.950000       1 main.go:332] Error registering network: failed to acquire lease: node "n1" pod cidr not assigned"#;
    let found = with(Some(no_range));
    assert!(found.evidence.iter().any(|e| e.excerpt == no_range));
    assert!(found.remedies[0].text.contains("--allocate-node-cidrs"), "{:?}", found.remedies);
    let no_interface = "E0507 09:01:00.950000       1 main.go:268] Failed to find any valid interface to use: failed to get default v4 interface";
    let found = with(Some(no_interface));
    assert!(found.evidence.iter().any(|e| e.excerpt == no_interface));
    assert!(!found.remedies[0].text.contains("--allocate-node-cidrs"));
    let well = "I0507 09:01:00.900000       1 kube.go:152] Node controller sync successful";
    assert_eq!(with(Some(well)).evidence.len(), with(None).evidence.len());
}

#[test]
fn a_complaint_that_is_repeated_is_cited_by_its_first_line() {
    let said = |minute: u32, code: u32| {
        let clock = format!("09:{minute:02}:00");
        kubelet(
            &clock,
            &format!(
                r#"E0507 {clock}.{code} 911 controller.go:195] "Failed to update lease" err="Unauthorized""#
            ),
        )
    };
    let mut all = vec![Input::changed(at("09:00:40"), lost("09:00:40", json!({})))];
    all.extend((1..14).map(|minute| said(minute, 1000 + minute)));
    let found = only(&run(&all, "09:14:00"));
    let lines: Vec<_> = found.evidence.iter().filter(|e| e.excerpt.contains("Unauthorized")).collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].excerpt.contains("09:01:00"), "{}", lines[0].excerpt);
    assert!(lines[0].note.contains("at least 10 such lines"), "{}", lines[0].note);
    // One that was said long before is another matter.
    all.insert(
        0,
        kubelet(
            "08:45:00",
            r#"E0507 08:45:00.100000 911 controller.go:195] "Failed to update lease" err="Unauthorized""#,
        ),
    );
    let found = only(&run(&all, "09:14:00"));
    assert!(found.evidence.iter().any(|e| e.excerpt.contains("09:01:00")));
}

#[test]
fn a_table_of_connections_that_is_full_is_told_while_it_drops_packets() {
    let line = |clock: &str| kubelet(clock, "nf_conntrack: nf_conntrack: table full, dropping packet");
    let mut all = workload("False", "09:01:00");
    all.extend([line("09:00:00"), line("09:00:02"), line("09:03:00")]);
    let found = only(&run(&all, "09:03:01"));
    assert_eq!((found.code.as_str(), found.severity.as_str()), ("node.conntrack-full", "critical"));
    let weak = |found: &Diagnosis| found.explains.iter().any(|e| e.name == "workload.readiness-failing");
    assert!(weak(&found));
    assert!(run(&all, "09:40:00").diagnoses().is_empty(), "it was long ago");
    let measured = Input::alert(at("09:00:00"), "NodeHighNumberConntrackEntriesUsed", &n1(), &[]);
    let found = only(&run(&[measured], "09:00:01"));
    assert_eq!((found.severity.as_str(), weak(&found)), ("warning", false));
    let event = Input::event(at("09:00:00"), &n1(), "ConntrackFull", "Warning", "Conntrack table full", 1);
    assert!(only(&run(&[event], "09:00:01")).title.contains("is full"));
    let newer = kubelet("09:00:00", "nf_conntrack: table full in netns 4026531840, dropping packet");
    assert!(only(&run(&[newer], "09:00:01")).title.contains("is full"));
}
