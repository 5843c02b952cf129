//! Objects and events into `objects.json` and `events.json`.

use std::borrow::Cow;

use kwhy_ingest::{object, redact, time};
use kwhy_proto::millis;
use serde_json::Value;

use super::{
    SnapshotError, Wanted,
    api::{Api, Failed},
    containers::{self, Log},
    file::List,
};
use crate::kube::{Resource, WATCHED};

/// Kinds that are in no namespace.
const CLUSTER_WIDE: [&str; 11] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// Lists that are being written, and what of them is asked for later.
pub(super) struct Objects {
    objects: List,
    events: List,
    namespaces: Vec<String>,
    /// Pods less all but their names and status.
    pods: Vec<Value>,
    nodes: Vec<String>,
    /// When the oldest event was written, ms.
    oldest_event: Option<u64>,
}

impl Objects {
    pub(super) fn new(wanted: &Wanted) -> Result<Self, SnapshotError> {
        Ok(Self {
            objects: List::create(&wanted.dir.join("objects.json"))?,
            events: List::create(&wanted.dir.join("events.json"))?,
            namespaces: wanted.namespaces.clone(),
            pods: Vec::new(),
            nodes: Vec::new(),
            oldest_event: None,
        })
    }

    /// Reads all kinds that there are rules for.
    pub(super) async fn read(&mut self, api: &Api, left_out: &impl Fn(&str)) -> Result<(), SnapshotError> {
        for alternatives in WATCHED {
            let mut refused = None;
            for resource in *alternatives {
                match self.kind(api, resource, left_out).await? {
                    Ok(()) => {
                        refused = None;
                        break;
                    }
                    // A permission is easier to give than an API to serve.
                    Err(Failed::Missing) => {
                        refused = refused.or(Some((resource, Failed::Missing)));
                    }
                    Err(failed) => refused = Some((resource, failed)),
                }
            }
            match refused {
                Some((resource, Failed::Forbidden)) => left_out(&format!(
                    "{resource}: not granted (`kubectl auth can-i list {}`)",
                    qualified(resource)
                )),
                Some((resource, Failed::Other(reason))) => left_out(&format!("{resource}: {reason}")),
                Some((resource, Failed::Missing)) => tracing::debug!(%resource, "Not served."),
                Some((_, Failed::All(error))) => return Err(error.into()),
                None => {}
            }
        }
        Ok(())
    }

    /// Reads one kind: of all namespaces, or of those that were named. Who may not read all may read the namespace that
    /// the kubeconfig names.
    async fn kind(
        &mut self,
        api: &Api,
        resource: &Resource,
        left_out: &impl Fn(&str),
    ) -> Result<Result<(), Failed>, SnapshotError> {
        let kind: &str = &resource.kind;
        if CLUSTER_WIDE.contains(&kind) {
            return self.list(api, resource, None).await;
        }
        if self.namespaces.is_empty() {
            return match self.list(api, resource, None).await? {
                Err(Failed::Forbidden) => {
                    let own = api.default_namespace().to_owned();
                    let listed = self.list(api, resource, Some(&own)).await?;
                    if listed.is_ok() {
                        left_out(&format!(
                            "{resource}: of namespace {own} alone; those of others are not granted"
                        ));
                    }
                    Ok(listed)
                }
                other => Ok(other),
            };
        }
        for namespace in self.namespaces.clone() {
            if let Err(failed) = self.list(api, resource, Some(&namespace)).await? {
                return Ok(Err(failed));
            }
        }
        Ok(Ok(()))
    }

    async fn list(
        &mut self,
        api: &Api,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> Result<Result<(), Failed>, SnapshotError> {
        let path = path(resource, namespace);
        // Those that can hold a megabyte each come in small pages.
        let limit = if resource.kind == "ConfigMap" || resource.kind == "Secret" { 50 } else { 500 };
        let mut after = None;
        loop {
            let page = match api.page(&path, limit, after.as_deref()).await {
                Ok(page) => page,
                Err(Failed::All(error)) => return Err(error.into()),
                Err(failed) => return Ok(Err(failed)),
            };
            after = page.next();
            for item in page.items.into_iter().flatten() {
                self.take(resource, item)?;
            }
            if after.is_none() {
                return Ok(Ok(()));
            }
        }
    }

    fn take(&mut self, resource: &Resource, mut item: Value) -> Result<(), SnapshotError> {
        // The items of a list do not say what they are.
        if let Some(item) = item.as_object_mut() {
            item.insert("apiVersion".to_owned(), Value::from(resource.api_version()));
            item.insert("kind".to_owned(), Value::from(resource.kind.to_string()));
        }
        object::trim(&mut item);
        if resource.kind == "Event" {
            for words in ["message", "note"] {
                if let Some(Value::String(said)) = item.get_mut(words)
                    && let Cow::Owned(clean) = redact::secrets(said)
                {
                    *said = clean;
                }
            }
            let written = item.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
            let written = written.and_then(time::parse).as_ref().map(millis);
            self.oldest_event = self.oldest_event.into_iter().chain(written).min();
            return self.events.add(&item);
        }
        self.objects.add(&item)?;
        if resource.kind == "Pod" {
            if let Some(pod) = item.as_object_mut() {
                pod.remove("spec");
            }
            self.pods.push(item);
        } else if resource.kind == "Node" {
            let name = item.pointer("/metadata/name").and_then(Value::as_str);
            self.nodes.extend(name.map(str::to_owned));
        }
        Ok(())
    }

    /// The logs of pods to take.
    pub(super) fn containers(&self, logs_of: &[String]) -> Vec<Log> {
        let wants = |pod: &Value| {
            let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
            logs_of.iter().any(|of| of == namespace)
        };
        self.pods.iter().flat_map(|pod| containers::logs(pod, wants(pod))).collect()
    }

    /// The nodes of the cluster.
    pub(super) fn nodes(&self) -> Vec<String> {
        self.nodes.clone()
    }

    /// When the oldest event was written, ms.
    pub(super) fn oldest_event(&self) -> Option<u64> {
        self.oldest_event
    }

    /// Ends both files; gives the numbers of objects and events.
    pub(super) fn finish(self) -> Result<(usize, usize), SnapshotError> {
        Ok((self.objects.finish()?, self.events.finish()?))
    }
}

fn path(resource: &Resource, namespace: Option<&str>) -> String {
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
    format!("{root}/{}{within}/{}", resource.api_version(), resource.plural)
}

/// As kubectl takes it: `deployments.apps`.
fn qualified(resource: &Resource) -> String {
    if resource.group.is_empty() {
        resource.plural.to_string()
    } else {
        format!("{}.{}", resource.plural, resource.group)
    }
}
