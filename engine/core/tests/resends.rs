//! What is told of an alert once more: a body that was recorded and is sent again, the other replica of a pair, an end
//! that is repeated for a quarter of an hour.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use kwhy_core::{
    Engine, Settings,
    rule::{Call, Descriptor, Failure, Reply, Rules},
};
use kwhy_proto::{
    Timestamp, millis, timestamp,
    v1::{Alert, Finding, Signal, Status, Symptom, signal::Body},
};
use proptest::prelude::*;

const MINUTE: u64 = 60_000;
const START: u64 = 1_700_000_000_000;

/// No rules: every alert is unexplained.
struct Nobody;

impl Rules for Nobody {
    fn descriptors(&self) -> &[Descriptor] {
        &[]
    }

    fn examine(&mut self, _rule: usize, call: Call) -> Result<Reply, Failure> {
        Ok(Reply { state: call.state, ..Reply::default() })
    }
}

/// What is delivered of the alert `Down`. Times are minutes.
#[derive(Debug, Clone, Copy)]
struct Told {
    firing: bool,
    starts: u64,
    /// None as in a notification that it fires.
    ends: Option<u64>,
}

/// Alertmanager notifies that it fires since then.
const fn notified(starts: u64) -> Told {
    Told { firing: true, starts, ends: None }
}

/// Prometheus says that it fires since then, and until then unless it says more.
const fn pushed(starts: u64, ends: u64) -> Told {
    Told { firing: true, starts, ends: Some(ends) }
}

const fn over(starts: u64, ends: u64) -> Told {
    Told { firing: false, starts, ends: Some(ends) }
}

struct Lab {
    engine: Engine<Nobody>,
    out: Vec<Finding>,
}

impl Lab {
    fn new() -> Self {
        Self { engine: Engine::new(Settings::new("lab"), Nobody).unwrap(), out: Vec::new() }
    }

    fn told(minutes: &[(u64, Told)]) -> Self {
        let mut lab = Self::new();
        minutes.iter().for_each(|(minute, told)| lab.hear(*minute, *told));
        lab
    }

    fn hear(&mut self, minute: u64, told: Told) {
        let time = |minute| timestamp(START + minute * MINUTE);
        let state = if told.firing { "firing" } else { "resolved" };
        let signal = Signal {
            id: format!("alert/down/{}/{state}/{minute}", told.starts),
            source: "alert".into(),
            name: "Down".into(),
            state: state.into(),
            at: Some(time(minute)),
            body: Some(Body::Alert(Alert {
                identity: "down".into(),
                labels: [("alertname".to_owned(), "Down".to_owned())].into(),
                starts_at: Some(time(told.starts)),
                ends_at: told.ends.map(time),
                ..Alert::default()
            })),
            ..Signal::default()
        };
        self.out.extend(self.engine.apply(signal));
    }

    fn tick(&mut self, minute: u64) {
        let at = START + minute * MINUTE;
        let tick = Signal { id: format!("tick/{at}"), at: Some(timestamp(at)), ..Signal::default() };
        self.out.extend(self.engine.apply(tick));
    }

    fn statuses(&self) -> Vec<Status> {
        let mut all: Vec<Status> = self.out.iter().map(Finding::status).collect();
        all.dedup();
        all
    }

    /// Every finding as it stands, with the spans of its alert.
    fn spans(&self) -> Vec<(String, Status, Vec<Span>)> {
        let spans = |f: &Finding| f.symptoms.iter().map(span).collect();
        self.engine.findings().map(|f| (f.id.clone(), f.status(), spans(&f))).collect()
    }

    /// Since when and until when it lasts, in minutes, as its newest finding has it.
    fn span(&self) -> Span {
        span(&self.out.last().unwrap().symptoms[0])
    }
}

/// Since when and until when, in minutes.
type Span = (u64, Option<u64>);

fn span(symptom: &Symptom) -> Span {
    let minute = |at: &Timestamp| (millis(at) - START) / MINUTE;
    (minute(&symptom.since.unwrap()), symptom.until.as_ref().map(minute))
}

#[test]
fn a_notification_that_is_sent_again_after_the_end_changes_nothing() {
    let mut lab = Lab::told(&[(1, notified(0)), (10, over(0, 10))]);
    lab.tick(30);
    assert_eq!(lab.statuses(), [Status::Open, Status::Resolved]);
    let before = lab.out.len();
    lab.hear(40, notified(0));
    lab.tick(60);
    assert_eq!(lab.out.len(), before, "{:#?}", lab.out.last());
}

/// The twin: with a later start it is news.
#[test]
fn a_notification_with_a_later_start_is_a_new_alert() {
    let mut lab = Lab::told(&[(1, notified(0)), (10, over(0, 10))]);
    lab.tick(30);
    lab.hear(40, notified(39));
    lab.tick(60);
    assert_eq!(lab.statuses(), [Status::Open, Status::Resolved, Status::Open]);
    assert_eq!(lab.span(), (39, None));
}

#[test]
fn a_push_that_is_sent_again_within_its_time_changes_nothing() {
    let lab = Lab::told(&[(1, pushed(0, 5)), (2, pushed(0, 6)), (3, over(0, 3)), (4, pushed(0, 6))]);
    assert_eq!(lab.span(), (0, Some(3)));
}

/// The twin: the other of a pair goes on to say that it fires, each time for longer.
#[test]
fn an_alert_that_the_other_of_a_pair_keeps_up_is_not_over() {
    let mut lab = Lab::told(&[
        (1, pushed(0, 5)),
        (2, pushed(0, 6)),
        (3, over(0, 3)),
        (4, pushed(1, 8)),
        // The first repeats that it ended.
        (5, over(0, 3)),
        (6, pushed(1, 10)),
        (7, over(0, 3)),
    ]);
    lab.tick(8);
    assert_eq!(lab.span(), (4, None));
    lab.hear(9, over(1, 9));
    assert_eq!(lab.span(), (4, Some(9)));
}

/// Where posts are late by more than Prometheus evaluates, an end may lie before the delivery that began the alert anew.
#[test]
fn an_end_that_is_older_than_the_delivery_before_it_is_an_end() {
    let lab = Lab::told(&[(1, pushed(0, 5)), (3, over(0, 3)), (7, pushed(1, 11)), (8, over(1, 5))]);
    assert_eq!(lab.span(), (7, Some(7)));
}

#[test]
fn what_was_only_not_heard_of_any_more_goes_on_with_the_next_word_of_it() {
    let mut lab = Lab::told(&[(1, pushed(0, 5))]);
    lab.tick(8);
    assert_eq!(lab.span(), (0, Some(5)));
    lab.hear(9, notified(0));
    assert_eq!(lab.span().1, None);
}

#[test]
fn an_end_and_a_start_of_before_do_not_touch_what_came_after() {
    let mut lab = Lab::told(&[(1, notified(0)), (5, over(0, 5)), (20, notified(18))]);
    lab.tick(22);
    assert_eq!(lab.span(), (18, None));
    lab.hear(24, over(0, 5));
    lab.hear(25, notified(0));
    lab.tick(40);
    assert_eq!(lab.span(), (18, None));
    lab.hear(41, over(18, 41));
    assert_eq!(lab.span(), (18, Some(41)));
}

proptest! {
    /// Whatever is sent again, and whenever, the findings stay as they are.
    #[test]
    fn notifications_sent_again_change_no_finding(
        lengths in prop::collection::vec((1u64..20, 8u64..20), 1..5),
        again in prop::collection::vec(0usize..10, 0..5),
    ) {
        let mut bodies = Vec::new();
        let mut minute = 1;
        for (lasts, pause) in lengths {
            bodies.push((minute, notified(minute)));
            bodies.push((minute + lasts, over(minute, minute + lasts)));
            minute += lasts + pause;
        }
        let end = minute + 30;
        let mut once = Lab::told(&bodies);
        once.tick(end);
        // Between two bodies and after the last, some of those that were sent already.
        let mut twice = Lab::new();
        for (number, (at, body)) in bodies.iter().enumerate() {
            twice.hear(*at, *body);
            for which in again.iter().filter(|which| **which <= number) {
                twice.hear(*at, bodies[*which].1);
                twice.hear(at + 1, bodies[*which].1);
            }
        }
        twice.tick(end);
        prop_assert_eq!(once.spans(), twice.spans());
    }
}
