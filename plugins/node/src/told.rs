//! What single messages tell of a node: a reboot, a clock that is off, two cgroup drivers.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, Wake, World, clock, hours,
    minutes, parse_time,
};

use crate::{conntrack, felt, line, memory::Held, node::Node, oom, ready, streak::Repeated};

pub(crate) const REBOOT: &str = "node.reboot";
pub(crate) const CLOCK: &str = "node.clock-skew";
pub(crate) const CGROUP: &str = "node.cgroup-driver-mismatch";

/// How runc and cri-o refuse the path of a sandbox's cgroup.
const REFUSED: [&str; 3] = [
    "expected cgroupsPath to be of format",
    "did not receive slice as parent",
    "but received systemd slice as parent",
];
/// How far back messages of that kind are looked for.
const RECENT: u64 = hours(1);
/// How long what is over at once, a reboot or a kill, stands after the last word of it, and an alert is taken for its
/// doing: those of pods that it hurt wait for a quarter of an hour before they fire.
const STANDS: u64 = minutes(30);

/// What is over at once, and the time of its last word.
pub(crate) struct Passing {
    pub(crate) last: u64,
    pub(crate) diagnosis: Diagnosis,
}

impl Passing {
    /// The diagnosis for as long as it stands. It has to be looked at when it ends, whether or not anything is told of
    /// the node by then.
    fn standing(self, world: &World<'_>, node: &Node, verdict: &mut Verdict) -> Option<Diagnosis> {
        let ends = self.last + STANDS;
        if ends <= world.now() {
            return None;
        }
        verdict.wakes.push(Wake { id: crate::LOOK.into(), subject: Some(node.id.clone()), at: ends });
        Some(self.diagnosis)
    }
}

/// Judges one node; `held` keeps what has to be taken back.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, id: &ObjectRef, node: Option<&Node>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(node) = node else {
        held.clear(
            &mut verdict,
            &[oom::CODE, REBOOT, CLOCK, CGROUP, conntrack::CODE],
            id,
            "the node was removed from the cluster",
        );
        return verdict;
    };
    let mut passing = |of: Option<Passing>| of.and_then(|p| p.standing(world, node, &mut verdict));
    let found = [
        (oom::CODE, passing(oom::judge(world, node))),
        (REBOOT, passing(reboot(world, node))),
        (conntrack::CODE, passing(conntrack::judge(world, node))),
        (CLOCK, clock_skew(world, node)),
        (CGROUP, cgroup_driver(world, node)),
    ];
    for (code, diagnosis) in found {
        match diagnosis {
            Some(diagnosis) => {
                held.forget(&diagnosis.supersedes, id);
                held.assert(&mut verdict, diagnosis);
            }
            None => held.clear(&mut verdict, &[code], id, "not seen any more"),
        }
    }
    verdict
}

/// Log lines and events of the last hour that name the node itself.
pub(crate) fn said(world: &World<'_>, id: &ObjectRef, source: &str, name: &str) -> Vec<Signal> {
    world.about(id, "self", source, name, world.ago(RECENT), 10)
}

fn reboot(world: &World<'_>, node: &Node) -> Option<Passing> {
    let events = said(world, &node.id, "event", "Rebooted");
    let last = events.first()?;
    let name = &node.id.name;
    let hurt: Vec<Signal> = world
        .about(&node.id, "on-node", "alert", "Kube*", last.at.saturating_sub(STANDS), 20)
        .into_iter()
        .filter(|a| a.state == "firing" && a.at < last.at + STANDS)
        .collect();
    let mut boots: Vec<&str> = events.iter().filter_map(|e| e.message.rsplit("boot id: ").next()).collect();
    boots.sort_unstable();
    boots.dedup();
    let again = boots.len() > 1;
    let before = last.at.saturating_sub(hours(1));
    let planned = node.cordoned
        || node.leaving
        || !world.about(&node.id, "self", "event", "NodeNotSchedulable", before, 1).is_empty()
        || world
            .changes(&node.id, "self", last.at.saturating_sub(hours(1)), 10)
            .iter()
            .any(|c| c.fields.iter().any(|f| f.name == "/spec/unschedulable"));
    let mut d = Diagnosis::new(REBOOT, node.id.clone());
    // A reboot is the normal end of an update; it is trouble when nobody meant it and somebody feels it.
    d.severity = if again || (!planned && !hurt.is_empty()) { "warning" } else { "info" }.into();
    d.confidence = if planned { 60 } else { 75 };
    d.title = if again {
        format!("Node {name} reboots again and again")
    } else {
        format!("Node {name} was rebooted at {}", clock(last.at))
    };
    d.explanation = format!(
        "The kubelet of {name} found another boot id at {}{}. All pods on it were started anew.{}",
        clock(last.at),
        if again { format!(", {} boots within the hour", boots.len()) } else { String::new() },
        if planned {
            " It was cordoned around that time, so it was meant."
        } else {
            " It was not cordoned before."
        }
    );
    d.evidence.extend(events.iter().take(3).map(|e| Evidence::signal(e, 70, "a new boot id")));
    for alert in [
        "KubeNode*",
        "Kubelet*",
        "KubePodNotReady",
        "KubeDeploymentReplicasMismatch",
        "KubeStatefulSetReplicasMismatch",
        "KubeDaemonSetRolloutStuck",
        "TargetDown",
    ] {
        d.explains.push(Explains::alert(alert, &node.id, "on-node"));
    }
    for pod in world.related(&node.id, "pod").iter().filter(|pod| ended_with(world, pod, last.at)) {
        d.explains.push(Explains::alert("KubePodCrashLooping", pod, "self"));
    }
    d.explains.push(Explains::event("Rebooted", &node.id, "self"));
    if node.ready.status == "True" || last.at >= node.ready.since {
        // That it was away is the same matter; that it is away again is not.
        d.supersedes = ready::CODES.iter().map(|c| (*c).to_owned()).collect();
    }
    d.path = vec![Step::new(&node.id, "", format!("rebooted at {}", clock(last.at)))];
    d.remedies = vec![
        Remedy::new("read why it went down: the end of the journal of the boot before")
            .command(format!("ssh {} sudo journalctl -b -1 -n 50 --no-pager", node.host())),
    ];
    Some(Passing { last: last.at, diagnosis: d })
}

/// Whether the pod has been started anew by that boot and has run since: before kube-prometheus 0.9 its alert counts each
/// restart within a quarter of an hour.
fn ended_with(world: &World<'_>, pod: &ObjectRef, boot: u64) -> bool {
    let containers = world.read(pod, "/status/containerStatuses").unwrap_or_default().list("");
    let ends = containers.iter().filter_map(|c| parse_time(c.text("/lastState/terminated/finishedAt")));
    containers.iter().all(|c| c.has("/state/running"))
        && ends.max().is_some_and(|last| last <= boot + minutes(2))
}

fn clock_skew(world: &World<'_>, node: &Node) -> Option<Diagnosis> {
    let early: Vec<Signal> = said(world, &node.id, "kubelet", line::SERVER_CERTIFICATE)
        .into_iter()
        .filter(|l| l.field("side") == "before")
        .collect();
    let alerts: Vec<Signal> = ["NodeClockSkewDetected", "NodeClockNotSynchronising"]
        .iter()
        .filter_map(|name| {
            let all = world.about(&node.id, "self", "alert", name, world.ago(hours(2)), 5);
            all.into_iter().next().filter(|a| a.state == "firing")
        })
        .collect();
    let ntp = said(world, &node.id, "event", "NTPIsDown");
    if early.is_empty() && alerts.is_empty() {
        return None;
    }
    let name = &node.id.name;
    let mut d = Diagnosis::new(CLOCK, node.id.clone());
    d.confidence = if early.is_empty() { 70 } else { 90 };
    d.title = format!("The clock of node {name} is off");
    d.explanation = match early.first() {
        Some(line) => format!(
            "The kubelet of {name} takes a certificate for not yet valid: its clock says {}, the certificate begins \
             at {}. Tokens, leases and logs of that node are off by as much.",
            line.field("now"),
            line.field("limit")
        ),
        None => format!(
            "The clock of {name} is not kept right by a time server. Certificates and tokens fail when it has \
             drifted far enough, and logs of different nodes cannot be put in order."
        ),
    };
    d.evidence
        .extend(early.iter().take(2).map(|l| Evidence::signal(l, 70, "a time before the certificate's")));
    d.evidence.extend(alerts.iter().map(|a| Evidence::signal(a, 60, "the node exporter measures it")));
    d.evidence
        .extend(ntp.iter().take(1).map(|e| Evidence::signal(e, 40, "the node problem detector says so")));
    for alert in ["NodeClock*", "KubeNodeNotReady", "KubeNodeUnreachable", "KubeletInstanceUnreachable"] {
        d.explains.push(Explains::alert(alert, &node.id, "self"));
    }
    d.explains.push(felt::elsewhere(CLOCK, &node.id));
    d.path = vec![Step::new(&node.id, "", "its clock is off")];
    d.remedies = vec![
        Remedy::new(format!("let {name} set its clock by a time server that it can reach"))
            .command(format!(
                "ssh {} 'timedatectl; chronyc tracking || timedatectl timesync-status'",
                node.host()
            ))
            .command(format!("ssh {} sudo systemctl restart chronyd     # or systemd-timesyncd", node.host()))
            .caution("a leap of the clock can end leases and sessions on the node"),
    ];
    Some(d)
}

/// Whether the node's kubelet ends at its start because its driver is not docker's.
pub(crate) fn driver_ends_it(world: &World<'_>, node: &Node) -> bool {
    node.ready.status == "Unknown" && !said(world, &node.id, "kubelet", line::DRIVER).is_empty()
}

fn cgroup_driver(world: &World<'_>, node: &Node) -> Option<Diagnosis> {
    let mut lines = said(world, &node.id, "kubelet", line::DRIVER);
    lines.extend(said(world, &node.id, "kubelet", line::CGROUPS_PATH));
    let since = world.ago(RECENT);
    let events = world.about(&node.id, "on-node", "event", "FailedCreatePodSandBox", since, 50);
    lines.extend(events.into_iter().filter(|e| REFUSED.iter().any(|w| e.message.contains(w))));
    let first = lines.first()?;
    let name = &node.id.name;
    let (kubelet, runtime) = match (first.field("kubelet"), first.field("runtime")) {
        ("", _) if first.message.contains("received systemd slice") => ("systemd", "cgroupfs"),
        ("", _) => ("cgroupfs", "systemd"),
        named => named,
    };
    let ends = driver_ends_it(world, node);
    let mut d = Diagnosis::new(CGROUP, node.id.clone());
    d.severity = "critical".into();
    d.confidence = 93;
    d.title = format!("Kubelet and container runtime of node {name} use different cgroup drivers");
    d.explanation = format!(
        "The kubelet of {name} works with the cgroup driver {kubelet}, its runtime with {runtime}: {}.",
        if ends {
            "so it ends at each start, nobody reports for the node, and it counts as lost"
        } else {
            "the paths that one hands over the other refuses, so no pod can start there"
        }
    );
    let mut journal = lines.clone();
    journal.retain(|l| l.source == "kubelet");
    journal.sort_by_key(|l| std::cmp::Reverse(l.at));
    let began = Repeated::among(world, &format!("first/drivers/{name}"), &journal);
    d.evidence.extend(began.map(|began| began.evidence(80)));
    let events = lines.iter().filter(|l| l.source != "kubelet").take(3);
    d.evidence.extend(events.map(|e| Evidence::signal(e, 80, "one driver refuses the other's path")));
    let from = if ends { node.ready.since } else { lines.iter().map(|l| l.at).min().unwrap_or(0) };
    let load = felt::Load::of(world, &node.id, from);
    d.explains = felt::explains(world, node, &load, from.saturating_sub(minutes(1)));
    d.supersedes = ready::CODES.iter().map(|c| (*c).to_owned()).collect();
    d.path = vec![Step::new(&node.id, "", "two cgroup drivers")];
    let host = node.host();
    let place = match node.runtime_unit() {
        "docker" => "sudo grep -n native.cgroupdriver /etc/docker/daemon.json",
        "crio" => "sudo grep -rn cgroup_manager /etc/crio",
        _ => "sudo grep -n SystemdCgroup /etc/containerd/config.toml",
    };
    d.remedies = vec![
        Remedy::new(format!("let both of {name} use the driver systemd, then start them anew"))
            .command(format!("ssh {host} 'sudo grep -n cgroupDriver /var/lib/kubelet/config.yaml; {place}'"))
            .command(format!("ssh {host} sudo systemctl restart {} {}", node.runtime_unit(), node.unit()))
            .caution("pods that run on the node under the old driver are made anew: drain it first"),
    ];
    Some(d)
}
