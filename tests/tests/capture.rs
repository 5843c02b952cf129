//! `kwhy capture`: what it writes of a cluster is diagnosed to that cluster's cause, whatever may not be read of it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::{fs, path::Path, process::Command};

use kwhy_proto::Timestamp;
use kwhy_tests::{
    Background, CLUSTER, Ended, Kwhy, Metrics,
    apiserver::{ApiServer, Fault, On, just_now, shifted},
    coredns_loop,
    findings::{Findings, root_of},
    journal_remote,
};
use serde_json::json;

/// When the capture of the coredns loop ends.
const END: &str = "2020-04-24T13:15:00Z";

/// An API server of the cluster of the coredns loop as it stands at its end, with one Secret more.
fn api(end: Timestamp) -> ApiServer {
    let server = ApiServer::start();
    server.give_at_most(7);
    let capture = shifted(&coredns_loop(), END, end);
    for object in capture.objects.into_iter().chain(capture.events) {
        server.put(object);
    }
    for (verb, object) in capture.changes {
        assert_eq!(verb, "MODIFIED");
        server.put(object);
    }
    for log in &capture.logs {
        server.put_log(log);
    }
    server.put(json!({"kind": "Secret", "type": "Opaque", "data": {"password": "c2VjcmV0LWNhbmFyeQ=="},
        "metadata": {"name": "canary", "namespace": "default", "annotations": {"tool/copy": "secret-canary"}}}));
    server
}

/// An Alertmanager with the alerts of that time: it answers whatever is asked with one text.
fn alertmanager(end: Timestamp) -> Metrics {
    Metrics::serve(&shifted(&coredns_loop(), END, end).alerts.to_string())
}

fn capture(kwhy: &Kwhy, kubeconfig: &Path, more: &[&str]) -> Ended {
    let dir = kwhy.home("incident");
    let mut command = kwhy.command(&[&"capture", &dir, &"--cluster", &CLUSTER]);
    command.args(more).env("KUBECONFIG", kubeconfig);
    Background::start(command).wait()
}

/// The loud findings, as `code root`, and how many alerts they explain.
fn causes(kwhy: &Kwhy) -> Vec<(String, usize)> {
    let findings = Findings::of(kwhy, &kwhy.home("incident")).expect("findings");
    let told = findings.loud().map(|f| {
        (
            format!("{} {}", f.code, root_of(f)),
            f.symptoms.iter().filter(|symptom| symptom.source == "alert").count(),
        )
    });
    told.collect()
}

fn all_text(dir: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        if entry.path().is_dir() {
            all += &all_text(&entry.path());
        } else {
            all += &String::from_utf8_lossy(&fs::read(entry.path()).expect("a file"));
        }
    }
    all
}

#[test]
fn a_captured_cluster_is_diagnosed_to_its_cause() {
    let (kwhy, end) = (Kwhy::new(), just_now());
    let (server, alerts) = (api(end), alertmanager(end));
    let alertmanager = format!("http://{}/", alerts.address);
    let ended = capture(&kwhy, &server.kubeconfig(&kwhy.home("")), &["--alertmanager", &alertmanager]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let errors = ended.errors();
    assert!(errors.len() == 1 && errors[0].contains("4 alerts; next: kwhy diagnose "), "{errors:?}");
    let original = Findings::of(&kwhy, &coredns_loop()).expect("findings");
    let original: Vec<String> = original.loud().map(|f| format!("{} {}", f.code, root_of(f))).collect();
    assert_eq!(causes(&kwhy), [(original[0].clone(), 3)]);
}

#[test]
fn of_secrets_only_the_names_of_their_keys_are_written() {
    let kwhy = Kwhy::new();
    let server = api(just_now());
    assert_eq!(capture(&kwhy, &server.kubeconfig(&kwhy.home("")), &[]).code, Some(0));
    let text = all_text(&kwhy.home("incident"));
    assert!(text.contains("\"password\":null") && text.contains("\"name\":\"canary\""));
    assert!(!text.contains("c2VjcmV0LWNhbmFyeQ==") && !text.contains("secret-canary"));
}

#[test]
fn what_may_not_be_read_is_one_line_each_and_the_cause_stands() {
    let kwhy = Kwhy::new();
    let server = api(just_now());
    for path in ["/api/v1/secrets", "/api/v1/namespaces/default/secrets", "/api/v1/persistentvolumes"] {
        server.fail_always(path, On::List, Fault::Status(403));
    }
    server.fail_always("/apis/batch/v1/jobs", On::List, Fault::Status(500));
    let ended = capture(&kwhy, &server.kubeconfig(&kwhy.home("")), &["--alertmanager", "http://127.0.0.1:1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let errors = ended.errors();
    let told = |words: &str| {
        assert!(errors.iter().filter(|line| line.contains(words)).count() == 1, "{words}: {errors:?}")
    };
    told("left out: v1 Secret: not granted (`kubectl auth can-i list secrets`)");
    told("left out: v1 PersistentVolume: not granted");
    told("left out: batch/v1 Job: the API server says 500 as scripted");
    told("left out: no alerts: ");
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert!(causes(&kwhy)[0].0.starts_with("coredns.forward-loop "));
}

#[test]
fn who_may_read_one_namespace_alone_gets_that() {
    let kwhy = Kwhy::new();
    let server = api(just_now());
    for path in ["/api/v1/pods", "/api/v1/nodes"] {
        server.fail_always(path, On::List, Fault::Status(403));
    }
    let kubeconfig = server.kubeconfig(&kwhy.home(""));
    let text = fs::read_to_string(&kubeconfig).expect("a kubeconfig");
    fs::write(&kubeconfig, text.replace("user: kwhy}", "user: kwhy, namespace: kube-system}"))
        .expect("a file");
    let ended = capture(&kwhy, &kubeconfig, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("v1 Pod: of namespace kube-system alone"), "{}", ended.stderr);
    assert!(ended.stderr.contains("v1 Node: not granted"), "{}", ended.stderr);
    assert!(causes(&kwhy)[0].0.starts_with("coredns.forward-loop "));
}

#[test]
fn a_server_that_does_not_answer_and_a_folder_that_is_full_are_refused() {
    let kwhy = Kwhy::new();
    // It has ended when it is asked.
    let gone = ApiServer::start().kubeconfig(&kwhy.home(""));
    let ended = capture(&kwhy, &gone, &[]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot be reached"), "{}", ended.stderr);
    assert!(!kwhy.home("incident").exists(), "nothing of no use is left");

    kwhy.write("incident/notes.txt", "mine");
    let ended = capture(&kwhy, &gone, &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not empty; name a new directory"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(kwhy.home("incident/notes.txt")).expect("it stays"), "mine");
}

/// A journal file in the home of a kwhy, and a configuration that names its folder: entries are minutes ago, unit, text.
fn journal(kwhy: &Kwhy, entries: &[(i64, &str, &str)]) {
    let mut export = String::new();
    for (number, (ago, unit, message)) in entries.iter().enumerate() {
        let (at, boot) = ((just_now().seconds - ago * 60) * 1_000_000, "b".repeat(32));
        export += &format!(
            "__CURSOR=s={};i={number:x};b={boot};m={number:x};t={at:x};x={number:x}\n__REALTIME_TIMESTAMP={at}\n\
             __MONOTONIC_TIMESTAMP={number}\n_BOOT_ID={boot}\n_HOSTNAME=kal\nSYSLOG_IDENTIFIER={unit}\n_PID=77\n\
             _SYSTEMD_UNIT={unit}.service\n_TRANSPORT=stdout\nPRIORITY=6\nMESSAGE={message}\n\n",
            "a".repeat(32)
        );
    }
    let text = kwhy.write("journal/entries.export", export);
    let file = kwhy.home("journal/x.journal");
    let made = Command::new(journal_remote()).arg("-o").arg(file).arg(text).output().expect("it runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let folder = kwhy.home("journal");
    kwhy.write("kwhy.yaml", format!("kubelet: {{journal_directory: '{}'}}\n", folder.display()));
}

/// Captures with --kubelet on a machine that is this node, and gives the log of it, if one was taken.
fn kubelet_of_this_machine(entries: &[(i64, &str, &str)]) -> (Kwhy, Ended, Option<String>) {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let host = host.trim();
    let kwhy = Kwhy::new();
    journal(&kwhy, entries);
    let server = api(just_now());
    server.put(json!({"kind": "Node", "metadata": {"name": host, "uid": "this-machine"}}));
    let ended = capture(&kwhy, &server.kubeconfig(&kwhy.home("")), &["--kubelet"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let log = fs::read_to_string(kwhy.home("incident/kubelet").join(format!("{host}.log"))).ok();
    (kwhy, ended, log)
}

#[test]
fn the_log_of_the_kubelet_is_taken_from_a_real_journal_without_secrets() {
    let (kwhy, ended, log) = kubelet_of_this_machine(&[
        (120, "kubelet", "two hours ago"),
        (20, "kubelet", "I0101 10:00:00.000000      77 server.go:1] started with --token c4n4ry9"),
        (10, "sshd", "somebody came in"),
        (5, "k3s", "E0101 10:00:00.000000      77 server.go:1] of another distribution"),
    ]);
    let log = log.expect("a log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines[0].contains("kubelet[77]: I0101") && lines[0].ends_with("started with --token [redacted]"),
        "{log}"
    );
    assert!(lines[1].ends_with("of another distribution"), "{log}");
    assert!(ended.stderr.contains(", the kubelet log of "), "{}", ended.stderr);
    Findings::of(&kwhy, &kwhy.home("incident")).expect("it is read without complaint");
}

/// The twin: a journal of other things.
#[test]
fn a_journal_without_a_kubelet_is_told_and_nothing_is_written() {
    let (_kwhy, ended, log) = kubelet_of_this_machine(&[(10, "sshd", "somebody came in")]);
    assert_eq!(log, None);
    let told = "left out: no log of the kubelet: the journal has nothing of kubelet, k3s, ";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
}
