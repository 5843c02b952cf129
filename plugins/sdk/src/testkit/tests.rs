//! The kit itself: a test that passes on a kit that shows the wrong cluster proves nothing.

use std::cell::Cell;

use serde_json::{Value, json};

use super::{Bench, Input, glob};
use crate::{
    Descriptor, Diagnosis, Host, ObjectRef, Pattern, Rule, Signal, Subscription, Verdict, Wake, World,
};

/// Diagnoses the subject of whatever it is called with; the title tells what that was.
#[derive(Default)]
struct Echo;

impl Rule for Echo {
    fn describe(&self) -> Descriptor {
        Descriptor::new("echo", "1.0.0")
            .wants(
                Subscription::logs(vec![Pattern::new("oops", "oops", r"oops (?P<what>\w+)")])
                    .workloads(&["web*"]),
            )
            .wants(Subscription::events(&["Back*"]).kinds(&["Pod"]).namespaces(&["shop"]))
            .wants(Subscription::objects(&["ConfigMap"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let mut verdict = Verdict::default();
        let subject = signal.subject.clone().ok_or("no subject")?;
        let mut diagnosis = Diagnosis::new(&format!("echo.{}", signal.source), subject.clone());
        diagnosis.title = format!("{} {}", signal.name, signal.field("what"));
        verdict.diagnoses.push(diagnosis);
        if signal.source == "event" {
            verdict.wakes.push(Wake { id: "later".into(), subject: Some(subject), at: world.now() + 500 });
        }
        Ok(verdict)
    }
}

fn pod(name: &str, rest: Value) -> Value {
    let mut json = json!({"kind": "Pod", "metadata": {"namespace": "shop", "name": name, "labels": {"app": "web"}, "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": true}]}});
    json["spec"] = rest;
    json
}

fn shop() -> Bench<Echo> {
    let mut bench = Bench::new();
    let owned = json!([{"kind": "Deployment", "name": "web", "controller": true}]);
    for json in [
        json!({"kind": "Node", "metadata": {"name": "kal"}}),
        json!({"kind": "Deployment", "metadata": {"namespace": "shop", "name": "web"}}),
        json!({"kind": "ReplicaSet", "metadata": {"namespace": "shop", "name": "web-1", "ownerReferences": owned}}),
        pod("web-1-a", json!({"nodeName": "kal", "volumes": [{"configMap": {"name": "settings"}}]})),
        json!({"kind": "Service", "metadata": {"namespace": "shop", "name": "front"}, "spec": {"selector": {"app": "web"}}}),
        json!({"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "settings"}, "data": {"a": "x\ny\n"}}),
    ] {
        bench.feed(&Input::listed(0, json)).unwrap();
    }
    bench
}

fn web() -> ObjectRef {
    ObjectRef::new("Pod", "shop", "web-1-a")
}

#[test]
fn relations_are_those_that_the_objects_name() {
    let bench = shop();
    let all = bench.cluster().neighbours(&web(), "", 100);
    let all: Vec<(String, String)> = all.into_iter().map(|n| (n.relation, n.object.name)).collect();
    let expected = [("node", "kal"), ("owner", "web-1"), ("selected-by", "front"), ("uses", "settings")];
    assert_eq!(all, expected.map(|(r, n)| (r.to_owned(), n.to_owned())));
    let owners = bench.cluster().owners(&web());
    assert_eq!(owners.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["web-1", "web"]);
}

#[test]
fn a_rule_is_called_with_what_it_subscribed_to_and_nothing_else() {
    let mut bench = shop();
    bench.feed(&Input::line(1, &web(), "web", "oops disk")).unwrap();
    bench.feed(&Input::line(2, &web(), "web", "oops!")).unwrap();
    bench.feed(&Input::line(3, &ObjectRef::new("Pod", "shop", "db-0"), "db", "oops net")).unwrap();
    bench.feed(&Input::event(4, &web(), "Killing", "Normal", "", 1)).unwrap();
    let codes: Vec<&str> = bench.diagnoses().iter().map(|d| d.code.as_str()).collect();
    assert_eq!(codes, ["echo.log", "echo.object"], "the line and the ConfigMap that was listed");
    assert_eq!(bench.standing("echo.log").unwrap().title, "oops disk");
}

#[test]
fn history_is_bounded_by_reach_name_and_time_and_newest_first() {
    let mut bench = shop();
    for (at, reason) in [(10, "BackOff"), (20, "Killing"), (30, "BackOff")] {
        bench.feed(&Input::event(at, &web(), reason, "Warning", "", 1)).unwrap();
    }
    let about = |id: &ObjectRef, reach: &str, name: &str, since| -> Vec<u64> {
        bench.cluster().about(id, reach, "event", name, since, 10).iter().map(|s| s.at).collect()
    };
    let deployment = ObjectRef::new("Deployment", "shop", "web");
    assert_eq!(about(&web(), "self", "*", 0), [30, 20, 10]);
    assert_eq!(about(&web(), "self", "Back*", 15), [30]);
    assert_eq!(about(&deployment, "self", "*", 0), [0_u64; 0]);
    for reach in ["owned", "workload", "cluster", "namespace"] {
        assert_eq!(about(&deployment, reach, "*", 0).len(), 3, "{reach}");
    }
    assert_eq!(about(&ObjectRef::new("Node", "", "kal"), "on-node", "*", 0).len(), 3);
    assert_eq!(about(&ObjectRef::new("ConfigMap", "shop", "settings"), "users", "*", 0).len(), 3);
    assert_eq!(about(&ObjectRef::new("Service", "shop", "front"), "owned", "*", 0).len(), 0);
}

#[test]
fn a_changed_line_of_data_is_a_change_and_a_stale_state_is_not() {
    let mut bench = shop();
    let settings = |text: &str| json!({"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "settings"}, "data": {"a": text}});
    bench.feed(&Input::changed(50, settings("x\nz\n"))).unwrap();
    bench.feed(&Input::changed(40, settings("old\n"))).unwrap();
    let id = ObjectRef::new("ConfigMap", "shop", "settings");
    let changes = bench.cluster().changes(&id, "self", 0, 10);
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].fields[0].name.as_str(), changes[0].fields[0].value.as_str()),
        ("/data/a", "- y\n+ z\n")
    );
    assert_eq!(bench.cluster().read(&id, "/data/a").unwrap(), r#""x\nz\n""#);
}

#[test]
fn a_deleted_object_can_be_read_but_does_not_stand() {
    let mut bench = shop();
    bench.feed(&Input::deleted(5, pod("web-1-a", json!({"nodeName": "kal"})))).unwrap();
    assert!(!bench.cluster().exists(&web()));
    assert_eq!(bench.cluster().read(&web(), "/spec/nodeName").unwrap(), r#""kal""#);
}

#[test]
fn a_timer_goes_off_before_what_comes_later() {
    let mut bench = shop();
    bench.feed(&Input::event(100, &web(), "BackOff", "Warning", "", 1)).unwrap();
    assert!(bench.standing("echo.timer").is_none());
    bench.until(599).unwrap();
    assert!(bench.standing("echo.timer").is_none());
    bench.feed(&Input::line(700, &web(), "web", "nothing")).unwrap();
    assert_eq!(bench.standing("echo.timer").unwrap().title, "later ");
}

#[test]
#[should_panic(expected = "a fresh instance of the rule says something else")]
fn a_rule_that_keeps_something_in_itself_is_found_out() {
    #[derive(Default)]
    struct Counts(Cell<u8>);
    impl Rule for Counts {
        fn describe(&self) -> Descriptor {
            Echo.describe()
        }
        fn on_signal(&self, _: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
            self.0.set(self.0.get() + 1);
            let mut diagnosis = Diagnosis::new("a.b", signal.subject.clone().ok_or("none")?);
            diagnosis.confidence = self.0.get();
            Ok(Verdict { diagnoses: vec![diagnosis], ..Verdict::default() })
        }
    }
    let mut bench = Bench::<Counts>::new();
    for at in 0..2 {
        bench
            .feed(&Input::event(at, &ObjectRef::new("Pod", "shop", "x"), "BackOff", "Warning", "", 1))
            .unwrap();
    }
}

#[test]
fn memory_expires_by_log_time() {
    let mut bench = shop();
    bench.cluster().set("k", b"v", 100).unwrap();
    assert_eq!(bench.cluster().get("k"), Some(b"v".to_vec()));
    bench.until(100).unwrap();
    assert_eq!(bench.cluster().get("k"), None);
}

#[test]
fn a_glob_is_literal_but_for_star_and_question_mark() {
    assert!(glob("Kube*Mis?atch", "KubeDeploymentReplicasMismatch") && glob("*", "") && glob("a.b", "a.b"));
    assert!(!glob("a.b", "axb") && !glob("Kube*", "kubePod"));
}
