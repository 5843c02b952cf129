//! The change rule pack: what was edited, rolled out, scaled or booted shortly before alerts began that nothing else
//! explains. It is a lead and no proof, so its confidence stays below that of every rule which knows a cause.

mod finding;
mod firing;
mod lead;
mod memory;

use kwhy_sdk::{
    Clearing, Descriptor, ObjectRef, Rule, Signal, Subscription, Verdict, Wake, World, minutes, seconds,
};

use crate::{lead::Lead, memory::Memory};

/// The pack.
#[derive(Debug, Default)]
pub struct Change;

kwhy_sdk::export!(Change);

/// Timer for a second look at a workload that alerts speak of.
const LOOK: &str = "change-look";
/// When after an alert to look: once the rules that know causes have spoken, and again when it has come to stay.
const LOOKS: [u64; 2] = [seconds(90), STAYS];
/// An alert that lasts so long is no by-product of a rollout that goes well.
const STAYS: u64 = minutes(5);

impl Rule for Change {
    fn describe(&self) -> Descriptor {
        let sre = "https://sre.google/sre-book/introduction/";
        let any = "any Kubernetes";
        Descriptor::new("change", env!("CARGO_PKG_VERSION"))
            .code(
                lead::ROLLOUT,
                "Alerts began after a rollout",
                any,
                &[sre, "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-back-a-deployment"],
            )
            .code(
                lead::EDIT,
                "Alerts began after something that the workload uses was edited or deleted",
                any,
                &[sre, "https://kubernetes.io/docs/tasks/configure-pod-container/configure-pod-configmap/"],
            )
            .code(
                lead::SCALE,
                "Alerts began after the number of replicas was changed",
                any,
                &[sre, "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#scaling-a-deployment"],
            )
            .code(
                lead::REBOOT,
                "Alerts began after a node was booted",
                any,
                &[sre, "https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/"],
            )
            .wants(Subscription::alerts(&["*"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        let workload = firing::concerned(world, subject);
        let mut verdict = Verdict::default();
        match signal.source.as_str() {
            "alert" if firing::speaks(signal) => {
                let wake = |at| Wake { id: LOOK.into(), subject: Some(workload.clone()), at };
                let looks = LOOKS.map(|after| signal.at + after);
                verdict.wakes.extend(looks.into_iter().filter(|at| *at > world.now()).map(wake));
                // It has burned for long when it is first heard of.
                if verdict.wakes.is_empty() {
                    verdict.wakes.push(wake(world.now() + LOOKS[0]));
                }
            }
            "alert" => relieve(world, &workload, &mut verdict),
            _ => look(world, &workload, &mut verdict),
        }
        Ok(verdict)
    }
}

/// Looks for what changed before the alerts of a workload began.
fn look(world: &World<'_>, workload: &ObjectRef, verdict: &mut Verdict) {
    let alerts = firing::on(world, workload);
    let onset = firing::onset(world, workload, &alerts);
    let lead = onset.and_then(|onset| lead::best(world, workload, onset));
    let mut memory = Memory::load(world);
    blame(&mut memory, workload, lead.as_ref(), verdict);
    if let Some(lead) = &lead {
        let with_alerts = |workload: ObjectRef| (firing::on(world, &workload), workload);
        let felt: Vec<_> = memory.felt_by(lead.code, &lead.root).into_iter().map(with_alerts).collect();
        let stays = felt.iter().flat_map(|(alerts, _)| alerts).any(|a| a.at + STAYS <= world.now());
        verdict.diagnoses.push(finding::of(world, lead, &felt, stays));
    }
    memory.save(world);
}

/// An alert ended: with the last one of a workload the blame ends too.
fn relieve(world: &World<'_>, workload: &ObjectRef, verdict: &mut Verdict) {
    if firing::on(world, workload).is_empty() {
        let mut memory = Memory::load(world);
        blame(&mut memory, workload, None, verdict);
        memory.save(world);
    }
}

fn blame(memory: &mut Memory, workload: &ObjectRef, lead: Option<&Lead>, verdict: &mut Verdict) {
    if let Some((code, root)) = memory.blame(workload, lead.map(|l| (l.code, &l.root))) {
        let because =
            if lead.is_some() { "another change is the better lead" } else { "its alerts have ended" };
        verdict.cleared.push(Clearing::new(&code, &root, because));
    }
}
