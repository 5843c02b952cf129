//! Volumes that exist and do not come to their pod: attached elsewhere, no driver on the node, a mount that fails, or
//! one that takes its time because every file gets another owner.
//!
//! Messages: `pkg/controller/volume/attachdetach/reconciler`, `pkg/kubelet/kubelet.go`, `pkg/volume/util/operationexecutor`,
//! `pkg/volume/csi/csi_client.go`, `pkg/volume/volume_linux.go`, and `CSINode … does not contain driver` of external-attacher.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Rejection, Remedy, Signal, Step, Verdict, Wake, World, clock,
    hours, minutes, parse_time,
};

use crate::{
    LOOK,
    claim::{self, HEARD, behind, started},
    memory::Held,
    noise,
    reason::{self, Volume},
    stale,
};

pub(crate) const MULTI_ATTACH: &str = "storage.multi-attach";
pub(crate) const MOUNT: &str = "storage.mount-failed";
pub(crate) const CSI: &str = "storage.csi-missing";
pub(crate) const SLOW: &str = "storage.volume-ownership-slow";
const CODES: [&str; 4] = [MULTI_ATTACH, MOUNT, CSI, SLOW];

/// A volume is let go and taken up within that time when all is well.
const PATIENCE: u64 = minutes(2);
/// The attach-detach controller takes a volume away by force after six minutes.
const FORCED: u64 = minutes(7);
/// How the attach-detach controller and the clouds behind the drivers say that another node has the volume.
const ELSEWHERE: [&str; 7] = [
    "Multi-Attach error",
    "VolumeInUse",
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
    "is already being used by",
    "already attached to node",
    "is already attached to an instance",
    "is still being used",
];
/// After that time a mount that only is not done yet counts as one that fails.
const LONG: u64 = minutes(10);

/// Judges one pod from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, pod: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let workload = world.workload(pod);
    let told = world.only_told(pod);
    let stale = stale::of(world, pod);
    let well = || {
        if told { over(world, pod) } else { !world.exists(pod) || started(world, pod) || gone(world, pod) }
    };
    if stale.is_none() && well() {
        let others =
            world.pods(&workload).iter().any(|p| !p.is(pod) && !started(world, p) && troubled(world, p));
        for node in world.related(pod, "node") {
            if held.holds(CSI, &node) && without_driver(world, &node).is_empty() {
                held.clear(&mut verdict, &[CSI], &node, &format!("pod {} has its volumes", pod.name));
            }
        }
        if !others {
            held.clear(&mut verdict, &CODES, &workload, &format!("pod {} has its volumes", pod.name));
        }
        return verdict;
    }
    let since = world.ago(hours(1));
    let mut events = world.about(pod, "self", "event", "FailedAttachVolume", since, 5);
    events.extend(world.about(pod, "self", "event", "FailedMount", since, 10));
    events.extend(world.about(pod, "self", "event", "FailedMapVolume", since, 5));
    events.extend(world.about(pod, "self", "event", "VolumePermissionChangeInProgress", since, 5));
    events.retain(|e| !told_by_others(&e.message));
    // Kubelets before 1.34 say it in their journal only.
    for node in world.related(pod, "node") {
        let lines = world.about(&node, "self", "kubelet", noise::LINE, since, 50);
        events.extend(lines.into_iter().filter(|l| l.field("uid") == pod.uid && !noise::small(l)).take(1));
    }
    events.extend(stale.clone());
    let Some(first) = events.iter().map(Signal::began).min() else { return verdict };
    // Of a pod that nobody has shown it must be said again: it may have started since.
    let again = events.iter().any(|e| e.at > e.began() || e.field("count").parse().unwrap_or(1) > 1);
    let due = first + PATIENCE;
    if world.now() < due {
        verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(pod.clone()), at: due });
        return verdict;
    }
    if told && !again {
        return verdict;
    }
    let with = |part: &str| events.iter().find(|e| e.message.contains(part));
    let elsewhere = events.iter().find(|e| ELSEWHERE.iter().any(|part| e.message.contains(part)));
    if let Some(event) = elsewhere {
        let claim = behind(world, pod, volume(&event.message));
        let lives = claim.iter().flat_map(|c| claim::users(world, c)).any(|p| !p.is(pod) && !gone(world, &p));
        if !lives && world.now() < first + FORCED {
            // Nobody uses it any more: the controller is about to detach it.
            let at = first + FORCED;
            verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(pod.clone()), at });
            return verdict;
        }
    }
    let found = if let Some(event) = elsewhere {
        match away(world, pod, event) {
            Ok(found) => Some(found),
            Err(rejection) => {
                verdict.rejections.push(*rejection);
                None
            }
        }
    } else if let Some(event) =
        with("not found in the list of registered CSI drivers").or(with("does not contain driver"))
    {
        Some(no_driver(world, pod, event))
    } else if let Some(event) = with("timed out waiting for external-attacher") {
        Some(no_attacher(world, pod, event))
    } else if let Some(event) =
        events.iter().find(|e| e.name == "VolumePermissionChangeInProgress" || e.name == noise::LINE)
    {
        Some(slow(world, pod, event))
    } else if let Some(event) = &stale {
        Some(failed(world, pod, event))
    } else {
        // The summary names no reason; a single attempt's failure does.
        let telling =
            events.iter().find(|e| e.name.starts_with("FailedM") && e.message.contains("failed for volume"));
        let summary = with("Unable to attach or mount volumes").filter(|_| first + LONG <= world.now());
        telling.or(with("AttachVolume.Attach failed")).or(summary).map(|event| failed(world, pod, event))
    };
    let Some(mut d) = found else { return verdict };
    if d.root.kind == "Node" {
        // A driver that is not on a node is the node's matter, whoever needs it there.
        for event in events.iter().take(2) {
            d.evidence.push(Evidence::signal(event, 60, format!("since {}", clock(event.began()))));
        }
        held.assert(&mut verdict, d);
        return verdict;
    }
    d.root = workload.clone();
    if told {
        d.confidence = d.confidence.min(75);
    }
    for event in events.iter().take(4) {
        d.evidence.push(Evidence::signal(event, 60, format!("since {}", clock(event.began()))));
    }
    d.explains.extend(Explains::waiting(&workload, "workload"));
    for event in ["FailedMount", "FailedAttachVolume", "VolumePermissionChangeInProgress"] {
        d.explains.push(Explains::event(event, &workload, "owned"));
    }
    if stale.is_some() {
        d.explains.push(Explains::event("Failed", &workload, "owned"));
        d.explains.push(Explains::finding("workload.container-refused", &workload, "self"));
    }
    d.supersedes = CODES.iter().filter(|c| **c != d.code).map(|c| (*c).to_owned()).collect();
    d.path = vec![Step::new(&workload, "", ""), Step::new(pod, "owned", "waits for its volume")];
    held.forget(&d.supersedes, &workload);
    held.assert(&mut verdict, d);
    verdict
}

/// Whether anything is held true of the pod's workload, or of its node.
pub(crate) fn concerns(world: &World<'_>, held: &Held, pod: &ObjectRef) -> bool {
    let workload = world.workload(pod);
    CODES.iter().any(|code| held.holds(code, &workload))
        || (!held.roots(CSI).is_empty() && world.related(pod, "node").iter().any(|n| held.holds(CSI, n)))
}

/// Words of the kubelet and of the external-attacher for a driver that is not there.
const NO_DRIVER: [&str; 2] = ["not found in the list of registered CSI drivers", "does not contain driver"];

/// Pods of the node that wait for a driver.
fn without_driver(world: &World<'_>, node: &ObjectRef) -> Vec<ObjectRef> {
    let waits = |pod: &ObjectRef| {
        let since = world.ago(hours(1));
        let events = || {
            ["FailedMount", "FailedAttachVolume"]
                .iter()
                .flat_map(|name| world.about(pod, "self", "event", name, since, 5))
                .any(|e| NO_DRIVER.iter().any(|part| e.message.contains(part)))
        };
        !started(world, pod) && !gone(world, pod) && events()
    };
    world.related(node, "pod").into_iter().filter(waits).collect()
}

/// A missing ConfigMap or Secret is no matter of storage, and a kubelet that has not yet heard of one is none at all.
fn told_by_others(message: &str) -> bool {
    let missing =
        message.contains(" not found") && (message.contains("configmap \"") || message.contains("secret \""));
    missing
        || message.contains("references non-existent")
        || message.contains("not registered")
        || message.contains("failed to sync configmap cache")
        || message.contains("failed to sync secret cache")
        || message.contains("failed to fetch token")
}

/// Whether a pod that nobody has shown has got over it: its containers come, it is ended, or nothing more is heard.
fn over(world: &World<'_>, pod: &ObjectRef) -> bool {
    let since = world.ago(hours(1));
    let last = |reasons: &[&str]| {
        let all = reasons.iter().filter_map(|r| world.about(pod, "self", "event", r, since, 1).pop());
        all.map(|e| e.at).max()
    };
    let Some(told) = last(&["FailedMount", "FailedAttachVolume", "VolumePermissionChangeInProgress"]) else {
        return true;
    };
    told + HEARD <= world.now()
        || last(&["Pulling", "Pulled", "Created", "Started", "Killing"]).is_some_and(|at| at >= told)
}

/// Whether the pod was deleted and is about to go.
pub(crate) fn gone(world: &World<'_>, pod: &ObjectRef) -> bool {
    world.read(pod, "/metadata/deletionTimestamp").is_some_and(|d| parse_time(d.text("")).is_some())
}

fn troubled(world: &World<'_>, pod: &ObjectRef) -> bool {
    !world.about(pod, "self", "event", "FailedMount", world.ago(hours(1)), 1).is_empty()
        || !world.about(pod, "self", "event", "FailedAttachVolume", world.ago(hours(1)), 1).is_empty()
}

/// `volume "pvc-…"` of a message, or the one whose path it names.
fn volume(message: &str) -> &str {
    let named = message.split("olume \"").nth(1).and_then(|rest| rest.split('"').next());
    named.or_else(|| stale::volume(message)).unwrap_or("")
}

fn away(world: &World<'_>, pod: &ObjectRef, event: &Signal) -> Result<Diagnosis, Box<Rejection>> {
    let name = volume(&event.message);
    let claim = behind(world, pod, name);
    let shown = claim.as_ref().map_or_else(|| name.to_owned(), ObjectRef::path);
    let attached: Vec<ObjectRef> = world
        .list("VolumeAttachment", "")
        .into_iter()
        .filter(|a| world.read(a, "/spec/source/persistentVolumeName").is_some_and(|v| v.text("") == name))
        .filter_map(|a| Some(world.read(&a, "/spec/nodeName")?.text("").to_owned()))
        .map(|node| ObjectRef::new("Node", "", &node))
        .collect();
    let users: Vec<ObjectRef> =
        claim.iter().flat_map(|c| claim::users(world, c)).filter(|p| !p.is(pod)).collect();
    let own = world.related(pod, "node");
    let nodes: Vec<ObjectRef> = users
        .iter()
        .flat_map(|p| world.related(p, "node"))
        .chain(attached)
        .filter(|n| !own.iter().any(|o| o.is(n)))
        .collect();
    for node in &nodes {
        if world.condition(node, "Ready").fails() {
            let because = format!("the volume is still attached to node {}, which is down", node.name);
            return Err(Box::new(Rejection::new(MULTI_ATTACH, &world.workload(pod), because)));
        }
    }
    let workload = world.workload(pod);
    let own_sibling = users.iter().any(|p| world.workload(p).is(&workload));
    let rolls = workload.kind == "Deployment"
        && world.read(&workload, "/spec/strategy/type").is_none_or(|t| t.text("") != "Recreate");
    let at = nodes.first().map_or("another node", |n| n.name.as_str());
    // With the node's object gone nobody detaches by itself before the controller's six minutes are over.
    let removed = nodes.first().is_some_and(|n| !world.exists(n)) && !world.list("Node", "").is_empty();
    let who: Vec<&str> = users.iter().map(|p| p.name.as_str()).collect();
    let mut d = Diagnosis::new(MULTI_ATTACH, workload.clone());
    d.severity = "critical".into();
    d.confidence = 93;
    d.title = format!("Volume of {shown} is attached to {at} and cannot come to pod {}", pod.name);
    d.explanation = format!(
        "The volume can be used on one node at a time (ReadWriteOnce){}.{}",
        if who.is_empty() {
            format!(" and is not yet let go by {at}")
        } else {
            format!(", and {} holds it on {at}", who.join(", "))
        },
        if removed {
            " That node does not stand in the cluster any more: its attachment was left behind."
        } else if own_sibling && rolls {
            " The Deployment updates by starting the new pod before the old one ends, so each waits for the other."
        } else {
            ""
        }
    );
    d.evidence.extend(
        users.iter().take(3).map(|p| Evidence::object(p, "uses the same claim", 40, "holds the volume")),
    );
    d.remedies = if own_sibling && rolls {
        vec![
            Remedy::new("let the old pod go before the new one comes: strategy Recreate")
                .command(format!("kubectl -n {} patch deployment {} -p '{{\"spec\":{{\"strategy\":{{\"type\":\"Recreate\",\"rollingUpdate\":null}}}}}}'", workload.namespace, workload.name))
                .caution("with Recreate each update has a pause"),
        ]
    } else {
        vec![
            Remedy::new("end the pod that holds the volume, or see why it is not detached")
                .command(format!("kubectl get volumeattachment | grep {name}"))
                .command(format!("kubectl -n {} get pods -o wide", pod.namespace))
                .caution("do not remove a VolumeAttachment by hand while its node may still write"),
        ]
    };
    Ok(d)
}

fn no_driver(world: &World<'_>, pod: &ObjectRef, event: &Signal) -> Diagnosis {
    let words: Vec<&str> = event.message.split_whitespace().collect();
    let after = |a: &str, b: &str| {
        words
            .windows(3)
            .find(|w| matches!(w, [x, y, _] if *x == a && *y == b))
            .and_then(|w| w.get(2).copied())
    };
    let driver =
        after("driver", "name").or(after("contain", "driver")).unwrap_or("").trim_matches(['"', ':', '.']);
    let node = world.related(pod, "node").into_iter().next();
    let at = node.as_ref().map_or("its node", |n| n.name.as_str());
    let plugin = node.as_ref().and_then(|n| plugin(world, n, driver));
    let waiting = node.as_ref().map(|n| without_driver(world, n)).unwrap_or_default();
    let names: Vec<&str> = waiting.iter().take(6).map(|p| p.name.as_str()).collect();
    let mut d = Diagnosis::new(CSI, node.clone().unwrap_or_else(|| world.workload(pod)));
    d.severity = "critical".into();
    d.confidence = 93;
    d.title = format!("The storage driver {driver} is not on node {at}");
    for workload in waiting.iter().map(|p| world.workload(p)) {
        d.explains.extend(Explains::waiting(&workload, "workload"));
        for event in ["FailedMount", "FailedAttachVolume"] {
            d.explains.push(Explains::event(event, &workload, "owned"));
        }
    }
    if let Some(plugin) = &plugin {
        let workload = world.workload(plugin);
        d.explains.extend(Explains::waiting(&workload, "workload"));
        d.explains.push(Explains::alert("KubePodCrashLooping", &workload, "workload"));
        d.explains.push(Explains::finding("workload.*", &workload, "self"));
    }
    d.path = node.iter().map(|n| Step::new(n, "", format!("without driver {driver}"))).collect();
    d.path.extend(waiting.iter().take(3).map(|p| Step::new(p, "pod", "waits for its volume")));
    d.explanation = format!(
        "Pod {} needs a volume of {driver}, but the kubelet of {at} knows no driver of that name.{}",
        if names.is_empty() { pod.name.clone() } else { names.join(", ") },
        match &plugin {
            Some(p) => format!(" Its plugin there, pod {}, has not registered it.", p.path()),
            None => " No pod of the driver runs on that node.".to_owned(),
        }
    );
    if let Some(plugin) = &plugin {
        d.evidence.push(Evidence::object(
            plugin,
            "the driver's pod on the node",
            30,
            "it has to register the driver",
        ));
    }
    d.remedies = vec![match &plugin {
        Some(p) => Remedy::new("see why the driver's pod on the node does not register it")
            .command(format!("kubectl -n {} logs {} --all-containers --tail=50", p.namespace, p.name))
            .command(format!("kubectl get csinode {at} -o yaml")),
        None => Remedy::new(
            "install the driver, or let its DaemonSet run on that node (tolerations, node selector)",
        )
        .command(match daemon_set(world, driver) {
            Some(set) => format!("kubectl -n {} describe daemonset {}", set.namespace, set.name),
            None => "kubectl get pods -A -o wide | grep -i csi".to_owned(),
        })
        .command(format!("kubectl describe node {at} | grep -A3 Taints"))
        .command(format!("kubectl get csinode {at} -o yaml")),
    }];
    d
}

/// The half of a driver that attaches volumes for all nodes does not answer.
fn no_attacher(world: &World<'_>, pod: &ObjectRef, event: &Signal) -> Diagnosis {
    let driver =
        event.message.split("external-attacher of ").nth(1).and_then(|r| r.split(' ').next()).unwrap_or("");
    let mut d = Diagnosis::new(CSI, world.workload(pod));
    d.severity = "critical".into();
    d.confidence = 86;
    d.title = format!("The controller of storage driver {driver} attaches no volumes");
    d.explanation = format!(
        "Pod {} waits for a volume of {driver}: the attach-detach controller asked for it, and the driver's \
         external-attacher did not answer in time. Its controller does not run, or cannot reach its storage.",
        pod.name
    );
    d.remedies = vec![
        Remedy::new(format!("see whether the controller of {driver} runs, and what its csi-attacher says"))
            .command(
                "kubectl get pods -A -o wide | grep -i csi | grep -i -E 'controller|attacher|provisioner'",
            )
            .command(format!("kubectl get volumeattachment -o wide | grep {driver}")),
    ];
    d
}

/// The DaemonSet that brings the driver to the nodes where it may run.
fn daemon_set(world: &World<'_>, driver: &str) -> Option<ObjectRef> {
    let brings = |set: &ObjectRef| {
        let volumes = world.read(set, "/spec/template/spec/volumes").unwrap_or_default().list("");
        volumes.iter().any(|v| v.text("/hostPath/path").contains(driver))
    };
    world.list("DaemonSet", "").into_iter().find(|set| !driver.is_empty() && brings(set))
}

/// The pod on the node that speaks of the driver in its command lines or host paths.
fn plugin(world: &World<'_>, node: &ObjectRef, driver: &str) -> Option<ObjectRef> {
    if driver.is_empty() {
        return None;
    }
    world.related(node, "pod").into_iter().find(|p| {
        let volumes = world.read(p, "/spec/volumes").unwrap_or_default().list("");
        volumes.iter().any(|v| v.text("/hostPath/path").contains(driver))
    })
}

fn slow(world: &World<'_>, pod: &ObjectRef, event: &Signal) -> Diagnosis {
    let workload = world.workload(pod);
    let volumes = world.read(pod, "/spec/volumes").unwrap_or_default().list("");
    let named = volumes.iter().map(|v| v.text("/persistentVolumeClaim/claimName")).find(|claim| {
        let id = ObjectRef::new("PersistentVolumeClaim", &pod.namespace, claim);
        let volume = world.read(&id, "/spec/volumeName").unwrap_or_default();
        !volume.text("").is_empty() && event.message.contains(volume.text(""))
    });
    let of = named.map_or("its volume".to_owned(), |claim| format!("claim {}/{claim}", pod.namespace));
    let mut d = Diagnosis::new(SLOW, workload.clone());
    d.confidence = 92;
    d.title = format!("Pod {} waits while every file of {of} gets its group", pod.name);
    d.explanation = format!(
        "The pod sets fsGroup, so the kubelet goes through all files of the volume before it starts a container: {}",
        event.message
    );
    let kind = workload.kind.to_ascii_lowercase();
    d.remedies = vec![
        Remedy::new("let the kubelet look at the volume's top only: fsGroupChangePolicy OnRootMismatch")
            .command(format!(
                "kubectl -n {} patch {kind} {} --type merge -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"securityContext\":{{\"fsGroupChangePolicy\":\"OnRootMismatch\"}}}}}}}}}}'",
                workload.namespace, workload.name
            ))
            .caution("this rolls the workload: the change that runs now starts over"),
    ];
    d
}

fn failed(world: &World<'_>, pod: &ObjectRef, event: &Signal) -> Diagnosis {
    let listed = event.message.split_once("unmounted volumes=[").and_then(|(_, rest)| rest.split(']').next());
    let name = listed.unwrap_or_else(|| volume(&event.message));
    let claim = behind(world, pod, name);
    let shown = claim.as_ref().map_or_else(|| name.to_owned(), ObjectRef::path);
    let why = reason::words(&event.message);
    let node = node_of(world, pod, event);
    let behind_it = match &claim {
        Some(claim) => Volume::of(world, claim),
        None => own_volume(world, pod, name),
    };
    let told = reason::of(&event.message, &behind_it, &node);
    let mut d = Diagnosis::new(MOUNT, world.workload(pod));
    d.severity = "critical".into();
    // The summary after two minutes names no reason.
    d.confidence = if listed.is_some() { 60 } else { 90 };
    d.title = match &told {
        Some(reason) => format!("Volume {shown} cannot be mounted for pod {}: {}", pod.name, reason.short),
        None => format!("Volume {shown} cannot be mounted for pod {}", pod.name),
    };
    let source = match (behind_it.by.as_str(), behind_it.server.as_str()) {
        ("", "") => String::new(),
        (by, "") => format!(" ({by})"),
        (by, server) => format!(" ({by}, {server} {})", behind_it.path),
    };
    d.explanation = if stale::is_told(&event.message) {
        format!(
            "Pod {} ran with {name}{source}, but the mount on {node} has gone stale, so no container that uses it can be started there: {why}.",
            pod.name
        )
    } else {
        format!("The kubelet of {node} tries to mount {name}{source} again and again and gets: {why}.")
    };
    if let Some(reason) = told {
        if reason.backend {
            d.explains.extend(siblings(world, &behind_it));
        }
        d.remedies.push(reason.remedy);
    }
    if let Some((path, kind)) =
        why.strip_prefix("hostPath type check failed: ").and_then(|w| w.split_once(" is not "))
    {
        host_path(&mut d, &world.workload(pod), &node, path, kind);
    }
    d.remedies.push(
        Remedy::new("read the reason on the node and at the storage system: reachable, exported, file system clean, helper installed")
            .command(format!("kubectl -n {} describe pod {}", pod.namespace, pod.name))
            .command(format!("ssh {node} sudo journalctl -u kubelet --since '-10 min' --no-pager | grep -i -E 'mount|volume'")),
    );
    if let Some(claim) = claim {
        d.evidence.push(Evidence::object(&claim, format!("volume {name}"), 10, "its claim"));
    }
    d
}

/// A volume that the pod names itself, without a claim.
pub(crate) fn own_volume(world: &World<'_>, pod: &ObjectRef, name: &str) -> Volume {
    let volumes = world.read(pod, "/spec/volumes").unwrap_or_default().list("");
    volumes.iter().find(|v| v.text("/name") == name).map(Volume::read).unwrap_or_default()
}

/// What fails for the storage behind it fails for all volumes on it: one finding tells, the others stand under it.
fn siblings(world: &World<'_>, volume: &Volume) -> Vec<Explains> {
    let all = world.list("PersistentVolumeClaim", "").into_iter();
    let same = all.filter(|claim| {
        let other = Volume::of(world, claim);
        other.by == volume.by && other.server == volume.server && !other.by.is_empty()
    });
    same.take(50).map(|claim| Explains::finding(MOUNT, &claim, "users")).collect()
}

/// The node that the pod is on, by its object or by whose kubelet speaks.
fn node_of(world: &World<'_>, pod: &ObjectRef, event: &Signal) -> String {
    let known = world.related(pod, "node").into_iter().next().map(|n| n.name);
    let speaks = Some(event.field("reporter-host"))
        .filter(|host| !host.is_empty() && event.field("reporter") == "kubelet");
    known.or_else(|| speaks.map(str::to_owned)).unwrap_or_else(|| "<node>".to_owned())
}

/// A path of the node that is not what the pod says it is (`pkg/volume/hostpath`).
fn host_path(d: &mut Diagnosis, workload: &ObjectRef, node: &str, path: &str, kind: &str) {
    d.title =
        format!("{path} on node {node} is not {kind}, and {} {} mounts it", workload.kind, workload.path());
    d.explanation
        .push_str(" The pod names with hostPath.type what must be there, so the kubelet does not start it.");
    let edit = workload.kind.to_ascii_lowercase();
    d.remedies = vec![
        Remedy::new(format!("make {path} on the node, or see why it is not there"))
            .command(format!("ssh {node} ls -ld {path}")),
        Remedy::new("or name another path, or the type DirectoryOrCreate, in the template")
            .command(format!("kubectl -n {} edit {edit} {}", workload.namespace, workload.name))
            .caution("with DirectoryOrCreate the pod starts with an empty folder"),
    ];
}
