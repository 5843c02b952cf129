//! The scheduling rule pack: why no node takes a pod.
//!
//! What the scheduler says (event FailedScheduling, condition PodScheduled) is the sign; the cause is judged from the
//! nodes and the workload themselves, so it does not depend on how a version words it.

mod bound;
mod cause;
mod closed;
mod code;
mod finding;
mod judge;
mod left;
mod message;
mod place;
mod port;
mod preempted;
mod quantity;
mod relabelled;
mod room;
mod spread;
mod volume;
mod waiting;
mod wish;

use kwhy_sdk::{Descriptor, Rule, Signal, Subscription, Verdict, World, seconds};

use judge::{Held, judge, look};

/// The pack.
#[derive(Debug, Default)]
pub struct Scheduling;

kwhy_sdk::export!(Scheduling);

impl Rule for Scheduling {
    fn describe(&self) -> Descriptor {
        let any = "all of Kubernetes";
        let scheduler = "https://kubernetes.io/docs/concepts/scheduling-eviction/";
        let page = |name: &str| format!("{scheduler}{name}/");
        let resources = "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#my-pods-are-pending-with-event-message-failedscheduling";
        let preemption = page("pod-priority-preemption");
        Descriptor::new("scheduling", env!("CARGO_PKG_VERSION"))
            .code(code::CPU, "No node has the CPU that a pod requests", any, &[resources, &preemption])
            .code(code::MEMORY, "No node has the memory that a pod requests", any, &[resources, &preemption])
            .code(
                code::RESOURCE,
                "No node has a resource that a pod requests",
                any,
                &[
                    resources,
                    "https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/",
                ],
            )
            .code(
                code::TAINT,
                "A pod tolerates none of the nodes it may go to",
                "all of Kubernetes; the scheduler names the taint from 1.18 to 1.34",
                &[
                    &page("taint-and-toleration"),
                    "https://kubernetes.io/docs/tasks/administer-cluster/running-cloud-controller/",
                ],
            )
            .code(
                code::SELECTOR,
                "No node meets the selector or affinity of a pod",
                any,
                &[&page("assign-pod-node"), "https://kubernetes.io/docs/reference/labels-annotations-taints/"],
            )
            .code(
                code::SPREAD,
                "The topology spread of a workload leaves no node",
                "Kubernetes 1.18 and later; nodeTaintsPolicy since 1.26",
                &[&page("topology-spread-constraints")],
            )
            .code(
                code::HOST_PORT,
                "A host port is taken on every node",
                any,
                &["https://kubernetes.io/docs/concepts/configuration/overview/#services"],
            )
            .code(
                code::CORDONED,
                "The node that would take a pod is cordoned",
                any,
                &["https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/"],
            )
            .code(
                code::TOO_MANY_PODS,
                "The nodes hold as many pods as they may",
                any,
                &[
                    "https://kubernetes.io/docs/setup/best-practices/cluster-large/",
                    "https://docs.aws.amazon.com/eks/latest/best-practices/prefix-mode-linux.html",
                ],
            )
            .wants(
                Subscription::events(&[
                    "FailedScheduling",
                    "Scheduled",
                    "TriggeredScaleUp",
                    "NotTriggerScaleUp",
                    "Nominated",
                ])
                .kinds(&["Pod"]),
            )
            .wants(Subscription::objects(&["Pod", "Node"]))
            // Who waits for room that others may take is told louder once somebody complains.
            .wants(Subscription::alerts(&[]).kinds(&["Deployment", "StatefulSet", "DaemonSet", "Pod"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        let mut verdict = Verdict::default();
        if signal.source == "object" && signal.state == "listed" {
            // What else was there comes in the same moment, in any order: owners, nodes.
            if waiting::of(world, subject).is_some() {
                verdict.wakes.push(look(subject, world.now() + seconds(1)));
            }
            return Ok(verdict);
        }
        let mut held = Held::recall(world);
        let before = held.clone();
        if subject.kind == "Node" {
            // A node that comes, goes or is opened matters to all that wait.
            for workload in held.workloads() {
                verdict.merge(judge(world, &mut held, &workload));
            }
        } else {
            let workload = world.workload(subject);
            // Most pods have their node or find one: nothing to look at.
            let passes = matches!(signal.source.as_str(), "object" | "alert") || signal.name == "Scheduled";
            if held.knows(&workload) || !passes || waiting::of(world, subject).is_some() {
                verdict = judge(world, &mut held, &workload);
            }
        }
        if held != before {
            held.remember(world);
        }
        Ok(verdict)
    }
}
