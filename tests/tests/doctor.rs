//! `kwhy doctor`: each thing that is missing is named with what mends it, and what is well is not complained of.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use kwhy_tests::{
    Background, CLUSTER, Ended, Kwhy, NatsServer, Slack,
    apiserver::{ApiServer, Fault, On},
    coredns_loop, nats_server,
};
use serde_json::Value;

/// What each look said, by its name: state, words, mend.
fn looks(ended: &Ended) -> Vec<(String, String, String, String)> {
    let text = |value: &Value, name: &str| value[name].as_str().expect("a text").to_owned();
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.map(|l| (text(&l, "check"), text(&l, "state"), text(&l, "said"), text(&l, "mend"))).collect()
}

fn look(ended: &Ended, name: &str) -> (String, String, String) {
    let found = looks(ended).into_iter().find(|(check, ..)| check == name);
    let (_, state, said, mend) = found.unwrap_or_else(|| panic!("{name} in\n{}", ended.stdout));
    (state, said, mend)
}

#[test]
fn without_anything_it_names_nats_and_says_what_to_start() {
    let ended = Kwhy::new().run(&[&"doctor"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("✖ nats "), "{}", ended.stdout);
    assert!(ended.stdout.contains("\n            kwhy run "), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_source_that_has_told_nothing_is_missing_until_it_tells_something() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    kwhy.write("kwhy.yaml", format!("cluster: {CLUSTER}\nnats:\n  url: {}\n", server.url));
    let before = kwhy.run(&[&"doctor", &"--output", &"json"]);
    assert_eq!(before.code, Some(1));
    assert_eq!(look(&before, "nats").0, "ok");
    for (source, mend) in
        [("alert", "alertmanagers:"), ("event", "kwhy collect kube"), ("kubelet", "kwhy collect kubelet")]
    {
        let (state, said, how) = look(&before, source);
        assert_eq!(state, "missing", "{source}: {said}");
        assert!(how.contains(mend), "{source}: {how}");
    }
    kwhy.feed(&coredns_loop(), &server.url);
    let after = kwhy.run(&[&"doctor", &"--output", &"json"]);
    for source in ["nats", "alert", "event", "kubelet"] {
        let (state, said, how) = look(&after, source);
        assert_eq!((state.as_str(), how.as_str()), ("ok", ""), "{source}: {said}");
    }
    let of_another = kwhy.run(&[&"doctor", &"--cluster", &"elsewhere", &"--output", &"json"]);
    assert!(look(&of_another, "event").1.contains("cluster elsewhere"), "{}", of_another.stdout);
    // Of another cluster nothing has come.
    kwhy.write("kwhy.yaml", format!("cluster: elsewhere\nnats:\n  url: {}\n", server.url));
    assert_eq!(look(&kwhy.run(&[&"doctor", &"--output", &"json"]), "alert").0, "missing");
}

#[test]
fn a_permission_that_is_missing_is_told_with_the_rule_that_grants_it() {
    let kwhy = Kwhy::new();
    let server = ApiServer::start();
    let asked = || {
        let mut command = kwhy.command(&[&"doctor", &"--output", &"json"]);
        command.env("KUBECONFIG", server.kubeconfig(&kwhy.home("")));
        Background::start(command).wait()
    };
    let (state, said, _) = look(&asked(), "rbac");
    assert_eq!(state, "ok", "{said}");
    server.fail_always("/api/v1/nodes", On::Watch, Fault::Status(403));
    server.fail_always("/pods/log", On::List, Fault::Status(403));
    let refused: Vec<_> = looks(&asked()).into_iter().filter(|(check, ..)| check == "rbac").collect();
    let told: Vec<(&str, &str)> =
        refused.iter().map(|(_, state, said, _)| (state.as_str(), said.as_str())).collect();
    assert_eq!(
        told,
        [("missing", "kwhy may not watch nodes"), ("missing", "kwhy may not get pods/log")],
        "listing nodes is granted"
    );
    assert!(
        refused[0]
            .3
            .contains(r#"- {apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"]}"#)
    );
    assert!(refused[1].3.contains(r#"resources: ["pods/log"], verbs: ["get"]"#));
}

#[test]
fn slack_is_asked_without_a_message_and_an_unknown_webhook_is_told_without_its_address() {
    let kwhy = Kwhy::new();
    let slack = Slack::listen();
    kwhy.write("kwhy.yaml", format!("slack:\n  webhook_url: {}\n", slack.url));
    let known = kwhy.run(&[&"doctor", &"--output", &"json"]);
    assert_eq!(look(&known, "slack").0, "ok");
    assert_eq!(slack.next(), "{}", "nothing that Slack would show");
    kwhy.write("kwhy.yaml", "slack:\n  webhook_url: http://127.0.0.1:1/services/T0/B0/secret\n");
    let unknown = kwhy.run(&[&"doctor", &"--output", &"json"]);
    assert_eq!(look(&unknown, "slack").0, "missing");
    assert!(!unknown.stdout.contains("B0/secret"), "{}", unknown.stdout);
}

#[test]
fn a_server_that_does_not_answer_is_told_with_how_to_start_one() {
    let kwhy = Kwhy::new();
    let ended = kwhy.run(&[&"doctor", &"--nats", &"nats://127.0.0.1:1", &"--output", &"json"]);
    let (state, said, mend) = look(&ended, "nats");
    assert_eq!(state, "missing");
    assert!(said.contains("127.0.0.1:1") && mend.contains("nats-server -js"), "{said} {mend}");
}
