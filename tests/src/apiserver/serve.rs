//! The answers.

use std::{
    convert::Infallible,
    io,
    net::TcpListener,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};
use tokio_rustls::TlsAcceptor;

use super::{
    Request as Seen, Shared, TOKEN,
    fault::{Fault, Old, On},
    kinds::{self, Kind, NEW_EVENTS},
    store::Compacted,
};

/// An error ends the connection in the middle of the answer.
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Where clients ask what they may do.
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// The API server's own bound where a request names none (`min-request-timeout`).
const LASTS: Duration = Duration::from_secs(1800);

pub(super) async fn run(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(answer(&shared, request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let authorised = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if authorised != Some(&format!("Bearer {TOKEN}")) {
        return status(401, "Unauthorized", "Unauthorized");
    }
    if request.uri().path() == REVIEWS {
        return review(shared, request).await;
    }
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    if let Some(found) = path.strip_prefix("/apis/").and_then(kinds::discovery) {
        return json(200, &found);
    }
    if path.ends_with("/log") {
        return log(shared, path, query);
    }
    let (spelling, namespace) = kinds::of_cluster(path);
    let spelling = if spelling == NEW_EVENTS { "/api/v1/events".to_owned() } else { spelling };
    let Some(kind) = Kind::all().find(|kind| kind.path() == spelling) else {
        return status(404, "NotFound", "the server could not find the requested resource");
    };
    let ask = Ask {
        kind,
        path: path.to_owned(),
        namespace,
        query: query.to_owned(),
        metadata_only: request
            .headers()
            .get("accept")
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("as=PartialObjectMetadata")),
    };
    let watch = ask.parameter("watch").is_some_and(|value| value == "true" || value == "1");
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Seen {
        at: Instant::now(),
        path: ask.path.clone(),
        query: ask.query.clone(),
        watch,
    });
    let on = if watch { On::Watch } else { On::List };
    let fault = shared.faults.lock().unwrap_or_else(PoisonError::into_inner).next(path, on);
    match fault {
        Some(Fault::Status(403)) => {
            let verb = if watch { "watch" } else { "list" };
            let what = format!("{} is forbidden: User \"kwhy\" cannot {verb} it", ask.kind.plural());
            return status(403, "Forbidden", &what);
        }
        Some(Fault::Status(410)) => return status(410, "Expired", TOO_OLD),
        Some(Fault::Status(code)) => return status(code, "InternalError", "as scripted"),
        Some(Fault::Slow(long)) => sleep(long).await,
        Some(Fault::Empty) => return streamed(stream::empty()),
        Some(Fault::ExpiredWithin) => return streamed(stream::iter([Ok(expired())])),
        Some(Fault::Silent) => return streamed(stream::pending()),
        Some(Fault::Garbled) => return streamed(stream::iter([Ok("<html>bad gateway</html>\n".to_owned())])),
        Some(Fault::CutInLine) => return ask.watch(shared, true),
        None => {}
    }
    if watch { ask.watch(shared, false) } else { ask.list(shared) }
}

/// Whether something is granted: what is always answered with 403 is not.
async fn review(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let Ok(mut review) = serde_json::from_slice::<Value>(&body) else {
        return status(400, "BadRequest", "no review");
    };
    let of = review["spec"]["resourceAttributes"].clone();
    let text = |name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let on = if text("verb") == "watch" { On::Watch } else { On::List };
    let path = match text("subresource").as_str() {
        "" => Kind::all().find(|kind| kind.plural() == text("resource")).map(Kind::path).unwrap_or_default(),
        subresource => format!("/{}/{subresource}", text("resource")),
    };
    let faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
    review["status"] = json!({"allowed": !faults.refuses(&path, on)});
    drop(faults);
    json(201, &review)
}

/// The log of a container.
fn log(shared: &Shared, path: &str, query: &str) -> Response<Body> {
    let container = parameter(query, "container").unwrap_or_default();
    let previous = parameter(query, "previous").is_some_and(|value| value == "true");
    let logs = shared.logs.lock().unwrap_or_else(PoisonError::into_inner);
    match logs.get(&(path.to_owned(), container, previous)) {
        None => status(400, "BadRequest", "previous terminated container not found"),
        Some(text) => {
            let body = Full::new(Bytes::from(text.clone())).map_err(|never| match never {}).boxed_unsync();
            Response::builder().header("content-type", "text/plain").body(body).expect("an answer")
        }
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| *key == name)?.1;
    Some(value.replace("%21", "!").replace("%3D", "=").replace("%2F", "/").replace("%2C", ","))
}

struct Ask {
    kind: Kind,
    path: String,
    /// None for those of the whole cluster.
    namespace: Option<String>,
    query: String,
    metadata_only: bool,
}

const TOO_OLD: &str = "The resourceVersion for the provided watch is too old.";

impl Ask {
    fn parameter(&self, name: &str) -> Option<String> {
        parameter(&self.query, name)
    }

    /// Whether it is asked for: its namespace, and field selectors of the kind `a!=b`.
    fn keeps(&self, object: &Value) -> bool {
        let inside =
            self.namespace.as_ref().is_none_or(|namespace| object["metadata"]["namespace"] == **namespace);
        inside
            && self.parameter("fieldSelector").is_none_or(|selector| {
                selector.split(',').all(|term| {
                    let (field, value) = term.split_once("!=").expect("only != is asked for");
                    let pointer = format!("/{}", field.replace('.', "/"));
                    object.pointer(&pointer).and_then(Value::as_str).unwrap_or_default() != value
                })
            })
    }

    /// As it is asked for.
    fn shown(&self, object: &Value) -> Value {
        if self.metadata_only {
            return json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"]});
        }
        if self.new_events() { kinds::new_event(object) } else { object.clone() }
    }

    /// Events under their new name.
    fn new_events(&self) -> bool {
        self.path.starts_with("/apis/events.k8s.io/")
    }

    fn api_version(&self) -> &str {
        if self.new_events() { "events.k8s.io/v1" } else { self.kind.api_version }
    }

    fn list(&self, shared: &Shared) -> Response<Body> {
        let limit = self.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(0);
        // As the API server may, it gives fewer than it is asked for.
        let limit = if limit == 0 { 0 } else { limit.min(shared.page.load(Relaxed)) };
        let token = self.parameter("continue");
        let page = {
            let mut store = shared.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.list(&self.kind.path(), limit, token.as_deref(), |object| self.keeps(object))
        };
        let page = match page {
            Ok(page) => page,
            Err(Compacted) => {
                return status(
                    410,
                    "Expired",
                    "The provided continue parameter is too old to display a consistent list result.",
                );
            }
        };
        // The items of a list do not say what they are.
        let items: Vec<Value> = page
            .items
            .iter()
            .map(|object| {
                let mut item = self.shown(object);
                if let Some(fields) = item.as_object_mut().filter(|_| !self.metadata_only) {
                    fields.remove("kind");
                    fields.remove("apiVersion");
                }
                item
            })
            .collect();
        let mut metadata = json!({"resourceVersion": page.version.to_string()});
        if let Some(next) = page.next {
            metadata["continue"] = next.into();
        }
        let kind = format!("{}List", self.kind.name);
        json(
            200,
            &json!({"kind": kind, "apiVersion": self.api_version(), "metadata": metadata, "items": items}),
        )
    }

    fn watch(self, shared: &Arc<Shared>, cut: bool) -> Response<Body> {
        let store = shared.store.lock().unwrap_or_else(PoisonError::into_inner);
        let after = match self.parameter("resourceVersion").and_then(|version| version.parse().ok()) {
            Some(version) => version,
            None => store.version(),
        };
        let refused = store.changes(&self.kind.path(), after).is_err();
        drop(store);
        if refused {
            let faults = shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
            return match faults.how_old(&self.path, self.kind.cached()) {
                Old::Status => status(410, "Expired", TOO_OLD),
                Old::Within => streamed(stream::iter([Ok(expired())])),
                Old::Empty => streamed(stream::empty()),
            };
        }
        let seconds = self.parameter("timeoutSeconds").and_then(|seconds| seconds.parse().ok());
        let bookmarks = self.kind.cached() && self.parameter("allowWatchBookmarks").is_some();
        let moved = shared.moved.subscribe();
        let ended = shared.ended.subscribe();
        let state = Watching {
            ends: tokio::time::Instant::now() + seconds.map_or(LASTS, Duration::from_secs),
            ask: self,
            shared: shared.clone(),
            after,
            bookmarks,
            moved,
            ended,
            cut,
            over: false,
        };
        streamed(stream::unfold(state, |mut state| async move { Some((state.next().await?, state)) }))
    }
}

/// A watch that runs.
struct Watching {
    ask: Ask,
    shared: Arc<Shared>,
    after: u64,
    bookmarks: bool,
    ends: tokio::time::Instant,
    moved: watch::Receiver<u64>,
    ended: watch::Receiver<u64>,
    cut: bool,
    over: bool,
}

impl Watching {
    /// The next lines; none at its end.
    async fn next(&mut self) -> Option<io::Result<String>> {
        if self.over {
            return self.cut.then(|| Err(io::Error::other("the connection is cut")));
        }
        loop {
            self.moved.borrow_and_update();
            let found = {
                let store = self.shared.store.lock().unwrap_or_else(PoisonError::into_inner);
                if self.ended.has_changed().unwrap_or(true) {
                    return None;
                }
                store.changes(&self.ask.kind.path(), self.after)
            };
            let Ok((changes, version)) = found else {
                // What was not sent before it was compacted is lost to this watch, too.
                self.over = true;
                return Some(Ok(expired()));
            };
            self.after = version;
            let lines: String = changes
                .iter()
                .filter(|change| self.ask.keeps(&change.object))
                .map(|change| {
                    format!("{}\n", json!({"type": change.verb, "object": self.ask.shown(&change.object)}))
                })
                .collect();
            if !lines.is_empty() {
                if self.cut {
                    self.over = true;
                    let half = lines.chars().take(lines.chars().count() / 2).collect();
                    return Some(Ok(half));
                }
                return Some(Ok(lines));
            }
            let bookmark = sleep(self.shared.bookmarks);
            tokio::select! {
                _ = self.moved.changed() => {}
                _ = self.ended.changed() => return None,
                () = tokio::time::sleep_until(self.ends) => return None,
                () = bookmark, if self.bookmarks => {
                    let object = json!({"kind": self.ask.kind.name, "apiVersion": self.ask.api_version(),
                        "metadata": {"resourceVersion": self.after.to_string(), "creationTimestamp": null}});
                    return Some(Ok(format!("{}\n", json!({"type": "BOOKMARK", "object": object}))));
                }
            }
        }
    }
}

fn expired() -> String {
    let object = failure(410, "Expired", TOO_OLD);
    format!("{}\n", json!({"type": "ERROR", "object": object}))
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code})
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    json(code, &failure(code, reason, message))
}

fn json(code: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(code).header("content-type", "application/json").body(body).expect("an answer")
}

fn streamed(lines: impl Stream<Item = io::Result<String>> + Send + 'static) -> Response<Body> {
    let frames = lines.map(|line| line.map(|line| Frame::data(Bytes::from(line))));
    Response::builder()
        .status(200)
        .header("content-type", "application/json")
        .body(StreamBody::new(frames).boxed_unsync())
        .expect("an answer")
}
