//! Answering over HTTP to whoever connects: a listener, TLS, and limits of time and number that keep slow and many
//! clients from taking up what others need.

mod connections;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

pub(crate) use self::connections::{Connections, Reading};

/// How long a client may take to read its answer, which is short.
const WRITING: Duration = Duration::from_secs(5);
/// Bytes that are read ahead of a connection; a head that is longer is refused.
const AHEAD: usize = 64 * 1024;
const HEADERS: usize = 64;
/// Before a listener that fails is asked again: too many open files pass.
const PAUSE: Duration = Duration::from_millis(100);

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}; is another program there, or is it no address of this machine?")]
pub struct ListenError {
    key: &'static str,
    address: SocketAddr,
    source: io::Error,
}

/// How much clients may take up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at a time.
    pub(crate) connections: usize,
    /// How long the head of a request, and how long a TLS handshake, may take.
    pub(crate) head: Duration,
    /// How long it may take from the end of the head until the answer is begun.
    pub(crate) answer: Duration,
}

/// An address that is taken, on which nobody is answered yet.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    /// To be marked as done when the request is read.
    pub(crate) reading: Reading,
}

impl Listener {
    /// Takes an address, which is that of a key of the configuration.
    pub(crate) async fn on(key: &'static str, address: SocketAddr) -> Result<Self, ListenError> {
        let refused = |source| ListenError { key, address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        // With the port that was given for port 0.
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, address })
    }

    /// Answers, without end. Each request brings its [`Origin`] as an extension.
    pub(crate) async fn serve(self, router: Router, tls: Option<TlsAcceptor>, limits: Limits) -> Infallible {
        let mut connections = Connections::new(limits.connections);
        // Dropped with this future, and all connections with it.
        let mut open = JoinSet::new();
        let longest = limits.head + limits.answer + WRITING;
        loop {
            while open.try_join_next().is_some() {}
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, at = %self.address, "A connection cannot be accepted.");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(place) = connections.place().await else { continue };
            let origin = Origin { address, reading: place.reading() };
            let connection = serve_one(stream, tls.clone(), router.clone(), origin, limits.head);
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
    head: Duration,
) {
    let Some(tls) = tls else { return speak(stream, router, origin, head).await };
    match timeout(head, tls.accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, router, origin, head).await,
        Ok(Err(error)) => tracing::debug!(from = %origin.address, %error, "No TLS with a client."),
        Err(_elapsed) => tracing::debug!(from = %origin.address, "A client was too slow for TLS."),
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router, origin: Origin, head: Duration) {
    let from = origin.address;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(origin.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        // hyper's time for a head runs between requests too, and a sender whose connection is closed just as it sends
        // loses its alerts. A connection for each request costs little at one a minute.
        .keep_alive(false)
        .max_buf_size(AHEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%from, %error, "A connection ended early.");
    }
}
