//! A node that is short of memory, disk or process ids: the kubelet's own condition, and what it throws out for it
//! (`pkg/kubelet/eviction/helpers.go`).

use kwhy_sdk::{
    Condition, Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, clock, minutes,
};

use crate::{felt::silence, line, memory::Held, node::Node, oom};

pub(crate) const DISK: &str = "node.disk-pressure";
pub(crate) const MEMORY: &str = "node.memory-pressure";
pub(crate) const PID: &str = "node.pid-pressure";
pub(crate) const CODES: [&str; 3] = [DISK, MEMORY, PID];

/// One of the three.
struct Kind {
    code: &'static str,
    condition: &'static str,
    what: &'static str,
    /// Events that say that it begins and that it is over.
    begins: &'static str,
    ends: &'static str,
    /// How evictions call the resource.
    resources: &'static [&'static str],
}

const KINDS: [Kind; 3] = [
    Kind {
        code: DISK,
        condition: "DiskPressure",
        what: "disk",
        begins: "NodeHasDiskPressure",
        ends: "NodeHasNoDiskPressure",
        resources: &["storage", "inodes"],
    },
    Kind {
        code: MEMORY,
        condition: "MemoryPressure",
        what: "memory",
        begins: "NodeHasInsufficientMemory",
        ends: "NodeHasSufficientMemory",
        resources: &["memory"],
    },
    Kind {
        code: PID,
        condition: "PIDPressure",
        what: "process ids",
        begins: "NodeHasInsufficientPID",
        ends: "NodeHasSufficientPID",
        resources: &["pids"],
    },
];

/// A node of which only events are known is taken to be short for so long after the last pod was thrown out.
const HEARD: u64 = minutes(30);

/// Alerts of workloads whose pods are thrown out or find no place for it.
const FELT: [&str; 9] = [
    "KubePodNotReady",
    "KubeContainerWaiting",
    "KubeDeployment*",
    "KubeStatefulSet*",
    "KubeDaemonSet*",
    "KubeJob*",
    "KubeHpaReplicasMismatch",
    "KubePdb*",
    "TargetDown",
];

fn felt(workload: &ObjectRef) -> impl Iterator<Item = Explains> + '_ {
    let alerts = FELT.iter().map(move |alert| Explains::alert(alert, workload, "workload"));
    alerts.chain([Explains::missed(workload, "self")])
}

/// Judges all three of one node.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, id: &ObjectRef, node: Option<&Node>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(node) = node else {
        held.clear(&mut verdict, &CODES, id, "the node was removed from the cluster");
        return verdict;
    };
    for kind in &KINDS {
        let condition = node.condition(kind.condition);
        let told = told(world, node, kind, &condition);
        match (condition.status.as_str(), told) {
            // A silent kubelet says nothing of its pressure.
            ("Unknown", None) => {}
            // What stands in the status of a lost node is its last word, told with the loss.
            ("True", _) if node.ready.status == "Unknown" => {}
            ("True", _) => held.assert(&mut verdict, pressed(world, node, kind, &condition, None)),
            (_, Some(told)) => {
                let since = if node.seen { told.at } else { told.began() };
                let since = Condition { since, ..Condition::default() };
                held.assert(&mut verdict, pressed(world, node, kind, &since, Some(&told)));
            }
            _ if kind.code == DISK && fills(world, node, held, &mut verdict) => {}
            _ => {
                let because = format!("node {} has no {} any more", id.name, kind.condition);
                held.clear(&mut verdict, &[kind.code], id, &because);
            }
        }
    }
    verdict
}

/// Tells of a disk that fills up before the kubelet calls it pressure; whether it does.
fn fills(world: &World<'_>, node: &Node, held: &mut Held, verdict: &mut Verdict) -> bool {
    let found = filling(world, node);
    let any = found.is_some();
    if let Some(found) = found {
        held.assert(verdict, found);
    }
    any
}

/// How often the kubelet has looked in vain for images to remove before it counts: it tries every five minutes.
const IN_VAIN: u64 = 3;

/// The kubelet wants to remove images and finds none again and again, and the disk is measured as nearly full.
fn filling(world: &World<'_>, node: &Node) -> Option<Diagnosis> {
    let (id, name) = (&node.id, &node.id.name);
    let newest =
        |source: &str, reason: &str| world.about(id, "self", source, reason, world.ago(HEARD * 2), 1).pop();
    let vain = ["FreeDiskSpaceFailed", "ImageGCFailed"].iter().find_map(|reason| {
        newest("event", reason)
            .filter(|e| e.at + HEARD > world.now() && e.field("count").parse().unwrap_or(1) >= IN_VAIN)
    })?;
    let alerts = world.about(id, "self", "alert", "NodeFilesystem*", world.ago(minutes(60 * 24)), 5);
    let alert = alerts.first().filter(|a| a.state == "firing")?;
    let mut d = Diagnosis::new(DISK, id.clone());
    d.confidence = 72;
    d.title = format!("The disk of node {name} fills up, and the kubelet finds no images to remove");
    d.explanation = format!(
        "The kubelet of {name} tries to remove images that nobody uses and frees less than it wants, again and again. It has not called it \
         DiskPressure yet; when it does, it takes no new pods and evicts some."
    );
    d.evidence.push(Evidence::signal(&vain, 60, "again and again in vain"));
    d.evidence.push(Evidence::signal(alert, 50, "measured"));
    d.explains.push(Explains::alert("NodeFilesystem*", id, "self"));
    d.explains.extend(["FreeDiskSpaceFailed", "ImageGCFailed"].map(|r| Explains::event(r, id, "self")));
    d.path = vec![Step::new(id, "", "its disk fills up")];
    d.remedies = vec![make_room(node)];
    Some(d)
}

fn make_room(node: &Node) -> Remedy {
    let (name, host) = (&node.id.name, node.host());
    Remedy::new(format!("see what fills the disk of {name}: images, logs, emptyDir volumes"))
        .command(format!("ssh {host} 'df -h; sudo du -xhd1 /var/lib /var/log | sort -h | tail'"))
        .command(if node.runtime_unit() == "docker" {
            format!(
                "ssh {host} sudo docker system prune     # containers that ended and images without a name"
            )
        } else {
            format!("ssh {host} sudo crictl rmi --prune     # images that no container uses")
        })
        .caution("images that are removed have to be pulled again")
}

/// The event or alert that tells of the pressure and is newer than the status.
fn told(world: &World<'_>, node: &Node, kind: &Kind, condition: &Condition) -> Option<Signal> {
    let newest = |source: &str, name: &str| {
        world.about(&node.id, "self", source, name, world.ago(minutes(60)), 3).into_iter().next()
    };
    let seen = condition.heartbeat.max(condition.since);
    let over = newest("event", kind.ends).map_or(0, |e| e.at).max(seen);
    let event = newest("event", kind.begins).filter(|e| e.at > over);
    let alert = newest("alert", "KubeNodePressure").filter(|a| {
        // It has waited for ten minutes before it fires.
        a.state == "firing" && a.field("condition") == kind.condition && a.at > over + minutes(10)
    });
    event.or(alert).or_else(|| thrown_out(world, node, kind, over))
}

/// Where nobody has shown the node, that its kubelet throws out pods again and again tells of the pressure. One pod that
/// was thrown out is no shortage that lasts.
fn thrown_out(world: &World<'_>, node: &Node, kind: &Kind, over: u64) -> Option<Signal> {
    if node.seen {
        return None;
    }
    let short = |e: &Signal| {
        let marks = ["low on resource: ", "Attempting to reclaim "];
        let mut named = marks.iter().filter_map(|mark| Some(e.message.split_once(mark)?.1));
        named.any(|rest| {
            let word = rest.split(['.', ' ']).next().unwrap_or("");
            kind.resources.iter().any(|r| word.contains(r))
        })
    };
    let mut all = world.about(&node.id, "on-node", "event", "Evicted", world.ago(minutes(60)), 20);
    all.extend(world.about(&node.id, "self", "event", "EvictionThresholdMet", world.ago(minutes(60)), 5));
    all.retain(|e| e.at > over && short(e));
    // Where nothing but its journal is known, that tells.
    let lines = world.about(&node.id, "self", "kubelet", line::EVICTS, world.ago(minutes(60)), 20);
    let means = |l: &Signal| kind.resources.iter().any(|r| l.field("resource").contains(r));
    all.extend(lines.into_iter().filter(|l| l.at > over && means(l)));
    let often: u64 = all.iter().map(|e| e.field("count").parse().unwrap_or(1)).sum();
    all.into_iter().max_by_key(|e| e.at).filter(|e| often > 1 && e.at + HEARD > world.now())
}

fn pressed(
    world: &World<'_>,
    node: &Node,
    kind: &Kind,
    condition: &Condition,
    told: Option<&Signal>,
) -> Diagnosis {
    let (id, name, host) = (&node.id, &node.id.name, node.host());
    let Kind { code, what, .. } = *kind;
    let from = condition.since.saturating_sub(minutes(10));
    let events = |reason: &str, reach: &str| world.about(id, reach, "event", reason, from, 5);
    let mut evicted = world.about(id, "on-node", "event", "Evicted", from, 20);
    // A pod may go past its own limit at the same time.
    evicted.retain(|e| {
        e.message.contains(kind.condition)
            || (e.message.contains("low on resource") && kind.resources.iter().any(|r| e.message.contains(r)))
    });
    let mut d = Diagnosis::new(code, id.clone());
    d.severity = if evicted.is_empty() { "warning" } else { "critical" }.into();
    d.confidence = match (told.is_some(), node.seen) {
        (true, true) => 85,
        (true, false) => 75,
        (false, _) => 94,
    };
    d.title = format!("Node {name} is short of {what} ({})", kind.condition);
    d.explanation = format!(
        "The kubelet of {name} reports {} since {}: it takes no new pods{} until five minutes after the pressure \
         is gone.{}",
        kind.condition,
        clock(condition.since),
        if code == MEMORY { " without memory requests" } else { "" },
        match evicted.len() {
            0 => String::new(),
            n => format!(
                " It has evicted pods to get free ({n} seen): {}.",
                evicted
                    .iter()
                    .filter_map(|e| e.subject.as_ref())
                    .take(4)
                    .map(ObjectRef::path)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        }
    );
    match told {
        Some(signal) => d.evidence.push(Evidence::signal(signal, 70, "newer than what was seen of the node")),
        None => d.evidence.push(Evidence::object(
            id,
            condition.quote(kind.condition),
            80,
            format!("since {}", clock(condition.since)),
        )),
    }
    d.evidence.extend(evicted.iter().take(3).map(|e| Evidence::signal(e, 40, "thrown out for it")));
    let greedy = greediest(world, &evicted);
    if let Some(greedy) = &greedy {
        d.explanation.push_str(&greedy.words());
    }
    let inodes = code == DISK && runs_out_of_inodes(world, id, &evicted, from);
    if inodes {
        d.explanation.push_str(
            " It is short of inodes: too many files, however small, so that free space helps nothing.",
        );
    }
    for reason in ["EvictionThresholdMet", "FreeDiskSpaceFailed", "ImageGCFailed", "SystemOOM"] {
        d.evidence.extend(events(reason, "self").iter().take(1).map(|e| Evidence::signal(e, 30, reason)));
    }
    let own: &[&str] = match code {
        DISK => &["KubeNodePressure", "KubeNodeEviction", "NodeFilesystem*"],
        MEMORY => &["KubeNodePressure", "KubeNodeEviction", "NodeMemory*"],
        _ => &["KubeNodePressure", "KubeNodeEviction", "NodeSystemSaturation"],
    };
    d.explains = own.iter().map(|name| Explains::alert(name, id, "self")).collect();
    if code == MEMORY {
        // What the kubelet's evictions are too slow for, the kernel does: the same shortage.
        d.explains.push(Explains::finding(oom::CODE, id, "self"));
    }
    for pod in evicted.iter().filter_map(|e| e.subject.clone()) {
        let workload = world.workload(&pod);
        d.explains.push(Explains::event("Evicted", &pod, "self"));
        d.explains.extend(felt(&workload));
        d.explains.extend(silence(world, [&workload]));
        // Each pod that is thrown out is made anew, there too where it came back to the same node.
        d.explains.push(Explains::finding("workload.real-churn", &workload, "self"));
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
        let workload = world.workload(&pod);
        d.explains.extend(felt(&workload));
        d.explains.extend(silence(world, [&workload]));
    }
    d.path = vec![Step::new(id, "", format!("{} since {}", kind.condition, clock(condition.since)))];
    d.remedies = match code {
        DISK if inodes => vec![
            Remedy::new(format!(
                "find the directory on {name} in which small files pile up, and let its owner remove them"
            ))
            .command(format!("ssh {host} 'df -i; sudo du --inodes -xd3 /var/lib /var/log | sort -n | tail'")),
        ],
        DISK => vec![make_room(node)],
        MEMORY => {
            let find = Remedy::new(match &greedy {
                Some(greedy) => format!(
                    "see why container {} of {} {} needs so much on {name}, and give it a memory limit",
                    greedy.container,
                    greedy.workload.kind,
                    greedy.workload.path()
                ),
                None => format!(
                    "find the pods on {name} that use more memory than they request, and give them limits"
                ),
            });
            vec![
                find.command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={name}"))
                    .command("kubectl top pods -A --sort-by=memory | head"),
            ]
        }
        _ => vec![
            Remedy::new(format!(
                "find who makes so many processes on {name}, and set podPidsLimit of the kubelet"
            ))
            .command(format!("ssh {host} \"ps -eo cgroup --no-headers | sort | uniq -c | sort -n | tail\"")),
        ],
    };
    d
}

/// Whether it is files and not bytes that the disk has no room for, by what was reclaimed, thrown out or measured.
fn runs_out_of_inodes(world: &World<'_>, id: &ObjectRef, evicted: &[Signal], from: u64) -> bool {
    let thrown = evicted.iter().any(|e| e.message.contains("low on resource: inodes"));
    let tried = world.about(id, "self", "event", "EvictionThresholdMet", from, 5);
    let measured = ["NodeFilesystemAlmostOutOfFiles", "NodeFilesystemFilesFillingUp"].iter().any(|name| {
        let all = world.about(id, "self", "alert", name, world.ago(minutes(60 * 24)), 1);
        all.first().is_some_and(|a| a.state == "firing")
    });
    thrown || measured || tried.iter().any(|e| e.message.contains("reclaim inodes"))
}

/// Of the pods thrown out the container that used most.
struct Greedy {
    container: String,
    workload: ObjectRef,
    bytes: u64,
    used: String,
    asked: String,
}

impl Greedy {
    fn words(&self) -> String {
        let asks = match self.asked.as_str() {
            "" | "0" => "requests nothing".to_owned(),
            asked => format!("requests {asked}"),
        };
        let Self { container, workload, used, .. } = self;
        format!(
            " Of those container {container} of {} {} used most: {used}, and it {asks}.",
            workload.kind,
            workload.path()
        )
    }
}

/// As the kubelet counts it: `Container app was using 27914Mi, request is 0, has larger consumption of memory.`
fn greediest(world: &World<'_>, evicted: &[Signal]) -> Option<Greedy> {
    let mut most: Option<Greedy> = None;
    for event in evicted {
        let Some(pod) = &event.subject else { continue };
        for part in event.message.split("Container ").skip(1) {
            let Some((container, rest)) = part.split_once(" was using ") else { continue };
            let word = |text: &str| text.split([',', ' ', '.']).next().unwrap_or("").to_owned();
            let used = word(rest);
            let asked = rest.split_once("request is ").map_or_else(String::new, |(_, r)| word(r));
            let Some(bytes) = bytes(&used).filter(|b| most.as_ref().is_none_or(|m| *b > m.bytes)) else {
                continue;
            };
            let workload = world.workload(pod);
            most = Some(Greedy { container: container.to_owned(), workload, bytes, used, asked });
        }
    }
    most
}

/// A quantity with a binary suffix, or none.
fn bytes(quantity: &str) -> Option<u64> {
    let digits = quantity.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = quantity.get(..digits)?.parse().ok()?;
    let unit = match quantity.get(digits..)? {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}
