//! `kwhy rule list`: what kwhy says that it knows.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::{collections::BTreeSet, fs};

use kwhy_sandbox::testing::fixture;
use kwhy_tests::{Ended, Kwhy, gate::plugins};
use serde_json::Value;

fn listed(ended: &Ended) -> Vec<Value> {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is a rule")).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn codes(rule: &Value) -> &[Value] {
    rule.get("codes").and_then(Value::as_array).expect("a list of codes")
}

#[test]
fn every_pack_is_listed_with_its_version_digest_and_codes() {
    let rules = listed(&Kwhy::new().run(&[&"rule", &"list", &"--output", &"json"]));
    let names: BTreeSet<&str> = rules.iter().map(|rule| text(rule, "name")).collect();
    let entries = fs::read_dir(plugins()).expect("a folder").flatten();
    let packs: BTreeSet<String> = entries
        .filter(|entry| entry.path().join("Cargo.toml").is_file() && entry.file_name() != "sdk")
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, packs.iter().map(String::as_str).collect());
    for rule in &rules {
        let digest = text(rule, "digest");
        assert!(digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()), "{digest}");
        assert!(!text(rule, "version").is_empty());
        assert_eq!(rule.get("file"), None, "it is built in");
        assert!(!codes(rule).is_empty(), "{rule}");
        for code in codes(rule) {
            assert!(text(code, "code").contains('.') && !text(code, "title").is_empty(), "{code}");
            assert!(!text(code, "versions").is_empty(), "{code} says not which versions show it");
            assert!(code.get("references").is_some_and(Value::is_array), "{code}");
        }
    }
}

#[test]
fn a_rule_of_ones_own_comes_last_with_the_file_it_was_read_from() {
    let kwhy = Kwhy::new();
    let file = kwhy.write("rules/own.wasm", fixture("echo"));
    let dir = kwhy.home("rules");
    let by_option = kwhy.run(&[&"rule", &"list", &"--output", &"json", &"--rules", &dir]);
    let rules = listed(&by_option);
    let own = rules.last().expect("a rule");
    assert_eq!(text(own, "file"), file.to_string_lossy());

    kwhy.write("kwhy.yaml", "rules: [rules]\n");
    let by_configuration = listed(&kwhy.run(&[&"rule", &"list", &"--output", &"json"]));
    assert_eq!(by_configuration.len(), rules.len());

    let ended = kwhy.run(&[&"rule", &"list"]);
    let page = &ended.stdout;
    let digest = text(own, "digest").get(..12).expect("a digest");
    for words in [&format!("rules/own.wasm · sha256 {digest}")[..], "coredns.forward-loop", " · built in · "]
    {
        assert!(page.contains(words), "no `{words}` in\n{page}");
    }
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(page.lines().all(|line| line.chars().count() <= 100), "a line is too wide:\n{page}");
}

#[test]
fn a_rules_folder_that_is_not_there_is_one_error() {
    let ended = Kwhy::new().run(&[&"rule", &"list", &"--rules", &"nowhere"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert_eq!(ended.errors().len(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("kwhy: rules folder nowhere: "), "{}", ended.stderr);
}
