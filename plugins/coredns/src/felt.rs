//! What a CoreDNS that does not answer makes people see: its own alerts, and those of the workloads whose programs tell
//! that the name server gives no answer.

use kwhy_sdk::{Explains, ObjectRef, Signal, World, minutes};

use crate::{
    UNANSWERED, UNCLEAR,
    memory::{Id, id},
    node_cache,
    server::Pod,
};

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

/// Alerts that only say that CoreDNS is not seen; they carry no more than its job.
pub(crate) const ABSENT: [&str; 2] = ["CoreDNSDown", "KubeDNSDown"];

/// Symptoms on the workload itself.
pub(crate) fn own(workload: &ObjectRef) -> Vec<Explains> {
    let alerts = OWN.iter().map(|name| Explains::alert(name, workload, "workload"));
    alerts.chain(["BackOff", "Unhealthy"].iter().map(|r| Explains::event(r, workload, "workload"))).collect()
}

/// The newest complaint of each workload about a name server that does not answer, without CoreDNS' own, sorted.
pub(crate) fn dependants(world: &World<'_>, own: &ObjectRef) -> Vec<(ObjectRef, Signal)> {
    complaining(world, own, &[UNANSWERED])
}

/// The same where no server answers at all: words that elsewhere may mean a name that does not exist mean this there.
pub(crate) fn without_any(world: &World<'_>, own: &ObjectRef) -> Vec<(ObjectRef, Signal)> {
    complaining(world, own, &[UNANSWERED, UNCLEAR])
}

/// The newest line of one of these names of each workload but CoreDNS itself, sorted.
fn complaining(world: &World<'_>, own: &ObjectRef, names: &[&str]) -> Vec<(ObjectRef, Signal)> {
    let cluster = ObjectRef::new("Cluster", "", world.cluster());
    let of = |name: &&str| world.about(&cluster, "cluster", "log", name, world.ago(RECENT), 200);
    let lines = names.iter().flat_map(of);
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

/// Findings of rules that see a program wait or end and cannot know for what.
const WEAK: [&str; 4] = [
    "workload.readiness-failing",
    "workload.exit-on-start",
    "workload.dependency-down",
    "workload.liveness-too-strict",
];
/// Findings of rules that see what a program cannot do without names.
const NAMELESS: [&str; 3] =
    ["metrics-server.down", "metrics-server.node-name-unresolvable", "monitoring.alertmanager-cannot-notify"];

/// What is told of a workload by rules that do not know for what it waits or why it ends.
pub(crate) fn weak(workload: &ObjectRef) -> impl Iterator<Item = Explains> {
    WEAK.iter().map(move |code| Explains::finding(code, workload, "self"))
}

/// Those of them that miss a name under a zone which is not the cluster's own.
pub(crate) fn outside(world: &World<'_>, own: &ObjectRef, zone: &str) -> Vec<(ObjectRef, Signal)> {
    let mut all = dependants(world, own);
    all.retain(|(_, line)| {
        let name = asked(line);
        // Some libraries do not say which name it was.
        name.is_empty() || (!inside(&name) && under(&name, zone))
    });
    all
}

/// The name that a program could not look up; empty where its words do not tell.
fn asked(line: &Signal) -> String {
    let said = line.message.split_once("EAI_AGAIN ").map_or("", |(_, rest)| rest);
    let name = match line.field("name") {
        "" => said.split([' ', ':', ',', '"', '\'']).next().unwrap_or(""),
        name => name,
    };
    name.trim_matches(['"', '\'']).trim_end_matches('.').to_ascii_lowercase()
}

/// Whether CoreDNS answers for it itself, by the usual names of a cluster.
fn inside(name: &str) -> bool {
    !name.contains('.') || name.ends_with(".svc") || name.ends_with(".local") || name.contains(".svc.")
}

fn under(name: &str, zone: &str) -> bool {
    let zone = zone.trim_end_matches('.');
    zone.is_empty() || name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

/// What such a workload shows beside its alerts: findings that do not know the reason.
pub(crate) fn findings(dependants: &[(ObjectRef, Signal)]) -> Vec<Explains> {
    // An Alertmanager's own rule knows its StatefulSet, not what the operator made that of.
    let nameless = |workload| NAMELESS.map(|code| Explains::finding(code, workload, "workload"));
    dependants.iter().flat_map(|(workload, _)| weak(workload).chain(nameless(workload))).collect()
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

/// All symptoms of a CoreDNS of which no pod answers; where some do, only its own and those of nodes that have no other.
pub(crate) fn all(world: &World<'_>, workload: &ObjectRef, pods: &[Pod]) -> Vec<Explains> {
    let mut out = own(workload);
    out.extend(weak(workload));
    out.push(Explains::finding(node_cache::CODE, workload, "self"));
    let mut felt = node_cache::dependants(world, pods);
    if pods.iter().all(|p| p.ready_since().is_none()) {
        felt.extend(without_any(world, workload));
        out.extend(ABSENT.map(|name| Explains::alert(name, workload, "cluster")));
    }
    out.extend(of_dependants(&felt));
    out.extend(findings(&felt));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outside_is_told_from_one_of_the_cluster() {
        let said = |message: &str| asked(&Signal { message: message.into(), ..Signal::default() });
        assert_eq!(said("Error: getaddrinfo EAI_AGAIN api.psp.example"), "api.psp.example");
        assert_eq!(said("psycopg2: Temporary failure in name resolution"), "");
        for own in ["db", "db.shop.svc", "db.shop.svc.cluster.local", "printer.local"] {
            assert!(inside(own), "{own}");
        }
        assert!(!inside("api.psp.example"));
        assert!(under("git.corp.example.com", "corp.example.com.") && under("a.b", "."));
        assert!(!under("xcorp.example.com", "corp.example.com."));
    }
}
