//! `node.conntrack-full`: the kernel of a node cannot keep track of one more connection and drops its packets.
//!
//! The line is the kernel's (`net/netfilter/nf_conntrack_core.c`), the event that of node-problem-detector
//! (`config/network-problem-monitor.json`), the alert measures three quarters.

use kwhy_sdk::{Diagnosis, Evidence, Explains, Remedy, Signal, Step, World, clock, hours};

use crate::{
    felt::{self, Load},
    line,
    node::Node,
    streak::{MOST, Repeated},
    told::{Passing, said},
};

pub(crate) const CODE: &str = "node.conntrack-full";
pub(crate) const EVENT: &str = "ConntrackFull";
pub(crate) const ALERT: &str = "NodeHighNumberConntrackEntriesUsed";

/// Causes that the workloads' own pack sees in pods whose connections do not come about.
const WEAK: [&str; 4] = [
    "workload.readiness-failing",
    "workload.liveness-failing",
    "workload.exit-on-start",
    "workload.init-container-failing",
];

pub(crate) fn judge(world: &World<'_>, node: &Node) -> Option<Passing> {
    let id = &node.id;
    let lines = world.about(id, "self", "kubelet", line::CONNTRACK, world.ago(hours(1)), MOST);
    let seen = Seen {
        began: Repeated::among(world, &format!("first/conntrack/{}", id.name), &lines),
        event: said(world, id, "event", EVENT).into_iter().next(),
        alert: world
            .about(id, "self", "alert", ALERT, world.ago(hours(6)), 1)
            .pop()
            .filter(|a| a.state == "firing"),
    };
    let dropped = lines.first().into_iter().chain(&seen.event).map(|s| s.at).max();
    // What is measured stands as long as the alert does.
    let last = dropped.max(seen.alert.as_ref().map(|_| world.now()))?;
    Some(Passing { last, diagnosis: put(world, node, &seen) })
}

/// What tells of it.
struct Seen {
    began: Option<Repeated>,
    event: Option<Signal>,
    alert: Option<Signal>,
}

impl Seen {
    /// Since when packets are dropped; none where the table only fills up.
    fn since(&self) -> Option<u64> {
        let told = self.event.as_ref().map(Signal::began);
        self.began.as_ref().map(Repeated::since).into_iter().chain(told).min()
    }
}

fn put(world: &World<'_>, node: &Node, seen: &Seen) -> Diagnosis {
    let (id, name) = (&node.id, &node.id.name);
    let mut d = Diagnosis::new(CODE, id.clone());
    let since = seen.since();
    let full = since.is_some();
    d.severity = if full { "critical" } else { "warning" }.into();
    d.confidence = match (full, seen.alert.is_some()) {
        (true, true) => 92,
        (true, false) => 86,
        (false, _) => 65,
    };
    d.title = format!(
        "The connection table (conntrack) of node {name} {}",
        if full { "is full" } else { "fills up" }
    );
    d.explanation = match since {
        Some(since) => format!(
            "The kernel of {name} keeps a table of connections for Services and NAT and has had no room in it since {}: it drops the \
             packets of new ones. Connections from, to and over {name} fail now and then, those of probes and DNS among them.",
            clock(since)
        ),
        None => format!(
            "More than three quarters of the connection table of {name} are used. When it is full, the kernel drops the packets of \
             new connections from, to and over the node."
        ),
    };
    d.evidence.extend(seen.began.as_ref().map(|began| began.evidence(80)));
    d.evidence
        .extend(seen.event.iter().map(|e| Evidence::signal(e, 70, "the node problem detector says so")));
    d.evidence.extend(seen.alert.iter().map(|a| Evidence::signal(a, 60, "the node exporter measures it")));
    d.explains = vec![Explains::alert(ALERT, id, "self"), Explains::event(EVENT, id, "self")];
    if let Some(since) = since {
        let load = Load::of(world, id, since);
        for workload in &load.workloads {
            d.explains.extend(felt::still(workload));
            d.explains.extend(WEAK.map(|code| Explains::finding(code, workload, "self")));
        }
        d.explains.push(Explains::finding("coredns.upstream-timeout", id, "on-node"));
        d.explains.push(Explains::alert("KubePodCrashLooping", id, "on-node"));
    }
    d.path =
        vec![Step::new(id, "", if full { "drops new connections" } else { "its connection table fills up" })];
    let host = node.host();
    d.remedies = vec![
        Remedy::new(format!("see who holds so many connections on {name}, and let it reuse them"))
            .command(format!("ssh {host} sudo sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max"))
            .command(format!("ssh {host} \"sudo conntrack -L 2>/dev/null | grep -o 'src=[^ ]*' | sort | uniq -c | sort -n | tail\"")),
        Remedy::new("make the table larger: kube-proxy sets it at its start by conntrack.maxPerCore and conntrack.min")
            .command(format!("ssh {host} sudo sysctl -w net.netfilter.nf_conntrack_max=<twice as much>     # until the next start of kube-proxy"))
            .command("kubectl -n kube-system edit configmap kube-proxy")
            .command("kubectl -n kube-system rollout restart daemonset kube-proxy")
            .caution("each entry takes about 320 bytes of the node's memory"),
    ];
    d
}
