//! Captures whose end lies years after their last signal, as when somebody writes the wrong year or leaves `to` at today.
#![allow(clippy::expect_used, reason = "a test ends where its ground gives way")]

use std::{
    fs,
    time::{Duration, Instant},
};

use kwhy_proto::v1::Status;
use kwhy_tests::{Kwhy, findings::Findings, here};

/// The Watchdog falls silent in this one, and its rule looks every five minutes whether more is known of the reason.
const SILENT: &str = "captures/w-watchdog-missing";

/// The codes of what stands open in it when it ends at `to`; and how long kwhy took.
fn codes(to: &str) -> (Vec<String>, Duration) {
    let kwhy = Kwhy::new();
    let capture = kwhy.copy_of(&here(SILENT));
    let span = capture.join("capture.yaml");
    let text = fs::read_to_string(&span).expect("its span");
    let (before, _) = text.split_once("to: ").expect("an end");
    fs::write(span, format!("{before}to: {to}\n")).expect("a file");
    let begun = Instant::now();
    let findings = Findings::of(&kwhy, &capture).expect("findings");
    let open = findings.loud().filter(|f| f.status() == Status::Open);
    let codes = open.map(|f| f.code.clone()).collect();
    (codes, begun.elapsed())
}

#[test]
fn a_capture_that_ends_fifteen_years_after_its_last_signal_is_read_in_seconds_and_says_the_same() {
    let (soon, at_once) = codes("2024-05-07T11:00:00Z");
    let (late, after_years) = codes("2039-05-07T11:00:00Z");
    assert!(soon.contains(&"monitoring.watchdog-missing".to_owned()), "{soon:?}");
    assert_eq!(late, ["monitoring.watchdog-missing"], "what was seen then is over but for the silence");
    // One call in five minutes would be 1,577,000, which takes an hour.
    assert!(after_years < at_once * 4 + Duration::from_secs(20), "{at_once:?}, then {after_years:?}");
}
