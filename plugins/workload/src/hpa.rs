//! `workload.hpa-no-metrics`: an autoscaler that cannot count because the pods it scales name no requests. Where the
//! metrics API itself does not answer, metrics-server or its adapter is the cause, and nothing is said here.
//!
//! Texts of pkg/controller/podautoscaler/metrics (`missing request for cpu in container …`, before 1.27 `missing request
//! for cpu`).

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World};

use crate::words::{between, kubectl, named, spoken};

pub(crate) const CODE: &str = "workload.hpa-no-metrics";

pub(crate) fn told(world: &World<'_>, hpa: &ObjectRef, event: &Signal) -> Verdict {
    let mut verdict = Verdict::default();
    let Some((_, rest)) = event.message.split_once("missing request for ") else { return verdict };
    let resource = rest.split([' ', ',']).next().unwrap_or("cpu").trim_end_matches('.');
    let container = between(rest, "container ", " ").unwrap_or("");
    let target = world.related(hpa, "scales").into_iter().next().unwrap_or_else(|| hpa.clone());
    let mut diagnosis = Diagnosis::new(CODE, target.clone());
    diagnosis.confidence = 88;
    diagnosis.title = format!("{} cannot scale: {} has no {resource} request", spoken(hpa), spoken(&target));
    diagnosis.explanation = format!(
        "The autoscaler counts in percent of the {resource} request{}, and there is none, so it scales nothing.",
        if container.is_empty() { String::new() } else { format!(" of container {container}") }
    );
    diagnosis.evidence.push(crate::counted(event, 50, "what the autoscaler says"));
    diagnosis.evidence.push(Evidence::object(
        &target,
        format!("no {resource} request"),
        15,
        "what is missing",
    ));
    diagnosis.path.push(Step::new(&target, "", format!("no {resource} request")));
    diagnosis.path.push(Step::new(hpa, "scaled-by", "cannot count"));
    for name in ["KubeHpa*", "HPA*", "*Hpa*"] {
        diagnosis.explains.push(Explains::alert(name, hpa, "self"));
    }
    diagnosis.explains.push(Explains::event("Failed*", hpa, "self"));
    let of = if container.is_empty() { String::new() } else { format!(" -c {container}") };
    let amount = if resource == "memory" { "128Mi" } else { "100m" };
    diagnosis.remedies.push(
        Remedy::new(format!("give its containers a {resource} request near what they use")).command(format!(
            "{} set resources {}{of} --requests={resource}={amount}",
            kubectl(&target.namespace),
            named(&target)
        )),
    );
    verdict.diagnoses.push(diagnosis);
    verdict
}
