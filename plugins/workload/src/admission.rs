//! Pods that are not made at all: the API server refuses them, and the controller says so in a FailedCreate event or in
//! its condition ReplicaFailure.
//!
//! Texts of pkg/controller (`Error creating: …`, `create Pod … failed error: …`); what follows them is read in `refusal`.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, Json, ObjectRef, Remedy, Signal, Step, Verdict, World, hours, minutes,
};

use crate::{
    case, look, missing,
    refusal::{By, Said, read},
    rule, security,
    words::{between, kubectl, named, short, spoken},
};

pub(crate) const QUOTA: &str = "workload.quota-exceeded";
pub(crate) const LIMITS: &str = "workload.limit-range";
pub(crate) const DENIED: &str = "workload.admission-denied";
pub(crate) const WEBHOOK: &str = "workload.webhook-unreachable";

/// A rollout within a tight quota and a webhook that restarts are refused for a moment.
const PATIENCE: u64 = minutes(2);
/// A controller that was refused so often has waited longer and longer between its tries.
const OFTEN: u64 = 5;

/// The last refusal that an object's controller met, by its event or its condition.
fn refusal(world: &World<'_>, of: &ObjectRef) -> Option<(Said, String, Option<Signal>, u64)> {
    let since = world.ago(minutes(30));
    for reason in ["FailedCreate", "ReplicaSetCreateError"] {
        for event in world.about(of, "self", "event", reason, since, 20) {
            if let Some(said) = read(&event.message) {
                let first = event.began();
                return Some((said, event.message.clone(), Some(event), first));
            }
        }
    }
    let conditions = world.read(of, "/status/conditions").unwrap_or_default();
    let failure = conditions
        .list("")
        .into_iter()
        .find(|c| c.text("/type") == "ReplicaFailure" && c.text("/status") == "True")?;
    let text = failure.text("/message").to_owned();
    let at = kwhy_sdk::parse_time(failure.text("/lastTransitionTime")).unwrap_or(0);
    Some((read(&text)?, text, None, at))
}

/// Whether a controller's own condition says that its pods are refused.
pub(crate) fn fails(world: &World<'_>, of: &ObjectRef) -> bool {
    let conditions = world.read(of, "/status/conditions").unwrap_or_default();
    conditions.list("").iter().any(|c| c.text("/type") == "ReplicaFailure" && c.text("/status") == "True")
}

/// Whether a controller has fewer pods than it wants. What cannot be seen is believed to.
fn short_of_pods(world: &World<'_>, of: &ObjectRef) -> bool {
    let Some(all) = world.read(of, "").filter(|_| world.exists(of)) else {
        return world.read(of, "/metadata").is_none() && !served(world, of);
    };
    let wanted = if all.has("/spec/replicas") { all.number("/spec/replicas") } else { 1 };
    match of.kind.as_str() {
        "DaemonSet" => {
            all.number("/status/currentNumberScheduled") < all.number("/status/desiredNumberScheduled")
        }
        "Job" => all.number("/status/active") == 0 && all.number("/status/succeeded") == 0 && !finished(&all),
        "CronJob" => true,
        "Deployment" => {
            all.number("/status/replicas") < wanted || all.number("/status/unavailableReplicas") > 0
        }
        _ => all.number("/status/replicas") < wanted,
    }
}

/// Whether the last word of a controller that was never seen is that it has made a pod.
fn served(world: &World<'_>, of: &ObjectRef) -> bool {
    let last = |reason: &str| {
        let all = world.about(of, "self", "event", reason, world.ago(hours(2)), 20);
        all.iter().map(|e| e.at).max().unwrap_or(0)
    };
    last("SuccessfulCreate") > last("FailedCreate")
}

fn finished(job: &Json) -> bool {
    job.list("/status/conditions")
        .iter()
        .any(|c| matches!(c.text("/type"), "Complete" | "Failed") && c.text("/status") == "True")
}

/// Whether the API server refuses what a controller wants to make.
pub(crate) fn refused(world: &World<'_>, of: &ObjectRef) -> bool {
    refusal(world, of).is_some() && short_of_pods(world, of)
}

/// Looks at a controller whose pods may be refused.
pub(crate) fn examine(world: &World<'_>, of: &ObjectRef) -> Verdict {
    let Some((said, text, event, first)) = refusal(world, of).filter(|_| short_of_pods(world, of)) else {
        return case::well(world, of, &format!("{} has its pods", spoken(of)));
    };
    // Of what was never seen only the event is known, so it must be said again.
    let count = event.as_ref().map_or(1, |e| e.field("count").parse().unwrap_or(1));
    let unseen = !world.exists(of);
    if unseen && count < 2 {
        return Verdict::default();
    }
    if first + PATIENCE > world.now() && !(unseen && count >= OFTEN) {
        return look::later(world, of, first + PATIENCE);
    }
    let workload = world.workload(of);
    let met = rule::met(world, of, &said);
    let found = diagnose(world, of, &workload, &said, &text, event.as_ref());
    let mut verdict = case::found(world, of, &workload, found);
    // What one workload meets may be its own fault; what two meet is the rule's.
    if let Some(other) = met.filter(|o| !o.is(of) && case::of(world, o).is_some_and(|c| c.code == DENIED)) {
        verdict.merge(examine(world, &other));
    }
    verdict
}

/// What another controller of the same cause would say.
pub(crate) fn again(world: &World<'_>, of: &ObjectRef) -> Option<Diagnosis> {
    let (said, text, event, _) = refusal(world, of).filter(|_| short_of_pods(world, of))?;
    Some(diagnose(world, of, &world.workload(of), &said, &text, event.as_ref()))
}

fn diagnose(
    world: &World<'_>,
    of: &ObjectRef,
    workload: &ObjectRef,
    said: &Said,
    text: &str,
    event: Option<&Signal>,
) -> Diagnosis {
    let namespace = &of.namespace;
    let holder = crate::pod::around(world, of).1;
    let whose = spoken(workload);
    let k = kubectl(namespace);
    let edit = format!("{k} edit {}", named(&holder));
    let mut root = workload.clone();
    let (code, confidence, title, explanation, remedies): (_, _, String, String, Vec<Remedy>) = match said {
        Said::Exceeded { quota, sums } => {
            root = ObjectRef::new("ResourceQuota", namespace, quota);
            (
                QUOTA,
                93,
                format!("The quota {quota} of namespace {namespace} is used up: {whose} gets no more pods"),
                format!(
                    "The API server refuses new pods of {whose}, because they would exceed ResourceQuota {quota} ({sums})."
                ),
                vec![
                    Remedy::new("see who uses the quota, then raise it or free some of it")
                        .command(format!("{k} describe resourcequota {quota}"))
                        .command(format!("{k} edit resourcequota {quota}")),
                    Remedy::new("or let the pods ask for less").command(edit),
                ],
            )
        }
        Said::MustSpecify { quota, what } => (
            QUOTA,
            92,
            format!(
                "{whose} gets no pods: the quota {quota} demands requests or limits that they do not name"
            ),
            format!(
                "Where a ResourceQuota limits a resource, each container must say how much it wants: {what}."
            ),
            vec![
                Remedy::new("give every container requests and limits").command(format!(
                    "{k} set resources {} --requests=cpu=100m,memory=128Mi --limits=cpu=500m,memory=256Mi",
                    named(&holder)
                )),
                Remedy::new("or set defaults for the namespace with a LimitRange")
                    .command(format!("{k} get limitrange")),
            ],
        ),
        Said::Limit { what } => (
            LIMITS,
            92,
            format!("{whose} gets no pods: they break a LimitRange of namespace {namespace}"),
            format!("The API server refuses its pods: {}.", what.trim_end_matches('.')),
            vec![
                Remedy::new("bring requests and limits of the containers within the range").command(edit),
                Remedy::new("or widen the range")
                    .command(format!("{k} describe limitrange"))
                    .command(edit_range(world, namespace)),
            ],
        ),
        Said::Unfit { what } => {
            let ranges = world.list("LimitRange", namespace);
            let names: Vec<String> = ranges.iter().map(spoken).collect();
            let (by, why) = if names.is_empty() {
                (DENIED, "A container asks for more than its own limit".to_owned())
            } else {
                (
                    LIMITS,
                    format!(
                        "{} fills in a default limit where a container names none, and the container asks for more than that",
                        names.join(", ")
                    ),
                )
            };
            (
                by,
                88,
                format!("{whose} gets no pods: a container asks for more than its limit allows"),
                format!("{why}: {}.", short(what, 400).trim_end_matches('.')),
                vec![
                    Remedy::new("name limits in the template that are not below the requests").command(edit),
                    Remedy::new("or raise the default of the LimitRange")
                        .command(edit_range(world, namespace)),
                ],
            )
        }
        Said::PodSecurity { what } => (
            security::CODE,
            92,
            format!("{whose} gets no pods: they break the pod security rules of namespace {namespace}"),
            format!(
                "The API server refuses its pods; they violate {}.",
                short(what, 500).trim_end_matches('.')
            ),
            vec![
                Remedy::new("set what the rule asks for in the template's securityContext").command(edit),
                security::allow(text, namespace),
            ],
        ),
        Said::Account { name } => {
            root = ObjectRef::new("ServiceAccount", namespace, name);
            (
                missing::ACCOUNT,
                93,
                format!("ServiceAccount {namespace}/{name} does not exist: {whose} gets no pods"),
                format!(
                    "The API server refuses pods of {whose}, because they name a ServiceAccount that is not there."
                ),
                vec![
                    Remedy::new("create it, with the roles that it had")
                        .command(format!("{k} create serviceaccount {name}")),
                    Remedy::new("or mend serviceAccountName in the template").command(edit),
                ],
            )
        }
        Said::NoClass { kind, name } => (
            DENIED,
            92,
            format!("{whose} gets no pods: they name the {kind} {name}, which does not exist"),
            format!("The API server refuses pods of a class that is not there ({kind} {name})."),
            vec![
                Remedy::new(format!("create the {kind}, or bring it back from where it is kept"))
                    .command(format!("kubectl get {}", kind.to_ascii_lowercase()))
                    .command(format!("kubectl apply -f <manifest of {kind} {name}>")),
                Remedy::new("or name one that exists in the template").command(edit),
            ],
        ),
        Said::Denied { by, what } => {
            let object = rule::object_of(world, by, what);
            let (mut who, confidence) = match by {
                By::Webhook(name) => (format!("webhook {name}"), 92),
                By::Policy(name) => (format!("ValidatingAdmissionPolicy {name}"), 92),
                By::Server => ("API server".to_owned(), 85),
            };
            if let Some(rule) = object.as_ref().filter(|r| r.kind.ends_with("Policy")) {
                who = format!("{} {}", rule.kind, rule.name);
            }
            if let Some(rule) = object.as_ref().filter(|r| rule::to_blame(world, r)) {
                root = rule.clone();
            }
            (
                DENIED,
                confidence,
                format!("The {who} refuses the pods of {whose}"),
                format!("An admission rule denies them: {}", short(what, 500)),
                vec![
                    Remedy::new("change the template so that it meets the rule: set the labels or fields that it asks for").command(edit),
                    Remedy::new("or change the rule, if it asks too much")
                        .command(rule::shown(by, object.as_ref())),
                ],
            )
        }
        Said::Unreachable { webhook, what } => {
            return unreachable(world, of, workload, webhook, what, text, event);
        }
    };
    let mut diagnosis = Diagnosis::new(code, root.clone());
    diagnosis.confidence = confidence;
    diagnosis.title = title;
    diagnosis.explanation = explanation;
    diagnosis.remedies = remedies;
    finish(world, &mut diagnosis, of, workload, text, event);
    recent(world, &root, workload, &mut diagnosis);
    diagnosis
}

/// Opens the LimitRange of a namespace, or lists them where it is not known which.
fn edit_range(world: &World<'_>, namespace: &str) -> String {
    let k = kubectl(namespace);
    match world.list("LimitRange", namespace).as_slice() {
        [only] => format!("{k} edit limitrange {}", only.name),
        _ => format!("{k} get limitrange -o yaml"),
    }
}

/// Evidence, path and reach, which all refusals share.
fn finish(
    world: &World<'_>,
    diagnosis: &mut Diagnosis,
    of: &ObjectRef,
    workload: &ObjectRef,
    text: &str,
    event: Option<&Signal>,
) {
    if case::down(world, workload) {
        diagnosis.severity = "critical".into();
    }
    match event {
        Some(event) => diagnosis.evidence.push(crate::counted(event, 50, "what the API server answers")),
        None => {
            diagnosis.evidence.push(Evidence::object(of, short(text, 600), 50, "condition ReplicaFailure"))
        }
    }
    diagnosis.path.push(Step::new(&diagnosis.root, "", ""));
    if !diagnosis.root.is(of) {
        let relation = if diagnosis.root.is(workload) { "owned" } else { "refuses" };
        diagnosis.path.push(Step::new(of, relation, "gets no new pods"));
    }
    diagnosis.explains = case::explains(world, workload);
    diagnosis.explains.push(Explains::event("ReplicaSetCreateError", workload, "workload"));
    if diagnosis.root.kind == "ResourceQuota" {
        let root = diagnosis.root.clone();
        diagnosis.explains.push(Explains::alert("KubeQuota*", &root, "self"));
    }
}

/// What was changed shortly before: the quota, the account, or how many pods are wanted.
fn recent(world: &World<'_>, root: &ObjectRef, workload: &ObjectRef, diagnosis: &mut Diagnosis) {
    let mut told: Vec<ObjectRef> = Vec::new();
    for of in [root, workload] {
        if told.iter().any(|t| t.is(of)) {
            continue;
        }
        told.push(of.clone());
        if let Some(change) = world.changes(of, "self", world.ago(hours(2)), 1).into_iter().next() {
            diagnosis.evidence.push(Evidence::signal(&change, 25, "changed shortly before").citing(format!(
                "{}: {}",
                spoken(of),
                change.message
            )));
            diagnosis.explanation.push_str(&format!(
                " {} was changed at {} UTC: {}.",
                spoken(of),
                kwhy_sdk::clock(change.at),
                change.message
            ));
        }
    }
}

/// The configuration that names a webhook, and the Service that it calls.
pub(crate) fn of_webhook(
    world: &World<'_>,
    webhook: &str,
    what: &str,
) -> (Option<ObjectRef>, Option<ObjectRef>) {
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        for config in world.list(kind, "") {
            let hooks = world.read(&config, "/webhooks").unwrap_or_default();
            if let Some(hook) = hooks.list("").iter().find(|h| h.text("/name") == webhook) {
                let service = hook.at("/clientConfig/service");
                let named = service
                    .has("/name")
                    .then(|| ObjectRef::new("Service", service.text("/namespace"), service.text("/name")));
                return (Some(config), named);
            }
        }
    }
    // `Post "https://hook.ns.svc:443/validate?timeout=10s": …`
    let host = between(what, "://", "/").or_else(|| between(what, "://", "\"")).unwrap_or("");
    let mut parts = host.split([':', '.']);
    let (name, namespace, svc) =
        (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    (None, (svc == "svc").then(|| ObjectRef::new("Service", namespace, name)))
}

fn unreachable(
    world: &World<'_>,
    of: &ObjectRef,
    workload: &ObjectRef,
    webhook: &str,
    what: &str,
    text: &str,
    event: Option<&Signal>,
) -> Diagnosis {
    let (config, service) = of_webhook(world, webhook, what);
    let behind = service.as_ref().and_then(|s| crate::service::backend(world, s));
    let sick = behind.as_ref().filter(|b| !b.ready).map(|b| b.workload.clone());
    let asleep = service.as_ref().filter(|_| behind.is_none()).and_then(|s| crate::service::asleep(world, s));
    let root = sick.clone().or(config.clone()).or(service.clone()).unwrap_or_else(|| workload.clone());
    let mut diagnosis = Diagnosis::new(WEBHOOK, root.clone());
    diagnosis.confidence = 90;
    // It answers, and the API server does not believe it: the certificate is what differs.
    let untrusted = what.contains("x509: ") || what.contains("tls: ");
    // Whoever wants pods meets it, so the title names none of them.
    diagnosis.title = if untrusted {
        format!(
            "The API server does not accept the certificate of the admission webhook {webhook}: pods are refused"
        )
    } else {
        format!("The admission webhook {webhook} cannot be reached: pods are refused")
    };
    let why = match (&service, &behind) {
        (Some(_), Some(b)) if b.ready && untrusted => format!(
            "{} runs and is ready; its certificate has expired, or is not signed by the authority that the webhook's caBundle names",
            spoken(&b.workload)
        ),
        (Some(s), Some(b)) if b.ready => {
            format!("Pods behind {} are ready; see its port, its certificate and network policies", spoken(s))
        }
        (Some(s), Some(b)) => {
            format!("{} leads to {}, which has no ready pod", spoken(s), spoken(&b.workload))
        }
        (Some(s), None) => match &asleep {
            Some(w) => format!("{} has no pod behind it, because {} is scaled to zero", spoken(s), spoken(w)),
            None => format!("{} has no pod behind it", spoken(s)),
        },
        (None, _) => "Where it leads to is not known here".to_owned(),
    };
    diagnosis.explanation = format!(
        "The API server must ask the webhook before it makes a pod, {} ({}) and refuses the pod, so {} gets none. {why}.",
        if untrusted { "does not accept its certificate" } else { "gets no answer" },
        short(what, 240),
        spoken(workload)
    );
    finish(world, &mut diagnosis, of, workload, text, event);
    diagnosis.severity = "critical".into();
    if let Some(behind) = &sick {
        diagnosis.explains.extend(case::explains(world, behind));
        let k = kubectl(&behind.namespace);
        diagnosis.remedies.push(
            Remedy::new(format!("bring {} back: everything waits for it", spoken(behind)))
                .command(format!("{k} get pods,events"))
                .command(format!("{k} rollout restart {}", named(behind))),
        );
    } else if let Some(behind) = &asleep {
        diagnosis.remedies.push(
            Remedy::new(format!("scale {} up again: everything waits for it", spoken(behind)))
                .command(format!("{} scale {} --replicas=1", kubectl(&behind.namespace), named(behind))),
        );
    } else if let (Some(behind), true) = (&behind, untrusted) {
        let mut remedy = Remedy::new(
            "see which authority the API server is to trust and until when, then let what issues the certificate put both in order",
        );
        if let Some(config) = &config {
            let at = world.read(config, "/webhooks").unwrap_or_default();
            let at = at.list("").iter().position(|w| w.text("/name") == webhook).unwrap_or(0);
            remedy = remedy.command(format!("kubectl get {} -o jsonpath='{{.webhooks[{at}].clientConfig.caBundle}}' | base64 -d | openssl x509 -noout -subject -enddate", named(config)));
        }
        let k = kubectl(&behind.workload.namespace);
        remedy = remedy.command(format!("{k} get secrets,certificates"));
        diagnosis.remedies.push(match crate::words::restart(&behind.workload) {
            Some(again) => {
                remedy.command(format!("{again}     # many make certificate and caBundle at their start"))
            }
            None => remedy,
        });
    } else if let Some(service) = &service {
        diagnosis.remedies.push(
            Remedy::new("bring back what stands behind the webhook's Service").command(format!(
                "{} get service,endpoints,pods {}",
                kubectl(&service.namespace),
                "-o wide"
            )),
        );
    }
    if let Some(config) = &config {
        diagnosis.evidence.push(Evidence::object(
            config,
            format!("webhook {webhook}"),
            15,
            "the configuration that makes the API server ask",
        ));
        diagnosis.remedies.push(Remedy::new("if it cannot be brought back soon, let requests pass without it for the time being").command(format!("kubectl get {} -o yaml > webhook-backup.yaml", named(config))).command(format!("kubectl delete {}", named(config))).caution("what it guards or fills in is then missing from all objects made meanwhile; some operators put it back by themselves"));
    }
    diagnosis
}
