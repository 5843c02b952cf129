//! Lines of the kubelet's journal that tell what is wrong with its node. The words are the kubelet's
//! (`pkg/kubelet/kubelet.go`, `runtime.go`, `certificate/`, `cmd/kubelet/app/server.go`), Go's (`crypto/x509`), runc's
//! (`libcontainer/specconv`) and systemd's; a number of a source line is never part of them.

use kwhy_sdk::{Pattern, Signal, Subscription};

pub(crate) const SOCKET: &str = "node-runtime-socket";
/// Any word on the runtime's socket.
pub(crate) const RUNTIME: &str = "node-runtime-socket*";
pub(crate) const RUNTIME_SANITY: &str = "node-runtime-sanity";
pub(crate) const PLEG: &str = "node-pleg";
pub(crate) const CNI: &str = "node-cni";
pub(crate) const CLIENT_CERTIFICATE: &str = "node-client-certificate";
pub(crate) const SERVER_CERTIFICATE: &str = "node-server-certificate";
pub(crate) const UNAUTHORIZED: &str = "node-unauthorized";
pub(crate) const UNREACHABLE: &str = "node-api-unreachable*";
/// A unit that has failed, as systemd says it.
pub(crate) const UNIT: &str = "node-unit";
/// A unit that was told to end, or has started.
pub(crate) const UNIT_STOPPED: &str = "node-unit-stopped";
pub(crate) const UNIT_STARTED: &str = "node-unit-started";
/// Why a kubelet does not start, in its own words.
pub(crate) const FAILED_TO_RUN: &str = "node-failed-to-run*";
pub(crate) const DRIVER: &str = "node-cgroup-driver";
pub(crate) const CGROUPS_PATH: &str = "node-cgroups-path*";
pub(crate) const KERNEL_OOM: &str = "node-kernel-oom";
/// The kernel has no room for one more connection.
pub(crate) const CONNTRACK: &str = "node-conntrack";
/// The kubelet throws out pods to get something free.
pub(crate) const EVICTS: &str = "node-evicts";

/// Units that run a kubelet: kubeadm and the distributions' own, k3s, rke2, microk8s.
const UNITS: &str =
    r"(?:kubelet|k3s(?:-agent|-server)?|rke2-(?:agent|server)|k0sworker|snap\.microk8s\.daemon-\w+)";
/// What systemd calls them after `Started` and `Stopped`: by name before 250, by unit and name from there on.
const DESCRIPTIONS: &str = r"(?:kubelet|[Kk]ubernetes.{0,20}[Kk]ubelet|[Ll]ightweight [Kk]ubernetes|[Rr]ancher [Kk]ubernetes [Ee]ngine|k3s|rke2-agent)";

pub(crate) fn wanted() -> Subscription {
    let failed = format!(
        r"(?:{UNITS}\.service: (?:[Mm]ain process exited, (?P<why>.*)|Failed with result '?(?P<result>[\w-]+)'?\.?|Start request repeated too quickly\.?|Failed at step (?P<step>.*)|.*(?:Unable|Failed) to locate executable.*|.*killed by the OOM killer.*)|Unit {UNITS}\.service entered failed state\.?)$"
    );
    let unreachable = r#"(?P<why>dial tcp [^"\\]+|no route to host|Client\.Timeout exceeded|context deadline exceeded|TLS handshake timeout|signed by unknown authority)"#.to_owned();
    let stopped = format!(r"^Stopped {DESCRIPTIONS}");
    let started = format!(r"^Started {DESCRIPTIONS}");
    let patterns: [(&str, &str, &str); 23] = [
        (
            SOCKET,
            ".sock: connect: ",
            r#"dial unix (?P<socket>\S*(?:containerd|crio|docker|cri-dockerd)\S*\.sock): connect: (?P<why>[^"\\]+)"#,
        ),
        (
            "node-runtime-socket-docker",
            "Cannot connect to the Docker daemon at ",
            r"Cannot connect to the Docker daemon at (?:unix://)?(?P<socket>\S+?)\. Is the docker daemon running",
        ),
        (RUNTIME_SANITY, "Container runtime sanity check failed", ""),
        (PLEG, "PLEG is not healthy", r#"PLEG is not healthy: (?P<why>pleg was last seen[^"\]\\]+)"#),
        (CNI, "NetworkPluginNotReady", r#"NetworkPluginNotReady message:(?P<why>[^"\\]+)"#),
        (
            CLIENT_CERTIFICATE,
            "client certificate",
            r#"(?:[Pp]art of the existing bootstrap client certificate .*is expired: (?P<expired>[^"]+)|currently active client certificate has expired)"#,
        ),
        // Only where the API server is spoken to: registries and webhooks have certificates too. Go before 1.15, so
        // kubelets before 1.19, do not say by how much.
        (
            SERVER_CERTIFICATE,
            "x509: certificate has expired or is not yet valid",
            r#"(?:/api/v1/|/apis/|node status|node lease|[Rr]egister node).*x509: certificate has expired or is not yet valid(?:: current time (?P<now>\S+) is (?P<side>before|after) (?P<limit>[0-9T:Z-]+))?"#,
        ),
        (
            UNAUTHORIZED,
            "Unauthorized",
            r"(?:node status|[Rr]egister node|update (?:node )?lease|renew (?:node )?lease|ensure lease|certificate signing request).*Unauthorized",
        ),
        ("node-api-unreachable", "updating node status", &unreachable),
        ("node-api-unreachable-lease", "update lease", &unreachable),
        (UNIT, ".service", &failed),
        (UNIT_STOPPED, "Stopped ", &stopped),
        (UNIT_STARTED, "Started ", &started),
        ("node-failed-to-run", "failed to run ", r"failed to run [Kk]ubelet: (?P<why>.+)"),
        (
            "node-failed-to-run-flag",
            "failed to parse kubelet flag",
            r"(?P<why>failed to parse kubelet flag.+)",
        ),
        ("node-failed-to-run-config", "failed to load ", r"(?P<why>failed to load [Kk]ubelet config.+)"),
        (
            "node-failed-to-run-invalid",
            "failed to validate ",
            r"(?P<why>failed to validate [Kk]ubelet (?:config|flags).+)",
        ),
        (
            DRIVER,
            "is different from docker cgroup driver",
            r#"kubelet cgroup driver: \\*"(?P<kubelet>\w+)\\*" is different from docker cgroup driver: \\*"(?P<runtime>\w+)"#,
        ),
        ("node-cgroups-path", "expected cgroupsPath to be of format", ""),
        (
            "node-cgroups-path-crio",
            "cgroup manager, but ",
            r"(?:did not receive slice|received systemd slice) as parent",
        ),
        (
            EVICTS,
            "must evict pod(s) to reclaim",
            r#"must evict pod\(s\) to reclaim"?\s+(?:resourceName=)?"?(?P<resource>[\w.-]+)"#,
        ),
        (CONNTRACK, "conntrack: table full", r"[ni][fp]_conntrack: table full.*dropping packet"),
        (
            KERNEL_OOM,
            "ut of memory: Kill",
            r"(?:^|\] )Out of memory: Kill(?:ed)? process (?P<pid>\d+),? (?:UID \d+,? )?\((?P<victim>[^)]*)\)",
        ),
    ];
    Subscription::kubelet(patterns.map(|(id, literal, regex)| Pattern::new(id, literal, regex)).into())
}

/// What a line gives as the reason, without the quoting of structured klog.
pub(crate) fn why(line: &Signal) -> String {
    let text = ["why", "step", "result"].iter().map(|name| line.field(name)).find(|w| !w.is_empty());
    text.unwrap_or("").trim_end_matches('"').replace("\\\"", "\"").trim().to_owned()
}
