//! No code without a fixture of real software output in which it is named, a near miss in which it is not, a remedy and a
//! reference: the gate that a rule passes before it ships. `KWHY_GATE=plugins/node` looks at one pack alone.
//!
//! What is still missing is told by
//! `KWHY_BIN=$PWD/target/debug/kwhy cargo test --workspace --test gate -- --ignored`; with it the gate closes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use kwhy_tests::{
    Kwhy,
    gate::{Fixture, fixtures, plugins},
    here,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Listed {
    codes: Vec<Code>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
    references: Vec<String>,
}

fn wanted() -> Vec<Fixture> {
    let only = std::env::var_os("KWHY_GATE").map(PathBuf::from);
    let below = only.map_or_else(plugins, |pack| here("..").join(pack));
    fixtures(&below).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// What is wrong with each, on all cores: every one is a run of kwhy.
fn examine(fixtures: &[Fixture]) -> BTreeMap<String, Vec<String>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let kwhy = Kwhy::new();
        let mut found = Vec::new();
        while let Some(fixture) = fixtures.get(next.fetch_add(1, Ordering::Relaxed)) {
            let wrong = fixture.examine(&kwhy);
            if !wrong.is_empty() {
                found.push((fixture.path.display().to_string(), wrong));
            }
        }
        found
    };
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..thread::available_parallelism().map_or(2, usize::from)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("it ends")).collect()
    })
}

#[test]
fn every_fixture_is_answered_as_it_expects() {
    let fixtures = wanted();
    let wrong = examine(&fixtures);
    let list: String =
        wrong.iter().map(|(path, what)| format!("{path}\n    {}\n", what.join("\n    "))).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} fixtures are answered otherwise:\n{list}",
        wrong.len(),
        fixtures.len()
    );
}

#[test]
fn a_fixture_that_expects_otherwise_is_told() {
    let Some(good) = wanted().into_iter().find(|fixture| fixture.expect.root.is_some()) else {
        panic!("there is no fixture at all");
    };
    let kwhy = Kwhy::new();
    assert_eq!(good.examine(&kwhy), [""; 0]);
    let mut near_miss = good.clone();
    near_miss.expect.root = None;
    let mut elsewhere = good.clone();
    elsewhere.expect.root = Some("Pod/nowhere/none".to_owned());
    let mut other_code = good.clone();
    other_code.expect.about = "none.such".to_owned();
    let mut other_words = good;
    other_words.expect.says = vec!["words that nobody says".to_owned()];
    for wrong in [near_miss, elsewhere, other_code, other_words] {
        assert!(!wrong.examine(&kwhy).is_empty(), "nobody minds {:?}", wrong.expect);
    }
}

#[test]
#[ignore = "fixtures are still being written"]
fn every_code_has_a_fixture_a_near_miss_and_a_reference() {
    let fixtures = fixtures(&plugins()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let listed = Kwhy::new().run(&[&"rule", &"list", &"--output", &"json"]);
    let rules: Vec<Listed> =
        listed.stdout.lines().map(|line| serde_json::from_str(line).expect("a rule")).collect();
    let codes: Vec<Code> = rules.into_iter().flat_map(|rule| rule.codes).collect();
    assert!(codes.len() > 50, "only {} codes are listed: {}", codes.len(), listed.stderr);
    let mut missing = Vec::new();
    for code in &codes {
        let about = || fixtures.iter().filter(|fixture| fixture.expect.about == code.code);
        if !about().any(|fixture| fixture.expect.root.is_some()) {
            missing.push(format!("{} has no fixture in which it is found", code.code));
        }
        if !about().any(|fixture| fixture.expect.root.is_none()) {
            missing.push(format!("{} has no near miss", code.code));
        }
        if code.references.is_empty() {
            missing.push(format!("{} has no reference", code.code));
        }
    }
    for fixture in &fixtures {
        if !codes.iter().any(|code| code.code == fixture.expect.about) {
            missing.push(format!(
                "{} is about {}, which no rule declares",
                fixture.path.display(),
                fixture.expect.about
            ));
        }
    }
    assert!(missing.is_empty(), "{} things are missing:\n{}", missing.len(), missing.join("\n"));
}
