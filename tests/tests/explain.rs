//! `kwhy explain`: what makes kwhy believe a finding.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::fs;

use kwhy_proto::v1::Finding;
use kwhy_tests::{CLUSTER, Client, Ended, Kwhy, NatsServer, coredns_loop, finish, nats_server};
use serde_json::Value;

const DONE: Option<i32> = Some(0);
const WRONG: Option<i32> = Some(2);
const NOTHING_READ: Option<i32> = Some(3);
const LOOP: &str = "coredns.forward-loop";

fn explain(kwhy: &Kwhy, finding: &str) -> Ended {
    kwhy.run(&[&"explain", &finding, &"--capture", &coredns_loop()])
}

/// The id under which a code was found.
fn id_of(kwhy: &Kwhy, code: &str) -> String {
    let found = kwhy.diagnose(&coredns_loop()).stdout;
    let findings = found.lines().map(|line| serde_json::from_str::<Finding>(line).expect("a finding"));
    findings.filter(|finding| finding.code == code).map(|finding| finding.id).next().expect("it was found")
}

#[track_caller]
fn assert_refused(ended: &Ended, code: Option<i32>, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{}", ended.stderr);
    assert_eq!(ended.errors().len(), 1, "one line, not\n{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is missing in {}", ended.stderr);
    }
}

/// The lines from the one that begins with `from` up to the one that begins with `to`.
fn between(text: &str, from: &str, to: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with(from)).skip(1);
    lines.take_while(|line| !line.starts_with(to)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_way_from_the_cause_to_the_symptoms_is_told_with_the_signal_of_each_step() {
    let ended = explain(&Kwhy::new(), LOOP);
    assert_eq!((ended.code, ended.stderr.as_str()), (DONE, ""));
    let text = &ended.stdout;
    let map = between(text, "   1  ConfigMap kube-system/coredns", "   2  Node kal");
    assert!(map.contains("object   forward . /etc/resolv.conf"), "{text}");
    let pod = between(text, "   3  Pod kube-system/coredns-66bff467f8-k2g6n", "   4  ReplicaSet");
    for words in [
        "13:09:21  log      [FATAL] plugin/loop: Loop (127.0.0.1:39386 -> :53) detected",
        "pods/kube-system/coredns-66bff467f8-k2g6n/coredns.log:5",
        "alert    KubePodCrashLooping: ",
    ] {
        assert!(pod.contains(words), "no `{words}` in\n{text}");
    }
    let ruled_out = between(text, "  Causes that were ruled out", "  So kwhy believes it");
    assert!(ruled_out.contains("coredns.upstream-timeout · Node kal"), "{text}");
    assert!(ruled_out.contains("one timeout at 12:41:17"), "{text}");
    assert!(ruled_out.contains("12:41:17  log      Pod kube-system/coredns-66bff467f8-fzjz2:"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "a line is too wide:\n{text}");
}

#[test]
fn a_finding_is_meant_by_its_id_or_the_beginning_of_it_too() {
    let kwhy = Kwhy::new();
    let by_code = explain(&kwhy, LOOP).stdout;
    let id = id_of(&kwhy, LOOP);
    assert_eq!(explain(&kwhy, &id).stdout, by_code);
    assert_eq!(explain(&kwhy, id.get(..6).expect("an id")).stdout, by_code);
}

#[test]
fn the_json_holds_the_finding_and_the_signs_of_each_step() {
    let kwhy = Kwhy::new();
    let ended = kwhy.run(&[&"explain", &LOOP, &"--capture", &coredns_loop(), &"--output", &"json"]);
    assert_eq!((ended.code, ended.stdout.lines().count()), (DONE, 1), "{}", ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let finding: Finding =
        serde_json::from_value(told.get("finding").cloned().expect("a finding")).expect("a kwhy.v1.Finding");
    assert_eq!(finding.code, LOOP);
    let at = |pointer: &str| told.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    assert_eq!(at("/steps/2/object/kind"), "Pod");
    assert_eq!(at("/steps/2/signs/0/source"), "log");
    assert_eq!(at("/steps/2/signs/0/at"), "2020-04-24T13:09:21.131Z");
    assert_eq!(at("/effects/0/code"), "workload.exit-on-start");
}

#[test]
fn what_cannot_be_explained_is_one_line_that_says_what_to_do() {
    let kwhy = Kwhy::new();
    let id = id_of(&kwhy, LOOP);
    assert_refused(&explain(&kwhy, "f"), WRONG, &["kwhy: `f` begins ", "give more of it", &id]);
    assert_refused(&explain(&kwhy, "e00"), WRONG, &["kwhy: there is no finding `e00`; there are ", &id]);
    let near = "did you mean coredns.forward-loop";
    assert_refused(&explain(&kwhy, "coredns.forwad-loop"), WRONG, &[near, "kwhy rule list"]);
    let absent = "no finding has the code node.kubelet-stopped";
    assert_refused(&explain(&kwhy, "node.kubelet-stopped"), WRONG, &[absent]);
    let nowhere = kwhy.run(&[&"explain", &LOOP, &"--capture", &"nowhere"]);
    assert_refused(&nowhere, NOTHING_READ, &["kwhy: nowhere: there is no such directory"]);
    let no_source = kwhy.run(&[&"explain", &LOOP]);
    assert_refused(&no_source, WRONG, &["kwhy: no --capture DIR is given: no NATS server is named"]);
    let silent = kwhy.run(&[&"explain", &LOOP, &"--nats", &"nats://127.0.0.1:1"]);
    assert_refused(&silent, NOTHING_READ, &["127.0.0.1:1"]);
}

fn why_not(kwhy: &Kwhy, code: &str) -> Value {
    let ended =
        kwhy.run(&[&"explain", &"--code", &code, &"--capture", &coredns_loop(), &"--output", &"json"]);
    assert_eq!((ended.code, ended.stdout.lines().count(), ended.stderr.as_str()), (DONE, 1, ""));
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn why_a_cause_was_not_named_is_told_from_what_its_rule_said_and_what_became_of_it() {
    let kwhy = Kwhy::new();
    let at = |told: &Value, pointer: &str| {
        told.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    for (code, answer) in [
        (LOOP, "named"),
        ("workload.exit-on-start", "folded"),
        ("coredns.upstream-timeout", "ruledOut"),
        ("node.disk-pressure", "notMet"),
    ] {
        assert_eq!(at(&why_not(&kwhy, code), "/answer"), answer, "{code}");
    }
    let folded = why_not(&kwhy, "workload.exit-on-start");
    assert_eq!(at(&folded, "/findings/0/foldedUnder/code"), LOOP);
    assert_eq!(at(&folded, "/lesser/0/than/code"), LOOP);
    let ruled_out = why_not(&kwhy, "coredns.upstream-timeout");
    assert!(at(&ruled_out, "/ruledOut/0/because").starts_with("one timeout at 12:41:17"), "{ruled_out}");
}

#[test]
fn what_a_rule_asked_for_is_told_with_how_often_it_came() {
    let kwhy = Kwhy::new();
    let ended = kwhy.run(&[&"explain", &"--code", &"coredns.config-invalid", &"--capture", &coredns_loop()]);
    assert_eq!((ended.code, ended.stderr.as_str()), (DONE, ""));
    let text = &ended.stdout;
    let vain = between(text, "  Asked for and never heard", "  Asked for and heard");
    assert!(vain.contains("alert    CoreDNSDown · KubeDNSDown"), "{text}");
    assert!(vain.contains("coredns-refused \"Error during parsing: "), "{text}");
    let heard = between(text, "  Asked for and heard", "nothing more");
    assert!(
        heard.lines().any(|line| line.starts_with("    log      coredns-loop") && line.contains("1×")),
        "{text}"
    );
    assert!(!vain.contains("coredns-loop") && !heard.contains("CoreDNSDown"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "a line is too wide:\n{text}");
}

#[test]
fn a_source_that_gave_nothing_is_told_with_what_would_bring_it() {
    let kwhy = Kwhy::new();
    let dir = kwhy.copy_of(&coredns_loop());
    fs::remove_dir_all(dir.join("pods")).expect("it can be removed");
    let ended = kwhy.run(&[&"explain", &"--code", &LOOP, &"--capture", &dir]);
    let words =
        "nothing of source log at all; `kubectl logs --timestamps` makes pods/NAMESPACE/POD/CONTAINER.log";
    let flat = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(words), "{}", ended.stdout);
}

#[test]
fn a_code_that_nobody_knows_is_refused_with_the_near_ones() {
    let kwhy = Kwhy::new();
    let unknown = kwhy.run(&[&"explain", &"--code", &"coredns.foward-loop", &"--capture", &coredns_loop()]);
    assert_refused(
        &unknown,
        WRONG,
        &["no rule knows the code coredns.foward-loop; did you mean coredns.forward-loop"],
    );
    for ended in [kwhy.run(&[&"explain", &"--code", &LOOP]), kwhy.run(&[&"explain"])] {
        assert_eq!((ended.code, ended.stdout.as_str()), (WRONG, ""));
        assert!(ended.stderr.contains("kwhy explain --code CODE --capture DIR"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_finding_that_is_stored_in_nats_is_explained_like_one_of_a_capture() {
    let kwhy = Kwhy::new();
    let server = NatsServer::start(&nats_server());
    let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &CLUSTER]);
    let before = kwhy.run(&[&"explain", &LOOP, &"--nats", &server.url]);
    assert_refused(&before, WRONG, &["no finding has the code coredns.forward-loop"]);

    kwhy.feed(&coredns_loop(), &server.url);
    let client = Client::connect(&server.url).await;
    let ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(ended.code, DONE, "{}", ended.stderr);
    let stored = kwhy.run(&[&"explain", &LOOP, &"--nats", &server.url]);
    assert_eq!((stored.code, stored.stderr.as_str()), (DONE, ""));
    assert_eq!(stored.stdout, explain(&kwhy, LOOP).stdout);

    kwhy.write("kwhy.yaml", format!("nats:\n  url: {}\n", server.url));
    assert_eq!(kwhy.run(&[&"explain", &LOOP]).stdout, stored.stdout);
}
