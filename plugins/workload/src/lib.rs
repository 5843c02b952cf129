//! The workload rule pack: why pods do not come up, do not stay up or are not made at all.
//!
//! Waiting reasons, event reasons and texts are those of the kubelet (`pkg/kubelet/images/types.go`,
//! `pkg/kubelet/container/sync_result.go`, `pkg/kubelet/events/event.go`), of the controllers (`pkg/controller`), of the
//! admission plugins and of the container runtimes. Each cause has a file of its own.

mod admission;
mod barred;
mod case;
mod ceiling;
mod change;
mod codes;
mod command;
mod config_change;
mod cron;
mod endpoints;
mod evicted;
mod expired;
mod fight;
mod gate;
mod generic;
mod hpa;
mod image;
mod job;
mod login;
mod logs;
mod look;
mod metrics_api;
mod missed;
mod missing;
mod oom;
mod pdb;
mod pod;
mod probe;
mod provisioner;
mod pull;
mod refusal;
mod refused;
mod registry;
mod rule;
mod scaled;
mod security;
mod service;
mod synced;
mod tls;
mod told;
mod words;

use kwhy_sdk::{Descriptor, Evidence, Json, ObjectRef, Rule, Signal, Subscription, Verdict, World, seconds};

/// The pack.
#[derive(Debug, Default)]
pub struct Workload;

kwhy_sdk::export!(Workload);

/// Timer after which an object is looked at again.
pub(crate) const LOOK: &str = "workload-look";
/// A pod may be told of before what owns it.
const SETTLE: u64 = seconds(1);
/// A container that writes much is not looked at for each line.
const LINES: u64 = seconds(10);
/// Nor is one that complains of others.
const PEERS: u64 = seconds(30);

/// An event with how often it came: `BackOff ×73: Back-off restarting failed container`.
pub(crate) fn counted(event: &Signal, weight: i8, note: &str) -> Evidence {
    let count = event.field("count");
    let times = if matches!(count, "" | "1") { String::new() } else { format!(" ×{count}") };
    Evidence::signal(event, weight, note).citing(format!("{}{times}: {}", event.name, event.message))
}

impl Rule for Workload {
    fn describe(&self) -> Descriptor {
        let mut lines = logs::patterns();
        lines.extend(fight::patterns());
        lines.push(pdb::pattern());
        lines.extend(endpoints::patterns());
        lines.extend(tls::patterns());
        let descriptor = Descriptor::new("workload", env!("CARGO_PKG_VERSION"));
        codes::CODES
            .iter()
            .fold(descriptor, |d, (code, title, versions, references)| {
                d.code(code, title, versions, references)
            })
            .wants(Subscription::logs(lines))
            .wants(Subscription::kubelet(vec![synced::pattern()]))
            .wants(
                Subscription::events(&[
                    "BackOff",
                    "Failed",
                    "FailedMount",
                    "InspectFailed",
                    "ErrImageNeverPull",
                    "Unhealthy",
                    "Killing",
                    "OOMKilled",
                    "CreateContainerError",
                    "RunContainerError",
                ])
                .kinds(&["Pod"]),
            )
            .wants(Subscription::events(&[
                "FailedCreate",
                "ReplicaSetCreateError",
                "SuccessfulCreate",
                "SuccessfulDelete",
                "*Drain*",
                "*Evict*",
                "ScaleDownFailed",
            ]))
            .wants(Subscription::events(&hpa::REASONS).kinds(&["HorizontalPodAutoscaler"]))
            .wants(Subscription::events(&cron::REASONS).kinds(&["CronJob"]))
            .wants(Subscription::events(&job::REASONS).kinds(&["Job"]))
            .wants(Subscription::alerts(&["*Job*"]).kinds(&["Job"]))
            .wants(Subscription::alerts(&["*HPA*", "*Hpa*"]).kinds(&["HorizontalPodAutoscaler"]))
            .wants(Subscription::alerts(&[]).kinds(&["Service"]))
            .wants(Subscription::alerts(&[]).kinds(&["Deployment", "StatefulSet", "DaemonSet", "Pod"]))
            .wants(Subscription::objects(&[
                "Pod",
                "Deployment",
                "StatefulSet",
                "DaemonSet",
                "ReplicaSet",
                "Job",
                "CronJob",
                "HorizontalPodAutoscaler",
                "Service",
            ]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        let kind = subject.kind.as_str();
        Ok(match (signal.source.as_str(), signal.name.as_str()) {
            ("log", name) if kind == "Pod" => line(world, subject, name, signal),
            ("kubelet", synced::LINE) => unsynced(world, signal),
            ("timer", _) => look(world, subject),
            ("object", _) if kind == "Pod" => object(world, subject, signal),
            ("object", _) => controller(world, subject, signal),
            ("alert", _) if kind == "Service" => endpoints::examine(world, subject),
            ("alert", name) if kind == "HorizontalPodAutoscaler" && signal.state != "resolved" => {
                ceiling::alerted(world, subject, name)
            }
            ("alert", _) if kind == "Job" => job::alerted(world, subject),
            ("alert", _) => missed::alerted(world, subject, signal),
            ("event", "FailedCreate" | "ReplicaSetCreateError") if kind != "Pod" => {
                admission::examine(world, subject)
            }
            ("event", name) if kind == "CronJob" && cron::REASONS.contains(&name) => {
                cron::told(world, subject, signal)
            }
            ("event", name) if kind == "Job" && job::REASONS.contains(&name) => {
                job::told(world, subject, signal)
            }
            ("event", "SuccessfulCreate" | "SuccessfulDelete") => fight::again(world, subject),
            ("event", _) if kind == "HorizontalPodAutoscaler" => hpa::told(world, subject, signal),
            ("event", _) if evicted::tells(signal) => evicted::examine(world, &world.workload(subject)),
            ("event", _) if kind == "Pod" && !pdb::tells(signal) => look::look(world, subject),
            ("event", _) => pdb::told(world, subject, signal),
            _ => Verdict::default(),
        })
    }
}

/// A timer has come.
fn look(world: &World<'_>, of: &ObjectRef) -> Verdict {
    match of.kind.as_str() {
        _ if evicted::holds(world, of) => evicted::examine(world, of),
        _ if barred::holds(world, of) => barred::examine(world, of),
        "Pod" => look::look(world, of),
        "HorizontalPodAutoscaler" => hpa::seen(world, of),
        "Service" => endpoints::examine(world, of),
        "Secret" => tls::examine(world, of),
        "Job" => {
            if job::again(world, of).is_some() {
                job::examine(world, of)
            } else {
                admission::examine(world, of)
            }
        }
        "CronJob" => {
            let mut verdict = cron::again(world, of);
            verdict.merge(admission::examine(world, of));
            verdict
        }
        _ => {
            let mut verdict = admission::examine(world, of);
            if matches!(of.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet") {
                verdict.merge(barred::examine(world, of));
            }
            verdict
        }
    }
}

/// A state of something that makes pods.
fn controller(world: &World<'_>, of: &ObjectRef, signal: &Signal) -> Verdict {
    let mut verdict = match of.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => {
            let mut verdict = fight::template(world, of, signal);
            verdict.merge(scaled::seen(world, of, signal));
            verdict
        }
        "Job" => job::examine(world, of),
        "CronJob" => return cron::changed(of, signal),
        "HorizontalPodAutoscaler" => {
            let mut verdict = ceiling::seen(world, of);
            verdict.merge(hpa::seen(world, of));
            return verdict;
        }
        "Service" => return endpoints::changed(world, of, signal),
        _ => Verdict::default(),
    };
    let held = case::of(world, of).is_some_and(|c| {
        !matches!(c.code.as_str(), job::BACKOFF | job::DEADLINE | oom::CODE | evicted::CODE | refused::CODE)
    });
    if held || admission::fails(world, of) {
        verdict.merge(admission::examine(world, of));
    }
    verdict
}

fn object(world: &World<'_>, pod: &ObjectRef, signal: &Signal) -> Verdict {
    if signal.name == "ADDED" {
        let mut verdict = fight::born(world, pod, signal);
        let read = |pointer: &str| world.read(pod, pointer).unwrap_or_default();
        let well = |c: &Json| c.is_true("/ready") && c.number("/restartCount") < 2;
        let ready = read("/status/phase").text("") == "Running"
            && read("/status/containerStatuses").list("").iter().all(well);
        if !ready {
            verdict.merge(look::later(world, pod, world.now() + SETTLE));
        }
        return verdict;
    }
    look::look(world, pod)
}

/// A kubelet that cannot start a container; of a pod that was shown its own state tells that.
fn unsynced(world: &World<'_>, line: &Signal) -> Verdict {
    let Some(pod) = synced::pod(line).filter(|pod| world.only_told(pod)) else { return Verdict::default() };
    let key = format!("u/{}", words::hash(&pod.path()));
    if world.remembers(&key) {
        return Verdict::default();
    }
    world.remember(&key, &true, PEERS);
    look::look(world, &pod)
}

/// A line adds to what is known of a pod that suffers already; complaints about another service count by themselves.
fn line(world: &World<'_>, pod: &ObjectRef, name: &str, line: &Signal) -> Verdict {
    if name == pdb::LINE {
        return pdb::told(world, pod, line);
    }
    if name == endpoints::LINE {
        return endpoints::told(world, line);
    }
    if name == tls::LINE {
        return tls::told(world, line);
    }
    if name == fight::SYNC {
        return Verdict::default();
    }
    let held = case::of(world, pod).is_some();
    if !held && !missed::counts(name) {
        return Verdict::default();
    }
    let key = format!("l/{}", words::hash(&pod.path()));
    if world.remembers(&key) {
        return Verdict::default();
    }
    world.remember(&key, &true, if held { LINES } else { PEERS });
    if held { look::later(world, pod, world.now() + SETTLE) } else { missed::complains(world, pod, line) }
}
