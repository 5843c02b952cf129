//! Rules and the alert that always fires: who asks for it by name hears every delivery, nobody else hears any, and it
//! is never a symptom.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{cell::RefCell, rc::Rc};

use kwhy_core::{
    Engine, Settings,
    rule::{Call, Descriptor, Failure, Reply, Rules, Subscription, Verdict},
};
use kwhy_proto::{
    timestamp,
    v1::{Alert, Signal, signal::Body},
};

const MINUTE: u64 = 60_000;
const START: u64 = 1_700_000_000_000;

type Heard = Rc<RefCell<Vec<(usize, String, String, usize)>>>;

/// Two rules: one asks for the heartbeat by its name, one for all alerts.
struct Ears {
    descriptors: Vec<Descriptor>,
    heard: Heard,
}

impl Rules for Ears {
    fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn examine(&mut self, rule: usize, call: Call) -> Result<Reply, Failure> {
        for signal in &call.signals {
            let subject = signal.subject.clone().unwrap_or_default();
            let past = call.world.about(&subject, "self", "alert", "Watchdog", START, 100).len();
            self.heard.borrow_mut().push((rule, signal.name.clone(), signal.state.clone(), past));
        }
        Ok(Reply { verdict: Verdict::default(), state: call.state, fuel: 1, ..Reply::default() })
    }
}

fn heartbeat(at: u64, state: &str) -> Signal {
    let labels = [("alertname", "Watchdog"), ("prometheus", "monitoring/k8s"), ("severity", "none")];
    Signal {
        id: format!("alert/watchdog/{state}/{at}"),
        source: "alert".into(),
        name: "Watchdog".into(),
        state: state.into(),
        at: Some(timestamp(at)),
        body: Some(Body::Alert(Alert {
            identity: "watchdog".into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            starts_at: Some(timestamp(START)),
            ends_at: (state == "resolved").then(|| timestamp(at)),
            ..Alert::default()
        })),
        ..Signal::default()
    }
}

#[test]
fn a_rule_that_names_the_heartbeat_hears_each_delivery_and_others_none() {
    let wants = |name: &str, names: &[&str]| Descriptor {
        name: name.into(),
        version: "1".into(),
        subscriptions: vec![Subscription {
            source: "alert".into(),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            ..Subscription::default()
        }],
        ..Descriptor::default()
    };
    let heard = Heard::default();
    let descriptors = vec![wants("keen", &["Watchdog"]), wants("all", &[]), wants("glob", &["W*"])];
    let mut engine = Engine::new(Settings::new("lab"), Ears { descriptors, heard: heard.clone() }).unwrap();
    let mut findings = Vec::new();
    for (minute, state) in [(0, "firing"), (5, "firing"), (10, "firing"), (20, "resolved")] {
        findings.extend(engine.apply(heartbeat(START + minute * MINUTE, state)));
    }
    let told: Vec<(usize, String, usize)> =
        heard.borrow().iter().map(|(rule, _, state, past)| (*rule, state.clone(), *past)).collect();
    let firing = |past| (0, "firing".to_owned(), past);
    assert_eq!(told, [firing(1), firing(2), firing(3), (0, "resolved".to_owned(), 4)]);
    assert!(findings.is_empty(), "a heartbeat is no symptom: {findings:#?}");
}
