//! `kube-proxy.config-changed-not-restarted`: the ConfigMap of kube-proxy says one thing, its pods run with another,
//! because kube-proxy reads its configuration when it starts. It watches the file, but a mounted ConfigMap is changed by
//! exchanging a symbolic link, which is none of the events that it takes for an update.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, Step, World, clock, minutes};

use crate::{
    address,
    instance::Told,
    list,
    loopback::{self, Copy, Seen, Stale},
    memory::{Firing, Memory},
    remedy,
};

pub(crate) const CODE: &str = "kube-proxy.config-changed-not-restarted";

/// How often that is said again, so that it stands while it is true.
pub(crate) const AGAIN: u64 = minutes(10);
/// How long an edit may wait for its restart before somebody is told, where nothing hurts.
const PATIENCE: u64 = minutes(10);

/// When an edit that hurts nobody is worth a word.
pub(crate) fn due(memory: &Memory, seen: &Seen) -> Option<u64> {
    let waits = seen.copies.iter().any(|c| matches!(c.stale, Stale::Edited(_)));
    memory.edits.first().filter(|_| waits).map(|e| e.at + PATIENCE)
}

/// The diagnosis, where the alerts follow from settings that have been changed since.
pub(crate) fn explains(seen: &Seen, firing: &[Firing]) -> Option<Diagnosis> {
    let hides = |c: &&Copy| {
        matches!(c.stale, Stale::Edited(_))
            && c.would_show()
            && c.then.as_deref().is_some_and(address::is_loopback)
    };
    let newer = |c: &&Copy| c.would_show() && matches!(c.stale, Stale::Newer { .. });
    let certain: Vec<&Copy> = seen.copies.iter().filter(hides).collect();
    let likely: Vec<&Copy> = seen.copies.iter().filter(newer).collect();
    let (old, confidence) = match (certain.is_empty(), likely.len() == seen.copies.len()) {
        _ if firing.is_empty() => return None,
        (false, _) => (certain, 93),
        (true, true) => (likely, 60),
        (true, false) => return None,
    };
    let mut diagnosis = diagnose(seen, &old)?;
    diagnosis.confidence = confidence;
    diagnosis.explains = loopback::explains(seen, firing, &diagnosis.root);
    Some(diagnosis)
}

/// The same as a mere piece of information, where an edit has waited long for its restart and nothing is known to hurt.
pub(crate) fn waits(world: &World<'_>, memory: &Memory, seen: &Seen) -> Option<Diagnosis> {
    due(memory, seen).filter(|at| *at <= world.now())?;
    let old: Vec<&Copy> = seen.copies.iter().filter(|c| matches!(c.stale, Stale::Edited(_))).collect();
    let mut diagnosis = diagnose(seen, &old)?;
    diagnosis.severity = "info".to_owned();
    diagnosis.confidence = 80;
    Some(diagnosis)
}

fn diagnose(seen: &Seen, old: &[&Copy]) -> Option<Diagnosis> {
    if !seen.is_well() {
        return None;
    }
    let first = *old.first()?;
    let Some(Told::Map { map, line }) = first.now.as_ref().map(|l| &l.told) else { return None };
    let mut diagnosis = Diagnosis::new(CODE, first.root());
    diagnosis.title = format!(
        "kube-proxy still runs with the old configuration: ConfigMap {} was edited, its pods were not restarted",
        map.name
    );
    let when = match &first.stale {
        Stale::Edited(edit) => format!("was edited at {}", clock(edit.at)),
        _ => "was changed".to_owned(),
    };
    let names: Vec<String> = old.iter().map(|c| c.instance.id.name.clone()).collect();
    let before = first.then.as_deref().map_or(String::new(), |a| {
        format!(" They still serve metrics on {a} only, out of reach of Prometheus.")
    });
    // Where the metrics are not what was edited, what was is more telling.
    let says = match &first.stale {
        Stale::Edited(edit) if edit.old.is_none() => edit.change(),
        _ => format!("now says `{line}`"),
    };
    diagnosis.explanation = format!(
        "ConfigMap {} {when} and {says}, but kube-proxy reads it at its start only, and {} of {} pods have run \
         since before ({}).{before} kube-proxy itself is well: {}.",
        map.path(),
        old.len(),
        seen.all,
        list(&names),
        seen.fares(),
    );
    evidence(old, first, map, line, &mut diagnosis);
    diagnosis.path.push(Step::new(map, "", line.clone()));
    let workload = &first.instance.workload;
    diagnosis.path.push(Step::new(
        workload,
        "used-by",
        format!("{} of {} pods older than that", old.len(), seen.all),
    ));
    diagnosis.remedies.push(
        Remedy::new("restart kube-proxy, so that it reads its configuration")
            .command(remedy::restart(workload))
            .caution("one node after the other; connections go on, since the rules stay in the kernel"),
    );
    Some(diagnosis)
}

fn evidence(old: &[&Copy], first: &Copy, map: &ObjectRef, line: &str, diagnosis: &mut Diagnosis) {
    match &first.stale {
        Stale::Edited(edit) => {
            let mut changed =
                Evidence::object(map, edit.lines.clone(), 50, format!("edited at {}", clock(edit.at)));
            changed.signal = Some(edit.signal.clone());
            diagnosis.evidence.push(changed);
        }
        Stale::Newer { map: newer, pod } => {
            let excerpt = format!("resourceVersion {newer}, that of the pod {pod}");
            let note = "changed after the last change of the pod, so after its start";
            diagnosis.evidence.push(Evidence::object(map, excerpt, 30, note));
        }
        Stale::No => {}
    }
    diagnosis.evidence.push(Evidence::object(map, line, 20, "what it says now"));
    for copy in old.iter().take(3) {
        let excerpt = format!("running since {}", copy.instance.started());
        diagnosis.evidence.push(Evidence::object(&copy.instance.id, excerpt, 20, "started before the edit"));
    }
}
