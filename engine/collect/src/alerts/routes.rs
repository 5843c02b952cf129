//! What is asked for at which path, and what is answered.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use kwhy_bus::batches;
use kwhy_proto::v1::SignalBatch;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout_at},
};

use super::{
    Settings, Silences,
    body::{self, Room},
    intake::{self, Taken},
    quiet::Quiet,
    refusal::Refusal,
    retries::Retries,
};
use crate::{
    Outgoing, Sink,
    clock::Clock,
    kube,
    probes::{self, Reach, Vitals},
    sink::Answers,
    web::Origin,
};

/// Requests that are read and stored at a time; the others wait their turn. As signals, alerts take several times the
/// room of their JSON.
const AT_ONCE: usize = 4;

/// What all requests share.
pub(super) struct Receiver<S, C> {
    pub(super) sink: S,
    pub(super) clock: C,
    pub(super) settings: Settings,
    pub(super) silences: watch::Receiver<Arc<Silences>>,
    room: Room,
    turns: Semaphore,
    retries: Retries,
    quiet: Quiet,
    started: u64,
    reach: Reach,
    outgoing: Outgoing,
    vitals: Vitals,
}

impl<S, C> Receiver<S, C>
where
    S: Sink + Answers + Send + Sync + 'static,
    C: Clock + 'static,
{
    pub(super) fn new(
        settings: Settings,
        sink: S,
        clock: C,
        silences: watch::Receiver<Arc<Silences>>,
        vitals: Vitals,
    ) -> Self {
        Self {
            room: Room::new(&settings.limits),
            turns: Semaphore::new(AT_ONCE),
            retries: Retries::default(),
            quiet: Quiet::default(),
            started: clock(),
            reach: Reach::default(),
            outgoing: vitals.alerts.clone().unwrap_or_default(),
            vitals,
            sink,
            clock,
            settings,
            silences,
        }
    }

    pub(super) fn router(self: Arc<Self>) -> Router {
        let guarded = Router::new()
            .route("/api/v2/alerts", post(take::<S, C>))
            .route("/webhook", post(take::<S, C>))
            .route("/api/v2/status", get(status::<S, C>))
            .route("/metrics", get(figures::<S, C>))
            .layer(middleware::from_fn_with_state(self.clone(), admit::<S, C>));
        guarded
            .route("/-/healthy", get(async || "OK\n"))
            .route("/-/ready", get(ready::<S, C>))
            .fallback(elsewhere)
            .method_not_allowed_fallback(otherwise)
            .with_state(self)
    }

    /// Stores every alert of a request.
    async fn store(&self, origin: &Origin, request: Request) -> Result<(), Refusal> {
        let (parts, body) = request.into_parts();
        let limits = self.settings.limits;
        let held = body::read(&parts.headers, body, &limits, &self.room).await?;
        origin.reading.done();
        let deadline = Instant::now() + self.settings.answer_within;
        let late = |_| Refusal::busy(self.late());
        let turn = timeout_at(deadline, self.turns.acquire()).await.map_err(late)?;
        let _turn = turn.map_err(|_closed| Refusal::busy("kwhy is about to end"))?;
        let attempt = self.retries.attempt(&held.bytes, (self.clock)());
        let (at, room, silences) = (attempt.at, self.room.clone(), self.silences.borrow().clone());
        let (cluster, identity) = (self.settings.cluster.clone(), self.settings.identity.clone());
        // Megabytes of JSON take a while: that is no work for the threads that answer others.
        let read = tokio::task::spawn_blocking(move || {
            let held = held.unpacked(&limits, &room)?;
            intake::signals(&cluster, at, &held.bytes, &identity, &limits, &silences)
        });
        let read = read.await.map_err(|_| Refusal::busy("kwhy could not read the body"))?;
        let Taken { signals, bad, left_out } = read.inspect_err(|_| self.retries.stored(&attempt))?;
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "Alertmanager left alerts out of a notification. Raise max_alerts of the receiver."
            );
        }
        let together: Vec<SignalBatch> = batches(signals).collect();
        let published = match timeout_at(deadline, self.outgoing.publish(&self.sink, together, &self.clock))
            .await
        {
            Ok(Ok(published)) => published,
            Ok(Err(error)) => {
                let lasting = if S::may_pass(&error) { "" } else { " and will not by itself" };
                return Err(Refusal::busy(format!("NATS does not take alerts{lasting}: {}", chain(&error))));
            }
            Err(elapsed) => return Err(late(elapsed)),
        };
        self.retries.stored(&attempt);
        if let Some(large) = published.too_large.first() {
            let line = format!(
                "{} of the alerts are larger than NATS takes and are not taken, the first with {} bytes of at most {}",
                published.too_large.len(),
                large.size,
                large.limit
            );
            return Err(Refusal::of(StatusCode::PAYLOAD_TOO_LARGE, line));
        }
        match bad {
            Some(line) => Err(Refusal::of(StatusCode::BAD_REQUEST, line)),
            None => Ok(()),
        }
    }

    fn late(&self) -> String {
        format!("the alerts are not stored within {:?}; send them again", self.settings.answer_within)
    }

    /// A sender keeps what it is told to itself, so it is told here too.
    fn tell(&self, origin: &Origin, refusal: &Refusal) {
        if let Some(before) = self.quiet.may_tell() {
            tracing::warn!(
                from = %origin.address,
                status = refusal.status.as_u16(),
                reason = refusal.line,
                untold = before,
                "A request with alerts was not taken as a whole."
            );
        }
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

async fn admit<S, C>(
    State(receiver): State<Arc<Receiver<S, C>>>,
    Extension(origin): Extension<Origin>,
    request: Request,
    next: Next,
) -> Response
where
    S: Sink + Answers + Send + Sync + 'static,
    C: Clock + 'static,
{
    let auth = &receiver.settings.auth;
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    if auth.admits(given) {
        return next.run(request).await;
    }
    let what = if given.is_some() { "the credentials are not known here" } else { "credentials are needed" };
    let refusal = Refusal::of(
        StatusCode::UNAUTHORIZED,
        format!("{what}; see alerts.auth in the configuration of kwhy"),
    );
    receiver.tell(&origin, &refusal);
    let mut response = refusal.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(auth.challenge()));
    response
}

async fn take<S, C>(
    State(receiver): State<Arc<Receiver<S, C>>>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Response
where
    S: Sink + Answers + Send + Sync + 'static,
    C: Clock + 'static,
{
    match receiver.store(&origin, request).await {
        // Alertmanager answers without a body.
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => {
            receiver.tell(&origin, &refusal);
            refusal.into_response()
        }
    }
}

/// The shape of Alertmanager's, for tools that look whom they talk to, and how all sources of this process are doing.
async fn status<S, C>(State(receiver): State<Arc<Receiver<S, C>>>) -> Json<Value>
where
    S: Sink + Answers + Send + Sync + 'static,
    C: Clock + 'static,
{
    let version = env!("CARGO_PKG_VERSION");
    let now = (receiver.clock)();
    let watches = receiver.vitals.kube.as_ref().map(|kube| kube.watches.all()).unwrap_or_default();
    Json(json!({
        "cluster": {"name": receiver.settings.cluster, "status": "disabled", "peers": []},
        "versionInfo": {
            "version": version, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "kwhy"
        },
        "config": {"original": ""},
        "uptime": kwhy_ingest::time::rfc3339(&kwhy_proto::timestamp(receiver.started)),
        "kwhy": {
            "troubles": receiver.vitals.troubles(now),
            "watches": watches.iter().map(|(kind, progress)| watch_of(kind, progress, now)).collect::<Vec<_>>(),
        },
    }))
}

fn watch_of(kind: &kube::Resource, progress: &kube::Progress, now: u64) -> Value {
    json!({
        "kind": kind.to_string(),
        "watching": progress.watching,
        "ageSeconds": progress.age(now).map(|age| age / 1000),
        "objects": progress.objects,
        "lists": progress.lists,
        "gaps": progress.gaps,
        "trouble": progress.trouble.as_ref().map(ToString::to_string),
    })
}

async fn figures<S, C>(State(receiver): State<Arc<Receiver<S, C>>>) -> Response
where
    S: Sink + Answers + Send + Sync + 'static,
    C: Clock + 'static,
{
    probes::page(&receiver.vitals, (receiver.clock)())
}

/// Whether alerts can be taken. A watch that stands still is no reason to take none, so it does not show here.
async fn ready<S, C>(State(receiver): State<Arc<Receiver<S, C>>>) -> Response
where
    S: Sink + Answers + Send + Sync + 'static,
    C: Clock + 'static,
{
    if receiver.reach.answers(&receiver.sink).await {
        "OK\n".into_response()
    } else {
        Refusal::busy("NATS does not answer").into_response()
    }
}

async fn elsewhere(uri: Uri) -> Refusal {
    let mut line =
        "kwhy takes alerts by POST at /api/v2/alerts (Prometheus) and /webhook (Alertmanager)".to_owned();
    if uri.path().ends_with("/api/v1/alerts") {
        line.push_str("; set api_version: v2 in Prometheus");
    } else if uri.path().ends_with("/api/v2/alerts") {
        line.push_str("; leave path_prefix out in Prometheus");
    }
    Refusal::of(StatusCode::NOT_FOUND, line)
}

async fn otherwise(method: Method, uri: Uri) -> Refusal {
    Refusal::of(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for {}", uri.path()))
}
