//! A rule can fail, lie in wait or run wild and harm nothing else.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use kwhy_sandbox::testing::fixture;
use kwhy_tests::{Ended, Kwhy, coredns_loop};

/// Rules that run wild, and words of the one message that each gives. The first four are called, as they want all
/// alerts and the capture has some; the others are refused before anything of them runs.
const HOSTILE: [(&str, &[&str]); 9] = [
    ("loops", &["rule loops ", "used up its fuel", "all other rules go on"]),
    ("grows", &["rule grows ", "wanted more than 32 MiB of memory", "all other rules go on"]),
    ("panics", &["rule panics ", "panicked: src/lib.rs:7:5: boom", "all other rules go on"]),
    ("recurses", &["rule recurses ", "call stack exhausted", "all other rules go on"]),
    ("files", &["rule left out", "files.wasm: imports `wasi:filesystem/preopens@0.2.3`", "files"]),
    ("files-p1", &["rule left out", "files-p1.wasm: imports `wasi_snapshot_preview1", "files"]),
    CLOCK,
    DICE,
    DICE_P1,
];

/// Rules that would not say the same of the same log.
const CLOCK: Hostile =
    ("clock", &["rule left out", "clock.wasm: imports `wasi:clocks/wall-clock@0.2.3`", "a clock"]);
const DICE: Hostile =
    ("dice", &["rule left out", "dice.wasm: imports `wasi:random/random@0.2.3`", "randomness"]);
const DICE_P1: Hostile = (
    "dice-p1",
    &["rule left out", "dice-p1.wasm: imports `wasi_snapshot_preview1::random_get`", "randomness"],
);

type Hostile = (&'static str, &'static [&'static str]);

/// Diagnoses the coredns loop beside these fixtures.
fn beside(fixtures: &[&str]) -> Ended {
    let kwhy = Kwhy::new();
    std::fs::create_dir(kwhy.home("rules")).expect("a folder");
    for name in fixtures {
        kwhy.write(&format!("rules/{name}.wasm"), fixture(name));
    }
    kwhy.run(&[&"diagnose", &coredns_loop(), &"--rules", &kwhy.home("rules"), &"--output", &"json"])
}

/// The findings less what is said about rules, and the codes of the latter's titles.
fn split(ended: &Ended) -> (Vec<&str>, Vec<&str>) {
    ended.stdout.lines().partition(|line| !line.contains(r#""code":"kwhy.rule-failing""#))
}

fn assert_harmless(fixtures: &[(&str, &[&str])]) {
    let names: Vec<&str> = fixtures.iter().map(|(name, _)| *name).collect();
    let alone = beside(&[]);
    let ended = beside(&names);
    let messages = ended.errors();
    assert_eq!(messages.len(), names.len(), "{names:?}: one message each, not\n{}", ended.stderr);
    for (name, words) in fixtures {
        let about = |message: &&&str| words.iter().all(|word| message.contains(word));
        assert_eq!(messages.iter().filter(about).count(), 1, "{name}: {words:?} in\n{}", ended.stderr);
    }
    assert!(messages.iter().all(|message| message.starts_with("kwhy: ")), "{}", ended.stderr);
    assert_eq!(ended.code, Some(1), "{names:?}");
    let (findings, about_rules) = split(&ended);
    assert_eq!(
        findings,
        alone.stdout.lines().collect::<Vec<_>>(),
        "{names:?}: the other findings are the same"
    );
    for finding in about_rules {
        assert!(names.iter().any(|name| finding.contains(name)), "{finding}");
    }
}

#[test]
fn alone_the_capture_gives_its_finding_and_no_message() {
    let alone = beside(&[]);
    assert_eq!((alone.code, alone.stderr.as_str()), (Some(1), ""));
    assert!(alone.stdout.contains(r#""code":"coredns.forward-loop""#), "{}", alone.stdout);
}

#[test]
fn each_hostile_rule_gives_one_message_and_changes_no_finding() {
    for one in &HOSTILE {
        assert_harmless(&[*one]);
    }
}

#[test]
fn a_rule_that_wants_the_time_or_random_numbers_is_refused_with_the_import() {
    assert_harmless(&[CLOCK]);
    assert_harmless(&[DICE]);
    assert_harmless(&[DICE_P1]);
}

#[test]
fn hostile_rules_together_give_one_message_each_and_change_no_finding() {
    assert_harmless(&HOSTILE);
}

/// The twin of those above: a rule that behaves gives no message, and what it finds is there.
#[test]
fn a_rule_that_behaves_gives_no_message_and_its_findings() {
    let ended = beside(&["echo"]);
    assert_eq!(ended.errors(), Vec::<&str>::new());
    assert!(ended.stdout.contains(r#""code":"echo.cause""#), "{}", ended.stdout);
    assert!(ended.stdout.contains(r#""code":"coredns.forward-loop""#), "{}", ended.stdout);
}

#[test]
fn a_file_that_is_no_rule_is_left_out_with_a_message() {
    let kwhy = Kwhy::new();
    let alone = kwhy.diagnose(&coredns_loop());
    for (name, content) in
        [("text", b"not wasm at all".as_slice()), ("empty", b""), ("cut", b"\0asm\x01\0\0\0\x01")]
    {
        let rules = kwhy.home(name);
        kwhy.write(&format!("{name}/rule.wasm"), content);
        let ended = kwhy.run(&[&"diagnose", &coredns_loop(), &"--rules", &rules, &"--output", &"json"]);
        let messages = ended.errors();
        assert_eq!(messages.len(), 1, "{name}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("kwhy: rule left out: "), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("rule.wasm"), "{name}: {}", ended.stderr);
        assert_eq!((ended.code, &ended.stdout), (alone.code, &alone.stdout), "{name}");
    }
}
