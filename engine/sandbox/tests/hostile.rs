//! Rules that run wild, each beside a rule that must not notice, and each with a twin that shows that it is the limit
//! which stopped it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends that way")]

mod support;

use std::{sync::Mutex, time::Duration};

use kwhy_core::rule::{Call, Descriptor, Failure, Reply, RuleSignal, Rules};
use kwhy_sandbox::{Limits, Sandbox};
use support::{NOW, assert_echo, beside, call, examine, signal};

fn bad_output(message: &str) -> Failure {
    Failure::BadOutput { message: message.to_owned() }
}

fn trap(message: &str) -> Failure {
    Failure::Trap { message: message.to_owned() }
}

#[test]
fn a_loop_without_end_uses_up_its_fuel() {
    let limits = Limits { fuel_base: 1_000_000, fuel_per_signal: 500, ..Limits::default() };
    let mut sandbox = beside("loops", limits);
    for _ in 0..2 {
        assert_eq!(examine(&mut sandbox, "").unwrap_err(), Failure::Fuel { fuel: 1_000_500 });
        assert_echo(&mut sandbox);
    }
    let both = call(vec![signal(""), signal("")]);
    assert_eq!(sandbox.examine(1, both).unwrap_err(), Failure::Fuel { fuel: 1_001_000 });
}

#[test]
fn a_loop_with_endless_fuel_is_stopped_by_the_watchdog() {
    let limits = Limits { fuel_base: u64::MAX, watchdog: Duration::ZERO, ..Limits::default() };
    let mut sandbox = beside("loops", limits);
    let failure = examine(&mut sandbox, "").unwrap_err();
    assert!(matches!(failure, Failure::Watchdog { millis: 1_000.. }), "a second at least: {failure:?}");
    assert_echo(&mut sandbox);
}

#[test]
fn memory_ends_at_the_limit() {
    let mut sandbox = beside("grows", Limits::default());
    assert_eq!(examine(&mut sandbox, "").unwrap_err(), Failure::Memory { limit_mib: 32 });
    assert_echo(&mut sandbox);
}

/// The twin: it is the limit that stops it.
#[test]
fn where_more_memory_is_allowed_a_rule_gets_it() {
    let mut lifted = beside("grows", Limits { memory_bytes: 65 << 20, ..Limits::default() });
    assert!(examine(&mut lifted, "").is_ok(), "64 MiB are given where 65 are allowed");
}

#[test]
fn a_panic_ends_with_the_words_of_the_panic() {
    let mut sandbox = beside("panics", Limits::default());
    assert_eq!(examine(&mut sandbox, "").unwrap_err(), trap("src/lib.rs:7:5: boom"));
    assert_echo(&mut sandbox);

    let mut silent = beside("counts", Limits::default());
    assert_eq!(
        examine(&mut silent, "trap").unwrap_err(),
        trap("wasm trap: wasm `unreachable` instruction executed")
    );
}

/// A rule that runs in no sandbox.
struct Bare([Descriptor; 1]);

impl Rules for Bare {
    fn descriptors(&self) -> &[Descriptor] {
        &self.0
    }

    fn examine(&mut self, _: usize, _: Call) -> Result<Reply, Failure> {
        panic!("boom")
    }
}

/// The twin: without the sandbox a rule that panics takes the engine with it, and all other rules.
#[test]
fn without_a_sandbox_a_rule_that_panics_takes_the_engine_with_it() {
    let alone = std::panic::catch_unwind(|| {
        let mut rules = Bare([Descriptor::default()]);
        let _answer = rules.examine(0, call(vec![signal("")]));
    });
    assert!(alone.is_err());
}

#[test]
fn a_recursion_without_end_meets_the_end_of_its_stack() {
    let mut sandbox = beside("recurses", Limits::default());
    assert_eq!(examine(&mut sandbox, "").unwrap_err(), trap("wasm trap: call stack exhausted"));
    assert_echo(&mut sandbox);
}

#[test]
fn a_verdict_outside_of_the_rules_memory_is_refused() {
    let mut sandbox = beside("lies", Limits::default());
    let failure = examine(&mut sandbox, "").unwrap_err();
    assert!(matches!(failure, Failure::BadOutput { .. }), "{failure:?}");
    assert_echo(&mut sandbox);
}

#[test]
fn findings_are_bounded_in_number() {
    let mut sandbox = beside("floods-findings", Limits::default());
    assert_eq!(
        examine(&mut sandbox, "").unwrap_err(),
        bad_output("65 items in one verdict, the limit is 64")
    );
    assert_echo(&mut sandbox);

    let mut lifted = beside("floods-findings", Limits { verdict_items: 65, ..Limits::default() });
    assert_eq!(examine(&mut lifted, "").unwrap().verdict.diagnoses.len(), 65);
}

#[test]
fn findings_are_bounded_in_size() {
    let mut sandbox = beside("floods-text", Limits::default());
    let failure = examine(&mut sandbox, "").unwrap_err();
    let Failure::BadOutput { message } = failure else { panic!("{failure:?}") };
    assert!(message.ends_with("bytes, the limit is 262144"), "{message}");
    assert_echo(&mut sandbox);

    let lifted = Limits { verdict_bytes: 512 << 10, ..Limits::default() };
    let mut lifted_too = beside("floods-text", lifted.clone());
    let reply = examine(&mut lifted_too, "").unwrap();
    assert_eq!(reply.verdict.diagnoses.first().map(|d| d.explanation.len()), Some(300 << 10));

    let mut narrow = beside("floods-text", Limits { transfer_bytes: 100 << 10, ..lifted });
    let failure = examine(&mut narrow, "").unwrap_err();
    let Failure::BadOutput { message } = failure else { panic!("{failure:?}") };
    assert!(message.contains("too much data"), "it is not even copied: {message}");
}

#[test]
fn host_calls_are_bounded() {
    let mut sandbox = beside("floods-calls", Limits::default());
    assert_eq!(examine(&mut sandbox, "").unwrap_err(), Failure::HostCalls { limit: 10_000 });
    assert_echo(&mut sandbox);

    let mut lifted = beside("floods-calls", Limits { host_calls: 20_000, ..Limits::default() });
    for _ in 0..2 {
        assert!(examine(&mut lifted, "").is_ok(), "the budget is anew in each call");
    }
}

#[test]
fn a_flood_of_log_lines_is_cut_and_counted_and_forges_nothing() {
    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let written = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || written.clone()).finish();
    let mut sandbox = beside("floods-log", Limits::default());
    tracing::subscriber::with_default(subscriber, || examine(&mut sandbox, "").unwrap());
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let (last, logged) =
        text.lines().collect::<Vec<_>>().split_last().map(|(l, r)| (*l, r.to_vec())).unwrap();
    assert_eq!(logged.len(), 64, "{text}");
    for line in logged {
        assert!(line.contains(r"kwhy::rule: x\nERROR forged\u{1b}[31m"), "{line}");
        assert!(line.contains(r#"rule="floods-log""#), "{line}");
    }
    assert!(last.contains("dropped=936"), "{last}");
    assert_echo(&mut sandbox);
}

#[test]
fn what_a_call_wrote_is_kept_only_if_it_returns_ok() {
    let mut sandbox = beside("remembers", Limits::default());
    let mut given = call(vec![signal("trap")]);
    given.state.set("k", b"old", 1_000, NOW).unwrap();
    let before = given.state.clone();
    assert!(matches!(sandbox.examine(1, given.clone()), Err(Failure::Trap { .. })));
    assert_eq!(given.state, before, "the table of the caller is as it was");
    assert_echo(&mut sandbox);

    given.signals = vec![signal("")];
    let reply = sandbox.examine(1, given).unwrap();
    assert_eq!(reply.state.get("k", NOW), Some(&b"v"[..]), "the twin that returns ok is remembered");
    assert_eq!(reply.state.get("k", NOW + 1_000), None, "for as long as it asked");
}

#[test]
fn a_rule_cannot_break_the_words_of_the_contract() {
    let fair = RuleSignal {
        name: "parrot.cause".to_owned(),
        state: "warning".to_owned(),
        at: 100,
        ..signal("a title")
    };
    let mut sandbox = beside("parrot", Limits::default());
    let mut says = |signal: RuleSignal| sandbox.examine(1, call(vec![signal])).map(|r| r.verdict.diagnoses);
    assert_eq!(says(fair.clone()).unwrap().len(), 1, "nothing else is wrong with it");

    let code = says(RuleSignal { name: "coredns.forward-loop".to_owned(), ..fair.clone() });
    let message = r#"diagnosis with code "coredns.forward-loop", which `describe` does not declare"#;
    assert_eq!(code.unwrap_err(), bad_output(message));

    let severity = says(RuleSignal { state: "urgent".to_owned(), ..fair.clone() });
    let message =
        r#"diagnosis parrot.cause with severity "urgent", not one of ["critical", "warning", "info"]"#;
    assert_eq!(severity.unwrap_err(), bad_output(message));

    let confidence = says(RuleSignal { at: 101, ..fair.clone() });
    assert_eq!(
        confidence.unwrap_err(),
        bad_output("diagnosis parrot.cause with confidence 101, more than 100")
    );

    let title = says(RuleSignal { message: " ".to_owned(), ..fair.clone() });
    assert_eq!(title.unwrap_err(), bad_output("diagnosis parrot.cause without a title"));

    let root = says(RuleSignal { subject: None, ..fair.clone() });
    assert_eq!(
        root.unwrap_err(),
        bad_output("diagnosis parrot.cause with a root that has no kind or no name")
    );
    assert_eq!(says(fair).unwrap().len(), 1, "what was refused leaves no trace");
    assert_echo(&mut sandbox);
}

#[test]
fn an_error_of_the_rule_is_passed_on_in_one_line() {
    let mut sandbox = beside("refuses", Limits::default());
    assert_eq!(examine(&mut sandbox, "").unwrap_err(), Failure::Refused { message: r"no\nidea".to_owned() });
    assert_echo(&mut sandbox);
}

#[test]
fn the_same_call_costs_the_same_fuel() {
    let mut sandbox = beside("counts", Limits::default());
    let fuel = |s: &mut Sandbox| s.examine(0, call(vec![signal("hello")])).unwrap().fuel;
    let first = fuel(&mut sandbox);
    assert!(first > 0);
    assert_eq!(fuel(&mut sandbox), first);
    assert_eq!(fuel(&mut beside("grows", Limits::default())), first, "in another sandbox too");
}

fn calls_so_far(sandbox: &mut Sandbox) -> u64 {
    examine(sandbox, "").unwrap().verdict.wakes.first().unwrap().at
}

#[test]
fn an_instance_is_kept_until_it_traps() {
    let mut sandbox = beside("counts", Limits::default());
    assert_eq!([calls_so_far(&mut sandbox), calls_so_far(&mut sandbox)], [1, 2]);
    assert!(examine(&mut sandbox, "trap").is_err());
    assert_eq!(calls_so_far(&mut sandbox), 1, "a fresh instance");
}

#[test]
fn an_instance_is_replaced_after_its_number_of_calls() {
    let mut sandbox = beside("counts", Limits { calls_per_instance: 2, ..Limits::default() });
    let counted: Vec<u64> = (0..5).map(|_| calls_so_far(&mut sandbox)).collect();
    assert_eq!(counted, [1, 2, 1, 2, 1]);
}

#[test]
fn an_instance_that_has_used_up_most_of_its_memory_is_replaced() {
    // Two pages of memory: all of 128 KiB, little of 256.
    let tight = Limits { memory_bytes: 128 << 10, ..Limits::default() };
    let mut sandbox = beside("counts", tight.clone());
    assert_eq!([calls_so_far(&mut sandbox), calls_so_far(&mut sandbox)], [1, 1]);
    let mut roomy = beside("counts", Limits { memory_bytes: 256 << 10, ..tight });
    assert_eq!([calls_so_far(&mut roomy), calls_so_far(&mut roomy)], [1, 2]);
}

#[test]
fn a_sandbox_can_move_to_a_worker_thread() {
    let mut sandbox = beside("counts", Limits::default());
    std::thread::spawn(move || assert_echo(&mut sandbox)).join().unwrap();
}
