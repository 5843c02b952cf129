//! Which objects an object names: owners, node, what a pod uses, what is scaled, what is selected.

use serde_json::Value;

use crate::ObjectRef;

fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(json: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    json.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Kind, namespace, name and uid of an object's JSON.
pub(crate) fn id_of(json: &Value) -> ObjectRef {
    ObjectRef {
        uid: text(json, "/metadata/uid").into(),
        ..ObjectRef::new(text(json, "/kind"), text(json, "/metadata/namespace"), text(json, "/metadata/name"))
    }
}

/// The relation as seen from the other end.
pub(crate) fn inverse(relation: &str) -> &'static str {
    match relation {
        "owner" => "owned",
        "node" => "pod",
        "uses" => "used-by",
        "scales" => "scaled-by",
        "selects" => "selected-by",
        _ => "",
    }
}

/// What `json` refers to by name.
pub(crate) fn references(json: &Value) -> Vec<(&'static str, ObjectRef)> {
    let namespace = text(json, "/metadata/namespace");
    let mut out = Vec::new();
    let owners: Vec<&Value> = list(json, "/metadata/ownerReferences").collect();
    if let Some(owner) =
        owners.iter().find(|o| o.get("controller") == Some(&Value::Bool(true))).or(owners.first())
    {
        let kind = text(owner, "/kind");
        out.push((
            "owner",
            ObjectRef::new(kind, if kind == "Node" { "" } else { namespace }, text(owner, "/name")),
        ));
    }
    let spec = match text(json, "/kind") {
        "Pod" => {
            out.push(("node", ObjectRef::new("Node", "", text(json, "/spec/nodeName"))));
            "/spec"
        }
        "HorizontalPodAutoscaler" => {
            let target = "/spec/scaleTargetRef";
            let (kind, name) = (text(json, &format!("{target}/kind")), text(json, &format!("{target}/name")));
            out.push(("scales", ObjectRef::new(kind, namespace, name)));
            ""
        }
        "APIService" => {
            let service = (text(json, "/spec/service/namespace"), text(json, "/spec/service/name"));
            out.push(("uses", ObjectRef::new("Service", service.0, service.1)));
            ""
        }
        "Ingress" => {
            let paths = list(json, "/spec/rules").flat_map(|rule| list(rule, "/http/paths"));
            let names = paths.map(|path| text(path, "/backend/service/name"));
            out.extend(names.map(|name| ("uses", ObjectRef::new("Service", namespace, name))));
            ""
        }
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    let volumes = list(json, &format!("{spec}/volumes"))
        .flat_map(|v| std::iter::once(v).chain(list(v, "/projected/sources")));
    for volume in volumes {
        out.push(("uses", ObjectRef::new("ConfigMap", namespace, text(volume, "/configMap/name"))));
        out.push(("uses", ObjectRef::new("Secret", namespace, text(volume, "/secret/secretName"))));
        let claim = text(volume, "/persistentVolumeClaim/claimName");
        out.push(("uses", ObjectRef::new("PersistentVolumeClaim", namespace, claim)));
    }
    for container in list(json, &format!("{spec}/containers")) {
        for env in list(container, "/env").chain(list(container, "/envFrom")) {
            for (kind, pointer) in [("ConfigMap", "configMap"), ("Secret", "secret")] {
                let key = text(env, &format!("/valueFrom/{pointer}KeyRef/name"));
                out.push(("uses", ObjectRef::new(kind, namespace, key)));
                out.push((
                    "uses",
                    ObjectRef::new(kind, namespace, text(env, &format!("/{pointer}Ref/name"))),
                ));
            }
        }
    }
    out.retain(|(_, o)| !o.name.is_empty());
    out
}

/// Whether `json` is something that selects pods by label and selects this one.
pub(crate) fn selects(json: &Value, pod: &Value) -> bool {
    let selector = match text(json, "/kind") {
        "Service" => json.pointer("/spec/selector"),
        "PodDisruptionBudget" => json.pointer("/spec/selector/matchLabels"),
        "NetworkPolicy" => json.pointer("/spec/podSelector/matchLabels"),
        _ => None,
    };
    let Some(labels) = selector.and_then(Value::as_object).filter(|s| !s.is_empty()) else { return false };
    text(pod, "/kind") == "Pod"
        && text(pod, "/metadata/namespace") == text(json, "/metadata/namespace")
        && labels.iter().all(|(k, v)| pod.pointer("/metadata/labels").and_then(|l| l.get(k)) == Some(v))
}
