//! Whether a NetworkPolicy lets Prometheus in. Where that cannot be known, as with address ranges or namespaces that were
//! not listed, it may: nothing is claimed then.

use kwhy_sdk::{Json, ObjectRef, Signal, World, selects};

use crate::parts;

/// A label that each Namespace has since Kubernetes 1.21.
const NAME: &str = "kubernetes.io/metadata.name";

/// Whether some rule of the policy admits, or may admit, the Prometheus of the alert to the pods behind the Service.
pub(crate) fn admits(
    world: &World<'_>,
    policy: &ObjectRef,
    alert: &Signal,
    service: &ObjectRef,
    pods: &[ObjectRef],
) -> bool {
    let spec = world.read(policy, "/spec").unwrap_or_default();
    let sender = parts::prometheus(world, alert.field("prometheus")).and_then(|p| p.pods.first().cloned());
    let ports = ports(world, service, pods);
    spec.list("/ingress").iter().any(|rule| {
        let (from, to) = (rule.list("/from"), rule.list("/ports"));
        let port = to.is_empty() || to.iter().any(|p| port_fits(p, &ports));
        port && (from.is_empty() || from.iter().any(|peer| peer_fits(world, peer, policy, sender.as_ref())))
    })
}

fn peer_fits(world: &World<'_>, peer: &Json, policy: &ObjectRef, sender: Option<&ObjectRef>) -> bool {
    if peer.has("/ipBlock") {
        return true;
    }
    let others = peer.has("/namespaceSelector");
    let Some(sender) = sender else { return others };
    let labels = world.read(sender, "/metadata/labels").unwrap_or_default().map("");
    let by_pod = !peer.has("/podSelector") || selects(&peer.at("/podSelector"), &labels);
    if !others {
        return by_pod && sender.namespace == policy.namespace;
    }
    let home = ObjectRef::new("Namespace", "", &sender.namespace);
    let selector = peer.at("/namespaceSelector");
    let Some(json) = world.read(&home, "/metadata") else {
        // Only the name is known then, and any other label may be there.
        let name = selector.map("/matchLabels").into_iter().find(|(k, _)| k == NAME);
        return by_pod && name.is_none_or(|(_, v)| v == sender.namespace);
    };
    let mut labels = json.map("/labels");
    labels.push((NAME.to_owned(), sender.namespace.clone()));
    by_pod && selects(&selector, &labels)
}

/// Numbers and names of the ports of the pods that the Service leads to, and that the containers declare beside them:
/// metrics may have a port of their own.
fn ports(world: &World<'_>, service: &ObjectRef, pods: &[ObjectRef]) -> Vec<String> {
    let spec = world.read(service, "/spec").unwrap_or_default();
    let mut all: Vec<String> = spec
        .list("/ports")
        .iter()
        .flat_map(|p| [p.at("/targetPort").shown(), p.at("/port").shown()])
        .collect();
    let containers = pods.first().and_then(|p| world.read(p, "/spec/containers")).unwrap_or_default();
    for port in containers.list("").iter().flat_map(|c| c.list("/ports")) {
        let (name, number) = (port.text("/name").to_owned(), port.at("/containerPort").shown());
        if (!name.is_empty() && all.contains(&name)) || all.contains(&number) {
            all.extend([name, number]);
        }
    }
    all.retain(|p| !p.is_empty());
    all
}

fn port_fits(port: &Json, ports: &[String]) -> bool {
    let wanted = port.at("/port").shown();
    let (from, to) = (port.number("/port"), port.number("/endPort"));
    let within = |p: &String| p.parse().is_ok_and(|n: i64| from <= n && n <= to);
    wanted.is_empty() || ports.iter().any(|p| *p == wanted || (to > 0 && within(p)))
}
