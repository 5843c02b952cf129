//! The permissions that the watches need, as `deploy/rbac.yaml` grants them.

use std::collections::BTreeMap;

use super::kinds::WATCHED;

/// Verbs by API group and resource: what a ClusterRole must grant.
pub type Grants = BTreeMap<(String, String), Vec<String>>;

/// What kwhy needs to watch all that it watches, and to read the logs of pods that fail.
#[must_use]
pub fn needed() -> Grants {
    let grant = |group: &str, resource: &str, verbs: &[&str]| {
        ((group.to_owned(), resource.to_owned()), verbs.iter().map(|verb| (*verb).to_owned()).collect())
    };
    // One of its alternatives is enough.
    let watched = WATCHED.iter().filter_map(|alternatives| alternatives.first());
    let watched = watched.map(|resource| grant(&resource.group, &resource.plural, &["get", "list", "watch"]));
    watched.chain([grant("", "pods/log", &["get"])]).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::Value;

    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/rbac.yaml");

    fn documents() -> Vec<Value> {
        let text = std::fs::read_to_string(FILE).expect("deploy/rbac.yaml");
        serde_norway::Deserializer::from_str(&text)
            .map(|document| Value::deserialize(document).expect("YAML"))
            .collect()
    }

    fn document(kind: &str) -> Value {
        let mut all: Vec<Value> = documents().into_iter().filter(|d| d["kind"] == kind).collect();
        assert_eq!(all.len(), 1, "one {kind}");
        all.remove(0)
    }

    fn texts(value: &Value) -> Vec<String> {
        value
            .as_array()
            .expect("a list")
            .iter()
            .map(|text| text.as_str().expect("a text").to_owned())
            .collect()
    }

    #[test]
    fn the_cluster_role_grants_what_is_watched_and_nothing_else() {
        let role = document("ClusterRole");
        let mut granted = Grants::new();
        for rule in role["rules"].as_array().expect("rules") {
            let fields: Vec<&String> = rule.as_object().expect("a rule").keys().collect();
            assert_eq!(fields, ["apiGroups", "resources", "verbs"], "nothing widens it: {rule}");
            let groups = texts(&rule["apiGroups"]);
            let [group] = groups.as_slice() else { panic!("one group a rule: {rule}") };
            for resource in texts(&rule["resources"]) {
                let verbs = granted.insert((group.clone(), resource), texts(&rule["verbs"]));
                assert_eq!(verbs, None, "granted once: {rule}");
            }
        }
        assert_eq!(granted, needed());
    }

    #[test]
    fn the_binding_gives_that_role_to_that_account() {
        let (role, account, binding) =
            (document("ClusterRole"), document("ServiceAccount"), document("ClusterRoleBinding"));
        assert_eq!(binding["roleRef"]["kind"], "ClusterRole");
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        let subjects = binding["subjects"].as_array().expect("subjects");
        assert_eq!(subjects.len(), 1);
        assert_eq!(subjects[0]["kind"], "ServiceAccount");
        for field in ["name", "namespace"] {
            assert_eq!(subjects[0][field], account["metadata"][field], "{field}");
        }
        assert_eq!(document("Namespace")["metadata"]["name"], account["metadata"]["namespace"]);
        assert_eq!(documents().len(), 4);
    }
}
