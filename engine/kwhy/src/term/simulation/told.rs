//! What is told in a schedule: a cluster that is made up, and a rule that understands it.

use fastrand::Rng;
use kwhy_core::{
    Engine, Settings,
    rule::{
        Call, Clearing, Descriptor, Diagnosis, Explains, Failure, Pattern, Reply, Rules, Subscription,
        Verdict,
    },
};
use kwhy_proto::{
    timestamp,
    v1::{Alert, Finding, LogLine, ObjectRef, Signal, SignalBatch, signal::Body},
};

use super::PLACES;

const START: u64 = 1_700_000_000_000;
const SECOND: u64 = 1000;
/// How long the rule remembers.
const HOUR: u64 = 3_600_000;

/// `say CAUSE ALERT` diagnoses it on the object of the line, `unsay CAUSE` withdraws it. It counts what it was told.
pub(super) struct Scripted(Vec<Descriptor>);

pub(super) fn rule() -> Scripted {
    let says = Pattern { id: "say".into(), literal: "say".into(), regex: String::new() };
    let logs = Subscription { source: "log".into(), patterns: vec![says], ..Subscription::default() };
    Scripted(vec![Descriptor { name: "scripted".into(), subscriptions: vec![logs], ..Descriptor::default() }])
}

impl Rules for Scripted {
    fn descriptors(&self) -> &[Descriptor] {
        &self.0
    }

    fn examine(&mut self, _rule: usize, call: Call) -> Result<Reply, Failure> {
        let (mut state, mut verdict) = (call.state, Verdict::default());
        for signal in &call.signals {
            let Some(root) = signal.subject.clone() else { continue };
            let count = state.get(&root.name, call.context.now).and_then(|bytes| bytes.first().copied());
            let count = count.unwrap_or_default().wrapping_add(1);
            state.set(&root.name, &[count], HOUR, call.context.now).unwrap();
            match signal.message.split(' ').collect::<Vec<_>>().as_slice() {
                ["say", code, alert] => verdict.diagnoses.push(Diagnosis {
                    code: (*code).to_owned(),
                    title: format!("it is {code}"),
                    explanation: format!("told {count} times"),
                    severity: "warning".to_owned(),
                    confidence: 50 + count % 40,
                    explains: vec![Explains {
                        source: "alert".to_owned(),
                        name: (*alert).to_owned(),
                        anchor: None,
                        reach: "self".to_owned(),
                    }],
                    root,
                    ..Diagnosis::default()
                }),
                ["unsay", code] => verdict.cleared.push(Clearing {
                    code: (*code).to_owned(),
                    because: "it was told so".to_owned(),
                    root,
                }),
                _ => {}
            }
        }
        Ok(Reply { verdict, state, fuel: 1, ..Reply::default() })
    }
}

/// A log: some signals at each place, some of them late, some told before.
pub(super) fn log(seed: u64) -> Vec<SignalBatch> {
    let mut random = Rng::with_seed(seed);
    let mut at = START;
    let mut known: Vec<Signal> = Vec::new();
    let mut batch = |place: u64| {
        at += random.u64(..90) * SECOND;
        // Much at first, so that soon there is a former state to go back to, which a snapshot holds.
        let count = if place <= 4 { 9 } else { random.u64(1..=3) };
        let signals = (0..count).map(|n| {
            if !known.is_empty() && random.u8(..20) == 0 {
                return known[random.usize(..known.len())].clone();
            }
            let late = if random.u8(..40) == 0 { random.u64(..240) * SECOND } else { 0 };
            let signal = signal(&mut random, place * 10 + n, at - late.min(at - START) + n);
            known.push(signal.clone());
            signal
        });
        SignalBatch { signals: signals.collect() }
    };
    (1..=PLACES).map(&mut batch).collect()
}

fn signal(random: &mut Rng, number: u64, at: u64) -> Signal {
    let app = format!("app-{}", random.u8(..4));
    let alert = ["AppDown", "AppSlow"][random.usize(..2)];
    let code = ["made.up", "made.other"][random.usize(..2)];
    let subject = ObjectRef {
        kind: "Deployment".into(),
        namespace: "ns".into(),
        name: app.clone(),
        ..ObjectRef::default()
    };
    let common = Signal {
        id: number.to_string(),
        cluster: "lab".into(),
        at: Some(timestamp(at)),
        ..Signal::default()
    };
    match random.u8(..10) {
        0..4 => {
            let labels = [("alertname", alert), ("namespace", "ns"), ("deployment", &app)];
            let firing = random.bool();
            Signal {
                source: "alert".into(),
                name: alert.into(),
                state: (if firing { "firing" } else { "resolved" }).into(),
                body: Some(Body::Alert(Alert {
                    identity: format!("{alert}/{app}"),
                    labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
                    starts_at: Some(timestamp(at)),
                    ends_at: (!firing).then(|| timestamp(at)),
                    ..Alert::default()
                })),
                ..common
            }
        }
        4..9 => Signal {
            source: "log".into(),
            message: if random.u8(..4) == 0 {
                format!("unsay {code}")
            } else {
                format!("say {code} {alert}")
            },
            subject: Some(subject),
            body: Some(Body::Log(LogLine::default())),
            ..common
        },
        _ => Signal { source: "tick".into(), ..common },
    }
}

/// What one engine says of a log in one go.
pub(super) fn said(settings: Settings, log: &[SignalBatch]) -> Vec<Finding> {
    let mut engine = Engine::new(settings, rule()).unwrap();
    let mut all = Vec::new();
    for (place, batch) in (1..).zip(log) {
        engine.stands_at(place);
        all.extend(batch.signals.iter().cloned().flat_map(|signal| engine.apply(signal)));
    }
    all
}
