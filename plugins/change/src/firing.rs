//! Which alerts speak of a workload, and since when it has been ill.

use kwhy_sdk::{Condition, ObjectRef, Signal, World, hours};

/// Alerts that no change of a workload brings: of Prometheus' own housekeeping, or that a controller does not act on what
/// was changed, which is the controller's trouble.
const QUIET: [&str; 5] = [
    "Watchdog",
    "DeadMansSwitch",
    "InfoInhibitor",
    "KubeDeploymentGenerationMismatch",
    "KubeStatefulSetGenerationMismatch",
];

/// Whether an alert fires that may speak of a change; what has a severity of none or info speaks of no trouble.
pub(crate) fn speaks(alert: &Signal) -> bool {
    let quiet = QUIET.contains(&alert.name.as_str());
    !quiet && !["none", "info"].contains(&alert.field("severity")) && alert.state == "firing"
}

/// The workload that an alert's subject stands for: a Service or a budget speaks of its pods, an autoscaler of what it
/// scales, a claim of who mounts it, an Ingress of what it leads to where that is one Service.
pub(crate) fn concerned(world: &World<'_>, subject: &ObjectRef) -> ObjectRef {
    if subject.kind == "Ingress" {
        let mut services = world.related(subject, "uses");
        services.retain(|used| used.kind == "Service");
        return match services.as_slice() {
            [only] => concerned(world, only),
            _ => subject.clone(),
        };
    }
    let relation = match subject.kind.as_str() {
        "Service" | "PodDisruptionBudget" => "selects",
        "HorizontalPodAutoscaler" => "scales",
        "PersistentVolumeClaim" => "used-by",
        _ => return world.workload(subject),
    };
    let behind = world.related(subject, relation);
    behind.first().map_or_else(|| subject.clone(), |object| world.workload(object))
}

/// The alerts that fire on a workload and what stands around it, newest first.
pub(crate) fn on(world: &World<'_>, workload: &ObjectRef) -> Vec<Signal> {
    let mut seen: Vec<Signal> = Vec::new();
    let told = |of: &ObjectRef, reach| world.about(of, reach, "alert", "*", world.ago(hours(24)), 100);
    let mut all = told(workload, "workload");
    for ingress in world.ingresses(workload).iter().filter(|i| concerned(world, i).is(workload)) {
        all.extend(told(ingress, "self"));
    }
    for alert in all {
        if !seen.iter().any(|s| s.name == alert.name && s.fields == alert.fields) {
            seen.push(alert);
        }
    }
    seen.retain(speaks);
    seen
}

/// Since when a workload has been ill, ms: alerts come late, so what its pods say counts too.
pub(crate) fn onset(world: &World<'_>, workload: &ObjectRef, alerts: &[Signal]) -> Option<u64> {
    let told = alerts.iter().map(|a| a.at).min()?;
    let pods = world.pods(workload);
    Some(pods.iter().take(40).filter_map(|pod| unready_since(world, pod)).fold(told, u64::min))
}

fn unready_since(world: &World<'_>, pod: &ObjectRef) -> Option<u64> {
    let status = world.read(pod, "/status")?;
    if status.text("/phase") == "Succeeded" {
        return None;
    }
    let ready = Condition::among(&status.at("/conditions"), "Ready");
    ready.known_since().filter(|_| ready.fails())
}
