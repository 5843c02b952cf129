//! Watches against a scripted API server: what it answers to a path's lists and watches is written down beforehand,
//! in the shapes of the API conventions (list, watch events one a line, Status for refusals).

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use kwhy_proto::{Message, timestamp};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::BoxError;

use super::*;

const NOW: u64 = 1_700_000_000_000;

/// One answer.
enum Answer {
    /// A list of these items, as `resourceVersion`.
    List(&'static str, Vec<Value>),
    /// Watch events; the connection then stays open.
    Events(Vec<Value>),
    /// Watch events; the server then ends the answer.
    EventsAndEnd(Vec<Value>),
    /// A refusal.
    Status(u16),
    /// No answer but a broken connection.
    Broken,
    /// These bytes.
    Text(&'static str),
}

use Answer::{Broken, Events, EventsAndEnd, List, Status, Text};

/// By path, and whether it is a watch.
type Script = BTreeMap<(&'static str, bool), VecDeque<Answer>>;

/// An API server that follows a script. What the script does not mention is an empty list, and a watch on which
/// nothing happens.
#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<Script>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// What the next lists of a path get; the last answer is repeated.
    fn lists(self, path: &'static str, answers: impl IntoIterator<Item = Answer>) -> Server {
        self.script.lock().unwrap().insert((path, false), answers.into_iter().collect());
        self
    }

    /// What the next watches of a path get; after that, nothing happens.
    fn watches(self, path: &'static str, answers: impl IntoIterator<Item = Answer>) -> Server {
        self.script.lock().unwrap().insert((path, true), answers.into_iter().collect());
        self
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(request.uri()) }
        });
        Client::new(service, "default")
    }

    fn answer(&self, uri: &http::Uri) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, BoxError> {
        let watch = uri.query().is_some_and(|query| query.contains("watch=true"));
        self.requests.lock().unwrap().push(uri.to_string());
        let mut script = self.script.lock().unwrap();
        let answers =
            script.iter_mut().find(|((path, of), _)| *path == uri.path() && *of == watch).map(|(_, a)| a);
        let answer = match answers {
            Some(answers) if watch => answers.pop_front(),
            // The list of a refused kind is refused again, and so on.
            Some(answers) if answers.len() > 1 => answers.pop_front(),
            Some(answers) => answers.front().map(Answer::copy),
            None => None,
        };
        let answer = answer.unwrap_or(if watch { Events(Vec::new()) } else { List("1", Vec::new()) });
        Ok(match answer {
            List(version, items) => body(200, json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}).to_string()),
            Status(code) => body(code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "because", "reason": "R"}).to_string()),
            Text(text) => body(200, text.to_owned()),
            Events(events) => streamed(lines(events).chain(stream::pending())),
            EventsAndEnd(events) => streamed(lines(events)),
            Broken => return Err("connection refused".into()),
        })
    }

    /// How often a path was listed and watched.
    fn count(&self, path: &str) -> (usize, usize) {
        let requests = self.requests.lock().unwrap();
        let (watches, lists): (Vec<&String>, Vec<&String>) = requests
            .iter()
            .filter(|uri| uri.split('?').next() == Some(path))
            .partition(|uri| uri.contains("watch=true"));
        (lists.len(), watches.len())
    }
}

impl Answer {
    fn copy(&self) -> Answer {
        match self {
            List(version, items) => List(version, items.clone()),
            Events(events) => Events(events.clone()),
            EventsAndEnd(events) => EventsAndEnd(events.clone()),
            Status(code) => Status(*code),
            Broken => Broken,
            Text(text) => Text(text),
        }
    }
}

fn body(code: u16, text: String) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let full = http_body_util::Full::new(Bytes::from(text)).boxed_unsync();
    Response::builder().status(code).body(full).unwrap()
}

fn streamed(
    lines: impl Stream<Item = String> + Send + 'static,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let frames = lines.map(|line| Ok(Frame::data(Bytes::from(line))));
    Response::new(StreamBody::new(frames).boxed_unsync())
}

fn lines(events: Vec<Value>) -> impl Stream<Item = String> + Send + 'static {
    stream::iter(events.into_iter().map(|event| format!("{event}\n")))
}

fn change(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

/// A pod as a watch sends it; the items of a list have no kind.
fn pod(uid: &str, version: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": format!("pod-{uid}"), "namespace": "ns", "uid": uid,
        "resourceVersion": version, "creationTimestamp": "2020-04-24T12:30:00Z",
        "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:canary": {}}}]},
        "spec": {"nodeName": "kal"}, "status": {"phase": "Running"}})
}

fn item(mut object: Value) -> Value {
    object.as_object_mut().unwrap().retain(|key, _| key != "kind" && key != "apiVersion");
    object
}

fn event(api: &str, count: u32) -> Value {
    json!({"kind": "Event", "apiVersion": api, "reason": "BackOff", "type": "Warning", "count": count,
        "lastTimestamp": "2020-04-24T12:40:00Z", "message": "Back-off restarting failed container",
        "involvedObject": {"kind": "Pod", "namespace": "ns", "name": "p"},
        "metadata": {"name": "p.1", "namespace": "ns", "uid": "e", "resourceVersion": format!("{count}")}})
}

/// What came of watching for a while.
struct Outcome {
    signals: Vec<Signal>,
    troubles: Vec<Trouble>,
    health: Health,
}

impl Outcome {
    /// Verb, state and id of each, less what says that something may be missing.
    fn short(&self) -> Vec<(&str, &str, &str)> {
        self.signals
            .iter()
            .filter(|s| s.source != "gap")
            .map(|s| (s.name.as_str(), s.state.as_str(), s.id.as_str()))
            .collect()
    }
}

fn cluster(
    client: Client,
    signals: mpsc::Sender<Signal>,
    health: &Health,
) -> Cluster<'static, impl Clock + use<>> {
    let (remembered, health) = (Remembered::default(), health.clone());
    Cluster { client, name: "c", clock: || NOW, signals, remembered, health }
}

impl Outcome {
    /// What says that something may be missing.
    fn gaps(&self) -> Vec<&Signal> {
        self.signals.iter().filter(|s| s.source == "gap").collect()
    }

    fn progress(&self, kind: &str) -> Progress {
        let all = self.health.all();
        all.into_iter().find(|(resource, _)| resource.kind == kind).map(|(_, progress)| progress).unwrap()
    }
}

/// Watches for a minute of tokio's paused time: long enough for several attempts at what fails.
async fn minute(server: &Server) -> Outcome {
    minutes(server, 1).await
}

async fn minutes(server: &Server, minutes: u64) -> Outcome {
    let (sender, mut receiver) = mpsc::channel(1000);
    let troubles = Mutex::new(Vec::new());
    let health = Health::default();
    let watch = watch(cluster(server.client(), sender, &health), |trouble| {
        troubles.lock().unwrap().push(trouble.clone())
    });
    timeout(Duration::from_secs(60 * minutes), watch).await.expect_err("it goes on for ever");
    let mut signals = Vec::new();
    while let Ok(signal) = receiver.try_recv() {
        signals.push(signal);
    }
    Outcome { signals, troubles: troubles.into_inner().unwrap(), health }
}

const PODS: &str = "/api/v1/pods";
const SECRETS: &str = "/api/v1/secrets";
const NODES: &str = "/api/v1/nodes";
const NEW_EVENTS: &str = "/apis/events.k8s.io/v1/events";
const OLD_EVENTS: &str = "/api/v1/events";

#[tokio::test(start_paused = true)]
async fn what_is_listed_and_what_happens_later_become_signals() {
    let server = Server::default().lists(PODS, [List("10", vec![item(pod("a", "5"))])]).watches(
        PODS,
        [Events(vec![
            change("MODIFIED", pod("a", "11")),
            change("ADDED", pod("b", "12")),
            change(
                "BOOKMARK",
                json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "13"}}),
            ),
            change("MODIFIED", pod("b", "14")),
            change("DELETED", pod("a", "15")),
        ])],
    );
    let outcome = minute(&server).await;
    assert_eq!(
        outcome.short(),
        [
            ("ADDED", "listed", "object/a/00000000000000000005"),
            ("MODIFIED", "watched", "object/a/00000000000000000011"),
            ("ADDED", "watched", "object/b/00000000000000000012"),
            ("MODIFIED", "watched", "object/b/00000000000000000014"),
            ("DELETED", "watched", "object/a/00000000000000000015/deleted"),
        ]
    );
    assert_eq!(outcome.troubles, []);

    let first = &outcome.signals[0];
    assert_eq!((first.cluster.as_str(), first.at), ("c", Some(timestamp(NOW))));
    assert_eq!(first.origin, "/api/v1/namespaces/ns/pods/pod-a");
    let Some(kwhy_proto::v1::signal::Body::Object(object)) = &first.body else { panic!("{first:?}") };
    let object: Value = serde_json::from_str(&object.json).unwrap();
    let mut whole = pod("a", "5");
    whole["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert_eq!(object, whole, "all is there but what nobody reads, and the kind that a list leaves out");
}

#[tokio::test(start_paused = true)]
async fn values_of_a_secret_are_withheld() {
    let secret = |uid: &str, version: &str| {
        json!({"kind": "Secret", "apiVersion": "v1", "type": "Opaque", "data": {"password": "Y2FuYXJ5"},
            "metadata": {"name": uid, "namespace": "ns", "uid": uid, "resourceVersion": version, "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"password\":\"Y2FuYXJ5\"}}"}}})
    };
    let server = Server::default().lists(SECRETS, [List("10", vec![item(secret("a", "5"))])]).watches(
        SECRETS,
        [Events(vec![change("MODIFIED", secret("a", "11")), change("DELETED", secret("a", "12"))])],
    );
    let outcome = minute(&server).await;
    assert_eq!(outcome.signals.len(), 3);
    for signal in &outcome.signals {
        let wire = String::from_utf8_lossy(&signal.encode_to_vec()).into_owned();
        assert!(!wire.contains("Y2FuYXJ5"), "{wire}");
        assert!(wire.contains("password"), "the key names are kept: {wire}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_told_without_quoting_it() {
    // serde_json would say: invalid type: string "Y2FuYXJ5", expected …
    for (answer, wanted) in [
        (
            r#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":"Y2FuYXJ5"}"#,
            "cannot watch v1 Secret: the answer is not what it should be (line 1",
        ),
        (
            r#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":"Y2FuYXJ5"}]}"#,
            "cannot use /api/v1/secrets/: an object without metadata.name;",
        ),
    ] {
        let server = Server::default().lists(SECRETS, [Text(answer)]);
        let outcome = minute(&server).await;
        let [trouble] = &outcome.troubles[..] else { panic!("{:?}", outcome.troubles) };
        assert!(!format!("{trouble} {trouble:?}").contains("Y2FuYXJ5"), "{trouble}");
        assert!(trouble.to_string().starts_with(wanted), "{trouble}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_kind_is_told_once_with_its_rule_and_the_others_go_on() {
    let server = Server::default()
        .lists(PODS, [List("10", vec![item(pod("a", "5"))])])
        .lists(SECRETS, [Status(403)])
        .lists("/apis/apps/v1/deployments", [Status(403)]);
    let outcome = minute(&server).await;
    assert_eq!(outcome.short(), [("ADDED", "listed", "object/a/00000000000000000005")]);
    let told: Vec<String> = outcome.troubles.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            r#"kwhy may not watch apps/v1 Deployment; add to its ClusterRole: - {apiGroups: ["apps"], resources: ["deployments"], verbs: ["get", "list", "watch"]}"#,
            r#"kwhy may not watch v1 Secret; add to its ClusterRole: - {apiGroups: [""], resources: ["secrets"], verbs: ["get", "list", "watch"]}"#,
        ]
    );
    let (lists, _) = server.count(SECRETS);
    assert!((3..12).contains(&lists), "tried again with growing pauses, {lists} times");
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_given_later_is_used() {
    let server =
        Server::default().lists(PODS, [Status(403), Status(403), List("10", vec![item(pod("a", "5"))])]);
    let outcome = minute(&server).await;
    assert_eq!(outcome.short(), [("ADDED", "listed", "object/a/00000000000000000005")]);
    assert_eq!(outcome.troubles.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_be_listed_but_not_watched_is_listed_once() {
    let server = Server::default()
        .lists(PODS, [List("10", vec![item(pod("a", "5"))])])
        .watches(PODS, std::iter::repeat_with(|| Status(403)).take(100));
    let outcome = minute(&server).await;
    assert_eq!(outcome.signals.len(), 1);
    assert!(matches!(outcome.troubles[..], [Trouble::Forbidden { .. }]), "{:?}", outcome.troubles);
    let (lists, watches) = server.count(PODS);
    assert!(lists == 1 && (3..12).contains(&watches), "{lists} lists, {watches} watches");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_is_told_once() {
    let server = Server::default().lists("/apis/apiregistration.k8s.io/v1/apiservices", [Status(404)]);
    let outcome = minute(&server).await;
    let told: Vec<String> = outcome.troubles.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("the API server does not serve apiregistration.k8s.io/v1 APIService;"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn events_come_by_their_new_name_alone_where_it_is_granted() {
    let server =
        Server::default().lists(NEW_EVENTS, [List("10", vec![item(event("events.k8s.io/v1", 1))])]).watches(
            NEW_EVENTS,
            [Events(vec![
                change("MODIFIED", event("events.k8s.io/v1", 2)),
                // Their time to live is over.
                change("DELETED", event("events.k8s.io/v1", 2)),
            ])],
        );
    let outcome = minute(&server).await;
    assert_eq!(
        outcome.short(),
        [
            ("BackOff", "Warning", "event/e/0000000001/2020-04-24T12:40:00Z"),
            ("BackOff", "Warning", "event/e/0000000002/2020-04-24T12:40:00Z"),
        ]
    );
    assert_eq!(outcome.signals[0].origin, "/apis/events.k8s.io/v1/namespaces/ns/events/p.1");
    assert_eq!(server.count(OLD_EVENTS), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn events_come_by_their_old_name_where_the_new_one_is_refused() {
    for refusal in [403, 404] {
        let server = Server::default()
            .lists(NEW_EVENTS, [Status(refusal)])
            .lists(OLD_EVENTS, [List("10", vec![item(event("v1", 1))])]);
        let outcome = minute(&server).await;
        assert_eq!(outcome.short(), [("BackOff", "Warning", "event/e/0000000001/2020-04-24T12:40:00Z")]);
        assert_eq!(outcome.troubles, [], "nothing is missing");
        assert_eq!(server.count(NEW_EVENTS), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_are_refused_by_both_names_are_told_once_by_the_one_that_can_be_granted() {
    for (new, old, group) in [(403, 403, "events.k8s.io"), (404, 403, "")] {
        let server = Server::default().lists(NEW_EVENTS, [Status(new)]).lists(OLD_EVENTS, [Status(old)]);
        let outcome = minute(&server).await;
        let [Trouble::Forbidden { resource }] = &outcome.troubles[..] else {
            panic!("{:?}", outcome.troubles)
        };
        assert_eq!(resource.group, group);
        assert!(server.count(OLD_EVENTS).0 > 2, "and tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_is_told_and_passed_over() {
    let mut senseless = event("events.k8s.io/v1", 1);
    senseless["reason"] = json!("");
    let server = Server::default().lists(
        NEW_EVENTS,
        [List("10", vec![item(senseless.clone()), item(senseless), item(event("events.k8s.io/v1", 2))])],
    );
    let outcome = minute(&server).await;
    assert_eq!(outcome.signals.len(), 1);
    let [Trouble::Unusable { path, .. }] = &outcome.troubles[..] else { panic!("{:?}", outcome.troubles) };
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/ns/events/p.1");
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_lists_anew_in_each_form_that_410_has() {
    let gone = change(
        "ERROR",
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}),
    );
    for expired in [Events(vec![gone]), Status(410)] {
        let server = Server::default()
            .lists(
                PODS,
                [
                    List("10", vec![item(pod("a", "5")), item(pod("b", "6"))]),
                    List("20", vec![item(pod("a", "5")), item(pod("c", "19"))]),
                ],
            )
            .watches(PODS, [expired, Events(vec![change("MODIFIED", pod("c", "21"))])]);
        let outcome = minute(&server).await;
        assert_eq!(
            outcome.short(),
            [
                ("ADDED", "listed", "object/a/00000000000000000005"),
                ("ADDED", "listed", "object/b/00000000000000000006"),
                ("ADDED", "listed", "object/a/00000000000000000005"),
                ("ADDED", "listed", "object/c/00000000000000000019"),
                ("DELETED", "listed", "object/b/00000000000000000020/deleted"),
                ("MODIFIED", "watched", "object/c/00000000000000000021"),
            ],
            "what was told before has the id it had"
        );
        let gap = outcome.gaps();
        let [gap] = gap.as_slice() else { panic!("one gap: {gap:?}") };
        assert_eq!((gap.name.as_str(), gap.origin.as_str()), ("Pod", "watch of v1 Pod"));
        assert_eq!(outcome.troubles, []);
    }
}

/// The twin of the above: without the supervisor a 410 that is the answer itself is met for ever.
#[tokio::test(start_paused = true)]
async fn the_watcher_alone_does_not_recover_from_410_as_an_answer() {
    let server = Server::default()
        .lists(PODS, [List("10", Vec::new())])
        .watches(PODS, std::iter::repeat_with(|| Status(410)).take(100));
    let pods = kube::Api::<k8s_openapi::api::core::v1::Pod>::all(server.client());
    let stream = kube::runtime::watcher(pods, kube::runtime::watcher::Config::default());
    let failures = stream.filter(|event| std::future::ready(event.is_err())).take(50).count().await;
    assert_eq!((failures, server.count(PODS).0), (50, 1), "fifty failures, no second list");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_cut_off_goes_on_where_it_was() {
    let server = Server::default().lists(PODS, [List("10", vec![item(pod("a", "5"))])]).watches(
        PODS,
        [
            EventsAndEnd(vec![change("MODIFIED", pod("a", "11"))]),
            Broken,
            Events(vec![change("MODIFIED", pod("a", "12"))]),
        ],
    );
    let outcome = minute(&server).await;
    let ids: Vec<&str> = outcome.short().into_iter().map(|(_, _, id)| id).collect();
    assert_eq!(
        ids,
        ["object/a/00000000000000000005", "object/a/00000000000000000011", "object/a/00000000000000000012"]
    );
    assert_eq!(server.count(PODS), (1, 3));
    assert!(server.requests.lock().unwrap().iter().any(|uri| uri.contains("resourceVersion=11")));
    let told: Vec<String> = outcome.troubles.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["the API server cannot be reached: connection refused; trying again"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_taken_up_where_it_was_and_nothing_is_said_to_be_missing() {
    let server = Server::default().lists(PODS, [List("10", vec![])]).watches(
        PODS,
        [Events(vec![change("ADDED", pod("a", "11"))]), Events(vec![change("ADDED", pod("b", "12"))])],
    );
    let outcome = minutes(&server, 5).await;
    let ids: Vec<&str> = outcome.short().into_iter().map(|(_, _, id)| id).collect();
    assert_eq!(ids, ["object/a/00000000000000000011", "object/b/00000000000000000012"]);
    assert_eq!(server.count(PODS).0, 1, "one list");
    assert!(server.requests.lock().unwrap().iter().any(|uri| uri.contains("resourceVersion=11")));
    assert_eq!((outcome.gaps().len(), outcome.troubles.len()), (0, 0));
}

/// The twin: the client's stream of a watch waits for ever.
#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_stays_so_without_a_supervisor() {
    let server = Server::default().watches(PODS, [Events(vec![change("ADDED", pod("a", "11"))])]);
    let pods = kinds::WATCHED.iter().find_map(|all| all.iter().find(|r| r.plural == "pods")).unwrap();
    let ask = pods.watch("10", 240).unwrap();
    let mut stream = std::pin::pin!(server.client().request_events::<Value>(ask).await.unwrap());
    assert!(stream.next().await.is_some());
    assert!(timeout(Duration::from_secs(3600), stream.next()).await.is_err(), "not a word in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_without_a_word_is_asked_a_second_time_and_then_listed_anew() {
    let empty = || EventsAndEnd(Vec::new());
    let server = Server::default()
        .lists(NEW_EVENTS, [List("10", Vec::new())])
        .watches(NEW_EVENTS, [empty(), empty(), Events(Vec::new())]);
    let outcome = minute(&server).await;
    assert_eq!(server.count(NEW_EVENTS), (2, 3));
    assert_eq!(outcome.gaps().len(), 1);
    assert_eq!(outcome.progress("Event").gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_for_another_reason_again_and_again_is_listed_anew() {
    let server = Server::default()
        .lists(PODS, [List("10", Vec::new())])
        .watches(PODS, [Status(500), Status(504), Status(500), Events(Vec::new())]);
    let outcome = minute(&server).await;
    assert_eq!(server.count(PODS), (2, 4));
    assert_eq!((outcome.gaps().len(), outcome.troubles.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_always_fails_is_asked_less_than_once_a_second() {
    for answer in [Status(500), Status(403), Status(410), Text("{}"), Text("no JSON"), Broken] {
        let server = Server::default().lists(PODS, [answer.copy()]);
        minute(&server).await;
        let (lists, watches) = server.count(PODS);
        assert!(lists + watches < 15, "{lists} lists, {watches} watches");
        let server = Server::default().watches(PODS, std::iter::repeat_with(|| answer.copy()).take(100));
        minute(&server).await;
        let (lists, watches) = server.count(PODS);
        assert!(lists + watches < 20, "{lists} lists, {watches} watches");
    }
}

#[tokio::test(start_paused = true)]
async fn events_come_after_the_objects_that_they_speak_of() {
    let server = Server::default()
        .lists(PODS, [List("10", vec![item(pod("a", "5"))])])
        .lists(NEW_EVENTS, [List("10", vec![item(event("events.k8s.io/v1", 1))])]);
    let outcome = minute(&server).await;
    let sources: Vec<&str> = outcome.signals.iter().map(|s| s.source.as_str()).collect();
    assert_eq!(sources, ["object", "event"]);
}

#[tokio::test(start_paused = true)]
async fn everything_is_told_again_every_six_hours_with_the_ids_that_it_had() {
    let server = Server::default().lists(PODS, [List("10", vec![item(pod("a", "5"))])]);
    let outcome = minutes(&server, 13 * 60).await;
    let told = ("ADDED", "listed", "object/a/00000000000000000005");
    assert_eq!(outcome.short(), [told, told, told]);
    assert_eq!(server.count(NEW_EVENTS).0, 1, "Events do not live that long");
    assert_eq!(outcome.gaps().len(), 0, "nothing was missed");
}

#[tokio::test(start_paused = true)]
async fn health_says_of_each_kind_how_far_it_is_and_what_is_the_matter() {
    let server = Server::default()
        .lists(PODS, [List("10", vec![item(pod("a", "5")), item(pod("b", "6"))])])
        .lists(SECRETS, [Status(403)]);
    let outcome = minute(&server).await;
    let pods = outcome.progress("Pod");
    assert_eq!((pods.watching, pods.lists, pods.objects, pods.gaps), (true, 1, 2, 0));
    assert_eq!((pods.age(NOW + 7), &pods.trouble), (Some(7), &None));
    let secrets = outcome.progress("Secret");
    assert_eq!((secrets.watching, secrets.lists, secrets.age(NOW)), (false, 0, None));
    assert!(matches!(secrets.trouble, Some(Trouble::Forbidden { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_trouble_that_had_passed_is_told_when_it_comes_back() {
    let cut_off_after = |version| EventsAndEnd(vec![change("MODIFIED", pod("a", version))]);
    let watches = [cut_off_after("11"), Broken, Broken, cut_off_after("12"), Broken];
    let server = Server::default().lists(PODS, [List("10", Vec::new())]).watches(PODS, watches);
    let outcome = minute(&server).await;
    let away = Trouble::Unreachable { reason: "connection refused".into() };
    assert_eq!(outcome.troubles, [away.clone(), away]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_told_once_for_all_kinds() {
    let client = Client::new(
        tower::service_fn(|_: Request<Body>| async {
            Err::<Response<http_body_util::Empty<Bytes>>, BoxError>("connection refused".into())
        }),
        "default",
    );
    let (sender, _receiver) = mpsc::channel(1000);
    let troubles = Mutex::new(Vec::new());
    let health = Health::default();
    let watch =
        watch(cluster(client, sender, &health), |trouble| troubles.lock().unwrap().push(trouble.clone()));
    timeout(Duration::from_secs(60), watch).await.expect_err("it goes on for ever");
    assert_eq!(
        troubles.into_inner().unwrap(),
        [Trouble::Unreachable { reason: "connection refused".into() }]
    );
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_takes_signals_any_more() {
    let server = Server::default().lists(NODES, [List("1", vec![])]);
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let health = Health::default();
    let watch = watch(cluster(server.client(), sender, &health), |_| ());
    timeout(Duration::from_secs(1), watch).await.expect("no signal is needed to notice");
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_holds_the_watches_and_loses_nothing() {
    let pods = (1..=50).map(|n| item(pod(&format!("{n:02}"), &n.to_string()))).collect();
    let server = Server::default().lists(PODS, [List("10", pods)]);
    let (sender, mut receiver) = mpsc::channel(1);
    let reader = async {
        let mut taken = 0;
        while taken < 50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            taken += usize::from(receiver.recv().await.is_some());
        }
    };
    let health = Health::default();
    let watch = watch(cluster(server.client(), sender, &health), |_| ());
    tokio::select! {
        () = watch => panic!("it goes on for ever"),
        all = timeout(Duration::from_secs(10), reader) => all.expect("all fifty come"),
    }
}
