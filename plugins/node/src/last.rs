//! The last words of the pods that bring nodes their network: why one of them does not start, in its own log.
//!
//! The words are flannel's (`main.go`, `pkg/subnet/kube`), Calico's (`cni-plugin/pkg/install`, `node/pkg/lifecycle`), Cilium's
//! (`pkg/hive`, `pkg/k8s`), Weave Net's and Antrea's.

use kwhy_sdk::{Evidence, ObjectRef, Pattern, Signal, Subscription, World, minutes};

/// They give up.
const FATAL: &str = "node-network-fatal";
/// They complain, and may go on.
const ERROR: &str = "node-network-error";
/// The node has no range of pod addresses.
const NO_RANGE: &str = "node-network-no-range";

/// How the workloads are called whose logs are read.
const WORKLOADS: [&str; 10] = [
    "*calico*",
    "*canal*",
    "*cilium*",
    "*flannel*",
    "*weave*",
    "*antrea*",
    "aws-node*",
    "kube-router*",
    "*ovn*",
    "*multus*",
];

pub(crate) fn wanted() -> Subscription {
    let patterns = [
        (NO_RANGE, "pod cidr not assigned"),
        (NO_RANGE, "PodCIDR not available"),
        (FATAL, "Error registering network"),
        (FATAL, "Failed to create SubnetManager"),
        (FATAL, "Failed to find any valid interface to use"),
        (FATAL, "[FATAL]"),
        (FATAL, "level=fatal"),
        (FATAL, "msg=\"Start failed\""),
        (FATAL, "FATA: "),
        (FATAL, "Error running agent: "),
        (ERROR, "[ERROR]"),
        (ERROR, "level=error"),
    ];
    Subscription::logs(patterns.map(|(id, literal)| Pattern::new(id, literal, "")).into())
        .workloads(&WORKLOADS)
}

/// What the pod said last of why it does not start.
pub(crate) fn words(world: &World<'_>, pod: &ObjectRef) -> Option<Signal> {
    let last = |name: &str| world.about(pod, "self", "log", name, world.ago(minutes(30)), 1).pop();
    no_range(world, pod).or_else(|| last(FATAL)).or_else(|| last(ERROR))
}

/// That it misses a range of addresses for its node.
pub(crate) fn no_range(world: &World<'_>, pod: &ObjectRef) -> Option<Signal> {
    world.about(pod, "self", "log", NO_RANGE, world.ago(minutes(30)), 1).pop()
}

/// The same as evidence.
pub(crate) fn evidence(world: &World<'_>, pod: &ObjectRef) -> Option<Evidence> {
    words(world, pod).map(|line| Evidence::signal(&line, 55, "the last words of the network's pod"))
}
