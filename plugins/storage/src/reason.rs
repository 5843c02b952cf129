//! Why a mount or an attachment fails, read out of what mount helpers, file systems and drivers say. The kubelet wraps it
//! in commands and arguments; drivers wrap it in gRPC.

use kwhy_sdk::{Json, ObjectRef, Remedy, World};

use crate::stale;

/// What stands behind a claim.
#[derive(Debug, Default)]
pub(crate) struct Volume {
    /// `nfs`, `iscsi`, `local`, or the CSI driver.
    pub(crate) by: String,
    /// The server it lies on, where the volume names one.
    pub(crate) server: String,
    pub(crate) path: String,
}

impl Volume {
    /// Of the PersistentVolume that the claim is bound to; where nobody has shown that, by what the claim says of its maker.
    pub(crate) fn of(world: &World<'_>, claim: &ObjectRef) -> Self {
        let all = world.read(claim, "").unwrap_or_default();
        let name = all.text("/spec/volumeName");
        let spec = world.read(&ObjectRef::new("PersistentVolume", "", name), "/spec").unwrap_or_default();
        let mut volume = Self::read(&spec);
        if volume.by.is_empty() {
            let noted = ["volume.kubernetes.io", "volume.beta.kubernetes.io"]
                .map(|group| format!("/metadata/annotations/{group}~1storage-provisioner"));
            let noted = noted.iter().map(|at| all.text(at)).find(|by| !by.is_empty());
            let class = ObjectRef::new("StorageClass", "", all.text("/spec/storageClassName"));
            volume.by = match noted {
                Some(by) => by.to_owned(),
                None => world.read(&class, "/provisioner").unwrap_or_default().text("").to_owned(),
            };
        }
        volume
    }

    /// Of a PersistentVolume's spec, or of one volume of a pod: the sources are called the same.
    pub(crate) fn read(spec: &Json) -> Self {
        let first = |places: &[&str]| {
            places.iter().map(|p| spec.text(p)).find(|t| !t.is_empty()).unwrap_or("").to_owned()
        };
        let by = match ["nfs", "iscsi", "local", "hostPath"].iter().find(|k| spec.has(&format!("/{k}"))) {
            Some(kind) => (*kind).to_owned(),
            None => spec.text("/csi/driver").to_owned(),
        };
        Self {
            by,
            server: first(&[
                "/nfs/server",
                "/iscsi/targetPortal",
                "/csi/volumeAttributes/server",
                "/csi/volumeAttributes/source",
            ]),
            path: first(&["/nfs/path", "/local/path", "/hostPath/path", "/csi/volumeAttributes/share"]),
        }
    }
}

/// A reason in words, with what mends it.
pub(crate) struct Reason {
    pub(crate) short: String,
    /// Whether it is a matter of the storage behind all volumes of that kind.
    pub(crate) backend: bool,
    pub(crate) remedy: Remedy,
}

/// What was said, without the wrapping, cut to what a reader takes in.
pub(crate) fn words(message: &str) -> &str {
    if let Some((_, said)) = message.rsplit_once(" error output: ") {
        return said.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or(said);
    }
    let output = message.rsplit_once("Output: ").map(|(_, out)| out.trim());
    let output = output.map(|out| match out.strip_prefix("Running scope as unit") {
        Some(rest) => {
            rest.split_once(".scope").map_or(rest, |(_, said)| said.trim_start_matches(['.', ' ', '\n']))
        }
        None => out,
    });
    let bare = message.split_once(" : ").map_or(message, |(_, rest)| rest);
    let said = output
        .filter(|o| !o.is_empty())
        .unwrap_or_else(|| bare.rsplit("desc = ").next().unwrap_or(bare))
        .trim();
    // Errors that wrap others end with what happened.
    match said.char_indices().nth_back(239) {
        Some((at, _)) => said.get(at..).and_then(|end| end.split_once(' ')).map_or(said, |(_, whole)| whole),
        None => said,
    }
}

/// Reads the reason; `node` is where it was tried.
pub(crate) fn of(message: &str, volume: &Volume, node: &str) -> Option<Reason> {
    let has = |all: &[&str]| all.iter().any(|part| message.contains(part));
    let network =
        has(&["mount.nfs", "type nfs", "-t nfs", "mount.cifs", "mount error("]) || volume.by == "nfs";
    let server = if volume.server.is_empty() { "the server" } else { volume.server.as_str() };
    let local = |short: String, remedy: Remedy| Some(Reason { short, backend: false, remedy });
    let behind = |short: String, remedy: Remedy| Some(Reason { short, backend: true, remedy });
    if has(&["/sbin/mount.<type> helper", "unknown filesystem type", "executable file not found in $PATH"]) {
        return local(
            format!("node {node} lacks the mount helper or the file system's module"),
            Remedy::new(format!(
                "install the client on {node} (nfs-common or nfs-utils, cifs-utils, open-iscsi)"
            ))
            .command(format!(
                "ssh {node} sudo apt-get install -y nfs-common     # or: dnf install nfs-utils"
            )),
        );
    }
    if stale::has_words(message) {
        return behind(
            format!("what {node} has mounted of {server} is stale"),
            Remedy::new(format!(
                "see that {server} exports the same as before, and that the driver's process which serves the mount runs; then let go of the stale mount on {node} and delete the pod, so that it is mounted anew"
            ))
            .command(format!("ssh {node} 'mount | grep /var/lib/kubelet/pods | grep -i -E \"nfs|fuse|csi\"'"))
            .command(format!("ssh {node} sudo umount -l <path>     # of the pod's volume, from the list"))
            .caution("what was written and not yet stored is lost with the mount"),
        );
    }
    if network
        && has(&[
            "timed out",
            "No route to host",
            "Connection refused",
            "Network is unreachable",
            "error(110)",
            "error(111)",
            "error(113)",
            "Host is down",
            "Failed to resolve server",
        ])
    {
        return behind(
            format!("the server {server} does not answer"),
            Remedy::new(format!(
                "bring the file server {server} back, or the way to it: its service, firewall and address"
            ))
            .command(format!("ssh {node} 'showmount -e {server}; nc -zv {server} 2049'")),
        );
    }
    if network
        && has(&["access denied by server", "Operation not permitted", "error(13)", "Permission denied"])
    {
        return behind(
            format!("{server} denies access to {}", volume.path),
            Remedy::new(format!(
                "let {server} export {} to the nodes, and check the credentials",
                volume.path
            ))
            .command(format!("ssh {node} showmount -e {server}")),
        );
    }
    if network && has(&["No such file or directory", "error(2)"]) {
        return local(
            format!("{server} has no directory {}", volume.path),
            Remedy::new(format!(
                "make {} on {server} and export it, or correct the volume's path",
                volume.path
            ))
            .command(format!("ssh {node} showmount -e {server}")),
        );
    }
    if has(&[
        "bad superblock",
        "fsck found errors",
        "Structure needs cleaning",
        "can't read superblock",
        "fsck failed",
    ]) {
        return local(
            "its file system is damaged, or is of another type".to_owned(),
            Remedy::new("check the file system with fsck while nobody has it mounted: scale the workload to 0 first, then work on the device of the node")
                .command(format!("ssh {node} 'lsblk -f; sudo fsck -n /dev/<device>'     # -n looks only"))
                .caution("make a snapshot or a backup before anything is repaired: fsck may drop what it cannot place"),
        );
    }
    if has(&[
        "an operation with the given Volume ID",
        "operation with the given volume id",
        "DeadlineExceeded",
        "context deadline exceeded",
        "no monitors",
        "onnection timed out",
        "error connecting",
    ]) {
        return behind(
            format!("{} does not get it done in time; its storage is slow or away", by(volume)),
            Remedy::new(format!("look at the storage behind {} (for ceph: `ceph status` and slow requests) and at the driver's pod on {node}", by(volume)))
                .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node} | grep -i -E 'csi|rbd|cephfs|longhorn|nfs|openebs'"))
                .command("kubectl -n rook-ceph exec deploy/rook-ceph-tools -- ceph status     # with rook"),
        );
    }
    if has(&["is not ready for workloads", "hasn't been attached yet", "volume is faulted"]) {
        return local(
            format!("{} says that the volume is not ready: its replicas are missing or find no place", by(volume)),
            Remedy::new("see the volume's state and its replicas at Longhorn: disks that are full or away, nodes that may not be used")
                .command("kubectl -n longhorn-system get volumes.longhorn.io,replicas.longhorn.io -o wide"),
        );
    }
    if has(&["hostPath type check failed", "does not exist", "no such file or directory"]) && !network {
        return local(
            format!("what it mounts is not there on node {node}"),
            Remedy::new(format!("make the path on {node}, or correct it in the volume")).command(format!(
                "ssh {node} ls -ld {}",
                if volume.path.is_empty() { "<path>" } else { &volume.path }
            )),
        );
    }
    if has(&["iscsiadm", "failed to login", "no iscsi session", "multipath"]) {
        return behind(
            "the node does not get the iSCSI device".to_owned(),
            Remedy::new(format!("see the iSCSI sessions of {node} and whether {server} answers"))
                .command(format!("ssh {node} 'sudo systemctl status iscsid; sudo iscsiadm -m session'")),
        );
    }
    None
}

fn by(volume: &Volume) -> &str {
    if volume.by.is_empty() { "the driver" } else { &volume.by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_helper_are_found_under_the_kubelets_wrapping() {
        let nfs = "MountVolume.SetUp failed for volume \"v\" : mount failed: exit status 32\nMounting command: systemd-run\nMounting arguments: -t nfs a:/b /c\nOutput: Running scope as unit run-32010.scope.\nmount.nfs: Connection timed out\n";
        assert_eq!(words(nfs), "mount.nfs: Connection timed out");
        let csi =
            "MountVolume.MountDevice failed for volume \"v\" : rpc error: code = Internal desc = no space";
        assert_eq!(words(csi), "no space");
        let long = format!("rpc error: desc = failed to stage: {} stale NFS file handle", "x".repeat(300));
        assert_eq!(words(&long), "stale NFS file handle", "what happened stands at the end");
        let plain = "MountVolume.SetUp failed for volume \"data\" : mount failed: exit status 32";
        assert_eq!(words(plain), "mount failed: exit status 32");
    }
}
