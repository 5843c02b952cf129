//! A receiver at its address.

use std::{convert::Infallible, sync::Arc};

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::{Settings, SetupError, Silences, routes::Receiver};
use crate::{
    Sink,
    clock::Clock,
    probes::Vitals,
    sink::Answers,
    web::{Limits, Listener},
};

/// A receiver whose address is taken and that answers nobody yet.
#[derive(Debug)]
pub struct Listening {
    listener: Listener,
    settings: Settings,
}

impl Listening {
    /// Takes the address of the settings.
    ///
    /// # Errors
    /// [`SetupError::Listen`] where it cannot be had.
    pub async fn on(settings: Settings) -> Result<Self, SetupError> {
        let listener = Listener::on("alerts.listen", settings.listen).await?;
        Ok(Self { listener, settings })
    }

    /// The address, with the port that was given for port 0.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.settings.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.listener.address)
    }

    /// What should be known about who may send, where others than this machine can.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let open = self.settings.auth.is_open() && !self.settings.tls.as_ref().is_some_and(|tls| tls.mutual);
        let address = self.listener.address;
        (open && !address.ip().is_loopback()).then(|| {
            format!(
                "alerts.listen: everybody who reaches {address} can send alerts; set alerts.auth or alerts.tls.client_ca"
            )
        })
    }

    /// Takes alerts and stores them, without end. `silences` are those that hold at each moment; `vitals` are shown with
    /// the status. When this is dropped, so are all connections: nothing is answered 200 that was not stored.
    pub async fn serve<S, C>(
        self,
        sink: S,
        clock: C,
        silences: watch::Receiver<Arc<Silences>>,
        vitals: Vitals,
    ) -> Infallible
    where
        S: Sink + Answers + Send + Sync + 'static,
        C: Clock + 'static,
    {
        let Settings { limits, answer_within, .. } = self.settings;
        let limits = Limits {
            connections: limits.connections,
            head: limits.head,
            answer: limits.reading + answer_within,
        };
        let tls = self.settings.tls.as_ref().map(|tls| TlsAcceptor::from(tls.config.clone()));
        let router = Arc::new(Receiver::new(self.settings, sink, clock, silences, vitals)).router();
        self.listener.serve(router, tls, limits).await
    }
}
