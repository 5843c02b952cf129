//! Objects and events as others have recorded them.

use std::path::Path;

use kwhy_sdk::testkit::Input;
use serde_json::Value;

use crate::small::*;

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
        // What was said once may have passed.
        let bench = run(&[warn("09:30:00", kind, "cart-7f-x", reason, text, 4)], "09:33:00");
        let all = bench.diagnoses();
        assert_eq!(all.iter().map(|d| d.code.as_str()).collect::<Vec<_>>(), [code], "{text}");
    }
    silent(&run(
        &[warn("09:30:00", "Pod", "cart-7f-x", "BackOff", "Back-off restarting failed container", 1)],
        "09:33:00",
    ));
}
