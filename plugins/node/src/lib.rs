//! The node rule pack: why a node is not ready, or does not do well though it is.
//!
//! Conditions and events are those of the kubelet and of the node controller (`pkg/kubelet`, `pkg/controller/nodelifecycle`
//! and `pkg/controller/tainteviction` in kubernetes/kubernetes), the same words from 1.18 to 1.34.

mod conntrack;
mod felt;
mod last;
mod line;
mod lost;
mod memory;
mod node;
mod oom;
mod pressure;
mod range;
mod ready;
mod sandbox;
mod streak;
mod told;
mod word;

use kwhy_sdk::{Descriptor, ObjectRef, Rule, Signal, Subscription, Verdict, Wake, World, seconds};

use memory::Held;
use node::Node;

/// The pack.
#[derive(Debug, Default)]
pub struct NodePack;

kwhy_sdk::export!(NodePack);

/// Timer: look at the node again.
pub(crate) const LOOK: &str = "node-look";

const NODES: &str = "https://kubernetes.io/docs/reference/node/node-status/";
const DEBUG: &str = "https://kubernetes.io/docs/tasks/debug/debug-cluster/";
const PRESSURE: &str = "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/";

impl Rule for NodePack {
    fn describe(&self) -> Descriptor {
        let any = "Kubernetes 1.18 and later";
        Descriptor::new("node", env!("CARGO_PKG_VERSION"))
            .code(ready::DOWN, "A node is gone: its kubelet stopped posting status", any, &[NODES, DEBUG, "https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/"])
            .code(ready::STOPPED, "The kubelet of a living machine has ended", any, &[DEBUG])
            .code(ready::RUNTIME, "The container runtime of a node does not answer", any, &["https://kubernetes.io/docs/setup/production-environment/container-runtimes/"])
            .code(ready::CNI, "A node has no pod network", any, &["https://kubernetes.io/docs/tasks/administer-cluster/migrating-from-dockershim/troubleshooting-cni-plugin-related-errors/"])
            .code(ready::PLEG, "The kubelet cannot list its containers in time", any, &["https://github.com/kubernetes/kubernetes/issues/45419"])
            .code(ready::EXPIRED, "A certificate between kubelet and API server has expired", any, &["https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/"])
            .code(pressure::DISK, "A node is short of disk", any, &[PRESSURE])
            .code(pressure::MEMORY, "A node is short of memory", any, &[PRESSURE])
            .code(pressure::PID, "A node is short of process ids", any, &[PRESSURE, "https://kubernetes.io/docs/concepts/policy/pid-limiting/"])
            .code(oom::CODE, "The kernel of a node ran out of memory", any, &[PRESSURE])
            .code(told::REBOOT, "A node was rebooted", any, &[NODES])
            .code(told::CLOCK, "The clock of a node is off", any, &["https://runbooks.prometheus-operator.dev/runbooks/node/nodeclockskewdetected/"])
            .code(told::CGROUP, "Kubelet and runtime use different cgroup drivers", "Kubernetes before 1.34 with a runtime that does not tell its driver", &["https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/configure-cgroup-driver/"])
            .code(conntrack::CODE, "The connection table of a node is full", any, &["https://runbooks.prometheus-operator.dev/runbooks/node/nodehighnumberconntrackentriesused/", "https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/"])
            .wants(Subscription::objects(&["Node"]))
            .wants(Subscription::events(&[
                "NodeNotReady",
                "NodeReady",
                "Rebooted",
                "SystemOOM",
                "EvictionThresholdMet",
                "FreeDiskSpaceFailed",
                "ImageGCFailed",
                "NodeHas*",
                "NodeNotSchedulable",
                "OOMKilling",
                "NTPIsDown",
                conntrack::EVENT,
                "ContainerdUnhealthy",
                "DockerUnhealthy",
                "ScaleDown",
                "SpotInterrupted",
                "TerminatingOnInterruption",
                "Disruption*",
                "DeletingNode",
            ]).kinds(&["Node"]))
            .wants(Subscription::events(&["FailedScheduling", "Evicted", "FailedCreatePodSandBox", "FailedAttachVolume"]).kinds(&["Pod"]))
            .wants(Subscription::alerts(&["KubeNode*", "Kubelet*", "NodeClock*", conntrack::ALERT, "NodeMemory*", "NodeFilesystem*"]).kinds(&["Node"]))
            .wants(Subscription::alerts(&["TargetDown", "KubePodNotReady", "Kube*Mismatch", "Kube*Stuck", "KubeDaemonSet*"]))
            .wants(line::wanted())
            .wants(last::wanted())
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let mut held = Held::load(world);
        let mut verdict = Verdict::default();
        let Some(subject) = &signal.subject else { return Ok(verdict) };
        if signal.source == "object" && signal.state == "listed" {
            // What else was there comes in the same moment, in any order.
            let at = world.now() + seconds(1);
            verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(subject.clone()), at });
        } else if subject.kind == "Node" {
            look(world, &mut held, subject, &mut verdict);
        } else if matches!(signal.name.as_str(), "Evicted" | "FailedCreatePodSandBox") {
            // A node that nobody has shown is known by whose kubelet speaks.
            for node in world.neighbours(subject).into_iter().filter(|n| n.relation == "node") {
                look(world, &mut held, &node.object, &mut verdict);
            }
        } else if !held.is_empty() {
            // What happens elsewhere matters where a node is already in trouble: its replacements, its targets.
            for node in held.nodes(&ready::CODES) {
                let seen = Node::load(world, &node);
                verdict.merge(ready::judge(world, &mut held, &node, seen.as_ref()));
            }
            for node in held.nodes(&pressure::CODES) {
                let seen = Node::load(world, &node);
                verdict.merge(pressure::judge(world, &mut held, &node, seen.as_ref()));
            }
            for node in held.nodes(&[told::REBOOT]) {
                let seen = Node::load(world, &node);
                verdict.merge(told::judge(world, &mut held, &node, seen.as_ref()));
            }
        }
        held.save(world);
        Ok(verdict)
    }
}

fn look(world: &World<'_>, held: &mut Held, id: &ObjectRef, verdict: &mut Verdict) {
    let node = Node::load(world, id);
    verdict.merge(ready::judge(world, held, id, node.as_ref()));
    verdict.merge(pressure::judge(world, held, id, node.as_ref()));
    verdict.merge(told::judge(world, held, id, node.as_ref()));
}
