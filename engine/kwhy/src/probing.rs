//! What `kwhy run` and `kwhy collect` tell of how they are doing: at an address of their own where one is named, and on
//! standard error.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::Result;
use kwhy_bus::Bus;
use kwhy_collect::{
    Answers, clock, kube,
    probes::{Probes, Vitals},
};
use tokio::time::sleep;

use crate::config::Config;

/// How often it is looked whether a source stands still.
const LOOK: Duration = Duration::from_secs(30);

/// An address that is taken, where one is named.
pub(crate) struct Probing(Option<Probes>);

impl Probing {
    /// Takes the address of the command line, else the one that is configured.
    pub(crate) async fn prepare(config: &Config, given: Option<SocketAddr>) -> Result<Self> {
        Ok(Self(match given.or(config.probes.listen) {
            Some(listen) => Some(Probes::on(listen).await?),
            None => None,
        }))
    }

    /// Says where it is.
    pub(crate) fn announce(&self) {
        if let Some(probes) = &self.0 {
            eprintln!("probes: {}", probes.url());
        }
    }

    /// Answers probes, and says when sources stand still and when they go on, without end.
    pub(crate) async fn run(self, nats: impl Answers + Send + Sync + 'static, vitals: Vitals) -> Infallible {
        let answered = async {
            match self.0 {
                Some(probes) => probes.serve(nats, clock::wall, vitals.clone()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            never = answered => never,
            never = tell(&vitals) => never,
        }
    }
}

async fn tell(vitals: &Vitals) -> Infallible {
    // Before that nothing can have stood still for long, and what cannot even begin says so itself.
    sleep(Duration::from_millis(kube::STALE)).await;
    let mut ill = false;
    loop {
        let troubles = vitals.troubles(clock::wall());
        match (ill, troubles.is_empty()) {
            (false, false) => troubles.iter().for_each(|trouble| eprintln!("kwhy: not ready: {trouble}")),
            (true, true) => eprintln!("kwhy: ready again"),
            _ => {}
        }
        ill = !troubles.is_empty();
        sleep(LOOK).await;
    }
}

/// NATS to somebody who may only publish, and so cannot ask whether the stream is there.
pub(crate) struct Connection(pub(crate) Bus);

impl Answers for Connection {
    async fn answers(&self) -> bool {
        self.0.is_connected()
    }
}
