//! Which other objects an object refers to, read from its JSON.

use kwhy_proto::v1::ObjectRef;
use serde::{Deserialize, Serialize};

use crate::{
    json::Json,
    key::Key,
    object::{Object, items, text},
};

/// A kind of edge. `forward` is what an edge is called from the object that holds the reference, `backward` from the
/// object that is referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Relation {
    Owner,
    Node,
    Uses,
    Scales,
    Selects,
}

impl Relation {
    pub(crate) const ALL: [Self; 5] = [Self::Owner, Self::Node, Self::Uses, Self::Scales, Self::Selects];

    pub(crate) fn forward(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Node => "node",
            Self::Uses => "uses",
            Self::Scales => "scales",
            Self::Selects => "selects",
        }
    }

    pub(crate) fn backward(self) -> &'static str {
        match self {
            Self::Owner => "owned",
            Self::Node => "pod",
            Self::Uses => "used-by",
            Self::Scales => "scaled-by",
            Self::Selects => "selected-by",
        }
    }
}

/// Everything that `object` names, sorted, without repeats. Selectors name no object and are not here.
pub(crate) fn references(object: &Object) -> Vec<(Relation, Key)> {
    let mut out: Vec<(Relation, Key)> = Vec::new();
    let namespace = object.key.namespace.as_str();
    let mut add = |relation: Relation, kind: &str, namespace: &str, name: &str| {
        if !name.is_empty() {
            out.push((relation, Key::new(kind, namespace, name)));
        }
    };
    if let Some(ObjectRef { kind, namespace, name, .. }) = object.owner() {
        add(Relation::Owner, &kind, &namespace, &name);
    }
    match object.key.kind.as_str() {
        "Pod" => {
            add(Relation::Node, "Node", "", object.str("/spec/nodeName"));
            pod_uses(object.at("/spec"), namespace, &mut add);
        }
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => {
            pod_uses(object.at("/spec/template/spec"), namespace, &mut add);
            add(Relation::Uses, "Service", namespace, object.str("/spec/serviceName"));
        }
        "CronJob" => pod_uses(object.at("/spec/jobTemplate/spec/template/spec"), namespace, &mut add),
        "HorizontalPodAutoscaler" => add(
            Relation::Scales,
            object.str("/spec/scaleTargetRef/kind"),
            namespace,
            object.str("/spec/scaleTargetRef/name"),
        ),
        "PersistentVolumeClaim" => {
            add(Relation::Uses, "PersistentVolume", "", object.str("/spec/volumeName"));
            add(Relation::Uses, "StorageClass", "", object.str("/spec/storageClassName"));
        }
        "PersistentVolume" => {
            add(Relation::Uses, "StorageClass", "", object.str("/spec/storageClassName"));
        }
        "VolumeAttachment" => {
            add(Relation::Node, "Node", "", object.str("/spec/nodeName"));
            add(Relation::Uses, "PersistentVolume", "", object.str("/spec/source/persistentVolumeName"));
        }
        "Endpoints" => add(Relation::Uses, "Service", namespace, &object.key.name),
        "EndpointSlice" => {
            let service = object.labels().get("kubernetes.io/service-name").copied().unwrap_or("");
            add(Relation::Uses, "Service", namespace, service);
        }
        "APIService" => {
            let service = object.str("/spec/service/namespace");
            add(Relation::Uses, "Service", service, object.str("/spec/service/name"));
        }
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
            for hook in object.list("/webhooks") {
                let service = hook.pointer("/clientConfig/service");
                let field = |name| text(service.and_then(|s| s.get(name)));
                add(Relation::Uses, "Service", field("namespace"), field("name"));
            }
        }
        "Ingress" => {
            let rules = object.list("/spec/rules").iter().flat_map(|r| items(r.pointer("/http/paths")));
            for backend in rules.filter_map(|p| p.get("backend")).chain(object.at("/spec/defaultBackend")) {
                let name = text(backend.pointer("/service/name"));
                add(
                    Relation::Uses,
                    "Service",
                    namespace,
                    if name.is_empty() { text(backend.get("serviceName")) } else { name },
                );
            }
        }
        _ => {}
    }
    out.sort();
    out.dedup();
    out
}

fn pod_uses(spec: Option<&Json>, namespace: &str, add: &mut impl FnMut(Relation, &str, &str, &str)) {
    let Some(spec) = spec else { return };
    let mut uses = |kind: &str, name: &str| add(Relation::Uses, kind, namespace, name);
    uses("ServiceAccount", text(spec.get("serviceAccountName")));
    let volumes = items(spec.get("volumes")).iter();
    let projected = volumes.clone().flat_map(|v| items(v.pointer("/projected/sources")));
    for volume in volumes.chain(projected) {
        uses("ConfigMap", text(volume.pointer("/configMap/name")));
        let secret = text(volume.pointer("/secret/secretName"));
        uses("Secret", if secret.is_empty() { text(volume.pointer("/secret/name")) } else { secret });
        uses("PersistentVolumeClaim", text(volume.pointer("/persistentVolumeClaim/claimName")));
    }
    for container in ["containers", "initContainers"].iter().flat_map(|list| items(spec.get(list))) {
        for env in items(container.get("env")) {
            uses("ConfigMap", text(env.pointer("/valueFrom/configMapKeyRef/name")));
            uses("Secret", text(env.pointer("/valueFrom/secretKeyRef/name")));
        }
        for from in items(container.get("envFrom")) {
            uses("ConfigMap", text(from.pointer("/configMapRef/name")));
            uses("Secret", text(from.pointer("/secretRef/name")));
        }
    }
    for secret in items(spec.get("imagePullSecrets")) {
        uses("Secret", text(secret.get("name")));
    }
}

/// Kinds that select pods by labels.
pub(crate) const SELECTING: [&str; 3] = ["Service", "PodDisruptionBudget", "NetworkPolicy"];

/// The labels by which an object selects pods, where it does: Services, PodDisruptionBudgets, NetworkPolicies.
/// None where it selects nothing (a Service without a selector is fed by hand).
pub(crate) fn selector(object: &Object) -> Option<&Json> {
    let selector = match object.key.kind.as_str() {
        "Service" => object.at("/spec/selector")?,
        "PodDisruptionBudget" => object.at("/spec/selector")?,
        "NetworkPolicy" => object.at("/spec/podSelector")?,
        _ => return None,
    };
    // An empty one selects every pod of the namespace, but of a Service none.
    let service = object.key.kind == "Service";
    selector.as_object().filter(|s| !service || !s.is_empty())?;
    Some(selector)
}

/// The labels that a selector asks for by value: all of it in the plain form of Services, else its matchLabels.
pub(crate) fn labels_asked(selector: &Json) -> Option<&Json> {
    let labelled = selector.get("matchLabels");
    if labelled.is_none() && selector.get("matchExpressions").is_none() { Some(selector) } else { labelled }
}

/// Whether a pod's labels meet a selector, in the plain form of Services or with matchLabels/matchExpressions.
pub(crate) fn selects(selector: &Json, pod: &Object) -> bool {
    let labels = pod.at("/metadata/labels");
    let label = |name: &str| labels.and_then(|l| l.get(name)).and_then(Json::as_str);
    let plain = |map: &Json| map.as_object().into_iter().flatten().all(|(name, v)| label(name) == v.as_str());
    let labels_meet = labels_asked(selector).is_none_or(plain);
    labels_meet
        && items(selector.get("matchExpressions")).iter().all(|e| {
            let value = label(text(e.get("key")));
            let listed = |v: &str| items(e.get("values")).iter().any(|x| x.as_str() == Some(v));
            match text(e.get("operator")) {
                "In" => value.is_some_and(listed),
                "NotIn" => !value.is_some_and(listed),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
