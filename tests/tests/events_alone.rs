//! Often an incident comes as `kubectl get events` and nothing else. Each common reason alone, in the words of the
//! component that says it, leads to a finding when it is said again and again, and to none when it was said once and
//! things went on.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::path::PathBuf;

use kwhy_proto::v1::Status;
use kwhy_tests::{
    Kwhy,
    findings::{Findings, root_of, said},
};
use serde_json::{Value, json};

/// One reason.
struct Case {
    kind: &'static str,
    name: &'static str,
    reason: &'static str,
    /// `Normal` or `Warning`.
    state: &'static str,
    message: &'static str,
    /// The part of the pod that is meant.
    path: &'static str,
    /// Code and root.
    wanted: (&'static str, &'static str),
}

const POD: &str = "web-7f9dd8b6c4-x7gr9";
const WEB: &str = "Deployment/shop/web";
const NODE: &str = "Node//worker-2";
const MAIN: &str = "spec.containers{web}";

const fn pod(reason: &'static str, path: &'static str, message: &'static str, code: &'static str) -> Case {
    Case { kind: "Pod", name: POD, reason, state: "Warning", message, path, wanted: (code, WEB) }
}

const fn of(
    kind: &'static str,
    name: &'static str,
    reason: &'static str,
    message: &'static str,
    wanted: (&'static str, &'static str),
) -> Case {
    Case { kind, name, reason, state: "Warning", message, path: "", wanted }
}

const CASES: [Case; 38] = [
    pod(
        "FailedScheduling",
        "",
        "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.",
        "scheduling.insufficient-memory",
    ),
    pod(
        "FailedScheduling",
        "",
        "0/3 nodes are available: 3 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        "scheduling.taint-untolerated",
    ),
    pod(
        "FailedScheduling",
        "",
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        "storage.pvc-unbound",
    ),
    Case {
        wanted: ("storage.pvc-unbound", "PersistentVolumeClaim/shop/data"),
        ..pod(
            "FailedScheduling",
            "",
            "0/3 nodes are available: persistentvolumeclaim \"data\" not found. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
            "",
        )
    },
    pod(
        "FailedMount",
        "",
        "MountVolume.SetUp failed for volume \"pv-nfs\" : mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs 10.0.0.9:/exports/data /var/lib/kubelet/pods/0/volumes/kubernetes.io~nfs/pv-nfs\nOutput: mount.nfs: Connection timed out",
        "storage.mount-failed",
    ),
    Case {
        wanted: ("workload.missing-configmap", "ConfigMap/shop/web-config"),
        ..pod(
            "FailedMount",
            "",
            "MountVolume.SetUp failed for volume \"config\" : configmap \"web-config\" not found",
            "",
        )
    },
    pod(
        "FailedMount",
        "",
        "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data kube-api-access-x7gr9]: timed out waiting for the condition",
        "storage.mount-failed",
    ),
    pod(
        "FailedAttachVolume",
        "",
        "Multi-Attach error for volume \"pvc-9e2a1f9c-5b0f-4f6d-9c55-0a6b7c1d2e3f\" Volume is already exclusively attached to one node and can't be attached to another",
        "storage.multi-attach",
    ),
    pod(
        "FailedAttachVolume",
        "",
        "AttachVolume.Attach failed for volume \"pvc-9e2a1f9c-5b0f-4f6d-9c55-0a6b7c1d2e3f\" : rpc error: code = Internal desc = Could not attach volume \"vol-0a1b\" to node \"i-0f\": attachment of disk \"vol-0a1b\" failed, expected device to be attached but was attaching",
        "storage.mount-failed",
    ),
    pod(
        "BackOff",
        MAIN,
        "Back-off restarting failed container web in pod web-7f9dd8b6c4-x7gr9_shop(0b5e)",
        "workload.exit-on-start",
    ),
    pod("BackOff", MAIN, "Back-off restarting failed container", "workload.exit-on-start"),
    pod(
        "BackOff",
        "spec.initContainers{migrate}",
        "Back-off restarting failed container",
        "workload.init-container-failing",
    ),
    Case {
        state: "Normal",
        ..pod(
            "BackOff",
            MAIN,
            "Back-off pulling image \"ghcr.io/acme/web:v9\"",
            "workload.image-registry-unreachable",
        )
    },
    pod(
        "Failed",
        MAIN,
        "Failed to pull image \"ghcr.io/acme/web:v9\": rpc error: code = NotFound desc = failed to pull and unpack image \"ghcr.io/acme/web:v9\": failed to resolve reference \"ghcr.io/acme/web:v9\": ghcr.io/acme/web:v9: not found",
        "workload.image-not-found",
    ),
    pod(
        "Failed",
        MAIN,
        "Failed to pull image \"ghcr.io/acme/web:v9\": failed to pull and unpack image \"ghcr.io/acme/web:v9\": failed to resolve reference \"ghcr.io/acme/web:v9\": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token?scope=x: 401 Unauthorized",
        "workload.image-auth",
    ),
    pod(
        "Failed",
        MAIN,
        "Error: failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/app/server\": stat /app/server: no such file or directory: unknown",
        "workload.command-not-found",
    ),
    Case {
        wanted: ("workload.missing-secret", "Secret/shop/web-tls"),
        ..pod("Failed", MAIN, "Error: secret \"web-tls\" not found", "")
    },
    Case {
        wanted: ("workload.missing-config-key", "ConfigMap/shop/web-config"),
        ..pod("Failed", MAIN, "Error: couldn't find key DB_URL in ConfigMap shop/web-config", "")
    },
    pod(
        "Failed",
        MAIN,
        "Error: container has runAsNonRoot and image will run as root (pod: \"web-7f9dd8b6c4-x7gr9_shop(0b5e)\", container: web)",
        "workload.pod-security",
    ),
    pod(
        "Unhealthy",
        MAIN,
        "Liveness probe failed: HTTP probe failed with statuscode: 500",
        "workload.liveness-failing",
    ),
    pod(
        "Unhealthy",
        MAIN,
        "Readiness probe failed: Get \"http://10.244.1.7:8080/ready\": dial tcp 10.244.1.7:8080: connect: connection refused",
        "workload.readiness-failing",
    ),
    Case {
        state: "Normal",
        ..pod(
            "Killing",
            MAIN,
            "Container web failed liveness probe, will be restarted",
            "workload.liveness-failing",
        )
    },
    of(
        "ReplicaSet",
        "web-7f9dd8b6c4",
        "FailedCreate",
        "Error creating: pods \"web-7f9dd8b6c4-\" is forbidden: error looking up service account shop/robot: serviceaccount \"robot\" not found",
        ("workload.missing-service-account", "ServiceAccount/shop/robot"),
    ),
    of(
        "StatefulSet",
        "db",
        "FailedCreate",
        "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: compute, requested: requests.memory=4Gi, used: requests.memory=6Gi, limited: requests.memory=8Gi",
        ("workload.quota-exceeded", "ResourceQuota/shop/compute"),
    ),
    of(
        "DaemonSet",
        "agent",
        "FailedCreate",
        "Error creating: admission webhook \"policy.example.com\" denied the request: no hostPath here",
        ("workload.admission-denied", "DaemonSet/shop/agent"),
    ),
    of(
        "PersistentVolumeClaim",
        "data",
        "ProvisioningFailed",
        "storageclass.storage.k8s.io \"fast\" not found",
        ("storage.pvc-no-class", "StorageClass//fast"),
    ),
    of(
        "PersistentVolumeClaim",
        "data",
        "ProvisioningFailed",
        "failed to provision volume with StorageClass \"gp3\": rpc error: code = Internal desc = Could not create volume \"pvc-9e2a\": UnauthorizedOperation: You are not authorized to perform this operation",
        ("storage.pvc-unbound", "PersistentVolumeClaim/shop/data"),
    ),
    Case {
        state: "Normal",
        ..of(
            "PersistentVolumeClaim",
            "data",
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
            ("storage.pvc-unbound", "PersistentVolumeClaim/shop/data"),
        )
    },
    of(
        "Node",
        "worker-2",
        "OOMKilling",
        "Killed process 1012035 (java) total-vm:5271280kB, anon-rss:3063080kB, file-rss:11132kB",
        ("node.kernel-oom", NODE),
    ),
    of(
        "Node",
        "worker-2",
        "SystemOOM",
        "System OOM encountered, victim process: java, pid: 4171",
        ("node.kernel-oom", NODE),
    ),
    Case {
        state: "Normal",
        ..of(
            "Node",
            "worker-2",
            "NodeNotReady",
            "Node worker-2 status is now: NodeNotReady",
            ("node.down", NODE),
        )
    },
    Case {
        wanted: ("node.memory-pressure", NODE),
        ..pod(
            "Evicted",
            "",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 61708Ki. Container web was using 512Mi, request is 0, has larger consumption of memory. ",
            "",
        )
    },
    of(
        "Node",
        "worker-2",
        "EvictionThresholdMet",
        "Attempting to reclaim ephemeral-storage",
        ("node.disk-pressure", NODE),
    ),
    Case {
        wanted: ("node.cni-not-ready", NODE),
        ..pod(
            "FailedCreatePodSandBox",
            "",
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"8c1d\": plugin type=\"calico\" failed (add): error getting ClusterInformation: connection is unauthorized: Unauthorized",
            "",
        )
    },
    of(
        "Job",
        "migrate",
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
        ("workload.job-backoff", "Job/shop/migrate"),
    ),
    of(
        "Job",
        "backup-28401160",
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
        ("workload.deadline-exceeded", "CronJob/shop/backup"),
    ),
    of(
        "HorizontalPodAutoscaler",
        "web",
        "FailedGetResourceMetric",
        "failed to get cpu utilization: missing request for cpu in container web of Pod web-7f9dd8b6c4-x7gr9",
        ("workload.hpa-no-metrics", "HorizontalPodAutoscaler/shop/web"),
    ),
    of(
        "HorizontalPodAutoscaler",
        "web",
        "FailedGetResourceMetric",
        "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)",
        ("workload.hpa-no-metrics", "APIService//v1beta1.metrics.k8s.io"),
    ),
];

/// What is said once and holds until something else is said.
const LASTS: [&str; 4] = ["BackoffLimitExceeded", "DeadlineExceeded", "NodeNotReady", "SystemOOM"];

fn event(case: &Case, count: u32, first: &str, last: &str) -> Value {
    let kubelet = case.kind == "Pod" && case.reason != "FailedScheduling";
    let source = if kubelet {
        json!({"component": "kubelet", "host": "worker-2"})
    } else {
        json!({"component": "controller"})
    };
    let namespace = if case.kind == "Node" { "default" } else { "shop" };
    let about = if case.kind == "Node" { "" } else { "shop" };
    json!({
        "kind": "Event", "metadata": {"namespace": namespace, "name": format!("{}.{}", case.name, case.reason)},
        "involvedObject": {"kind": case.kind, "namespace": about, "name": case.name, "fieldPath": case.path},
        "reason": case.reason, "message": case.message, "type": case.state, "count": count,
        "firstTimestamp": first, "lastTimestamp": last, "source": source,
    })
}

/// A cluster that goes on: an event of something that is well, which tells how late it is.
fn later() -> Value {
    json!({
        "kind": "Event", "metadata": {"namespace": "kube-system", "name": "kube-scheduler.1"},
        "involvedObject": {"kind": "Lease", "namespace": "kube-system", "name": "kube-scheduler"},
        "reason": "LeaderElection", "message": "node-1_0b71 became leader", "type": "Normal", "count": 1,
        "firstTimestamp": "2025-02-11T10:00:00Z", "lastTimestamp": "2025-02-11T10:00:00Z", "source": {"component": "kube-scheduler"},
    })
}

fn capture(kwhy: &Kwhy, at: usize, how: &str, events: &[Value]) -> PathBuf {
    let name = format!("{at}-{how}");
    kwhy.write(&format!("{name}/events.json"), json!({"kind": "List", "items": events}).to_string());
    kwhy.home(&name)
}

/// Codes and roots of all that stands above INFO at the end, with the words.
fn found(kwhy: &Kwhy, capture: &std::path::Path) -> Vec<(String, String, String)> {
    let findings =
        Findings::of(kwhy, capture).unwrap_or_else(|error| panic!("{}: {error}", capture.display()));
    let standing = findings.loud().filter(|finding| finding.status() != Status::Resolved);
    standing.map(|finding| (finding.code.clone(), root_of(finding), said(finding))).collect()
}

#[test]
fn each_reason_that_is_said_again_and_again_leads_to_its_finding_and_no_other() {
    let kwhy = Kwhy::new();
    let mut wrong = Vec::new();
    for (at, case) in CASES.iter().enumerate() {
        let events = [event(case, 12, "2025-02-11T09:40:00Z", "2025-02-11T09:57:00Z"), later()];
        let found = found(&kwhy, &capture(&kwhy, at, "lasts", &events));
        let (code, root) = case.wanted;
        if !matches!(found.as_slice(), [(c, r, _)] if c == code && r == root) {
            wrong.push(format!(
                "{} {:.60}: {code} on {root} is wanted, {found:#?}",
                case.reason, case.message
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

#[test]
fn what_was_said_once_and_not_again_leads_to_nothing() {
    let kwhy = Kwhy::new();
    let mut wrong = Vec::new();
    for (at, case) in CASES.iter().enumerate().filter(|(_, case)| !LASTS.contains(&case.reason)) {
        let events = [event(case, 1, "2025-02-11T09:30:00Z", "2025-02-11T09:30:00Z"), later()];
        let found = found(&kwhy, &capture(&kwhy, at, "once", &events));
        if !found.is_empty() {
            wrong.push(format!("{} {:.60}: {found:#?}", case.reason, case.message));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

fn back_off() -> &'static Case {
    CASES.iter().find(|case| case.reason == "BackOff" && case.path == MAIN).expect("it is there")
}

#[test]
fn alerts_on_the_pod_and_on_its_deployment_are_folded_under_what_the_events_tell() {
    let kwhy = Kwhy::new();
    let case = back_off();
    let path = capture(
        &kwhy,
        0,
        "alerts",
        &[event(case, 12, "2025-02-11T09:40:00Z", "2025-02-11T09:57:00Z"), later()],
    );
    let alert = |labels: Value| json!({"labels": labels, "annotations": {}, "startsAt": "2025-02-11T09:55:00Z", "endsAt": "2025-02-11T10:04:00Z", "updatedAt": "2025-02-11T10:00:00Z", "status": {"state": "active"}});
    let alerts = [
        alert(
            json!({"alertname": "KubePodCrashLooping", "namespace": "shop", "pod": POD, "container": "web"}),
        ),
        // As Datadog names them.
        alert(json!({"alertname": "Crash loop of web", "kube_namespace": "shop", "kube_deployment": "web"})),
    ];
    kwhy.write("0-alerts/alerts.json", json!(alerts).to_string());
    let findings = Findings::of(&kwhy, &path).expect("findings");
    let found: Vec<_> = findings.loud().collect();
    let [finding] = found.as_slice() else { panic!("{found:#?}") };
    let folded: Vec<&str> =
        finding.symptoms.iter().filter(|s| s.source == "alert").map(|s| s.name.as_str()).collect();
    assert_eq!(folded, ["Crash loop of web", "KubePodCrashLooping"], "{finding:#?}");
}

#[test]
fn a_pod_that_is_not_among_those_that_were_collected_is_gone() {
    let kwhy = Kwhy::new();
    let path = capture(
        &kwhy,
        0,
        "gone",
        &[event(back_off(), 12, "2025-02-11T09:40:00Z", "2025-02-11T09:57:00Z"), later()],
    );
    let other = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"namespace": "shop", "name": "web-5d4c8b9f7d-2mq8z", "uid": "u-1", "creationTimestamp": "2025-02-11T08:00:00Z"},
        "spec": {"containers": [{"name": "web", "image": "ghcr.io/acme/web:v8"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2025-02-11T08:00:05Z"}],
            "containerStatuses": [{"name": "web", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2025-02-11T08:00:03Z"}}}]},
    });
    kwhy.write("0-gone/objects.json", json!({"kind": "List", "items": [other]}).to_string());
    assert_eq!(found(&kwhy, &path), []);
}
