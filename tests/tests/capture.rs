//! `kwhy capture`: what it writes of a cluster is diagnosed to that cluster's cause, whatever may not be read of it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use kwhy_tests::{
    Background, CLUSTER, Ended, Kwhy, coredns_loop,
    findings::{Findings, root_of},
    python,
};

/// An API server of the cluster of the coredns loop, and an Alertmanager beside it, at this port.
fn api(options: &[&str]) -> (Background, String) {
    let capture = coredns_loop();
    let mut arguments = vec![capture.to_string_lossy().into_owned()];
    arguments.extend(options.iter().map(|&option| option.to_owned()));
    let server = Background::start(python::script("apiserver.py", arguments));
    let port = server.wait_for("line `port N`", |line| line.strip_prefix("port ").map(str::to_owned));
    (server, port)
}

fn kubeconfig(kwhy: &Kwhy, port: &str) -> PathBuf {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\nclusters: [{{name: it, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]\n\
         contexts: [{{name: it, context: {{cluster: it, user: me, namespace: kube-system}}}}]\nusers: [{{name: me, user: {{}}}}]\n"
    );
    kwhy.write("kubeconfig", text)
}

fn capture(kwhy: &Kwhy, port: &str, more: &[&str]) -> Ended {
    let dir = kwhy.home("incident");
    let mut command = kwhy.command(&[&"capture", &dir, &"--cluster", &CLUSTER]);
    command.args(more).env("KUBECONFIG", kubeconfig(kwhy, port));
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
    let kwhy = Kwhy::new();
    let (_server, port) = api(&[]);
    let ended = capture(&kwhy, &port, &["--alertmanager", &format!("http://127.0.0.1:{port}/")]);
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
    let (_server, port) = api(&[]);
    assert_eq!(capture(&kwhy, &port, &[]).code, Some(0));
    let text = all_text(&kwhy.home("incident"));
    assert!(text.contains("\"password\":null") && text.contains("\"name\":\"canary\""));
    assert!(!text.contains("c2VjcmV0LWNhbmFyeQ==") && !text.contains("secret-canary"));
}

#[test]
fn what_may_not_be_read_is_one_line_each_and_the_cause_stands() {
    let kwhy = Kwhy::new();
    let (_server, port) = api(&["--forbid", "secrets", "--forbid", "persistentvolumes", "--broken", "jobs"]);
    let ended = capture(&kwhy, &port, &["--alertmanager", "http://127.0.0.1:1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let errors = ended.errors();
    let told = |words: &str| {
        assert!(errors.iter().filter(|line| line.contains(words)).count() == 1, "{words}: {errors:?}")
    };
    told("left out: v1 Secret: not granted (`kubectl auth can-i list secrets`)");
    told("left out: v1 PersistentVolume: not granted");
    told("left out: batch/v1 Job: the API server says 500 etcdserver: request timed out");
    told("left out: no alerts: ");
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert!(causes(&kwhy)[0].0.starts_with("coredns.forward-loop "));
}

#[test]
fn who_may_read_one_namespace_alone_gets_that() {
    let kwhy = Kwhy::new();
    let (_server, port) = api(&["--forbid", "pods", "--forbid", "nodes", "--own", "kube-system"]);
    let ended = capture(&kwhy, &port, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("v1 Pod: of namespace kube-system alone"), "{}", ended.stderr);
    assert!(ended.stderr.contains("v1 Node: not granted"), "{}", ended.stderr);
    assert!(causes(&kwhy)[0].0.starts_with("coredns.forward-loop "));
}

#[test]
fn a_server_that_does_not_answer_and_a_folder_that_is_full_are_refused() {
    let kwhy = Kwhy::new();
    let ended = capture(&kwhy, "1", &[]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot be reached"), "{}", ended.stderr);
    assert!(!kwhy.home("incident").exists(), "nothing of no use is left");

    kwhy.write("incident/notes.txt", "mine");
    let ended = capture(&kwhy, "1", &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("is not empty; name a new directory"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(kwhy.home("incident/notes.txt")).expect("it stays"), "mine");
}
