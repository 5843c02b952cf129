//! The engine from outside: signals in, findings out, with a small native rule in place of the sandbox.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use kwhy_core::{
    Engine, Settings,
    rule::{
        Call, Clearing, Descriptor, Diagnosis, Evidence, Explains, Failure, Pattern, Reply, Rules,
        Subscription, Verdict,
    },
    snapshot::{Judged, RestoreError},
};
use kwhy_proto::{
    Message, timestamp,
    v1::{Alert, Finding, Gap, LogLine, ObjectChange, ObjectRef, Severity, Signal, Status, signal::Body},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const MINUTE: u64 = 60_000;
const START: u64 = 1_700_000_000_000;

/// Says `demo.bad-config` while a pod logs `bad config` and its ConfigMap says `mode: bad`; fails on request.
struct Demo {
    descriptors: Vec<Descriptor>,
    broken: bool,
}

impl Demo {
    fn new() -> Self {
        let log = Subscription {
            source: "log".into(),
            patterns: vec![Pattern { id: "bad".into(), literal: "bad config".into(), regex: String::new() }],
            ..Default::default()
        };
        let object =
            Subscription { source: "object".into(), kinds: vec!["ConfigMap".into()], ..Default::default() };
        let descriptor = Descriptor {
            name: "demo".into(),
            version: "1".into(),
            subscriptions: vec![log, object],
            ..Default::default()
        };
        Self { descriptors: vec![descriptor], broken: false }
    }
}

impl Rules for Demo {
    fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn examine(&mut self, _rule: usize, call: Call) -> Result<Reply, Failure> {
        if self.broken {
            return Err(Failure::Fuel { fuel: 7 });
        }
        let signal = &call.signals[0];
        let config = ObjectRef {
            kind: "ConfigMap".into(),
            namespace: "ns".into(),
            name: "app".into(),
            uid: String::new(),
        };
        let bad = call.world.read(&config, "/data/mode") == Some("\"bad\"".to_owned());
        let mut verdict = Verdict::default();
        let lines = call.world.about(
            &config,
            "users",
            "log",
            "bad",
            call.context.now.saturating_sub(30 * MINUTE),
            10,
        );
        if bad && let Some(line) = lines.last() {
            verdict.diagnoses.push(Diagnosis {
                code: "demo.bad-config".into(),
                root: config.clone(),
                severity: "critical".into(),
                confidence: 90,
                title: "bad mode".into(),
                explanation: "The mode is bad.".into(),
                evidence: vec![Evidence {
                    signal: Some(line.id.clone()),
                    excerpt: line.message.clone(),
                    weight: 50,
                    ..Default::default()
                }],
                explains: vec![Explains {
                    source: "alert".into(),
                    name: "Kube*".into(),
                    anchor: None,
                    reach: "users".into(),
                }],
                ..Default::default()
            });
        } else if signal.source == "object" {
            verdict.cleared.push(Clearing {
                code: "demo.bad-config".into(),
                root: config,
                because: "the mode is good".into(),
            });
        }
        Ok(Reply { verdict, state: call.state, fuel: 1, ..Reply::default() })
    }
}

fn engine() -> Engine<Demo> {
    Engine::new(Settings::new("lab"), Demo::new()).unwrap()
}

fn object(at: u64, kind: &str, name: &str, mut json: Value, change: &str) -> Signal {
    let version = format!("{at:020}");
    let uid = format!("uid-{kind}-{name}");
    json["metadata"]["uid"] = json!(uid);
    json["metadata"]["resourceVersion"] = json!(version);
    let namespace = if kind == "Node" { "" } else { "ns" };
    Signal {
        id: format!("object/{uid}/{version}"),
        source: "object".into(),
        name: change.into(),
        state: if at == START { "listed" } else { "watched" }.into(),
        at: Some(timestamp(at)),
        subject: Some(ObjectRef { kind: kind.into(), namespace: namespace.into(), name: name.into(), uid }),
        body: Some(Body::Object(ObjectChange { json: json.to_string(), resource_version: version })),
        ..Default::default()
    }
}

fn config(at: u64, mode: &str) -> Signal {
    object(
        at,
        "ConfigMap",
        "app",
        json!({"data": {"mode": mode}}),
        if at == START { "ADDED" } else { "MODIFIED" },
    )
}

fn pod(at: u64, name: &str, ready: bool) -> Signal {
    let status = if ready { "True" } else { "False" };
    let json = json!({
        "metadata": {"ownerReferences": [{"kind": "ReplicaSet", "name": "app-1", "controller": true}], "labels": {"app": "app"}},
        "spec": {"nodeName": "n1", "volumes": [{"configMap": {"name": "app"}}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}
    });
    object(at, "Pod", name, json, if at == START { "ADDED" } else { "MODIFIED" })
}

fn world() -> Vec<Signal> {
    let owner = json!({"status": {"readyReplicas": 1}, "metadata": {"ownerReferences": [{"kind": "Deployment", "name": "app", "controller": true}]}});
    vec![
        config(START, "bad"),
        object(
            START,
            "Deployment",
            "app",
            json!({"spec": {"replicas": 1}, "status": {"availableReplicas": 1}}),
            "ADDED",
        ),
        object(START, "ReplicaSet", "app-1", owner, "ADDED"),
        pod(START, "app-1-a", false),
        object(START, "Service", "ksm", json!({"spec": {"selector": {"app": "ksm"}}}), "ADDED"),
    ]
}

fn line(at: u64, text: &str, severity: &str) -> Signal {
    Signal {
        id: format!("log/ns/app-1-a/app/{at:020}"),
        source: "log".into(),
        state: severity.into(),
        at: Some(timestamp(at)),
        subject: Some(ObjectRef {
            kind: "Pod".into(),
            namespace: "ns".into(),
            name: "app-1-a".into(),
            uid: String::new(),
        }),
        message: text.into(),
        origin: "app.log:1".into(),
        body: Some(Body::Log(LogLine { container: "app".into(), ..Default::default() })),
        ..Default::default()
    }
}

fn alert(at: u64, name: &str, firing: bool, since: u64) -> Signal {
    let labels = [
        ("alertname", name),
        ("namespace", "ns"),
        ("deployment", "app"),
        ("pod", "ksm-x"),
        ("service", "ksm"),
        ("job", "kube-state-metrics"),
    ];
    let state = if firing { "firing" } else { "resolved" };
    Signal {
        id: format!("alert/{name}/{since}/{state}/{at}"),
        source: "alert".into(),
        name: name.into(),
        state: state.into(),
        at: Some(timestamp(at)),
        body: Some(Body::Alert(Alert {
            identity: name.into(),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            starts_at: Some(timestamp(since)),
            ends_at: (!firing).then(|| timestamp(at)),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn tick(at: u64) -> Signal {
    Signal { id: format!("tick/{at}"), source: "tick".into(), at: Some(timestamp(at)), ..Default::default() }
}

fn incident() -> Vec<Signal> {
    let mut all = world();
    all.extend([
        line(START + 2 * MINUTE, "FATAL bad config", "F"),
        line(START + 3 * MINUTE, "all is well", "I"),
        alert(START + 4 * MINUTE, "KubeDeploymentReplicasMismatch", true, START + 3 * MINUTE),
        line(START + 5 * MINUTE, "FATAL bad config again", "F"),
        config(START + 6 * MINUTE, "good"),
        pod(START + 6 * MINUTE + 30_000, "app-1-a", true),
        alert(START + 7 * MINUTE, "KubeDeploymentReplicasMismatch", false, START + 3 * MINUTE),
        tick(START + 20 * MINUTE),
    ]);
    all.sort_by(|a, b| kwhy_proto::order(a).cmp(&kwhy_proto::order(b)));
    all
}

fn run(signals: impl IntoIterator<Item = Signal>) -> Vec<Finding> {
    let mut engine = engine();
    signals.into_iter().flat_map(|s| engine.apply(s)).collect()
}

fn last(revisions: &[Finding]) -> Vec<Finding> {
    let mut by_id = std::collections::BTreeMap::new();
    for finding in revisions {
        by_id.insert(finding.id.clone(), Finding { revision: 0, ..finding.clone() });
    }
    by_id.into_values().filter(|f| f.resolution != kwhy_core::engine::WITHDRAWN).collect()
}

#[test]
fn an_alert_with_an_exporters_labels_is_folded_under_the_cause_on_its_deployment() {
    let revisions = run(incident().into_iter().take(9));
    let finding = revisions.last().unwrap();
    assert_eq!(finding.code, "demo.bad-config");
    assert_eq!(finding.status(), Status::Open);
    let symptom = &finding.symptoms[0];
    assert_eq!(
        (symptom.name.as_str(), symptom.object.as_ref().unwrap().kind.as_str()),
        ("KubeDeploymentReplicasMismatch", "Deployment")
    );
    let way: Vec<&str> = finding.path.iter().map(|s| s.object.as_ref().unwrap().kind.as_str()).collect();
    assert_eq!(way, ["ConfigMap", "Pod", "ReplicaSet", "Deployment"]);
}

/// A list that no longer has a pod does not say what it was. A watch does: there the last state is the one it sends.
#[test]
fn a_pod_that_a_list_no_longer_has_is_known_by_its_last_state() {
    let found = |state: &str| {
        let mut gone = object(START + MINUTE, "Pod", "app-1-a", json!({}), "DELETED");
        gone.state = state.into();
        let said = line(START + 2 * MINUTE, "FATAL bad config", "F");
        last(&run(world().into_iter().chain([gone, said]))).len()
    };
    assert_eq!((found("listed"), found("watched")), (1, 0));
}

#[test]
fn a_finding_resolves_with_the_change_that_ended_it_and_keeps_its_id() {
    let revisions = run(incident());
    let ids: std::collections::BTreeSet<&str> = revisions.iter().map(|f| f.id.as_str()).collect();
    assert_eq!(ids.len(), 1, "{revisions:#?}");
    let end = revisions.last().unwrap();
    assert_eq!(end.status(), Status::Resolved);
    let fix = end.confirmed_fix.as_ref().expect("the edit is the fix");
    assert_eq!(fix.summary, "data.mode edited");
    assert!(end.evidence.iter().any(|e| e.excerpt.contains("+ good")), "{:?}", end.evidence);
    assert_eq!(end.resolved_at, Some(timestamp(START + 7 * MINUTE)));
    let numbers: Vec<u32> = revisions.iter().map(|f| f.revision).collect();
    assert_eq!(numbers, (1..=u32::try_from(revisions.len()).unwrap()).collect::<Vec<_>>());
}

#[test]
fn symptoms_that_stop_by_themselves_claim_no_fix() {
    let signals = incident()
        .into_iter()
        .filter(|s| !(s.source == "object" && s.id.contains("uid-ConfigMap-app/") && s.name == "MODIFIED"));
    let end = run(signals).pop().unwrap();
    assert_eq!(end.confirmed_fix, None);
}

#[test]
fn an_alert_nobody_explains_is_listed_after_the_grace_and_not_before() {
    let mut engine = engine();
    let mut out = Vec::new();
    for signal in world() {
        out.extend(engine.apply(signal));
    }
    out.extend(engine.apply(alert(START + MINUTE, "SomethingElse", true, START)));
    out.extend(engine.apply(tick(START + MINUTE + 59_000)));
    assert_eq!(out, []);
    let listed = engine.apply(tick(START + 2 * MINUTE));
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].code.as_str(), listed[0].severity()), ("unexplained.alerts", Severity::Info));
    assert_eq!(listed[0].root.as_ref().unwrap().name, "app");
    assert_eq!(engine.account().unexplained, 1);
}

#[test]
fn an_alert_of_which_only_the_end_is_heard_is_listed_when_it_fires_again() {
    let mut engine = engine();
    world().into_iter().for_each(|s| drop(engine.apply(s)));
    engine.apply(alert(START + MINUTE, "SomethingElse", false, START));
    assert_eq!(engine.apply(tick(START + 10 * MINUTE)), []);
    assert_eq!(engine.account().alerts, 0);
    engine.apply(alert(START + 11 * MINUTE, "SomethingElse", true, START + 11 * MINUTE));
    assert_eq!(engine.apply(tick(START + 12 * MINUTE)).len(), 1);
    assert_eq!(engine.account().unexplained, 1);
}

#[test]
fn an_alert_of_which_only_the_end_is_heard_is_folded_under_its_cause() {
    let mut signals = world();
    signals.push(alert(START + MINUTE, "KubeDeploymentReplicasMismatch", false, START));
    signals.push(line(START + 2 * MINUTE, "FATAL bad config", "F"));
    let end = last(&run(signals));
    assert_eq!(end[0].symptoms.len(), 1, "{end:#?}");
}

#[test]
fn a_cause_found_after_the_grace_takes_the_alert_over() {
    let mut signals = world();
    signals.push(alert(START + MINUTE, "KubeDeploymentReplicasMismatch", true, START));
    signals.push(line(START + 20 * MINUTE, "FATAL bad config", "F"));
    let end = last(&run(signals));
    let of = |code: &str| end.iter().find(|f| f.code == code).unwrap();
    assert_eq!(of("demo.bad-config").symptoms.len(), 1);
    assert_eq!(of("unexplained.alerts").status(), Status::Resolved);
    assert!(of("unexplained.alerts").resolution.contains("demo.bad-config"));
}

#[test]
fn every_signal_twice_gives_the_same_revisions() {
    let once = run(incident());
    let twice = run(incident().into_iter().flat_map(|s| [s.clone(), s]));
    let bytes = |list: &[Finding]| list.iter().map(Message::encode_to_vec).collect::<Vec<_>>();
    assert_eq!(bytes(&once), bytes(&twice));
}

#[test]
fn lines_that_nobody_wants_change_no_revision() {
    let noise = (0..400u64).map(|i| line(START + MINUTE + i * 2000 + 7, "all is well", "I"));
    let mut signals: Vec<Signal> = incident().into_iter().chain(noise).collect();
    signals.sort_by(|a, b| kwhy_proto::order(a).cmp(&kwhy_proto::order(b)));
    assert_eq!(run(signals), run(incident()));
}

#[test]
fn a_rule_that_fails_again_and_again_is_left_out_with_one_finding_that_says_so() {
    let mut engine = Engine::new(Settings::new("lab"), Demo { broken: true, ..Demo::new() }).unwrap();
    let mut out: Vec<Finding> = world().into_iter().flat_map(|s| engine.apply(s)).collect();
    for i in 0..200 {
        out.extend(engine.apply(line(START + MINUTE + i * 100, "FATAL bad config", "F")));
    }
    let end = last(&out);
    assert_eq!(end.len(), 1, "{end:#?}");
    assert_eq!(end[0].code, "kwhy.rule-failing");
    assert!(end[0].explanation.contains("fuel"), "{}", end[0].explanation);
    let calls = engine.take_notices().len();
    assert!(calls < 60, "quarantine spares the host: {calls} calls for 200 lines");
}

#[test]
fn an_alert_whose_sender_falls_silent_ends_when_it_said_it_would() {
    let mut engine = engine();
    let mut firing = alert(START + MINUTE, "Lonely", true, START);
    if let Some(Body::Alert(body)) = &mut firing.body {
        body.ends_at = Some(timestamp(START + 5 * MINUTE));
    }
    world().into_iter().for_each(|s| drop(engine.apply(s)));
    engine.apply(firing);
    engine.apply(tick(START + 4 * MINUTE));
    let open = engine.findings().next().unwrap();
    assert_eq!(open.symptoms[0].state, "firing");
    engine.apply(tick(START + 30 * MINUTE));
    let over = engine.findings().next().unwrap();
    assert_eq!(over.symptoms[0].until, Some(timestamp(START + 5 * MINUTE)));
    assert_eq!(over.status(), Status::Resolved);
}

/// A delivery at a time of an alert that runs out at another.
fn pushed(at: u64, since: u64, until: u64, suppressed: bool) -> Signal {
    let mut signal = alert(at, "Pushed", true, since);
    if let Some(Body::Alert(body)) = &mut signal.body {
        body.ends_at = Some(timestamp(until));
        body.suppressed = suppressed;
    }
    signal
}

#[test]
fn of_a_pair_of_senders_an_alert_lasts_as_long_as_one_of_them_keeps_it_up() {
    let mut engine = engine();
    world().into_iter().for_each(|s| drop(engine.apply(s)));
    engine.apply(pushed(START + MINUTE, START, START + 9 * MINUTE, false));
    engine.apply(pushed(START + 2 * MINUTE, START, START + 5 * MINUTE, false));
    engine.apply(tick(START + 6 * MINUTE));
    assert_eq!(engine.findings().next().unwrap().symptoms[0].state, "firing");
    engine.apply(tick(START + 9 * MINUTE));
    assert_eq!(engine.findings().next().unwrap().symptoms[0].until, Some(timestamp(START + 9 * MINUTE)));
}

#[test]
fn a_delivery_that_comes_long_after_its_end_leaves_nothing_firing() {
    let mut engine = engine();
    world().into_iter().for_each(|s| drop(engine.apply(s)));
    engine.apply(tick(START + 60 * MINUTE));
    engine.apply(pushed(START + MINUTE, START, START + 5 * MINUTE, false));
    engine.apply(tick(START + 70 * MINUTE));
    let firing = engine.findings().flat_map(|f| f.symptoms).filter(|s| s.state == "firing").count();
    assert_eq!(firing, 0);
}

#[test]
fn a_mark_that_an_alert_is_held_back_is_a_revision_and_goes_as_it_came() {
    let mut engine = engine();
    world().into_iter().for_each(|s| drop(engine.apply(s)));
    let marks = |revisions: Vec<Finding>| -> Vec<bool> {
        revisions.iter().flat_map(|f| &f.symptoms).map(|s| s.suppressed).collect()
    };
    let until = START + 30 * MINUTE;
    engine.apply(pushed(START + MINUTE, START, until, false));
    engine.apply(tick(START + 3 * MINUTE));
    assert_eq!(marks(engine.apply(pushed(START + 4 * MINUTE, START, until, true))), [true]);
    assert_eq!(marks(engine.apply(pushed(START + 5 * MINUTE, START, until, true))), [false; 0]);
    assert_eq!(marks(engine.apply(pushed(START + 6 * MINUTE, START, until, false))), [false]);
}

#[test]
fn a_snapshot_is_the_same_bytes_for_the_same_signals_and_is_read_by_nobody_else() {
    let taken = |build: &str| {
        let mut engine = engine();
        for (place, signal) in (1..).zip(incident()) {
            engine.stands_at(place);
            engine.apply(signal);
        }
        engine.snapshot(build).encode().unwrap()
    };
    let bytes = taken("a");
    assert_eq!(bytes, taken("a"));
    assert!(engine().restore("a", &bytes).is_ok());
    assert!(matches!(engine().restore("b", &bytes), Err(RestoreError::Foreign)));
    let mut other = Engine::new(Settings { grace: 1, ..Settings::new("lab") }, Demo::new()).unwrap();
    assert!(matches!(other.restore("a", &bytes), Err(RestoreError::Foreign)));
    for end in 0..bytes.len() {
        assert!(engine().restore("a", &bytes[..end]).is_err(), "cut off at {end} of {}", bytes.len());
    }
}

#[test]
fn what_was_published_of_a_log_that_is_read_again_is_not_published_again() {
    let all = incident();
    let said = run(all.clone());
    let mut again = engine();
    again.adopt(last_revisions(&said), all.len() as u64, Judged::Anew);
    for (place, signal) in (1..).zip(all.clone()) {
        again.stands_at(place);
        assert_eq!(again.apply(signal), []);
    }
    assert_eq!(again.caught_up(), []);
    // The twin: to an engine that was told of nothing all is news.
    let mut new = engine();
    assert_eq!(all.into_iter().flat_map(|s| new.apply(s)).collect::<Vec<_>>(), said);
}

#[test]
fn of_a_log_that_lost_a_part_what_is_newer_is_published_and_what_was_of_the_lost_part_stands() {
    let all = incident();
    let early = last_revisions(&run(all.iter().take(9).cloned()));
    assert!(!early.is_empty());
    let of_the_lost = Finding { id: "of-the-lost".into(), ..early[0].clone() };
    let published: Vec<Finding> = early.into_iter().chain([of_the_lost]).collect();
    let judge = |judged: Judged| {
        let mut again = engine();
        again.adopt(published.clone(), all.len() as u64, judged);
        assert_eq!(all.iter().cloned().flat_map(|s| again.apply(s)).collect::<Vec<_>>(), []);
        again.caught_up()
    };
    let contents = |findings: Vec<Finding>| -> Vec<Finding> {
        findings.into_iter().map(|finding| Finding { revision: 0, ..finding }).collect()
    };
    let newest = contents(last_revisions(&run(all.clone())));
    assert_eq!(contents(judge(Judged::Newer)), newest);
    // The twin: who judges anew takes back what nobody tells any more.
    let anew = judge(Judged::Anew);
    assert!(
        anew.iter().any(|f| f.id == "of-the-lost" && f.resolution == kwhy_core::engine::WITHDRAWN),
        "{anew:?}"
    );
}

#[test]
fn a_log_that_lost_signals_is_a_finding_and_a_source_that_did_is_none() {
    let gap = |name: &str, at: u64| Signal {
        id: format!("gap/{name}/{at}"),
        source: "gap".into(),
        name: name.into(),
        at: Some(timestamp(at)),
        body: Some(Body::Gap(Gap { reason: "messages 5 to 9 are lost".into(), ..Gap::default() })),
        ..Default::default()
    };
    let lost =
        run(world().into_iter().chain([gap("KWHY_IN", START + MINUTE), gap("KWHY_IN", START + 2 * MINUTE)]));
    assert_eq!(last(&lost).len(), 1, "one finding, however often");
    assert_eq!((lost[0].code.as_str(), lost[0].severity()), ("kwhy.signals-lost", Severity::Warning));
    assert!(lost[0].title.contains("messages 5 to 9"), "{}", lost[0].title);
    assert_eq!(run(world().into_iter().chain([gap("Pod", START + MINUTE)])), []);
}

fn last_revisions(said: &[Finding]) -> Vec<Finding> {
    let mut last = std::collections::BTreeMap::new();
    said.iter().for_each(|finding| drop(last.insert(finding.id.clone(), finding.clone())));
    last.into_values().collect()
}

/// Five hundred signals a second about others, of which every fourth is told in whole seconds and so is late.
fn noise() -> impl Iterator<Item = (u64, Signal)> {
    (0..6000_u64).map(|n| {
        let told = START + 4 * MINUTE + n * 2;
        let at = if n % 4 == 0 { told / 1000 * 1000 } else { told };
        let signal = Signal {
            id: format!("event/noise-{n}"),
            source: "event".into(),
            name: "Pulled".into(),
            at: Some(timestamp(at)),
            subject: Some(ObjectRef {
                kind: "Pod".into(),
                name: format!("other-{}", n % 50),
                ..Default::default()
            }),
            body: Some(Body::Event(kwhy_proto::v1::Event::default())),
            ..Default::default()
        };
        (told, signal)
    })
}

#[test]
fn where_much_is_late_it_is_put_in_its_places_together_and_leads_to_the_same_last_revisions() {
    let told = incident().into_iter().map(|s| (kwhy_core::engine::time_of(&s), s));
    // What is told of the incident comes half a second late.
    let mut arrival: Vec<(u64, Signal)> = told.map(|(at, s)| (at + 500, s)).chain(noise()).collect();
    arrival.sort_by_key(|(at, _)| *at);
    let arrival: Vec<Signal> = arrival.into_iter().map(|(_, s)| s).collect();
    let mut sorted = arrival.clone();
    sorted.sort_by(|a, b| kwhy_proto::order(a).cmp(&kwhy_proto::order(b)));
    let (late, in_order) = (run(arrival.clone()), run(sorted));
    assert!(!last(&in_order).is_empty());
    assert_eq!(last(&late), last(&in_order));
    assert_eq!(late, run(arrival.clone()), "the same again");

    // Another process that goes on from a snapshot says the same at the same places.
    let half = arrival.len() / 2;
    let mut before = engine();
    let mut said = Vec::new();
    for (place, signal) in (1..).zip(&arrival[..half]) {
        before.stands_at(place);
        said.extend(before.apply(signal.clone()));
    }
    let mut after = engine();
    let resumed = after.restore("b", &before.snapshot("b").encode().unwrap()).unwrap();
    for (place, signal) in (1..).zip(&arrival) {
        if place == half as u64 + 1 {
            said.extend(after.caught_up());
        }
        if place >= resumed.from {
            after.stands_at(place);
            said.extend(after.apply(signal.clone()));
        }
    }
    assert_eq!(said, late);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn signals_delayed_within_the_lateness_window_lead_to_the_same_last_revisions(
        delays in proptest::collection::vec(0..4 * MINUTE + 50_000, 13)
    ) {
        let mut arrival: Vec<(u64, Signal)> = incident()
            .into_iter()
            .enumerate()
            .map(|(i, s)| (kwhy_core::engine::time_of(&s) + delays.get(i).copied().unwrap_or(0), s))
            .collect();
        arrival.sort_by_key(|(at, _)| *at);
        let shuffled = run(arrival.into_iter().map(|(_, s)| s));
        prop_assert_eq!(last(&shuffled), last(&run(incident())));
    }
}
