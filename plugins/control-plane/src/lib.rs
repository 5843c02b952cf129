//! The control-plane rule pack: why the API server is slow or loses its leaders, by the words of etcd, of the API
//! server and of those who wait for it.
//!
//! Where several troubles come together the lowest one counts: a disk that is slow makes etcd lose its leader, the API
//! server wait for it, and controllers lose their leases.

mod api;
mod certificate;
mod down;
mod etcd;
mod front;
mod held;
mod leader;
mod line;
mod member;
mod part;
mod space;
mod webhook;

use kwhy_sdk::{Descriptor, Rule, Signal, Subscription, Verdict, Wake, World, minutes, seconds};

use part::Part;

/// The pack.
#[derive(Debug, Default)]
pub struct ControlPlane;

kwhy_sdk::export!(ControlPlane);

/// Timer: look at the control plane again.
const LOOK: &str = "control-plane-look";
/// When the last look was.
const LOOKED: &str = "looked";
/// Troubles write many lines: one look in so long tells as much.
const PAUSE: u64 = seconds(20);
/// How long a line counts.
pub(crate) const WINDOW: u64 = minutes(15);

impl Rule for ControlPlane {
    fn describe(&self) -> Descriptor {
        let book = |group: &str, name: &str| {
            format!("https://runbooks.prometheus-operator.dev/runbooks/{group}/{name}")
        };
        let any = "Kubernetes 1.18 and later";
        let tuning = "https://etcd.io/docs/latest/tuning/";
        let alerts = [
            &etcd::DISK_ALERTS[..],
            &etcd::LEADER_ALERTS,
            &member::ALERTS,
            &space::ALERTS,
            &api::ALERTS,
            &certificate::ALERTS,
            &down::ALERTS,
        ]
        .concat();
        let own = Descriptor::new("control-plane", env!("CARGO_PKG_VERSION"))
            .code(
                etcd::SLOW_DISK,
                "The disk under etcd is too slow",
                "etcd 3.2 and later",
                &[tuning, "https://etcd.io/docs/latest/faq/", &book("etcd", "etcdhighfsyncdurations")],
            )
            .code(
                etcd::NO_LEADER,
                "etcd has no leader, so nothing can be written",
                "etcd 3.2 and later",
                &[&book("etcd", "etcdnoleader"), &book("etcd", "etcdinsufficientmembers")],
            )
            .code(
                space::CODE,
                "etcd takes no more writes, its database being full",
                "etcd 3.2 and later",
                &[
                    "https://etcd.io/docs/latest/op-guide/maintenance/#space-quota",
                    &book("etcd", "etcddatabasequotalowspace"),
                ],
            )
            .code(
                member::CODE,
                "A member of etcd does not run while the others decide",
                "etcd 3.4 and later, as static pods",
                &["https://etcd.io/docs/latest/op-guide/runtime-configuration/", &book("etcd", "etcdmembersdown")],
            )
            .code(
                api::SLOW,
                "The API server does not answer in time",
                any,
                &[
                    &book("kubernetes", "kubeapierrorbudgetburn"),
                    "https://kubernetes.io/docs/concepts/cluster-administration/flow-control/",
                ],
            )
            .code(
                webhook::CODE,
                "An admission webhook does not answer in time and holds up the API server",
                any,
                &["https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/"],
            )
            .code(
                certificate::CODE,
                "A certificate for the API server runs out",
                any,
                &[
                    &book("kubernetes", "kubeclientcertificateexpiration"),
                    "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/kubeadm-certs/",
                ],
            )
            .code(
                leader::CODE,
                "A component of the control plane loses its leadership again and again",
                any,
                &["https://kubernetes.io/docs/concepts/architecture/leases/"],
            )
            .code(
                down::CODE,
                "The scheduler or the controller manager does not run",
                "Kubernetes 1.18 and later, as static pods",
                &[
                    &book("kubernetes", "kubeschedulerdown"),
                    &book("kubernetes", "kubecontrollermanagerdown"),
                    "https://kubernetes.io/docs/tasks/debug/debug-cluster/",
                ],
            )
            .code(
                front::BALANCER,
                "A Service of type LoadBalancer gets no address",
                any,
                &[
                    "https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer",
                    "https://metallb.io/troubleshooting/",
                ],
            )
            .code(
                front::INGRESS,
                "No controller takes up an Ingress",
                "Kubernetes 1.18 and later",
                &["https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class"],
            )
            .wants(line::logs())
            .wants(line::kubelet())
            .wants(Subscription::alerts(&alerts))
            .wants(Subscription::events(&["LeaderElection"]))
            .wants(Subscription::objects(&["Pod"]).namespaces(&[part::NAMESPACE]).workloads(&[
                "*etcd*",
                "kube-scheduler*",
                "kube-controller-manager*",
            ]));
        front::wanted().into_iter().fold(own, Descriptor::wants)
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        if let Some(verdict) = front::told(world, signal) {
            return Ok(verdict);
        }
        let mut verdict = Verdict::default();
        let source = signal.source.as_str();
        let due = world.recall::<u64>(LOOKED).map_or(0, |at| at + PAUSE);
        if matches!(source, "log" | "kubelet" | "event" | "object") {
            if !concerns(world, signal) {
                return Ok(verdict);
            }
            if due > world.now() {
                verdict.wakes.push(look_at(world, due));
                return Ok(verdict);
            }
        }
        world.remember(LOOKED, &world.now(), minutes(60));
        let mut found = Vec::new();
        let lowest = |since| {
            space::full(world, since)
                .or_else(|| etcd::no_leader(world, since))
                .or_else(|| etcd::slow_disk(world, since))
                .or_else(|| api::slow(world, since))
        };
        match lowest(world.ago(WINDOW)) {
            Some(lowest) => found.push(lowest),
            // Leases are looked at for longer: what made them be lost may be quiet again.
            None if lowest(world.ago(leader::WINDOW + WINDOW)).is_none() => {
                found.extend(leader::flapping(world));
            }
            None => {}
        }
        // Both end where etcd or the API server is away.
        if found.is_empty() {
            found.extend(down::down(world, &mut verdict));
        }
        if !found.iter().any(|d| d.code == etcd::NO_LEADER) {
            found.extend(member::down(world, &mut verdict));
        }
        found.extend(webhook::timeouts(world));
        found.extend(certificate::expiring(world));
        if !found.is_empty() || held::any(world) {
            verdict.wakes.push(look_at(world, world.now() + minutes(5)));
        }
        held::reconcile(world, found, &mut verdict);
        Ok(verdict)
    }
}

/// Whether a line or event is told by or about the control plane; other programs may say the same words.
fn concerns(world: &World<'_>, signal: &Signal) -> bool {
    matches!((signal.source.as_str(), signal.name.as_str()), ("kubelet", _) | ("event", "LeaderElection"))
        || signal.subject.as_ref().is_some_and(|pod| Part::of(world, pod).is_some())
}

fn look_at(world: &World<'_>, at: u64) -> Wake {
    Wake { id: LOOK.into(), subject: Some(part::cluster(world)), at }
}
