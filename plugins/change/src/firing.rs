//! Which alerts speak of a workload, and since when it has been ill.

use kwhy_sdk::{Condition, ObjectRef, Signal, World, hours};

/// Alerts that speak of no trouble: of Prometheus' own housekeeping, or with a severity that says so.
pub(crate) fn speaks(alert: &Signal) -> bool {
    let quiet = ["Watchdog", "DeadMansSwitch", "InfoInhibitor"].contains(&alert.name.as_str());
    !quiet && !["none", "info"].contains(&alert.field("severity")) && alert.state == "firing"
}

/// The workload that an alert's subject stands for: a Service or a budget speaks of its pods, an autoscaler of what it
/// scales, a claim of who mounts it.
pub(crate) fn concerned(world: &World<'_>, subject: &ObjectRef) -> ObjectRef {
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
    for alert in world.about(workload, "workload", "alert", "*", world.ago(hours(24)), 100) {
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
