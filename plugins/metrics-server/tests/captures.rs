//! The rule on captures of story C: what it must say, and where it must keep silent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod small;

use std::path::Path;

use kwhy_sdk::testkit::{Input, read_capture};
use small::{CERTIFICATE, NAMES, UNKNOWN_CA, claims, only, run};

fn inputs(name: &str) -> Vec<Input> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures").join(name);
    let inputs = read_capture(&dir).unwrap();
    assert!(inputs.len() > 50, "{} holds only {} inputs", dir.display(), inputs.len());
    inputs
}

/// Runs a capture and checks what its answer key forbids.
fn found(name: &str, never: &[&str]) -> kwhy_sdk::Diagnosis {
    let found = only(&run(&inputs(name)));
    for never in never {
        let text = claims(&found);
        assert!(!regex::Regex::new(never).unwrap().is_match(&text), "{name}: {never} matches {text}");
    }
    found
}

#[test]
fn names_that_dns_does_not_know_are_found_behind_a_crash_loop_of_0_3() {
    let found = found(
        "c1-metrics-server-node-names",
        &[
            r"(?i)(core)?dns (server )?(is|are) (down|broken|failing|unreachable)",
            r"(?i)restart (the )?(coredns|kubelet|node)",
            r"(?i)liveness probe (is )?too (strict|aggressive|short)",
            r"(?i)certificate signed by unknown",
        ],
    );
    assert_eq!((found.code.as_str(), found.root.kind.as_str(), found.confidence), (NAMES, "Deployment", 96));
    assert!(
        found.evidence[0].excerpt.contains("lookup ford on 10.96.0.10:53: no such host"),
        "{:#?}",
        found.evidence
    );
    // The arguments of that chart stand in `command`.
    assert!(
        found.remedies[0].command.contains(
            r#"[{"op":"add","path":"/spec/template/spec/containers/0/command/-","value":"--kubelet-preferred-address-types=InternalIP"}]"#
        ),
        "{}",
        found.remedies[0].command
    );
}

#[test]
fn certificates_without_addresses_are_found_in_0_7() {
    let found = found(
        "c2-metrics-server-san",
        &[
            r"(?i)unknown authority",
            r"(?i)(check|replace|update|fix) the CA\b",
            r"(?i)node names? (do|does) not resolve",
        ],
    );
    assert_eq!((found.code.as_str(), found.confidence), (CERTIFICATE, 96));
    assert!(found.remedies[0].text.contains("serverTLSBootstrap"));
    assert!(found.explains.iter().any(|e| e.name == "FailedGetResourceMetric"));
}

#[test]
fn a_ca_that_is_not_trusted_is_not_a_matter_of_names_in_certificates() {
    let found = found(
        "c-near-miss",
        &[
            r"\bSANs?\b",
            r"(?i)subject alternative",
            r"(?i)preferred-address-types",
            r"(?i)no such host",
            r"(?i)resolve (the )?node names?",
        ],
    );
    assert_eq!((found.code.as_str(), found.root.name.as_str()), (UNKNOWN_CA, "metrics-server"));
    assert!(
        found.remedies[0].command.contains("edit configmap kubelet-serving-ca     # ca.crt"),
        "{}",
        found.remedies[0].command
    );
}

#[test]
fn no_other_capture_gets_a_word() {
    for name in
        ["a1-coredns-loop", "b3-kube-proxy-metrics-unreachable", "d5-node-down-cascade", "d7-quiet-day"]
    {
        let bench = run(&inputs(name));
        assert!(bench.diagnoses().is_empty(), "{name}: {:#?}", bench.diagnoses());
    }
}
