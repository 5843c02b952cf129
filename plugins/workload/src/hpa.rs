//! `workload.hpa-no-metrics`: an autoscaler that cannot count: the pods it scales name no requests, the metric it was
//! given does not exist, what serves it does not answer, or there is nothing to scale. Where the resource metrics API
//! itself does not answer, metrics-server is the cause, and nothing is said here.
//!
//! Texts of pkg/controller/podautoscaler (`missing request for cpu in container …`, before 1.27 `missing request for
//! cpu`; FailedGetScale; since 1.27 AmbiguousSelector) and of k8s.io/metrics. They stand in events and in the condition
//! ScalingActive, which autoscaling/v1 keeps in an annotation.

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Explains, Json, ObjectRef, Remedy, Signal, Step, Verdict, World, hours,
    minutes, parse_time,
    serde_json::{self, Value, json},
};

use crate::{
    metrics_api::{self, Server},
    words::{between, kubectl, named, short, spoken},
};

pub(crate) const CODE: &str = "workload.hpa-no-metrics";

/// What the pack wants to hear of autoscalers.
pub(crate) const REASONS: [&str; 8] = [
    "FailedGetResourceMetric",
    "FailedGetContainerResourceMetric",
    "FailedGetPodsMetric",
    "FailedGetObjectMetric",
    "FailedGetExternalMetric",
    "FailedComputeMetricsReplicas",
    "FailedGetScale",
    "AmbiguousSelector",
];

/// A metric is missing for a while after what it is about, or what serves it, has started.
const PATIENCE: u64 = minutes(3);
const KEEP: u64 = hours(24 * 7);

/// Why an autoscaler cannot count.
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    Request {
        resource: String,
        container: String,
    },
    /// `custom.metrics.k8s.io` or `external.metrics.k8s.io`.
    Metric {
        name: String,
        api: &'static str,
        away: bool,
    },
    Target,
    Shared {
        others: String,
    },
    /// The resource metrics API, of which nothing but this is known.
    Resources,
}

fn read(reason: &str, text: &str) -> Option<Lack> {
    if let Some((_, rest)) = text.split_once("missing request for ") {
        let resource = rest.split([' ', ',']).next().unwrap_or("cpu").trim_end_matches('.').to_owned();
        let container = between(rest, "container ", " ").unwrap_or("").to_owned();
        return Some(Lack::Request { resource, container });
    }
    let api = if text.contains("custom metrics API") {
        Some("custom.metrics.k8s.io")
    } else if text.contains("external metric") {
        Some("external.metrics.k8s.io")
    } else {
        None
    };
    if let Some(api) = api {
        let name = between(text, "unable to get metric ", ":")
            .or_else(|| between(text, "unable to get external metric ", ":"))
            .unwrap_or("")
            .split("/&LabelSelector")
            .next()
            .unwrap_or("");
        let name = name.rsplit('/').next().unwrap_or(name).to_owned();
        let away =
            crate::words::any(text, &["currently unable to handle", "registered", "connection refused"]);
        return Some(Lack::Metric { name, api, away });
    }
    if reason == "AmbiguousSelector" || text.contains("are controlled by multiple HPAs") {
        return Some(Lack::Shared {
            others: between(text, "multiple HPAs: [", "]").unwrap_or("").to_owned(),
        });
    }
    (reason == "FailedGetScale" && text.contains("not found")).then_some(Lack::Target)
}

/// An event about an autoscaler.
pub(crate) fn told(world: &World<'_>, hpa: &ObjectRef, event: &Signal) -> Verdict {
    let lack = read(&event.name, &event.message).or_else(|| unserved(world, event));
    let Some(lack) = lack else { return Verdict::default() };
    let first = event.began();
    if first + PATIENCE > event.at && !matches!(lack, Lack::Request { .. }) {
        return Verdict::default();
    }
    found(world, hpa, &lack, crate::counted(event, 50, "what the autoscaler says"))
}

/// The resource metrics API does not answer. Where any APIService was shown, the rules of metrics-server know more.
fn unserved(world: &World<'_>, event: &Signal) -> Option<Lack> {
    let text = "unable to fetch metrics from resource metrics API";
    let again = event.field("count").parse().unwrap_or(1) > 1;
    (again && event.message.contains(text) && world.list("APIService", "").is_empty())
        .then_some(Lack::Resources)
}

fn slot(hpa: &ObjectRef) -> String {
    format!("h/{}", crate::words::hash(&hpa.path()))
}

fn found(world: &World<'_>, hpa: &ObjectRef, lack: &Lack, said: Evidence) -> Verdict {
    let server = match lack {
        Lack::Metric { api, away: true, .. } => Server::of(world, api).map(|server| (server, *api)),
        _ => None,
    };
    let diagnosis = match server {
        Some((server, api)) => metrics_api::diagnose(world, hpa, &server, api),
        None => diagnose(world, hpa, lack, said),
    };
    let root = &diagnosis.root;
    world.remember(&slot(hpa), &json!([root.kind, root.namespace, root.name]), KEEP);
    Verdict { diagnoses: vec![diagnosis], ..Verdict::default() }
}

/// The conditions of an autoscaler, which autoscaling/v1 has as text in an annotation.
pub(crate) fn conditions(world: &World<'_>, hpa: &ObjectRef) -> Vec<Json> {
    let all = world.read(hpa, "/status/conditions").unwrap_or_default().list("");
    if !all.is_empty() {
        return all;
    }
    let meta = world.read(hpa, "/metadata/annotations").unwrap_or_default();
    let text = meta.text("/autoscaling.alpha.kubernetes.io~1conditions");
    serde_json::from_str::<Value>(text).map(|v| Json::new(v).list("")).unwrap_or_default()
}

/// A state of an autoscaler.
pub(crate) fn seen(world: &World<'_>, hpa: &ObjectRef) -> Verdict {
    for condition in conditions(world, hpa) {
        let (kind, status) = (condition.text("/type").to_owned(), condition.text("/status").to_owned());
        if !matches!(kind.as_str(), "ScalingActive" | "AbleToScale") || status != "False" {
            continue;
        }
        let text = condition.text("/message");
        let since = parse_time(condition.text("/lastTransitionTime")).unwrap_or(0);
        if let Some(lack) = read(condition.text("/reason"), text) {
            if since + PATIENCE > world.now() {
                return crate::look::later(world, hpa, since + PATIENCE);
            }
            let said = Evidence::object(hpa, short(text, 400), 45, format!("condition {kind}"));
            return found(world, hpa, &lack, said);
        }
    }
    let Some(root) = world.recall::<Json>(&slot(hpa)) else { return Verdict::default() };
    world.forget(&slot(hpa));
    let root = ObjectRef::new(root.text("/0"), root.text("/1"), root.text("/2"));
    let over = Clearing::new(CODE, &root, format!("{} can count again", spoken(hpa)));
    Verdict { cleared: vec![over], ..Verdict::default() }
}

fn diagnose(world: &World<'_>, hpa: &ObjectRef, lack: &Lack, said: Evidence) -> Diagnosis {
    let scales = world.related(hpa, "scales").into_iter().next();
    let target = scales.unwrap_or_else(|| hpa.clone());
    let k = kubectl(&hpa.namespace);
    let edit = format!("{k} edit {}", named(hpa));
    let whose = spoken(hpa);
    let mut root = hpa.clone();
    let (confidence, title, explanation, note, remedies): (u8, String, String, String, Vec<Remedy>) =
        match lack {
            Lack::Request { resource, container } => {
                root = target.clone();
                let of = if container.is_empty() { String::new() } else { format!(" -c {container}") };
                let in_it =
                    if container.is_empty() { String::new() } else { format!(" of container {container}") };
                let amount = if resource == "memory" { "128Mi" } else { "100m" };
                (
                    88,
                    format!("{whose} cannot scale: {} has no {resource} request", spoken(&target)),
                    format!(
                        "The autoscaler counts in percent of the {resource} request{in_it}, and there is none, so it scales nothing."
                    ),
                    format!("no {resource} request"),
                    vec![
                        Remedy::new(format!("give its containers a {resource} request near what they use"))
                            .command(format!(
                                "{k} set resources {}{of} --requests={resource}={amount}",
                                named(&target)
                            )),
                    ],
                )
            }
            Lack::Metric { name, api, away } => {
                let why = if *away {
                    format!("nothing serves {api}: its adapter is missing or does not answer")
                } else {
                    format!(
                        "what serves {api} does not know it: no rule of the adapter makes it, or nothing exports it"
                    )
                };
                let version = if *api == "custom.metrics.k8s.io" { "v1beta2" } else { "v1beta1" };
                let remedies = vec![
                    Remedy::new("see which metrics are served, and make the adapter serve this one")
                        .command(format!("kubectl get apiservice | grep {api}"))
                        .command(format!(
                            "kubectl get --raw /apis/{api}/{version} | grep -o '\"name\":\"[^\"]*'"
                        )),
                    Remedy::new("or name a metric that exists").command(edit),
                ];
                (
                    78,
                    format!("{whose} cannot scale: the metric {name} cannot be read"),
                    format!("The autoscaler asks for {name}, and {why}."),
                    format!("no metric {name}"),
                    remedies,
                )
            }
            Lack::Target => {
                let of = world.read(hpa, "/spec/scaleTargetRef").unwrap_or_default();
                let what = format!("{} {}", of.text("/kind"), of.text("/name"));
                let what = if what.trim().is_empty() { "what it scales".to_owned() } else { what };
                (
                    86,
                    format!("{whose} cannot scale: {what} does not exist"),
                    format!(
                        "Its scaleTargetRef names {what}, which is not in namespace {}: it was deleted or has another name.",
                        hpa.namespace
                    ),
                    "scales what does not exist".to_owned(),
                    vec![
                        Remedy::new("name what it shall scale").command(edit),
                        Remedy::new("or delete the autoscaler, if it is a leftover")
                            .command(format!("{k} delete {}", named(hpa))),
                    ],
                )
            }
            Lack::Resources => {
                root = ObjectRef::new("APIService", "", "v1beta1.metrics.k8s.io");
                (
                    65,
                    "Autoscalers cannot scale: the resource metrics API does not answer".to_owned(),
                    format!(
                        "{whose} and every other autoscaler counts by the API metrics.k8s.io, which metrics-server serves. It is not installed, does not run or cannot be reached."
                    ),
                    "does not answer".to_owned(),
                    vec![
                        Remedy::new("see whether metrics-server is there and what it says")
                            .command("kubectl get apiservice v1beta1.metrics.k8s.io")
                            .command("kubectl -n kube-system get pods -l k8s-app=metrics-server")
                            .command("kubectl -n kube-system logs -l k8s-app=metrics-server --tail=50"),
                    ],
                )
            }
            Lack::Shared { others } => (
                88,
                format!("{whose} does not scale: other autoscalers count the same pods"),
                format!(
                    "The pods that its target selects are controlled by more than one autoscaler ({others}), and then none of them scales."
                ),
                "shares its pods".to_owned(),
                vec![
                    Remedy::new("leave one autoscaler, or make the selectors of their targets disjoint")
                        .command(format!("{k} get hpa"))
                        .command(format!("{k} delete hpa <the one too many>")),
                ],
            ),
        };
    let mut diagnosis = Diagnosis::new(CODE, root.clone());
    diagnosis.confidence = confidence;
    diagnosis.title = title;
    diagnosis.explanation = explanation;
    diagnosis.remedies = remedies;
    diagnosis.evidence.push(said);
    if matches!(lack, Lack::Request { .. }) {
        diagnosis.evidence.push(Evidence::object(&target, note.clone(), 15, "what is missing"));
    }
    diagnosis.path.push(Step::new(&root, "", note));
    if !root.is(hpa) {
        diagnosis.path.push(Step::new(hpa, "scaled-by", "cannot count"));
    }
    diagnosis.explains.extend(explains(world, hpa));
    diagnosis
}

/// What those see who look at an autoscaler that does not scale.
pub(crate) fn explains(world: &World<'_>, hpa: &ObjectRef) -> Vec<Explains> {
    let mut out: Vec<Explains> =
        ["KubeHpa*", "HPA*", "*Hpa*"].map(|name| Explains::alert(name, hpa, "self")).into();
    out.push(Explains::event("Failed*", hpa, "self"));
    // What is not scaled with its load is slow, and more waits for it.
    for target in world.related(hpa, "scales") {
        let names = ["*Latency*", "*Slow*", "*Saturat*", "*Queue*", "*Backlog*", "*Lag"];
        out.extend(names.map(|name| Explains::alert(name, &target, "workload")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_autoscaler_are_told_apart() {
        let metric = |name: &str, api, away| Some(Lack::Metric { name: name.into(), api, away });
        for (reason, text, want) in [
            (
                "FailedGetPodsMetric",
                "unable to get metric rps: unable to fetch metrics from custom metrics API: the server could not find the metric rps for pods",
                metric("rps", "custom.metrics.k8s.io", false),
            ),
            (
                "FailedGetPodsMetric",
                "unable to get metric rps: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
                metric("rps", "custom.metrics.k8s.io", true),
            ),
            (
                "FailedGetExternalMetric",
                "unable to get external metric q/s0-rabbitmq-jobs/&LabelSelector{MatchLabels:map[string]string{scaledobject.keda.sh/name: w,},MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: the server is currently unable to handle the request (get s0-rabbitmq-jobs.external.metrics.k8s.io)",
                metric("s0-rabbitmq-jobs", "external.metrics.k8s.io", true),
            ),
            ("FailedGetScale", "deployments.apps \"api\" not found", Some(Lack::Target)),
            (
                "FailedGetResourceMetric",
                "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)",
                None,
            ),
        ] {
            assert_eq!(read(reason, text), want, "{text}");
        }
    }
}
