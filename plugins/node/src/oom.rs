//! `node.kernel-oom`: all of a node was out of memory, not a container at its own limit.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, World, clock, parse_time, seconds,
};

use crate::{
    felt, line,
    node::Node,
    told::{Passing, said},
};

pub(crate) const CODE: &str = "node.kernel-oom";

/// How far the kubelet's report of an ended container may lie from the kernel's of the kill.
const NEAR: u64 = seconds(90);

pub(crate) fn judge(world: &World<'_>, node: &Node) -> Option<Passing> {
    let all = kills(world, node);
    let last = all.first()?;
    let name = &node.id.name;
    let mut victims: Vec<String> = Vec::new();
    for victim in all.iter().map(victim).filter(|v| !v.is_empty()) {
        if !victims.contains(&victim) {
            victims.push(victim);
        }
    }
    let killed = killed(world, &node.id, &all);
    let mut d = Diagnosis::new(CODE, node.id.clone());
    d.confidence = 85;
    d.title = match victims.as_slice() {
        [] => format!("Node {name} as a whole ran out of memory and its kernel killed a process"),
        all => format!("Node {name} as a whole ran out of memory and its kernel killed {}", some(all)),
    };
    d.explanation = format!(
        "It was not a container's own limit: all of {name} was out of memory at {}{}, so the kernel chose a process to \
         end. Pods without limits, or daemons outside of the kubelet's account, take more than is left.{}",
        clock(last.at),
        if all.len() > 1 { format!(" ({} kills were seen)", all.len()) } else { String::new() },
        match killed.as_slice() {
            [] => String::new(),
            pods => format!(
                " It hit {}.",
                some(&pods.iter().map(|p| format!("pod {}", p.path())).collect::<Vec<_>>())
            ),
        }
    );
    d.evidence.extend(
        all.iter().take(4).map(|e| Evidence::signal(e, 70, "a kill outside of any container's limit")),
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
    for event in ["SystemOOM", "OOMKilling"] {
        d.explains.push(Explains::event(event, &node.id, "self"));
    }
    for pod in &killed {
        let workload = world.workload(pod);
        d.explains.extend(felt::still(&workload));
        d.explains.push(Explains::alert("KubePodCrashLooping", &workload, "workload"));
        d.explains.push(Explains::finding("workload.oom-killed", &workload, "self"));
    }
    d.path = vec![Step::new(&node.id, "", format!("out of memory at {}", clock(last.at)))];
    d.path.extend(killed.iter().take(3).map(|p| Step::new(p, "pod", "killed")));
    d.remedies = vec![
        Remedy::new(format!(
            "give the pods on {name} memory limits and keep memory for the system (systemReserved)"
        ))
        .command(format!("kubectl describe node {name} | sed -n '/Allocated resources/,$p'"))
        .command(format!("ssh {} 'sudo dmesg -T | grep -i -A2 \"out of memory\"'", node.host())),
    ];
    Some(Passing { last: last.at, diagnosis: d })
}

/// Kills of the last hour that hit the node as a whole, newest first. The kubelet's `SystemOOM` is not always one: it
/// cannot place every kill in a container's cgroup (`pkg/kubelet/oom/oom_watcher_linux.go`), and then reports a kill at a
/// container's limit in the same words.
fn kills(world: &World<'_>, node: &Node) -> Vec<Signal> {
    let id = &node.id;
    let told = said(world, id, "event", "OOMKilling");
    let (of_cgroups, of_node): (Vec<Signal>, Vec<Signal>) =
        told.into_iter().partition(|e| e.message.contains("emory cgroup out of memory"));
    let mut all = said(world, id, "event", "SystemOOM");
    all.retain(|e| {
        let pid = e.message.rsplit("pid: ").next().unwrap_or("").trim();
        let of_cgroup =
            of_cgroups.iter().any(|c| !pid.is_empty() && c.message.contains(&format!("rocess {pid} ")));
        let sure = of_node.iter().any(|c| c.at.abs_diff(e.at) < NEAR);
        !of_cgroup && (sure || !at_own_limit(world, id, e.at))
    });
    all.extend(of_node);
    all.extend(said(world, id, "kubelet", line::KERNEL_OOM));
    all.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.id.cmp(&b.id)));
    all
}

fn victim(kill: &Signal) -> String {
    let named = kill.field("victim");
    if !named.is_empty() {
        return named.to_owned();
    }
    let after = |mark: &str, end: char| {
        let rest = kill.message.split(mark).nth(1)?;
        rest.split(end).next().map(str::to_owned)
    };
    after("victim process: ", ',')
        .or_else(|| after(" (", ')').filter(|_| kill.name == "OOMKilling"))
        .unwrap_or_default()
}

/// Containers of a pod that were ended for want of memory around that time, with whether they have a limit.
fn ended(world: &World<'_>, pod: &ObjectRef, at: u64) -> Vec<bool> {
    let containers = world.read(pod, "/spec/containers").unwrap_or_default().list("");
    let statuses = world.read(pod, "/status/containerStatuses").unwrap_or_default().list("");
    let hit = statuses.iter().filter(|s| {
        ["/state/terminated", "/lastState/terminated"].iter().any(|place| {
            let t = s.at(place);
            t.text("/reason") == "OOMKilled"
                && parse_time(t.text("/finishedAt")).is_some_and(|end| end.abs_diff(at) < NEAR)
        })
    });
    hit.map(|s| {
        let own = containers.iter().find(|c| c.text("/name") == s.text("/name"));
        own.is_some_and(|c| c.has("/resources/limits/memory"))
    })
    .collect()
}

fn at_own_limit(world: &World<'_>, node: &ObjectRef, at: u64) -> bool {
    world.related(node, "pod").iter().any(|pod| ended(world, pod, at).contains(&true))
}

/// Pods without a limit that a kill hit.
fn killed(world: &World<'_>, node: &ObjectRef, kills: &[Signal]) -> Vec<ObjectRef> {
    let pods = world.related(node, "pod");
    pods.into_iter().filter(|pod| kills.iter().any(|k| ended(world, pod, k.at).contains(&false))).collect()
}

fn some(all: &[String]) -> String {
    let shown: Vec<&str> = all.iter().take(4).map(String::as_str).collect();
    let more = all.len().saturating_sub(4);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
