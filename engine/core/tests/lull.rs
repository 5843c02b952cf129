//! Years in which nothing is heard: what a rule does that wants to look every five minutes, and what it costs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{cell::RefCell, rc::Rc};

use kwhy_core::{
    Engine, Settings,
    rule::{Call, Descriptor, Diagnosis, Failure, Pattern, Reply, Rules, Subscription, Verdict, Wake},
};
use kwhy_proto::{
    timestamp,
    v1::{Finding, LogLine, ObjectRef, Signal, Status, signal::Body},
};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const YEAR: u64 = 365 * 24 * HOUR;
const START: u64 = 1_700_000_000_000;

/// Log times at which the rule was called by its timer.
type Looks = Rc<RefCell<Vec<u64>>>;

/// Of a line it makes a diagnosis, and every five minutes it makes it again, for as long as `stands`.
struct Looking {
    descriptors: Vec<Descriptor>,
    looks: Looks,
    stands: u64,
}

impl Rules for Looking {
    fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn examine(&mut self, _rule: usize, call: Call) -> Result<Reply, Failure> {
        let signal = &call.signals[0];
        let now = call.context.now;
        if signal.source == "timer" {
            self.looks.borrow_mut().push(now);
        }
        let mut verdict = Verdict::default();
        if now <= self.stands {
            verdict.diagnoses.push(Diagnosis {
                code: "a.b".into(),
                root: signal.subject.clone().unwrap(),
                severity: "warning".into(),
                confidence: 90,
                title: "it hurts".into(),
                ..Diagnosis::default()
            });
        }
        verdict.wakes.push(Wake { id: "look".into(), subject: signal.subject.clone(), at: now + 5 * MINUTE });
        Ok(Reply { verdict, state: call.state, fuel: 1, ..Reply::default() })
    }
}

struct Lab {
    engine: Engine<Looking>,
    looks: Looks,
    out: Vec<Finding>,
}

impl Lab {
    fn new(stands: u64) -> Self {
        let pattern = Pattern { id: "say".into(), literal: "hurts".into(), regex: String::new() };
        let logs = Subscription { source: "log".into(), patterns: vec![pattern], ..Subscription::default() };
        let rule = Descriptor { name: "looking".into(), subscriptions: vec![logs], ..Descriptor::default() };
        let looks = Looks::default();
        let rules = Looking { descriptors: vec![rule], looks: looks.clone(), stands };
        Self { engine: Engine::new(Settings::new("lab"), rules).unwrap(), looks, out: Vec::new() }
    }

    fn line(&mut self, at: u64, text: &str) {
        let subject = ObjectRef { kind: "Node".into(), name: "kal".into(), ..ObjectRef::default() };
        self.apply(Signal {
            id: format!("log/{at}/{text}"),
            source: "log".into(),
            state: "W".into(),
            at: Some(timestamp(at)),
            subject: Some(subject),
            message: text.into(),
            body: Some(Body::Log(LogLine::default())),
            ..Signal::default()
        });
    }

    fn tick(&mut self, at: u64) {
        self.apply(Signal {
            id: format!("tick/{at}"),
            source: "tick".into(),
            at: Some(timestamp(at)),
            ..Signal::default()
        });
    }

    fn apply(&mut self, signal: Signal) {
        self.out.extend(self.engine.apply(signal));
    }

    fn statuses(&self) -> Vec<Status> {
        let mut all: Vec<Status> = self.out.iter().map(Finding::status).collect();
        all.dedup();
        all
    }

    fn looks_from(&self, at: u64) -> Vec<u64> {
        self.looks.borrow().iter().copied().filter(|look| *look >= at).collect()
    }
}

#[test]
fn ten_years_of_silence_cost_some_hundred_calls_and_the_finding_stays_as_it_is() {
    let mut lab = Lab::new(u64::MAX);
    lab.line(START, "it hurts");
    lab.tick(START + 10 * YEAR);
    let calls = lab.looks_from(START).len();
    assert!((100..400).contains(&calls), "{calls} calls");
    assert_eq!(lab.statuses(), [Status::Open]);
}

/// The twin: where something is heard, however little, a rule looks as often as it asks to.
#[test]
fn while_something_is_heard_now_and_then_a_rule_looks_as_often_as_it_asks_to() {
    let mut lab = Lab::new(u64::MAX);
    lab.line(START, "it hurts");
    for hour in 1..=24 {
        lab.line(START + hour * HOUR, "something else");
    }
    assert_eq!(lab.looks_from(START).len(), 24 * 12);
    assert_eq!(lab.statuses(), [Status::Open]);
}

#[test]
fn with_the_next_signal_a_rule_looks_at_once_and_then_every_five_minutes() {
    let mut lab = Lab::new(u64::MAX);
    lab.line(START, "it hurts");
    let back = START + YEAR + MINUTE;
    lab.line(back, "something else");
    lab.tick(back + 20 * MINUTE);
    assert_eq!(lab.looks_from(back), [0, 5, 10, 15, 20].map(|minutes| back + minutes * MINUTE));
    assert_eq!(lab.statuses(), [Status::Open], "it never was over");
}

#[test]
fn what_no_rule_stands_by_in_the_silence_is_over() {
    let mut lab = Lab::new(START + 30 * 24 * HOUR);
    lab.line(START, "it hurts");
    lab.tick(START + YEAR);
    assert_eq!(lab.statuses(), [Status::Open, Status::Resolved]);
}

#[test]
fn what_no_rule_stands_by_when_something_is_heard_again_is_over_soon() {
    let back = START + YEAR;
    let mut lab = Lab::new(back - 1);
    lab.line(START, "it hurts");
    lab.tick(back - 1);
    assert_eq!(lab.statuses(), [Status::Open]);
    lab.line(back, "something else");
    lab.tick(back + 10 * MINUTE);
    assert_eq!(lab.statuses(), [Status::Open, Status::Resolved]);
}

/// Live, time comes in small steps; in a recording in one.
#[test]
fn in_how_many_steps_the_time_passes_makes_no_difference() {
    let stands = START + 20 * 24 * HOUR;
    let (mut steps, mut leap) = (Lab::new(stands), Lab::new(stands));
    let end = START + 40 * 24 * HOUR;
    steps.line(START, "it hurts");
    leap.line(START, "it hurts");
    (START..end).step_by(7 * 60_000).for_each(|at| steps.tick(at));
    steps.line(end, "something else");
    leap.line(end, "something else");
    assert_eq!(*steps.looks.borrow(), *leap.looks.borrow());
    assert_eq!(steps.out, leap.out);
}
