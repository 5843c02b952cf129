//! Watches from a version that is too old, in the three ways in which an API server says so.

use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::{
    Metadata, NamespaceResourceScope, api::core::v1::Pod, api::events::v1::Event,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, ResourceExt,
    runtime::{watcher, watcher::Event as Step},
};
use kwhy_proto::{millis, v1::signal::Body};
use kwhy_tests::apiserver::{ApiServer, Fault, Old, On};

use crate::collector::{Collector, EVENTS, PODS, client, event, ids, of_kind, pod};

/// Longest from the loss to the list that mends it.
const WITHIN: Duration = Duration::from_secs(10);

/// What was seen of the watch of one kind, from when the server forgot.
#[derive(Debug, Default)]
struct Seen {
    /// When lists and watches came, after that moment.
    lists: Vec<Duration>,
    requests: Vec<Duration>,
    /// Names that were told as there, and as gone.
    there: Vec<String>,
    gone: Vec<String>,
}

impl Seen {
    fn of(server: &ApiServer, path: &str, since: Instant) -> Seen {
        let after = |watch: Option<bool>| {
            let all = server.requests(path).into_iter();
            let of = all.filter(|r| r.at >= since && watch.is_none_or(|watch| r.watch == watch));
            of.map(|r| r.at - since).collect()
        };
        Seen { lists: after(Some(false)), requests: after(None), ..Seen::default() }
    }

    /// What must hold: a list soon, less than a request a second, and both changes told that nobody saw.
    fn check(&self, new: &str, gone: Option<&str>) -> Result<(), String> {
        if !self.lists.iter().any(|at| *at < WITHIN) {
            return Err(format!("no list within {WITHIN:?}: {self:?}"));
        }
        let busy = self.requests.iter().filter(|at| **at < WITHIN).count();
        if u64::try_from(busy).unwrap_or(u64::MAX) > WITHIN.as_secs() {
            return Err(format!("{busy} requests in {WITHIN:?}"));
        }
        if !self.there.iter().any(|name| name == new) {
            return Err(format!("{new} was not told: {self:?}"));
        }
        if let Some(gone) = gone
            && !self.gone.iter().any(|name| name == gone)
        {
            return Err(format!("{gone} was not told as gone: {self:?}"));
        }
        Ok(())
    }
}

/// One more event, and the server forgets its changes before anybody has heard of it.
fn forget_an_event(server: &ApiServer) -> Instant {
    let now = Instant::now();
    server.miss(|store| store.put(event("missed", 1)));
    now
}

/// A pod more and a pod less, and the server forgets.
fn forget_pods(server: &ApiServer) -> Instant {
    let now = Instant::now();
    server.miss(|store| {
        store.put(pod("missed"));
        store.delete("Pod", "shop", "old");
    });
    now
}

#[tokio::test]
async fn an_empty_watch_of_events_is_listed_anew_soon_and_calmly_and_the_gap_is_told() {
    let server = ApiServer::start();
    server.put(event("first", 1));
    let collector = Collector::start(&server).await;
    server.wait_for(EVENTS, On::Watch, 1);
    let since = forget_an_event(&server);
    tokio::time::sleep(WITHIN).await;

    let told = collector.told().await;
    let mut seen = Seen::of(&server, EVENTS, since);
    seen.there = told.iter().filter(|s| s.source == "event").map(|s| s.origin.clone()).collect();
    assert_eq!(seen.check("/apis/events.k8s.io/v1/namespaces/shop/events/missed", None), Ok(()));
    let events: Vec<&str> =
        told.iter().filter(|s| s.source == "event").map(|s| s.origin.rsplit('/').next().unwrap()).collect();
    assert_eq!(events, ["first", "missed"], "each once, as NATS knows the first by its id");
    let gaps: Vec<_> = told.iter().filter(|s| s.source == "gap" && s.name == "Event").collect();
    let [gap] = gaps.as_slice() else { panic!("one gap: {:?}", ids(&told)) };
    let Some(Body::Gap(body)) = &gap.body else { panic!("{gap:?}") };
    let (from, to) = (millis(&body.from.unwrap()), millis(&body.to.unwrap()));
    assert!(from < to && to - from < 20_000, "{gap:?}");
    assert!(body.reason.starts_with("changes of events.k8s.io/v1 Event may be missing: "), "{gap:?}");
    assert_eq!(collector.terminate().code, Some(0));
}

/// The twin: the client's own watcher asks at once and for ever, and never lists.
#[tokio::test]
async fn the_check_of_empty_watches_fails_the_watcher_alone() {
    let server = ApiServer::start();
    server.put(event("first", 1));
    let mut watching = Watcher::<Event>::start(&server, EVENTS).await;
    let since = forget_an_event(&server);
    let seen = watching.seen(&server, since, Duration::from_secs(3)).await;
    let why = seen.check("missed", None).expect_err("it does not recover");
    assert!(why.starts_with("no list within"), "{why}");
    assert!(seen.requests.len() > 20, "it asks as fast as it can: {} times", seen.requests.len());
}

#[tokio::test]
async fn pods_that_came_and_went_unseen_are_told_after_410_in_each_form() {
    for form in [Old::Status, Old::Within, Old::Empty] {
        let server = ApiServer::start();
        server.refuse_old(PODS, form);
        for name in ["old", "stays"] {
            server.put(pod(name));
        }
        let collector = Collector::start(&server).await;
        server.wait_for(PODS, On::Watch, 1);
        let since = forget_pods(&server);
        let told = collector
            .until("the pod that is gone", |told| of_kind(told, "Pod").contains(&("DELETED", "old")))
            .await;
        tokio::time::sleep(WITHIN.saturating_sub(since.elapsed())).await;

        let pods = of_kind(&told, "Pod");
        let mut seen = Seen::of(&server, PODS, since);
        let named = |gone: bool| {
            let pods = pods.iter().filter(move |(verb, _)| (*verb == "DELETED") == gone);
            pods.map(|(_, name)| (*name).to_owned()).collect()
        };
        (seen.there, seen.gone) = (named(false), named(true));
        assert_eq!(seen.check("missed", Some("old")), Ok(()), "{form:?}");
        assert_eq!(
            pods,
            [("ADDED", "old"), ("ADDED", "stays"), ("ADDED", "missed"), ("DELETED", "old")],
            "{form:?}: nothing is told a second time"
        );
        assert_eq!(told.iter().filter(|s| s.source == "gap" && s.name == "Pod").count(), 1, "{form:?}");
        assert_eq!(collector.terminate().code, Some(0));
    }
}

/// The twin: where 410 is the answer the watcher alone never lists; where it comes within, it lists and does not say
/// what has gone.
#[tokio::test]
async fn the_check_of_410_fails_the_watcher_alone_in_each_form() {
    for (form, wanted) in [(Old::Status, "no list within"), (Old::Within, "old was not told as gone")] {
        let server = ApiServer::start();
        server.refuse_old(PODS, form);
        for name in ["old", "stays"] {
            server.put(pod(name));
        }
        let mut watching = Watcher::<Pod>::start(&server, PODS).await;
        let since = forget_pods(&server);
        let seen = watching.seen(&server, since, Duration::from_secs(3)).await;
        let why = seen.check("missed", Some("old")).expect_err("it tells less");
        assert!(why.starts_with(wanted), "{form:?}: {why}");
    }
}

#[tokio::test]
async fn broken_slow_and_senseless_answers_lose_nothing() {
    let server = ApiServer::start();
    server.put(pod("first"));
    server.fail(PODS, On::List, [Fault::Status(500), Fault::Slow(Duration::from_secs(2))]);
    server.fail(PODS, On::Watch, [Fault::CutInLine, Fault::Status(503), Fault::Garbled]);
    let collector = Collector::start(&server).await;
    server.wait_for(PODS, On::Watch, 1);
    // In the middle of this one the connection is cut.
    server.put(pod("second"));
    server.wait_for(PODS, On::Watch, 4);
    server.put(pod("third"));
    let told =
        collector.until("the third pod", |told| of_kind(told, "Pod").contains(&("ADDED", "third"))).await;
    assert_eq!(of_kind(&told, "Pod"), [("ADDED", "first"), ("ADDED", "second"), ("ADDED", "third")]);
    let ended = collector.terminate();
    assert_eq!(ended.code, Some(0));
    let said: Vec<&str> = ended.errors().into_iter().filter(|line| line.starts_with("kwhy: ")).collect();
    assert!(said.iter().all(|line| line.contains("cannot watch v1 Pod: ")), "{said:?}");
    assert!(said.len() <= 3, "each trouble once: {said:?}");
}

/// The client's own watcher, without a supervisor.
struct Watcher<K> {
    steps: std::pin::Pin<Box<dyn futures::Stream<Item = watcher::Result<Step<K>>> + Send>>,
}

impl<K> Watcher<K>
where
    K: Metadata<Scope = NamespaceResourceScope, Ty = ObjectMeta>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    /// Reads up to the end of the first list.
    async fn start(server: &ApiServer, path: &str) -> Self {
        let mut steps = watcher(Api::<K>::all(client(server).await), watcher::Config::default()).boxed();
        while !matches!(steps.next().await, Some(Ok(Step::InitDone))) {}
        let watched = async {
            let _ = tokio::time::timeout(Duration::from_millis(500), steps.next()).await;
        };
        watched.await;
        server.wait_for(path, On::Watch, 1);
        Self { steps }
    }

    /// What is seen of it within some time.
    async fn seen(&mut self, server: &ApiServer, since: Instant, long: Duration) -> Seen {
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        let _ = tokio::time::timeout(long, async {
            while let Some(step) = self.steps.next().await {
                match step {
                    Ok(Step::Apply(object) | Step::InitApply(object)) => there.push(object.name_any()),
                    Ok(Step::Delete(object)) => gone.push(object.name_any()),
                    // It does not wait by itself; a little, so that the test can end.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    _ => {}
                }
            }
        })
        .await;
        let path = if std::any::type_name::<K>() == std::any::type_name::<Pod>() { PODS } else { EVENTS };
        Seen { there, gone, ..Seen::of(server, path, since) }
    }
}
