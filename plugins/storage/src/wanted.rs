//! Claims that keep a pod from being scheduled, by the scheduler's own words: one that is not there at all, and those of
//! a pod that nobody has shown.
//!
//! Texts of pkg/scheduler/framework/plugins/volumebinding: `persistentvolumeclaim "x" not found`, `persistentvolumeclaim
//! "x" is being deleted`, `pod has unbound immediate PersistentVolumeClaims`.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, Wake, World, clock, hours,
    minutes,
};

use crate::{LOOK, memory::Held, unbound::UNBOUND};

/// A claim may be made a moment after the pod, and making a volume takes its time.
const PATIENCE: u64 = minutes(3);

/// What the scheduler misses.
enum Lack {
    Claim { name: String, going: bool },
    Volume,
}

fn read(message: &str) -> Option<Lack> {
    if message.contains("unbound immediate PersistentVolumeClaims") {
        return Some(Lack::Volume);
    }
    let (_, rest) = message.split_once("persistentvolumeclaim \"")?;
    let (name, rest) = rest.split_once('"')?;
    let going = rest.trim_start().starts_with("is being deleted");
    (going || rest.trim_start().starts_with("not found"))
        .then(|| Lack::Claim { name: name.to_owned(), going })
}

/// Looks at a pod of which the scheduler has spoken.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, pod: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let workload = world.workload(pod);
    let last = |reason: &str| world.about(pod, "self", "event", reason, world.ago(hours(1)), 1).pop();
    let node = world.read(pod, "/spec/nodeName").is_some_and(|n| !n.text("").is_empty());
    let told_only = world.only_told(pod);
    let waits = !node && (told_only || world.exists(pod));
    let said = last("FailedScheduling").filter(|e| waits && last("Scheduled").is_none_or(|s| s.at < e.at));
    let Some((lack, event)) = said.and_then(|e| Some((read(&e.message)?, e))) else {
        held.clear(&mut verdict, &[UNBOUND], &workload, &format!("pod {} has a node", pod.name));
        return verdict;
    };
    let due = event.began() + PATIENCE;
    if due > world.now() {
        verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(pod.clone()), at: due });
        return verdict;
    }
    let root = match &lack {
        Lack::Claim { name, going } => {
            let claim = ObjectRef::new("PersistentVolumeClaim", &pod.namespace, name);
            // It has come since, and is judged by itself.
            if world.exists(&claim) && !going {
                return verdict;
            }
            claim
        }
        // Claims that were shown speak for themselves.
        Lack::Volume if told_only && !world.any("PersistentVolumeClaim", &pod.namespace) => workload.clone(),
        Lack::Volume => return verdict,
    };
    // The claim's own events tell more; and of a pod that nobody has shown it must be said again.
    let again = event.at > event.began() || event.field("count").parse().unwrap_or(1) > 1;
    if matches!(lack, Lack::Volume) && told(world, pod) || told_only && !again {
        return verdict;
    }
    held.assert(&mut verdict, diagnose(world, pod, &workload, root, &lack, &event));
    verdict
}

/// Whether claims of the pod's namespace are told of in events.
fn told(world: &World<'_>, pod: &ObjectRef) -> bool {
    let of =
        |reason: &str| !world.about(pod, "namespace", "event", reason, world.ago(hours(1)), 1).is_empty();
    of("ProvisioningFailed") || of("FailedBinding")
}

fn diagnose(
    world: &World<'_>,
    pod: &ObjectRef,
    workload: &ObjectRef,
    root: ObjectRef,
    lack: &Lack,
    event: &Signal,
) -> Diagnosis {
    let whose = format!("{} {}", workload.kind, workload.path());
    let mut d = Diagnosis::new(UNBOUND, root.clone());
    let since = clock(event.began());
    d.confidence = if world.only_told(pod) { 75 } else { 90 };
    let k = format!("kubectl -n {}", pod.namespace);
    match lack {
        Lack::Claim { going: false, .. } => {
            d.title = format!("Claim {} does not exist, and {whose} needs it", root.path());
            d.explanation =
                format!("Pod {} names it as a volume, so no node can take the pod since {since}.", pod.name);
            d.remedies = vec![
                Remedy::new("make the claim, or bring it back from where it is kept")
                    .command(format!("{k} get pvc"))
                    .command(format!("{k} apply -f <manifest of {}>", root.name)),
                Remedy::new("or mend the name of the claim in the template").command(format!(
                    "{k} edit {} {}",
                    workload.kind.to_ascii_lowercase(),
                    workload.name
                )),
            ];
        }
        Lack::Claim { going: true, .. } => {
            d.title = format!("Claim {} is being deleted, and {whose} needs it", root.path());
            d.explanation = format!(
                "Pod {} names it as a volume, and no new pod may use a claim that goes, so none is scheduled since {since}.",
                pod.name
            );
            d.remedies = vec![
                Remedy::new(
                    "see who still uses the claim and what deleted it: it goes when its last pod has ended",
                )
                .command(format!("{k} describe pvc {}", root.name))
                .caution("with reclaim policy Delete the data goes with it"),
            ];
        }
        Lack::Volume => {
            d.title = format!("{whose} waits for a claim that has no volume");
            d.explanation = format!(
                "The scheduler says of pod {} since {since} that a claim which it uses is not bound. Which one, and why, the claims themselves tell.",
                pod.name
            );
            d.remedies = vec![
                Remedy::new("see which claim is pending, and what its events say")
                    .command(format!("{k} get pvc"))
                    .command(format!(
                        "{k} get events --field-selector involvedObject.kind=PersistentVolumeClaim"
                    )),
            ];
        }
    }
    d.evidence.push(Evidence::signal(event, 60, "the scheduler's own words"));
    d.explains.extend(Explains::waiting(workload, "workload"));
    d.explains.push(Explains::event("FailedScheduling", pod, "self"));
    d.path = vec![Step::new(&root, "", "")];
    if !root.is(workload) {
        d.path.push(Step::new(workload, "used-by", ""));
    }
    d.path.push(Step::new(pod, if root.is(workload) { "owned" } else { "used-by" }, "no node takes it"));
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_scheduler_misses_is_read_from_its_words() {
        let name = |text: &str| match read(text) {
            Some(Lack::Claim { name, going }) => Some((name, going)),
            _ => None,
        };
        assert_eq!(name("persistentvolumeclaim \"data\" not found"), Some(("data".to_owned(), false)));
        let wrapped = "0/3 nodes are available: persistentvolumeclaim \"data-db-0\" not found. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
        assert_eq!(name(wrapped), Some(("data-db-0".to_owned(), false)));
        assert_eq!(
            name("0/1 nodes are available: persistentvolumeclaim \"data\" is being deleted."),
            Some(("data".to_owned(), true))
        );
        let waits =
            "waiting for ephemeral volume controller to create the persistentvolumeclaim \"web-scratch\"";
        assert!(read(waits).is_none());
        assert!(matches!(
            read("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
            Some(Lack::Volume)
        ));
        assert!(read("0/3 nodes are available: 3 Insufficient cpu.").is_none());
    }
}
