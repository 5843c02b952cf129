//! What Prometheus and Alertmanager complain of while they run: rules that fail, notifications that are not taken,
//! configurations that are refused.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, clock, hours, minutes,
};

use crate::{
    line::{self, value},
    parts::{self, Part},
};

pub(crate) const RULES: &str = "monitoring.rules-failing";
pub(crate) const NOTIFY: &str = "monitoring.alertmanager-cannot-notify";
pub(crate) const CONFIG: &str = "monitoring.config-reload-failed";

/// The alerts of kube-prometheus for each.
pub(crate) const RULES_ALERTS: [&str; 1] = ["PrometheusRuleFailures"];
pub(crate) const NOTIFY_ALERTS: [&str; 2] =
    ["AlertmanagerFailedToSendAlerts", "AlertmanagerClusterFailedToSendAlerts"];
pub(crate) const CONFIG_ALERTS: [&str; 4] = [
    "PrometheusBadConfig",
    "AlertmanagerFailedReload",
    "AlertmanagerConfigInconsistent",
    "ConfigReloaderSidecarErrors",
];

/// Failures within this time, and how many make it more than a hiccup: one that is tried again is none.
const WINDOW: u64 = minutes(15);
const OFTEN: usize = 3;

/// One of the three troubles.
struct Kind {
    code: &'static str,
    alerts: &'static [&'static str],
    patterns: &'static [&'static str],
}

const KINDS: [Kind; 3] = [
    Kind { code: RULES, alerts: &RULES_ALERTS, patterns: &[line::RULE] },
    Kind { code: NOTIFY, alerts: &NOTIFY_ALERTS, patterns: &[line::NOTIFY] },
    Kind { code: CONFIG, alerts: &CONFIG_ALERTS, patterns: &[line::CONFIG, line::AM_CONFIG] },
];

/// Judges what a line or an alert is about.
pub(crate) fn judge(world: &World<'_>, signal: &Signal, subject: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let name = signal.name.as_str();
    let Some(kind) = KINDS.iter().find(|k| k.alerts.contains(&name) || k.patterns.contains(&name)) else {
        return verdict;
    };
    let part = if subject.kind == "Pod" {
        parts::of(world, subject)
    } else {
        // An alert of a whole cluster of Alertmanagers names their job only.
        let program = if kind.code == NOTIFY || name.starts_with("Alertmanager") {
            "alertmanager"
        } else {
            "prometheus"
        };
        let Some(part) = parts::all(world, program).into_iter().next() else { return verdict };
        part
    };
    // Other programs may say the same words.
    if !part.pods.iter().any(|p| parts::runs(world, p, "prometheus") || parts::runs(world, p, "alertmanager"))
    {
        return verdict;
    }
    // A part that does not run has a greater trouble.
    if !part.works(world) {
        return verdict;
    }
    let lines: Vec<Signal> =
        kind.patterns.iter().flat_map(|p| part.lines(world, p, world.ago(WINDOW))).collect();
    let alerts: Vec<Signal> = kind
        .alerts
        .iter()
        .filter_map(|name| {
            let near = world.about(&part.workload, "workload", "alert", name, world.ago(hours(2)), 3);
            near.into_iter().next().filter(|a| a.state == "firing")
        })
        .collect();
    let direct = (signal.source == "alert" && signal.state == "firing").then(|| signal.clone());
    let alerts = if alerts.is_empty() { direct.into_iter().collect() } else { alerts };
    // A refused configuration is refused once; the others have to go on.
    let enough = if kind.code == CONFIG { 1 } else { OFTEN };
    if alerts.is_empty() && lines.len() < enough {
        return verdict;
    }
    let mut d = Diagnosis::new(kind.code, part.workload.clone());
    d.confidence = match (lines.is_empty(), alerts.is_empty()) {
        (false, false) => 93,
        (false, true) => 80,
        (true, _) => 65,
    };
    match kind.code {
        RULES => rules(world, &mut d, &part, &lines),
        NOTIFY => notify(&mut d, &part, &lines),
        _ => config(world, &mut d, &part, &lines),
    }
    d.evidence.extend(lines.iter().take(3).map(|l| Evidence::signal(l, 70, "its own words")));
    d.evidence.extend(alerts.iter().map(|a| Evidence::signal(a, 50, "measured")));
    for name in kind.alerts {
        d.explains.push(Explains::alert(name, &part.workload, "workload"));
        for alert in &alerts {
            d.explains.extend(alert.subject.as_ref().map(|s| Explains::alert(name, s, "self")));
        }
    }
    d.path = vec![Step::new(&part.workload, "", "")];
    verdict.diagnoses.push(d);
    verdict
}

fn rules(world: &World<'_>, d: &mut Diagnosis, part: &Part, lines: &[Signal]) {
    let mut names: Vec<String> = Vec::new();
    for line in lines {
        let rule = value(&line.message, "rule");
        let after = |mark: &str| rule.split(mark).nth(1).and_then(|r| r.split(' ').next()).map(str::to_owned);
        let name = match value(&line.message, "name") {
            name if !name.is_empty() => Some(name),
            _ => after("alert: ").or(after("record: ")),
        };
        if let Some(name) = name.filter(|n| !names.contains(n)) {
            names.push(name);
        }
    }
    let why = lines.first().map(|l| value(&l.message, "err")).unwrap_or_default();
    let which = if names.is_empty() { "rules".to_owned() } else { format!("rule {}", names.join(", ")) };
    d.title = format!("Prometheus {} cannot evaluate {which}", part.workload.path());
    d.explanation = format!(
        "{which} gives an error at each evaluation{}; an alert that hangs on it can never fire.",
        if why.is_empty() { String::new() } else { format!(": {why}") }
    );
    let home = names.iter().find_map(|name| home(world, name));
    let edit = match &home {
        Some(rule) => {
            d.evidence.push(Evidence::object(rule, "holds the rule", 30, "where it is written"));
            format!("kubectl -n {} edit prometheusrule {}", rule.namespace, rule.name)
        }
        None => "kubectl get prometheusrules -A".to_owned(),
    };
    d.remedies = vec![
        Remedy::new("correct the expression of the rule; often both sides of a match are not unique (group_left, on, ignoring)")
            .command(edit),
    ];
}

/// The PrometheusRule that holds a rule of that name.
fn home(world: &World<'_>, name: &str) -> Option<ObjectRef> {
    world.list("PrometheusRule", "").into_iter().find(|id| {
        let groups = world.read(id, "/spec/groups").unwrap_or_default();
        groups
            .list("")
            .iter()
            .flat_map(|g| g.list("/rules"))
            .any(|r| r.text("/alert") == name || r.text("/record") == name)
    })
}

fn notify(d: &mut Diagnosis, part: &Part, lines: &[Signal]) {
    let err = lines.first().map(|l| value(&l.message, "err")).unwrap_or_default();
    // `receiver/integration[0]: notify retry canceled …: reason`.
    let receiver = err.split(": ").next().filter(|r| r.contains('/')).unwrap_or("").to_owned();
    let why = err.split(" attempts: ").nth(1).unwrap_or(&err).to_owned();
    d.severity = "critical".into();
    let to = if receiver.is_empty() { String::new() } else { format!(" to {receiver}") };
    d.title = format!("Alertmanager {} cannot send notifications{to}", part.workload.path());
    d.explanation = format!(
        "Alerts arrive at Alertmanager, but what it sends{to} is not taken{}; nobody is told.",
        if why.is_empty() { String::new() } else { format!(": {why}") }
    );
    let (ns, pod) = (&part.workload.namespace, part.pods.first().map_or("", |p| p.name.as_str()));
    d.remedies = vec![
        Remedy::new(format!("correct the receiver{to}: its address, token or proxy, as the error says"))
            .command(format!("kubectl -n {ns} logs {pod} -c alertmanager --tail=30"))
            .command(format!("kubectl -n {ns} exec {pod} -c alertmanager -- amtool config show --alertmanager.url=http://127.0.0.1:9093")),
    ];
}

fn config(world: &World<'_>, d: &mut Diagnosis, part: &Part, lines: &[Signal]) {
    let err = lines.first().map(|l| value(&l.message, "err")).unwrap_or_default();
    let what = if part.pods.iter().any(|p| parts::runs(world, p, "alertmanager")) {
        "Alertmanager"
    } else {
        "Prometheus"
    };
    d.title = format!("{what} {} refuses its new configuration", part.workload.path());
    d.explanation = format!(
        "{what} goes on with the configuration of before{}. What was changed since is not in force, and a restart would \
         end it for good.",
        match lines.first() {
            Some(line) => format!(", since {}: {err}", clock(line.at)),
            None => String::new(),
        }
    );
    let mut used: Vec<ObjectRef> = part.pods.iter().flat_map(|p| world.related(p, "uses")).collect();
    used.extend(world.owners(&part.workload));
    for object in used
        .iter()
        .filter(|o| matches!(o.kind.as_str(), "ConfigMap" | "Secret" | "Prometheus" | "Alertmanager"))
    {
        let change = world.changes(object, "self", world.ago(hours(2)), 1);
        d.evidence.extend(change.first().map(|c| Evidence::signal(c, 50, "changed before")));
    }
    let (ns, pod) = (&part.workload.namespace, part.pods.first().map_or("", |p| p.name.as_str()));
    let container = what.to_ascii_lowercase();
    d.remedies = vec![
        Remedy::new(
            "correct what the error names, or take the last change back; it is loaded again by itself",
        )
        .command(format!("kubectl -n {ns} logs {pod} -c {container} --tail=50 | grep -i -E 'config|err'")),
    ];
}
