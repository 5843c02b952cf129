//! The rule on captures of story B: what it must say, and where it must keep silent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod small;

use std::path::Path;

use kwhy_sdk::{
    ObjectRef, parse_time,
    testkit::{Input, read_capture},
};
use small::{LOOPBACK, only, run};

fn inputs(name: &str) -> Vec<Input> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures").join(name);
    let inputs = read_capture(&dir).unwrap();
    assert!(inputs.len() > 50, "{} holds only {} inputs", dir.display(), inputs.len());
    inputs
}

/// The alert that the kit's reader leaves out, as the core hands it on.
fn alert(at: &str, name: &str) -> Input {
    let at = parse_time(at).unwrap();
    Input::alert(
        at,
        name,
        &ObjectRef::new("DaemonSet", "kube-system", "kube-proxy"),
        &[("job", "kube-proxy")],
    )
}

fn with(name: &str, alert: Input) -> Vec<Input> {
    let mut all = inputs(name);
    let place = all.iter().position(|i| i.at() > alert.at()).unwrap_or(all.len());
    all.insert(place, alert);
    all
}

#[test]
fn the_empty_address_of_1_29_and_the_written_one_of_1_18_and_1_33_are_found() {
    for (name, at, line) in [
        ("b3-kube-proxy-metrics-unreachable", "2024-03-19T08:24:04Z", r#"metricsBindAddress: """#),
        ("b4-noise-and-kube-proxy", "2022-02-12T16:18:55Z", "metricsBindAddress: 127.0.0.1:10249"),
        ("b5-kube-proxy-per-instance", "2026-08-24T08:10:40Z", "metricsBindAddress: 127.0.0.1:10249"),
    ] {
        let found = only(&run(&with(name, alert(at, "KubeProxyDown"))));
        assert_eq!(
            (found.code.as_str(), found.root.kind.as_str(), found.confidence),
            (LOOPBACK, "ConfigMap", 95),
            "{name}"
        );
        assert_eq!(found.evidence[0].excerpt, line, "{name}");
    }
}

#[test]
fn no_other_capture_gets_a_word() {
    for name in [
        "a1-coredns-loop",
        "b1-volume-ownership-noise",
        "b2-real-churn",
        "d5-node-down-cascade",
        "d7-quiet-day",
    ] {
        let at = inputs(name).last().unwrap().at();
        let mut all = inputs(name);
        assert!(run(&all).diagnoses().is_empty(), "{name}");
        // Even if the alert fired there: the address is one that others reach, or kube-proxy is not known.
        let Input::Signal(mut late) = alert("2024-03-19T08:24:04Z", "KubeProxyDown") else { return };
        late.at = at;
        all.push(Input::Signal(late));
        assert!(run(&all).diagnoses().is_empty(), "{name}");
    }
}
