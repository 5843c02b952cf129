//! The messages of the pairs, the same as those of `tests/bench/w1/ruleset.py`, which makes the log and the expected
//! findings.

const CAUSES: [&str; 10] = [
    "timed out",
    "connection refused",
    "permission denied",
    "not found",
    "quota exceeded",
    "no space left on device",
    "read-only file system",
    "too many open files",
    "certificate expired",
    "back-off limit reached",
];
const OBJECTS: [&str; 10] = [
    "for configmap",
    "for secret",
    "for projected volume",
    "for persistent claim",
    "for csi driver",
    "for init container",
    "for sidecar",
    "for main container",
    "for ephemeral container",
    "for static pod",
];
const FIRST: [&str; 10] = [
    "MountVolume.SetUp",
    "AttachVolume.Attach",
    "PullImage",
    "StartContainer",
    "CreatePodSandbox",
    "ReadinessProbe",
    "LivenessProbe",
    "SetUpNetwork",
    "EvictPod",
    "UpdateStatus",
];
const THEN: [&str; 10] = [
    "Error syncing pod",
    "Killing container",
    "Back-off restarting",
    "Container exited",
    "Pod sandbox changed",
    "Pod marked failed",
    "Evicting pod",
    "Node condition changed",
    "Failing over workload",
    "Skipping pod sync",
];

/// Messages A and B of a pair. A thousand differ; a few are spread over all words.
pub(crate) fn of(pair: usize) -> (String, String) {
    let mixed = pair * 617 % 1000;
    let word = |list: &[&'static str; 10], at: usize| list.get(at % 10).copied().unwrap_or_default();
    let object = word(&OBJECTS, mixed / 10);
    let cause = word(&CAUSES, mixed);
    (
        format!("{} failed {object}: {cause}", word(&FIRST, mixed / 100)),
        format!("{} {object}: caused by {cause}", word(&THEN, mixed / 100)),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_thousand_pairs_have_two_thousand_messages() {
        let all: BTreeSet<String> = (0..1000).map(of).flat_map(|(a, b)| [a, b]).collect();
        assert_eq!(all.len(), 2000);
    }

    #[test]
    fn they_are_those_of_the_generator() {
        let said = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let first = "MountVolume.SetUp failed for configmap: timed out";
        assert_eq!(of(0), said(first, "Error syncing pod for configmap: caused by timed out"));
        let second = "LivenessProbe failed for secret: too many open files";
        assert_eq!(of(1), said(second, "Evicting pod for secret: caused by too many open files"));
    }
}
