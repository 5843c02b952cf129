//! Objects as `kubectl get -o json` lists them and as a watch reports them.
//!
//! An object keeps its JSON, less what nobody reads: `managedFields`, `selfLink` and copies of what was applied. Of a Secret
//! only the key names stay; its values are gone before anything is stored, and so are secrets that stand in other objects
//! where they should not (`object/mask.rs`). The content is data, not text to print: a
//! zero-width character in a ConfigMap can be the very cause that is looked for, so whoever prints a part of it makes
//! it safe.

use kwhy_proto::{
    Timestamp, millis,
    v1::{ObjectChange, ObjectRef, Signal, signal::Body},
};
use serde_json::{Map, Value};

mod mask;

use crate::{text, time};

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It is there.
    Added,
    /// It is there in another state.
    Modified,
    /// It is gone; the object is its last state.
    Deleted,
}

impl Verb {
    /// As a watch event spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    /// The verb of a watch event's `type`; `None` for `BOOKMARK`, which says nothing of an object.
    ///
    /// # Errors
    /// [`BadObject::Type`] for any other, `ERROR` above all.
    pub fn of(name: &str) -> Result<Option<Self>, BadObject> {
        match name {
            "ADDED" => Ok(Some(Self::Added)),
            "MODIFIED" => Ok(Some(Self::Modified)),
            "DELETED" => Ok(Some(Self::Deleted)),
            "BOOKMARK" => Ok(None),
            _ => Err(BadObject::Type),
        }
    }
}

/// How an object became known: the state of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// In a list; when it got this way is not known.
    Listed,
    /// By a watch event, as it happened.
    Watched,
}

/// Why a value is not an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadObject {
    /// `kind` is missing.
    #[error("an object without kind")]
    Kind,
    /// `metadata.name` is missing.
    #[error("an object without metadata.name")]
    Name,
    /// A list stands where an object should.
    #[error("a list inside a list")]
    List,
    /// A watch event of an unknown type.
    #[error("a watch event whose type is not ADDED, MODIFIED, DELETED or BOOKMARK")]
    Type,
}

/// What identifies an object.
///
/// # Errors
/// [`BadObject`] where the value has no kind or name.
pub fn reference(object: &Value) -> Result<ObjectRef, BadObject> {
    let kind = text_at(object, "/kind");
    if kind.is_empty() {
        return Err(BadObject::Kind);
    }
    if kind.ends_with("List") && object.get("items").is_some() {
        return Err(BadObject::List);
    }
    let name = text_at(object, "/metadata/name");
    if name.is_empty() {
        return Err(BadObject::Name);
    }
    Ok(ObjectRef {
        kind: text::name(kind),
        namespace: text::name(text_at(object, "/metadata/namespace")),
        name: text::name(name),
        uid: text::name(text_at(object, "/metadata/uid")),
    })
}

/// One state of an object as signal `object/<uid>/<resourceVersion, 20 digits>`. A deletion gets `/deleted` behind that,
/// as it may carry the resourceVersion of the state before it and must not be taken for that.
///
/// # Errors
/// [`BadObject`] where the value is not an object of Kubernetes.
pub fn signal(
    cluster: &str,
    verb: Verb,
    seen: Seen,
    at: Timestamp,
    mut object: Value,
) -> Result<Signal, BadObject> {
    let subject = reference(&object)?;
    trim(&mut object);
    let version = text::name(text_at(&object, "/metadata/resourceVersion"));
    // Without a version two states are told apart by their times.
    let order = if version.is_empty() { millis(&at).to_string() } else { version.clone() };
    let deleted = if verb == Verb::Deleted { "/deleted" } else { "" };
    // A value can always be written. Of a large cluster these texts are most of what a capture is in memory.
    let mut json = serde_json::to_string(&object).unwrap_or_default();
    json.shrink_to_fit();
    Ok(Signal {
        id: format!("object/{}/{order:0>20}{deleted}", identity(&subject)),
        cluster: cluster.to_owned(),
        source: "object".to_owned(),
        name: verb.name().to_owned(),
        state: match seen {
            Seen::Listed => "listed",
            Seen::Watched => "watched",
        }
        .to_owned(),
        at: Some(at),
        subject: Some(subject),
        body: Some(Body::Object(ObjectChange { json, resource_version: version })),
        ..Signal::default()
    })
}

/// Where a controller or a kubelet notes when it has written something of an object.
const WRITTEN: [&str; 7] = [
    "completionTime",
    "finishedAt",
    "lastHeartbeatTime",
    "lastTransitionTime",
    "lastUpdateTime",
    "startTime",
    "startedAt",
];

/// The last time, in ms, that stands in the object as one at which it was written.
pub(crate) fn written(object: &Value) -> Option<u64> {
    fn last(value: &Value) -> Option<u64> {
        match value {
            Value::Array(items) => items.iter().filter_map(last).max(),
            Value::Object(fields) => fields
                .iter()
                .filter_map(|(name, value)| match value {
                    Value::String(text) if WRITTEN.contains(&name.as_str()) => {
                        time::parse(text).as_ref().map(millis)
                    }
                    value => last(value),
                })
                .max(),
            _ => None,
        }
    }
    last(object.get("status")?)
}

/// The uid, or kind, namespace and name where a hand-made file has none.
pub(crate) fn identity(object: &ObjectRef) -> String {
    if object.uid.is_empty() {
        format!("{}:{}:{}", object.kind, object.namespace, object.name)
    } else {
        object.uid.clone()
    }
}

/// Whether an annotation is a copy of the whole object, as kubectl, kapp, Rancher and others keep one.
fn is_copy(name: &str, value: &Value) -> bool {
    let looks_so = |text: &str| text.starts_with('{') && text.contains("\"apiVersion\"");
    name.contains("last-applied")
        || matches!(name, "objectset.rio.cattle.io/applied" | "kapp.k14s.io/original")
        || value.as_str().is_some_and(looks_so)
}

/// Takes out what is not kept, and masks secrets.
pub fn trim(object: &mut Value) {
    let secret = object.get("kind").and_then(Value::as_str) == Some("Secret");
    let Some(object) = object.as_object_mut() else { return };
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("selfLink");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, value| !is_copy(name, value));
        }
        // Tools other than kubectl keep copies of what they applied, too.
        if secret && let Some(annotations) = metadata.get_mut("annotations") {
            forget(annotations);
        }
    }
    if secret {
        for (key, value) in object.iter_mut() {
            if !matches!(key.as_str(), "kind" | "apiVersion" | "metadata" | "type" | "immutable") {
                forget(value);
            }
        }
        return;
    }
    mask::secrets(object);
}

/// Masks the secrets of all texts within a value that is no object of Kubernetes, as an alert.
pub fn mask(value: &mut Value) {
    mask::all("", value);
}

/// Leaves the keys and makes every value null.
fn forget(value: &mut Value) {
    let keys = value.as_object_mut().map(std::mem::take).unwrap_or_default();
    *value = if keys.is_empty() {
        Value::Null
    } else {
        Value::Object(keys.into_iter().map(|(key, _)| (key, Value::Null)).collect::<Map<_, _>>())
    };
}

pub(crate) fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::time;

    fn at() -> Timestamp {
        time::parse("2020-04-24T12:30:00Z").unwrap()
    }

    fn change(object: Value) -> (Signal, Value) {
        let signal = signal("c", Verb::Modified, Seen::Watched, at(), object).unwrap();
        let Some(Body::Object(change)) = &signal.body else { panic!("no object") };
        let json = serde_json::from_str(&change.json).unwrap();
        (signal, json)
    }

    #[test]
    fn what_nobody_reads_is_trimmed() {
        let (signal, json) = change(json!({"kind": "ConfigMap", "data": {"a": "b"}, "metadata": {
            "name": "n", "namespace": "ns", "uid": "u-1", "resourceVersion": "42", "selfLink": "/x",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "keep": "me"}}}));
        assert_eq!(
            json,
            json!({"kind": "ConfigMap", "data": {"a": "b"}, "metadata": {
            "name": "n", "namespace": "ns", "uid": "u-1", "resourceVersion": "42", "annotations": {"keep": "me"}}})
        );
        assert_eq!(signal.id, "object/u-1/00000000000000000042");
        assert_eq!((signal.name.as_str(), signal.state.as_str()), ("MODIFIED", "watched"));
    }

    #[test]
    fn of_a_secret_only_key_names_stay() {
        let (signal, json) =
            change(json!({"kind": "Secret", "type": "Opaque", "data": {"password": "Y2FuYXJ5"},
            "stringData": {"token": "canary"}, "unknownField": {"x": {"y": "canary"}}, "another": "canary",
            "metadata": {"name": "n", "annotations": {"tool/applied": "canary",
                "kubectl.kubernetes.io/last-applied-configuration": "canary"}}}));
        assert_eq!(json["data"], json!({"password": null}));
        assert_eq!(json["stringData"], json!({"token": null}));
        assert_eq!(json["type"], "Opaque");
        let printed = format!("{signal:?}");
        assert!(!printed.contains("canary") && !printed.contains("Y2FuYXJ5"), "{printed}");
    }

    #[test]
    fn a_deletion_is_not_taken_for_the_state_before_it() {
        let object = json!({"kind": "Pod", "metadata": {"name": "n", "uid": "u", "resourceVersion": "7"}});
        let state = signal("c", Verb::Modified, Seen::Watched, at(), object.clone()).unwrap();
        let gone = signal("c", Verb::Deleted, Seen::Watched, at(), object).unwrap();
        assert!(gone.id > state.id, "{} comes after {}", gone.id, state.id);
    }

    #[test]
    fn states_are_ordered_by_version_not_by_its_text() {
        let id = |version: &str| {
            change(json!({"kind": "Pod", "metadata": {"name": "n", "uid": "u", "resourceVersion": version}}))
                .0
                .id
        };
        assert!(id("99") < id("100"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (value, why) in [
            (json!(null), BadObject::Kind),
            (json!({"metadata": {"name": "x"}}), BadObject::Kind),
            (json!({"kind": "Pod", "metadata": {}}), BadObject::Name),
            (json!({"kind": "SecretList", "items": [], "metadata": {"name": "x"}}), BadObject::List),
        ] {
            assert_eq!(signal("c", Verb::Added, Seen::Listed, at(), value).unwrap_err(), why);
        }
        assert_eq!(Verb::of("ERROR"), Err(BadObject::Type));
        assert_eq!(Verb::of("BOOKMARK"), Ok(None));
    }

    proptest! {
        #[test]
        fn no_value_of_a_secret_survives(keys in prop::collection::vec("[a-z]{1,8}", 0..5), shape in 0..3) {
            let data = match shape {
                0 => Value::Object(keys.iter().map(|key| (key.clone(), json!({"deep": ["canary", {"x": "canary"}]}))).collect()),
                1 => json!(["canary"]),
                _ => json!("canary"),
            };
            let (signal, _) = change(json!({"kind": "Secret", "metadata": {"name": "n", "annotations": data.clone()}, "data": data.clone(), "spec": data}));
            let printed = format!("{signal:?}");
            prop_assert!(!printed.contains("canary"), "{}", printed);
        }
    }
}
