//! `workload.container-refused`: the kubelet or the container runtime cannot make or start a container, for another
//! reason than its program: a mount that does not fit, a profile or a driver that the node lacks, too little memory for
//! the runtime itself.
//!
//! Texts of runc (libcontainer/rootfs_linux.go, init_linux.go), containerd (pkg/cri), CRI-O (internal/oci), dockershim
//! (helpers_linux.go) and the kubelet (kubelet_pods.go). The kubelet shows them as CreateContainerError,
//! RunContainerError or, between two tries, as the end of the last one: StartError, ContainerCannotRun.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, World, minutes};

use crate::{
    case, change, config_change,
    pod::{Container, Pod},
    words::{any, between, kubectl, named, set, short, spoken, undo},
};

pub(crate) const CODE: &str = "workload.container-refused";

/// A runtime that is busy gets over it.
const PATIENCE: u64 = minutes(2);

/// What the runtime dislikes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Dislike {
    /// A memory limit below what the runtime needs.
    Memory,
    /// A file over a directory or the other way round, at that path.
    Mount(String),
    /// A seccomp or AppArmor profile that the node does not have.
    Profile,
    /// A hook of the node, most often a driver's.
    Hook,
    /// A port of the node that something else holds.
    Port,
    /// A user that the image does not have.
    User,
    /// Neither image nor template has a command.
    NoCommand,
    /// A mount whose source has to be shared on the node.
    Propagation,
    Other,
}

fn read(text: &str) -> Dislike {
    if any(
        text,
        &["memory limit", "OOM-killed (memory limit too low", "cgroup memory.max", "memory.limit_in_bytes"],
    ) {
        return Dislike::Memory;
    }
    if any(text, &["not a directory", "is a directory"]) && text.contains("mount") {
        // Older versions quote within quotes, and give the path as it is on the node.
        let plain = text.replace('\\', "");
        let at = between(&plain, "to rootfs at \"", "\"").or_else(|| between(&plain, "\" at \"", "\""));
        let at = at.map(|path| path.split_once("/merged").map_or(path, |(_, inside)| inside));
        return Dislike::Mount(at.unwrap_or_default().to_owned());
    }
    if any(text, &["seccomp", "apparmor", "AppArmor"]) {
        return Dislike::Profile;
    }
    if any(text, &["running hook", "nvidia-container-cli", "prestart hook"]) {
        return Dislike::Hook;
    }
    if any(text, &["port is already allocated", "address already in use"]) {
        return Dislike::Port;
    }
    if any(text, &["unable to find user", "unable to find group", "no matching entries in passwd"]) {
        return Dislike::User;
    }
    if any(text, &["no command specified", "No command specified"]) {
        return Dislike::NoCommand;
    }
    if any(text, &["is not a shared mount", "not a shared or slave mount"]) {
        return Dislike::Propagation;
    }
    Dislike::Other
}

/// A runtime that answers late or not at all is the node's trouble; a name still in use follows from that. What the
/// kubelet has not yet heard of comes by itself.
fn passes(text: &str) -> bool {
    any(
        text,
        &[
            "context deadline exceeded",
            "is reserved for",
            "name is already in use",
            "connection refused",
            "transport is closing",
            "no space left",
            "failed to sync",
            "ttrpc: closed",
            "sandbox",
            "failed to reserve container name",
        ],
    ) || (text.contains("container \"") && text.contains("not found") && !text.contains("exec"))
}

/// The words of the refusal, and where they stand.
fn words(world: &World<'_>, pod: &Pod, container: &Container) -> Option<(String, String)> {
    let (reason, message) = container.waiting();
    if matches!(reason, "CreateContainerError" | "RunContainerError" | "CreateContainerConfigError")
        && !message.is_empty()
    {
        return Some((message.to_owned(), format!("why the container waits: {reason}")));
    }
    let end = container.end().filter(|e| matches!(e.reason.as_str(), "StartError" | "ContainerCannotRun"))?;
    if !end.message.is_empty() {
        return Some((end.message.clone(), format!("how the last try ended: {}", end.reason)));
    }
    let told = pod.told(world, container, "Failed", world.ago(minutes(30))).into_iter();
    let told = told.map(|e| e.message).find(|m| m.starts_with("Error: ") && !m.contains("BackOff"))?;
    Some((told, format!("what the kubelet said of the last try: {}", end.reason)))
}

/// Why a container is refused; the time to look again where it is too early to say.
pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container) -> Result<Option<Diagnosis>, u64> {
    let Some((text, note)) = words(world, pod, container) else { return Ok(None) };
    if passes(&text) {
        return Ok(None);
    }
    let due = config_change::ill_since(pod) + PATIENCE;
    if due > world.now() && container.restarts() < 2 {
        return Err(due);
    }
    Ok(Some(diagnose(world, pod, container, &text, note)))
}

/// A ready pod of the same template on another node: then the node differs and not the template.
fn elsewhere(world: &World<'_>, pod: &Pod, container: &Container) -> Option<(ObjectRef, String)> {
    world.pods(&pod.holder).into_iter().take(40).filter(|p| !p.is(&pod.id)).find_map(|p| {
        let other = Pod::load(world, &p).filter(Pod::ready)?;
        let same = other.container(&container.name)?.spec == container.spec;
        (same && other.node() != pod.node()).then(|| (p, other.node().to_owned()))
    })
}

fn diagnose(world: &World<'_>, pod: &Pod, container: &Container, text: &str, note: String) -> Diagnosis {
    let dislike = read(text);
    let confidence = match dislike {
        Dislike::Memory => 85,
        Dislike::Other => 62,
        _ => 82,
    };
    let mut diagnosis = case::of_pod(world, CODE, &pod.workload, pod, confidence);
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let node = pod.node();
    let (title, why) = words_of(&dislike, pod, container);
    diagnosis.title = format!("{title} container {name} of {whose}");
    if dislike == Dislike::Memory {
        let limit = container.spec.text("/resources/limits/memory");
        let of = if limit.is_empty() { String::new() } else { format!(" ({limit})") };
        diagnosis.title =
            format!("The memory limit of {whose}{of} is too low for the runtime to start container {name}");
    }
    diagnosis.explanation = format!(
        "{why}On {} the answer is: {}.",
        pod.where_it_runs(),
        short(text.trim(), 300).trim_end_matches('.').replace('\n', " ")
    );
    diagnosis.evidence.push(Evidence::object(&pod.id, short(text.trim(), 500), 50, note));
    if let Some((other, on)) = elsewhere(world, pod, container) {
        diagnosis
            .explanation
            .push_str(&format!(" On node {on} the same container runs, so node {node} is what differs."));
        diagnosis.evidence.push(Evidence::object(&other, "ready", 20, "the same template on another node"));
    }
    if let Dislike::Mount(path) = &dislike
        && let Some((missing, evidence)) = absent_key(world, pod, container, path)
    {
        diagnosis.explanation.push_str(&missing);
        diagnosis.evidence.push(evidence);
    }
    let rollout = config_change::to_blame(world, pod, container);
    if let Some(rollout) = &rollout {
        diagnosis.explanation.push_str(&format!(" The last rollout changed {}.", rollout.words()));
        diagnosis.evidence.push(rollout.evidence(25, "the last rollout, before it began"));
    }
    remedies(&mut diagnosis, pod, container, &dislike, rollout.as_ref());
    diagnosis.supersedes = vec![crate::generic::EXIT.into(), crate::generic::INIT.into()];
    diagnosis
}

/// Title and first sentence.
fn words_of(dislike: &Dislike, pod: &Pod, container: &Container) -> (String, String) {
    let name = &container.name;
    let node = pod.node();
    match dislike {
        Dislike::Mount(path) => {
            let mounts = container.spec.list("/volumeMounts");
            let mount = mounts.iter().find(|m| m.text("/mountPath") == path);
            let of = mount.map_or(String::new(), |m| {
                let part = m.text("/subPath");
                let part = if part.is_empty() { String::new() } else { format!(", subPath {part}") };
                format!(" (volume {}{part})", m.text("/name"))
            });
            (
                format!("A mount at {path} does not fit: the runtime cannot start"),
                format!(
                    "At {path}{of} a file is mounted over a directory of the image, or a directory over a file. "
                ),
            )
        }
        Dislike::Profile => (
            format!("Node {node} lacks the security profile of"),
            format!("The seccomp or AppArmor profile that container {name} names is not on node {node}. "),
        ),
        Dislike::Hook => (
            format!("A hook of the container runtime on node {node} fails, so it cannot start"),
            format!(
                "Before container {name} starts the runtime calls a hook of the node, and that one fails. "
            ),
        ),
        Dislike::Port => (
            format!("A port of node {node} is taken, so the runtime cannot start"),
            "Something on the node holds the host port already. ".to_owned(),
        ),
        Dislike::User => (
            "The image lacks the user of".to_owned(),
            format!("The user that container {name} shall run as is not in the image. "),
        ),
        Dislike::NoCommand => (
            "Neither image nor template names a command for".to_owned(),
            format!("The image of container {name} has no entry point, and the template gives no command. "),
        ),
        Dislike::Propagation => (
            format!("A mount of node {node} is not shared, so the runtime refuses"),
            format!(
                "Container {name} asks for mount propagation, which a mount of the node does not allow. "
            ),
        ),
        Dislike::Memory => (String::new(), String::new()),
        Dislike::Other => ("The container runtime refuses to start".to_owned(), String::new()),
    }
}

/// A mounted file that its ConfigMap does not have is made as an empty directory.
fn absent_key(world: &World<'_>, pod: &Pod, container: &Container, path: &str) -> Option<(String, Evidence)> {
    let mounts = container.spec.list("/volumeMounts");
    let mount = mounts.iter().find(|m| m.text("/mountPath") == path && m.has("/subPath"))?;
    let volumes = pod.json.list("/spec/volumes");
    let volume = volumes.iter().find(|v| v.text("/name") == mount.text("/name"))?;
    let map = ObjectRef::new("ConfigMap", &pod.id.namespace, volume.text("/configMap/name"));
    let keys: Vec<String> = world.read(&map, "/data")?.map("").into_iter().map(|(k, _)| k).collect();
    let part = mount.text("/subPath");
    (!keys.iter().any(|k| k == part)).then(|| {
        (
            format!(
                " {} has no key {part}, so an empty directory is mounted in place of the file.",
                spoken(&map)
            ),
            Evidence::object(&map, format!("keys: {}", keys.join(", ")), 30, "the keys that it has"),
        )
    })
}

fn remedies(
    diagnosis: &mut Diagnosis,
    pod: &Pod,
    container: &Container,
    dislike: &Dislike,
    rollout: Option<&change::Rollout>,
) {
    let k = kubectl(&pod.holder.namespace);
    let of = named(&pod.holder);
    let (name, node) = (&container.name, pod.node());
    let edit = format!("{k} edit {of}");
    diagnosis.remedies.push(match dislike {
        Dislike::Memory => Remedy::new(
            "raise the memory limit: runtimes need at least 6 to 12 MiB for any container",
        )
        .command(set(&pod.holder, "resources", &format!("-c {name} --limits=memory=64Mi"))),
        Dislike::Mount(path) => Remedy::new(format!(
            "mend mountPath or subPath of the mount at {path}: a single file needs its own file name in mountPath, a whole volume a directory and no subPath"
        ))
        .command(edit),
        Dislike::Profile => Remedy::new(format!(
            "put the profile onto node {node}, or name one that is there in the securityContext"
        ))
        .command(format!("ls -R /var/lib/kubelet/seccomp     # on node {node}"))
        .command(edit),
        Dislike::Hook => Remedy::new(format!(
            "bring driver and tools of node {node} together again: after an update of the driver that takes a reboot"
        ))
        .command(format!("nvidia-smi     # on node {node}"))
        .command(format!("kubectl drain {node} --ignore-daemonsets --delete-emptydir-data"))
        .caution("a drain moves every pod of the node away, and with --delete-emptydir-data their scratch space is lost"),
        Dislike::Port => Remedy::new(format!("free the port on node {node}, or take another hostPort"))
            .command(format!("sudo ss -ltnup     # on node {node}"))
            .command(edit),
        Dislike::User => Remedy::new("name a user that the image has in runAsUser, or build the image with it")
            .command(edit),
        Dislike::NoCommand => Remedy::new(format!("give container {name} a command")).command(edit),
        Dislike::Propagation => Remedy::new(format!("make the mount shared on node {node}"))
            .command(format!("sudo mount --make-rshared /     # on node {node}")),
        Dislike::Other => Remedy::new("mend what the answer names in the pod template").command(edit),
    });
    if let Some(back) = undo(&pod.holder).filter(|_| rollout.is_some()) {
        diagnosis.remedies.push(
            Remedy::new("or go back to the former revision")
                .command(back)
                .caution("it takes back every change of that rollout"),
        );
    }
    case::note_root(diagnosis, format!("container {name} cannot be made"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runtime_dislikes_is_read_from_its_words() {
        let mount = |path: &str| Dislike::Mount(path.to_owned());
        for (text, want) in [
            (
                r#"unable to start container process: error during container init: error mounting "/var/lib/kubelet/pods/x/volume-subpaths/c/web/0" to rootfs at "/etc/web": mount /a:/etc/web (via /proc/self/fd/6), flags: 0x5001: not a directory: unknown"#,
                mount("/etc/web"),
            ),
            (
                r#"OCI runtime create failed: container_linux.go:349: starting container process caused "process_linux.go:449: container init caused \"rootfs_linux.go:58: mounting \\\"/var/lib/kubelet/pods/x\\\" to rootfs \\\"/var/lib/docker/overlay2/y/merged\\\" at \\\"/var/lib/docker/overlay2/y/merged/etc/web\\\" caused \\\"not a directory\\\"\"": unknown"#,
                mount("/etc/web"),
            ),
            (
                r#"cannot load seccomp profile "/var/lib/kubelet/seccomp/a.json": open /var/lib/kubelet/seccomp/a.json: no such file or directory"#,
                Dislike::Profile,
            ),
            (
                "nvidia-container-cli: initialization error: driver error: driver not loaded: unknown",
                Dislike::Hook,
            ),
            ("Bind for 0.0.0.0:8080 failed: port is already allocated", Dislike::Port),
            ("unable to find user app: no matching entries in passwd file: unknown", Dislike::User),
            (
                r#"failed to generate container "x" spec: failed to generate spec: no command specified"#,
                Dislike::NoCommand,
            ),
            (r#"path "/run" is mounted on "/" but it is not a shared mount"#, Dislike::Propagation),
            ("Error response from daemon: Minimum memory limit allowed is 6MB", Dislike::Memory),
            ("container init was OOM-killed (memory limit too low?): unknown", Dislike::Memory),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }

    #[test]
    fn a_slow_runtime_is_the_nodes_trouble() {
        assert!(passes("context deadline exceeded"));
        assert!(passes(r#"failed to reserve container name "a_b_c_0": name "a_b_c_0" is reserved for "5f""#));
        assert!(!passes("unable to find user app: no matching entries in passwd file: unknown"));
    }
}
