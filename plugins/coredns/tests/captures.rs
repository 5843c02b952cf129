//! The rule on captures of story A: what it must say, and where it must keep silent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod small;

use std::path::Path;

use kwhy_coredns::Coredns;
use kwhy_sdk::testkit::{Bench, Input, read_capture};
use small::{LOOP, TIMEOUT, only, run, words};

fn inputs(name: &str) -> Vec<Input> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures").join(name);
    let inputs = read_capture(&dir).unwrap();
    assert!(inputs.len() > 100, "{} holds only {} inputs", dir.display(), inputs.len());
    inputs
}

/// What the answer keys of the captures forbid in titles and remedies.
const NEVER: [&str; 3] = [
    r#"(?i)\b(remov|disabl|delet|drop|comment|turn)\w*( out| off)?( the)? [`'"]?loop[`'"]? ?(plugin|detection|directive|line|check|from)"#,
    r"(?i)disabl\w* .{0,30}loop (plugin|detection)",
    r"(?i)(increase|raise|add).{0,20}(memory|replicas)",
];

#[test]
fn the_loop_on_one_node_is_found_with_all_that_tells_of_it() {
    let bench = run(&inputs("a1-coredns-loop"));
    let found = only(&bench);
    assert_eq!(
        (found.code.as_str(), found.root.kind.as_str(), found.root.name.as_str()),
        (LOOP, "Node", "kal")
    );
    assert_eq!(found.confidence, 96);
    for part in ["loop", "resolv.conf", "loopback", "127.0.0.53", "node kal"] {
        assert!(
            format!("{} {}", found.title, found.explanation).contains(part),
            "{part} is missing: {}",
            found.explanation
        );
    }
    for part in [
        "plugin/loop: Loop (127.0.0.1:39386 -> :53) detected for zone",
        "forward . /etc/resolv.conf",
        "BackOff ×73: Back-off restarting failed container",
        "ready since 2020-04-24T09:12:31Z",
        "CoreDNS-1.6.7",
    ] {
        assert!(
            found.evidence.iter().any(|e| e.excerpt.contains(part)),
            "no evidence says {part}: {:#?}",
            found.evidence
        );
    }
    let path: Vec<String> =
        found.path.iter().map(|s| format!("{} {}: {}", s.object.kind, s.object.path(), s.note)).collect();
    assert_eq!(
        path,
        [
            "ConfigMap kube-system/coredns: forward . /etc/resolv.conf",
            "Node kal: its resolv.conf names a loopback resolver",
            "Pod kube-system/coredns-66bff467f8-k2g6n: not ready, restarted 52 times",
        ]
    );
    let anchor =
        found.explains.iter().find(|e| e.name == "TargetDown").and_then(|e| e.anchor.clone()).unwrap();
    assert_eq!((anchor.kind.as_str(), anchor.name.as_str()), ("Deployment", "coredns"));
}

#[test]
fn the_remedies_can_be_pasted_and_name_servers_that_another_node_uses() {
    let found = only(&run(&inputs("a1-coredns-loop")));
    assert_eq!(
        found.remedies[0].command,
        "kubectl -n kube-system edit configmap coredns     # forward . 192.168.7.10 1.1.1.1 8.8.8.8\n\
         kubectl -n kube-system delete pod coredns-66bff467f8-k2g6n"
    );
    assert!(found.remedies[0].caution.starts_with("do not remove the loop plugin"));
    assert!(
        found.remedies[1].command.contains("resolvConf: /run/systemd/resolve/resolv.conf"),
        "{}",
        found.remedies[1].command
    );
    for never in NEVER {
        let never = regex::Regex::new(never).unwrap();
        for text in found
            .remedies
            .iter()
            .flat_map(|r| [&r.text, &r.command])
            .chain([&found.title, &found.explanation])
        {
            assert!(!never.is_match(text), "{never} matches {text}");
        }
    }
}

#[test]
fn a_single_timeout_of_the_well_pod_is_ruled_out_with_its_reason() {
    let bench = run(&inputs("a1-coredns-loop"));
    let rejected = bench.rejected(TIMEOUT).unwrap();
    assert_eq!(rejected.root.name, "kal");
    assert_eq!(
        rejected.because,
        "one timeout at 12:41:17, on coredns-66bff467f8-fzjz2, which is ready; the pods that loop have none"
    );
}

#[test]
fn the_edit_of_the_corefile_clears_it_before_the_pods_are_made_anew() {
    let bench = run(&inputs("a1-fixed"));
    assert!(bench.diagnoses().is_empty(), "{:#?}", bench.diagnoses());
    let cleared: Vec<&str> = bench.cleared().iter().map(|c| c.because.as_str()).collect();
    assert_eq!(
        cleared,
        [
            "the Corefile in kube-system/coredns was edited at 13:31:40 and now has `forward . 192.168.7.10 1.1.1.1`"
        ]
    );
}

#[test]
fn it_stands_until_that_edit() {
    let mut before = inputs("a1-fixed");
    before.retain(|i| i.at() < kwhy_sdk::parse_time("2020-04-24T13:31:40Z").unwrap());
    assert_eq!(only(&run(&before)).root.name, "kal");
}

#[test]
fn a_rolling_update_with_timeouts_of_the_probe_says_nothing() {
    let bench: Bench<Coredns> = run(&inputs("a1-near-miss"));
    assert!(
        bench.diagnoses().is_empty(),
        "{}",
        bench.diagnoses().iter().map(|d| words(d)).collect::<String>()
    );
    assert!(bench.cleared().is_empty());
    assert!(bench.rejected(TIMEOUT).is_none());
}
