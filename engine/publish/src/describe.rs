//! The words for the parts of a finding that every output shares: objects, severity, the telling evidence.

use kwhy_proto::v1::{Evidence, Finding, ObjectRef, Severity, Status};

use crate::{moment, sanitize};

/// How loud a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Critical,
    Warning,
    Info,
}

pub(crate) fn level(finding: &Finding) -> Level {
    match finding.severity() {
        Severity::Critical => Level::Critical,
        Severity::Warning => Level::Warning,
        Severity::Info | Severity::Unspecified => Level::Info,
    }
}

pub(crate) fn resolved(finding: &Finding) -> bool {
    finding.status() == Status::Resolved
}

/// Whether kwhy only keeps account of alerts that no rule explains.
pub(crate) fn unexplained(finding: &Finding) -> bool {
    finding.code.starts_with("unexplained.")
}

/// The title, or the code where a finding has none.
pub(crate) fn title(finding: &Finding) -> String {
    let title = sanitize::line(&finding.title);
    match title.is_empty() {
        true => sanitize::line(&finding.code),
        false => title,
    }
}

/// `coredns.forward-loop · 96 %`
pub(crate) fn code(finding: &Finding) -> String {
    let code = sanitize::line(&finding.code);
    match (code.is_empty(), finding.confidence) {
        (_, 0) => code,
        (true, sure) => format!("{sure} %"),
        (false, sure) => format!("{code} · {sure} %"),
    }
}

/// `1 alert`, `3 alerts`
pub(crate) fn count(n: impl Into<u64>, one: &str) -> String {
    match n.into() {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// `1200 symptoms, 3 texts`: what was left out of a finding that would have been too large; none of one that is whole.
pub(crate) fn omitted(finding: &Finding) -> Option<String> {
    let each = finding.omitted.iter().map(|it| match it.what.as_str() {
        // One of a word that has no other number, or that it is not worth bending.
        "evidence" | "path" | "remedy" | "rejected" | "superseded" => format!("{} of {}", it.count, it.what),
        what => count(it.count, what.strip_suffix('s').unwrap_or(what)),
    });
    let all: Vec<String> = each.collect();
    (!all.is_empty()).then(|| sanitize::line(&all.join(", ")))
}

/// `ConfigMap kube-system/coredns`, `Node kal`; without the namespace where the reader knows it.
pub(crate) fn object(object: &ObjectRef, known_namespace: &str) -> String {
    let place = match object.namespace.is_empty() || object.namespace == known_namespace {
        true => String::new(),
        false => format!("{}/", object.namespace),
    };
    sanitize::line(&format!("{} {place}{}", object.kind, object.name))
}

/// The fewest words that tell an object from its neighbours: the random end of a pod's name, else as kubectl
/// abbreviates it: `k2g6n`, `cm/coredns`, `node/kal`.
pub(crate) fn short(object: &ObjectRef) -> String {
    let name = sanitize::line(&object.name);
    let kind = match object.kind.as_str() {
        "Pod" => return random_end(&name).map_or(name.clone(), str::to_owned),
        "ConfigMap" => "cm",
        "CronJob" => "cj",
        "DaemonSet" => "ds",
        "Deployment" => "deploy",
        "Endpoints" => "ep",
        "HorizontalPodAutoscaler" => "hpa",
        "Ingress" => "ing",
        "Namespace" => "ns",
        "PersistentVolume" => "pv",
        "PersistentVolumeClaim" => "pvc",
        "PodDisruptionBudget" => "pdb",
        "ReplicaSet" => "rs",
        "Service" => "svc",
        "ServiceAccount" => "sa",
        "StatefulSet" => "sts",
        "StorageClass" => "sc",
        other => return sanitize::line(&format!("{}/{name}", other.to_lowercase())),
    };
    format!("{kind}/{name}")
}

/// Kubernetes draws the end of a generated name from letters and digits that spell no word.
fn random_end(name: &str) -> Option<&str> {
    let (_, end) = name.rsplit_once('-')?;
    (end.len() == 5 && end.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))).then_some(end)
}

/// What several pieces of evidence say alike.
pub(crate) struct Said {
    /// When it was last said, in milliseconds since the Unix epoch.
    pub(crate) at: Option<u64>,
    /// Short name of what it is about; may be empty.
    pub(crate) who: String,
    /// The words of the source, one or more lines; empty where there are none.
    pub(crate) excerpt: Vec<String>,
    pub(crate) note: String,
    pub(crate) times: usize,
    /// Id of the signal.
    pub(crate) signal: String,
}

/// The evidence for (or against) a finding, strongest first. A line that came again with other numbers is said once, as
/// it came last.
pub(crate) fn evidence(finding: &Finding, speaks_for: bool) -> Vec<Said> {
    let mut groups: Vec<(String, Said)> = Vec::new();
    let wanted = |evidence: &&Evidence| if speaks_for { evidence.weight > 0 } else { evidence.weight < 0 };
    for one in finding.evidence.iter().filter(wanted) {
        let said = Said {
            at: moment::of(one.at.as_ref()),
            who: one.object.as_ref().map(short).unwrap_or_default(),
            excerpt: sanitize::lines(&one.excerpt).collect(),
            note: sanitize::line(&one.note),
            times: 1,
            signal: one.signal.clone(),
        };
        if said.excerpt.is_empty() && said.note.is_empty() {
            continue;
        }
        let alike = format!("{}\n{}\n{}", said.who, masked(&said.excerpt.join("\n")), masked(&said.note));
        match groups.iter_mut().find(|(key, _)| *key == alike) {
            Some((_, group)) => {
                let times = group.times + 1;
                if said.at > group.at {
                    *group = said;
                }
                group.times = times;
            }
            None => groups.push((alike, said)),
        }
    }
    groups.into_iter().map(|(_, said)| said).collect()
}

/// Runs of digits become one `#`.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii_digit() {
            true if out.ends_with('#') => {}
            true => out.push('#'),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use kwhy_proto::v1::Omission;

    use super::*;

    fn named(kind: &str, name: &str) -> ObjectRef {
        ObjectRef { kind: kind.into(), namespace: "ns".into(), name: name.into(), uid: String::new() }
    }

    #[test]
    fn a_short_name_is_the_part_that_tells() {
        let said = [
            ("Pod", "coredns-66bff467f8-k2g6n"),
            ("Pod", "postgres-1"),
            ("Pod", "web-admin"),
            ("ConfigMap", "coredns"),
            ("Prometheus", "main"),
        ]
        .map(|(kind, name)| short(&named(kind, name)));
        assert_eq!(said, ["k2g6n", "postgres-1", "web-admin", "cm/coredns", "prometheus/main"]);
    }

    #[test]
    fn what_was_left_out_is_counted() {
        let left_out = |what: &str, count| Omission { what: what.into(), count, bytes: 9 };
        assert_eq!(omitted(&Finding::default()), None);
        let all = vec![left_out("symptoms", 1200), left_out("evidence", 3), left_out("texts", 1)];
        let said = omitted(&Finding { omitted: all, ..Finding::default() });
        assert_eq!(said.as_deref(), Some("1200 symptoms, 3 of evidence, 1 text"));
    }

    #[test]
    fn a_line_that_came_again_with_other_numbers_is_said_once_as_it_came_last() {
        let line = |port: u32, seconds: u64| Evidence {
            excerpt: format!("Loop (127.0.0.1:{port} -> :53)"),
            weight: 9,
            at: Some(kwhy_proto::timestamp(seconds * 1000)),
            ..Evidence::default()
        };
        let finding =
            Finding { evidence: vec![line(39386, 20), line(40001, 80), line(7, 50)], ..Finding::default() };
        let said = evidence(&finding, true);
        assert_eq!(said.len(), 1);
        assert_eq!(
            (said[0].times, said[0].at, said[0].excerpt[0].as_str()),
            (3, Some(80_000), "Loop (127.0.0.1:40001 -> :53)")
        );
    }
}
