use kwhy_proto::v1::signal::Body;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::time;

fn kind(subject: &str) -> Kind {
    let tokens: Vec<String> = subject.split('.').map(str::to_owned).collect();
    Kind::of(&tokens).unwrap()
}

fn of(subject: &str, body: &str) -> Read {
    let kind = kind(subject);
    let at = time::parse("2020-04-24T13:10:00Z").unwrap();
    let key = key(Some("x"), at, 7);
    read(&Message { cluster: "c", kind: &kind, at, key: &key, body: body.as_bytes() }).unwrap()
}

fn lines(read: &Read) -> Vec<(String, &str, &str)> {
    let at = |signal: &Signal| time::rfc3339(&signal.at.unwrap());
    read.signals.iter().map(|s| (at(s), s.state.as_str(), s.message.as_str())).collect()
}

#[test]
fn subjects_tell_what_is_in_them() {
    assert_eq!(
        kind("kubelet.ip-10-0-0-1.ec2.internal"),
        Kind::Kubelet { node: "ip-10-0-0-1.ec2.internal".into() }
    );
    assert_eq!(kind("kubelet"), Kind::Kubelet { node: String::new() });
    let of = Some(["shop", "web-0.x", "app"].map(str::to_owned));
    assert_eq!(kind("log.shop.web-0.x.app"), Kind::Log { of });
    assert_eq!(kind("log"), Kind::Log { of: None });
    for bad in ["", "log.shop.app", "events.x", "metrics"] {
        let tokens: Vec<String> = bad.split('.').map(str::to_owned).collect();
        assert!(matches!(Kind::of(&tokens), Err(BadRaw::Kind(_))), "{bad}");
    }
}

#[test]
fn text_of_a_kubelet_is_what_a_capture_holds() {
    let body = "Apr 24 13:06:41 kal kubelet[1043]: E0424 13:06:41.923749    1043 dns.go:135] Nameserver limits\n\
                I0424 13:06:42.000000 1043 prober.go:107] \"Probe failed\" output=<\n\tline\n > pod=\"a/b\"\n\n";
    let read = of("kubelet.kal", body);
    assert_eq!(
        lines(&read),
        [
            ("2020-04-24T13:06:41.923749Z".to_owned(), "E", "Nameserver limits"),
            ("2020-04-24T13:06:42Z".to_owned(), "I", "\"Probe failed\" output=< line > pod=\"a/b\""),
        ]
    );
    assert!(read.signals[0].id.starts_with("kubelet/kal/m") && read.signals[0].id.ends_with("-000001"));
    assert!(read.problems.is_empty());
}

#[test]
fn an_entry_of_the_journal_has_the_id_that_the_own_collector_gives_it() {
    let cursor = "s=a;i=2f;b=1;m=1;t=60a24182d8240;x=1";
    let entry = json!({"__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1587733601923749", "PRIORITY": "3",
        "_HOSTNAME": "kal", "MESSAGE": [255, 10, 69]});
    let read = of("kubelet", &entry.to_string());
    assert_eq!(read.signals[0].id, format!("kubelet/kal/{}", journal_position(cursor)));
    assert_eq!(lines(&read), [("2020-04-24T13:06:41.923749Z".to_owned(), "E", "\u{fffd} E")]);
}

fn journal_position(cursor: &str) -> String {
    crate::journal::position(cursor).unwrap()
}

#[test]
fn records_of_vector_and_fluent_bit_are_read() {
    let vector = json!({"message": "E0424 13:06:41.923749    1043 dns.go:135] x", "host": "ford",
        "timestamp": "2020-04-24T13:06:41.95Z", "source_type": "journald"});
    let read = of("kubelet.kal", &format!("{vector}\n{vector}\n"));
    assert_eq!(lines(&read)[1], ("2020-04-24T13:06:41.95Z".to_owned(), "E", "x"));
    assert!(read.signals.iter().all(|signal| signal.id.starts_with("kubelet/kal/")), "the subject counts");
    let bit = json!([[1_587_733_601.25, {"tag": "kwhy.in.c.raw.kubelet.kal", "log": "W0424 13:06:41.000000 1 a.go:1] y"}],
        [[1_587_733_602, {}], {"log": "I0424 13:06:42.000000 1 a.go:1] z"}]]);
    let read = of("kubelet.kal", &bit.to_string());
    assert_eq!(
        lines(&read),
        [("2020-04-24T13:06:41.25Z".to_owned(), "W", "y"), ("2020-04-24T13:06:42Z".to_owned(), "I", "z")]
    );
    let one = json!([1_587_733_601, {"log": "x"}]);
    assert_eq!(of("kubelet.kal", &one.to_string()).signals.len(), 1, "one pair alone");
}

#[test]
fn container_lines_are_those_of_kubectl_of_the_runtime_and_of_shippers() {
    let kubectl = of("log.kube-system.coredns-1.coredns", "2020-04-24T13:09:21.13Z [FATAL] plugin/loop\n");
    assert_eq!(lines(&kubectl), [("2020-04-24T13:09:21.13Z".to_owned(), "F", "[FATAL] plugin/loop")]);
    let Some(Body::Log(line)) = &kubectl.signals[0].body else { panic!("no line") };
    assert_eq!(line.container, "coredns");
    let runtime = of(
        "log.a.b.c",
        "2020-04-24T13:09:21Z stdout P one \n2020-04-24T13:09:21Z stdout F two\n2020-04-24T13:09:22Z stderr F three\n",
    );
    assert_eq!(lines(&runtime).iter().map(|l| l.2).collect::<Vec<_>>(), ["one two", "three"]);
    let shipped = json!({"log": "[ERROR] x\n", "time": "2020-04-24T13:09:21Z",
        "kubernetes": {"namespace_name": "a", "pod_name": "b", "container_name": "c"}});
    let shipped = of("log", &shipped.to_string());
    assert!(shipped.signals[0].id.starts_with("log/a/b/c/"));
    assert_eq!(of("log", "{\"log\":\"x\"}").problems.len(), 1, "whose is it?");
}

#[test]
fn events_come_alone_in_lists_and_from_watches() {
    let event = json!({"kind": "Event", "reason": "BackOff", "metadata": {"uid": "u", "namespace": "a"},
        "lastTimestamp": "2020-04-24T13:09:21Z", "involvedObject": {"kind": "Pod", "namespace": "a", "name": "p"},
        "message": "login with password=c4n4ry"});
    let list = json!({"kind": "List", "items": [event, event]});
    let watch = json!({"type": "MODIFIED", "object": event});
    for (body, count) in [
        (event.to_string(), 1),
        (list.to_string(), 2),
        (format!("{watch}\n{watch}"), 2),
        (json!([[1_587_733_601, event]]).to_string(), 1),
        (json!({"type": "DELETED", "object": event}).to_string(), 0),
    ] {
        let read = of("events", &body);
        assert_eq!((read.signals.len(), read.problems.len()), (count, 0), "{body}");
        assert!(
            read.signals.iter().all(|s| s.name == "BackOff" && s.message == "login with password=[redacted]")
        );
    }
    let list = json!({"kind": "EventList", "items": [{"reason": "R", "eventTime": "2020-04-24T13:09:21Z", "metadata": {}}]});
    assert_eq!(of("events", &list.to_string()).signals.len(), 1);
}

#[test]
fn objects_are_listed_or_watched() {
    let node = json!({"kind": "Node", "metadata": {"name": "kal", "uid": "u", "resourceVersion": "5"}});
    let read = of("objects", &json!({"kind": "List", "items": [node]}).to_string());
    assert_eq!((read.signals[0].state.as_str(), read.signals[0].name.as_str()), ("listed", "ADDED"));
    let change = json!({"at": "2020-04-24T12:33:35Z", "type": "DELETED", "object": node});
    let read = of("objects", &change.to_string());
    assert_eq!((read.signals[0].state.as_str(), read.signals[0].name.as_str()), ("watched", "DELETED"));
    assert_eq!(lines(&read)[0].0, "2020-04-24T12:33:35Z");
}

#[test]
fn alerts_are_bodies_of_alertmanager() {
    let alert = json!([{"labels": {"alertname": "A"}, "startsAt": "2020-04-24T13:00:00Z"}, {"labels": {}}]);
    let read = of("alerts", &alert.to_string());
    assert_eq!((read.signals.len(), read.bad), (1, 1));
    assert_eq!(read.signals[0].name, "A");
}

#[test]
fn good_items_of_a_bad_message_are_kept_and_the_bad_are_told() {
    let read =
        of("kubelet.kal", "{\"message\":\"a\"}\n7\n{\"x\":1}\n{\"message\":7}\n{\"message\":\"b\"}\n{\"mess");
    assert_eq!(read.signals.iter().map(|s| s.message.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(read.bad, 4);
    assert_eq!(read.problems[0].0, 2);
    assert!(read.problems[3].1.contains("what follows is not read"), "{:?}", read.problems);
}

#[test]
fn what_nothing_can_be_made_of_is_refused() {
    let at = Timestamp::default();
    let refuse =
        |kind: &Kind, body: &[u8]| read(&Message { cluster: "c", kind, at, key: "k", body }).unwrap_err();
    assert!(matches!(refuse(&Kind::Events, b" \n"), BadRaw::Empty));
    assert!(matches!(refuse(&kind("kubelet.a"), &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), BadRaw::Binary));
    assert!(matches!(refuse(&Kind::Alerts, b"{}"), BadRaw::Alerts(_)));
}

#[test]
fn a_message_is_known_by_its_id_else_by_its_place() {
    let at = Timestamp { seconds: 5, nanos: 6 };
    assert_eq!(key(Some("a"), at, 1), key(Some("a"), Timestamp::default(), 2));
    assert_ne!(key(Some("a"), at, 1), key(Some("b"), at, 1));
    assert_eq!(key(None, at, 7), "r00000000005000000006-7");
}

proptest! {
    #[test]
    fn no_body_panics(body in "\\PC*", json in "[\\[\\]{}\",:0-9a-z]*", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        for subject in ["kubelet.a", "kubelet", "log.a.b.c", "log", "events", "objects", "alerts"] {
            let kind = kind(subject);
            for body in [body.as_bytes(), json.as_bytes(), &bytes, format!("{{\"message\":\"{json}\"}}").as_bytes(), format!("[[1,{{\"log\":\"{json}\"}}],{json}]").as_bytes()] {
                let _ = read(&Message { cluster: "c", kind: &kind, at: Timestamp::default(), key: "k", body });
            }
        }
    }
}
