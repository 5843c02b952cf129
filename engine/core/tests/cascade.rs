//! A cause, and the findings that are only its effect: one finding in the end, with the account of all.
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
    v1::{Alert, Finding, LogLine, ObjectChange, ObjectRef, Severity, Signal, Status, signal::Body},
};
use serde_json::json;

const MINUTE: u64 = 60_000;
const START: u64 = 1_700_000_000_000;

/// `say CODE SEVERITY SOURCE NAME` diagnoses CODE on the line's Deployment, which explains SOURCE/NAME on its workload
/// and on that of the Deployments further named; `unsay CODE` withdraws it.
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
            ["say", code, severity, source, name, further @ ..] => {
                let on = |anchor: Option<ObjectRef>| Explains {
                    source: (*source).into(),
                    name: (*name).into(),
                    anchor,
                    reach: "workload".into(),
                };
                verdict.diagnoses.push(Diagnosis {
                    code: (*code).into(),
                    severity: (*severity).into(),
                    confidence: 80,
                    title: format!("it is {code}"),
                    explains: [on(None)]
                        .into_iter()
                        .chain(further.iter().map(|name| on(Some(deployment(name)))))
                        .collect(),
                    root,
                    ..Default::default()
                });
            }
            ["unsay", code] => verdict.cleared.push(Clearing {
                code: (*code).into(),
                root,
                because: "it was told so".into(),
            }),
            _ => {}
        }
        Ok(Reply { verdict, state: call.state, fuel: 1, ..Reply::default() })
    }
}

fn deployment(name: &str) -> ObjectRef {
    ObjectRef {
        kind: "Deployment".into(),
        namespace: format!("of-{name}"),
        name: name.into(),
        uid: String::new(),
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
        let mut lab =
            Self { engine: Engine::new(Settings::new("lab"), Told(vec![rule])).unwrap(), out: Vec::new() };
        for name in ["db", "shop", "till"] {
            lab.apply(
                0,
                Signal {
                    id: format!("object/{name}"),
                    source: "object".into(),
                    name: "ADDED".into(),
                    state: "listed".into(),
                    subject: Some(deployment(name)),
                    body: Some(Body::Object(ObjectChange {
                        json: json!({"status": {"availableReplicas": 1}}).to_string(),
                        ..Default::default()
                    })),
                    ..Default::default()
                },
            );
        }
        lab
    }

    fn apply(&mut self, minute: u64, signal: Signal) {
        let at = timestamp(START + minute * MINUTE);
        self.out.extend(self.engine.apply(Signal { at: Some(at), ..signal }));
    }

    fn line(&mut self, minute: u64, on: &str, text: &str) {
        self.apply(
            minute,
            Signal {
                id: format!("log/{minute}/{text}"),
                source: "log".into(),
                subject: Some(deployment(on)),
                message: text.into(),
                body: Some(Body::Log(LogLine::default())),
                ..Default::default()
            },
        );
    }

    fn alert(&mut self, minute: u64, on: &str, firing: bool, since: u64) {
        let namespace = format!("of-{on}");
        let labels =
            [("alertname", "KubeDeploymentReplicasMismatch"), ("namespace", &namespace), ("deployment", on)];
        let state = if firing { "firing" } else { "resolved" };
        self.apply(
            minute,
            Signal {
                id: format!("alert/{on}/{state}/{minute}"),
                source: "alert".into(),
                name: "KubeDeploymentReplicasMismatch".into(),
                state: state.into(),
                body: Some(Body::Alert(Alert {
                    identity: on.into(),
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
}

fn alerts_on(finding: &Finding) -> Vec<&str> {
    let mut on: Vec<&str> = finding
        .symptoms
        .iter()
        .filter(|s| s.source == "alert")
        .map(|s| s.object.as_ref().unwrap().name.as_str())
        .collect();
    on.sort_unstable();
    on
}

const DB: &str = "say db.oom critical finding net.dependency-down db";
const MISSED: &str = "say net.dependency-down warning alert Kube* shop till";

/// The database is the cause, the Service that is missed its effect, and two shops in other namespaces suffer.
fn cascade(cause_first: bool) -> Lab {
    let mut lab = Lab::new();
    let mut say = |first: bool, minute| lab.line(minute, "db", if first { DB } else { MISSED });
    say(cause_first, 1);
    say(!cause_first, 2);
    lab.alert(3, "shop", true, 2);
    lab.alert(4, "till", true, 3);
    lab
}

#[test]
fn an_effect_is_folded_under_its_cause_with_the_alerts_of_all_dependants_whichever_is_known_first() {
    for cause_first in [true, false] {
        let lab = cascade(cause_first);
        let (cause, effect) = (lab.now("db.oom"), lab.now("net.dependency-down"));
        assert_eq!(effect.folded_under, cause.id, "cause first: {cause_first}");
        assert_eq!(effect.severity(), Severity::Info);
        assert_eq!(cause.folded_under, "");
        assert_eq!(alerts_on(&cause), ["shop", "till"]);
        let way: Vec<&str> = cause.path.iter().map(|s| s.object.as_ref().unwrap().name.as_str()).collect();
        assert_eq!(way, ["db", "shop", "till"]);
    }
}

#[test]
fn a_cause_goes_on_as_long_as_the_alerts_of_its_effects_do() {
    let mut lab = cascade(true);
    lab.line(5, "db", "unsay db.oom");
    for minute in 6..40 {
        lab.tick(minute);
    }
    // The alerts still fire: the cause goes on as long as its effects do.
    assert_eq!(lab.now("db.oom").status(), Status::Open);
    lab.alert(41, "shop", false, 2);
    lab.alert(41, "till", false, 3);
    for minute in 42..60 {
        lab.tick(minute);
    }
    assert_eq!(lab.now("db.oom").status(), Status::Resolved);
    assert_eq!(lab.now("net.dependency-down").status(), Status::Resolved);
}

#[test]
fn a_remark_cannot_silence_a_cause() {
    let mut lab = Lab::new();
    lab.line(1, "db", "say db.remark info finding net.dependency-down");
    lab.line(2, "db", MISSED);
    lab.alert(3, "shop", true, 2);
    assert_eq!(lab.now("net.dependency-down").folded_under, "");
    assert_eq!(alerts_on(&lab.now("net.dependency-down")), ["shop"]);
}

#[test]
fn what_a_remark_under_a_cause_explains_better_is_folded_under_the_cause() {
    let mut lab = Lab::new();
    lab.line(1, "db", DB);
    lab.line(1, "db", "say net.dependency-down info alert Kube* shop");
    lab.line(1, "shop", "say app.exit warning alert Kube*");
    lab.alert(2, "shop", true, 2);
    let cause = lab.now("db.oom");
    assert_eq!(lab.now("net.dependency-down").folded_under, cause.id);
    assert_eq!(lab.now("app.exit").folded_under, cause.id);
}

#[test]
fn a_finding_elsewhere_is_not_an_effect() {
    let mut lab = Lab::new();
    lab.line(1, "db", DB);
    lab.line(2, "shop", "say net.dependency-down warning alert Kube*");
    lab.alert(3, "shop", true, 2);
    assert_eq!(lab.now("net.dependency-down").folded_under, "");
    assert!(alerts_on(&lab.now("db.oom")).is_empty());
}

#[test]
fn two_that_explain_each_other_do_not_both_vanish() {
    let mut lab = Lab::new();
    lab.line(1, "db", "say a.one warning finding a.two");
    lab.line(2, "db", "say a.two warning finding a.one");
    lab.alert(3, "db", true, 2);
    let (one, two) = (lab.now("a.one"), lab.now("a.two"));
    assert_ne!(one.folded_under.is_empty(), two.folded_under.is_empty(), "{one:?}\n{two:?}");
}
