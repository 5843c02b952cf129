//! `workload.pod-security` as the kubelet sees it: a container that must not run as root and would.
//!
//! Texts of pkg/kubelet/kuberuntime/security_context.go.

use kwhy_sdk::{Diagnosis, Evidence, Remedy, World};

use crate::{
    case,
    pod::{Container, Pod},
    words::{short, spoken, strategic},
};

pub(crate) const CODE: &str = "workload.pod-security";

/// How a workload that truly needs more rights gets them, by what refuses it: the namespace's level, a
/// PodSecurityPolicy (until 1.25) or a SecurityContextConstraint.
pub(crate) fn allow(text: &str, namespace: &str) -> Remedy {
    if text.contains("security context constraint") {
        return Remedy::new("or let its ServiceAccount use a constraint that allows it")
            .command(format!("oc adm policy add-scc-to-user <scc> -z <serviceaccount> -n {namespace}"))
            .caution("it lowers the guard for every pod of that ServiceAccount");
    }
    if text.contains("violates PodSecurity") {
        return Remedy::new(
            "or, for a workload that truly needs more rights, enforce a lower level in its namespace",
        )
        .command(format!(
            "kubectl label namespace {namespace} pod-security.kubernetes.io/enforce={} --overwrite",
            lower(text)
        ))
        .caution("it lowers the guard for every pod of the namespace");
    }
    Remedy::new("or let its ServiceAccount use a PodSecurityPolicy that allows it")
        .command("kubectl get podsecuritypolicies")
        .command(format!(
            "kubectl -n {namespace} create rolebinding <name> --clusterrole=<role that may use the policy> --serviceaccount={namespace}:<serviceaccount>"
        ))
        .caution("it lowers the guard for every pod of that ServiceAccount")
}

/// The level below the one that is violated.
fn lower(text: &str) -> &'static str {
    if text.contains("PodSecurity \"baseline") { "privileged" } else { "baseline" }
}

pub(crate) fn judge_container(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    let (_, message) = container.waiting();
    if !message.contains("container has runAsNonRoot")
        && !message.contains("container's runAsUser breaks non-root policy")
    {
        return None;
    }
    let mut diagnosis = case::of_pod(world, CODE, &pod.workload, pod, 92);
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let unknown = message.contains("non-numeric user");
    diagnosis.title = format!(
        "{whose} must not run as root, and container {name} {}",
        if unknown { "names its user by a name that cannot be checked" } else { "would" }
    );
    diagnosis.explanation = format!(
        "The pod sets runAsNonRoot, and the image {} {}, so the kubelet does not make container {name}.",
        container.image(),
        if unknown { "names its user by name instead of by number" } else { "runs as root" }
    );
    diagnosis.evidence.push(Evidence::object(&pod.id, short(message, 400), 50, "why the container waits"));
    case::note_root(&mut diagnosis, "runAsNonRoot");
    let patch = format!(
        "{{\"spec\":{{\"template\":{{\"spec\":{{\"containers\":[{{\"name\":\"{name}\",\"securityContext\":{{\"runAsUser\":1000}}}}]}}}}}}}}"
    );
    diagnosis.remedies.push(
        Remedy::new("run it as a numbered user who may read the image's files")
            .command(strategic(&pod.holder, &patch))
            .caution("files that belong to root in the image or its volumes may then not be writable"),
    );
    diagnosis.remedies.push(Remedy::new("or build the image with a numeric USER"));
    Some(diagnosis)
}
