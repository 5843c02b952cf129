//! Claims, their classes and the pods that use them.

use kwhy_sdk::{Json, ObjectRef, Signal, World, hours, minutes, parse_time};

/// Events are repeated while the trouble lasts, though after 25 times only every five minutes: what was not heard of for
/// longer is over.
pub(crate) const HEARD: u64 = minutes(12);

/// A PersistentVolumeClaim that stands in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) id: ObjectRef,
    /// Name of its class; none where the default is asked for, empty where none is.
    pub(crate) class: Option<String>,
    pub(crate) phase: String,
    pub(crate) size: String,
    pub(crate) volume: String,
    pub(crate) created: u64,
    /// The scheduler has chosen a node, so a volume has to be made.
    pub(crate) placed: bool,
    /// Nothing is known of it but what events say.
    pub(crate) told: bool,
}

impl Claim {
    pub(crate) fn load(world: &World<'_>, id: &ObjectRef) -> Option<Self> {
        if id.kind != "PersistentVolumeClaim" || !world.exists(id) {
            return None;
        }
        let read = |pointer: &str| world.read(id, pointer).unwrap_or_default();
        let (spec, meta) = (read("/spec"), read("/metadata"));
        let old = meta.text("/annotations/volume.beta.kubernetes.io~1storage-class");
        let class = if spec.has("/storageClassName") {
            Some(spec.text("/storageClassName").to_owned())
        } else {
            (!old.is_empty()).then(|| old.to_owned())
        };
        Some(Self {
            id: id.clone(),
            class,
            phase: read("/status/phase").text("").to_owned(),
            size: spec.text("/resources/requests/storage").to_owned(),
            volume: spec.text("/volumeName").to_owned(),
            created: parse_time(meta.text("/creationTimestamp")).unwrap_or(0),
            placed: meta.has("/annotations/volume.kubernetes.io~1selected-node"),
            told: false,
        })
    }

    /// One that nobody has shown, as its events tell it; none where they are silent, or their last word is that it has
    /// a volume.
    pub(crate) fn told(world: &World<'_>, id: &ObjectRef) -> Option<Self> {
        if id.kind != "PersistentVolumeClaim" || !world.only_told(id) {
            return None;
        }
        let last = |reason: &str| world.about(id, "self", "event", reason, world.ago(hours(1)), 1).pop();
        let all: Vec<Signal> = ["ProvisioningFailed", "FailedBinding", "ExternalProvisioning"]
            .into_iter()
            .filter_map(last)
            .collect();
        let heard = all.iter().map(|e| e.at).max()?;
        let again = all.iter().any(|e| e.at > e.began() || e.field("count").parse().unwrap_or(1) > 1);
        if !again
            || heard + HEARD <= world.now()
            || last("ProvisioningSucceeded").is_some_and(|e| e.at >= heard)
        {
            return None;
        }
        let class = all.iter().find_map(|e| {
            let (_, rest) = e.message.split_once("storageclass.storage.k8s.io \"")?;
            Some(rest.split_once("\" not found")?.0.to_owned())
        });
        let created = all.iter().map(Signal::began).min()?;
        let (phase, size, volume) = ("Pending".to_owned(), String::new(), String::new());
        Some(Self { id: id.clone(), class, phase, size, volume, created, placed: true, told: true })
    }

    /// `a volume of 8Gi`, as far as its size is known.
    pub(crate) fn asks(&self) -> String {
        if self.size.is_empty() { "a volume".to_owned() } else { format!("a volume of {}", self.size) }
    }
}

/// How a StorageClass provides volumes.
pub(crate) struct Class {
    pub(crate) provisioner: String,
    /// Volumes are made only when a pod is about to use them.
    pub(crate) waits: bool,
    /// Its volumes can be enlarged.
    pub(crate) grows: bool,
}

pub(crate) fn class(world: &World<'_>, name: &str) -> Option<Class> {
    let id = ObjectRef::new("StorageClass", "", name);
    if name.is_empty() || !world.exists(&id) {
        return None;
    }
    let json = world.read(&id, "").unwrap_or_default();
    Some(Class {
        provisioner: json.text("/provisioner").to_owned(),
        waits: json.text("/volumeBindingMode") == "WaitForFirstConsumer",
        grows: json.is_true("/allowVolumeExpansion"),
    })
}

/// Names of the classes, and of the one that is used where none is named.
pub(crate) fn classes(world: &World<'_>) -> (Vec<String>, Option<String>) {
    let all = world.list("StorageClass", "");
    let default = all.iter().find(|id| {
        let notes = world.read(id, "/metadata/annotations").unwrap_or_default();
        [
            "/storageclass.kubernetes.io~1is-default-class",
            "/storageclass.beta.kubernetes.io~1is-default-class",
        ]
        .iter()
        .any(|key| notes.text(key) == "true")
    });
    let default = default.map(|id| id.name.clone());
    (all.into_iter().map(|id| id.name).collect(), default)
}

/// Standing pods that use the claim.
pub(crate) fn users(world: &World<'_>, claim: &ObjectRef) -> Vec<ObjectRef> {
    world.related(claim, "used-by").into_iter().filter(|o| o.kind == "Pod").collect()
}

/// The claim behind a volume that is called by its name in the pod or by that of its PersistentVolume.
pub(crate) fn behind(world: &World<'_>, pod: &ObjectRef, volume: &str) -> Option<ObjectRef> {
    let volumes = world.read(pod, "/spec/volumes").unwrap_or_default().list("");
    let claims = volumes.iter().filter_map(|v| {
        let name = v.text("/persistentVolumeClaim/claimName");
        let claim = ObjectRef::new("PersistentVolumeClaim", &pod.namespace, name);
        (!name.is_empty()).then(|| (v.text("/name").to_owned(), claim))
    });
    let mut claims: Vec<(String, ObjectRef)> = claims.collect();
    let named = claims.iter().position(|(name, claim)| {
        name == volume || world.read(claim, "/spec/volumeName").is_some_and(|v| v.text("") == volume)
    });
    match named {
        Some(place) => Some(claims.swap_remove(place).1),
        None if claims.len() == 1 && volume.is_empty() => claims.pop().map(|(_, c)| c),
        None => None,
    }
}

/// The claim whose volume holds a path of a container; none where the path lies elsewhere.
pub(crate) fn holding(world: &World<'_>, pod: &ObjectRef, container: &str, path: &str) -> Option<ObjectRef> {
    let containers = world.read(pod, "/spec/containers").unwrap_or_default().list("");
    let mounts: Vec<Json> = containers
        .iter()
        .filter(|c| container.is_empty() || c.text("/name") == container)
        .flat_map(|c| c.list("/volumeMounts"))
        .collect();
    let under = |mount: &str| {
        let mount = mount.trim_end_matches('/');
        path == mount || path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'))
    };
    if path.starts_with('/') {
        // The deepest mount over the path holds it.
        let best = mounts
            .iter()
            .filter(|m| under(m.text("/mountPath")))
            .max_by_key(|m| m.text("/mountPath").len())?;
        return behind(world, pod, best.text("/name"));
    }
    // Without a path only a pod with one claim tells which.
    behind(world, pod, "")
}

/// All containers of the pod have been started at least once.
pub(crate) fn started(world: &World<'_>, pod: &ObjectRef) -> bool {
    let status = world.read(pod, "/status").unwrap_or_default();
    let containers = status.list("/containerStatuses");
    let waits = |c: &Json| {
        matches!(c.text("/state/waiting/reason"), "ContainerCreating" | "PodInitializing")
            && !c.has("/lastState/terminated")
    };
    matches!(status.text("/phase"), "Running" | "Succeeded" | "Failed") && !containers.iter().any(waits)
}
