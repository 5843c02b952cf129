//! The same with what protects taken away: findings must change then, or the tests that they do not would show nothing.

use std::collections::BTreeMap;

use kwhy_core::Settings;
use kwhy_proto::{
    timestamp,
    v1::{Finding, Signal},
};

use crate::{
    elsewhere, in_order, late, noise,
    play::{Recorded, captures, difference, last, packs, revisions, revisions_with},
    random::Random,
    twice, with,
};

/// Captures in which the findings differ at the end, of those of applications.
fn moved(
    settings: impl Fn(Settings) -> Settings,
    change: impl Fn(&Recorded, &mut Random) -> Vec<Signal>,
) -> usize {
    let mut packs = packs();
    let mut moved = 0;
    for capture in elsewhere::incidents(&captures()) {
        let alone = last(revisions(&mut packs, &capture.cluster, capture.signals.clone()));
        let signals = change(capture, &mut Random(3));
        let is = last(revisions_with(&mut packs, settings(Settings::new(&capture.cluster)), signals));
        moved += usize::from(!difference(&is, &alone).is_empty());
    }
    moved
}

#[test]
fn late_signals_move_findings_where_no_lateness_is_allowed() {
    assert!(moved(|s| Settings { lateness: 0, ..s }, late) >= 3);
}

#[test]
fn copies_under_other_ids_move_findings() {
    let copies = |capture: &Recorded, random: &mut Random| {
        twice(capture, random, |signal| Signal { id: format!("{}-copy", signal.id), ..signal })
    };
    assert!(moved(|s| s, copies) >= 3);
}

#[test]
fn a_tick_ahead_of_the_signals_moves_findings() {
    let ahead = |capture: &Recorded, _: &mut Random| {
        let mut signals = capture.signals.clone();
        let at = Some(timestamp(capture.to + 3_600_000));
        signals.insert(0, Signal { id: "tick/ahead".into(), source: "tick".into(), at, ..Signal::default() });
        signals
    };
    assert!(moved(|s| s, ahead) >= 3);
}

#[test]
fn an_engine_that_starts_in_the_middle_says_something_else() {
    let half = |capture: &Recorded, _: &mut Random| capture.signals[capture.signals.len() / 2..].to_vec();
    assert!(moved(|s| s, half) >= 3);
}

#[test]
fn what_is_no_routine_moves_findings() {
    let ill = |capture: &Recorded, random: &mut Random| {
        let mut more = noise::noise(capture, random, 100);
        more.extend(noise::ill(capture));
        with(capture, more)
    };
    assert_eq!(moved(|s| s, ill), elsewhere::incidents(&captures()).len());
}

#[test]
fn an_object_that_is_another_when_told_of_again_moves_findings() {
    let back = |capture: &Recorded, _: &mut Random| {
        let signals = capture.signals.iter();
        in_order(signals.filter(|s| s.name != "MODIFIED").cloned().collect())
    };
    assert!(moved(|s| s, back) >= 3);
}

#[test]
fn an_incident_at_the_same_place_moves_findings() {
    let amid = |capture: &Recorded, random: &mut Random| {
        let all = captures();
        let incidents = elsewhere::incidents(&all);
        let other = random.place(incidents.len());
        with(capture, elsewhere::amid(incidents[other], capture))
    };
    assert!(moved(|s| s, amid) >= 3);
}

#[test]
fn a_finding_that_differs_is_told_apart() {
    let capture = &captures()[0];
    let all: BTreeMap<String, Finding> =
        last(revisions(&mut packs(), &capture.cluster, capture.signals.clone()));
    assert_eq!(difference(&all, &all), "");
    let mut other = all.clone();
    let (_, first) = other.iter_mut().next().expect("a finding");
    *first = Finding { title: "something else".into(), ..first.clone() };
    assert_ne!(difference(&other, &all), "");
    other.clear();
    assert_ne!(difference(&other, &all), "");
}
