//! `control-plane.etcd-slow-disk` and `control-plane.etcd-no-leader`: what etcd and those who measure it say of its disk
//! and of its members.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Program, Remedy, Signal, Step, World, clock, hours, minutes,
};

use crate::{
    WINDOW, line,
    part::{Part, cluster, etcdctl, firing, lines, loudest, node_of, told, told_by_any},
};

pub(crate) const SLOW_DISK: &str = "control-plane.etcd-slow-disk";
pub(crate) const NO_LEADER: &str = "control-plane.etcd-no-leader";

/// Alerts that measure the disk.
pub(crate) const DISK_ALERTS: [&str; 2] = ["etcdHighFsyncDurations", "etcdHighCommitDurations"];
/// Alerts that say that etcd as a whole cannot decide.
pub(crate) const LEADER_ALERTS: [&str; 3] = ["etcdNoLeader", "etcdInsufficientMembers", "etcdMembersDown"];
/// How long ago a firing alert may have begun.
const LONG: u64 = hours(24 * 7);
/// So many writes beyond a second within the window are no hiccup.
const OFTEN: usize = 3;
/// So many slow requests and unanswered clients within the window point to the disk, though not alone to it.
const MANY: usize = 15;

/// What a slow or undecided etcd makes people see elsewhere.
pub(crate) fn explains(world: &World<'_>, root: &ObjectRef, since: u64) -> Vec<Explains> {
    let everywhere = [
        "etcdHigh*",
        "etcdGRPCRequestsSlow",
        "etcdMemberCommunicationSlow",
        "KubeAPIErrorBudgetBurn",
        "KubeAPITerminatedRequests",
        "KubeAPIErrorsHigh",
        "KubeAPILatencyHigh",
    ];
    let mut out: Vec<Explains> =
        everywhere.map(|name| Explains::alert(name, root, "cluster")).into_iter().collect();
    for part in [Part::Etcd, Part::ApiServer, Part::ControllerManager, Part::Scheduler] {
        for pod in part.pods(world) {
            for name in ["KubePodCrashLooping", "KubePodNotReady", "KubeContainerWaiting"] {
                out.push(Explains::alert(name, &pod.id, "self"));
            }
            for name in ["Unhealthy", "BackOff"] {
                out.push(Explains::event(name, &pod.id, "self"));
            }
            // That it ends again and again is how it is felt.
            out.push(Explains::finding("workload.*", &pod.id, "self"));
        }
    }
    // Operators keep leases too, and end when they cannot renew them.
    let mut known: Vec<ObjectRef> = Vec::new();
    for pod in lines(world, "log", line::LEASE, since).iter().filter_map(|l| l.subject.as_ref()) {
        let workload = world.workload(pod);
        if known.len() == MANY || known.iter().any(|w| w.is(&workload)) || Part::of(world, pod).is_some() {
            continue;
        }
        for name in
            ["KubePod*", "KubeContainerWaiting", "KubeDeployment*", "KubeStatefulSet*", "KubeDaemonSet*"]
        {
            out.push(Explains::alert(name, &workload, "workload"));
        }
        out.extend(["Unhealthy", "BackOff"].map(|name| Explains::event(name, &workload, "owned")));
        out.push(Explains::finding("workload.*", &workload, "self"));
        known.push(workload);
    }
    out
}

/// The disk under a member is too slow for etcd.
pub(crate) fn slow_disk(world: &World<'_>, since: u64) -> Option<Diagnosis> {
    let alerts = firing(world, &DISK_ALERTS, world.ago(LONG));
    let since = from(world, since, &alerts);
    let fsync = told(world, Part::Etcd, line::FSYNC, since);
    let heartbeat = told(world, Part::Etcd, line::HEARTBEAT, since);
    let slow = told(world, Part::Etcd, line::SLOW, since);
    let lost = told(world, Part::Etcd, line::LEADER_LOST, since);
    let unanswered = told_by_any(world, line::TIMED_OUT, since);
    let felt = !unanswered.is_empty() || !lost.is_empty();
    let writes = fsync.len() >= OFTEN && (felt || span(&fsync) >= minutes(1));
    let beats = heartbeat.len() >= OFTEN && !slow.is_empty();
    let only_slow = slow.len() >= MANY && unanswered.len() >= 3;
    if alerts.is_empty() && !writes && !beats && !only_slow {
        return None;
    }
    let mut told_by: Vec<Signal> = fsync.clone();
    told_by.extend(heartbeat.iter().cloned());
    if told_by.is_empty() {
        told_by.extend(slow.iter().cloned());
    }
    let pod = loudest(&told_by).map(|(pod, _)| pod);
    let of_alert = alerts.first().and_then(|a| a.subject.clone());
    let root = pod.clone().or(of_alert).unwrap_or_else(|| cluster(world));
    let node = match root.kind.as_str() {
        "Pod" => node_of(world, &root),
        _ => root.name.clone(),
    };
    let mut d = Diagnosis::new(SLOW_DISK, root.clone());
    d.severity = if felt { "critical" } else { "warning" }.to_owned();
    d.confidence = match (alerts.is_empty(), writes, beats) {
        (false, true, _) => 96,
        (false, _, true) => 92,
        (false, ..) => 82,
        (true, true, _) => {
            if felt {
                88
            } else {
                76
            }
        }
        (true, false, true) => {
            if felt {
                80
            } else {
                65
            }
        }
        _ => 60,
    };
    let worst = fsync.iter().map(|l| l.field("took")).find(|t| !t.is_empty());
    let worst = worst.map_or(String::new(), |took| format!(", the last one {took}"));
    d.title = format!("The disk under etcd on {node} is too slow");
    let mut facts: Vec<String> = Vec::new();
    if !fsync.is_empty() {
        facts.push(format!(
            "{} of its writes took longer than a second since {}{worst}",
            fsync.len(),
            clock(fsync.last().map_or(since, |l| l.at))
        ));
    }
    if !heartbeat.is_empty() {
        facts.push(format!("{} heartbeats of the leader came too late", heartbeat.len()));
    }
    if !slow.is_empty() {
        facts.push(format!("{} requests took too long", slow.len()));
    }
    if facts.is_empty() {
        facts.push("its writes are measured as too slow".to_owned());
    }
    d.explanation = format!(
        "etcd must have each write on the disk before it answers, and on {node} that takes too long: {}. {}{}",
        facts.join(", "),
        match (lost.is_empty(), unanswered.is_empty()) {
            (false, false) => "So it loses its leader, and the API server waits in vain.",
            (false, true) => "So it loses its leader at times.",
            (true, false) => "So the API server waits in vain at times.",
            _ => "",
        },
        if writes || !alerts.is_empty() {
            ""
        } else {
            " A processor or a network that is overloaded looks alike."
        }
    );
    for l in fsync.iter().take(2) {
        d.evidence.push(Evidence::signal(l, 60, "a write to its log"));
    }
    d.evidence.extend(alerts.iter().take(2).map(|a| Evidence::signal(a, 60, "measured")));
    d.evidence.extend(heartbeat.first().map(|l| Evidence::signal(l, 40, "the leader is late")));
    d.evidence.extend(slow.first().map(|l| Evidence::signal(l, 25, "requests wait for the disk")));
    d.evidence.extend(lost.first().map(|l| Evidence::signal(l, 25, "what follows from it")));
    d.evidence.extend(unanswered.first().map(|l| Evidence::signal(l, 25, "what its clients see")));
    d.explains = explains(world, &root, since);
    d.path = vec![Step::new(&root, "", "its disk is too slow")];
    let exec = match &pod {
        Some(pod) => format!("{} endpoint status --cluster -w table", etcdctl(world, pod)),
        None => "etcdctl endpoint status --cluster -w table".to_owned(),
    };
    d.remedies = vec![
        Remedy::new(format!("see who else writes to the disk of {node}, and take it away: backups, logs, other pods"))
            .command(format!("ssh {node} 'iostat -x 1 5; sudo iotop -boqn 3 | head -40'")),
        Remedy::new("measure the disk as etcd uses it: 99 % of the writes must take less than 10 ms")
            .command(format!("ssh {node} 'fio --rw=write --ioengine=sync --fdatasync=1 --directory=/var/lib/etcd-test --size=22m --bs=2300 --name=etcd'"))
            .caution("the measurement itself loads the disk: not in /var/lib/etcd, and not in the busiest hour"),
        Remedy::new("put /var/lib/etcd on a disk of its own, an SSD that keeps its word on writes; network volumes and SD cards are too slow"),
        Remedy::new("see how large the database is, and defragment the members one after the other if much of it is unused").command(exec),
    ];
    Some(d)
}

fn quorum(members: &[Program]) -> (usize, usize) {
    (members.iter().filter(|m| m.ready_since().is_some()).count(), members.len() / 2 + 1)
}

/// etcd cannot decide: no leader, or too few members.
pub(crate) fn no_leader(world: &World<'_>, since: u64) -> Option<Diagnosis> {
    let alerts = firing(world, &LEADER_ALERTS, world.ago(LONG));
    let since = from(world, since, &alerts);
    let members = Part::Etcd.pods(world);
    let (ready, needed) = quorum(&members);
    let lost = !members.is_empty() && ready < needed;
    let said = told(world, Part::Etcd, line::NO_LEADER, since);
    let clients = told_by_any(world, line::NO_LEADER, since);
    let certain = alerts.iter().any(|a| a.name == "etcdNoLeader");
    let few = alerts.iter().any(|a| a.name != "etcdNoLeader") && lost;
    let spoken = said.len() >= 3 && span(&said) >= minutes(1);
    let borne_out = lost && !clients.is_empty();
    if !(certain || few || borne_out || spoken) {
        return None;
    }
    let pod = loudest(&said).map(|(pod, _)| pod);
    let ill = members.iter().find(|m| m.ready_since().is_none()).map(|m| m.id.clone());
    let of_alert = alerts.first().and_then(|a| a.subject.clone());
    let root = ill.clone().or(pod).or(of_alert).unwrap_or_else(|| cluster(world));
    let mut d = Diagnosis::new(NO_LEADER, root.clone());
    d.severity = "critical".to_owned();
    d.confidence = match (certain || few, lost, spoken) {
        (true, true, _) => 95,
        (true, false, true) => 93,
        (true, false, false) => 82,
        (false, true, _) => 85,
        _ => 60,
    };
    let down: Vec<String> =
        members.iter().filter(|m| m.ready_since().is_none()).map(|m| m.node().to_owned()).collect();
    d.title = if lost {
        format!("etcd has lost its majority: {ready} of {} members work", members.len())
    } else {
        "etcd has no leader".to_owned()
    };
    d.explanation = format!(
        "{} Without a leader nothing can be written: no pod is made, no lease renewed; what runs goes on.",
        if lost {
            format!(
                "The member{} on {} {} not ready, and {needed} of {} are needed to decide.",
                if down.len() == 1 { "" } else { "s" },
                down.join(", "),
                if down.len() == 1 { "is" } else { "are" },
                members.len()
            )
        } else {
            "The members of etcd do not agree on a leader though they run: they do not hear each other in time.".to_owned()
        }
    );
    for m in members.iter().filter(|m| m.ready_since().is_none()).take(3) {
        let waiting = m.waiting();
        let excerpt = if waiting.is_empty() { m.fares() } else { waiting };
        d.evidence.push(Evidence::object(
            &m.id,
            excerpt,
            50,
            format!("member on {}, {}", m.node(), m.fares()),
        ));
    }
    d.evidence.extend(alerts.iter().take(2).map(|a| Evidence::signal(a, 60, "measured")));
    d.evidence.extend(said.iter().take(2).map(|l| Evidence::signal(l, 50, "a member's own words")));
    d.evidence.extend(
        clients.iter().find(|l| !said.contains(l)).map(|l| Evidence::signal(l, 30, "what its clients see")),
    );
    d.explains = explains(world, &root, since);
    for name in LEADER_ALERTS {
        d.explains.push(Explains::alert(name, &root, "cluster"));
    }
    d.path = vec![Step::new(&root, "", if lost { "not ready" } else { "hears of no leader" })];
    let node = if root.kind == "Pod" { node_of(world, &root) } else { root.name.clone() };
    d.remedies = vec![
        Remedy::new(if lost { "bring the members back that are down, the one with the newest data first".to_owned() } else { "see which members hear each other: port 2380 between them, clocks, disks".to_owned() })
            .command(format!("ssh {node} 'sudo crictl ps -a --name etcd; sudo crictl logs --tail 30 $(sudo crictl ps -aq --name etcd | head -1)'"))
            .command("kubectl -n kube-system get pods -l component=etcd -o wide"),
        Remedy::new("where the majority is lost for good, restore etcd from a snapshot on one member and let the others join anew")
            .command("etcdutl snapshot restore <snapshot.db> --data-dir /var/lib/etcd-new")
            .caution("what was written after the snapshot is lost: only where the members cannot be brought back"),
    ];
    Some(d)
}

/// From when on lines count: while an alert fires those count too that led to it, for some hours.
pub(crate) fn from(world: &World<'_>, since: u64, alerts: &[Signal]) -> u64 {
    let first = alerts.iter().map(|a| a.at).min().map_or(since, |at| at.saturating_sub(WINDOW));
    since.min(first.max(world.ago(hours(3))))
}

/// How long the lines cover.
fn span(lines: &[Signal]) -> u64 {
    let newest = lines.iter().map(|l| l.at).max().unwrap_or(0);
    newest - lines.iter().map(|l| l.at).min().unwrap_or(newest)
}
