//! Readiness gates: all containers of a pod are ready, and the pod is not, since somebody outside of it has yet to say so
//! in a condition of its own. That is `workload.readiness-failing`, or the trouble of who should say it.
//!
//! The kubelet names the gate in the condition Ready, reason ReadinessGatesNotReady (pkg/kubelet/status/generate.go).

use kwhy_sdk::{Condition, Diagnosis, Evidence, ObjectRef, Remedy, Step, World, clock, image_name, minutes};

use crate::{
    case,
    pod::Pod,
    probe::READINESS,
    service,
    words::{kubectl, named, short, spoken},
};

/// Who sets the condition looks at the pod from outside, and may take some rounds.
const PATIENCE: u64 = minutes(5);

/// How gates begin, and the image of the controller that opens them.
const KEEPERS: [(&str, &str); 6] = [
    ("target-health.elbv2.k8s.aws/", "aws-load-balancer-controller"),
    ("target-health.alb.ingress.k8s.aws/", "aws-load-balancer-controller"),
    ("application-networking.k8s.aws/", "aws-gateway-controller"),
    ("service.readiness.alibabacloud.com/", "cloud-controller-manager"),
    ("InPlaceUpdateReady", "kruise-manager"),
    ("KruisePodReady", "kruise-manager"),
];

/// GKE's controller runs where the control plane does.
const GKE: &str = "cloud.google.com/load-balancer-neg-ready";

/// Whose gate keeps a pod out; the time to look again where it is too early to say.
pub(crate) fn judge(world: &World<'_>, pod: &Pod) -> Result<Option<Diagnosis>, u64> {
    let condition = |kind: &str| Condition::of(&pod.json, kind);
    let (inside, whole) = (condition("ContainersReady"), condition("Ready"));
    if !inside.holds() || !whole.fails() || whole.reason != "ReadinessGatesNotReady" {
        return Ok(None);
    }
    let due = inside.since.max(whole.since) + PATIENCE;
    if due > world.now() {
        return Err(due);
    }
    let gates = pod.json.list("/spec/readinessGates");
    let closed = gates.iter().map(|g| g.text("/conditionType")).find(|gate| !condition(gate).holds());
    let gate = closed.or_else(|| crate::words::quoted(&whole.message, "readiness gate ")).unwrap_or("");
    Ok(Some(diagnose(world, pod, gate, &inside, &whole)))
}

/// The controller that opens a gate, where it is known and stands in the cluster.
fn keeper(world: &World<'_>, gate: &str) -> Option<ObjectRef> {
    let (_, image) = KEEPERS.iter().find(|(of, _)| gate.starts_with(of))?;
    world.list("Deployment", "").into_iter().find(|of| {
        let containers = world.read(of, "/spec/template/spec/containers").unwrap_or_default();
        containers.list("").iter().any(|c| image_name(c.text("/image")) == *image)
    })
}

fn diagnose(world: &World<'_>, pod: &Pod, gate: &str, inside: &Condition, whole: &Condition) -> Diagnosis {
    let whose = spoken(&pod.workload);
    let keeper = keeper(world, gate);
    let down = keeper.clone().filter(|of| case::down(world, of));
    let root = down.clone().unwrap_or_else(|| pod.workload.clone());
    let (code, confidence) = if down.is_some() { (service::DOWN, 52) } else { (READINESS, 60) };
    let mut d = case::of_pod(world, code, &pod.workload, pod, confidence);
    d.root = root.clone();
    d.title = format!("Pods of {whose} wait for the readiness gate {gate}");
    d.explanation = format!(
        "All containers of {} are ready since {} UTC, and the pod takes no traffic: whoever is to set the condition {gate} has not set it to True.",
        pod.id.name,
        clock(inside.since)
    );
    let said = format!("Ready=False {}: {}", whole.reason, short(&whole.message, 300));
    d.evidence.push(Evidence::object(&pod.id, said, 45, "what keeps it from being ready"));
    let k = kubectl(&pod.id.namespace);
    let look = Remedy::new("see what the conditions of the pod say, and who sets the one that is missing")
        .command(format!("{k} get pod {} -o jsonpath='{{.status.conditions}}'", pod.id.name));
    if let Some(of) = &keeper {
        let state = if down.is_some() { "which has no ready pod" } else { "which runs" };
        d.explanation.push_str(&format!(" It is set by {}, {state}.", spoken(of)));
        d.remedies.push(Remedy::new(format!("see what {} says of it", spoken(of))).command(format!(
            "{} logs {} --tail=50",
            kubectl(&of.namespace),
            named(of)
        )));
    }
    if gate == GKE {
        d.explanation.push_str(" GKE sets it when the load balancer's health check, which asks on its own and takes 200 alone for well, has passed.");
    }
    d.remedies.push(look);
    if let Some(of) = &down {
        // Why it is down says more; this names who waits for it.
        d.severity = "info".into();
        d.title = format!("{} has no ready pod, and the pods of {whose} wait for its word", spoken(of));
        d.path = vec![Step::new(of, "", "does not open the gate"), Step::new(&pod.id, "", "")];
        d.explains.extend(case::explains(world, of));
    } else {
        case::note_root(&mut d, format!("readiness gate {gate} is closed"));
    }
    d
}
