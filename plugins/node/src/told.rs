//! What single messages tell of a node that is ready all the same: a kernel out of memory, a reboot, a clock that is
//! off, two cgroup drivers.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, clock, hours, minutes,
};

use crate::{line, memory::Held, node::Node};

pub(crate) const OOM: &str = "node.kernel-oom";
pub(crate) const REBOOT: &str = "node.reboot";
pub(crate) const CLOCK: &str = "node.clock-skew";
pub(crate) const CGROUP: &str = "node.cgroup-driver-mismatch";

/// How long a message of that kind counts.
const RECENT: u64 = hours(1);
/// An alert so soon after a reboot is taken for its doing.
const AFTER_REBOOT: u64 = minutes(30);

/// Judges one node; `held` keeps what has to be taken back.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, id: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(node) = Node::load(world, id) else {
        held.clear(&mut verdict, &[OOM, REBOOT, CLOCK, CGROUP], id, "the node was removed from the cluster");
        return verdict;
    };
    let found = [
        (OOM, kernel_oom(world, &node)),
        (REBOOT, reboot(world, &node)),
        (CLOCK, clock_skew(world, &node)),
        (CGROUP, cgroup_driver(world, &node)),
    ];
    for (code, diagnosis) in found {
        match diagnosis {
            Some(diagnosis) => held.assert(&mut verdict, diagnosis),
            None => held.clear(&mut verdict, &[code], id, "not seen any more"),
        }
    }
    verdict
}

/// Log lines and events of the last hour that name the node itself.
fn said(world: &World<'_>, id: &ObjectRef, source: &str, name: &str) -> Vec<Signal> {
    world.about(id, "self", source, name, world.ago(RECENT), 10)
}

/// The kubelet tells only of kills that hit no container's limit (`pkg/kubelet/oom/oom_watcher_linux.go`).
fn kernel_oom(world: &World<'_>, node: &Node) -> Option<Diagnosis> {
    let events = said(world, &node.id, "event", "SystemOOM");
    let last = events.first()?;
    let name = &node.id.name;
    let victim =
        last.message.split("victim process: ").nth(1).and_then(|v| v.split(',').next()).unwrap_or("");
    let mut d = Diagnosis::new(OOM, node.id.clone());
    d.confidence = 85;
    d.title = match victim {
        "" => format!("Node {name} as a whole ran out of memory and its kernel killed a process"),
        victim => format!("Node {name} as a whole ran out of memory and its kernel killed {victim}"),
    };
    d.explanation = format!(
        "It was not a container's own limit: all of {name} was out of memory at {}, so the kernel chose a process to \
         end. Pods without limits, or daemons outside of the kubelet's account, take more than is left.",
        clock(last.at)
    );
    d.evidence.extend(
        events.iter().take(3).map(|e| Evidence::signal(e, 70, "a kill outside of any container's limit")),
    );
    let memory = node.condition("MemoryPressure");
    if memory.status == "True" {
        d.evidence.push(Evidence::object(
            &node.id,
            memory.quote("MemoryPressure"),
            20,
            "short of memory still",
        ));
    }
    for alert in ["NodeMemory*", "KubeNodePressure"] {
        d.explains.push(Explains::alert(alert, &node.id, "self"));
    }
    d.explains.push(Explains::event("SystemOOM", &node.id, "self"));
    d.path = vec![Step::new(&node.id, "", format!("out of memory at {}", clock(last.at)))];
    d.remedies = vec![
        Remedy::new(format!(
            "give the pods on {name} memory limits and keep memory for the system (systemReserved)"
        ))
        .command(format!("kubectl describe node {name} | sed -n '/Allocated resources/,$p'"))
        .command(format!("ssh {} 'sudo dmesg -T | grep -i -A2 \"out of memory\"'", node.host())),
    ];
    Some(d)
}

fn reboot(world: &World<'_>, node: &Node) -> Option<Diagnosis> {
    let events = said(world, &node.id, "event", "Rebooted");
    let last = events.first()?;
    let name = &node.id.name;
    let hurt: Vec<Signal> = world
        .about(&node.id, "on-node", "alert", "Kube*", last.at.saturating_sub(AFTER_REBOOT), 20)
        .into_iter()
        .filter(|a| a.state == "firing" && a.at < last.at + AFTER_REBOOT)
        .collect();
    let again = events.len() > 1;
    let planned = node.cordoned
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
        if again { format!(", {} times within the hour", events.len()) } else { String::new() },
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
    d.explains.push(Explains::event("Rebooted", &node.id, "self"));
    d.path = vec![Step::new(&node.id, "", format!("rebooted at {}", clock(last.at)))];
    d.remedies = vec![
        Remedy::new("read why it went down: the end of the journal of the boot before")
            .command(format!("ssh {} sudo journalctl -b -1 -n 50 --no-pager", node.host())),
    ];
    Some(d)
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
    for alert in ["NodeClock*", "KubeNodeNotReady", "KubeNodeUnreachable", "KubeletInstanceUnreachable"] {
        d.explains.push(Explains::alert(alert, &node.id, "self"));
    }
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

fn cgroup_driver(world: &World<'_>, node: &Node) -> Option<Diagnosis> {
    let mut lines = said(world, &node.id, "kubelet", line::DRIVER);
    if node.ready.status == "Unknown" {
        // A kubelet that ends for it is told as stopped, with this as the reason.
        lines.clear();
    }
    lines.extend(said(world, &node.id, "kubelet", line::CGROUPS_PATH));
    let since = world.ago(RECENT);
    let events = world.about(&node.id, "on-node", "event", "FailedCreatePodSandBox", since, 50);
    lines.extend(events.into_iter().filter(|e| e.message.contains("expected cgroupsPath to be of format")));
    let first = lines.first()?;
    let name = &node.id.name;
    let (kubelet, runtime) = match (first.field("kubelet"), first.field("runtime")) {
        ("", _) => ("cgroupfs", "systemd"),
        named => named,
    };
    let mut d = Diagnosis::new(CGROUP, node.id.clone());
    d.severity = "critical".into();
    d.confidence = 93;
    d.title = format!("Kubelet and container runtime of node {name} use different cgroup drivers");
    d.explanation = format!(
        "The kubelet of {name} works with the cgroup driver {kubelet}, its runtime with {runtime}: the paths that one \
         hands over the other refuses, so no pod can start there."
    );
    d.evidence
        .extend(lines.iter().take(3).map(|l| Evidence::signal(l, 80, "one driver refuses the other's path")));
    for alert in ["KubeNodeNotReady", "KubeNodeUnreachable", "KubeletInstanceUnreachable"] {
        d.explains.push(Explains::alert(alert, &node.id, "self"));
    }
    for alert in ["KubePodNotReady", "KubeContainerWaiting", "KubeDaemonSetRolloutStuck"] {
        d.explains.push(Explains::alert(alert, &node.id, "on-node"));
    }
    d.explains.push(Explains::event("FailedCreatePodSandBox", &node.id, "on-node"));
    d.path = vec![Step::new(&node.id, "", "two cgroup drivers")];
    let wanted = if node.kubelet.starts_with("v1.") { "systemd" } else { runtime };
    d.remedies = vec![
        Remedy::new(format!("let both of {name} use the driver {wanted}, then start them anew"))
            .command(format!("ssh {} 'sudo grep -n cgroupDriver /var/lib/kubelet/config.yaml; sudo grep -n SystemdCgroup /etc/containerd/config.toml'", node.host()))
            .command(format!("ssh {} sudo systemctl restart {} {}", node.host(), node.runtime_unit(), node.unit()))
            .caution("pods that run on the node under the old driver are made anew: drain it first"),
    ];
    Some(d)
}
