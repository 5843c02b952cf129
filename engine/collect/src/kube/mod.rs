//! Watches of the Kubernetes API: the cluster's events and the objects that the graph is made of.
//!
//! Every kind is watched for itself; one that may not be read, or is not there, is told once and tried again while the
//! others go on. After a break a watch lists anew; a state that was told before has the same id
//! (`uid/resourceVersion`), so telling it again does no harm. What an object is trimmed to, a Secret to its key names
//! above all, is [`kwhy_ingest::object`]'s business and happens before a signal is made.

mod access;
pub(crate) mod container_log;
mod gap;
mod health;
mod item;
mod kinds;
mod known;
mod list;
mod logs;
mod owners;
mod page;
mod rbac;
mod remembered;
mod retry;
mod stand;
mod started;
mod told;
mod trouble;
mod watch;

pub use access::{Refused, refused};
pub use health::{Health, Progress, STALE};
pub use kinds::Resource;
pub(crate) use kinds::WATCHED;
pub use logs::{NoLog, answer as answer_logs};
pub use rbac::{Grants, needed as needed_permissions};
pub use remembered::Remembered;
pub use trouble::Trouble;
pub(crate) use trouble::reason;

pub use kube::Client;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::{
    Config,
    config::{KubeConfigOptions, KubeconfigError},
};
use kwhy_proto::v1::Signal;
use tokio::sync::{Semaphore, mpsc};

use self::{owners::Owners, started::Started, told::Told, watch::Watch};
use crate::clock::Clock;

/// Directives for the log filter that must always be set. kube's own lines repeat at every attempt what is told here
/// once as [`Trouble`]; worse, of an answer that it cannot read it logs the whole body, and that may be a list of Secrets.
pub const LOG_FILTER: [&str; 2] = ["kube_client=off", "kube_runtime=off"];

/// Why there is no client for the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor the account of a pod; what is the matter with the kubeconfig.
    #[error("no cluster is named here: {0}; set KUBECONFIG, or run in a pod with a service account")]
    NoConfig(String),
    /// The kubeconfig does not have it.
    #[error("cannot use context `{context}` of the kubeconfig; `kubectl config get-contexts` lists them")]
    Context {
        /// The name that was asked for.
        context: String,
        /// What is the matter with it.
        #[source]
        source: KubeconfigError,
    },
    /// Certificates or credentials cannot be used.
    #[error("cannot make a client for the API server; check certificates and credentials in the kubeconfig")]
    Client(#[source] kube::Error),
}

/// A client for the cluster that the kubeconfig (or the pod's service account) names, or for a context of the
/// kubeconfig. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`] where there is no usable configuration.
pub async fn connect(context: Option<&str>) -> Result<Client, ConnectError> {
    let config = match context {
        None => Config::infer().await.map_err(|error| {
            // It says all that its sources say, and each of them does so again.
            let kubeconfig = std::error::Error::source(&error).map(ToString::to_string);
            ConnectError::NoConfig(kubeconfig.unwrap_or_else(|| error.to_string()))
        })?,
        Some(context) => {
            let options =
                KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
            let unusable = |source| ConnectError::Context { context: context.to_owned(), source };
            Config::from_kubeconfig(&options).await.map_err(unusable)?
        }
    };
    Client::try_from(config).map_err(ConnectError::Client)
}

/// Pages of lists that may be in memory at a time.
const PAGES: usize = 3;

/// What to watch and where signals go.
pub struct Cluster<'a, C> {
    /// The API server.
    pub client: Client,
    /// What the cluster is called in signals.
    pub name: &'a str,
    /// Objects have no time of their own, they get it from here.
    pub clock: C,
    /// Takes the signals.
    pub signals: mpsc::Sender<Signal>,
    /// What was told before.
    pub remembered: Remembered,
    /// Says how each watch is doing.
    pub health: Health,
}

/// Watches events and objects of the whole cluster and sends them as signals, until the receiver is dropped. `report`
/// is told of each trouble once, and again only when it comes back after it had passed.
///
/// What is listed has state `listed`, what comes later `watched`. What a list no longer has is told as deleted, in
/// state `listed` and without its last state, which nobody has seen. Where changes may have been missed a signal of
/// source `gap` says of which kind and between which times.
pub async fn watch<C: Clock>(cluster: Cluster<'_, C>, report: impl Fn(&Trouble) + Send + Sync) {
    let Cluster { client, name, clock, signals, mut remembered, health } = cluster;
    let told = Told::new(&report);
    let pages = Semaphore::new(PAGES);
    let objects = kinds::WATCHED.iter().filter(|alternatives| !alternatives.iter().any(Resource::is_event));
    let started = Started::new(objects.count());
    let (owners, mut wanted) = Owners::new();
    let before = remembered.last();
    let (clock, told, health, pages, started, owners) = (&clock, &told, &health, &pages, &started, &owners);
    let watch = |counted| {
        let (client, signals) = (client.clone(), signals.clone());
        Watch { client, cluster: name, clock, signals, told, health, pages, started, owners, before, counted }
    };
    let mut all: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    for alternatives in kinds::WATCHED {
        let Some(first) = alternatives.first() else { continue };
        let counted = !first.is_event();
        all.push(watch(counted).run(alternatives.to_vec(), remembered.take(first)).boxed());
    }
    loop {
        tokio::select! {
            ended = all.next() => if ended.is_none() { return },
            Some(custom) = wanted.recv() => {
                let (watch, client, closed) = (watch(false), client.clone(), signals.clone());
                all.push(async move {
                    let found = tokio::select! {
                        () = closed.closed() => None,
                        found = custom.look_up(&client) => found,
                    };
                    if let Some(resource) = found {
                        watch.run(vec![resource], known::Known::default()).await;
                    }
                }.boxed());
            }
        }
    }
}

#[cfg(test)]
mod tests;
