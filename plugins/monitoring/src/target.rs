//! `monitoring.target-down-by-cause`: targets that cannot be scraped though their pods are well, or that are none.
//! Where the pods themselves are ill, other rules tell why.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, hours, minutes,
};

use crate::admission;

pub(crate) const CODE: &str = "monitoring.target-down-by-cause";

/// Judges one alert about a job.
pub(crate) fn judge(world: &World<'_>, alert: &Signal, subject: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    if alert.state != "firing" {
        return verdict;
    }
    let namespace = alert.field("namespace");
    let service = ObjectRef::new("Service", namespace, alert.field("service"));
    if service.name.is_empty() || !world.exists(&service) {
        return verdict;
    }
    let pods = world.related(&service, "selects");
    if pods.is_empty() || !pods.iter().all(|p| world.condition(p, "Ready").holds()) {
        return verdict;
    }
    // Policies that came or changed shortly before the scrapes failed, and that select a pod of the job.
    let from = alert.at.saturating_sub(hours(2));
    let culprit = world.list("NetworkPolicy", namespace).into_iter().find_map(|policy| {
        let hits = world.related(&policy, "selects").iter().any(|p| pods.iter().any(|x| x.is(p)));
        let types = world.read(&policy, "/spec/policyTypes").unwrap_or_default().texts("");
        let inward = types.is_empty() || types.iter().any(|t| t == "Ingress");
        let change =
            world.changes(&policy, "self", from, 3).into_iter().find(|c| c.at + minutes(5) < alert.at);
        (hits && inward && !admission::admits(world, &policy, alert, &service, &pods)).then_some(())?;
        Some((policy, change?))
    });
    let Some((policy, change)) = culprit else { return verdict };
    let mut d = Diagnosis::new(CODE, policy.clone());
    d.confidence = 80;
    d.title = format!("NetworkPolicy {} keeps Prometheus from scraping {}", policy.path(), service.path());
    d.explanation = format!(
        "All {} pods behind {} are ready, but Prometheus cannot reach them since NetworkPolicy {} was {}: it selects \
         them and lets in only what it names.",
        pods.len(),
        service.path(),
        policy.name,
        if change.name == "ADDED" { "made" } else { "changed" }
    );
    d.evidence.push(Evidence::signal(&change, 60, "before the scrapes failed"));
    d.evidence.push(Evidence::signal(alert, 40, "the targets cannot be scraped"));
    let well = pods.iter().take(2).map(|p| Evidence::object(p, "Ready=True", 30, "the pod itself is well"));
    d.evidence.extend(well);
    d.explains =
        vec![Explains::alert("TargetDown", subject, "self"), Explains::alert("TargetDown", &service, "self")];
    d.path = vec![Step::new(&policy, "", ""), Step::new(&service, "selects", "its pods are ready")];
    d.remedies =
        vec![Remedy::new("let the namespace of Prometheus in at the port of the metrics").command(format!(
            "kubectl -n {} edit networkpolicy {}     # ingress from the namespace of Prometheus",
            policy.namespace, policy.name
        ))];
    verdict.diagnoses.push(d);
    verdict
}
