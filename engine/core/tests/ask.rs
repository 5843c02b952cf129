//! Which logs the core asks for, when, and how often.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

use kwhy_core::{
    Engine, Settings,
    rule::{Call, Descriptor, Failure, Reply, Rules},
};
use kwhy_proto::{
    timestamp,
    v1::{ObjectChange, ObjectRef, Signal, signal::Body},
};
use serde_json::{Value, json};

const START: u64 = 1_700_000_000_000;

struct NoRules;

impl Rules for NoRules {
    fn descriptors(&self) -> &[Descriptor] {
        &[]
    }

    fn examine(&mut self, _rule: usize, _call: Call) -> Result<Reply, Failure> {
        panic!("there are no rules")
    }
}

struct Lab {
    engine: Engine<NoRules>,
    version: u32,
}

impl Lab {
    fn new() -> Self {
        Self { engine: Engine::new(Settings::new("lab"), NoRules).unwrap(), version: 0 }
    }

    fn apply(&mut self, second: u64, signal: Signal) -> Vec<(String, bool)> {
        self.engine.apply(Signal { at: Some(timestamp(START + second * 1000)), ..signal });
        let asks = self.engine.take_asks();
        assert!(asks.iter().all(|ask| ask.cluster == "lab" && ask.pod.as_ref().unwrap().name == "web-0"));
        asks.into_iter().map(|ask| (ask.container, ask.previous)).collect()
    }

    /// The pod's state at a second, with these statuses of containers.
    fn pod(&mut self, second: u64, statuses: Value) -> Vec<(String, bool)> {
        let unready = statuses.as_array().unwrap().iter().any(|s| s["ready"] == json!(false));
        self.status(
            second,
            json!({"containerStatuses": statuses, "conditions": [{
                "type": "ContainersReady",
                "status": if unready { "False" } else { "True" },
                "lastTransitionTime": "2023-11-14T22:13:20Z",
            }]}),
        )
    }

    fn status(&mut self, second: u64, status: Value) -> Vec<(String, bool)> {
        self.version += 1;
        let version = self.version.to_string();
        let policy = if status["phase"].is_string() { "Never" } else { "Always" };
        let json = json!({
            "metadata": {"name": "web-0", "namespace": "shop", "uid": "u", "resourceVersion": version},
            "spec": {"restartPolicy": policy},
            "status": status,
        });
        let subject =
            ObjectRef { kind: "Pod".into(), namespace: "shop".into(), name: "web-0".into(), uid: "u".into() };
        let change = ObjectChange { json: json.to_string(), resource_version: version.clone() };
        self.apply(
            second,
            Signal {
                id: format!("object/u/{version:0>20}"),
                source: "object".into(),
                name: "MODIFIED".into(),
                subject: Some(subject),
                body: Some(Body::Object(change)),
                ..Signal::default()
            },
        )
    }

    fn tick(&mut self, second: u64) -> Vec<(String, bool)> {
        self.apply(
            second,
            Signal { id: format!("tick/{second}"), source: "tick".into(), ..Signal::default() },
        )
    }
}

fn ended(id: &str, code: u32) -> Value {
    json!({"terminated": {"exitCode": code, "containerID": id, "finishedAt": "2023-11-14T22:13:20Z"}})
}

fn waits(last: Value) -> Value {
    json!([{"name": "app", "ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}])
}

fn asked(previous: bool) -> Vec<(String, bool)> {
    vec![("app".to_owned(), previous)]
}

#[test]
fn the_run_that_crashed_is_asked_for_when_the_container_waits_and_once() {
    let mut lab = Lab::new();
    let crashed = json!([{"name": "app", "ready": false, "state": ended("a", 1), "lastState": {}}]);
    assert_eq!(lab.pod(1, crashed), [], "it would be given as the present run a moment later");
    assert_eq!(lab.pod(2, waits(ended("a", 1))), asked(true));
    assert_eq!(lab.pod(3, waits(ended("a", 1))), []);
}

#[test]
fn a_container_that_crashes_on_is_asked_for_every_five_minutes() {
    let mut lab = Lab::new();
    let times = (0..40).filter(|n| !lab.pod(n * 30, waits(ended(&n.to_string(), 1))).is_empty());
    assert_eq!(times.collect::<Vec<_>>(), [0, 10, 20, 30]);
}

#[test]
fn a_container_that_ended_well_is_not_asked_for() {
    assert_eq!(Lab::new().pod(1, waits(ended("a", 0))), []);
}

#[test]
fn a_pod_that_is_not_started_again_is_asked_for_its_only_run() {
    let status = json!({"phase": "Failed", "containerStatuses": [{"name": "app", "ready": false, "state": ended("a", 2)}]});
    assert_eq!(Lab::new().status(1, status), asked(false));
}

#[test]
fn a_failing_init_container_is_asked_for() {
    let status = json!({"initContainerStatuses": [
        {"name": "app", "ready": false, "state": {"waiting": {}}, "lastState": ended("a", 3)},
    ]});
    assert_eq!(Lab::new().status(1, status), asked(true));
}

fn unready(started: &str) -> Value {
    json!([{"name": "app", "ready": false, "state": {"running": {"startedAt": started}}}])
}

#[test]
fn a_container_that_is_not_ready_is_asked_for_after_a_minute_although_nothing_more_is_told_of_it() {
    let mut lab = Lab::new();
    assert_eq!(lab.pod(10, unready("2023-11-14T22:13:30Z")), []);
    assert_eq!(lab.tick(69), []);
    assert_eq!(lab.tick(70), asked(false));
    assert_eq!(lab.tick(500), []);
}

#[test]
fn a_container_that_got_ready_meanwhile_is_not_asked_for() {
    let mut lab = Lab::new();
    assert_eq!(lab.pod(10, unready("2023-11-14T22:13:30Z")), []);
    assert_eq!(lab.pod(30, json!([{"name": "app", "ready": true, "state": {"running": {}}}])), []);
    assert_eq!(lab.tick(500), []);
}

#[test]
fn a_replay_after_a_late_signal_asks_for_nothing_again() {
    let mut lab = Lab::new();
    assert_eq!(lab.pod(100, waits(ended("a", 1))), asked(true));
    let late = Signal {
        id: "event/late/1/x".into(),
        source: "event".into(),
        name: "Pulled".into(),
        subject: Some(ObjectRef {
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "web-0".into(),
            uid: "u".into(),
        }),
        body: Some(Body::Event(Default::default())),
        ..Signal::default()
    };
    assert_eq!(lab.apply(50, late), []);
}
