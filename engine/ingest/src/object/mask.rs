//! Secrets in objects that are no Secrets: a password as the value of an environment variable, a token among the
//! arguments, a connection string in a ConfigMap or in the last words of a container.
//!
//! Looked at is where free text stands, since a large cluster has tens of thousands of objects, and nearly all of their
//! texts are names and numbers. Of kinds that are not known all is looked at.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::redact::{self, MASK};

/// Masks the secrets of an object.
pub(super) fn secrets(object: &mut Map<String, Value>) {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let parts: &[&str] = match kind {
        "ConfigMap" => &["data", "binaryData"],
        "PersistentVolume" => &["spec"],
        "StorageClass" => &["parameters"],
        // Pods and what has a template of them.
        "CronJob"
        | "DaemonSet"
        | "Deployment"
        | "Job"
        | "Pod"
        | "PodTemplate"
        | "ReplicaSet"
        | "ReplicationController"
        | "StatefulSet" => {
            template(object);
            &[]
        }
        "APIService"
        | "CSIDriver"
        | "CSINode"
        | "ClusterRole"
        | "ClusterRoleBinding"
        | "EndpointSlice"
        | "Endpoints"
        | "HorizontalPodAutoscaler"
        | "Ingress"
        | "IngressClass"
        | "Lease"
        | "LimitRange"
        | "MutatingWebhookConfiguration"
        | "Namespace"
        | "NetworkPolicy"
        | "Node"
        | "PersistentVolumeClaim"
        | "PodDisruptionBudget"
        | "PriorityClass"
        | "ResourceQuota"
        | "Role"
        | "RoleBinding"
        | "Service"
        | "ServiceAccount"
        | "ValidatingWebhookConfiguration"
        | "VolumeAttachment" => &[],
        _ => {
            let known = ["apiVersion", "kind", "metadata", "status"];
            object.iter_mut().filter(|(name, _)| !known.contains(&name.as_str())).for_each(
                |(name, value)| {
                    all(name, value);
                },
            );
            &[]
        }
    };
    for part in parts {
        if let Some(value) = object.get_mut(*part) {
            all(part, value);
        }
    }
    annotations(object);
    if let Some(status) = object.get_mut("status") {
        said(status);
    }
}

fn annotations(object: &mut Map<String, Value>) {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(annotations) = metadata.and_then(|metadata| metadata.get_mut("annotations")) {
        all("", annotations);
    }
}

/// Masks what stands in a template of pods, however deep it lies (`spec.jobTemplate.spec.template`), or in a pod.
fn template(object: &mut Map<String, Value>) {
    for step in ["spec", "template", "jobTemplate"] {
        if let Some(below) = object.get_mut(step).and_then(Value::as_object_mut) {
            annotations(below);
            template(below);
        }
    }
    for containers in ["containers", "initContainers", "ephemeralContainers"] {
        for container in object.get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten() {
            for part in
                ["env", "command", "args", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"]
            {
                if let Some(value) = container.get_mut(part) {
                    all(part, value);
                }
            }
        }
    }
}

/// Masks the messages of a status: the last words of containers, why something waits, what conditions say.
fn said(status: &mut Value) {
    match status {
        Value::Array(items) => items.iter_mut().for_each(said),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if name == "message" => mask(name, text),
                    // Hundreds of names on each node.
                    Value::Array(_) if name == "images" => {}
                    value => said(value),
                }
            }
        }
        _ => {}
    }
}

/// Masks the secrets of all texts within a value that stands under this name.
pub(super) fn all(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => mask(name, text),
        Value::Array(items) => list(items),
        Value::Object(fields) => {
            // An environment variable, a header of a probe.
            let named = match (fields.get("name"), fields.get("value")) {
                (Some(Value::String(name)), Some(Value::String(_))) => Some(name.clone()),
                _ => None,
            };
            for (name, value) in fields.iter_mut() {
                match (value, &named) {
                    (Value::String(text), Some(named)) if name == "value" => mask(named, text),
                    (value, _) => all(name, value),
                }
            }
        }
        _ => {}
    }
}

/// Masks the items of a list, of which one may name the next, as `--password` does.
fn list(items: &mut [Value]) {
    let mut flag: Option<String> = None;
    for item in items {
        let next = item.as_str().filter(|text| is_flag(text)).map(str::to_owned);
        match (item, flag.take()) {
            (Value::String(text), Some(flag)) if next.is_none() => mask(&flag, text),
            (item, _) => all("", item),
        }
        flag = next;
    }
}

fn is_flag(text: &str) -> bool {
    text.starts_with('-') && !text.contains(['=', ' '])
}

fn mask(name: &str, text: &mut String) {
    if is_header_of_secrets(name) {
        MASK.clone_into(text);
    } else if text.len() > CERTIFICATE.0.len() + CERTIFICATE.1.len() && text.contains(CERTIFICATE.0) {
        *text = between_certificates(text);
    } else if let Cow::Owned(clean) = redact::value(name, text) {
        *text = clean;
    }
}

/// How a certificate begins and ends.
const CERTIFICATE: (&str, &str) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");

/// Masks what stands around certificates. A log has no use for one, so there it goes with the keys that look the same; a
/// ConfigMap holds those whom somebody trusts, and that they were replaced may be the cause that is looked for.
fn between_certificates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, begun)) = rest.split_once(CERTIFICATE.0) {
        out += &redact::secrets(before);
        // Something else than a certificate, or half of one, is not let through in its frame.
        let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n' | b'\r');
        let (inside, after) = begun.split_once(CERTIFICATE.1).unwrap_or(("?", ""));
        if inside.bytes().all(base64) {
            out.extend([CERTIFICATE.0, inside, CERTIFICATE.1]);
        } else {
            out += MASK;
        }
        rest = after;
    }
    out + &redact::secrets(rest)
}

fn is_header_of_secrets(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
