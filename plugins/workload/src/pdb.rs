//! `workload.pdb-blocks-drain`: a PodDisruptionBudget that lets no pod go, while somebody drains a node.
//!
//! The API answers evictions with `Cannot evict pod as it would violate the pod's disruption budget.`
//! (pkg/registry/core/pod/storage/eviction.go); drainers write it to events and logs, that of AKS in its own words:
//! `Eviction blocked by Too Many Requests (usually a pdb): POD`. A budget without room is normal as long as nobody drains.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, minutes};

use crate::{
    case,
    words::{any, kubectl, listed, named, spoken},
};

pub(crate) const CODE: &str = "workload.pdb-blocks-drain";
/// The API's words wherever a drainer repeats them.
pub(crate) const LINE: &str = "workload-evict";

pub(crate) fn pattern() -> kwhy_sdk::Pattern {
    kwhy_sdk::Pattern::new(LINE, "disruption budget", r"(?i)evict[^\n]*disruption budget")
}

/// Whether the words are those of an eviction that a budget refused.
pub(crate) fn tells(signal: &Signal) -> bool {
    any(&signal.message, &["disruption budget", "(usually a pdb)"])
}

/// A line or an event that tells of a refused eviction; `of` is what it is about.
pub(crate) fn told(world: &World<'_>, of: &ObjectRef, signal: &Signal) -> Verdict {
    let mut verdict = Verdict::default();
    if !tells(signal) {
        return verdict;
    }
    // A drainer speaks of one pod at a time, and each that it meets is in its way.
    let drain = if of.kind == "Node" {
        world.about(of, "self", "event", &signal.name, world.ago(minutes(30)), 50)
    } else {
        vec![signal.clone()]
    };
    let mut blocked: Vec<Blocked> = Vec::new();
    for budget in world.list("PodDisruptionBudget", "") {
        let status = world.read(&budget, "/status").unwrap_or_default();
        if status.number("/disruptionsAllowed") > 0 || status.number("/expectedPods") == 0 {
            continue;
        }
        let pods = world.related(&budget, "selects");
        let met = drain.iter().filter(|said| tells(said)).find_map(|said| {
            let named = pods.iter().find(|p| said.message.contains(p.name.as_str()) || p.is(of))?;
            Some((named.clone(), said.clone()))
        });
        blocked.extend(met.map(|(pod, said)| Blocked { budget, pod, said }));
    }
    for one in &blocked {
        let mut found = diagnose(world, &one.budget, &one.pod, &one.said);
        let others: Vec<String> =
            blocked.iter().filter(|b| !b.budget.is(&one.budget)).map(|b| spoken(&b.budget)).collect();
        if !others.is_empty() {
            found.explanation.push_str(&format!(" In the way of the same drain: {}.", listed(&others)));
        }
        verdict.diagnoses.push(found);
    }
    verdict
}

/// A budget, the pod that may not go, and what the drainer said of it.
struct Blocked {
    budget: ObjectRef,
    pod: ObjectRef,
    said: Signal,
}

fn diagnose(world: &World<'_>, budget: &ObjectRef, pod: &ObjectRef, signal: &Signal) -> Diagnosis {
    let json = world.read(budget, "").unwrap_or_default();
    let workload = world.workload(pod);
    let rule = ["minAvailable", "maxUnavailable"].into_iter().find_map(|f| {
        let value = json.at(&format!("/spec/{f}")).shown();
        (!value.is_empty()).then(|| format!("{f} {value}"))
    });
    let rule = rule.unwrap_or_else(|| "minAvailable 1".into());
    let (healthy, wanted, expected) = (
        json.number("/status/currentHealthy"),
        json.number("/status/desiredHealthy"),
        json.number("/status/expectedPods"),
    );
    let never = wanted >= expected;
    let mut diagnosis = Diagnosis::new(CODE, budget.clone());
    diagnosis.confidence = 88;
    diagnosis.title = format!(
        "{} blocks the drain of a node: {rule} lets no pod of {} go",
        spoken(budget),
        spoken(&workload)
    );
    diagnosis.explanation = if never {
        format!("It wants {wanted} healthy pods of {expected}, so no eviction can ever be allowed.")
    } else {
        format!(
            "It wants {wanted} healthy pods and {healthy} of {expected} are: evictions wait until the others are well."
        )
    };
    diagnosis.evidence.push(crate::counted(signal, 45, "the eviction that was refused"));
    diagnosis.evidence.push(Evidence::object(budget, format!("{rule}; currentHealthy {healthy}, desiredHealthy {wanted}, expectedPods {expected}, disruptionsAllowed 0"), 35, "state of the budget"));
    diagnosis.path = vec![Step::new(budget, "", rule), Step::new(pod, "selects", "may not be evicted")];
    diagnosis.explains = vec![
        Explains::alert("KubePdb*", budget, "self"),
        Explains::alert("*Drain*", pod, "node"),
        Explains::event("*Drain*", pod, "node"),
    ];
    let k = kubectl(&budget.namespace);
    if never && !case::down(world, &workload) {
        diagnosis.remedies.push(Remedy::new("run one pod more than the budget wants").command(format!(
            "{k} scale {} --replicas={}",
            named(&workload),
            expected + 1
        )));
        diagnosis.remedies.push(Remedy::new("or let the budget give one pod away").command(format!("{k} patch {} --type merge -p '{{\"spec\":{{\"minAvailable\":null,\"maxUnavailable\":1}}}}'", named(budget))).caution("the workload is then short of one pod while the node is drained"));
    } else {
        diagnosis.remedies.push(
            Remedy::new("bring the pods that are not healthy back first")
                .command(format!("{k} get pods -o wide")),
        );
    }
    diagnosis
}
