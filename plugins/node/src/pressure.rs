//! A node that is short of memory, disk or process ids: the kubelet's own condition, and what it throws out for it
//! (`pkg/kubelet/eviction/helpers.go`).

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Step, Verdict, World, clock, minutes};

use crate::{memory::Held, node::Node};

pub(crate) const DISK: &str = "node.disk-pressure";
pub(crate) const MEMORY: &str = "node.memory-pressure";
pub(crate) const PID: &str = "node.pid-pressure";
pub(crate) const CODES: [&str; 3] = [DISK, MEMORY, PID];

const KINDS: [(&str, &str, &str); 3] = [
    (DISK, "DiskPressure", "disk"),
    (MEMORY, "MemoryPressure", "memory"),
    (PID, "PIDPressure", "process ids"),
];

/// Judges all three of one node.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, id: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(node) = Node::load(world, id) else {
        held.clear(&mut verdict, &CODES, id, "the node was removed from the cluster");
        return verdict;
    };
    for (code, kind, what) in KINDS {
        match node.condition(kind).status.as_str() {
            "True" => held.assert(&mut verdict, pressed(world, &node, code, kind, what)),
            // A silent kubelet says nothing of its pressure.
            "Unknown" => {}
            _ => held.clear(&mut verdict, &[code], id, &format!("node {} has no {kind} any more", id.name)),
        }
    }
    verdict
}

fn pressed(world: &World<'_>, node: &Node, code: &str, kind: &str, what: &str) -> Diagnosis {
    let (id, name, host) = (&node.id, &node.id.name, node.host());
    let condition = node.condition(kind);
    let from = condition.since.saturating_sub(minutes(10));
    let events = |reason: &str, reach: &str| world.about(id, reach, "event", reason, from, 5);
    let evicted = events("Evicted", "on-node");
    let mut d = Diagnosis::new(code, id.clone());
    d.severity = if evicted.is_empty() { "warning" } else { "critical" }.into();
    d.confidence = 94;
    d.title = format!("Node {name} is short of {what} ({kind})");
    d.explanation = format!(
        "The kubelet of {name} reports {kind} since {}: it takes no new pods{} until five minutes after the pressure \
         is gone.{}",
        clock(condition.since),
        if code == MEMORY { " without memory requests" } else { "" },
        match evicted.len() {
            0 => String::new(),
            n => format!(" It has evicted pods to get free ({n} seen)."),
        }
    );
    d.evidence.push(Evidence::object(
        id,
        condition.quote(kind),
        80,
        format!("since {}", clock(condition.since)),
    ));
    d.evidence.extend(evicted.iter().take(3).map(|e| Evidence::signal(e, 40, "thrown out for it")));
    for reason in ["EvictionThresholdMet", "FreeDiskSpaceFailed", "ImageGCFailed", "SystemOOM"] {
        d.evidence.extend(events(reason, "self").iter().take(1).map(|e| Evidence::signal(e, 30, reason)));
    }
    let own: &[&str] = match code {
        DISK => &["KubeNodePressure", "KubeNodeEviction", "NodeFilesystem*"],
        MEMORY => &["KubeNodePressure", "KubeNodeEviction", "NodeMemory*"],
        _ => &["KubeNodePressure", "KubeNodeEviction", "NodeSystemSaturation"],
    };
    d.explains = own.iter().map(|name| Explains::alert(name, id, "self")).collect();
    for pod in evicted.iter().filter_map(|e| e.subject.clone()) {
        let workload = world.workload(&pod);
        d.explains.push(Explains::event("Evicted", &pod, "self"));
        for alert in ["KubePodNotReady", "KubeDeployment*", "KubeStatefulSet*", "KubeDaemonSet*", "KubePdb*"]
        {
            d.explains.push(Explains::alert(alert, &workload, "workload"));
        }
    }
    // Pods that would go there wait: the taint is called after the condition.
    let taint = format!(
        "node.kubernetes.io/{}-pressure",
        code.trim_start_matches("node.").trim_end_matches("-pressure")
    );
    for event in world.about(id, "cluster", "event", "FailedScheduling", condition.since, 10) {
        let Some(pod) = event.subject.clone().filter(|_| event.message.contains(&taint)) else { continue };
        d.evidence.push(Evidence::signal(&event, 20, "a pod that this node would take"));
        d.explains.push(Explains::event("FailedScheduling", &pod, "self"));
        for alert in ["KubePodNotReady", "KubeDeployment*", "KubeStatefulSet*", "KubeDaemonSet*", "KubePdb*"]
        {
            d.explains.push(Explains::alert(alert, &world.workload(&pod), "workload"));
        }
    }
    d.path = vec![Step::new(id, "", format!("{kind} since {}", clock(condition.since)))];
    d.remedies = match code {
        DISK => vec![
            Remedy::new(format!("see what fills the disk of {name}: images, logs, emptyDir volumes"))
                .command(format!("ssh {host} 'df -h; sudo du -xhd1 /var/lib /var/log | sort -h | tail'"))
                .command(format!("ssh {host} sudo crictl rmi --prune     # images that no container uses"))
                .caution("images that are removed have to be pulled again"),
        ],
        MEMORY => vec![
            Remedy::new(format!(
                "find the pods on {name} that use more memory than they request, and give them limits"
            ))
            .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={name}"))
            .command("kubectl top pods -A --sort-by=memory | head"),
        ],
        _ => vec![
            Remedy::new(format!(
                "find who makes so many processes on {name}, and set podPidsLimit of the kubelet"
            ))
            .command(format!("ssh {host} \"ps -eo cgroup --no-headers | sort | uniq -c | sort -n | tail\"")),
        ],
    };
    d
}
