//! What a CoreDNS that does not answer makes people see: its own alerts, and those of the workloads whose programs tell
//! that the name server gives no answer.

use kwhy_sdk::{Explains, ObjectRef, Signal, World, minutes};

use crate::{UNANSWERED, memory::Id, memory::id, server::Pod};

/// How long before now a program's complaint about the name server counts.
const RECENT: u64 = minutes(60);
/// Most workloads that are named one by one.
const MANY: usize = 20;

/// Alerts about CoreDNS itself: kubernetes-mixin, coredns-mixin, nodelocaldns-mixin, and the names of
/// awesome-prometheus-alerts.
const OWN: [&str; 13] = [
    "KubeDeployment*",
    "KubeDaemonSet*",
    "KubePod*",
    "KubePdb*",
    "KubeContainer*",
    "Kubernetes*CrashLooping",
    "Kubernetes*Mismatch",
    "KubernetesPodNotHealthy",
    "KubernetesDaemonsetRolloutStuck",
    "CoreDNS*",
    "KubeDNS*",
    "NodeLocalDNS*",
    "TargetDown",
];

/// Alerts of a program that cannot look up what it needs: it waits, is not ready, or ends.
const DEPENDANT: [&str; 8] = [
    "KubePodCrashLooping",
    "KubePodNotReady",
    "KubeContainerWaiting",
    "KubeDeploymentReplicasMismatch",
    "KubeDeploymentRolloutStuck",
    "KubeStatefulSetReplicasMismatch",
    "KubeDaemonSetRolloutStuck",
    "KubeJobFailed",
];

/// Symptoms on the workload itself.
pub(crate) fn own(workload: &ObjectRef) -> Vec<Explains> {
    let alerts = OWN.iter().map(|name| Explains::alert(name, workload, "workload"));
    alerts.chain(["BackOff", "Unhealthy"].iter().map(|r| Explains::event(r, workload, "workload"))).collect()
}

/// The newest complaint of each workload about a name server that does not answer, without CoreDNS' own, sorted.
pub(crate) fn dependants(world: &World<'_>, own: &ObjectRef) -> Vec<(ObjectRef, Signal)> {
    let cluster = ObjectRef::new("Cluster", "", world.cluster());
    let lines = world.about(&cluster, "cluster", "log", UNANSWERED, world.ago(RECENT), 200);
    let mut all: Vec<(ObjectRef, Signal)> = Vec::new();
    for line in lines {
        let Some(pod) = &line.subject else { continue };
        let workload = world.workload(pod);
        let key = |o: &ObjectRef| -> Id { id(o) };
        let place = all.partition_point(|(w, _)| key(w) < key(&workload));
        let known = all.get(place).is_some_and(|(w, _)| w.is(&workload));
        if !workload.is(own) && !known && all.len() < MANY && Pod::load(world, pod).is_none() {
            all.insert(place, (workload, line));
        }
    }
    all
}

/// Symptoms on those workloads.
pub(crate) fn of_dependants(dependants: &[(ObjectRef, Signal)]) -> Vec<Explains> {
    let mut out = Vec::new();
    for (workload, _) in dependants {
        out.extend(DEPENDANT.map(|name| Explains::alert(name, workload, "workload")));
        out.extend(["BackOff", "Unhealthy"].map(|name| Explains::event(name, workload, "owned")));
    }
    out
}

/// All symptoms of a CoreDNS of which no pod answers; where some do, only its own.
pub(crate) fn all(world: &World<'_>, workload: &ObjectRef, pods: &[Pod]) -> Vec<Explains> {
    let mut out = own(workload);
    if pods.iter().all(|p| p.ready_since().is_none()) {
        out.extend(of_dependants(&dependants(world, workload)));
    }
    out
}
