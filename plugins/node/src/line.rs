//! Lines of the kubelet's journal that tell what is wrong with its node. The words are the kubelet's
//! (`pkg/kubelet/kubelet.go`, `runtime.go`, `certificate/`, `cmd/kubelet/app/server.go`), Go's (`crypto/x509`), runc's
//! (`libcontainer/specconv`) and systemd's; a number of a source line is never part of them.

use kwhy_sdk::{Pattern, Subscription};

pub(crate) const SOCKET: &str = "node-runtime-socket";
pub(crate) const RUNTIME_SANITY: &str = "node-runtime-sanity";
pub(crate) const PLEG: &str = "node-pleg";
pub(crate) const CNI: &str = "node-cni";
pub(crate) const CLIENT_CERTIFICATE: &str = "node-client-certificate";
pub(crate) const SERVER_CERTIFICATE: &str = "node-server-certificate";
pub(crate) const UNIT: &str = "node-unit";
pub(crate) const FAILED_TO_RUN: &str = "node-failed-to-run";
pub(crate) const DRIVER: &str = "node-cgroup-driver";
pub(crate) const CGROUPS_PATH: &str = "node-cgroups-path";

pub(crate) fn wanted() -> Subscription {
    let patterns = [
        (
            SOCKET,
            ".sock: connect: ",
            r#"dial unix (?P<socket>\S*(?:containerd|crio|docker|cri-dockerd)\S*\.sock): connect: (?P<why>[^"\\]+)"#,
        ),
        (RUNTIME_SANITY, "Container runtime sanity check failed", ""),
        (PLEG, "PLEG is not healthy", r#"PLEG is not healthy: (?P<why>[^"\]\\]+)"#),
        (CNI, "NetworkPluginNotReady", r#"NetworkPluginNotReady message:(?P<why>[^"\\]+)"#),
        (
            CLIENT_CERTIFICATE,
            "client certificate",
            r#"(?:[Pp]art of the existing bootstrap client certificate .*is expired: (?P<expired>[^"]+)|currently active client certificate has expired)"#,
        ),
        // Only where the API server is spoken to: registries and webhooks have certificates too.
        (
            SERVER_CERTIFICATE,
            "x509: certificate has expired or is not yet valid",
            r#"(?:/api/v1/|/apis/|node status|node lease|[Rr]egister node).*x509: certificate has expired or is not yet valid: current time (?P<now>\S+) is (?P<side>before|after) (?P<limit>[0-9T:Z-]+)"#,
        ),
        (
            UNIT,
            "kubelet.service: ",
            r"kubelet\.service: (?:Main process exited, (?P<why>.*)|Failed with result .*|Start request repeated too quickly\.?)$",
        ),
        (FAILED_TO_RUN, "failed to run ", r#"failed to run [Kk]ubelet: (?P<why>[^"]+)"#),
        (
            DRIVER,
            "is different from docker cgroup driver",
            r#"kubelet cgroup driver: \\*"(?P<kubelet>\w+)\\*" is different from docker cgroup driver: \\*"(?P<runtime>\w+)"#,
        ),
        (CGROUPS_PATH, "expected cgroupsPath to be of format", ""),
    ];
    Subscription::kubelet(patterns.map(|(id, literal, regex)| Pattern::new(id, literal, regex)).into())
}
