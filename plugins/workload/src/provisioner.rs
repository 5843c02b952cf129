//! A program that makes volumes: while it does not run, the claims that ask for its volumes stay pending.
//!
//! An external provisioner is known by the name that StorageClasses give it. Its own pods carry that name on a command
//! line, in a variable or in a path, as `PROVISIONER_NAME` of nfs-subdir-external-provisioner or `--drivername` of ceph-csi;
//! local-path-provisioner knows it by heart, and of many CSI drivers only the half on the nodes carries it.

use kwhy_sdk::{Explains, Json, ObjectRef, World, image_name};

/// Most claims told of one provisioner.
const MOST: usize = 50;

/// What those see who wait for volumes of this workload; nothing where it makes none, or others of its pods may do so.
pub(crate) fn explains(world: &World<'_>, workload: &ObjectRef, down: bool) -> Vec<Explains> {
    let mut out = Vec::new();
    if !matches!(workload.kind.as_str(), "Deployment" | "StatefulSet") {
        return out;
    }
    let template = template(world, workload);
    // One replica that runs at times and ends again makes no volumes either.
    let alone = || world.read(workload, "/spec/replicas").is_none_or(|r| r.number("") <= 1);
    if !makes_volumes(&template) || !(down || alone()) {
        return out;
    }
    let mut known: Vec<(String, bool)> = Vec::new();
    let mut waits = |claim: &ObjectRef| {
        asked(world, claim).is_some_and(|by| {
            if let Some((_, is)) = known.iter().find(|(name, _)| *name == by) {
                return *is;
            }
            let is = provides(world, workload, &template, &by);
            known.push((by, is));
            is
        })
    };
    for claim in world.list("PersistentVolumeClaim", "").iter().filter(|claim| waits(claim)).take(MOST) {
        out.extend(Explains::waiting(claim, "users"));
        out.push(Explains::event("FailedScheduling", claim, "users"));
        out.push(Explains::event("*Provisioning*", claim, "self"));
        out.push(Explains::finding("storage.pvc-unbound", claim, "self"));
    }
    out
}

fn template(world: &World<'_>, workload: &ObjectRef) -> String {
    world.text(workload, "/spec/template/spec").unwrap_or_default()
}

fn makes_volumes(template: &str) -> bool {
    template.contains("provisioner") || template.contains("PROVISIONER")
}

/// The provisioner that a pending claim waits for.
fn asked(world: &World<'_>, claim: &ObjectRef) -> Option<String> {
    let all = world.read(claim, "")?;
    if all.text("/status/phase") != "Pending" || !all.text("/spec/volumeName").is_empty() {
        return None;
    }
    // Noted by the volume binder when it has handed the claim over.
    let noted = ["volume.kubernetes.io", "volume.beta.kubernetes.io"]
        .map(|group| all.text(&format!("/metadata/annotations/{group}~1storage-provisioner")).to_owned());
    noted.into_iter().find(|by| !by.is_empty())
}

/// Whether the workload is the provisioner of that name.
fn provides(world: &World<'_>, workload: &ObjectRef, template: &str, name: &str) -> bool {
    if template.contains(name) {
        return true;
    }
    let spec: Json = world.read(workload, "/spec/template/spec").unwrap_or_default();
    let own = format!("{}-provisioner", name.rsplit('/').next().unwrap_or(name));
    if spec.list("/containers").iter().any(|c| image_name(c.text("/image")) == own) {
        return true;
    }
    // The other half of the driver names it, and nothing else beside it makes volumes.
    let namespace = &workload.namespace;
    let beside =
        world.list("DaemonSet", namespace).iter().any(|set| self::template(world, set).contains(name));
    let makers = ["Deployment", "StatefulSet"]
        .into_iter()
        .flat_map(|kind| world.list(kind, namespace))
        .filter(|other| makes_volumes(&self::template(world, other)));
    beside && makers.count() == 1
}
