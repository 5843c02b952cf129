//! `workload.hpa-at-maximum`: an autoscaler wants more replicas than it may have, and an alert says that it is felt.
//!
//! Being at the maximum is no finding by itself: it may be what the maximum is for.

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Explains, Json, ObjectRef, Remedy, Step, Verdict, World, hours,
};

use crate::{
    hpa,
    words::{kubectl, named, short, spoken},
};

pub(crate) const CODE: &str = "workload.hpa-at-maximum";

const KEEP: u64 = hours(24 * 7);

fn slot(hpa: &ObjectRef) -> String {
    format!("hm/{}", crate::words::hash(&hpa.path()))
}

/// What the condition ScalingLimited says, where it is the maximum that limits.
fn limited(world: &World<'_>, hpa: &ObjectRef) -> Option<String> {
    let all = hpa::conditions(world, hpa);
    let found = all.iter().find(|c| {
        c.text("/type") == "ScalingLimited"
            && c.text("/status") == "True"
            && c.text("/reason") == "TooManyReplicas"
    })?;
    Some(format!("{}: {}", found.text("/reason"), found.text("/message")))
}

/// An alert about an autoscaler.
pub(crate) fn alerted(world: &World<'_>, hpa: &ObjectRef, name: &str) -> Verdict {
    if !name.to_ascii_lowercase().contains("max") {
        return Verdict::default();
    }
    let Some(said) = limited(world, hpa) else { return Verdict::default() };
    world.remember(&slot(hpa), &true, KEEP);
    Verdict { diagnoses: vec![diagnose(world, hpa, &said)], ..Verdict::default() }
}

/// A state of an autoscaler that was found at its maximum.
pub(crate) fn seen(world: &World<'_>, hpa: &ObjectRef) -> Verdict {
    if !world.remembers(&slot(hpa)) || limited(world, hpa).is_some() {
        return Verdict::default();
    }
    world.forget(&slot(hpa));
    let over = Clearing::new(CODE, hpa, format!("{} has room again", spoken(hpa)));
    Verdict { cleared: vec![over], ..Verdict::default() }
}

/// `cpu at 143 % of its request, wanted 70 %`, of the first metric that is above what is wanted.
fn load(spec: &Json, status: &Json) -> Option<String> {
    let current = status.list("/currentMetrics");
    spec.list("/metrics").iter().find_map(|metric| {
        let name = metric.text("/resource/name");
        let wanted = metric.number("/resource/target/averageUtilization");
        let now = current.iter().find(|c| c.text("/resource/name") == name)?;
        let is = now.number("/resource/current/averageUtilization");
        (wanted > 0 && is > wanted)
            .then(|| format!("{name} is at {is} % of its request, {wanted} % is wanted"))
    })
}

fn diagnose(world: &World<'_>, hpa: &ObjectRef, said: &str) -> Diagnosis {
    let target = world.related(hpa, "scales").into_iter().next().unwrap_or_else(|| hpa.clone());
    let spec = world.read(hpa, "/spec").unwrap_or_default();
    let status = world.read(hpa, "/status").unwrap_or_default();
    let most = spec.number("/maxReplicas");
    let mut diagnosis = Diagnosis::new(CODE, hpa.clone());
    diagnosis.confidence = 70;
    diagnosis.title =
        format!("{} holds {} at its maximum of {most} replicas and wants more", spoken(hpa), spoken(&target));
    diagnosis.explanation = format!(
        "The autoscaler's limit maxReplicas is reached{}: the load is more than {most} replicas are meant for, or each of them does less than before.",
        load(&spec, &status).map(|l| format!("; {l}")).unwrap_or_default()
    );
    diagnosis.evidence.push(Evidence::object(hpa, short(said, 400), 50, "condition ScalingLimited"));
    diagnosis.path.push(Step::new(hpa, "", format!("at its maximum of {most}")));
    if !target.is(hpa) {
        diagnosis.path.push(Step::new(&target, "scales", ""));
    }
    for name in ["KubeHpa*", "HPA*", "*Hpa*"] {
        diagnosis.explains.push(Explains::alert(name, hpa, "self"));
    }
    for name in ["*Latency*", "*Slow*", "*Saturat*"] {
        diagnosis.explains.push(Explains::alert(name, &target, "workload"));
    }
    let k = kubectl(&hpa.namespace);
    diagnosis.remedies.push(
        Remedy::new("see whether the load is as it should be, and what each replica spends its time on")
            .command(format!("{k} describe {}", named(hpa)))
            .command(format!("{k} top pods")),
    );
    diagnosis.remedies.push(
        Remedy::new("or raise maxReplicas")
            .command(format!(
                "{k} patch {} --type merge -p '{{\"spec\":{{\"maxReplicas\":{}}}}}'",
                named(hpa),
                most.saturating_add((most / 2).max(1))
            ))
            .caution("the nodes must have room for them, and what they call must bear more clients"),
    );
    diagnosis
}
