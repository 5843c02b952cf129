//! Each code of the pack on the words of the volume binder, the attach controller, the kubelet and programs that find no
//! space, and a near miss each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

use kwhy_sdk::{
    Diagnosis, Field, ObjectRef, Signal, parse_time,
    testkit::{Bench, Input},
};
use kwhy_storage::Storage;
use serde_json::{Value, json};

fn at(clock: &str) -> u64 {
    parse_time(&format!("2024-03-28T{clock}Z")).unwrap()
}

fn claim_ref() -> ObjectRef {
    ObjectRef::new("PersistentVolumeClaim", "db", "data-pg-0")
}

fn pod_ref() -> ObjectRef {
    ObjectRef::new("Pod", "db", "pg-0")
}

fn class(name: &str, mode: &str) -> Input {
    Input::listed(
        at("08:00:00"),
        json!({"kind": "StorageClass", "metadata": {"name": name}, "provisioner": "csi.example.com", "volumeBindingMode": mode}),
    )
}

fn claim(spec: Value, phase: &str) -> Value {
    json!({"kind": "PersistentVolumeClaim", "metadata": {"namespace": "db", "name": "data-pg-0", "creationTimestamp": "2024-03-28T09:00:00Z"}, "spec": spec, "status": {"phase": phase}})
}

/// Pod pg-0 of StatefulSet pg on node n1, with the claim at /var/lib/postgresql/data.
fn pod(status: Value) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"namespace": "db", "name": "pg-0", "uid": "11111111-2222-3333-4444-555555555555", "ownerReferences": [{"kind": "StatefulSet", "name": "pg", "controller": true}]},
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "pg", "image": "postgres:16", "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}, {"name": "tmp", "mountPath": "/tmp"}]}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-pg-0"}}, {"name": "tmp", "emptyDir": {}}],
        },
        "status": status,
    })
}

fn creating() -> Value {
    json!({"phase": "Pending", "containerStatuses": [{"name": "pg", "state": {"waiting": {"reason": "ContainerCreating"}}}]})
}

fn running() -> Value {
    json!({"phase": "Running", "containerStatuses": [{"name": "pg", "state": {"running": {}}}]})
}

fn base(status: Value) -> Vec<Input> {
    vec![
        Input::listed(
            at("08:00:00"),
            json!({"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.18.2"}}}),
        ),
        Input::listed(
            at("08:00:00"),
            json!({"kind": "StatefulSet", "metadata": {"namespace": "db", "name": "pg"}}),
        ),
        Input::listed(at("08:00:00"), pod(status)),
    ]
}

fn run(inputs: &[Input], until: &str) -> Bench<Storage> {
    let mut bench = Bench::new();
    bench.feed_all(inputs).unwrap();
    bench.until(at(until)).unwrap();
    bench
}

fn only(bench: &Bench<Storage>) -> Diagnosis {
    let all = bench.diagnoses();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(!all[0].remedies.is_empty() && !all[0].evidence.is_empty());
    all[0].clone()
}

fn told(reason: &str, kind: &str, message: &str) -> Input {
    Input::event(at("09:00:01"), &claim_ref(), reason, kind, message, 3)
}

#[test]
fn a_class_that_does_not_exist_is_missed_by_all_who_name_it_and_gone_when_it_is_made() {
    let mut all = vec![class("local-path", "WaitForFirstConsumer")];
    all.extend(base(json!({"phase": "Pending"})));
    all.push(Input::changed(at("09:00:00"), claim(json!({"storageClassName": "fast"}), "Pending")));
    all.push(told("ProvisioningFailed", "Warning", r#"storageclass.storage.k8s.io "fast" not found"#));
    let found = only(&run(&all, "09:00:02"));
    assert_eq!(
        (found.code.as_str(), found.root.kind.as_str(), found.root.name.as_str(), found.confidence),
        ("storage.pvc-no-class", "StorageClass", "fast", 97)
    );
    assert!(found.evidence.iter().any(|e| e.excerpt.contains(r#""fast" not found"#)));
    assert!(found.explains.iter().any(|e| e.name == "KubePodNotReady" && e.reach == "users"));
    assert!(found.remedies.iter().any(|r| r.command.contains("delete pvc data-pg-0")));
    all.push(Input::changed(at("09:30:00"), json!({"kind": "StorageClass", "metadata": {"name": "fast"}, "provisioner": "x", "volumeBindingMode": "WaitForFirstConsumer"})));
    assert!(run(&all, "09:30:01").diagnoses().is_empty());
}

#[test]
fn a_claim_that_waits_for_its_first_consumer_is_right() {
    let mut all = vec![class("local-path", "WaitForFirstConsumer")];
    all.push(Input::changed(at("09:00:00"), claim(json!({"storageClassName": "local-path"}), "Pending")));
    all.push(told(
        "WaitForFirstConsumer",
        "Normal",
        "waiting for first consumer to be created before binding",
    ));
    let bench = run(&all, "11:00:00");
    assert!(bench.diagnoses().is_empty() && bench.cleared().is_empty());
}

#[test]
fn a_class_that_is_only_a_name_for_volumes_made_by_hand_is_not_missed() {
    let all = [
        class("local-path", "WaitForFirstConsumer"),
        Input::listed(
            at("08:00:00"),
            json!({"kind": "PersistentVolume", "metadata": {"name": "nfs-1"}, "spec": {"storageClassName": "manual"}, "status": {"phase": "Available"}}),
        ),
        Input::changed(at("09:00:00"), claim(json!({"storageClassName": "manual"}), "Pending")),
    ];
    assert!(run(&all, "09:30:00").diagnoses().is_empty());
}

#[test]
fn a_claim_without_class_or_volume_is_told_after_three_minutes() {
    let mut all = vec![
        class("local-path", "Immediate"),
        Input::changed(
            at("09:00:00"),
            claim(json!({"resources": {"requests": {"storage": "5Gi"}}}), "Pending"),
        ),
    ];
    all.push(told(
        "FailedBinding",
        "Normal",
        "no persistent volumes available for this claim and no storage class is set",
    ));
    assert!(run(&all, "09:02:59").diagnoses().is_empty());
    let found = only(&run(&all, "09:03:00"));
    assert_eq!((found.code.as_str(), found.root.name.as_str()), ("storage.pvc-unbound", "data-pg-0"));
    assert!(found.title.contains("no default"), "{}", found.title);
    all.push(Input::changed(at("09:10:00"), claim(json!({"volumeName": "pv-1"}), "Bound")));
    assert!(run(&all, "09:10:01").diagnoses().is_empty());
}

#[test]
fn a_provisioner_that_fails_or_is_silent_is_named() {
    let made = |reason: &str, message: &str| {
        let all = [
            class("fast", "Immediate"),
            Input::changed(at("09:00:00"), claim(json!({"storageClassName": "fast"}), "Pending")),
            told(reason, "Warning", message),
        ];
        only(&run(&all, "09:05:00"))
    };
    let found = made(
        "ProvisioningFailed",
        r#"failed to provision volume with StorageClass "fast": rpc error: code = ResourceExhausted desc = pool is full"#,
    );
    assert!(found.title.ends_with("pool is full") && found.confidence == 92, "{}", found.title);
    let found = made(
        "ExternalProvisioning",
        "Waiting for a volume to be created either by the external provisioner 'csi.example.com' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
    );
    assert!(found.title.contains("csi.example.com does not answer"), "{}", found.title);
    let all = [
        class("fast", "Immediate"),
        Input::changed(
            at("09:00:00"),
            claim(json!({"storageClassName": "fast", "volumeName": "pv-9"}), "Lost"),
        ),
    ];
    assert_eq!(only(&run(&all, "09:00:01")).severity, "critical");
}

const MULTI: &str = r#"Multi-Attach error for volume "pv-9" Volume is already used by pod(s) pg-1"#;

#[test]
fn a_volume_that_another_node_holds_is_told_unless_that_node_is_down() {
    let other = |ready: &str| {
        let mut all = base(creating());
        all.push(Input::listed(at("08:00:00"), claim(json!({"volumeName": "pv-9"}), "Bound")));
        all.push(Input::listed(at("08:00:00"), json!({"kind": "Node", "metadata": {"name": "n2"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})));
        all.push(Input::listed(at("08:00:00"), json!({"kind": "Pod", "metadata": {"namespace": "db", "name": "pg-1"}, "spec": {"nodeName": "n2", "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-pg-0"}}]}})));
        all.push(Input::event(at("09:00:00"), &pod_ref(), "FailedAttachVolume", "Warning", MULTI, 1));
        run(&all, "09:02:00")
    };
    let found = only(&other("True"));
    assert_eq!((found.code.as_str(), found.root.kind.as_str()), ("storage.multi-attach", "StatefulSet"));
    assert!(found.title.contains("n2") && found.explanation.contains("pg-1"), "{}", found.title);
    let bench = other("Unknown");
    assert!(bench.diagnoses().is_empty());
    assert!(bench.rejected("storage.multi-attach").unwrap().because.contains("n2, which is down"));
}

#[test]
fn a_mount_that_fails_for_two_minutes_is_told_and_one_that_works_then_is_not() {
    let message = r#"MountVolume.SetUp failed for volume "data" : mount failed: exit status 32"#;
    let mut all = base(creating());
    all.push(Input::event(at("09:00:00"), &pod_ref(), "FailedMount", "Warning", message, 1));
    assert!(run(&all, "09:01:59").diagnoses().is_empty());
    let found = only(&run(&all, "09:02:00"));
    assert_eq!(found.code, "storage.mount-failed");
    assert!(found.explanation.contains("mount failed: exit status 32"), "{}", found.explanation);
    all.push(Input::changed(at("09:01:00"), pod(running())));
    assert!(run(&all, "09:30:00").diagnoses().is_empty());
}

#[test]
fn a_missing_config_map_and_a_kubelet_that_is_new_to_it_are_not_about_storage() {
    for message in [
        r#"MountVolume.SetUp failed for volume "config" : configmap "pg-config" not found"#,
        r#"MountVolume.SetUp failed for volume "kube-api-access-x" : object "db"/"kube-root-ca.crt" not registered"#,
        r#"MountVolume.SetUp failed for volume "tls" : secret "pg-tls" not found"#,
    ] {
        let mut all = base(creating());
        all.push(Input::event(at("09:00:00"), &pod_ref(), "FailedMount", "Warning", message, 9));
        assert!(run(&all, "09:30:00").diagnoses().is_empty(), "{message}");
    }
}

#[test]
fn a_driver_that_is_not_on_the_node_is_named_in_both_wordings() {
    for (reason, message) in [
        (
            "FailedMount",
            r#"MountVolume.MountDevice failed for volume "pv-9" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name driver.longhorn.io not found in the list of registered CSI drivers"#,
        ),
        (
            "FailedAttachVolume",
            r#"AttachVolume.Attach failed for volume "pv-9" : CSINode n1 does not contain driver driver.longhorn.io"#,
        ),
    ] {
        let mut all = base(creating());
        all.push(Input::event(at("09:00:00"), &pod_ref(), reason, "Warning", message, 4));
        let found = only(&run(&all, "09:02:00"));
        assert_eq!(found.code, "storage.csi-missing");
        assert_eq!(found.title, "The storage driver driver.longhorn.io is not on node n1");
    }
}

#[test]
fn setting_the_group_of_every_file_is_slow_by_the_event_or_by_the_kubelets_line() {
    let event = "Setting volume ownership for 11111111-2222-3333-4444-555555555555/volumes/kubernetes.io~csi/pv-9/mount is taking longer than expected, consider using OnRootMismatch - https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#configure-volume-permission-and-ownership-change-policy-for-pods";
    let mut all = base(creating());
    all.push(Input::event(
        at("09:00:00"),
        &pod_ref(),
        "VolumePermissionChangeInProgress",
        "Warning",
        event,
        1,
    ));
    let found = only(&run(&all, "09:02:00"));
    assert_eq!(found.code, "storage.volume-ownership-slow");
    assert!(found.remedies[0].command.contains("OnRootMismatch"));
    let mut all = base(creating());
    all.push(ownership("09:00:00", "11111111-2222-3333-4444-555555555555", "kubernetes.io~csi/pv-9/mount"));
    assert_eq!(only(&run(&all, "09:02:00")).code, "storage.volume-ownership-slow");
    let mut all = base(running());
    all.push(ownership("09:00:00", "11111111-2222-3333-4444-555555555555", "kubernetes.io~csi/pv-9/mount"));
    assert!(run(&all, "09:30:00").diagnoses().is_empty(), "its containers run");
}

fn ownership(clock: &str, uid: &str, volume: &str) -> Input {
    let text = format!(
        "Setting volume ownership for /var/lib/kubelet/pods/{uid}/volumes/{volume} and fsGroup set. If the volume has a lot of files then setting volume ownership could be slow, see https://github.com/kubernetes/kubernetes/issues/69699"
    );
    Input::Signal(Signal {
        id: format!("kubelet/n1/{clock}/{uid}/{volume}"),
        source: "kubelet".into(),
        at: at(clock),
        subject: Some(ObjectRef::new("Node", "", "n1")),
        message: text,
        fields: vec![Field { name: "node".into(), value: "n1".into() }],
        ..Signal::default()
    })
}

/// pg-0 was deleted at 09:00:00 with half a minute of grace.
fn deleted(status: Value) -> Value {
    let mut pod = pod(status);
    pod["metadata"]["deletionTimestamp"] = json!("2024-03-28T09:00:30Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    pod
}

fn ended() -> Value {
    json!({"phase": "Running", "containerStatuses": [{"name": "pg", "state": {"terminated": {"exitCode": 0}}}]})
}

#[test]
fn a_pod_that_is_over_and_stays_waits_for_its_volume_unless_something_else_holds_it() {
    let say = |pod: Value, more: &[Input], until: &str| {
        let mut all = base(running());
        all.push(Input::listed(at("08:00:00"), claim(json!({"volumeName": "pv-9"}), "Bound")));
        all.push(Input::changed(at("09:00:00"), pod));
        all.extend_from_slice(more);
        run(&all, until)
    };
    assert!(say(deleted(ended()), &[], "09:10:29").diagnoses().is_empty());
    let found = only(&say(deleted(ended()), &[], "09:10:31"));
    assert_eq!((found.code.as_str(), found.confidence), ("storage.unmount-failed", 60));
    assert!(found.remedies.iter().any(|r| r.command.contains("--force") && !r.caution.is_empty()));
    let mut held = deleted(ended());
    held["metadata"]["finalizers"] = json!(["example.com/cleanup"]);
    let kill = Input::event(at("09:02:00"), &pod_ref(), "FailedKillPod", "Warning", "error killing pod", 3);
    let away = json!({"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    for (what, pod, more) in [
        ("its containers run", deleted(running()), vec![]),
        ("a finalizer holds it", held, vec![]),
        ("its sandbox does not go", deleted(ended()), vec![kill]),
        ("its node is lost", deleted(ended()), vec![Input::changed(at("09:00:10"), away)]),
    ] {
        assert!(say(pod, &more, "09:30:00").diagnoses().is_empty(), "{what}");
    }
    let gone = Input::changed(at("09:20:00"), pod(running()));
    assert!(say(deleted(ended()), &[gone], "09:20:01").diagnoses().is_empty(), "a new pod has come");
}

#[test]
fn the_same_uids_again_and_again_are_noise_and_no_finding_that_pages() {
    let mut all = base(running());
    let lines = (0..12).map(|i| {
        ownership(
            &format!("09:{:02}:{:02}", i * 70 / 60, i * 70 % 60),
            "11111111-2222-3333-4444-555555555555",
            "kubernetes.io~secret/token",
        )
    });
    all.extend(lines);
    let found = only(&run(&all, "09:30:00"));
    assert_eq!(
        (found.code.as_str(), found.severity.as_str(), found.root.name.as_str()),
        ("storage.volume-ownership-noise", "info", "n1")
    );
    assert!(found.title.starts_with("Not churn"));
    assert!(found.evidence.iter().any(|e| e.weight < 0), "evidence against churn");
    assert!(found.explains.is_empty());
}

#[test]
fn new_uids_all_the_time_or_pods_that_end_are_no_noise() {
    let mut all = base(running());
    all.extend((0..12).map(|i| {
        ownership(
            &format!("09:{i:02}:00"),
            &format!("{i:08}-2222-3333-4444-555555555555"),
            "kubernetes.io~secret/token",
        )
    }));
    assert!(run(&all, "09:30:00").diagnoses().is_empty());
    let mut all = base(running());
    all.push(ownership("09:00:00", "11111111-2222-3333-4444-555555555555", "kubernetes.io~secret/token"));
    all.push(Input::event(at("09:01:00"), &pod_ref(), "Killing", "Normal", "Stopping container pg", 1));
    all.extend((1..6).map(|i| {
        ownership(
            &format!("09:{:02}:00", i + 1),
            "11111111-2222-3333-4444-555555555555",
            "kubernetes.io~secret/token",
        )
    }));
    let bench = run(&all, "09:30:00");
    assert!(bench.diagnoses().is_empty());
    assert!(bench.rejected("storage.volume-ownership-noise").is_some());
}

fn full(message: &str) -> Vec<Input> {
    let mut all = base(running());
    all.push(Input::listed(
        at("08:00:00"),
        claim(json!({"volumeName": "pv-9", "resources": {"requests": {"storage": "20Gi"}}}), "Bound"),
    ));
    all.push(Input::line(at("09:00:00"), &pod_ref(), "pg", message));
    all
}

#[test]
fn no_space_on_the_path_of_a_claim_is_a_full_volume_and_elsewhere_it_is_not() {
    for message in [
        r#"2024-03-28 09:00:00.1 UTC [77] PANIC:  could not write to file "pg_wal/xlogtemp.29": No space left on device"#,
        "open /var/lib/postgresql/data/base/1/2: no space left on device",
    ] {
        let found = only(&run(&full(message), "09:00:01"));
        assert_eq!(
            (found.code.as_str(), found.root.name.as_str(), found.severity.as_str()),
            ("storage.volume-full", "data-pg-0", "critical")
        );
        assert!(found.explanation.contains("20Gi"));
    }
    assert!(
        run(&full("write /tmp/sort.1: no space left on device"), "09:00:01").diagnoses().is_empty(),
        "an emptyDir is the node's disk"
    );
}

#[test]
fn an_alert_of_three_per_cent_is_almost_full_and_a_forecast_is_not() {
    let alert = |severity: &str| {
        let mut all = full("checkpoint complete");
        all.push(Input::alert(
            at("09:10:00"),
            "KubePersistentVolumeFillingUp",
            &claim_ref(),
            &[("severity", severity)],
        ));
        run(&all, "09:10:01")
    };
    let found = only(&alert("critical"));
    assert_eq!((found.confidence, found.severity.as_str()), (70, "warning"));
    assert!(alert("warning").diagnoses().is_empty());
}

#[test]
fn an_nfs_server_that_does_not_answer_is_named() {
    let mut all = base(creating());
    all.push(Input::listed(at("08:00:00"), claim(json!({"volumeName": "pv-9"}), "Bound")));
    all.push(Input::listed(
        at("08:00:00"),
        json!({"kind": "PersistentVolume", "metadata": {"name": "pv-9"}, "spec": {"nfs": {"server": "nas", "path": "/srv"}}}),
    ));
    let message = "MountVolume.SetUp failed for volume \"pv-9\" : mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs nas:/srv /x\nOutput: mount.nfs: Connection timed out\n";
    all.push(Input::event(at("09:00:00"), &pod_ref(), "FailedMount", "Warning", message, 3));
    let found = only(&run(&all, "09:05:00"));
    assert_eq!(found.code, "storage.mount-failed");
    assert!(found.title.ends_with("the server nas does not answer"), "{}", found.title);
    assert!(found.remedies[0].command.contains("showmount -e nas"), "{:?}", found.remedies);
}

const RESIZER: &str = r#"resize volume "pv-9" by resizer "csi.example.com" failed: rpc error: code = ResourceExhausted desc = pool fast has 12GiB left, 40GiB more are asked for"#;

/// A bound claim of 20Gi that wants `size`.
fn enlarged(size: &str) -> Input {
    let mut claim = claim(
        json!({"storageClassName": "fast", "volumeName": "pv-9", "resources": {"requests": {"storage": size}}}),
        "Bound",
    );
    claim["status"]["capacity"] = json!({"storage": "20Gi"});
    Input::changed(at("08:59:00"), claim)
}

#[test]
fn a_volume_that_does_not_grow_is_told_until_it_has_grown() {
    let mut all = base(running());
    all.extend([enlarged("60Gi"), told("VolumeResizeFailed", "Warning", RESIZER)]);
    assert!(run(&all, "09:02:00").diagnoses().is_empty(), "it may succeed yet");
    let found = only(&run(&all, "09:04:00"));
    assert_eq!((found.code.as_str(), found.root.name.as_str()), ("storage.resize-failed", "data-pg-0"));
    assert!(found.title.contains("pool fast has 12GiB left"), "{}", found.title);
    assert!(found.remedies[0].text.contains("more room"));
    all.push(Input::event(
        at("09:20:00"),
        &claim_ref(),
        "VolumeResizeSuccessful",
        "Normal",
        "Resize volume succeeded",
        1,
    ));
    assert!(run(&all, "09:20:01").diagnoses().is_empty());
}

#[test]
fn the_kubelet_says_on_the_pod_that_a_file_system_does_not_grow() {
    let mut all = base(running());
    all.push(enlarged("60Gi"));
    all.push(Input::event(
        at("09:00:00"),
        &pod_ref(),
        "FileSystemResizeFailed",
        "Warning",
        r#"MountVolume.NodeExpandVolume failed for volume "pv-9" requested read-only file system"#,
        4,
    ));
    assert_eq!(only(&run(&all, "09:04:00")).code, "storage.resize-failed");
}

#[test]
fn a_driver_that_takes_an_enlargement_up_is_not_missed() {
    let left = told(
        "ExternalExpanding",
        "Warning",
        "Ignoring the PVC: didn't find a plugin capable of expanding the volume; waiting for an external controller to process this PVC.",
    );
    let mut all = base(running());
    all.extend([enlarged("60Gi"), left]);
    assert!(only(&run(&all, "09:15:00")).title.contains("nobody takes it up"));
    all.push(Input::event(
        at("09:00:02"),
        &claim_ref(),
        "Resizing",
        "Normal",
        "External resizer is resizing volume pv-9",
        1,
    ));
    assert!(run(&all, "09:15:00").diagnoses().is_empty());
}

/// An Elasticsearch of one pod behind Service `name`, whose data stands on a claim, and a client that is told of `host`.
fn search(space: &str, name: &str, host: &str) -> Vec<Input> {
    let pod = |pod: &str, app: &str, spec: Value| {
        json!({
            "kind": "Pod", "metadata": {"namespace": space, "name": pod, "labels": {"app": app}, "ownerReferences": [{"kind": "StatefulSet", "name": app, "controller": true}]},
            "spec": spec, "status": {"phase": "Running"},
        })
    };
    let server = json!({
        "containers": [{"name": "elasticsearch", "volumeMounts": [{"name": "data", "mountPath": "/usr/share/elasticsearch/data"}]}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": format!("data-{name}-0")}}],
    });
    let client =
        json!({"containers": [{"name": "kibana", "env": [{"name": "ELASTICSEARCH_HOSTS", "value": host}]}]});
    let front = format!("{name}-front");
    let objects = [
        json!({"kind": "Service", "metadata": {"namespace": space, "name": name}, "spec": {"selector": {"app": name}}}),
        json!({"kind": "PersistentVolumeClaim", "metadata": {"namespace": space, "name": format!("data-{name}-0")}, "spec": {"volumeName": name, "resources": {"requests": {"storage": "20Gi"}}}, "status": {"phase": "Bound"}}),
        json!({"kind": "StatefulSet", "metadata": {"namespace": space, "name": name}}),
        json!({"kind": "StatefulSet", "metadata": {"namespace": space, "name": front}}),
        pod(&format!("{name}-0"), name, server),
        pod(&format!("{front}-0"), &front, client),
    ];
    let mut all: Vec<Input> = objects.into_iter().map(|json| Input::listed(at("08:00:00"), json)).collect();
    all.push(Input::line(
        at("09:00:00"),
        &ObjectRef::new("Pod", space, &format!("{front}-0")),
        "kibana",
        "ResponseError: index [.kibana_8.11.3_001] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];",
    ));
    all
}

fn flooded(space: &str, name: &str) -> Input {
    let line = format!(
        "flood stage disk watermark [95%] exceeded on [2E-4rEiRS1G_2_oztN_guA][{name}-0][/usr/share/elasticsearch/data] free: 2.9gb[2.9%], all indices on this node will be marked read-only"
    );
    Input::line(at("09:01:00"), &ObjectRef::new("Pod", space, &format!("{name}-0")), "elasticsearch", &line)
}

#[test]
fn who_is_refused_by_one_of_two_full_elasticsearches_is_a_client_of_the_one_that_it_names() {
    let both = |one: &str, other: &str| {
        let mut all = [search("logging", "es", one), search("audit", "trail", other)].concat();
        all.extend([flooded("logging", "es"), flooded("audit", "trail"), flooded("logging", "es")]);
        let bench = run(&all, "09:02:00");
        let clients = |space: &str| {
            let all = bench.diagnoses();
            let found = all.iter().find(|d| d.root.namespace == space).unwrap();
            let told = found.explains.iter().filter(|e| e.name == "workload.readiness-failing");
            let mut names: Vec<String> =
                told.filter_map(|e| e.anchor.as_ref()).map(|a| a.name.clone()).collect();
            names.sort_unstable();
            names.join(" ")
        };
        (clients("logging"), clients("audit"))
    };
    let expected = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(both("http://es:9200", "http://trail:9200"), expected("es-front", "trail-front"));
    assert_eq!(both("http://es:9200", "http://es.logging:9200"), expected("es-front trail-front", ""));
    // Who names none of them may be refused by either.
    assert_eq!(both("https://search.example.com", "http://trail:9200"), expected("", "trail-front"));
}

#[test]
fn who_is_refused_where_one_elasticsearch_alone_is_full_is_its_client() {
    let mut all = search("logging", "es", "");
    all.push(flooded("logging", "es"));
    let found = only(&run(&all, "09:02:00"));
    assert!(found.explains.iter().any(|e| e.name == "workload.readiness-failing"));
}
