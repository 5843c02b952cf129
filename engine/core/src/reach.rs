//! How far a cause is felt: the set of objects within a named reach of an anchor.

use imbl::OrdSet;

use crate::{graph::Graph, key::Key};

/// Objects within a reach. Namespace and cluster are not spelled out object by object.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    let mut set = OrdSet::unit(anchor.clone());
    match name {
        "self" => {}
        "owners" => set.extend(graph.owners(anchor)),
        "owned" => set.extend(graph.owned(anchor)),
        "workload" => extend_workload(graph, anchor, &mut set),
        "node" => {
            for key in with_owned(graph, anchor) {
                set.extend(related(graph, &key, "node"));
            }
        }
        "on-node" => {
            let node = if anchor.kind == "Node" {
                Some(anchor.clone())
            } else {
                related(graph, anchor, "node").into_iter().next()
            };
            for pod in node.iter().flat_map(|n| related(graph, n, "pod")) {
                set.extend(graph.owners(&pod));
                set.extend(related(graph, &pod, "selected-by"));
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
                        related(graph, &at, relation).into_iter().filter(|k| set.insert(k.clone()).is_none()),
                    );
                }
            }
        }
        "namespace" => {
            let own = if anchor.kind == "Namespace" { &anchor.name } else { &anchor.namespace };
            return Reach::Namespace(own.clone());
        }
        "cluster" => return Reach::Cluster,
        _ => return Reach::Nothing,
    }
    Reach::Objects(set)
}

fn extend_workload(graph: &Graph, anchor: &Key, set: &mut OrdSet<Key>) {
    let top = graph.top(anchor);
    let members = with_owned(graph, &top);
    for key in &members {
        for relation in ["selected-by", "scaled-by"] {
            for around in related(graph, key, relation) {
                // A Service speaks through its Endpoints, and an APIService through its Service.
                if around.kind == "Service" {
                    set.extend(
                        related(graph, &around, "used-by").into_iter().filter(|k| {
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

fn related(graph: &Graph, key: &Key, relation: &str) -> Vec<Key> {
    graph.neighbours(key).into_iter().filter(|(r, _)| *r == relation).map(|(_, k)| k).collect()
}
