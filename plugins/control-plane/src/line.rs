//! Lines that tell of the control plane, by their own sources: etcd's `server/etcdserver` and `server/wal` (zap since 3.4,
//! capnslog before), client-go's `tools/leaderelection`, apiserver's `admission/plugin/webhook` and
//! `authentication/request`, and the kubelet's status and lease loops.

use kwhy_sdk::{Pattern, Subscription};

/// A write to etcd's log took longer than a second.
pub(crate) const FSYNC: &str = "cp-fsync";
/// The leader could not send its heartbeats in time.
pub(crate) const HEARTBEAT: &str = "cp-heartbeat";
/// A request took etcd longer than it should.
pub(crate) const SLOW: &str = "cp-slow";
/// etcd has no leader, or elects one again and again.
pub(crate) const NO_LEADER: &str = "cp-no-leader";
/// The leader of etcd was lost or changed.
pub(crate) const LEADER_LOST: &str = "cp-leader-lost";
/// etcd gave no answer to one of its clients.
pub(crate) const TIMED_OUT: &str = "cp-timed-out";
/// etcd takes no more writes, its database being as large as it may be.
pub(crate) const NO_SPACE: &str = "cp-no-space";
/// etcd's last words.
pub(crate) const FATAL: &str = "cp-fatal";
/// Why a part of the control plane ends at its start.
pub(crate) const ENDS: &str = "cp-ends";
/// A component lost its lease, or could not renew it.
pub(crate) const LEASE: &str = "cp-lease";
/// An admission webhook gave no answer in time.
pub(crate) const WEBHOOK: &str = "cp-webhook";
/// A client came with a certificate that has expired.
pub(crate) const EXPIRED: &str = "cp-expired";
/// A kubelet waits for the API server in vain.
pub(crate) const WAITS: &str = "cp-kubelet-waits";

const FATAL_WORDS: &str =
    r#""level":"(?:fatal|panic)".*"msg":"(?P<msg>[^"\\]+)"(?:.*"error":"(?P<error>[^"\\]+))?"#;

pub(crate) fn logs() -> Subscription {
    let took = r#"(?:"took":"|took too long \(|sync duration of )(?P<took>[0-9.a-zµ]+)"#;
    let patterns = vec![
        Pattern::new(FSYNC, "slow fdatasync", &format!("slow fdatasync.*{took}")),
        Pattern::new(FSYNC, "sync duration of ", &format!("{took}, expected less than")),
        Pattern::new(HEARTBEAT, "failed to send out heartbeat on time", ""),
        Pattern::new(SLOW, "request took too long", &format!("apply request took too long.*{took}")),
        Pattern::new(SLOW, "took too long (", &format!("{took}\\) to execute")),
        Pattern::new(NO_LEADER, "etcdserver: no leader", ""),
        Pattern::new(NO_LEADER, "serving /health false", "no leader"),
        Pattern::new(NO_LEADER, "RAFT NO LEADER", ""),
        Pattern::new(NO_LEADER, "is starting a new election at term", ""),
        Pattern::new(LEADER_LOST, "raft.node: ", r"raft\.node: \S+ (?:lost leader|changed leader from) "),
        Pattern::new(FATAL, r#""level":"fatal""#, FATAL_WORDS),
        Pattern::new(FATAL, r#""level":"panic""#, FATAL_WORDS),
        Pattern::new(ENDS, "unknown flag: ", r"(?P<why>unknown flag: --[\w-]+)"),
        Pattern::new(ENDS, "\"command failed\" err=", r#""command failed" err="(?P<why>[^"\\]+)"#),
        Pattern::new(TIMED_OUT, "etcdserver: ", "etcdserver: (?:request timed out|leader changed)"),
        Pattern::new(NO_SPACE, "NOSPACE", r#"(?:"alarm":"NOSPACE"|alarm NOSPACE raised)"#),
        Pattern::new(NO_SPACE, "etcdserver: no space", ""),
        Pattern::new(NO_SPACE, "database space exceeded", ""),
        Pattern::new(LEASE, "failed to renew lease ", r"failed to renew lease (?P<lease>[^\s:]+)"),
        Pattern::new(LEASE, "eader", r"\b(?:leaderelection lost|leader election lost)"),
        Pattern::new(
            LEASE,
            "error retrieving resource lock ",
            r#"error retrieving resource lock (?P<lease>[^\s:]+): .*(?P<why>context deadline exceeded|request timed out|Client\.Timeout|TLS handshake timeout|leader changed)"#,
        ),
        Pattern::new(
            WEBHOOK,
            "failed calling webhook ",
            r#"failed calling webhook \\?"(?P<webhook>[^"\\]+)\\?": .*(?P<why>context deadline exceeded|Client\.Timeout exceeded|i/o timeout)"#,
        ),
        Pattern::new(
            EXPIRED,
            "x509: certificate has expired",
            r"Unable to authenticate the request.*x509: certificate has expired or is not yet valid(?:: current time \S+ is after (?P<limit>[0-9T:Z-]+))?",
        ),
    ];
    Subscription::logs(patterns)
}

pub(crate) fn kubelet() -> Subscription {
    // That etcd has another leader is over by the next try.
    let wait = r"(?P<why>TLS handshake timeout|Client\.Timeout exceeded|context deadline exceeded|etcdserver: request timed out)";
    let about = r"(?:node status|node lease|update lease|/api/v1/|/apis/|Unable to connect to the server|register node)";
    let regex = format!("(?i:{about}).*{wait}");
    let literals = ["imeout", "context deadline exceeded", "etcdserver: request timed out"];
    let mut patterns: Vec<Pattern> = literals.map(|literal| Pattern::new(WAITS, literal, &regex)).into();
    let own = r"(?i:node status|update (?:node )?lease|register node|/leases/)";
    let refused =
        format!(r"{own}.*dial tcp (?P<server>\S+): connect: (?P<why>connection refused|no route to host)");
    patterns.extend(
        ["connection refused", "no route to host"].map(|literal| Pattern::new(WAITS, literal, &refused)),
    );
    // Where etcd runs inside of the server, as in k3s, its words stand in the same journal.
    patterns.push(Pattern::new(NO_SPACE, "NOSPACE", r#"(?:"alarm":"NOSPACE"|alarm NOSPACE raised)"#));
    patterns.push(Pattern::new(NO_SPACE, "database space exceeded", ""));
    Subscription::kubelet(patterns)
}
