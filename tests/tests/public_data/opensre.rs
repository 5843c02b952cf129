//! Fourteen scenarios of a cluster at EKS: eight faults and six in which nothing is wrong any more, each with the alert
//! that says otherwise.

use kwhy_tests::{
    Kwhy,
    opensre::{Answer, scenarios},
};

use crate::key::{Key, told, wrong};

const API: &str = "Deployment/payments/payments-api";

/// A scenario, the words of its answer that tell the cause, and the codes by which kwhy may call it.
const FAULTS: [(&str, &str, &str, Key); 8] = [
    (
        "001-oomkilled-crashloop",
        "resource_exhaustion",
        "is being OOM-killed; it exceeds its container memory limit",
        Key { codes: &["workload.oom-killed"], root: API, says: "(?i)memory" },
    ),
    (
        "002-image-pull-backoff",
        "configuration_error",
        "the container registry returns 'manifest unknown' because that tag does not exist",
        Key { codes: &["workload.image-not-found"], root: API, says: "v2.1.0-bad" },
    ),
    (
        "003-pending-insufficient-resources",
        "resource_exhaustion",
        "the kube-scheduler returns 'Insufficient cpu'",
        Key { codes: &["scheduling.insufficient-cpu"], root: API, says: "(?i)cpu" },
    ),
    (
        "004-liveness-probe-killing",
        "configuration_error",
        "is being restarted by kubelet because its liveness probe (HTTP GET /healthz) returns 500",
        Key { codes: &["workload.liveness-failing"], root: API, says: "liveness probe .*statuscode: 500" },
    ),
    (
        "005-resource-quota-exceeded",
        "resource_exhaustion",
        "the namespace's ResourceQuota 'default-quota' is exhausted",
        Key {
            codes: &["workload.quota-exceeded"],
            root: "ResourceQuota/payments/default-quota",
            says: r"limits\.cpu",
        },
    ),
    (
        "006-dns-resolution-failure",
        "configuration_error",
        "the application cannot resolve its downstream dependency 'postgres.production.svc.cluster.local'",
        Key {
            codes: &["workload.missing-service"],
            root: "Service/production/postgres",
            says: r"postgres\.production\.svc\.cluster\.local",
        },
    ),
    (
        "007-node-not-ready",
        "infrastructure",
        "has stopped reporting kubelet heartbeat to the control plane",
        Key {
            codes: &["node.down", "node.kubelet-stopped"],
            root: "Node//ip-10-0-1-73.us-east-1.compute.internal",
            says: "kubelet",
        },
    ),
    (
        "008-deployment-rollout-stuck",
        "configuration_error",
        "The new ReplicaSet's pods crash on startup and remain in CrashLoopBackOff",
        Key { codes: &["workload.exit-on-start", "workload.config-change"], root: API, says: "DB_DSN" },
    ),
];

#[test]
fn all_eight_faults_are_named_and_all_six_controls_stay_quiet() {
    let kwhy = Kwhy::new();
    let scenarios = scenarios();
    let answers = scenarios.iter().map(|scenario| {
        let fault = FAULTS.iter().find(|(name, ..)| *name == scenario.name);
        let Answer { root_cause_category, model_response } = scenario.answer();
        match fault {
            Some((name, category, words, _)) => assert!(
                root_cause_category == *category && model_response.contains(words),
                "{name}: the map is not of the answer"
            ),
            None => assert_eq!(root_cause_category, "healthy", "{} has no key", scenario.name),
        }
        let key = fault.map(|(.., key)| *key);
        (scenario.name.clone(), wrong(&kwhy, &scenario.capture(&kwhy), key, &[]))
    });
    let answers: Vec<(String, Vec<String>)> = answers.collect();
    assert_eq!(answers.len(), 14);
    assert!(answers.iter().all(|(_, wrong)| wrong.is_empty()), "{}", told(&answers));
}

#[test]
fn keys_that_are_shifted_by_one_fit_nowhere() {
    let kwhy = Kwhy::new();
    let scenarios = scenarios();
    let healthy = |name: &str| FAULTS.iter().all(|(fault, ..)| *fault != name);
    for (at, (name, ..)) in FAULTS.iter().enumerate() {
        let (.., next) = FAULTS[(at + 1) % FAULTS.len()];
        let scenario = scenarios.iter().find(|scenario| scenario.name == *name).expect("it is there");
        assert!(
            !wrong(&kwhy, &scenario.capture(&kwhy), Some(next), &[]).is_empty(),
            "{name} takes another key"
        );
    }
    for scenario in scenarios.iter().filter(|scenario| healthy(&scenario.name)).take(2) {
        let (.., key) = FAULTS[0];
        assert!(
            !wrong(&kwhy, &scenario.capture(&kwhy), Some(key), &[]).is_empty(),
            "{} takes a key",
            scenario.name
        );
    }
}
