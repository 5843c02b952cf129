//! `control-plane.etcd-member-down`: one member of etcd does not run while the others still decide. Nothing is lost yet, and
//! the next one that goes takes the majority with it; the API server beside the member goes down with it, since kubeadm
//! lets each speak to the etcd of its own machine.

use kwhy_sdk::{
    Condition, Diagnosis, Evidence, Explains, ObjectRef, Program, Remedy, Step, Verdict, World, hours,
    minutes,
};

use crate::{
    line, look_at,
    part::{Part, etcdctl, firing, told},
};

pub(crate) const CODE: &str = "control-plane.etcd-member-down";

/// What Prometheus says of a member that is away.
pub(crate) const ALERTS: [&str; 2] = ["etcdMembersDown", "TargetDown"];

/// A member that is started anew, as an upgrade does, is back sooner.
const PATIENCE: u64 = minutes(3);

fn away_since(member: &Program) -> Option<u64> {
    let ready = Condition::of(&member.pod, "Ready");
    ready.known_since().filter(|_| ready.fails())
}

/// A node that is away takes its member along, which the node's own finding tells.
fn node_lives(world: &World<'_>, node: &str) -> bool {
    !world.condition(&ObjectRef::new("Node", "", node), "Ready").fails()
}

/// The first member that does not come up, where most of the others work. One that may still come up is looked at again.
pub(crate) fn down(world: &World<'_>, verdict: &mut Verdict) -> Option<Diagnosis> {
    let members = Part::Etcd.pods(world);
    let ready = members.iter().filter(|m| m.ready_since().is_some()).count();
    if members.len() < 3 || ready == members.len() || ready <= members.len() / 2 {
        return None;
    }
    let away = members.iter().filter(|m| m.keeps_ending() && node_lives(world, m.node()));
    let (since, member) = away.filter_map(|m| Some((away_since(m)?, m))).min_by_key(|(at, _)| *at)?;
    if since + PATIENCE > world.now() {
        verdict.wakes.push(look_at(world, since + PATIENCE));
        return None;
    }
    let (node, name) = (member.node(), &member.id.name);
    let said = told(world, Part::Etcd, line::FATAL, world.ago(hours(2)));
    let last = said.iter().find(|l| l.subject.as_ref().is_some_and(|s| s.is(&member.id)));
    let why = last.map_or(String::new(), |l| match (l.field("msg"), l.field("error")) {
        ("", _) => String::new(),
        (msg, "") => format!(": {msg}"),
        (msg, error) => format!(": {msg}: {error}"),
    });
    let data = ["crc mismatch", "corrupt", "WAL", "snapshot", "bbolt", "database"];
    let damaged = data.iter().any(|word| why.contains(word));
    let mut d = Diagnosis::new(CODE, member.id.clone());
    d.severity = "critical".into();
    d.confidence = if last.is_some() { 93 } else { 86 };
    d.title = format!(
        "The etcd member on {node} does not run{}",
        if damaged { ", its data is damaged" } else { "" }
    );
    d.explanation = format!(
        "{name} ends at each start{why}. {ready} of {} members work and still decide{}.{}",
        members.len(),
        if ready == members.len() / 2 + 1 { "; with one more lost they cannot" } else { "" },
        if damaged {
            " What it has written to its disk cannot be read any more; the others have all of it."
        } else {
            ""
        }
    );
    let waiting = member.waiting();
    let state = if waiting.is_empty() { member.fares() } else { waiting };
    d.evidence.push(Evidence::object(&member.id, state, 50, format!("member on {node}, {}", member.fares())));
    d.evidence.extend(last.map(|l| Evidence::signal(l, 60, "its last words")));
    let alerts = firing(world, &ALERTS, world.ago(hours(24)));
    for alert in alerts.iter().filter(|a| a.field("job").contains("etcd")) {
        let Some(subject) = &alert.subject else { continue };
        d.explains.push(Explains::alert(&alert.name, subject, "self"));
    }
    d.evidence.extend(
        alerts
            .iter()
            .filter(|a| a.name == "etcdMembersDown")
            .take(1)
            .map(|a| Evidence::signal(a, 40, "measured")),
    );
    let beside =
        Part::ApiServer.pods(world).into_iter().filter(|p| p.node() == node && p.ready_since().is_none());
    for pod in beside.map(|p| p.id).chain([member.id.clone()]) {
        for name in ["KubePodCrashLooping", "KubePodNotReady", "KubeContainerWaiting"] {
            d.explains.push(Explains::alert(name, &pod, "self"));
        }
        d.explains.extend(["Unhealthy", "BackOff"].map(|name| Explains::event(name, &pod, "self")));
        d.explains.push(Explains::finding("workload.*", &pod, "self"));
    }
    d.path = vec![Step::new(&member.id, "", "does not run")];
    let well = members.iter().find(|m| m.ready_since().is_some()).unwrap_or(member);
    let ctl = etcdctl(world, &well.id);
    d.remedies = vec![
        Remedy::new("read its last words, and see whether the others are well")
            .command(format!("kubectl -n kube-system logs {name} --previous --tail=20"))
            .command(format!("{ctl} endpoint health --cluster")),
    ];
    let again = Remedy::new(
        "where its data cannot be read, take the member out, put its directory aside and let it join anew with empty data",
    )
    .command(format!("{ctl} member list"))
    .command(format!("ssh {node} 'sudo mv /var/lib/etcd/member /var/lib/etcd-member.damaged'"))
    .caution("only while the other members are well: with one more lost, nothing can be written");
    d.remedies.push(again);
    Some(d)
}
