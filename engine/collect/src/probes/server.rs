//! The address at which probes and scrapes are answered.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Reach, Vitals, metrics};
use crate::{
    Answers,
    clock::Clock,
    web::{Limits, ListenError, Listener},
};

/// Probes are few and their requests are a line.
const LIMITS: Limits = Limits {
    connections: 16,
    head: Duration::from_secs(5),
    // NATS is asked for two seconds at most.
    answer: Duration::from_secs(5),
};

/// An address at which nobody is answered yet.
#[derive(Debug)]
pub struct Probes {
    listener: Listener,
}

struct Asked<S, C> {
    sink: S,
    reach: Reach,
    clock: C,
    vitals: Vitals,
}

impl Probes {
    /// Takes the address.
    ///
    /// # Errors
    /// [`ListenError`] where it cannot be had.
    pub async fn on(address: SocketAddr) -> Result<Self, ListenError> {
        Ok(Self { listener: Listener::on("probes.listen", address).await? })
    }

    /// The address, with the port that was given for port 0.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address)
    }

    /// Answers, without end. `sink` is asked whether NATS is there.
    pub async fn serve<S, C>(self, sink: S, clock: C, vitals: Vitals) -> Infallible
    where
        S: Answers + Send + Sync + 'static,
        C: Clock + 'static,
    {
        self.listener.serve(router(sink, clock, vitals), None, LIMITS).await
    }
}

fn router<S, C>(sink: S, clock: C, vitals: Vitals) -> Router
where
    S: Answers + Send + Sync + 'static,
    C: Clock + 'static,
{
    Router::new()
        .route("/-/healthy", get(async || "OK\n"))
        .route("/-/ready", get(ready::<S, C>))
        .route(
            "/metrics",
            get(async |State(asked): State<Arc<Asked<S, C>>>| page(&asked.vitals, (asked.clock)())),
        )
        .fallback(async || (StatusCode::NOT_FOUND, "there is /-/healthy, /-/ready and /metrics\n"))
        .with_state(Arc::new(Asked { sink, reach: Reach::default(), clock, vitals }))
}

async fn ready<S, C>(State(asked): State<Arc<Asked<S, C>>>) -> Response
where
    S: Answers + Send + Sync + 'static,
    C: Clock + 'static,
{
    let mut troubles = asked.vitals.troubles((asked.clock)());
    if !asked.reach.answers(&asked.sink).await {
        troubles.insert(0, "NATS does not answer".to_owned());
    }
    if troubles.is_empty() {
        return "OK\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, troubles.join("\n") + "\n").into_response()
}

/// The answer to a scrape.
pub(crate) fn page(vitals: &Vitals, now: u64) -> Response {
    match metrics::page(vitals, now) {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        // Text cannot fail to be written to memory.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use tower::ServiceExt as _;

    use super::*;
    use crate::{kube, logs, probes::Kube, sink::tests::Recorder};

    const NOW: u64 = 1_700_000_000_000;

    async fn get(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn watching(age: u64) -> Vitals {
        let watches = kube::Health::default();
        let pods = kube::WATCHED.iter().flat_map(|a| a.iter()).find(|kind| kind.kind == "Pod").unwrap();
        watches.note(pods, |pods| {
            (pods.watching, pods.last, pods.lists, pods.objects, pods.gaps) =
                (true, Some(NOW - age), 2, 7, 1);
        });
        Vitals { kube: Some(Kube { watches, ..Kube::default() }), ..Vitals::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_while_nats_and_all_watches_go_on() {
        let sink = Arc::new(Recorder::failing([true]));
        let router = router(sink.clone(), || NOW, watching(60_000));
        assert_eq!(get(&router, "/-/ready").await, (503, "NATS does not answer\n".to_owned()));
        sink.failures.lock().unwrap().clear();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(get(&router, "/-/ready").await, (200, "OK\n".to_owned()));
        assert_eq!(get(&router, "/-/healthy").await, (200, "OK\n".to_owned()));
        assert_eq!(get(&router, "/status").await.0, 404);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_ready_while_a_watch_stands_still_but_it_lives() {
        let router = router(Arc::new(Recorder::new()), || NOW, watching(kube::STALE + 1_000));
        let still = "watch of v1 Pod: nothing was heard of it for 301 s\n".to_owned();
        assert_eq!(get(&router, "/-/ready").await, (503, still));
        assert_eq!(get(&router, "/-/healthy").await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn figures_are_those_of_the_sources_that_there_are() {
        let logs = logs::Vitals::default();
        logs.reading.note_dropped(12);
        logs.reading.note_gap();
        let vitals = Vitals { logs: Some(logs), ..watching(1_500) };
        let (status, page) = get(&router(Arc::new(Recorder::new()), || NOW, vitals), "/metrics").await;
        assert_eq!(status, 200);
        let pod = r#"{api="v1",kind="Pod"}"#;
        for line in [
            format!("kwhy_watch_up{pod} 1.0"),
            format!("kwhy_watch_age_seconds{pod} 1.5"),
            format!("kwhy_watch_objects{pod} 7.0"),
            format!("kwhy_watch_lists_total{pod} 2"),
            format!("kwhy_watch_gaps_total{pod} 1"),
            "kwhy_log_lines_dropped_total 12".to_owned(),
            "kwhy_log_gaps_total 1".to_owned(),
            "kwhy_signals_published_total{what=\"kube\"} 0".to_owned(),
            "kwhy_publish_waiting_seconds{what=\"logs\"} 0.0".to_owned(),
        ] {
            assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
        }
        assert!(!page.contains("alerts"), "no alerts are taken:\n{page}");
    }
}
