//! The workload rule pack: why pods do not come up, do not stay up or are not made at all.
//!
//! Waiting reasons, event reasons and texts are those of the kubelet (`pkg/kubelet/images/types.go`,
//! `pkg/kubelet/container/sync_result.go`, `pkg/kubelet/events/event.go`), of the controllers (`pkg/controller`), of the
//! admission plugins and of the container runtimes. Each cause has a file of its own.

mod admission;
mod case;
mod change;
mod codes;
mod command;
mod config_change;
mod fight;
mod generic;
mod image;
mod job;
mod logs;
mod look;
mod missing;
mod oom;
mod pod;
mod probe;
mod security;
mod words;

use kwhy_sdk::{Descriptor, Evidence, ObjectRef, Rule, Signal, Subscription, Verdict, World, seconds};

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
        let descriptor = Descriptor::new("workload", env!("CARGO_PKG_VERSION"));
        codes::CODES
            .iter()
            .fold(descriptor, |d, (code, title, versions, references)| {
                d.code(code, title, versions, references)
            })
            .wants(Subscription::logs(lines))
            .wants(
                Subscription::events(&[
                    "BackOff",
                    "Failed",
                    "FailedMount",
                    "InspectFailed",
                    "ErrImageNeverPull",
                    "Unhealthy",
                    "Killing",
                ])
                .kinds(&["Pod"]),
            )
            .wants(Subscription::objects(&["Pod", "Deployment", "StatefulSet", "DaemonSet"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        Ok(match (signal.source.as_str(), subject.kind.as_str()) {
            ("log", "Pod") => line(world, subject),
            ("event", "Pod") => event(world, subject, signal),
            ("object", "Pod") => object(world, subject, signal),
            ("timer", "Pod") => look::look(world, subject),
            ("object", "Deployment" | "StatefulSet" | "DaemonSet") => fight::template(world, subject, signal),
            _ => Verdict::default(),
        })
    }
}

fn object(world: &World<'_>, pod: &ObjectRef, signal: &Signal) -> Verdict {
    if signal.name == "ADDED" {
        let mut verdict = fight::born(world, pod, signal);
        let ready = world.read(pod, "/status").is_some_and(|s| {
            s.list("/containerStatuses").iter().all(|c| c.is_true("/ready") && c.number("/restartCount") < 2)
                && s.text("/phase") == "Running"
        });
        if !ready {
            verdict.merge(look::again(pod, world.now() + SETTLE));
        }
        return verdict;
    }
    look::look(world, pod)
}

fn event(world: &World<'_>, pod: &ObjectRef, signal: &Signal) -> Verdict {
    // A pod that was never seen is judged by what is said of it; one that is gone is not.
    if !world.exists(pod) && world.read(pod, "/metadata").is_none() {
        let found = image::judge_event(world, signal).or_else(|| missing::judge_event(world, signal));
        return Verdict { diagnoses: found.into_iter().collect(), ..Verdict::default() };
    }
    look::look(world, pod)
}

/// A line only adds to what is known of a pod that suffers already.
fn line(world: &World<'_>, pod: &ObjectRef) -> Verdict {
    if case::of(world, pod).is_none() {
        return Verdict::default();
    }
    let key = format!("l/{}", words::hash(&pod.path()));
    if world.recall::<bool>(&key).is_some() {
        return Verdict::default();
    }
    world.remember(&key, &true, LINES);
    look::again(pod, world.now() + SETTLE)
}
