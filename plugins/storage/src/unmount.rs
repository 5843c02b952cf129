//! A pod that was deleted and stays, because its node does not get a volume off it.
//!
//! A kubelet lets the API server forget a pod only after its volumes are unmounted (`pkg/kubelet/kubelet_pods.go`,
//! `podResourcesAreReclaimed`; from 1.22 on `WaitForUnmount` of the volume manager). No event tells of it. A try that
//! fails is told in the journal and made again after at most two minutes
//! (`pkg/volume/util/operationexecutor/operation_generator.go`); one that hangs, as on a file server that is gone, is
//! never heard of again after `operationExecutor.UnmountVolume started`.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, Json, ObjectRef, Pattern, Remedy, Signal, Step, Verdict, Wake, World,
    clock, minutes, parse_time, seconds, span,
};

use crate::{
    claim::behind,
    memory::Held,
    mount::{MULTI_ATTACH, own_volume},
    reason::{self, Volume},
};

pub(crate) const CODE: &str = "storage.unmount-failed";
/// Timer: look whether the pod is gone.
pub(crate) const LOOK: &str = "storage-unmount";
const FAILED: &str = "storage-unmount-failed";
const SAID: &str = "storage-umount-said";
const STARTED: &str = "storage-unmount-started";
const DONE: &str = "storage-unmount-done";

/// How long a pod may take beyond its grace when its node told of a trouble.
const PATIENCE: u64 = minutes(3);
/// And when nobody tells of any.
const LONG: u64 = minutes(10);
/// A failed try is followed by another one within that time.
const AGAIN: u64 = minutes(5);

/// Plugins whose volumes lie elsewhere; taking off those that the kubelet fills itself cannot hang.
const REMOTE: &str = "nfs|csi|cephfs|glusterfs|rbd|iscsi|fc|azure-file|quobyte|portworx-volume|flexvolume";

pub(crate) fn patterns() -> Vec<Pattern> {
    let uid = r#"pod \\*"[^"\\]*\\*" \(UID: \\*"(?P<uid>[0-9a-f-]{36})\\*"\)"#;
    let name = r#"\\*"(?P<volume>[^"\\]+)\\*""#;
    let failed = format!(
        r#"Unm(?:ount|ap)Volume\.\w+ failed for volume {name} \(UniqueName: [^)]*\) {uid} : (?P<why>.+)"#
    );
    let started = format!(
        r#"operationExecutor\.UnmountVolume started for volume {name} \(UniqueName: \\*"kubernetes\.io/(?:{REMOTE})[^)]*\) {uid}"#
    );
    let done = format!(
        r#"UnmountVolume\.TearDown succeeded for volume \\*"kubernetes\.io/(?:{REMOTE})[^(]*\(OuterVolumeSpecName: {name}\) {uid}"#
    );
    let said = r"umount[.\w]*: \S*/pods/(?P<uid>[0-9a-f-]{36})/volumes/(?P<plugin>[^/]+)/(?P<volume>[^/: ]+)[^: ]*: (?P<why>.+)";
    vec![
        Pattern::new(FAILED, "Volume.", &failed),
        Pattern::new(STARTED, "operationExecutor.UnmountVolume started", &started),
        Pattern::new(DONE, "UnmountVolume.TearDown succeeded", &done),
        // What the command itself says stands on lines of its own.
        Pattern::new(SAID, "umount", said),
    ]
}

/// Whether a kubelet's line is one of these.
pub(crate) fn tells(line: &Signal) -> bool {
    [FAILED, SAID, STARTED, DONE].contains(&line.name.as_str())
}

/// A kubelet's line tells of a volume of one of its pods: the pod is looked at when it should be gone.
pub(crate) fn told(world: &World<'_>, held: &mut Held, node: &ObjectRef, line: &Signal) -> Verdict {
    let uid = line.field("uid");
    let pod = world.related(node, "pod").into_iter().find(|p| p.uid == uid);
    pod.map_or_else(Verdict::default, |pod| judge(world, held, &pod))
}

/// Judges one pod from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, pod: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let workload = world.workload(pod);
    let Some(ending) = Ending::of(world, pod) else {
        let others = || world.pods(&workload).iter().any(|p| !p.is(pod) && stuck(world, p));
        if held.holds(CODE, &workload) && !others() {
            held.clear(&mut verdict, &[CODE], &workload, &format!("pod {} is gone", pod.name));
        }
        return verdict;
    };
    let now = world.now();
    let mut wake = |at: u64| verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(pod.clone()), at });
    if now < ending.due + PATIENCE {
        wake(ending.due + PATIENCE);
        return verdict;
    }
    if !ending.over {
        // Its containers run still: it is not the volumes that it waits for.
        return verdict;
    }
    let Some(found) = ending.fails(world).or_else(|| ending.hangs(world)).or_else(|| ending.lasts(world))
    else {
        if now < ending.due + LONG {
            wake(ending.due + LONG);
        }
        return verdict;
    };
    held.assert(&mut verdict, found.put(world, &ending, &workload));
    verdict
}

/// Whether the pod has been about to go for longer than that takes.
fn stuck(world: &World<'_>, pod: &ObjectRef) -> bool {
    Ending::of(world, pod).is_some_and(|e| e.due + PATIENCE <= world.now())
}

/// A pod that was deleted and whose node lives.
struct Ending {
    pod: ObjectRef,
    node: ObjectRef,
    /// When the deletion was asked for.
    asked: u64,
    /// When its grace was over.
    due: u64,
    /// None of its containers runs any more.
    over: bool,
    volumes: Vec<Json>,
}

impl Ending {
    fn of(world: &World<'_>, pod: &ObjectRef) -> Option<Self> {
        if !world.exists(pod) {
            return None;
        }
        let meta = world.read(pod, "/metadata")?;
        let due = parse_time(meta.text("/deletionTimestamp"))?;
        let node = world.related(pod, "node").into_iter().next()?;
        // Who holds the pod in the API, or a node that reports nothing, is another matter.
        if !meta.list("/finalizers").is_empty() || world.condition(&node, "Ready").fails() {
            return None;
        }
        let grace = meta.number("/deletionGracePeriodSeconds").max(0).unsigned_abs();
        let status = world.read(pod, "/status").unwrap_or_default();
        let runs = |c: &Json| c.has("/state/running");
        let pod = ObjectRef { uid: meta.text("/uid").to_owned(), ..pod.clone() };
        Some(Self {
            asked: due.saturating_sub(seconds(grace)),
            over: !status.list("/containerStatuses").iter().any(runs),
            volumes: world.read(&pod, "/spec/volumes").unwrap_or_default().list(""),
            node,
            due,
            pod,
        })
    }

    /// Lines of the node about this pod, newest first.
    fn lines(&self, world: &World<'_>, pattern: &str, since: u64) -> Vec<Signal> {
        let all = world.about(&self.node, "self", "kubelet", pattern, since.max(self.asked), 200);
        all.into_iter().filter(|l| l.field("uid") == self.pod.uid).collect()
    }

    /// The node tries in vain.
    fn fails(&self, world: &World<'_>) -> Option<Found> {
        let said = self.lines(world, SAID, world.ago(AGAIN)).into_iter().next();
        let failed = self.lines(world, FAILED, world.ago(AGAIN)).into_iter().next();
        let first = failed.as_ref().or(said.as_ref())?;
        let name = first.field("volume").to_owned();
        let why = match &said {
            Some(line) => line.field("why").to_owned(),
            None => reason::words(first.field("why")).replace("\\\"", "\""),
        };
        let why = why.trim_matches(['"', ' ', '\\', '.']).to_owned();
        Some(Found { name, why: Why::Fails(why), lines: failed.into_iter().chain(said).collect() })
    }

    /// The node has begun and is never heard of again.
    fn hangs(&self, world: &World<'_>) -> Option<Found> {
        let done = self.lines(world, DONE, 0);
        let open = self.lines(world, STARTED, 0).into_iter().find(|started| {
            started.at + PATIENCE <= world.now()
                && !done.iter().any(|d| d.field("volume") == started.field("volume") && d.at >= started.at)
        })?;
        Some(Found { name: open.field("volume").to_owned(), why: Why::Hangs, lines: vec![open] })
    }

    /// Nobody tells anything: its containers have ended long ago, and what a kubelet waits for then is its volumes.
    fn lasts(&self, world: &World<'_>) -> Option<Found> {
        let lies_elsewhere =
            |v: &&Json| v.has("/persistentVolumeClaim") || v.has("/nfs") || v.has("/csi") || v.has("/cephfs");
        let volume = self.volumes.iter().find(lies_elsewhere)?;
        let status = world.read(&self.pod, "/status/containerStatuses").unwrap_or_default().list("");
        let ended = !status.is_empty() && status.iter().all(|c| c.has("/state/terminated"));
        // An event of the kubelet tells of containers, sandboxes and networks that do not go.
        let else_told = !world.about(&self.pod, "self", "event", "FailedKillPod", self.asked, 1).is_empty();
        let long = self.due + LONG <= world.now();
        (long && ended && !else_told).then(|| Found {
            name: volume.text("/name").to_owned(),
            why: Why::Silent,
            lines: Vec::new(),
        })
    }
}

enum Why {
    /// In the words of the command or the driver.
    Fails(String),
    Hangs,
    Silent,
}

struct Found {
    name: String,
    why: Why,
    lines: Vec<Signal>,
}

impl Found {
    fn put(self, world: &World<'_>, ending: &Ending, workload: &ObjectRef) -> Diagnosis {
        let (pod, node) = (&ending.pod, &ending.node.name);
        let claim = behind(world, pod, &self.name);
        let shown = claim.as_ref().map_or_else(|| self.name.clone(), ObjectRef::path);
        let volume = match &claim {
            Some(claim) => Volume::of(world, claim),
            None => own_volume(world, pod, &self.name),
        };
        let on = if volume.server.is_empty() {
            String::new()
        } else {
            format!(" of {} {}", volume.server, volume.path)
        };
        let mut d = Diagnosis::new(CODE, workload.clone());
        // A StatefulSet makes no other pod of that name before this one is gone.
        d.severity = if workload.kind == "StatefulSet" { "critical" } else { "warning" }.into();
        d.confidence = match &self.why {
            Why::Fails(_) => 92,
            Why::Hangs => 85,
            Why::Silent => 60,
        };
        let short = match &self.why {
            Why::Fails(why) => format!("{node} cannot unmount {shown}: {}", cut(why)),
            Why::Hangs => format!("the unmount of {shown} hangs on {node}"),
            Why::Silent => format!("{node} does not let go of its volume {shown}"),
        };
        d.title = format!("Pod {} stays Terminating: {short}", pod.name);
        let what = match &self.why {
            Why::Fails(why) => {
                format!("the kubelet of {node} tries to unmount {shown}{on} again and again and gets: {why}")
            }
            Why::Hangs => format!(
                "the kubelet of {node} has begun to unmount {shown}{on} and never came back from it, as when the \
                 storage behind it does not answer"
            ),
            Why::Silent => format!(
                "all its containers have ended, it has no finalizer and {node} is ready; what a kubelet still waits \
                 for then is that the pod's volumes ({shown}{on}) are off the node"
            ),
        };
        d.explanation = format!(
            "Pod {} was deleted at {} and should have been gone at {}, {} ago: {what}. The API server keeps the pod \
             until its volumes are unmounted.",
            pod.path(),
            clock(ending.asked),
            clock(ending.due),
            span(world.now().saturating_sub(ending.due)),
        );
        let deleted = format!("deletionTimestamp {}", clock(ending.due));
        d.evidence
            .extend(self.lines.iter().map(|l| Evidence::signal(l, 70, format!("the journal of {node}"))));
        d.evidence.push(Evidence::object(pod, deleted, 50, "it should be gone since"));
        d.evidence.extend(
            claim.iter().map(|c| Evidence::object(c, format!("volume {}", self.name), 10, "its claim")),
        );
        d.remedies = remedies(&self.why, ending, &volume);
        d.path = vec![Step::new(workload, "", ""), Step::new(pod, "owned", "its volume is not let go")];
        d.explains.extend(Explains::waiting(workload, "workload"));
        d.explains.push(Explains::alert("*Terminating*", workload, "workload"));
        // What holds the volume here keeps it from the node of the next pod.
        d.explains.push(Explains::finding(MULTI_ATTACH, workload, "self"));
        d.explains.push(Explains::event("FailedAttachVolume", workload, "owned"));
        d
    }
}

fn remedies(why: &Why, ending: &Ending, volume: &Volume) -> Vec<Remedy> {
    let (pod, node) = (&ending.pod, &ending.node.name);
    let said = if let Why::Fails(why) = why { why.as_str() } else { "" };
    let has = |all: &[&str]| all.iter().any(|part| said.contains(part));
    let mounts = format!("/var/lib/kubelet/pods/{}/volumes", pod.uid);
    let first = if has(&["busy"]) {
        Remedy::new(format!("see what on {node} still uses it and end that: a process outside of the pod, or a mount that another mount namespace has copied"))
            .command(format!("ssh {node} 'sudo fuser -vm $(mount | grep -o \"{mounts}[^ ]*\"); sudo grep -l {} /proc/[0-9]*/mountinfo'", pod.uid))
    } else if has(&["not found in the list of registered CSI drivers", "csi.sock", "connection refused"]) {
        Remedy::new(format!("bring the driver's pod on {node} back: only it can take its volumes off"))
            .command(format!(
                "kubectl get pods -A -o wide --field-selector spec.nodeName={node} | grep -i csi"
            ))
            .command(format!("kubectl get csinode {node} -o yaml"))
    } else {
        let server = if volume.server.is_empty() { "the storage behind it" } else { volume.server.as_str() };
        let look = Remedy::new(format!(
            "see whether {server} answers {node}, and bring it back: the unmount goes through by itself then"
        ));
        if volume.by == "nfs" && !volume.server.is_empty() {
            look.command(format!("ssh {node} 'nc -zv {server} 2049; sudo dmesg -T | grep -i nfs | tail'"))
        } else {
            look.command(format!("ssh {node} \"mount | grep {}; sudo journalctl -u kubelet --since '-10 min' --no-pager | grep {}\"", pod.uid, pod.uid))
        }
    };
    vec![
        first,
        Remedy::new("where that is not to be had, take the mount off by force; the kubelet does the rest")
            .command(format!("ssh {node} \"mount | grep -o '{mounts}[^ ]*' | xargs -r -n1 sudo umount -f -l\""))
            .caution("what was not yet written to the volume is lost"),
        Remedy::new("as the last means delete the pod without its node's word, after the node was drained and started anew or is off")
            .command(format!("kubectl -n {} delete pod {} --grace-period=0 --force", pod.namespace, pod.name))
            .caution("while the old node still has the volume mounted, a second writer can destroy what is on it"),
    ]
}

fn cut(text: &str) -> &str {
    match text.char_indices().nth(90) {
        Some((at, _)) => text.get(..at).unwrap_or(text),
        None => text,
    }
}
