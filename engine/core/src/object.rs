//! One object as the graph stores it, and how its JSON is read: nothing here panics on a missing or odd field.

use std::collections::BTreeMap;

use crate::{
    json::Json,
    key::Key,
    relation::{Relation, references},
};
use kwhy_proto::v1::ObjectRef;

/// A stored state of an object, with the log times between which it stood in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) json: Json,
    /// Log time of the deletion; a deleted object is kept for the history window.
    pub(crate) deleted: Option<u64>,
    /// What it names, sorted, each once.
    pub(crate) names: Vec<(Relation, Key)>,
}

impl Object {
    pub(crate) fn new(key: Key, resource_version: &str, json: Json, deleted: Option<u64>) -> Self {
        let uid = text(json.pointer("/metadata/uid")).to_owned();
        let resource_version = resource_version.to_owned();
        let mut object = Self { key, uid, resource_version, json, deleted, names: Vec::new() };
        object.names = references(&object);
        object
    }

    pub(crate) fn to_ref(&self) -> ObjectRef {
        ObjectRef { uid: self.uid.clone(), ..self.key.to_ref() }
    }

    /// The value at an RFC 6901 pointer.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Json> {
        self.json.pointer(pointer)
    }

    /// The string at a pointer; empty where there is none.
    pub(crate) fn str(&self, pointer: &str) -> &str {
        text(self.at(pointer))
    }

    /// The number at a pointer; 0 where there is none, as Kubernetes omits zeroes.
    pub(crate) fn int(&self, pointer: &str) -> i64 {
        self.at(pointer).and_then(Json::as_i64).unwrap_or(0)
    }

    pub(crate) fn list(&self, pointer: &str) -> &[Json] {
        items(self.at(pointer))
    }

    pub(crate) fn labels(&self) -> BTreeMap<&str, &str> {
        string_map(self.at("/metadata/labels"))
    }

    /// The controller among the owner references, else the first of them.
    pub(crate) fn owner(&self) -> Option<ObjectRef> {
        let owners = self.list("/metadata/ownerReferences");
        let owner =
            owners.iter().find(|o| o.get("controller") == Some(&Json::Bool(true))).or(owners.first())?;
        let (kind, name) = (text(owner.get("kind")), text(owner.get("name")));
        if kind.is_empty() || name.is_empty() {
            return None;
        }
        // Owners stand in the namespace of what they own, unless they have none.
        let namespace = if cluster_scoped(kind) { "" } else { &self.key.namespace };
        Some(ObjectRef { uid: text(owner.get("uid")).to_owned(), ..Key::new(kind, namespace, name).to_ref() })
    }

    /// Status of the condition of that type: `True`, `False`, `Unknown`, or empty where there is none.
    pub(crate) fn condition(&self, kind: &str) -> &str {
        let found = self.list("/status/conditions").iter().find(|c| text(c.get("type")) == kind);
        text(found.and_then(|c| c.get("status")))
    }
}

/// Kinds that stand in no namespace and can own or be referred to.
pub(crate) fn cluster_scoped(kind: &str) -> bool {
    matches!(
        kind,
        "Node"
            | "Namespace"
            | "PersistentVolume"
            | "StorageClass"
            | "APIService"
            | "CSINode"
            | "CSIDriver"
            | "VolumeAttachment"
            | "ValidatingWebhookConfiguration"
            | "MutatingWebhookConfiguration"
            | "CustomResourceDefinition"
            | "PriorityClass"
            | "ClusterRole"
            | "ClusterRoleBinding"
    )
}

pub(crate) fn text(value: Option<&Json>) -> &str {
    value.and_then(Json::as_str).unwrap_or("")
}

pub(crate) fn items(value: Option<&Json>) -> &[Json] {
    value.and_then(Json::as_array).unwrap_or(&[])
}

pub(crate) fn string_map(value: Option<&Json>) -> BTreeMap<&str, &str> {
    let entries = value.and_then(Json::as_object).into_iter().flatten();
    entries.filter_map(|(k, v)| Some((&**k, v.as_str()?))).collect()
}
