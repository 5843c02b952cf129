//! Late signals and rules that look at much: what follows is what would follow had nothing been late, and a rule is asked
//! anew only where it would see something else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{
    cell::Cell,
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
};

use kwhy_core::{
    Engine, Settings,
    engine::WITHDRAWN,
    rule::{Call, Descriptor, Diagnosis, Failure, Reply, Rules, Subscription, Verdict, Wake},
};
use kwhy_proto::{
    timestamp,
    v1::{Event, Finding, ObjectChange, ObjectRef, Signal, signal::Body},
};
use proptest::prelude::*;
use serde_json::json;

const START: u64 = 1_700_000_000_000;
const PODS: u64 = 6;
const REASONS: [&str; 4] = ["Pulled", "Created", "Killing", "Evicted"];

/// A rule looks in one of many ways at what was said, and says what it saw of each pod.
struct Curious {
    descriptors: Vec<Descriptor>,
    calls: Rc<Cell<usize>>,
}

/// Reach, and a glob over reasons, of what each rule looks for.
const LOOKS: [(&str, &str); 8] = [
    ("self", "Pulled"),
    ("self", "*"),
    ("owners", "Killing"),
    ("on-node", "Created"),
    ("on-node", "?victed"),
    ("namespace", "Pulled"),
    ("cluster", "*"),
    ("self", "Preempted"),
];

impl Curious {
    fn new(calls: &Rc<Cell<usize>>) -> Self {
        let event = Subscription { source: "event".into(), ..Default::default() };
        let descriptor = |n| Descriptor {
            name: format!("curious-{n}"),
            version: "1".into(),
            subscriptions: vec![event.clone()],
            ..Default::default()
        };
        Self { descriptors: (0..LOOKS.len()).map(descriptor).collect(), calls: calls.clone() }
    }
}

impl Rules for Curious {
    fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn examine(&mut self, rule: usize, mut call: Call) -> Result<Reply, Failure> {
        self.calls.set(self.calls.get() + 1);
        let (now, signal) = (call.context.now, &call.signals[0]);
        let root = signal.subject.clone().unwrap();
        let (within, name) = LOOKS[rule];
        let since = now.saturating_sub(20_000);
        let seen = call.world.about(&root, within, "event", name, since, 1000);
        let seen = (seen.len(), seen.first().map(|s| &s.id), seen.last().map(|s| &s.id));
        let owners: Vec<String> = call.world.owners(&root).into_iter().map(|owner| owner.name).collect();
        // Memory of the pod, and one of all pods by which everything hangs together with everything for some reasons.
        let slot = match signal.name.as_str() {
            _ if signal.source == "timer" => "timers",
            "Evicted" => "all",
            _ => &root.name,
        };
        let slot = slot.to_owned();
        let times = call.state.get(&slot, now).map_or(0, |bytes| bytes[0]).wrapping_add(1);
        call.state.set(&slot, &[times], 30_000, now).unwrap();
        if signal.name == "Killing" {
            call.state.delete("all");
        }
        // All that the rule ever saw of the pod: what it sees wrong once is wrong for ever.
        let all = format!("all/{}", root.name);
        let before =
            call.state.get(&all, now).map_or(String::new(), |bytes| String::from_utf8_lossy(bytes).into());
        let mut hasher = DefaultHasher::new();
        (before, &owners, &seen, &signal.id).hash(&mut hasher);
        let digest = format!("{:016x}", hasher.finish());
        call.state.set(&all, digest.as_bytes(), 3_600_000, now).unwrap();
        let mut verdict = Verdict::default();
        if signal.source == "event" && times.is_multiple_of(3) {
            let wake = Wake { id: signal.name.clone(), subject: Some(root.clone()), at: now + 1500 };
            verdict.wakes.push(wake);
        }
        verdict.diagnoses.push(Diagnosis {
            code: format!("curious-{rule}.saw"),
            root,
            severity: "info".into(),
            confidence: 50,
            title: "seen".into(),
            explanation: format!("{times} times, {owners:?}, {} {seen:?}, in all {digest}", signal.id),
            ..Default::default()
        });
        Ok(Reply { verdict, state: call.state, fuel: 1, ..Reply::default() })
    }
}

fn pod(n: u64) -> ObjectRef {
    ObjectRef { kind: "Pod".into(), namespace: "ns".into(), name: format!("p{n}"), uid: format!("u{n}") }
}

fn shown(at: u64, n: u64, version: u64) -> Signal {
    let owner = json!([{"kind": "DaemonSet", "name": format!("d{}", version % 2), "controller": true}]);
    let json = json!({
        "kind": "Pod",
        "metadata": {"namespace": "ns", "name": format!("p{n}"), "uid": format!("u{n}"), "ownerReferences": owner},
        "spec": {"nodeName": format!("n{}", n % 2)}
    });
    Signal {
        id: format!("object/{n}/{version}"),
        source: "object".into(),
        name: "MODIFIED".into(),
        state: "watched".into(),
        at: Some(timestamp(at)),
        subject: Some(pod(n)),
        body: Some(Body::Object(ObjectChange {
            json: json.to_string(),
            resource_version: version.to_string(),
        })),
        ..Default::default()
    }
}

fn event(at: u64, id: u64, n: u64, reason: &str) -> Signal {
    Signal {
        id: format!("event/{id}"),
        source: "event".into(),
        name: reason.into(),
        at: Some(timestamp(at)),
        subject: Some(pod(n)),
        body: Some(Body::Event(Event::default())),
        ..Default::default()
    }
}

/// What was told last of each finding that was not withdrawn, and how many calls of rules it took.
fn run(signals: impl IntoIterator<Item = Signal>) -> (BTreeMap<String, Finding>, usize) {
    let calls = Rc::default();
    let mut engine = Engine::new(Settings::new("lab"), Curious::new(&calls)).unwrap();
    let mut last = BTreeMap::new();
    for signal in signals {
        for finding in engine.apply(signal) {
            last.insert(finding.id.clone(), Finding { revision: 0, updated_at: None, ..finding });
        }
    }
    last.retain(|_, finding| finding.resolution != WITHDRAWN);
    (last, calls.get())
}

fn cluster() -> impl Iterator<Item = Signal> {
    (0..PODS).map(|n| shown(START, n, 0))
}

/// The last to come, after everything that was late.
fn end() -> impl Iterator<Item = Signal> {
    (0..PODS).map(|n| event(START + 600_000 + n, 1_000_000 + n, n, "Created"))
}

/// In the order of their times, and as they come.
fn both_ways(signals: Vec<(u64, Signal)>) -> (Vec<Signal>, Vec<Signal>) {
    let mut arrival: Vec<(u64, Signal)> = signals;
    arrival.sort_by_key(|(comes, _)| *comes);
    let arrival: Vec<Signal> = arrival.into_iter().map(|(_, signal)| signal).collect();
    let mut sorted = arrival.clone();
    sorted.sort_by(|a, b| kwhy_proto::order(a).cmp(&kwhy_proto::order(b)));
    let whole = |signals: Vec<Signal>| cluster().chain(signals).chain(end()).collect();
    (whole(arrival), whole(sorted))
}

#[test]
fn a_late_signal_has_only_those_rules_asked_anew_that_see_it() {
    let on_time =
        (1..400_u64).map(|n| (START + n * 10, event(START + n * 10, n, 1 + n % (PODS - 1), "Created")));
    let late = event(START + 2000, 400, 0, "Pulled");
    let signals: Vec<(u64, Signal)> = on_time.chain([(START + 3995, late)]).collect();
    let (arrival, sorted) = both_ways(signals);
    let (late, in_order) = (run(arrival), run(sorted));
    assert_eq!(late.0, in_order.0);
    // Two hundred signals came after it. Of eight rules, two look at everything that was said of any pod, one of any in the
    // namespace that is a Pulled, and so on; those that look at one pod or for another reason are not asked.
    let anew = late.1 - in_order.1;
    assert!((200..900).contains(&anew), "{anew} of {} calls", 200 * LOOKS.len());
}

#[test]
fn what_an_object_that_says_much_no_longer_has_is_otherwise_too() {
    // More than is kept of an object: each late one pushes out another than was pushed out before.
    let on_time = (1..600_u64).map(|n| {
        let reason = if n % 7 == 0 { "Pulled" } else { "Created" };
        (START + n * 10, event(START + n * 10, n, n % 2, reason))
    });
    let late = (600..640_u64).map(|n| (START + n * 9, event(START + n * 9 - 900, n, n % 2, "Killing")));
    let (arrival, sorted) = both_ways(on_time.chain(late).collect());
    assert_eq!(run(arrival).0, run(sorted).0);
}

#[test]
fn what_is_pushed_out_sooner_because_something_came_late_is_otherwise_too() {
    // 256 are kept. With the late one the first is pushed out one signal sooner, long after the late one's place.
    let on_time = (1..=270_u64).map(|n| {
        let reason = if n == 1 { "Pulled" } else { "Created" };
        (START + n * 10, event(START + n * 10, n, 0, reason))
    });
    let late = event(START + 2405, 271, 0, "Killing");
    let (arrival, sorted) = both_ways(on_time.chain([(START + 2706, late)]).collect());
    assert_eq!(run(arrival).0, run(sorted).0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_late_rules_come_to_say_what_they_would_have_said(
        told in proptest::collection::vec(
            (0_u64..12_000, 0..PODS, 0..REASONS.len(), prop_oneof![3 => Just(0_u64), 1 => 0_u64..2500], 0_u8..12),
            20..120,
        )
    ) {
        let signals = told.into_iter().zip(1..).map(|((after, n, reason, delay, what), id)| {
            let at = START + 1000 + after;
            let signal = if what == 0 { shown(at, n, id) } else { event(at, id, n, REASONS[reason]) };
            (at + delay, signal)
        });
        let (arrival, sorted) = both_ways(signals.collect());
        prop_assert_eq!(run(arrival).0, run(sorted).0);
    }
}
