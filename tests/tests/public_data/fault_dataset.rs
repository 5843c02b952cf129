//! Fifteen faults that were put into a demo shop, each known by the one event that an operator sees: its reason, its
//! message, what it is about. Nothing else is in the capture, so kwhy knows the pod by its name alone.

use std::{fs, path::PathBuf};

use kwhy_tests::{Kwhy, here};
use serde::Deserialize;
use serde_json::json;

use crate::key::{Key, told, wrong};

#[derive(Deserialize)]
struct Fault {
    id: usize,
    kind: String,
    event: String,
    error: String,
    reference_root_cause: String,
}

const CART: &str = "Deployment/ms-demo/cartservice";
const QUOTA: &str = "ResourceQuota/ms-demo/ba-test";

/// By id: words of the reference root cause, and how kwhy must call it.
const FAULTS: [(&str, Key); 15] = [
    (
        "the minimum allowed value is 6m (6 megabytes)",
        Key { codes: &["workload.container-refused"], root: CART, says: "(?i)memory limit .*too low" },
    ),
    (
        "the container tried to use more memory than its limit",
        Key { codes: &["workload.oom-killed"], root: CART, says: "memory limit" },
    ),
    (
        "no pod will be able to schedule onto node1 unless it has a matching toleration",
        Key { codes: &["scheduling.taint-untolerated"], root: CART, says: "key1" },
    ),
    (
        "insufficient CPU resource on any node",
        Key { codes: &["scheduling.insufficient-cpu"], root: CART, says: "(?i)cpu" },
    ),
    (
        "You may have exhausted the supply of CPU or Memory in your cluster",
        Key { codes: &["scheduling.insufficient-memory"], root: CART, says: "memory" },
    ),
    (
        "the pod must have the same key/value node selector as the label on the node",
        Key {
            codes: &["scheduling.selector-or-affinity-unsatisfiable"],
            root: CART,
            says: "(?i)affinity|selector",
        },
    ),
    (
        "without violating affinity requirements",
        Key {
            codes: &["scheduling.selector-or-affinity-unsatisfiable"],
            root: CART,
            says: "(?i)affinity|other pods",
        },
    ),
    (
        "exceed the cpu request quota",
        Key { codes: &["workload.quota-exceeded"], root: QUOTA, says: "cpu=500m" },
    ),
    (
        "exceed the memory request quota",
        Key { codes: &["workload.quota-exceeded"], root: QUOTA, says: "memory=500Mi" },
    ),
    (
        "users must specify requests or limits for those values",
        Key { codes: &["workload.quota-exceeded"], root: CART, says: "must specify cpu|must say" },
    ),
    (
        "it specifies a CPU limit that is too large",
        Key { codes: &["workload.limit-range"], root: CART, says: "maximum cpu usage" },
    ),
    (
        "it specifies a CPU request that is lower than the enforced minimum",
        Key { codes: &["workload.limit-range"], root: CART, says: "minimum cpu usage" },
    ),
    (
        "requests more memory than is allowed",
        Key { codes: &["workload.limit-range"], root: CART, says: "maximum memory usage" },
    ),
    (
        "requests less memory than the enforced minimum",
        Key { codes: &["workload.limit-range"], root: CART, says: "minimum memory usage" },
    ),
    (
        "The JVM memory limit is bigger than the Docker memory limit",
        Key { codes: &["workload.oom-killed"], root: CART, says: "memory limit" },
    ),
];

fn faults() -> Vec<Fault> {
    let file = here("data/k8s-fault-dataset/faults.json");
    serde_json::from_slice(&fs::read(file).expect("the data set")).expect("a list of faults")
}

/// The event alone, said `count` times over ten minutes; where the set has marks for names stands one of the shop's.
fn capture(kwhy: &Kwhy, fault: &Fault, count: u32) -> PathBuf {
    let set = "cartservice-7f9dd8b6c4";
    let pod = format!("{set}-x7gr9");
    let about = if fault.kind == "Pod" { &pod } else { set };
    let message = fault.error.replace("{FAULT_POD}", &pod).replace("{FAULT_CONTAINER}", "server");
    let first = if count > 1 { "2026-01-06T09:50:00Z" } else { "2026-01-06T10:00:00Z" };
    let event = json!({
        "kind": "Event", "metadata": {"namespace": "ms-demo", "name": format!("{about}.1")},
        "involvedObject": {"kind": fault.kind, "namespace": "ms-demo", "name": about},
        "reason": fault.event, "message": message, "type": "Warning", "count": count,
        "firstTimestamp": first, "lastTimestamp": "2026-01-06T10:00:00Z",
    });
    let name = format!("f{}-{count}", fault.id);
    kwhy.write(&format!("{name}/events.json"), json!({"kind": "List", "items": [event]}).to_string());
    kwhy.home(&name)
}

#[test]
fn every_fault_is_named_from_its_event_alone() {
    let kwhy = Kwhy::new();
    let mut answers = Vec::new();
    for (fault, (words, key)) in faults().iter().zip(FAULTS) {
        assert!(fault.reference_root_cause.contains(words), "the map is not of fault {}", fault.id);
        answers.push((format!("f{}", fault.id), wrong(&kwhy, &capture(&kwhy, fault, 6), Some(key), &[])));
    }
    assert_eq!(answers.len(), 15);
    assert!(answers.iter().all(|(_, wrong)| wrong.is_empty()), "{}", told(&answers));
}

/// The scheduler and the controllers try again by themselves: what was said once a moment ago is no finding yet.
#[test]
fn what_may_pass_by_itself_is_not_told_when_it_was_said_once() {
    let kwhy = Kwhy::new();
    let mut answers = Vec::new();
    for fault in faults().iter().filter(|fault| fault.event.starts_with("Failed")) {
        answers.push((format!("f{}", fault.id), wrong(&kwhy, &capture(&kwhy, fault, 1), None, &[])));
    }
    assert_eq!(answers.len(), 12);
    assert!(answers.iter().all(|(_, wrong)| wrong.is_empty()), "{}", told(&answers));
}

#[test]
fn keys_of_other_faults_fit_nowhere() {
    let kwhy = Kwhy::new();
    let all = faults();
    for (at, fault) in all.iter().enumerate() {
        // The neighbours of some are of the same code.
        let (_, other) = FAULTS[(at + 5) % FAULTS.len()];
        let found = wrong(&kwhy, &capture(&kwhy, fault, 6), Some(other), &[]);
        assert!(!found.is_empty(), "f{} takes the key of another", fault.id);
    }
}
