//! `control-plane.etcd-no-space`: the database of etcd has reached its quota, so etcd takes no more writes until it is made
//! smaller and the alarm is taken back by hand; or is about to.
//!
//! Texts of etcd (`server/etcdserver/server.go` and `quota.go`, `api/v3rpc/rpctypes`), zap and capnslog, and of those who ask it.

use kwhy_sdk::{Diagnosis, Evidence, Explains, Remedy, Signal, Step, World, hours};

use crate::{
    etcd::{explains, from},
    line,
    part::{Part, cluster, etcdctl, firing, lines, node_of, told, told_by_any},
};

pub(crate) const CODE: &str = "control-plane.etcd-no-space";

/// Alerts that measure how much of the quota is used.
pub(crate) const ALERTS: [&str; 3] =
    ["etcdDatabaseQuotaLowSpace", "etcdBackendQuotaLowSpace", "etcdExcessiveDatabaseGrowth"];

/// So many clients that are refused within the window tell of the alarm, where etcd itself is not heard.
const REFUSED: usize = 3;

/// What a program writes at level info it repeats and does not complain of.
fn told_in_passing(line: &Signal) -> bool {
    let words = &line.message;
    words.contains(r#""level":"info""#) || words.contains("level=info") || klog_info(words)
}

/// klog begins with the level and the date: `I0507 09:00:00.1`.
fn klog_info(words: &str) -> bool {
    words.strip_prefix('I').is_some_and(|rest| {
        rest.bytes().take(4).filter(u8::is_ascii_digit).count() == 4 && rest.as_bytes().get(4) == Some(&b' ')
    })
}

pub(crate) fn full(world: &World<'_>, since: u64) -> Option<Diagnosis> {
    let alerts = firing(world, &ALERTS, world.ago(hours(24 * 7)));
    let since = from(world, since, &alerts);
    let own = told(world, Part::Etcd, line::NO_SPACE, since);
    let mut refused = told_by_any(world, line::NO_SPACE, since);
    refused.extend(lines(world, "kubelet", line::NO_SPACE, since));
    refused.retain(|l| !own.contains(l) && !told_in_passing(l));
    let closed = !own.is_empty() || refused.len() >= REFUSED;
    let low = alerts.iter().any(|a| a.name != "etcdExcessiveDatabaseGrowth");
    if !closed && !low {
        return None;
    }
    let members = Part::Etcd.pods(world);
    let speaker = own.iter().find_map(|l| l.subject.clone());
    let measured =
        alerts.iter().find_map(|a| a.subject.clone()).filter(|s| members.iter().any(|m| m.id.is(s)));
    let member = speaker.or(measured).or_else(|| members.first().map(|m| m.id.clone()));
    let root = member.clone().unwrap_or_else(|| cluster(world));
    let at = member.as_ref().map_or(String::new(), |m| format!(" on {}", node_of(world, m)));
    let mut d = Diagnosis::new(CODE, root.clone());
    d.severity = if closed { "critical" } else { "warning" }.to_owned();
    d.confidence = match (closed, low) {
        (true, true) => 97,
        (true, false) => 93,
        (false, _) => 85,
    };
    d.title = if closed {
        format!("etcd{at} takes no more writes: its database has reached its quota")
    } else {
        format!("The database of etcd{at} has nearly reached its quota")
    };
    d.explanation = if closed {
        "The alarm NOSPACE is raised: the API server can read and delete, but nothing can be made or changed, no lease is \
         renewed and no status is stored. It stays so, whatever is deleted, until the database is compacted and defragmented \
         and the alarm is taken back."
            .to_owned()
    } else {
        "More than 95 % of what etcd may store is used. When the rest is, etcd takes no more writes at all."
            .to_owned()
    };
    d.evidence.extend(own.iter().take(2).map(|l| Evidence::signal(l, 60, "etcd's own words")));
    d.evidence.extend(refused.iter().take(2).map(|l| Evidence::signal(l, 50, "who is refused")));
    d.evidence.extend(alerts.iter().take(2).map(|a| Evidence::signal(a, 50, "measured")));
    if closed {
        d.explains = explains(world, &root, since);
        d.explains.push(Explains::alert("KubeAPI*", &root, "cluster"));
        d.explains.push(Explains::alert("etcdMembersDown", &root, "cluster"));
    }
    d.explains.extend(ALERTS.map(|name| Explains::alert(name, &root, "cluster")));
    d.explains.push(Explains::alert("etcdDatabaseHighFragmentationRatio", &root, "cluster"));
    d.path = vec![Step::new(&root, "", if closed { "takes no more writes" } else { "nearly full" })];
    let ctl = match &member {
        Some(member) => etcdctl(world, member),
        None => "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/var/lib/rancher/k3s/server/tls/etcd/server-ca.crt --cert=/var/lib/rancher/k3s/server/tls/etcd/client.crt --key=/var/lib/rancher/k3s/server/tls/etcd/client.key     # on a server of k3s:".to_owned(),
    };
    let ctl = |rest: &str| match ctl.split_once("     #") {
        Some((head, note)) => format!("{head} {rest}     #{note}"),
        None => format!("{ctl} {rest}"),
    };
    let mut free = Remedy::new("compact the history, then defragment one member after the other")
        .command(ctl("endpoint status --cluster -w table"))
        .command(ctl("compact <the revision that endpoint status -w json shows>"))
        .command(ctl("defrag --cluster"));
    if closed {
        free = free.command(ctl("alarm disarm"));
    }
    d.remedies = vec![
        free.caution("a member answers nobody while it is defragmented; take a snapshot first"),
        Remedy::new(
            "see what fills it: one kind of object that is made without end, such as events, jobs or reports",
        )
        .command("kubectl get --raw /metrics | grep ^apiserver_storage_objects | sort -k2 -g | tail"),
        Remedy::new(
            "or raise the quota (--quota-backend-bytes, at most 8 GiB) on each machine of the control plane",
        ),
    ];
    Some(d)
}
