//! No code without a fixture of real software output in which it is named, a near miss in which it is not, a remedy and a
//! reference: the gate that a rule passes before it ships. `KWHY_GATE=plugins/node` looks at one pack alone.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::{collections::BTreeMap, path::PathBuf};

use kwhy_tests::{
    Kwhy,
    causes::{Code, packs},
    gate::{Fixture, fixtures, on_all_cores, plugins},
    here,
};

fn wanted() -> Vec<Fixture> {
    let only = std::env::var_os("KWHY_GATE").map(PathBuf::from);
    let below = only.map_or_else(plugins, |pack| here("..").join(pack));
    fixtures(&below).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// What is wrong with each, by its path.
fn examine(fixtures: &[Fixture]) -> BTreeMap<String, Vec<String>> {
    let wrong = on_all_cores(fixtures, |kwhy, fixture| fixture.examine(kwhy));
    let told = fixtures.iter().zip(wrong).filter(|(_, wrong)| !wrong.is_empty());
    told.map(|(fixture, wrong)| (fixture.path.display().to_string(), wrong)).collect()
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
fn every_code_has_a_fixture_a_near_miss_and_a_reference() {
    let fixtures = fixtures(&plugins()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let codes: Vec<Code> = packs(&Kwhy::new()).into_iter().flat_map(|pack| pack.codes).collect();
    assert!(codes.len() > 50, "only {} codes are listed", codes.len());
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
