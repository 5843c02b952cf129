//! `workload.container-refused` of whole pods: the kubelet does not admit them, they fail at once, and their controller
//! makes ever new ones.
//!
//! Reasons of pkg/kubelet/lifecycle/predicate.go (OutOfcpu, NodeAffinity, NodePorts …), pkg/kubelet/sysctl, the device,
//! CPU and topology managers and pkg/security/apparmor. The kubelet tells of each pod in an event, which stays where a
//! controller deletes the pod at once.

use kwhy_sdk::{Diagnosis, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, minutes};

use crate::{
    case, fight, look,
    pod::Pod,
    refused::CODE,
    words::{kubectl, named, short, spoken},
};

/// How long one refusal counts; controllers wait up to a quarter of an hour between their tries.
const RECENT: u64 = minutes(30);
/// A node that has just come up refuses some pods for a moment, and others take their place.
const LASTS: u64 = minutes(2);
const OFTEN: usize = 3;
/// How often to see whether it is over.
const AGAIN: u64 = minutes(5);

/// Reasons of a failed pod that say that the kubelet did not admit it, besides `OutOf` and a resource.
const REASONS: [&str; 9] = [
    "SysctlForbidden",
    "UnexpectedAdmissionError",
    "NodeAffinity",
    "NodePorts",
    "TopologyAffinityError",
    "SMTAlignmentError",
    "AppArmor",
    "PodOSNotSupported",
    "PodFeatureUnsupported",
];

fn bars(reason: &str) -> bool {
    reason.starts_with("OutOf") || REASONS.contains(&reason)
}

/// Whether the kubelet did not admit a pod.
pub(crate) fn own(pod: &Pod) -> bool {
    pod.phase() == "Failed" && bars(pod.json.text("/status/reason"))
}

/// What kubelets said of pods of a workload that they refused for one and the same reason, the newest first.
fn recent(world: &World<'_>, workload: &ObjectRef) -> Vec<Signal> {
    let mut all = world.about(workload, "workload", "event", "*", world.ago(RECENT), 200);
    all.retain(|e| bars(&e.name));
    let reason = all.first().map(|e| e.name.clone()).unwrap_or_default();
    all.retain(|e| e.name == reason);
    all
}

/// Looks at a workload of which a pod was not admitted.
pub(crate) fn examine(world: &World<'_>, workload: &ObjectRef) -> Verdict {
    let all = recent(world, workload);
    if let Some(found) = diagnose(world, workload, &all) {
        let mut verdict = case::found(world, workload, workload, found);
        verdict.merge(look::later(world, workload, world.now() + AGAIN));
        return verdict;
    }
    if holds(world, workload) {
        return case::well(world, workload, &format!("the kubelets admit the pods of {}", workload.name));
    }
    all.last().map_or_else(Verdict::default, |first| look::later(world, workload, first.at + LASTS))
}

/// Whether that is what a workload is known to suffer from.
pub(crate) fn holds(world: &World<'_>, workload: &ObjectRef) -> bool {
    workload.kind != "Pod" && case::of(world, workload).is_some_and(|c| c.code == CODE)
}

/// What it would say again.
pub(crate) fn again(world: &World<'_>, workload: &ObjectRef) -> Option<Diagnosis> {
    diagnose(world, workload, &recent(world, workload)).filter(|_| holds(world, workload))
}

/// Unless a later pod has become ready; a Job speaks for its pods itself.
fn diagnose(world: &World<'_>, workload: &ObjectRef, all: &[Signal]) -> Option<Diagnosis> {
    let (last, first) = (all.first()?, all.last()?);
    if all.len() < OFTEN
        || first.at + LASTS > world.now()
        || matches!(workload.kind.as_str(), "Job" | "CronJob" | "Pod")
    {
        return None;
    }
    let mut well: Option<Pod> = None;
    for pod in world.pods(workload).iter().filter_map(|id| Pod::load(world, id)).filter(Pod::ready) {
        if pod.created() > last.at {
            return None;
        }
        well = Some(pod);
    }
    let pod = last.subject.clone()?;
    let node = world.read(&pod, "/spec/nodeName").unwrap_or_default();
    let node = if node.text("").is_empty() { "<node>" } else { node.text("") };
    let (reason, whose) = (&last.name, spoken(workload));
    let mut d = Diagnosis::new(CODE, workload.clone());
    d.confidence = 88;
    if case::down(world, workload) {
        d.severity = "critical".into();
    }
    d.title = format!("The kubelet of node {node} refuses the pods of {whose}: {reason}");
    d.explanation = format!(
        "It does not admit them: {}. They fail at once and new ones are made, {} within half an hour.",
        short(last.message.trim_end_matches('.'), 300),
        all.len()
    );
    if let Some(well) = well.filter(|pod| pod.node() != node) {
        d.explanation.push_str(&format!(
            " On {} one of them runs, so node {node} is what differs.",
            well.where_it_runs()
        ));
    }
    d.evidence.push(crate::counted(last, 50, "why the kubelet refused the pod"));
    d.path.push(Step::new(workload, "", "its pods are refused"));
    d.path.push(Step::new(&pod, "owned", reason.as_str()));
    d.explains = case::explains(world, workload);
    d.explains.push(Explains::event(reason, workload, "workload"));
    d.remedies = remedies(world, &pod, reason, node);
    d.supersedes = vec![fight::CHURN.into()];
    Some(d)
}

fn remedies(world: &World<'_>, pod: &ObjectRef, reason: &str, node: &str) -> Vec<Remedy> {
    let (_, holder) = crate::pod::around(world, pod);
    let edit = format!("{} edit {}", kubectl(&holder.namespace), named(&holder));
    let (what, command) = match reason {
        "SysctlForbidden" => (
            "allow the sysctl there as on other nodes (allowedUnsafeSysctls of the kubelet), and start the kubelet anew",
            "sudo grep -A3 allowedUnsafeSysctls /var/lib/kubelet/config.yaml     # on node ",
        ),
        "AppArmor" => ("load the AppArmor profile there", "sudo aa-status     # on node "),
        "UnexpectedAdmissionError" => (
            "see what its device plugins offer: they register their devices anew when they are started again",
            "kubectl describe node ",
        ),
        "TopologyAffinityError" | "SMTAlignmentError" => (
            "ask for CPUs and devices that one NUMA node has, or ease topologyManagerPolicy of the kubelet",
            "sudo grep -i manager /var/lib/kubelet/config.yaml     # on node ",
        ),
        "NodeAffinity" => (
            "give the node the labels back that the template asks for, or do not name the node there",
            "kubectl describe node ",
        ),
        _ => (
            "leave the choice of the node to the scheduler, which nodeName in the template goes past",
            "kubectl describe node ",
        ),
    };
    vec![
        Remedy::new(what).command(format!("{command}{node}")),
        Remedy::new("or take what the kubelet refuses out of the template").command(edit),
        Remedy::new("until then keep pods off that node").command(format!("kubectl cordon {node}")),
    ]
}
