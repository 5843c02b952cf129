//! `workload.operator-fight` over the number of replicas: an autoscaler sets it, and what applies the manifests, a GitOps
//! controller or a pipeline, sets it back, again and again.
//!
//! An autoscaler by itself takes minutes between a step up and the step down that undoes it (stabilizationWindowSeconds
//! is 300 by default), and seldom goes back to the very same number.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, clock, minutes,
};

use crate::{
    case,
    fight::{CHURN, FIGHT},
    words::{kubectl, named, spoken},
};

/// The turns of a fight lie within this time.
const WINDOW: u64 = minutes(60);
/// What one writes, the other takes back within this time, or a little more for tools that look every three minutes.
const BACK: u64 = minutes(4);
/// As many times must a number be taken back.
const TURNS: usize = 3;

/// One write of the number of replicas.
struct Write {
    old: String,
    new: String,
    at: u64,
    signal: Signal,
}

/// The writes within the window, the oldest first.
fn writes(world: &World<'_>, of: &ObjectRef) -> Vec<Write> {
    let changes = world.changes(of, "self", world.ago(WINDOW), 60);
    let read = |signal: Signal| {
        let field = signal.fields.iter().find(|f| f.name == "/spec/replicas")?;
        let side = |mark: &str| field.value.lines().find_map(|l| l.strip_prefix(mark)).map(str::to_owned);
        Some(Write { old: side("- ")?, new: side("+ ")?, at: signal.at, signal })
    };
    changes.into_iter().filter_map(read).rev().collect()
}

/// How often what was written was taken back soon after.
fn taken_back(writes: &[Write]) -> usize {
    let back = |pair: &&[Write]| match pair {
        [a, b] => a.old == b.new && a.new == b.old && b.at.saturating_sub(a.at) <= BACK,
        _ => false,
    };
    writes.windows(2).filter(back).count()
}

/// Whether pods come and go because the number of replicas does.
pub(crate) fn moves(world: &World<'_>, of: &ObjectRef) -> bool {
    writes(world, of).len() >= TURNS
}

/// What applies an object's manifest, by the marks that it leaves on it: a name, and where to look.
fn applied_by(world: &World<'_>, of: &ObjectRef) -> Option<(&'static str, String)> {
    let meta = world.read(of, "/metadata").unwrap_or_default();
    let (notes, labels) = (meta.at("/annotations"), meta.at("/labels"));
    let tracking = notes.text("/argocd.argoproj.io~1tracking-id");
    let application = tracking.split(':').next().unwrap_or("").rsplit('_').next().unwrap_or("").to_owned();
    if !application.is_empty() {
        return Some(("Argo CD", application));
    }
    let argo = labels.text("/argocd.argoproj.io~1instance");
    if !argo.is_empty() {
        return Some(("Argo CD", argo.to_owned()));
    }
    for (mark, tool) in [
        ("/kustomize.toolkit.fluxcd.io~1name", "Flux (kustomize-controller)"),
        ("/helm.toolkit.fluxcd.io~1name", "Flux (helm-controller)"),
    ] {
        if !labels.text(mark).is_empty() {
            return Some((tool, labels.text(mark).to_owned()));
        }
    }
    let release = notes.text("/meta.helm.sh~1release-name");
    (!release.is_empty()).then(|| ("a Helm release", release.to_owned()))
}

/// Whether an autoscaler says that it goes both ways itself.
fn by_itself(world: &World<'_>, of: &ObjectRef, writes: &[Write]) -> bool {
    let Some(last) = writes.last() else { return false };
    world.related(of, "scaled-by").iter().any(|scaler| {
        let told = world.about(scaler, "self", "event", "SuccessfulRescale", world.ago(WINDOW), 60);
        let says = |size: &str| told.iter().any(|e| e.message.starts_with(&format!("New size: {size};")));
        says(&last.old) && says(&last.new)
    })
}

/// Looks at a workload whose number of replicas was written.
pub(crate) fn seen(world: &World<'_>, of: &ObjectRef, signal: &Signal) -> Verdict {
    let mut verdict = Verdict::default();
    if !signal.fields.iter().any(|f| f.name == "/spec/replicas") {
        return verdict;
    }
    let all = writes(world, of);
    if taken_back(&all) >= TURNS && !by_itself(world, of, &all) {
        verdict.diagnoses.push(fight(world, of, &all));
    }
    verdict
}

fn fight(world: &World<'_>, of: &ObjectRef, writes: &[Write]) -> Diagnosis {
    let scaler = world.related(of, "scaled-by").into_iter().next();
    let tool = applied_by(world, of);
    let mut diagnosis = Diagnosis::new(FIGHT, of.clone());
    diagnosis.confidence = match (&scaler, &tool) {
        (Some(_), Some(_)) => 88,
        (None, None) => 72,
        _ => 80,
    };
    let what = spoken(of);
    let one =
        scaler.as_ref().map_or_else(|| "One manager".to_owned(), |s| format!("The autoscaler {}", s.path()));
    let other = match &tool {
        Some((name, which)) => format!("{name} ({which})"),
        None => "another manager".to_owned(),
    };
    diagnosis.title = format!("{one} and {other} set the replicas of {what} in turn");
    let (low, high) = writes.last().map_or(("", ""), |w| (w.old.as_str(), w.new.as_str()));
    diagnosis.explanation = format!(
        "The number of replicas went between {low} and {high} and back {} times since {} UTC; each turn makes or ends pods, whatever their state. {}",
        taken_back(writes),
        clock(writes.first().map_or(0, |w| w.at)),
        match (&scaler, &tool) {
            (Some(_), _) => "A manifest that names replicas takes back what the autoscaler (HPA) has set.",
            _ => "Two of whoever scales it do not know of each other.",
        }
    );
    for write in writes.iter().rev().take(3) {
        diagnosis.evidence.push(
            Evidence::signal(&write.signal, 40, "one turn")
                .citing(format!("spec.replicas {} → {}", write.old, write.new)),
        );
    }
    if let Some(scaler) = &scaler {
        let told = world.about(scaler, "self", "event", "SuccessfulRescale", world.ago(WINDOW), 1);
        diagnosis.evidence.extend(told.first().map(|e| crate::counted(e, 35, "what the autoscaler does")));
    }
    diagnosis.path.push(Step::new(of, "", "its number of replicas goes back and forth"));
    if let Some(scaler) = &scaler {
        diagnosis.path.push(Step::new(scaler, "scaled-by", "sets it"));
    }
    diagnosis.explains = case::explains(world, of);
    for name in ["*Churn*", "*Scal*", "*Flap*"] {
        diagnosis.explains.push(Explains::alert(name, of, "workload"));
    }
    let k = kubectl(&of.namespace);
    let leave = match &tool {
        Some(("Argo CD", application)) => Remedy::new(
            "let Argo CD leave the number alone: take replicas out of the manifest, or name it under ignoreDifferences with RespectIgnoreDifferences=true",
        )
        .command(format!(
            "kubectl -n argocd edit application {application}     # spec.ignoreDifferences: [{{group: apps, kind: {}, jsonPointers: [/spec/replicas]}}]",
            of.kind
        )),
        Some((name, which)) => {
            Remedy::new(format!("take replicas out of the manifest that {name} ({which}) applies"))
        }
        None => Remedy::new("find who else writes replicas, and take the field out of its manifest").command(
            format!("{k} get {} -o yaml --show-managed-fields | grep -B3 -A20 'f:replicas'", named(of)),
        ),
    };
    diagnosis.remedies.push(leave);
    if let Some(scaler) = &scaler {
        diagnosis.remedies.push(
            Remedy::new("or, if the number in the manifest is meant, delete the autoscaler")
                .command(format!("{k} delete hpa {}", scaler.name))
                .caution("the workload is not scaled with its load then"),
        );
    }
    diagnosis.supersedes = vec![CHURN.into()];
    diagnosis
}
