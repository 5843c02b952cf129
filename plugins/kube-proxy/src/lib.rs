//! The kube-proxy rule pack: why Prometheus does not reach kube-proxy and the control plane's other components that
//! run well all the same.
//!
//! What is known here stands in the components' sources: `pkg/proxy/apis/config/v1alpha1/defaults.go` and
//! `cmd/kube-proxy/app/options.go` in kubernetes/kubernetes, the static pods that kubeadm writes
//! (`cmd/kubeadm/app/phases/{controlplane,etcd}`), and `pkg/daemons/control/server.go` in k3s-io/k3s. A component is
//! told by what a container runs, never by the pod's name alone.

mod address;
mod component;
mod embedded;
mod instance;
mod loopback;
mod memory;
mod remedy;
mod stale;

use kwhy_sdk::{
    Clearing, Descriptor, ObjectRef, Rejection, Rule, Signal, Subscription, Verdict, Wake, World,
};

use component::Component;
use instance::Instance;
use loopback::Seen;
use memory::{Edit, Firing, Memory, id, object};

/// The pack.
#[derive(Debug, Default)]
pub struct KubeProxy;

kwhy_sdk::export!(KubeProxy);

/// Timer: look at an edit again.
const LOOK: &str = "kube-proxy-look";

impl Rule for KubeProxy {
    fn describe(&self) -> Descriptor {
        // kubernetes-mixin, etcd's mixin, general rules of kube-prometheus, and awesome-prometheus-alerts.
        let alerts = [
            "KubeProxy*",
            "KubeScheduler*",
            "KubeControllerManager*",
            "etcdMembersDown",
            "etcdInsufficientMembers",
            "TargetDown",
            "PrometheusTarget*",
            "PrometheusAllTargetsMissing",
            "PrometheusJobMissing",
        ];
        let words = ["*proxy*", "*scheduler*", "*controller-manager*", "*etcd*"];
        Descriptor::new("kube-proxy", env!("CARGO_PKG_VERSION"))
            .code(
                loopback::CODE,
                "A component serves its metrics on loopback only, out of reach of Prometheus",
                "kube-proxy 1.10 and later (default 127.0.0.1:10249); kube-scheduler, kube-controller-manager and etcd as kubeadm sets them up; k3s",
                &[
                    "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubeproxydown",
                    "https://github.com/prometheus-community/helm-charts/issues/1704",
                    "https://github.com/prometheus-operator/kube-prometheus/issues/718",
                    "https://github.com/k3s-io/k3s/issues/3619",
                    "https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/",
                ],
            )
            .code(
                stale::CODE,
                "The configuration of kube-proxy was edited, but its pods run with the old one",
                "kube-proxy of any version that reads a ConfigMap",
                &[
                    "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubeproxydown",
                    "https://kubernetes.io/docs/reference/command-line-tools-reference/kube-proxy/",
                ],
            )
            .wants(Subscription::alerts(&alerts))
            .wants(Subscription::objects(&["Pod", "DaemonSet", "Deployment"]).workloads(&words))
            .wants(Subscription::objects(&["ConfigMap"]).workloads(&["*proxy*"]))
            .wants(Subscription::objects(&["Node"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        let mut memory = match Memory::load(world) {
            Some(memory) => memory,
            // The usual case: nothing has happened, and only these two can begin something.
            None if signal.source == "alert" || subject.kind == "ConfigMap" => Memory::default(),
            None => return Ok(Verdict::default()),
        };
        let mut concerned = Component::ALL.to_vec();
        if signal.source == "alert" {
            let Some(component) = Component::of_alert(signal) else { return Ok(Verdict::default()) };
            memory.hear(Firing::of(component, signal, subject), signal.state != "resolved");
            concerned = vec![component];
        } else if subject.kind == "ConfigMap" {
            if signal.source == "object" && signal.state != "listed" {
                memory.edited(Edit::of(world, signal, subject));
            }
            concerned = vec![Component::Proxy];
        }
        let verdict = judge(world, &mut memory, &concerned);
        memory.save(world);
        Ok(verdict)
    }
}

/// Judges components from the facts as they stand now and keeps what is held true.
fn judge(world: &World<'_>, memory: &mut Memory, concerned: &[Component]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut without: Vec<Component> = Vec::new();
    for component in concerned.iter().copied() {
        if !memory.watches(component) {
            continue;
        }
        let firing: Vec<Firing> = memory.of(component).cloned().collect();
        let namespaces = firing.iter().map(|f| f.subject.1.as_str());
        let instances = Instance::all(world, component, namespaces);
        if instances.is_empty() && !firing.is_empty() {
            without.push(component);
        }
        let seen = Seen::look(world, component, memory, instances);
        verdict.merge(one(world, memory, &seen, &firing));
    }
    if !without.is_empty() {
        // All in one process, so one finding for them all: also those that this signal did not concern.
        let all: Vec<Firing> = memory.alerts.clone();
        if let Some(diagnosis) = embedded::diagnose(world, &all) {
            for component in without {
                memory.hold(component, Some((diagnosis.code.clone(), id(&diagnosis.root))));
            }
            verdict.rejections.clear();
            verdict.diagnoses.push(diagnosis);
        }
    }
    verdict
}

fn one(world: &World<'_>, memory: &mut Memory, seen: &Seen, firing: &[Firing]) -> Verdict {
    let mut verdict = Verdict::default();
    let component = seen.component;
    if let Some(at) = stale::due(memory, seen).filter(|at| *at > world.now()) {
        let subject = memory.edits.last().map(|e| object(&e.map));
        verdict.wakes.push(Wake { id: LOOK.into(), subject, at });
    }
    let explained = loopback::diagnose(world, seen, firing).or_else(|| stale::explains(seen, firing));
    if let (Some(root), None, false) = (seen.root(), &explained, firing.is_empty()) {
        verdict.rejections.push(Rejection::new(loopback::CODE, &root, seen.well(false)));
    }
    let found = explained.or_else(|| stale::waits(world, memory, seen));
    let held = memory.held(component);
    if let Some(mut diagnosis) = found {
        if diagnosis.severity == "info" {
            let subject = memory.edits.last().map(|e| object(&e.map));
            verdict.wakes.push(Wake { id: LOOK.into(), subject, at: world.now() + stale::AGAIN });
        }
        if let Some((code, root)) = held.filter(|(_, root)| *root != id(&diagnosis.root)) {
            let because = format!("it is set in {} {} now", diagnosis.root.kind, diagnosis.root.path());
            verdict.cleared.push(Clearing::new(&code, &object(&root), because));
        }
        // An edit without a restart is the same trouble on its way to an end.
        let other = if diagnosis.code == stale::CODE { loopback::CODE } else { stale::CODE };
        diagnosis.supersedes.push(other.to_owned());
        memory.hold(component, Some((diagnosis.code.clone(), id(&diagnosis.root))));
        verdict.diagnoses.push(diagnosis);
    } else {
        if let Some((code, root)) = held {
            verdict.cleared.push(Clearing::new(&code, &object(&root), seen.well(firing.is_empty())));
        }
        memory.hold(component, None);
        memory.forget_applied(seen);
    }
    verdict
}

/// `a`, `a and b`, `a, b and 3 more`.
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [a, b] => format!("{a} and {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        [a, b, rest @ ..] => format!("{a}, {b} and {} more", rest.len()),
    }
}

/// The object with nothing but its name, as a command takes it.
pub(crate) fn bare(object: &ObjectRef) -> ObjectRef {
    ObjectRef::new(&object.kind, &object.namespace, &object.name)
}
