//! Pods that work and say that they cannot reach another service: no state of theirs tells of it, so it counts when they
//! say it again and again, or when an alert speaks of their workload.

use kwhy_sdk::{ObjectRef, Signal, Verdict, World, minutes};

use crate::{case, expired, logs, look, pod, service};

/// How far back complaints count.
const RECENT: u64 = minutes(10);
/// So many complaints of one pod are no passing trouble.
const OFTEN: u32 = 5;
/// So many of a workload are the reason for an alert that fires on it.
const ALERTED: usize = 3;
/// Pods of one workload that are asked: they are alike.
const PODS: usize = 20;

/// Complaints about another service that count by themselves.
const COMPLAINTS: [&str; 2] = [logs::PEER, logs::EXPIRED];

pub(crate) fn counts(name: &str) -> bool {
    COMPLAINTS.contains(&name)
}

/// A pod complains.
pub(crate) fn complains(world: &World<'_>, pod: &ObjectRef, line: &Signal) -> Verdict {
    let often = world.about(pod, "self", "log", &line.name, world.ago(RECENT), OFTEN).len();
    if often >= usize::try_from(OFTEN).unwrap_or(usize::MAX) {
        judge(world, pod, line)
    } else {
        Verdict::default()
    }
}

/// An alert fires on a workload or one of its pods.
pub(crate) fn alerted(world: &World<'_>, subject: &ObjectRef, alert: &Signal) -> Verdict {
    let workload = world.workload(subject);
    if alert.state != "firing" || case::sufferer_of(world, &workload).is_some() {
        return Verdict::default();
    }
    // The newest first; so few are put in their places at less cost than a sort has.
    let mut all: Vec<(ObjectRef, Signal)> = Vec::new();
    for pod in world.pods(&workload).into_iter().take(PODS) {
        for name in COMPLAINTS {
            let lines = world.about(&pod, "self", "log", name, world.ago(RECENT), OFTEN);
            for line in lines.into_iter().filter(|line| !logs::calm(&line.message)) {
                let older = |(_, known): &(ObjectRef, Signal)| (known.at, &known.id) < (line.at, &line.id);
                let place = all.iter().position(older).unwrap_or(all.len());
                all.insert(place, (pod.clone(), line));
            }
        }
    }
    if all.len() < ALERTED {
        return Verdict::default();
    }
    let told = all.iter().map(|(pod, line)| judge(world, pod, line));
    told.into_iter().find(|verdict| !verdict.diagnoses.is_empty()).unwrap_or_default()
}

fn judge(world: &World<'_>, pod: &ObjectRef, line: &Signal) -> Verdict {
    let of = |pod: &pod::Pod| match line.name.as_str() {
        logs::EXPIRED => expired::judge(world, pod, line),
        _ => service::judge(world, pod, line),
    };
    let found = pod::Pod::load(world, pod).and_then(|pod| Some((of(&pod)?, pod)));
    let Some((found, pod)) = found else { return Verdict::default() };
    let mut verdict = look::told_on(world, &found, &pod.workload);
    verdict.merge(Verdict { diagnoses: vec![found], ..Verdict::default() });
    verdict
}
