//! `storage.volume-full`: a program finds no space left on the volume of a claim.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Pattern, Rejection, Remedy, Signal, Step, Verdict, World,
    clock, hours, image_name,
};

use crate::{blocked, claim, memory::Held};

pub(crate) const CODE: &str = "storage.volume-full";
pub(crate) const LINE: &str = "storage-no-space";
const LINES: &str = "storage-no-space*";
pub(crate) const FLOOD: &str = "storage-no-space-flood";
/// What the clients of such an Elasticsearch are told.
pub(crate) const BLOCKED: &str = "storage-blocked";
/// Alerts of kubernetes-mixin about a claim's volume.
pub(crate) const ALERTS: [&str; 2] = ["KubePersistentVolumeFillingUp", "KubePersistentVolumeInodesFillingUp"];

/// strerror(ENOSPC) with the path before it, as Go, Java, Python, PostgreSQL and MySQL put it; a path may be missing.
pub(crate) fn pattern() -> Vec<Pattern> {
    vec![
        Pattern::new(
            LINE,
            "o space left on device",
            r#"(?:(?:^|[\s"'=(])(?P<path>/[\w@%+=.,/-]*\w)[^/]{0,60})?[Nn]o space left on device"#,
        ),
        // Node names the error, SQLite and MySQL put it in words of their own, quotas have another one.
        Pattern::new(
            "storage-no-space-errno",
            "ENOSPC",
            r#"ENOSPC(?:.{0,60}['" ](?P<path>/[\w@%+=.,/-]*\w))?"#,
        ),
        Pattern::new("storage-no-space-sqlite", "database or disk is full", ""),
        Pattern::new("storage-no-space-quota", "isk quota exceeded", ""),
        // Elasticsearch and OpenSearch take no more writes before the file system does.
        Pattern::new(FLOOD, "flood stage disk watermark", r"exceeded on .*?\[(?P<path>/[^\]]+)\]"),
        Pattern::new(BLOCKED, "read-only-allow-delete block", ""),
    ]
}

/// Judges the claim that a line or an alert is about.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, signal: &Signal, subject: &ObjectRef) -> Verdict {
    let claim = if subject.kind == "Pod" {
        claim::holding(world, subject, signal.field("container"), signal.field("path"))
    } else {
        Some(subject.clone())
    };
    let Some(claim) = claim.filter(|c| world.exists(c)) else { return Verdict::default() };
    look(world, held, &claim)
}

/// Judges one claim from the facts as they stand now.
pub(crate) fn look(world: &World<'_>, held: &mut Held, id: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let alerts: Vec<Signal> = ALERTS
        .iter()
        .filter_map(|name| world.about(id, "self", "alert", name, world.ago(hours(6)), 5).into_iter().next())
        .filter(|a| a.state == "firing")
        .collect();
    let users = claim::users(world, id);
    let lines: Vec<Signal> = users
        .iter()
        .flat_map(|pod| world.about(pod, "self", "log", LINES, world.ago(hours(1)), 20))
        .filter(|l| {
            let pod = l.subject.clone().unwrap_or_default();
            claim::holding(world, &pod, l.field("container"), l.field("path")).is_some_and(|c| c.is(id))
        })
        .collect();
    let critical = alerts.iter().find(|a| a.field("severity") == "critical");
    if lines.is_empty() && critical.is_none() {
        // A forecast for four days ahead is Alertmanager's to tell.
        held.clear(&mut verdict, &[CODE], id, "nobody complains of its volume any more");
        return verdict;
    }
    // A Prometheus that ends for it takes the alerts with it: that is told with the silence.
    let prometheus = users.iter().any(|p| runs_prometheus(world, p));
    if prometheus && !world.about(id, "cluster", "alert", "Watchdog", world.ago(hours(3)), 1).is_empty() {
        let because = "it is the volume of Prometheus itself: monitoring.watchdog-missing tells of it when alerts fall silent";
        held.clear(&mut verdict, &[CODE], id, because);
        verdict.rejections.push(Rejection::new(CODE, id, because));
        return verdict;
    }
    let size = world.read(id, "/spec/resources/requests/storage").unwrap_or_default();
    let inodes = alerts.iter().any(|a| a.name.contains("Inodes"));
    let what = if inodes { "inodes" } else { "space" };
    let mut d = Diagnosis::new(CODE, id.clone());
    d.severity = if lines.is_empty() { "warning" } else { "critical" }.into();
    d.confidence = match (lines.is_empty(), alerts.is_empty()) {
        (false, false) => 95,
        (false, true) => 85,
        (true, _) => 70,
    };
    d.title = format!(
        "The volume of claim {} {}",
        id.path(),
        match (lines.is_empty(), inodes) {
            (true, true) => "has almost no inodes left",
            (false, true) => "has no inodes left",
            (true, false) => "is almost full",
            (false, false) => "is full",
        }
    );
    d.explanation = match lines.last() {
        Some(line) => format!(
            "{} finds no {} left on the volume of {} ({}) since {}; what has to write there fails.{}",
            line.subject.as_ref().map_or("Its pod", |p| p.name.as_str()),
            what,
            id.path(),
            size.text(""),
            clock(line.at),
            if inodes {
                " Every file takes an inode: many small files use them up while space is left."
            } else {
                ""
            }
        ),
        None => format!("Less than 3 % of the {what} of {} ({}) is left.", id.path(), size.text("")),
    };
    d.evidence.extend(lines.iter().take(2).map(|l| Evidence::signal(l, 70, "no space left")));
    d.evidence.extend(alerts.iter().map(|a| Evidence::signal(a, 60, "the kubelet measures the volume")));
    for name in ALERTS {
        d.explains.push(Explains::alert(name, id, "self"));
    }
    if lines.iter().any(|l| l.name == FLOOD) {
        d.explains.extend(blocked::felt(world, id, &users));
    }
    if !lines.is_empty() {
        for name in ["KubePod*", "KubeContainerWaiting", "KubeDeployment*", "KubeStatefulSet*", "TargetDown"]
        {
            d.explains.push(Explains::alert(name, id, "users"));
        }
        d.explains.push(Explains::event("BackOff", id, "users"));
    }
    d.path = vec![Step::new(id, "", format!("no {what} left"))];
    d.path.extend(users.iter().take(3).map(|p| Step::new(p, "used-by", "")));
    d.remedies = remedies(world, id, size.text(""), inodes, users.first());
    held.assert(&mut verdict, d);
    verdict
}

/// Enlarging helps where the class can; else only less on it does.
fn remedies(
    world: &World<'_>,
    id: &ObjectRef,
    size: &str,
    inodes: bool,
    user: Option<&ObjectRef>,
) -> Vec<Remedy> {
    let (ns, name) = (&id.namespace, &id.name);
    let class = claim::Claim::load(world, id).and_then(|c| c.class).unwrap_or_default();
    let fixed = claim::class(world, &class).is_some_and(|c| !c.grows);
    let mut free = Remedy::new(if inodes {
        "delete many small files on it, or move them away: caches, sessions, old mail"
    } else {
        "free space on it: old data, logs, a shorter retention"
    });
    if let Some(pod) = user {
        free = free.command(format!(
            "kubectl -n {ns} exec {} -- df {}",
            pod.name,
            if inodes { "-i" } else { "-h" }
        ));
    }
    let larger = Remedy::new(if fixed {
        format!("class {class} does not let volumes grow: make a larger claim and copy the data")
    } else {
        "enlarge the volume, if its class allows it (allowVolumeExpansion)".to_owned()
    })
    .command(format!("kubectl -n {ns} get pvc {name} -o jsonpath='{{.spec.storageClassName}}{{\"\\n\"}}' | xargs kubectl get storageclass"));
    if fixed {
        return vec![free, larger];
    }
    let larger = larger
        .command(format!("kubectl -n {ns} patch pvc {name} -p '{{\"spec\":{{\"resources\":{{\"requests\":{{\"storage\":\"<larger than {size}>\"}}}}}}}}'"))
        .caution("a volume can be enlarged and not made smaller again");
    if inodes { vec![free, larger] } else { vec![larger, free] }
}

fn runs_prometheus(world: &World<'_>, pod: &ObjectRef) -> bool {
    let containers = world.read(pod, "/spec/containers").unwrap_or_default().list("");
    containers.iter().any(|c| image_name(c.text("/image")) == "prometheus")
}
