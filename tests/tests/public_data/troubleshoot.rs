//! Events and pods of real faults as `kubectl get -o json` gave them, of which one file may also tell of other faults
//! that were tried in the same cluster before.

use std::{fs, path::PathBuf};

use kwhy_tests::{Kwhy, here};

use crate::key::{Key, told, wrong};

/// The fault by which the files are called, its key, and what else the events of its namespace tell.
const FAULTS: [(&str, Key, &[&str]); 7] = [
    (
        "container-creating-failed-mount",
        Key {
            codes: &["storage.mount-failed"],
            root: "DaemonSet/message-container-creating-failed-mount/troubleshoot-copyfromhost-4m79m",
            says: "/var/lib/collectd",
        },
        // Pods that were tried a quarter of an hour before are still in its list.
        &["workload.liveness-failing", "workload.image-registry-unreachable"],
    ),
    (
        "image-pull-fail",
        Key {
            codes: &["workload.image-registry-unreachable"],
            root: "Deployment/message-image-pull-fail/no-image-deployment",
            says: r"noimage\.com",
        },
        &[],
    ),
    (
        "pod-init-crashloop-backoff",
        Key {
            codes: &["workload.command-not-found"],
            root: "Pod/message-pod-init-crashloop-backoff/init-demo2",
            says: "`wge`",
        },
        &["workload.command-not-found"],
    ),
    (
        "pod-crashloop-backoff",
        Key {
            codes: &["workload.command-not-found"],
            root: "Pod/message-pod-crashloop-backoff/init-demo",
            says: "`wge`",
        },
        &[],
    ),
    (
        "oomkill-pod",
        Key { codes: &["workload.oom-killed"], root: "Job/message-oomkill-pod/oom-kill-job3", says: "100Mi" },
        &[],
    ),
    (
        "pending-node-affinity",
        Key {
            codes: &["scheduling.selector-or-affinity-unsatisfiable"],
            root: "Deployment/message-pending-node-affinity/kotsadm",
            says: "kubernetes.io/arch",
        },
        &[],
    ),
    (
        "pending-pod-resources",
        Key {
            codes: &["scheduling.insufficient-resource"],
            root: "Deployment/message-pending-pod-resources/pending-pod-resources",
            says: r"nvidia\.com/gpu",
        },
        &[],
    ),
];

/// The lists of one fault as a capture: what was collected, and nothing else.
fn capture(kwhy: &Kwhy, fault: &str, parts: &[(&str, &str)]) -> PathBuf {
    for (part, file) in parts {
        let list = here("data/troubleshoot-objects").join(part).join(format!("message-{fault}.json"));
        if let Ok(list) = fs::read(list) {
            kwhy.write(&format!("{fault}/{file}"), list);
        }
    }
    kwhy.home(fault)
}

const ALL: [(&str, &str); 2] = [("events", "events.json"), ("pods", "objects.json")];

#[test]
fn every_fault_is_named_from_its_events_and_pods() {
    let kwhy = Kwhy::new();
    let answers = FAULTS.map(|(fault, key, others)| {
        (fault.to_owned(), wrong(&kwhy, &capture(&kwhy, fault, &ALL), Some(key), others))
    });
    assert!(answers.iter().all(|(_, wrong)| wrong.is_empty()), "{}", told(&answers));
}

/// Often there is nothing but the events.
#[test]
fn faults_that_have_events_are_named_from_them_alone() {
    let kwhy = Kwhy::new();
    let mut answers = Vec::new();
    for (fault, key, others) in FAULTS {
        if here("data/troubleshoot-objects/events").join(format!("message-{fault}.json")).is_file() {
            // Its name does not tell that a DaemonSet made it.
            let root = match fault {
                "container-creating-failed-mount" => {
                    "Pod/message-container-creating-failed-mount/troubleshoot-copyfromhost-4m79m-psdjm"
                }
                _ => key.root,
            };
            let capture = capture(&kwhy, fault, &ALL[..1]);
            answers.push((fault.to_owned(), wrong(&kwhy, &capture, Some(Key { root, ..key }), others)));
        }
    }
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|(_, wrong)| wrong.is_empty()), "{}", told(&answers));
}

#[test]
fn keys_that_are_shifted_by_one_fit_nowhere() {
    let kwhy = Kwhy::new();
    for (at, (fault, _, others)) in FAULTS.iter().enumerate() {
        let (_, next, _) = FAULTS[(at + 1) % FAULTS.len()];
        let found = wrong(&kwhy, &capture(&kwhy, fault, &ALL), Some(next), others);
        assert!(!found.is_empty(), "{fault} takes another key");
    }
}
