//! Each code of the pack on the words of kube-scheduler from 1.18 to 1.35, and a near miss each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

use kwhy_scheduling::Scheduling;
use kwhy_sdk::{
    Diagnosis, ObjectRef, parse_time,
    testkit::{Bench, Input},
};
use serde_json::{Value, json};

fn at(clock: &str) -> u64 {
    parse_time(&format!("2024-10-15T{clock}Z")).unwrap()
}

fn node(name: &str, labels: Value, spec: Value) -> Value {
    sized(name, labels, spec, "4", "16Gi", "110")
}

fn sized(name: &str, labels: Value, spec: Value, cpu: &str, memory: &str, pods: &str) -> Value {
    json!({
        "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn control_plane() -> Value {
    node(
        "cp",
        json!({}),
        json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}),
    )
}

/// A pod of Deployment web.
fn pod(name: &str, spec: Value, status: Value) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": "2024-10-15T09:00:00Z", "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": true}]},
        "spec": spec, "status": status,
    })
}

fn asks(cpu: &str, memory: &str) -> Value {
    json!({"containers": [{"name": "web", "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}}]})
}

fn pending(message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": "2024-10-15T09:00:00Z"}]})
}

fn deployment(memory: &str, replicas: i64) -> Value {
    json!({"kind": "Deployment", "metadata": {"namespace": "shop", "name": "web"}, "spec": {"replicas": replicas, "template": {"spec": asks("100m", memory)}}})
}

/// Nodes, Deployment web, and a pod of it that the scheduler could not place at 09:00.
fn waiting(nodes: &[Value], spec: Value, message: &str) -> Vec<Input> {
    let mut all: Vec<Input> = nodes.iter().map(|n| Input::listed(at("08:00:00"), n.clone())).collect();
    all.push(Input::listed(at("08:00:00"), deployment("8Gi", 1)));
    all.push(Input::listed(at("08:00:00"), json!({"kind": "ReplicaSet", "metadata": {"namespace": "shop", "name": "web-1", "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}})));
    all.push(Input::changed(at("09:00:00"), pod("web-1-a", spec, pending(message))));
    all.push(Input::event(
        at("09:00:00"),
        &ObjectRef::new("Pod", "shop", "web-1-a"),
        "FailedScheduling",
        "Warning",
        message,
        1,
    ));
    all
}

fn run(inputs: &[Input], until: &str) -> Bench<Scheduling> {
    let mut bench = Bench::new();
    bench.feed_all(inputs).unwrap();
    bench.until(at(until)).unwrap();
    bench
}

fn only(bench: &Bench<Scheduling>) -> Diagnosis {
    let all = bench.diagnoses();
    assert_eq!(
        all.len(),
        1,
        "{all:#?}\n{:#?}",
        bench.rejected("scheduling.selector-or-affinity-unsatisfiable")
    );
    assert!(all[0].evidence.iter().any(|e| e.note == "the scheduler's own words"));
    all[0].clone()
}

const FULL: &str = "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.";

#[test]
fn a_request_beyond_any_node_is_told_with_the_change_that_raised_it() {
    let nodes = [control_plane(), node("w1", json!({}), json!({})), node("w2", json!({}), json!({}))];
    let mut all = waiting(&nodes, asks("100m", "96Gi"), FULL);
    all.insert(5, Input::changed(at("08:59:58"), deployment("96Gi", 1)));
    assert!(run(&all, "09:01:59").diagnoses().is_empty(), "two minutes are no wait");
    let found = only(&run(&all, "09:02:00"));
    assert_eq!(
        (found.code.as_str(), found.root.kind.as_str(), found.root.name.as_str()),
        ("scheduling.insufficient-memory", "Deployment", "web")
    );
    assert_eq!((found.confidence, found.severity.as_str()), (97, "critical"));
    assert!(found.title.contains("96Gi") && found.title.contains("16Gi"), "{}", found.title);
    assert!(found.evidence.iter().any(|e| e.excerpt.contains("8Gi → 96Gi")), "{:#?}", found.evidence);
    assert_eq!(
        found.remedies[0].command,
        "kubectl -n shop set resources deployment web --requests=memory=8Gi --limits=memory=8Gi"
    );
    // The pod is given a node: over.
    all.push(Input::changed(
        at("09:30:00"),
        pod("web-1-a", json!({"nodeName": "w1"}), json!({"phase": "Running"})),
    ));
    assert!(run(&all, "09:30:01").diagnoses().is_empty());
}

#[test]
fn nodes_that_are_taken_are_told_from_nodes_that_are_small() {
    let mut all = vec![Input::listed(
        at("08:00:00"),
        json!({"kind": "Pod", "metadata": {"namespace": "shop", "name": "big"}, "spec": {"nodeName": "w1", "containers": [{"resources": {"requests": {"cpu": "3500m"}}}]}, "status": {"phase": "Running"}}),
    )];
    all.extend(waiting(&[node("w1", json!({}), json!({}))], asks("1", "1Gi"), "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."));
    let found = only(&run(&all, "09:05:00"));
    assert_eq!((found.code.as_str(), found.confidence), ("scheduling.insufficient-cpu", 88));
    assert!(found.evidence.iter().any(|e| e.excerpt == "cpu free: 500m"), "{:#?}", found.evidence);
    let gpu = json!({"containers": [{"name": "x", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]});
    let found = only(&run(
        &waiting(
            &[node("w1", json!({}), json!({}))],
            gpu,
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        ),
        "09:05:00",
    ));
    assert_eq!(found.code, "scheduling.insufficient-resource");
    assert!(found.title.contains("which no node offers"), "{}", found.title);
}

#[test]
fn a_wait_that_a_node_ends_within_two_minutes_says_nothing() {
    let mut all = waiting(
        &[node("w1", json!({}), json!({}))],
        asks("1", "1Gi"),
        "0/1 nodes are available: 1 Insufficient cpu.",
    );
    all.push(Input::changed(
        at("09:01:30"),
        pod("web-1-a", json!({"nodeName": "w1"}), json!({"phase": "Running"})),
    ));
    let bench = run(&all, "10:00:00");
    assert!(bench.diagnoses().is_empty() && bench.cleared().is_empty());
}

#[test]
fn an_autoscaler_that_has_promised_a_node_gets_ten_minutes() {
    let mut all = waiting(
        &[node("w1", json!({}), json!({}))],
        asks("5", "1Gi"),
        "0/1 nodes are available: 1 Insufficient cpu.",
    );
    all.push(Input::event(
        at("09:00:30"),
        &ObjectRef::new("Pod", "shop", "web-1-a"),
        "TriggeredScaleUp",
        "Normal",
        "pod triggered scale-up: [{asg 1->2 (max: 3)}]",
        1,
    ));
    assert!(run(&all, "09:10:29").diagnoses().is_empty());
    assert_eq!(run(&all, "09:10:30").diagnoses().len(), 1);
}

#[test]
fn a_taint_is_named_though_the_scheduler_of_1_35_does_not() {
    let gpu = json!({"taints": [{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]});
    for message in [
        "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
        "0/1 nodes are available: 1 node(s) had taint {dedicated: gpu}, that the pod didn't tolerate.",
    ] {
        let found = only(&run(
            &waiting(&[node("w1", json!({}), gpu.clone())], asks("1", "1Gi"), message),
            "09:05:00",
        ));
        assert_eq!(found.code, "scheduling.taint-untolerated");
        assert!(found.title.contains("dedicated=gpu"), "{}", found.title);
    }
    // A toleration for it, and the bar is another.
    let mut spec = asks("5", "1Gi");
    spec["tolerations"] =
        json!([{"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}]);
    let found = only(&run(
        &waiting(&[node("w1", json!({}), gpu)], spec, "0/1 nodes are available: 1 Insufficient cpu."),
        "09:05:00",
    ));
    assert_eq!(found.code, "scheduling.insufficient-cpu");
}

#[test]
fn a_selector_that_no_node_meets_is_told_in_every_wording() {
    for message in [
        "0/2 nodes are available: 2 node(s) didn't match node selector.",
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
    ] {
        let nodes = [control_plane(), node("w1", json!({"disk": "hdd"}), json!({}))];
        let mut spec = asks("1", "1Gi");
        spec["nodeSelector"] = json!({"disk": "ssd"});
        let found = only(&run(&waiting(&nodes, spec, message), "09:05:00"));
        assert_eq!(
            (found.code.as_str(), found.confidence),
            ("scheduling.selector-or-affinity-unsatisfiable", 95)
        );
        assert!(found.title.contains("disk=ssd"));
    }
    // Where a node meets it and lacks room, the room is what lacks.
    let nodes = [node("w1", json!({"disk": "ssd"}), json!({})), node("w2", json!({}), json!({}))];
    let mut spec = asks("5", "1Gi");
    spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}]}]}}});
    let found = only(&run(
        &waiting(
            &nodes,
            spec,
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector.",
        ),
        "09:05:00",
    ));
    assert_eq!(found.code, "scheduling.insufficient-cpu");
}

#[test]
fn siblings_that_must_not_be_near_are_the_cause_only_when_no_node_is_down() {
    let message = "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.";
    let nodes = [node("w1", json!({}), json!({})), node("w2", json!({}), json!({}))];
    assert_eq!(
        only(&run(&waiting(&nodes, asks("1", "1Gi"), message), "09:05:00")).code,
        "scheduling.selector-or-affinity-unsatisfiable"
    );
    let mut lost = node(
        "w2",
        json!({}),
        json!({"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}),
    );
    lost["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
    let message = "0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.";
    let bench =
        run(&waiting(&[node("w1", json!({}), json!({})), lost], asks("1", "1Gi"), message), "09:05:00");
    assert!(bench.diagnoses().is_empty());
    assert_eq!(
        bench.rejected("scheduling.selector-or-affinity-unsatisfiable").unwrap().because,
        "node w2 is down and would be its place"
    );
}

#[test]
fn a_node_that_goes_down_while_a_pod_waits_already_is_not_what_it_waits_for() {
    let mut later = node("w2", json!({}), json!({}));
    later["status"]["conditions"] =
        json!([{"type": "Ready", "status": "Unknown", "lastTransitionTime": "2024-10-15T09:30:00Z"}]);
    let mut all = waiting(
        &[node("w1", json!({}), json!({})), node("w2", json!({}), json!({}))],
        asks("1", "1Gi"),
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
    );
    all.push(Input::changed(at("09:30:00"), later));
    assert_eq!(only(&run(&all, "09:31:00")).code, "scheduling.selector-or-affinity-unsatisfiable");
}

#[test]
fn spread_host_port_and_number_of_pods_are_told_by_the_schedulers_words() {
    let nodes = [node("w1", json!({}), json!({}))];
    let code = |message: &str| only(&run(&waiting(&nodes, asks("1", "1Gi"), message), "09:05:00")).code;
    assert_eq!(
        code(
            "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."
        ),
        "scheduling.topology-spread"
    );
    assert_eq!(
        code("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."),
        "scheduling.host-port-conflict"
    );
    assert_eq!(code("0/1 nodes are available: 1 Too many pods."), "scheduling.too-many-pods");
}

#[test]
fn a_cordoned_node_with_room_is_what_the_pod_waits_for_and_one_without_room_is_not() {
    let closed = json!({"unschedulable": true, "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]});
    let message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.";
    let nodes = |cpu: &str| {
        [
            sized("w1", json!({}), json!({}), "1", "16Gi", "110"),
            sized("w2", json!({}), closed.clone(), cpu, "16Gi", "110"),
        ]
    };
    let found = only(&run(&waiting(&nodes("4"), asks("2", "1Gi"), message), "09:05:00"));
    assert_eq!(
        (found.code.as_str(), found.root.kind.as_str(), found.root.name.as_str()),
        ("scheduling.cordoned", "Node", "w2")
    );
    assert_eq!(found.remedies[0].command, "kubectl uncordon w2");
    assert_eq!(
        only(&run(&waiting(&nodes("1"), asks("2", "1Gi"), message), "09:05:00")).code,
        "scheduling.insufficient-cpu"
    );
}

#[test]
fn a_claim_that_is_not_bound_and_a_gated_pod_are_not_about_nodes() {
    let nodes = [node("w1", json!({}), json!({}))];
    let message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    assert!(run(&waiting(&nodes, asks("1", "1Gi"), message), "09:30:00").diagnoses().is_empty());
    let mut all = waiting(&nodes, asks("1", "1Gi"), "0/1 nodes are available: 1 Insufficient cpu.");
    all.truncate(3);
    all.push(Input::changed(at("09:00:00"), pod("web-1-a", json!({}), json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "Scheduling is blocked due to non-empty scheduling gates"}]}))));
    assert!(run(&all, "09:30:00").diagnoses().is_empty());
}

#[test]
fn without_the_nodes_the_schedulers_words_are_worth_less() {
    let found = only(&run(
        &waiting(&[], asks("1", "1Gi"), "0/3 nodes are available: 3 Insufficient cpu."),
        "09:05:00",
    ));
    assert_eq!((found.code.as_str(), found.confidence), ("scheduling.insufficient-cpu", 75));
}

/// Deployment `name` with one pod that waits as that of web does.
fn another(name: &str, spec: Value, status: Value) -> Vec<Input> {
    let own = |json: Value| {
        let text = json
            .to_string()
            .replace("web-1", &format!("{name}-1"))
            .replace("\"web\"", &format!("\"{name}\""));
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let set = json!({"kind": "ReplicaSet", "metadata": {"namespace": "shop", "name": "web-1", "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}});
    vec![
        Input::listed(at("08:00:00"), own(deployment("8Gi", 1))),
        Input::listed(at("08:00:00"), own(set)),
        Input::changed(at("09:00:05"), own(pod("web-1-a", spec, status))),
    ]
}

fn in_order(mut inputs: Vec<Input>) -> Vec<Input> {
    inputs.sort_by_key(Input::at);
    inputs
}

#[test]
fn all_that_wait_for_a_cordoned_node_are_one_finding_until_the_last_has_a_node() {
    let nodes = [
        sized("w1", json!({}), json!({}), "1", "16Gi", "110"),
        sized("w2", json!({}), json!({"unschedulable": true}), "4", "16Gi", "110"),
    ];
    let message = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.";
    let mut all = waiting(&nodes, asks("2", "1Gi"), message);
    all.extend(another("api", asks("2", "1Gi"), pending(message)));
    let mut all = in_order(all);
    let found = only(&run(&all, "09:05:00"));
    assert_eq!(found.title, "2 workloads wait for w2, which is cordoned");
    for workload in ["web", "api"] {
        let anchored = |e: &&kwhy_sdk::Explains| e.anchor.as_ref().is_some_and(|a| a.name == workload);
        assert!(found.explains.iter().any(|e| anchored(&e)), "the alerts of {workload}");
    }
    let placed = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let mut spec = asks("2", "1Gi");
    spec["nodeName"] = json!("w3");
    all.push(Input::changed(at("09:10:00"), pod("web-1-a", spec.clone(), placed.clone())));
    let bench = run(&all, "09:11:00");
    assert_eq!(only(&bench).title, "shop/api waits for w2, which is cordoned");
    assert!(bench.cleared().is_empty());
    if let Some(Input::Object { json, .. }) = another("api", spec, placed).pop() {
        all.push(Input::changed(at("09:20:00"), json));
    }
    assert!(run(&all, "09:21:00").diagnoses().is_empty());
}

#[test]
fn pods_of_which_only_events_are_known_are_told_by_them_and_forgotten_when_placed_or_silent() {
    let message =
        "0/3 nodes are available: 1 Too many pods, 2 node(s) had untolerated taint {dedicated: db}.";
    let unseen = |name: &str| ObjectRef::new("Pod", "shop", name);
    let said = |clock: &str, name: &str, reason: &str, kind: &str, message: &str| {
        Input::event(at(clock), &unseen(name), reason, kind, message, 1)
    };
    let mut all = vec![
        said("09:00:00", "web-6d4cf56db6-bcdfg", "FailedScheduling", "Warning", message),
        said("09:00:01", "web-6d4cf56db6-zz245", "FailedScheduling", "Warning", message),
    ];
    assert!(run(&all, "09:01:00").diagnoses().is_empty(), "it may have a node soon");
    let found = only(&run(&all, "09:03:00"));
    assert_eq!((found.code.as_str(), found.confidence), ("scheduling.too-many-pods", 75));
    assert_eq!((found.root.kind.as_str(), found.root.name.as_str()), ("Deployment", "web"));
    assert!(found.explanation.contains("2 pods wait"), "{}", found.explanation);
    assert!(run(&all, "10:05:00").diagnoses().is_empty(), "nothing was heard for an hour");
    for name in ["web-6d4cf56db6-bcdfg", "web-6d4cf56db6-zz245"] {
        all.push(said("09:04:00", name, "Scheduled", "Normal", "Successfully assigned"));
    }
    assert!(run(&all, "09:05:00").diagnoses().is_empty());
}

#[test]
fn words_of_an_autoscaler_do_not_hide_those_of_the_scheduler() {
    let mut all = waiting(
        &[node("w1", json!({}), json!({}))],
        asks("5", "1Gi"),
        "0/1 nodes are available: 1 Insufficient cpu.",
    );
    all.push(Input::event(
        at("09:00:30"),
        &ObjectRef::new("Pod", "shop", "web-1-a"),
        "FailedScheduling",
        "Warning",
        "Failed to schedule pod, all available instance types exceed limits for nodepool (NodePool=default)",
        1,
    ));
    let found = only(&run(&all, "09:05:00"));
    assert_eq!(found.code, "scheduling.insufficient-cpu");
    assert!(found.explanation.contains("exceed limits for nodepool"), "{}", found.explanation);
}

#[test]
fn a_volume_that_lies_elsewhere_is_told_with_claim_and_place() {
    let mut spec = asks("1", "1Gi");
    spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let zone = |zone: &str| json!({"topology.kubernetes.io/zone": zone});
    let volume = json!({"kind": "PersistentVolume", "metadata": {"name": "pv-1"}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["c"]}]}]}}}});
    let claim = json!({"kind": "PersistentVolumeClaim", "metadata": {"namespace": "shop", "name": "data"}, "spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}});
    let told = |nodes: &[Value], message: &str| {
        let mut all = waiting(nodes, spec.clone(), message);
        all.splice(0..0, [volume.clone(), claim.clone()].map(|o| Input::listed(at("08:00:00"), o)));
        only(&run(&all, "09:05:00"))
    };
    let elsewhere = told(
        &[node("w1", zone("a"), json!({}))],
        "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
    );
    assert_eq!(elsewhere.code, "scheduling.selector-or-affinity-unsatisfiable");
    assert!(elsewhere.explanation.contains("pv-1 of claim data"), "{}", elsewhere.explanation);
    // A node of the zone that has no room: the room is what lacks.
    let full = told(
        &[node("w1", zone("a"), json!({})), sized("w2", zone("c"), json!({}), "500m", "16Gi", "110")],
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had volume node affinity conflict.",
    );
    assert_eq!(full.code, "scheduling.insufficient-cpu");
}

#[test]
fn placeholders_that_give_way_are_a_remark_until_somebody_complains() {
    let nodes = [control_plane(), node("w1", json!({}), json!({})), node("w2", json!({}), json!({}))];
    let spec = |priority: i64| {
        let mut spec = asks("100m", "96Gi");
        spec["priority"] = json!(priority);
        spec
    };
    let severity = |bench: &Bench<Scheduling>| only(bench).severity;
    let all = waiting(&nodes, spec(-10), FULL);
    assert_eq!(severity(&run(&all, "09:05:00")), "info");
    assert_eq!(severity(&run(&waiting(&nodes, spec(0), FULL), "09:05:00")), "critical");
    let mut missed = all;
    let web = ObjectRef::new("Deployment", "shop", "web");
    missed.push(Input::alert(at("09:04:00"), "KubeDeploymentReplicasMismatch", &web, &[]));
    assert_eq!(severity(&run(&missed, "09:05:00")), "critical");
}

#[test]
fn who_took_the_room_of_a_pod_that_ran_is_named() {
    let nodes = [node("w1", json!({}), json!({}))];
    let other = json!({
        "kind": "Pod",
        "metadata": {"namespace": "batch", "name": "cruncher-1", "uid": "de5a6dfa-eb73", "ownerReferences": [{"kind": "Job", "name": "cruncher", "controller": true}]},
        "spec": {"nodeName": "w1", "priorityClassName": "urgent", "containers": [{"resources": {"requests": {"memory": "14Gi"}}}]},
        "status": {"phase": "Running"},
    });
    let full = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    for by in ["pod de5a6dfa-eb73", "batch/cruncher-1"] {
        let mut all = waiting(&nodes, asks("100m", "8Gi"), full);
        let former = pod("web-1-z", asks("100m", "8Gi"), json!({"phase": "Running"}));
        all.insert(3, Input::listed(at("08:00:00"), former.clone()));
        all.insert(4, Input::changed(at("08:59:00"), other.clone()));
        let victim = ObjectRef::new("Pod", "shop", "web-1-z");
        let text = format!("Preempted by {by} on node w1");
        all.insert(5, Input::event(at("08:59:00"), &victim, "Preempted", "Normal", &text, 1));
        all.insert(6, Input::deleted(at("08:59:02"), former));
        let found = only(&run(&all, "09:03:00"));
        assert_eq!(found.code, "scheduling.insufficient-memory");
        assert_eq!((found.root.kind.as_str(), found.root.name.as_str()), ("Job", "cruncher"));
        for part in ["ended pod web-1-z", "pod cruncher-1 of Job batch/cruncher (PriorityClass urgent)"] {
            assert!(found.explanation.contains(part), "{}", found.explanation);
        }
    }
}
