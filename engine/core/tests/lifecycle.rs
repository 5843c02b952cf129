//! Flapping, coming back, carrying on and folding under: the life of findings, driven by a rule that does as a log
//! line tells it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use kwhy_core::{
    Engine, Settings,
    rule::{
        Call, Clearing, Descriptor, Diagnosis, Explains, Failure, Pattern, Reply, Rules, Subscription,
        Verdict,
    },
};
use kwhy_proto::{
    timestamp,
    v1::{Alert, Finding, LogLine, ObjectRef, Severity, Signal, Status, signal::Body},
};

const MINUTE: u64 = 60_000;
const START: u64 = 1_700_000_000_000;

/// `say CODE CONFIDENCE ALERTS [over OLD]` diagnoses CODE on the line's Deployment, `unsay CODE` withdraws it.
struct Told(Vec<Descriptor>);

impl Rules for Told {
    fn descriptors(&self) -> &[Descriptor] {
        &self.0
    }

    fn examine(&mut self, _rule: usize, call: Call) -> Result<Reply, Failure> {
        let signal = &call.signals[0];
        let root = signal.subject.clone().unwrap();
        let words: Vec<&str> = signal.message.split_whitespace().collect();
        let mut verdict = Verdict::default();
        match words.as_slice() {
            ["say", code, confidence, alerts, rest @ ..] => verdict.diagnoses.push(Diagnosis {
                code: (*code).into(),
                root,
                severity: "warning".into(),
                confidence: confidence.parse().unwrap(),
                title: format!("it is {code}"),
                explains: vec![Explains {
                    source: "alert".into(),
                    name: (*alerts).into(),
                    anchor: None,
                    reach: "self".into(),
                }],
                supersedes: rest.get(1).map(|old| (*old).to_owned()).into_iter().collect(),
                ..Default::default()
            }),
            ["unsay", code] => {
                verdict.cleared.push(Clearing {
                    code: (*code).into(),
                    root,
                    because: "it was told so".into(),
                });
            }
            _ => {}
        }
        Ok(Reply { verdict, state: call.state, fuel: 1, ..Reply::default() })
    }
}

struct Lab {
    engine: Engine<Told>,
    out: Vec<Finding>,
}

impl Lab {
    fn new() -> Self {
        let says = Pattern { id: "say".into(), literal: "say".into(), regex: String::new() };
        let logs = Subscription { source: "log".into(), patterns: vec![says], ..Default::default() };
        let rule = Descriptor { name: "told".into(), subscriptions: vec![logs], ..Default::default() };
        Self { engine: Engine::new(Settings::new("lab"), Told(vec![rule])).unwrap(), out: Vec::new() }
    }

    fn apply(&mut self, minute: u64, signal: Signal) {
        let at = timestamp(START + minute * MINUTE);
        self.out.extend(self.engine.apply(Signal { at: Some(at), ..signal }));
    }

    fn line(&mut self, minute: u64, text: &str) {
        let subject = ObjectRef {
            kind: "Deployment".into(),
            namespace: "ns".into(),
            name: "app".into(),
            uid: String::new(),
        };
        self.apply(
            minute,
            Signal {
                id: format!("log/{minute}/{text}"),
                source: "log".into(),
                subject: Some(subject),
                message: text.into(),
                body: Some(Body::Log(LogLine::default())),
                ..Default::default()
            },
        );
    }

    fn alert(&mut self, minute: u64, name: &str, firing: bool, since: u64) {
        let labels = [("alertname", name), ("namespace", "ns"), ("deployment", "app")];
        let state = if firing { "firing" } else { "resolved" };
        self.apply(
            minute,
            Signal {
                id: format!("alert/{name}/{state}/{minute}"),
                source: "alert".into(),
                name: name.into(),
                state: state.into(),
                body: Some(Body::Alert(Alert {
                    identity: name.into(),
                    labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
                    starts_at: Some(timestamp(START + since * MINUTE)),
                    ends_at: (!firing).then(|| timestamp(START + minute * MINUTE)),
                    ..Default::default()
                })),
                ..Default::default()
            },
        );
    }

    fn tick(&mut self, minute: u64) {
        self.apply(
            minute,
            Signal { id: format!("tick/{minute}"), source: "tick".into(), ..Default::default() },
        );
    }

    /// The newest revision of the finding with that code.
    fn now(&self, code: &str) -> Finding {
        self.out.iter().rev().find(|f| f.code == code).cloned().unwrap_or_else(|| panic!("no finding {code}"))
    }

    fn statuses(&self, code: &str) -> Vec<Status> {
        let mut all: Vec<Status> = self.out.iter().filter(|f| f.code == code).map(Finding::status).collect();
        all.dedup();
        all
    }
}

#[test]
fn an_alert_that_flaps_within_the_hold_down_is_one_open_finding_with_a_flap_count() {
    let mut lab = Lab::new();
    lab.line(0, "say a.b 90 App*");
    for round in 0..4 {
        lab.alert(1 + round * 6, "AppDown", true, 1 + round * 6);
        lab.alert(3 + round * 6, "AppDown", false, 1 + round * 6);
    }
    lab.tick(60);
    assert_eq!(lab.statuses("a.b"), [Status::Open, Status::Resolved]);
    assert_eq!(lab.now("a.b").flaps, 3);
    assert_eq!(lab.now("a.b").resolved_at, Some(timestamp(START + 21 * MINUTE)), "dated to the last end");
}

#[test]
fn a_cause_that_comes_back_soon_reopens_its_finding_and_later_is_a_new_episode() {
    let mut lab = Lab::new();
    for minute in [0, 30, 200] {
        lab.line(minute, "say a.b 90 App*");
        lab.line(minute + 1, "unsay a.b");
        lab.tick(minute + 20);
    }
    let first = lab.out[0].id.clone();
    let of_first: Vec<&Finding> = lab.out.iter().filter(|f| f.id == first).collect();
    let resolved = of_first.iter().filter(|f| f.status() == Status::Resolved).count();
    assert_eq!(resolved, 2, "resolved, reopened, resolved again");
    let last = lab.now("a.b");
    assert_eq!((last.episode, last.id == first), (2, false));
    assert!(last.resolution.contains("it was told so"), "{}", last.resolution);
}

#[test]
fn a_diagnosis_that_supersedes_another_carries_its_finding_on() {
    let mut lab = Lab::new();
    lab.line(0, "say ms.names 80 App*");
    lab.alert(1, "AppDown", true, 1);
    lab.line(10, "say ms.certificates 90 App* over ms.names");
    lab.tick(12);
    let before = lab.now("ms.names");
    let after = lab.now("ms.certificates");
    assert_eq!(after.id, before.id);
    assert_eq!(after.revision, before.revision + 1);
    assert_eq!(after.superseded, ["ms.names"]);
    assert_eq!(after.symptoms.len(), 1);
    assert_eq!(lab.engine.findings().count(), 1, "nothing else stays open");
}

#[test]
fn the_surer_cause_gets_the_alert_and_the_other_is_folded_under_it_and_says_less() {
    let mut lab = Lab::new();
    lab.line(0, "say weak.guess 40 App*");
    lab.alert(1, "AppDown", true, 1);
    assert_eq!(lab.now("weak.guess").symptoms.len(), 1);
    lab.line(2, "say strong.cause 90 App*");
    lab.tick(3);
    let (weak, strong) = (lab.now("weak.guess"), lab.now("strong.cause"));
    assert_eq!((weak.symptoms.len(), strong.symptoms.len()), (0, 1));
    assert_eq!((weak.folded_under.as_str(), weak.severity()), (strong.id.as_str(), Severity::Info));
    assert!(
        strong.rejected.iter().any(|r| r.code == "weak.guess"),
        "the runner-up stays visible: {strong:?}"
    );
}

#[test]
fn the_lesser_cause_is_folded_under_the_surer_one_when_the_alert_comes_last() {
    let mut lab = Lab::new();
    lab.line(0, "say weak.guess 40 App*");
    lab.line(1, "say strong.cause 90 App*");
    lab.alert(2, "AppDown", true, 2);
    let (weak, strong) = (lab.now("weak.guess"), lab.now("strong.cause"));
    assert_eq!((weak.folded_under.as_str(), weak.severity()), (strong.id.as_str(), Severity::Info));
}

#[test]
fn a_diagnosis_that_nothing_shows_any_more_is_over_a_quarter_of_an_hour_later() {
    let mut lab = Lab::new();
    lab.line(0, "say a.b 90 App*");
    lab.tick(14);
    assert_eq!(lab.now("a.b").status(), Status::Open);
    lab.tick(21);
    assert_eq!(lab.now("a.b").status(), Status::Resolved);
    assert!(lab.now("a.b").resolution.starts_with("not seen again"), "{}", lab.now("a.b").resolution);
}

#[test]
fn years_without_a_signal_pass_at_once_even_for_a_late_one() {
    let mut lab = Lab::new();
    let years = 3 * 365 * 24 * 60;
    lab.line(0, "say a.b 90 App*");
    for minute in 0..100 {
        lab.line(years + minute, "say c.d 90 App*");
        // Late by a minute each: the engine goes back to before the years and over them again.
        lab.apply(
            years + minute - 1,
            Signal { id: format!("late/{minute}"), source: "log".into(), ..late() },
        );
    }
    assert_eq!(lab.now("a.b").status(), Status::Resolved);
}

fn late() -> Signal {
    let subject = ObjectRef {
        kind: "Deployment".into(),
        namespace: "ns".into(),
        name: "app".into(),
        uid: String::new(),
    };
    let body = Some(Body::Log(LogLine::default()));
    Signal {
        subject: Some(subject),
        state: "W".into(),
        message: "something".into(),
        body,
        ..Default::default()
    }
}
