//! Watches of the Kubernetes API: the cluster's events and the objects that the graph is made of.
//!
//! Every kind is watched for itself; one that may not be read, or is not there, is told once and tried again while the
//! others go on. After a break a watch lists anew; a state that was told before has the same id
//! (`uid/resourceVersion`), so telling it again does no harm. What an object is trimmed to, a Secret to its key names
//! above all, is [`kwhy_ingest::object`]'s business and happens before a signal is made.

mod access;
mod kinds;
mod logs;
mod told;
mod trouble;
mod watch;

pub use access::{Refused, refused};
pub use kinds::Resource;
pub use logs::{NoLog, answer as answer_logs};
pub use trouble::Trouble;

use futures::future::join_all;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, KubeconfigError},
};
use kwhy_proto::v1::Signal;
use tokio::sync::mpsc;

use self::{told::Told, watch::Watch};
use crate::clock::Clock;

/// Directives for the log filter that must always be set. kube's own lines repeat at every attempt what is told here
/// once as [`Trouble`]; worse, of an answer that it cannot read it logs the whole body, and that may be a list of Secrets.
pub const LOG_FILTER: [&str; 2] = ["kube_client=off", "kube_runtime=off"];

/// Why there is no client for the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor the account of a pod.
    #[error("no cluster to watch: set KUBECONFIG or run in a pod with a service account")]
    NoConfig(#[source] kube::config::InferConfigError),
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
        None => Config::infer().await.map_err(ConnectError::NoConfig)?,
        Some(context) => {
            let options =
                KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
            let unusable = |source| ConnectError::Context { context: context.to_owned(), source };
            Config::from_kubeconfig(&options).await.map_err(unusable)?
        }
    };
    Client::try_from(config).map_err(ConnectError::Client)
}

/// Watches events and objects of the whole cluster and sends them as signals, until the receiver is dropped. Objects
/// have no time of their own, they get it from `clock`. `report` is told of each trouble once, and again only when it
/// comes back after it had passed.
///
/// What is listed has state `listed`, what comes later `watched`.
pub async fn watch(
    client: Client,
    cluster: &str,
    clock: impl Clock,
    signals: mpsc::Sender<Signal>,
    report: impl Fn(&Trouble) + Send + Sync,
) {
    let told = Told::new(&report);
    join_all(kinds::WATCHED.iter().map(|alternatives| {
        Watch { client: client.clone(), cluster, clock: &clock, signals: signals.clone(), told: &told }
            .run(alternatives)
    }))
    .await;
}

#[cfg(test)]
mod tests;
