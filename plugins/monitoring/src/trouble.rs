//! What Prometheus and Alertmanager complain of while they run: rules that fail, notifications that are not taken,
//! configurations that are refused.

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Explains, ObjectRef, Signal, Step, Verdict, Wake, World, clock, hours,
    minutes,
};

use crate::{
    config,
    line::{self, value},
    notify,
    parts::{self, Part},
    rules,
};

pub(crate) const RULES: &str = "monitoring.rules-failing";
pub(crate) const NOTIFY: &str = "monitoring.alertmanager-cannot-notify";
pub(crate) const CONFIG: &str = "monitoring.config-reload-failed";

/// Alerts for each, by the mixins of Prometheus and Alertmanager, kube-prometheus of old and new, and
/// awesome-prometheus-alerts.
pub(crate) const RULES_ALERTS: [&str; 2] = ["PrometheusRuleFailures", "PrometheusRuleEvaluationFailures"];
pub(crate) const NOTIFY_ALERTS: [&str; 3] = [
    "AlertmanagerFailedToSendAlerts",
    "AlertmanagerClusterFailedToSendAlerts",
    "PrometheusAlertmanagerNotificationFailing",
];
pub(crate) const CONFIG_ALERTS: [&str; 7] = [
    "PrometheusBadConfig",
    "PrometheusConfigReloadFailed",
    "PrometheusConfigurationReloadFailure",
    "AlertmanagerFailedReload",
    "AlertmanagerConfigInconsistent",
    "PrometheusAlertmanagerConfigurationReloadFailure",
    "ConfigReloaderSidecarErrors",
];

/// Failures within this time, and how many make it more than a hiccup: one that is tried again is none.
const WINDOW: u64 = minutes(15);
const OFTEN: usize = 3;
/// A refused configuration is often mended at once by whoever made it.
const PATIENCE: u64 = minutes(5);
/// Timer, followed by nothing: its subject is the workload.
pub(crate) const LOOK: &str = "monitoring-look";
/// What was said already: the same words of each line would make a new revision of the same facts.
const KEY: &str = "said";
const KEEP: u64 = hours(24 * 7);
/// How often the same is said again, so that it stands.
const AGAIN: u64 = minutes(10);

/// One of the three troubles.
struct Kind {
    code: &'static str,
    alerts: &'static [&'static str],
    patterns: &'static [&'static str],
}

const KINDS: [Kind; 3] = [
    Kind { code: RULES, alerts: &RULES_ALERTS, patterns: &[line::RULE] },
    Kind { code: NOTIFY, alerts: &NOTIFY_ALERTS, patterns: &[line::NOTIFY] },
    Kind { code: CONFIG, alerts: &CONFIG_ALERTS, patterns: &[line::CONFIG, line::AM_CONFIG, line::RELOADER] },
];

/// What is said of a workload: code, workload (kind, namespace, name), when, and the reason.
type Said = (String, (String, String, String), u64, String);

fn id(object: &ObjectRef) -> (String, String, String) {
    (object.kind.clone(), object.namespace.clone(), object.name.clone())
}

/// Judges what a line or an alert is about.
pub(crate) fn judge(world: &World<'_>, signal: &Signal, subject: &ObjectRef) -> Verdict {
    let name = signal.name.as_str();
    if name == line::LOADED {
        return loaded(world, subject);
    }
    let Some(kind) = KINDS.iter().find(|k| k.alerts.contains(&name) || k.patterns.contains(&name)) else {
        return Verdict::default();
    };
    let part = if subject.kind == "Pod" {
        parts::of(world, subject)
    } else {
        // An alert of a whole cluster of Alertmanagers names their job only.
        let of_managers = kind.code == NOTIFY || name.contains("Alertmanager");
        let program = if of_managers { parts::ALERTMANAGER } else { parts::PROMETHEUS };
        let all = parts::all(world, program);
        let near = all.iter().position(|p| p.workload.namespace == signal.field("namespace"));
        let Some(part) = all.get(near.unwrap_or(0)).cloned() else { return Verdict::default() };
        part
    };
    judge_part(world, kind, &part, Some(signal))
}

/// A timer: a configuration that was refused a while ago, and not taken since.
pub(crate) fn look(world: &World<'_>, workload: &ObjectRef) -> Verdict {
    let part = Part { workload: workload.clone(), pods: world.pods(workload) };
    let config = KINDS.iter().find(|k| k.code == CONFIG);
    config.map_or_else(Verdict::default, |kind| judge_part(world, kind, &part, None))
}

fn judge_part(world: &World<'_>, kind: &Kind, part: &Part, signal: Option<&Signal>) -> Verdict {
    let mut verdict = Verdict::default();
    // Other programs may say the same words, and a part that does not run has a greater trouble.
    let theirs = part
        .pods
        .iter()
        .any(|p| parts::runs(world, p, parts::PROMETHEUS) || parts::runs(world, p, parts::ALERTMANAGER));
    if !theirs || !part.works(world) {
        return verdict;
    }
    let mut lines: Vec<Signal> =
        kind.patterns.iter().flat_map(|p| part.lines(world, p, world.ago(WINDOW))).collect();
    if kind.code == CONFIG {
        lines = config::refused(world, part, lines);
    }
    let direct = signal.filter(|s| s.source == "alert" && s.state == "firing").cloned();
    let mut alerts: Vec<Signal> = kind
        .alerts
        .iter()
        .filter_map(|name| {
            let near = world.about(&part.workload, "workload", "alert", name, world.ago(hours(2)), 3);
            near.into_iter().next().filter(|a| a.state == "firing")
        })
        .collect();
    if let Some(direct) = direct.filter(|d| !alerts.iter().any(|a| a.name == d.name)) {
        alerts.push(direct);
    }
    let newest = lines.first().map_or(0, |l| l.at);
    let oldest = lines.last().map_or(0, |l| l.at);
    // A refused configuration is refused once; the others have to go on.
    let enough = match kind.code {
        CONFIG => !lines.is_empty() && oldest + PATIENCE <= world.now(),
        _ => lines.len() >= OFTEN,
    };
    if alerts.is_empty() && !enough {
        if kind.code == CONFIG && !lines.is_empty() {
            verdict.wakes.push(Wake {
                id: LOOK.into(),
                subject: Some(part.workload.clone()),
                at: oldest + PATIENCE,
            });
        }
        return verdict;
    }
    let why = lines.first().map(|l| value(&l.message, "err")).unwrap_or_default();
    let alarmed = signal.is_some_and(|s| s.source == "alert");
    if said_already(world, kind.code, &part.workload, &why, alarmed) {
        return verdict;
    }
    let mut d = Diagnosis::new(kind.code, part.workload.clone());
    d.confidence = match (lines.is_empty(), alerts.is_empty()) {
        (false, false) => 93,
        (false, true) => 80,
        (true, _) => 65,
    };
    match kind.code {
        RULES => rules::explain(world, &mut d, part, &lines),
        NOTIFY => notify::explain(world, &mut d, part, &lines, &alerts),
        _ => config::explain(world, &mut d, part, &lines),
    }
    d.evidence.extend(lines.iter().take(3).map(|l| Evidence::signal(l, 70, "its own words")));
    d.evidence.extend(alerts.iter().map(|a| Evidence::signal(a, 50, "measured")));
    for name in kind.alerts {
        d.explains.push(Explains::alert(name, &part.workload, "workload"));
        for alert in alerts.iter().filter(|a| a.name == *name) {
            d.explains.extend(alert.subject.as_ref().map(|s| Explains::alert(name, s, "self")));
        }
    }
    let note = if newest == 0 { String::new() } else { format!("says so since {}", clock(oldest)) };
    d.path = vec![Step::new(&part.workload, "", note)];
    verdict.diagnoses.push(d);
    verdict
}

/// Whether the same was said a short while ago; else notes that it is said now.
fn said_already(world: &World<'_>, code: &str, workload: &ObjectRef, why: &str, alarmed: bool) -> bool {
    let mut all: Vec<Said> = world.recall(KEY).unwrap_or_default();
    let of = |s: &Said| s.0 == code && s.1 == id(workload);
    let fresh = |s: &Said| s.2 + AGAIN > world.now() && s.3 == why;
    if !alarmed && all.iter().any(|s| of(s) && fresh(s)) {
        return true;
    }
    all.retain(|s| !of(s));
    all.push((code.to_owned(), id(workload), world.now(), why.to_owned()));
    world.remember(KEY, &all, KEEP);
    false
}

/// A configuration was taken: one that was refused before counts no more.
fn loaded(world: &World<'_>, pod: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let mut all: Vec<Said> = world.recall(KEY).unwrap_or_default();
    let workload = parts::of(world, pod).workload;
    let before = all.len();
    all.retain(|s| s.0 != CONFIG || s.1 != id(&workload));
    if all.len() < before {
        world.remember(KEY, &all, KEEP);
        let because = format!("{} took a configuration at {}", pod.name, clock(world.now()));
        verdict.cleared.push(Clearing::new(CONFIG, &workload, because));
    }
    verdict
}
