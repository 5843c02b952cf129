//! `monitoring.rules-failing`: rules that give an error at each evaluation.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, Signal, World};

use crate::{line::value, parts::Part};

/// Most rules that are named one by one.
const MANY: usize = 3;

pub(crate) fn explain(world: &World<'_>, d: &mut Diagnosis, part: &Part, lines: &[Signal]) {
    let mut names: Vec<String> = Vec::new();
    for name in lines.iter().map(|l| name(&l.message)).filter(|n| !n.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let first = lines.first().map(|l| l.message.as_str()).unwrap_or_default();
    let (why, group, file) = (value(first, "err"), value(first, "group"), value(first, "file"));
    let file = file.rsplit('/').next().unwrap_or("").to_owned();
    let which = match names.len() {
        0 => "rules".to_owned(),
        n if n > MANY => format!(
            "rules {} and {} more",
            names.iter().take(MANY).cloned().collect::<Vec<_>>().join(", "),
            n - MANY
        ),
        1 => format!("rule {}", names.concat()),
        _ => format!("rules {}", names.join(", ")),
    };
    let place = if group.is_empty() { String::new() } else { format!(" of group {group}") };
    d.title = format!("Prometheus {} cannot evaluate {which}", part.workload.path());
    d.explanation = format!(
        "{which}{place} gives an error at each evaluation{}; an alert that hangs on it can never fire.",
        if why.is_empty() { String::new() } else { format!(": {why}") }
    );
    let home = names.iter().find_map(|name| home(world, name));
    let edit = match &home {
        Some(rule) => {
            d.evidence.push(Evidence::object(rule, "holds the rule", 30, "where it is written"));
            format!("kubectl -n {} edit prometheusrule {}", rule.namespace, rule.name)
        }
        None if file.is_empty() => "kubectl get prometheusrules -A".to_owned(),
        // The operator calls the file after namespace, name and uid of the PrometheusRule.
        None => format!("kubectl get prometheusrules -A     # the one that {file} is called after"),
    };
    d.remedies = vec![Remedy::new(mend(&why)).command(edit)];
}

/// The rule's name: a key of its own since Prometheus 2.33, before only in the rule's text.
fn name(message: &str) -> String {
    let name = value(message, "name");
    if !name.is_empty() {
        return name;
    }
    let rule = value(message, "rule");
    let after = |mark: &str| rule.split(mark).nth(1).and_then(|r| r.split(' ').next()).map(str::to_owned);
    after("alert: ").or(after("record: ")).unwrap_or_default()
}

/// What to do about an error of `promql/engine.go` or `rules/group.go`.
fn mend(why: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|w| why.contains(w));
    if has(&["many-to-many", "duplicate series", "matching labels must be unique"]) {
        "make both sides of the match unique: add the label in which the series differ to `on (…)`, aggregate one side, or take away the \
         target that gives the same series twice"
            .to_owned()
    } else if has(&["same labelset"]) {
        "let the rule's own labels not overwrite what tells its series apart, or aggregate them before"
            .to_owned()
    } else if has(&["query timed out", "context deadline exceeded", "context canceled"]) {
        "make the expression cheaper (a shorter range, a recording rule before it), or give Prometheus more CPU: the evaluation \
         runs out of time"
            .to_owned()
    } else if has(&["too many samples"]) {
        "let the expression read less (fewer series, a shorter range), or raise --query.max-samples"
            .to_owned()
    } else {
        "correct the expression of the rule, as the error says".to_owned()
    }
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
