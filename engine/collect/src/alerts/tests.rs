//! The receiver without a network, on a sink that remembers and fails on demand.

use std::{io::Write as _, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, header},
};
use flate2::{Compression, write::GzEncoder};
use kwhy_ingest::alert::Identity;
use kwhy_proto::v1::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{routes::Receiver, *};
use crate::{
    Outgoing,
    probes::Vitals,
    sink::tests::Recorder,
    web::{Connections, Origin},
};

/// 2020-04-24T12:40:02.883Z
const NOW: u64 = 1_587_732_002_883;

struct Bench {
    router: Router,
    sink: Arc<Recorder>,
    silences: watch::Sender<Arc<Silences>>,
    _connections: Connections,
    origin: Origin,
}

impl Bench {
    async fn new(sink: Recorder, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            cluster: "lab".to_owned(),
            identity: Identity::default(),
            auth: Auth::default(),
            tls: None,
            limits: Limits::default(),
            answer_within: Settings::ANSWER_WITHIN,
        };
        change(&mut settings);
        let sink = Arc::new(sink);
        let (silences, heard) = watch::channel(Arc::new(Silences::default()));
        // Each look at the clock is a millisecond later than the last.
        let ticks = std::sync::atomic::AtomicU64::new(NOW);
        let clock = move || ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let vitals = Vitals { alerts: Some(Outgoing::default()), ..Vitals::default() };
        let router = Arc::new(Receiver::new(settings, sink.clone(), clock, heard, vitals)).router();
        let mut connections = Connections::new(1);
        let reading = connections.place().await.unwrap().reading();
        let origin = Origin { address: ([127, 0, 0, 1], 1).into(), reading };
        Self { router, sink, silences, _connections: connections, origin }
    }

    async fn send(&self, mut request: Request<Body>) -> (u16, String) {
        request.extensions_mut().insert(self.origin.clone());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn post(&self, path: &str, json: &Value) -> (u16, String) {
        self.send(Request::post(path).body(Body::from(json.to_string())).unwrap()).await
    }

    fn stored(&self) -> Vec<Signal> {
        self.sink.signals()
    }
}

/// As Prometheus sends it.
fn push(name: &str, ends: &str) -> Value {
    json!({"labels": {"alertname": name}, "startsAt": "2020-04-24T12:39:32.861Z", "endsAt": ends,
        "generatorURL": "http://p/graph"})
}

fn webhook(alerts: &[Value]) -> Value {
    json!({"version": "4", "groupKey": "{}", "status": "firing", "receiver": "kwhy", "alerts": alerts})
}

/// As Alertmanager notifies of it.
fn notified(name: &str) -> Value {
    json!({"status": "firing", "labels": {"alertname": name}, "startsAt": "2020-04-24T12:39:32.861Z",
        "endsAt": "0001-01-01T00:00:00Z"})
}

const LATER: &str = "2020-04-24T12:44:02.883Z";

#[tokio::test(start_paused = true)]
async fn what_is_answered_200_is_stored() {
    let bench = Bench::new(Recorder::new(), |_| {}).await;
    let both = json!([push("A", LATER), push("B", LATER)]);
    assert_eq!(bench.post("/api/v2/alerts", &both).await, (200, String::new()));
    assert_eq!(bench.post("/webhook", &webhook(&[notified("C")])).await, (200, String::new()));
    let names: Vec<String> = bench.stored().into_iter().map(|signal| signal.name).collect();
    assert_eq!(names, ["A", "B", "C"]);
    assert!(bench.stored().iter().all(|signal| signal.cluster == "lab" && signal.state == "firing"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_stored_is_answered_503_whatever_the_reason() {
    let bench = Bench::new(Recorder::failing([true, false]), |_| {}).await;
    let alerts = json!([push("A", LATER)]);
    for _ in 0..2 {
        let (status, line) = bench.post("/api/v2/alerts", &alerts).await;
        assert_eq!((status, line.as_str().contains("NATS does not take alerts")), (503, true), "{line}");
    }
    assert!(bench.stored().is_empty());
    assert_eq!(bench.post("/api/v2/alerts", &alerts).await.0, 200);
    let slow = Recorder { delay: Duration::from_secs(3600), ..Recorder::new() };
    let bench = Bench::new(slow, |_| {}).await;
    let began = tokio::time::Instant::now();
    let (status, line) = bench.post("/api/v2/alerts", &alerts).await;
    assert_eq!((status, began.elapsed()), (503, Settings::ANSWER_WITHIN), "{line}");
}

#[tokio::test(start_paused = true)]
async fn the_good_alerts_of_a_partly_bad_body_are_stored_and_the_bad_ones_told() {
    let bench = Bench::new(Recorder::new(), |settings| settings.limits.labels = 3).await;
    let many = json!({"labels": {"alertname": "M", "a": "1", "b": "2", "c": "3"}});
    let body = json!([push("A", LATER), {"labels": {}}, 7, many, push("B", LATER)]);
    let (status, line) = bench.post("/api/v2/alerts", &body).await;
    assert_eq!(status, 400);
    assert_eq!(
        line,
        "3 of 5 alerts are not taken, the others are; alert 2: an alert without labels; alert 3: not an alert; \
         alert 4: an alert with 4 labels, at most 3\n"
    );
    let names: Vec<String> = bench.stored().into_iter().map(|signal| signal.name).collect();
    assert_eq!(names, ["A", "B"]);
}

#[tokio::test(start_paused = true)]
async fn bad_alerts_are_told_as_bad_only_once_the_good_ones_are_stored() {
    let bench = Bench::new(Recorder::failing([true]), |_| {}).await;
    let body = json!([push("A", LATER), 7]);
    assert_eq!(bench.post("/api/v2/alerts", &body).await.0, 503, "400 would be final");
    assert_eq!(bench.post("/api/v2/alerts", &body).await.0, 400);
    assert_eq!(bench.stored().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_push_that_is_repeated_has_its_ids_again_and_one_that_goes_on_has_others() {
    let bench = Bench::new(Recorder::new(), |_| {}).await;
    for ends in [LATER, LATER, "2020-04-24T12:45:02.883Z", "2020-04-24T12:40:01Z", "2020-04-24T12:40:01Z"] {
        assert_eq!(bench.post("/api/v2/alerts", &json!([push("A", ends)])).await.0, 200);
    }
    let ids = bench.sink.ids();
    let [first, again, further, over, over_again] = ids.as_slice() else { panic!("{ids:?}") };
    assert!(first.starts_with("alert/") && first.ends_with(&format!("/firing/{LATER}")), "{first}");
    assert_eq!((first, over), (again, over_again));
    assert!(over.ends_with("/resolved/2020-04-24T12:40:01Z"), "{over}");
    assert_ne!(first, further);
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_is_tried_again_has_its_ids_again_and_one_that_is_repeated_has_others() {
    let bench = Bench::new(Recorder::failing([true]), |_| {}).await;
    let slow = Bench::new(Recorder::new(), |_| {}).await;
    let body = webhook(&[notified("Watchdog")]);
    assert_eq!(bench.post("/webhook", &body).await.0, 503);
    for _ in 0..2 {
        assert_eq!(bench.post("/webhook", &body).await.0, 200);
        assert_eq!(slow.post("/webhook", &body).await.0, 200);
    }
    let ids = bench.sink.ids();
    assert_ne!(ids[0], ids[1], "a repeated Watchdog is heard");
    assert_eq!(ids[0], slow.sink.ids()[0], "the time of the first attempt is in it");
}

#[tokio::test(start_paused = true)]
async fn a_silenced_alert_is_stored_and_marked() {
    let bench = Bench::new(Recorder::new(), |_| {}).await;
    let silences = json!([{"id": "s", "status": {"state": "active"}, "startsAt": "2020-04-24T12:00:00Z",
        "endsAt": "2020-04-24T13:00:00Z", "matchers": [{"name": "alertname", "value": "A|C", "isRegex": true}]}]);
    bench.silences.send_replace(Arc::new(Silences::read(silences.to_string().as_bytes()).unwrap()));
    let body = json!([push("A", LATER), push("AB", LATER)]);
    assert_eq!(bench.post("/api/v2/alerts", &body).await.0, 200);
    let stored = bench.stored();
    let marked: Vec<bool> =
        stored.iter().map(|signal| kwhy_ingest::alert::alert(signal).unwrap().suppressed).collect();
    assert_eq!(marked, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn bodies_beyond_the_limits_are_refused() {
    let bench = Bench::new(Recorder::new(), |settings| {
        settings.limits.body = 1000;
        settings.limits.alerts = 2;
        settings.limits.label = 20;
    })
    .await;
    let packed = |bytes: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(bytes).unwrap();
        let body = Body::from(gzip.finish().unwrap());
        Request::post("/api/v2/alerts").header(header::CONTENT_ENCODING, "gzip").body(body).unwrap()
    };
    let good = json!([push("A", LATER)]).to_string();
    assert_eq!(bench.send(packed(good.as_bytes())).await.0, 200);
    let (status, line) = bench.send(packed(&[b' '; 100_000])).await;
    assert_eq!((status, line.contains("when unpacked than 1000 bytes")), (413, true), "{line}");
    let large = Request::post("/webhook").body(Body::from(vec![b' '; 1001])).unwrap();
    assert_eq!(bench.send(large).await.0, 413);
    let many: Vec<Value> = (0..3).map(|n| json!({"labels": {"a": n.to_string()}})).collect();
    assert_eq!(bench.post("/webhook", &json!(many)).await.0, 413);
    let (status, line) = bench.post("/webhook", &json!([{"labels": {"a": "x".repeat(21)}}])).await;
    assert_eq!((status, line.contains("a label of 21 bytes, at most 20")), (400, true), "{line}");
    let brotli =
        Request::post("/webhook").header(header::CONTENT_ENCODING, "br").body(Body::empty()).unwrap();
    assert_eq!(bench.send(brotli).await.0, 415);
    let broken =
        Request::post("/webhook").header(header::CONTENT_ENCODING, "gzip").body(Body::from("x")).unwrap();
    assert_eq!(bench.send(broken).await.0, 400);
    assert_eq!(bench.stored().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_dawdles_is_given_up() {
    let bench = Bench::new(Recorder::new(), |_| {}).await;
    let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let (status, line) = bench.send(Request::post("/webhook").body(never).unwrap()).await;
    assert_eq!((status, line.as_str()), (408, "the body did not arrive within 10s\n"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_says_nothing_is_answered_with_what_is_the_matter() {
    let bench = Bench::new(Recorder::new(), |_| {}).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, what) in [
        ("[{\"labels\"", "the body is not JSON: EOF while parsing"),
        ("{}", "the body is neither an Alertmanager webhook"),
        ("{\"version\":\"5\",\"alerts\":[]}", "the webhook body has a version other than 4"),
        (&deep, "1 of 1 alerts are not taken; alert 1: not an alert"),
    ] {
        let (status, line) =
            bench.send(Request::post("/webhook").body(Body::from(body.to_owned())).unwrap()).await;
        assert_eq!((status, line.starts_with(what), line.lines().count()), (400, true, 1), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_is_that_of_nats_and_health_is_our_own() {
    let bench = Bench::new(Recorder::failing([true]), |settings| {
        settings.auth = open_only_with("s3cret");
    })
    .await;
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    assert_eq!(bench.send(get("/-/healthy")).await.0, 200);
    assert_eq!(bench.send(get("/-/ready")).await, (503, "NATS does not answer\n".to_owned()));
    bench.sink.failures.lock().unwrap().clear();
    assert_eq!(bench.send(get("/-/ready")).await.0, 503, "it is not asked for every probe");
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(bench.send(get("/-/ready")).await, (200, "OK\n".to_owned()));
    assert_eq!(bench.send(get("/api/v2/status")).await.0, 401);
    assert_eq!(bench.send(get("/metrics")).await.0, 401);
}

fn open_only_with(token: &str) -> Auth {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), token).unwrap();
    let mut auth = Auth::default();
    auth.bearer("k", file.path()).unwrap();
    auth
}

#[tokio::test(start_paused = true)]
async fn without_its_token_nobody_is_heard_and_the_body_is_not_even_read() {
    let bench = Bench::new(Recorder::new(), |settings| settings.auth = open_only_with("s3cret")).await;
    let request = |token: Option<&str>, body: Body| {
        let request = Request::post("/api/v2/alerts");
        match token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
        .body(body)
        .unwrap()
    };
    for token in [None, Some("other")] {
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(bench.send(request(token, never)).await.0, 401);
    }
    let good = Body::from(json!([push("A", LATER)]).to_string());
    assert_eq!(bench.send(request(Some("s3cret"), good)).await.0, 200);
    assert_eq!(bench.stored().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn elsewhere_it_is_told_where_alerts_are_taken() {
    let bench = Bench::new(Recorder::new(), |_| {}).await;
    for (path, hint) in
        [("/", "POST"), ("/api/v1/alerts", "api_version: v2"), ("/am/api/v2/alerts", "path_prefix")]
    {
        let (status, line) = bench.post(path, &json!([])).await;
        assert_eq!((status, line.contains("/api/v2/alerts") && line.contains(hint)), (404, true), "{line}");
    }
    let (status, line) = bench.send(Request::get("/webhook").body(Body::empty()).unwrap()).await;
    assert_eq!((status, line.as_str()), (405, "GET is not for /webhook\n"));
}
