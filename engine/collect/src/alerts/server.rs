//! The listener: connections, TLS, and their time limits.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::{
    Limits, Settings, SetupError, Silences,
    connections::{Connections, Reading},
    routes::Receiver,
};
use crate::{Sink, clock::Clock, sink::Answers};

/// How long a client may take to read its answer, which is a line.
const WRITING: Duration = Duration::from_secs(5);
/// Bytes that are read ahead of a connection; a head that is longer is refused.
const AHEAD: usize = 64 * 1024;
const HEADERS: usize = 64;
/// Before a listener that fails is asked again: too many open files pass.
const PAUSE: Duration = Duration::from_millis(100);

/// A receiver whose address is taken and that answers nobody yet.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    settings: Settings,
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    pub(super) address: SocketAddr,
    pub(super) reading: Reading,
}

impl Listening {
    /// Takes the address of the settings.
    ///
    /// # Errors
    /// [`SetupError::Listen`] where it cannot be had.
    pub async fn on(settings: Settings) -> Result<Self, SetupError> {
        let refused = |source| SetupError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address, settings })
    }

    /// The address, with the port that was given for port 0.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.settings.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What should be known about who may send, where others than this machine can.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let open = self.settings.auth.is_open() && !self.settings.tls.as_ref().is_some_and(|tls| tls.mutual);
        (open && !self.address.ip().is_loopback()).then(|| {
            format!(
                "alerts.listen: everybody who reaches {} can send alerts; set alerts.auth or alerts.tls.client_ca",
                self.address
            )
        })
    }

    /// Takes alerts and stores them, without end. `silences` are those that hold at each moment.
    pub async fn serve<S, C>(self, sink: S, clock: C, silences: watch::Receiver<Arc<Silences>>) -> Infallible
    where
        S: Sink + Answers + Send + Sync + 'static,
        C: Clock + 'static,
    {
        let limits = self.settings.limits;
        let answer = self.settings.answer_within;
        let tls = self.settings.tls.as_ref().map(|tls| TlsAcceptor::from(tls.config.clone()));
        let router = Arc::new(Receiver::new(self.settings, sink, clock, silences)).router();
        let mut connections = Connections::new(limits.connections);
        // Dropped with this future, and all connections with it: nothing is answered 200 that was not stored.
        let mut open = JoinSet::new();
        let longest = limits.head + limits.reading + answer + WRITING;
        loop {
            while open.try_join_next().is_some() {}
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "A connection with alerts cannot be accepted.");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(place) = connections.place().await else { continue };
            let origin = Origin { address, reading: place.reading() };
            let connection = serve_one(stream, tls.clone(), router.clone(), origin, limits);
            open.spawn(place.hold(async move {
                if timeout(longest, connection).await.is_err() {
                    tracing::debug!(from = %address, "A connection was too slow and is closed.");
                }
            }));
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    origin: Origin,
    limits: Limits,
) {
    let Some(tls) = tls else { return speak(stream, router, origin, limits).await };
    match timeout(limits.head, tls.accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, router, origin, limits).await,
        Ok(Err(error)) => tracing::debug!(from = %origin.address, %error, "No TLS with a client."),
        Err(_elapsed) => tracing::debug!(from = %origin.address, "A client was too slow for TLS."),
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, origin: Origin, limits: Limits) {
    let from = origin.address;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(origin.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        // hyper's time for a head runs between requests too, and a sender whose connection is closed just as it sends
        // loses its alerts. A connection for each request costs little at one a minute.
        .keep_alive(false)
        .max_buf_size(AHEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%from, %error, "A connection with alerts ended early.");
    }
}
