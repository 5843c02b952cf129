//! Custom resources that own what is watched: a Rollout its ReplicaSets, an operator's database its StatefulSet. Their
//! kinds are nobody's to know beforehand, so they are looked up when the first object names one as its controller, and
//! watched by their metadata alone.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use kube::Client;
use tokio::sync::mpsc;

use super::{Resource, item::Item, kinds::WATCHED, retry::Retry};

/// Most custom kinds that are watched.
const MOST: usize = 32;

/// A kind as an owner reference names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    group: String,
    version: String,
    kind: String,
}

/// Collects the custom kinds that own something.
pub(crate) struct Owners {
    seen: Mutex<BTreeSet<(String, String)>>,
    wanted: mpsc::UnboundedSender<Named>,
}

impl Owners {
    /// With where each kind comes out, once.
    pub(crate) fn new() -> (Owners, mpsc::UnboundedReceiver<Named>) {
        let (wanted, out) = mpsc::unbounded_channel();
        (Owners { seen: Mutex::default(), wanted }, out)
    }

    pub(crate) fn note(&self, item: &Item) {
        let Some((api_version, kind)) = item.controller() else { return };
        let Some((group, version)) = api_version.split_once('/') else { return };
        if !is_custom(group, kind) {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MOST && seen.insert((group.to_owned(), kind.to_owned())) {
            let (group, version) = (group.to_owned(), version.to_owned());
            // Nobody wants it any more only when all ends.
            let _ = self.wanted.send(Named { group, version, kind: kind.to_owned() });
        }
    }
}

/// Groups of Kubernetes itself have no dot or end in `.k8s.io`; those of its sub-projects end in `x-k8s.io`.
fn is_custom(group: &str, kind: &str) -> bool {
    let own = !group.contains('.') || group.ends_with(".k8s.io");
    let watched = || WATCHED.iter().flat_map(|all| all.iter()).any(|r| r.group == group && r.kind == kind);
    !own && !watched()
}

impl Named {
    /// What the API server calls it in paths. Asks until there is an answer; none where it does not serve such a kind.
    pub(crate) async fn look_up(&self, client: &Client) -> Option<Resource> {
        let Named { group, version, kind } = self;
        let mut retry = Retry::default();
        let served = loop {
            match client.list_api_group_resources(&format!("{group}/{version}")).await {
                Ok(served) => break served,
                // Whoever made the object has gone, and its kind with it.
                Err(kube::Error::Api(status)) if status.code == 404 => return None,
                Err(error) => {
                    tracing::debug!(group, kind, %error, "The API server does not say what it serves.")
                }
            }
            retry.wait().await;
        };
        let found = served.resources.into_iter().find(|r| r.kind == *kind && !r.name.contains('/'))?;
        Some(Resource {
            group: group.clone().into(),
            version: version.clone().into(),
            kind: kind.clone().into(),
            plural: found.name.into(),
            metadata_only: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owned_by(api_version: &str, kind: &str) -> Item {
        let owner = json!({"apiVersion": api_version, "kind": kind, "name": "o", "controller": true});
        Item::new(&WATCHED[0][0], json!({"metadata": {"name": "x", "ownerReferences": [owner]}}))
    }

    #[test]
    fn a_custom_kind_comes_out_once_and_others_never() {
        let (owners, mut out) = Owners::new();
        for (api_version, kind) in [
            ("apps/v1", "ReplicaSet"),
            ("v1", "Node"),
            ("node.k8s.io/v1", "RuntimeClass"),
            ("argoproj.io/v1alpha1", "Rollout"),
            ("argoproj.io/v1alpha1", "Rollout"),
            ("cluster.x-k8s.io/v1beta1", "Machine"),
        ] {
            owners.note(&owned_by(api_version, kind));
        }
        let mut kinds = Vec::new();
        while let Ok(named) = out.try_recv() {
            kinds.push(named.kind);
        }
        assert_eq!(kinds, ["Rollout", "Machine"]);
    }

    #[test]
    fn there_is_a_limit_to_custom_kinds() {
        let (owners, mut out) = Owners::new();
        for n in 0..MOST + 5 {
            owners.note(&owned_by("example.com/v1", &format!("Kind{n}")));
        }
        assert_eq!(std::iter::from_fn(|| out.try_recv().ok()).count(), MOST);
    }
}
