//! `control-plane.webhook-timeouts`: an admission webhook lets the API server wait. Where pods are refused for it the
//! workload pack tells so by its events; this speaks of what only the API server itself complains of.

use kwhy_sdk::{Diagnosis, Evidence, Explains, Json, ObjectRef, Remedy, Signal, Step, World, hours};

use crate::{
    WINDOW, line,
    part::{Part, cluster, told},
};

pub(crate) const CODE: &str = "control-plane.webhook-timeouts";

/// So many within the window are more than a pod behind it that was replaced.
const OFTEN: usize = 3;

/// Each webhook that lets the API server wait.
pub(crate) fn timeouts(world: &World<'_>) -> Vec<Diagnosis> {
    let all = told(world, Part::ApiServer, line::WEBHOOK, world.ago(WINDOW));
    let mut names: Vec<&str> = Vec::new();
    for name in all.iter().map(|l| l.field("webhook")) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let refused = world.about(&cluster(world), "cluster", "event", "FailedCreate", world.ago(hours(1)), 100);
    let of =
        |name: &str| -> Vec<Signal> { all.iter().filter(|l| l.field("webhook") == name).cloned().collect() };
    let told_elsewhere =
        |name: &str| refused.iter().any(|e| e.message.contains("failed calling") && e.message.contains(name));
    let found = names.into_iter().filter(|name| !told_elsewhere(name)).map(|name| (name, of(name)));
    found
        .filter(|(_, lines)| lines.len() >= OFTEN)
        .filter_map(|(name, lines)| one(world, name, &lines))
        .collect()
}

fn one(world: &World<'_>, name: &str, lines: &[Signal]) -> Option<Diagnosis> {
    let line = lines.first()?;
    let hook = configured(world, name);
    let root = hook.as_ref().map(|(c, _)| c.clone()).or(line.subject.clone())?;
    let service = hook.as_ref().and_then(|(_, hook)| {
        let service = hook.at("/clientConfig/service");
        service
            .has("/name")
            .then(|| ObjectRef::new("Service", service.text("/namespace"), service.text("/name")))
    });
    let pods = service.as_ref().map(|s| world.related(s, "selects")).unwrap_or_default();
    let ready = |pod: &&ObjectRef| world.condition(pod, "Ready").holds();
    let well = pods.iter().filter(ready).count();
    let passes = line.message.contains("failing open")
        || hook.as_ref().is_some_and(|(_, hook)| hook.text("/failurePolicy") == "Ignore");
    let limit = hook.as_ref().map_or(0, |(_, hook)| hook.number("/timeoutSeconds"));
    let limit = if limit == 0 { "10".to_owned() } else { limit.to_string() };
    let mut d = Diagnosis::new(CODE, root.clone());
    d.confidence = if hook.is_some() { 84 } else { 60 };
    d.title = format!("Admission webhook {name} does not answer the API server in time");
    let state = match (&service, pods.len()) {
        (Some(s), 0) => format!(" Service {} leads to no pod.", s.path()),
        (Some(s), n) => format!(" {well} of {n} pods behind Service {} are ready.", s.path()),
        (None, _) => String::new(),
    };
    d.explanation = format!(
        "{} calls in the last 15 min had no answer within {limit} s. {}{state}",
        lines.len(),
        if passes {
            "The API server lets each request pass after that time, so all that it is asked about is slow."
        } else {
            "The API server refuses each such request after that time."
        }
    );
    d.evidence.extend(lines.iter().take(3).map(|l| Evidence::signal(l, 60, "the API server's own words")));
    if let Some((config, hook)) = &hook {
        let policy = match hook.text("/failurePolicy") {
            "" => "Fail",
            given => given,
        };
        d.evidence.push(Evidence::object(
            config,
            format!("{name}: failurePolicy {policy}, timeoutSeconds {limit}"),
            30,
            "where it is set",
        ));
    }
    for pod in pods.iter().filter(|p| !ready(p)).take(2) {
        d.evidence.push(Evidence::object(pod, "not ready", 30, "a pod behind the webhook"));
    }
    d.explains = vec![
        Explains::alert("KubeAPIServerAdmission*", &root, "cluster"),
        Explains::alert("APIServerAdmissionWebhook*", &root, "cluster"),
    ];
    d.path = vec![Step::new(&root, "", format!("webhook {name} does not answer"))];
    if let Some(service) = &service {
        d.path.push(Step::new(
            service,
            "uses",
            if well == 0 { "no pod is ready".to_owned() } else { format!("{well} pods ready") },
        ));
    }
    let behind = match &service {
        Some(s) => Remedy::new("see whether the pods behind it do their work, and whether the API server reaches them: network policies, a firewall between the control plane and the pods")
            .command(format!("kubectl -n {} get endpoints {}", s.namespace, s.name))
            .command(format!("kubectl -n {} describe service {}", s.namespace, s.name)),
        None => Remedy::new("see what the webhook calls").command("kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations"),
    };
    let kind = root.kind.to_ascii_lowercase();
    d.remedies = vec![behind];
    if hook.is_some() {
        d.remedies.push(
            Remedy::new(
                "or let it be asked less: namespaceSelector, objectSelector, and a shorter timeoutSeconds",
            )
            .command(format!("kubectl edit {kind} {}", root.name))
            .caution("what it guards or fills in is missing from what it is not asked about"),
        );
    }
    Some(d)
}

/// The configuration that names a webhook, and its entry.
fn configured(world: &World<'_>, name: &str) -> Option<(ObjectRef, Json)> {
    ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"].into_iter().find_map(|kind| {
        world.list(kind, "").into_iter().find_map(|config| {
            let hooks = world.read(&config, "/webhooks").unwrap_or_default().list("");
            let hook = hooks.into_iter().find(|h| h.text("/name") == name)?;
            Some((config, hook))
        })
    })
}
