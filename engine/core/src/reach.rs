//! How far a cause is felt: the set of objects within a named reach of an anchor.

use imbl::OrdSet;
use serde::{Deserialize, Serialize};

use crate::{graph::Graph, key::Key};

/// Objects within a reach. Namespace and cluster are not spelled out object by object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reach {
    Objects(OrdSet<Key>),
    Namespace(String),
    Cluster,
    /// A reach this version does not know: nothing is within it.
    Nothing,
}

impl Reach {
    pub(crate) fn holds(&self, key: &Key) -> bool {
        match self {
            Self::Objects(set) => set.contains(key),
            Self::Namespace(namespace) => {
                key.namespace == *namespace || (key.kind == "Namespace" && key.name == *namespace)
            }
            Self::Cluster => true,
            Self::Nothing => false,
        }
    }
}

/// Names of reaches from near to far; the position ranks competing explanations.
const NAMES: [&str; 9] =
    ["self", "owners", "owned", "workload", "node", "on-node", "users", "namespace", "cluster"];

/// How far a reach goes; the nearest explanation wins among equals.
pub(crate) fn distance(name: &str) -> usize {
    NAMES.iter().position(|n| *n == name).unwrap_or(NAMES.len())
}

/// The objects within `name` of `anchor`, itself included.
pub(crate) fn reach(graph: &Graph, anchor: &Key, name: &str) -> Reach {
    spell_out(graph, anchor, name).0
}

/// The reach, and beside its objects those whose edges were followed to find them: where no edge of either moves, the
/// reach is what it was.
pub(crate) fn spell_out(graph: &Graph, anchor: &Key, name: &str) -> (Reach, OrdSet<Key>) {
    let mut set = OrdSet::unit(anchor.clone());
    let mut passed = OrdSet::new();
    match name {
        "self" => {}
        "owners" => set.extend(graph.owners(anchor)),
        "owned" => set.extend(graph.owned(anchor)),
        "workload" => {
            passed.extend(graph.owners(anchor));
            extend_workload(graph, anchor, &mut set);
        }
        "node" => {
            passed = with_owned(graph, anchor);
            for key in &passed {
                set.extend(graph.related(key, "node"));
            }
        }
        "on-node" => {
            let node = if anchor.kind == "Node" {
                Some(anchor.clone())
            } else {
                graph.related(anchor, "node").into_iter().next()
            };
            for pod in node.iter().flat_map(|n| graph.related(n, "pod")) {
                set.extend(graph.owners(&pod));
                set.extend(graph.related(&pod, "selected-by"));
                set.insert(pod);
            }
            set.extend(node);
        }
        "users" => {
            let mut todo = vec![anchor.clone()];
            while let Some(at) = todo.pop() {
                for relation in ["used-by", "scaled-by", "owner"] {
                    // The owners of the anchor itself do not use it.
                    if at == *anchor && relation == "owner" {
                        continue;
                    }
                    todo.extend(
                        graph.related(&at, relation).into_iter().filter(|k| set.insert(k.clone()).is_none()),
                    );
                }
            }
        }
        "namespace" => {
            let own = if anchor.kind == "Namespace" { &anchor.name } else { &anchor.namespace };
            return (Reach::Namespace(own.clone()), passed);
        }
        "cluster" => return (Reach::Cluster, passed),
        _ => return (Reach::Nothing, passed),
    }
    (Reach::Objects(set), passed)
}

fn extend_workload(graph: &Graph, anchor: &Key, set: &mut OrdSet<Key>) {
    let top = graph.top(anchor);
    let members = with_owned(graph, &top);
    for key in &members {
        for relation in ["selected-by", "scaled-by"] {
            for around in graph.related(key, relation) {
                // A Service speaks through its Endpoints, and an APIService through its Service.
                if around.kind == "Service" {
                    set.extend(
                        graph.related(&around, "used-by").into_iter().filter(|k| {
                            matches!(k.kind.as_str(), "Endpoints" | "EndpointSlice" | "APIService")
                        }),
                    );
                }
                set.insert(around);
            }
        }
    }
    set.extend(members);
}

fn with_owned(graph: &Graph, key: &Key) -> OrdSet<Key> {
    let mut set = graph.owned(key);
    set.insert(key.clone());
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use serde_json::{Value, json};

    fn graph() -> Graph {
        let mut graph = Graph::default();
        let mut put = |kind: &str, namespace: &str, name: &str, json: Value| {
            let key = Key::new(kind, namespace, name);
            graph.put(Object::new(key, "1", json.into(), None));
        };
        let owned = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "controller": true}]);
        put("Node", "", "n1", json!({}));
        put("Deployment", "ns", "web", json!({}));
        put(
            "ReplicaSet",
            "ns",
            "web-1",
            json!({"metadata": {"ownerReferences": owned("Deployment", "web")}}),
        );
        for (pod, node) in [("web-1-a", "n1"), ("web-1-b", "n2")] {
            put(
                "Pod",
                "ns",
                pod,
                json!({
                    "metadata": {"labels": {"app": "web"}, "ownerReferences": owned("ReplicaSet", "web-1")},
                    "spec": {"nodeName": node, "volumes": [{"configMap": {"name": "conf"}}]}
                }),
            );
        }
        put("Service", "ns", "web", json!({"spec": {"selector": {"app": "web"}}}));
        put("Service", "ns", "other", json!({"spec": {"selector": {"app": "other"}}}));
        put(
            "HorizontalPodAutoscaler",
            "ns",
            "web",
            json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}}),
        );
        put("APIService", "", "v1.web", json!({"spec": {"service": {"namespace": "ns", "name": "web"}}}));
        graph
    }

    fn within(kind: &str, name: &str, how: &str) -> Vec<String> {
        let namespace = if kind == "Node" { "" } else { "ns" };
        match reach(&graph(), &Key::new(kind, namespace, name), how) {
            Reach::Objects(set) => set.iter().map(|k| format!("{} {}", k.kind, k.name)).collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn a_workload_is_its_pods_and_what_stands_around_them() {
        let all = within("Pod", "web-1-a", "workload");
        for member in [
            "Deployment web",
            "Pod web-1-b",
            "Service web",
            "HorizontalPodAutoscaler web",
            "APIService v1.web",
        ] {
            assert!(all.contains(&member.to_owned()), "{member} in {all:?}");
        }
        assert!(
            !all.contains(&"Service other".to_owned()) && !all.contains(&"Node n1".to_owned()),
            "{all:?}"
        );
    }

    #[test]
    fn what_is_on_a_node_is_its_pods_and_their_owners_and_not_their_siblings() {
        let all = within("Node", "n1", "on-node");
        assert!(
            all.contains(&"Pod web-1-a".to_owned()) && all.contains(&"Deployment web".to_owned()),
            "{all:?}"
        );
        assert!(!all.contains(&"Pod web-1-b".to_owned()), "{all:?}");
    }

    #[test]
    fn the_users_of_a_config_map_are_its_pods_and_all_that_own_them() {
        let all = within("ConfigMap", "conf", "users");
        assert!(
            all.contains(&"Pod web-1-a".to_owned()) && all.contains(&"Deployment web".to_owned()),
            "{all:?}"
        );
    }

    #[test]
    fn an_unknown_reach_holds_nothing() {
        assert!(!reach(&graph(), &Key::new("Node", "", "n1"), "galaxy").holds(&Key::new("Node", "", "n1")));
    }
}
