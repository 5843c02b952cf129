//! A mount that went stale under a pod that ran: the file server came back and knows its old handles no more, or the process
//! of the driver that served the mount has ended. No container that mounts it can be started again on that mount.
//!
//! Words: `ESTALE` and `ENOTCONN` as Go puts them, in what containerd and runc answer to the kubelet.

use kwhy_sdk::{ObjectRef, Signal, World, hours};

const WORDS: [&str; 3] =
    ["stale NFS file handle", "stale file handle", "transport endpoint is not connected"];
/// In a pod's folder on its node: the kind of the volume follows, then its name.
const VOLUMES: &str = "/volumes/kubernetes.io~";

/// Whether a message says it of the volume of a pod.
pub(crate) fn is_told(message: &str) -> bool {
    has_words(message) && message.contains(VOLUMES)
}

/// Whether a message says it of any path.
pub(crate) fn has_words(message: &str) -> bool {
    WORDS.iter().any(|words| message.contains(words))
}

/// The volume whose path a message names.
pub(crate) fn volume(message: &str) -> Option<&str> {
    let (_, path) = message.split_once(VOLUMES)?;
    path.split(['/', '"', ':', ' ']).nth(1)
}

/// The newest event that says so of a pod one of whose containers waits for that.
pub(crate) fn of(world: &World<'_>, pod: &ObjectRef) -> Option<Signal> {
    let status = world.read(pod, "/status").unwrap_or_default();
    if !status.list("/containerStatuses").iter().any(|c| is_told(c.text("/state/waiting/message"))) {
        return None;
    }
    let events = world.about(pod, "self", "event", "Failed", world.ago(hours(1)), 10);
    events.into_iter().find(|event| is_told(&event.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_volume_is_read_from_its_path() {
        let said = r#"Error: failed to generate container "ab" spec: failed to apply OCI options: failed to stat "/var/lib/kubelet/pods/54/volumes/kubernetes.io~nfs/pvc-73": stat /var/lib/kubelet/pods/54/volumes/kubernetes.io~nfs/pvc-73: stale NFS file handle"#;
        assert!(is_told(said));
        assert_eq!(volume(said), Some("pvc-73"));
        assert!(!is_told("Error: lstat /srv/data: stale NFS file handle"), "no volume of the pod");
        assert!(!is_told(
            "Error: stat /var/lib/kubelet/pods/54/volumes/kubernetes.io~nfs/pvc-73: no such file"
        ));
    }
}
