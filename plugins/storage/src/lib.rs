//! The storage rule pack: why a claim has no volume, a volume does not come to its pod, does not
//! leave it, or takes nothing more.

mod blocked;
mod claim;
mod full;
mod memory;
mod mount;
mod noise;
mod reason;
mod resize;
mod stale;
mod unbound;
mod unmount;
mod wanted;

use kwhy_sdk::{Descriptor, ObjectRef, Rule, Signal, Subscription, Verdict, Wake, World, seconds};

use memory::Held;

/// The pack.
#[derive(Debug, Default)]
pub struct Storage;

kwhy_sdk::export!(Storage);

/// Timer: look at the object again.
pub(crate) const LOOK: &str = "storage-look";

const PV: &str = "https://kubernetes.io/docs/concepts/storage/persistent-volumes/";

impl Rule for Storage {
    fn describe(&self) -> Descriptor {
        let any = "all of Kubernetes";
        let ownership = "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/#configure-volume-permission-and-ownership-change-policy-for-pods";
        Descriptor::new("storage", env!("CARGO_PKG_VERSION"))
            .code(unbound::NO_CLASS, "A claim names a StorageClass that does not exist", any, &["https://kubernetes.io/docs/concepts/storage/storage-classes/"])
            .code(unbound::UNBOUND, "A claim stays without a volume", any, &[PV])
            .code(mount::MULTI_ATTACH, "A volume is attached to another node", any, &["https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes"])
            .code(mount::MOUNT, "A volume cannot be mounted", any, &[PV])
            .code(full::CODE, "A volume is full", any, &["https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims", "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepersistentvolumefillingup/"])
            .code(resize::CODE, "A volume is not enlarged", any, &["https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims", "https://kubernetes.io/docs/concepts/storage/storage-classes/#allow-volume-expansion"])
            .code(mount::CSI, "A storage driver is not on the node", any, &["https://kubernetes-csi.github.io/docs/node-driver-registrar.html"])
            .code(mount::SLOW, "Setting the ownership of a volume's files holds a pod up", "Kubernetes 1.20 and later have the policy, 1.34 and later the event", &[ownership])
            .code(unmount::CODE, "A volume cannot be unmounted, so its pod stays", any, &["https://github.com/kubernetes/kubernetes/issues/113426", "https://github.com/kubernetes/kubernetes/issues/72048"])
            .code(noise::CODE, "Not churn: the kubelet repeats a harmless warning", "Kubernetes before 1.18.6", &["https://github.com/kubernetes/kubernetes/issues/90293", "https://github.com/kubernetes/kubernetes/pull/92878"])
            .wants(Subscription::objects(&["PersistentVolumeClaim", "StorageClass", "Pod"]))
            .wants(Subscription::events(&["ProvisioningFailed", "FailedBinding", "ExternalProvisioning", "VolumeMismatch", "ClaimLost", "ClaimMisbound"]).kinds(&["PersistentVolumeClaim"]))
            .wants(Subscription::events(&["FailedAttachVolume", "FailedMount", "FailedMapVolume", "VolumePermissionChangeInProgress", "FailedScheduling", "Scheduled", "Failed"]).kinds(&["Pod"]))
            .wants(Subscription::events(&resize::EVENTS).kinds(&["PersistentVolumeClaim", "Pod"]))
            .wants(Subscription::alerts(&full::ALERTS))
            .wants(Subscription::logs([full::pattern(), vec![resize::pattern()]].concat()))
            .wants(Subscription::kubelet([vec![noise::pattern()], unmount::patterns()].concat()))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
        if signal.source == "object" && signal.state == "listed" {
            // What else was there comes in the same moment, in any order: classes, pods, volumes.
            let mut verdict = Verdict::default();
            if subject.kind == "PersistentVolumeClaim" {
                let at = world.now() + seconds(1);
                verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(subject.clone()), at });
            } else if subject.kind == "Pod" && mount::gone(world, subject) {
                let at = world.now() + seconds(1);
                verdict.wakes.push(Wake { id: unmount::LOOK.into(), subject: Some(subject.clone()), at });
            }
            return Ok(verdict);
        }
        let before = Held::load(world);
        let mut held = before.clone();
        let verdict = match (signal.source.as_str(), subject.kind.as_str()) {
            ("kubelet", _) if unmount::tells(signal) => unmount::told(world, &mut held, subject, signal),
            ("kubelet", _) => ownership(world, &mut held, subject, signal),
            ("log", _) if signal.name == resize::REFUSED => {
                let claim = resize::of_line(world, signal);
                claim.map_or_else(Verdict::default, |claim| resize::judge(world, &mut held, &claim))
            }
            ("event", "Pod") if resize::EVENTS.contains(&signal.name.as_str()) => {
                let claim = resize::of_pod(world, subject, signal);
                claim.map_or_else(Verdict::default, |claim| resize::judge(world, &mut held, &claim))
            }
            ("log" | "alert", _) => full::judge(world, &mut held, signal, subject),
            (_, "PersistentVolumeClaim") => {
                let mut verdict = unbound::judge(world, &mut held, subject);
                verdict.merge(resize::judge(world, &mut held, subject));
                verdict
            }
            (_, "StorageClass") => class_changed(world, &mut held, subject),
            ("object", "Pod") => pod_changed(world, &mut held, subject),
            ("event", "Pod") if matches!(signal.name.as_str(), "FailedScheduling" | "Scheduled") => {
                let mut verdict = unplaced(world, &mut held, subject, signal);
                verdict.merge(wanted::judge(world, &mut held, subject));
                verdict
            }
            ("event", "Pod") if signal.name == "Failed" && !stale::is_told(&signal.message) => {
                Verdict::default()
            }
            ("timer", "Pod") if signal.name == unmount::LOOK => unmount::judge(world, &mut held, subject),
            ("timer", "Pod") => {
                let mut verdict = wanted::judge(world, &mut held, subject);
                verdict.merge(mount::judge(world, &mut held, subject));
                verdict
            }
            (_, "Pod") => mount::judge(world, &mut held, subject),
            _ => Verdict::default(),
        };
        held.save(world, &before);
        Ok(verdict)
    }
}

/// A line about the ownership of a volume: noise, or the reason why a pod does not start.
fn ownership(world: &World<'_>, held: &mut Held, node: &ObjectRef, line: &Signal) -> Verdict {
    let mut verdict = noise::told(world, node, line);
    if !noise::small(line) {
        for pod in world.related(node, "pod").iter().filter(|p| p.uid == line.field("uid")) {
            verdict.merge(mount::judge(world, held, pod));
        }
    }
    verdict
}

/// A pod that finds no place for want of a volume: its claims tell why.
fn unplaced(world: &World<'_>, held: &mut Held, pod: &ObjectRef, event: &Signal) -> Verdict {
    let mut verdict = Verdict::default();
    if unbound::keeps_from_place(&event.message) {
        for claim in world.related(pod, "uses").iter().filter(|o| o.kind == "PersistentVolumeClaim") {
            verdict.merge(unbound::judge(world, held, claim));
        }
    }
    verdict
}

/// A class that comes or goes matters to the claims that name it.
fn class_changed(world: &World<'_>, held: &mut Held, class: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    for claim in world.list("PersistentVolumeClaim", "") {
        let pending = world.read(&claim, "/status/phase").is_some_and(|p| p.text("") == "Pending");
        if pending {
            verdict.merge(unbound::judge(world, held, &claim));
        }
    }
    if world.exists(class) {
        held.clear(&mut verdict, &[unbound::NO_CLASS], class, "the class exists now");
    }
    verdict
}

/// Pods change all the time: only those count whose workload waits for a volume, or that use a claim that does.
fn pod_changed(world: &World<'_>, held: &mut Held, pod: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    if mount::concerns(world, held, pod) {
        verdict.merge(mount::judge(world, held, pod));
    }
    if !held.roots(unmount::CODE).is_empty() || mount::gone(world, pod) {
        verdict.merge(unmount::judge(world, held, pod));
    }
    // A pod that is new uses a missing class's claim: the tree is to show it.
    if !held.roots(unbound::NO_CLASS).is_empty() {
        for claim in world.related(pod, "uses").iter().filter(|o| o.kind == "PersistentVolumeClaim") {
            verdict.merge(unbound::judge(world, held, claim));
        }
    }
    verdict
}
