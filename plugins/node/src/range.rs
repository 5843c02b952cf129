//! A node that got no range of pod addresses: the controller that hands them out has none left (`pkg/controller/nodeipam`).

use kwhy_sdk::{ObjectRef, Remedy, Signal, World, hours};

use crate::{last, node::Node};

/// How the controller says it, once a try.
pub(crate) const EVENT: &str = "CIDRNotAvailable";

/// The controller's word that there is none; one that was given since ends it.
pub(crate) fn used_up(world: &World<'_>, node: &Node) -> Option<Signal> {
    let given = given(world, node);
    let told = world.about(&node.id, "self", "event", EVENT, world.ago(hours(2)), 1).pop();
    told.filter(|_| !given)
}

fn given(world: &World<'_>, node: &Node) -> bool {
    world.read(&node.id, "/spec/podCIDR").is_some_and(|range| !range.text("").is_empty())
}

/// What to do where the network's pod says that its node has got no range, and no controller says that none is left: nobody
/// hands them out.
pub(crate) fn none_given(world: &World<'_>, node: &Node, plugin: Option<&ObjectRef>) -> Option<Remedy> {
    plugin.filter(|pod| {
        !given(world, node) && used_up(world, node).is_none() && last::no_range(world, pod).is_some()
    })?;
    let remedy = Remedy::new(format!(
        "let the controller manager give {} a range of pod addresses: it needs --allocate-node-cidrs and --cluster-cidr, as kubeadm \
         sets them for --pod-network-cidr, and has to run",
        node.id.name
    ));
    Some(remedy
        .command("kubectl get nodes -o custom-columns=NAME:.metadata.name,RANGE:.spec.podCIDR")
        .command("kubectl -n kube-system get pods -l component=kube-controller-manager -o yaml | grep -E 'allocate-node-cidrs|cluster-cidr'"))
}

pub(crate) fn title(node: &Node) -> String {
    format!("Node {} has no pod network: the cluster has no range of addresses left for it", node.id.name)
}

pub(crate) fn words(node: &Node) -> String {
    format!(
        " {} has no spec.podCIDR: the range of the cluster's pods is divided among the nodes and nothing of it is left, so no \
         network plugin that works with it can start there.",
        node.id.name
    )
}

pub(crate) fn remedy() -> Remedy {
    Remedy::new(
        "give back ranges by removing Nodes that are gone, or give the cluster more: a further or larger --cluster-cidr, or smaller \
         ranges for nodes to come (--node-cidr-mask-size)",
    )
    .command("kubectl get nodes -o custom-columns=NAME:.metadata.name,RANGE:.spec.podCIDR,SINCE:.metadata.creationTimestamp")
    .command("kubectl -n kube-system get pods -l component=kube-controller-manager -o yaml | grep -E 'cluster-cidr|node-cidr-mask'")
    .caution("the range that a node has got stays: only Nodes that are made anew get one of another size")
}
