//! One object as the API server sends it, and the signal that is made of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use kwhy_ingest::{
    event,
    object::{self, Seen, Verb},
};
use kwhy_proto::{timestamp, v1::Signal};
use serde_json::{Value, json};

use super::{Resource, known::There};

/// An object of a known kind.
pub(crate) struct Item {
    value: Value,
}

impl Item {
    /// The items of a list do not say what they are, and those of which only the metadata was asked for say that.
    pub(crate) fn new(resource: &Resource, mut value: Value) -> Item {
        if let Some(object) = value.as_object_mut() {
            object.insert("apiVersion".to_owned(), resource.api_version().into());
            object.insert("kind".to_owned(), (*resource.kind).into());
        }
        Item { value }
    }

    /// What is left of an object that a list no longer has.
    pub(crate) fn vanished(resource: &Resource, uid: &str, there: &There, version: &str) -> Item {
        let mut metadata = json!({"name": there.name, "uid": uid, "resourceVersion": version});
        if let Some(metadata) = metadata.as_object_mut().filter(|_| !there.namespace.is_empty()) {
            metadata.insert("namespace".to_owned(), there.namespace.as_str().into());
        }
        Item::new(resource, json!({ "metadata": metadata }))
    }

    pub(crate) fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    pub(crate) fn version(&self) -> &str {
        self.text("/metadata/resourceVersion")
    }

    /// What tells it from others of its kind, past and present.
    pub(crate) fn uid(&self) -> String {
        match self.text("/metadata/uid") {
            "" => format!("{}/{}", self.namespace(), self.name()),
            uid => uid.to_owned(),
        }
    }

    /// The custom kind that owns it: apiVersion and kind of its controller.
    pub(crate) fn controller(&self) -> Option<(&str, &str)> {
        let owners = self.value.pointer("/metadata/ownerReferences")?.as_array()?;
        let owner = owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
        Some((owner.get("apiVersion")?.as_str()?, owner.get("kind")?.as_str()?))
    }

    fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A digest of what is worth telling of an object by which somebody elects a leader: it is written every few
    /// seconds to say that the leader lives. None for all others, every change of which is worth it.
    pub(crate) fn digest(&self) -> Option<u64> {
        const LEADER: &str = "/metadata/annotations/control-plane.alpha.kubernetes.io~1leader";
        let mut hasher = DefaultHasher::new();
        match self.value.get("kind").and_then(Value::as_str) {
            Some("Lease") => {
                for field in ["/spec/holderIdentity", "/spec/leaseTransitions", "/metadata/labels"] {
                    self.value.pointer(field).map(Value::to_string).hash(&mut hasher);
                }
            }
            Some("ConfigMap") => {
                let record: Value = serde_json::from_str(self.value.pointer(LEADER)?.as_str()?).ok()?;
                for field in ["holderIdentity", "leaderTransitions"] {
                    record.get(field).map(Value::to_string).hash(&mut hasher);
                }
                for field in ["/data", "/binaryData", "/metadata/labels"] {
                    self.value.pointer(field).map(Value::to_string).hash(&mut hasher);
                }
            }
            _ => return None,
        }
        Some(hasher.finish())
    }

    /// Its signal; the error says why there is none.
    pub(crate) fn signal(self, cluster: &str, verb: Verb, seen: Seen, now: u64) -> Result<Signal, String> {
        if self.value.get("kind").and_then(Value::as_str) == Some("Event") {
            event::signal(cluster, &self.value).map_err(|error| error.to_string())
        } else {
            object::signal(cluster, verb, seen, timestamp(now), self.value).map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::kinds::WATCHED;

    fn item(kind: &str, value: Value) -> Item {
        let resource = WATCHED.iter().flat_map(|all| all.iter()).find(|r| r.kind == kind).unwrap();
        Item::new(resource, value)
    }

    #[test]
    fn a_lease_that_is_only_renewed_is_no_news() {
        let lease = |holder: &str, renewed: &str| {
            item("Lease", json!({"spec": {"holderIdentity": holder, "renewTime": renewed}})).digest()
        };
        assert!(lease("a", "1").is_some());
        assert_eq!(lease("a", "1"), lease("a", "2"));
        assert_ne!(lease("a", "1"), lease("b", "1"));
    }

    #[test]
    fn of_config_maps_only_those_that_elect_a_leader_are_thinned_out_and_their_data_counts() {
        let map = |leader: Option<&str>, data: &str| {
            let leader = leader.map(|record| json!({"control-plane.alpha.kubernetes.io/leader": record}));
            item("ConfigMap", json!({"metadata": {"annotations": leader}, "data": {"k": data}})).digest()
        };
        assert_eq!(map(None, "x"), None);
        let (one, two) =
            (r#"{"holderIdentity":"a","renewTime":"1"}"#, r#"{"holderIdentity":"a","renewTime":"2"}"#);
        assert!(map(Some(one), "x").is_some());
        assert_eq!(map(Some(one), "x"), map(Some(two), "x"));
        assert_ne!(map(Some(one), "x"), map(Some(two), "y"));
        assert_eq!(item("Secret", json!({"data": {"k": "v"}})).digest(), None, "nothing is kept of a Secret");
    }
}
