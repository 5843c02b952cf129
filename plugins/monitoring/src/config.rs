//! `monitoring.config-reload-failed`: a changed configuration that Prometheus or Alertmanager does not take, or that the
//! sidecar of the operator cannot bring to them.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, Signal, World, clock, hours};

use crate::{
    line::{self, value},
    parts::{self, Part},
};

/// The lines that still count, newest first: those that no taken configuration came after. A sidecar that finds nobody
/// at the port asks before the program listens, as at every start.
pub(crate) fn refused(world: &World<'_>, part: &Part, lines: Vec<Signal>) -> Vec<Signal> {
    let taken = part.lines(world, line::LOADED, world.ago(hours(2)));
    let since = |line: &Signal| taken.iter().any(|t| t.at >= line.at && t.subject == line.subject);
    let starts = |line: &Signal| line.name == line::RELOADER && line.message.contains("connection refused");
    let mut all: Vec<Signal> = lines.into_iter().filter(|l| !since(l) && !starts(l)).collect();
    // What the program says of its configuration is better than what the sidecar says of the program.
    if all.iter().any(|l| l.name != line::RELOADER) {
        all.retain(|l| l.name != line::RELOADER);
    }
    all.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    all
}

pub(crate) fn explain(world: &World<'_>, d: &mut Diagnosis, part: &Part, lines: &[Signal]) {
    let manager = part.pods.iter().any(|p| parts::runs(world, p, parts::ALERTMANAGER));
    let what = if manager { "Alertmanager" } else { "Prometheus" };
    let (path, ns) = (part.workload.path(), &part.workload.namespace);
    let first = lines.last();
    let err = lines.first().map(|l| value(&l.message, "err")).unwrap_or_default();
    let since = first.map_or(String::new(), |line| format!(", since {}: {err}", clock(line.at)));
    let sidecar = first.is_some_and(|l| l.name == line::RELOADER);
    if sidecar {
        d.title = format!("The configuration reloader cannot make {what} {path} load its configuration");
        d.explanation = format!(
            "The sidecar of {what} asks it to load the changed configuration and is refused{since}. {what} goes on with the \
             configuration of before; what was changed since is not in force."
        );
    } else {
        d.title = format!("{what} {path} refuses its new configuration");
        d.explanation = format!(
            "{what} goes on with the configuration of before{since}. What was changed since is not in force, and a restart \
             would end it for good."
        );
    }
    let owner = world.owners(&part.workload).into_iter().find(|o| o.kind == what);
    let mut used: Vec<ObjectRef> = part.pods.iter().flat_map(|p| world.related(p, "uses")).collect();
    used.extend(owner.clone());
    for object in used
        .iter()
        .filter(|o| matches!(o.kind.as_str(), "ConfigMap" | "Secret" | "Prometheus" | "Alertmanager"))
    {
        let change = world.changes(object, "self", world.ago(hours(2)), 1);
        d.evidence.extend(change.first().map(|c| Evidence::signal(c, 50, "changed before")));
    }
    let program = if manager { parts::ALERTMANAGER } else { parts::PROMETHEUS };
    let pod = part.pods.first().map_or("", |p| p.name.as_str());
    let container = parts::container(world, part, program);
    if sidecar && (err.contains("401") || err.contains("403")) {
        d.remedies.push(
            Remedy::new(format!(
                "let the sidecar in: {what} asks for a password since its web configuration was changed; take that back, or let \
                 its pods be made anew with each change"
            ))
            .command(format!("kubectl -n {ns} delete pod {pod}     # it reads its configuration at its start")),
        );
    }
    let mend = Remedy::new(
        "correct what the error names, or take the last change back; it is loaded again by itself",
    );
    d.remedies.push(match source(world, part, what, owner.as_ref()) {
        Some(edit) => mend.command(edit),
        None => mend,
    });
    d.remedies.push(
        Remedy::new("and see that it is taken")
            .command(format!("kubectl -n {ns} logs {pod} -c {container} --tail=50 | grep -i config")),
    );
}

/// Where the configuration is written by people.
pub(crate) fn source(
    world: &World<'_>,
    part: &Part,
    what: &str,
    owner: Option<&ObjectRef>,
) -> Option<String> {
    let ns = &part.workload.namespace;
    if let Some(owner) = owner {
        if what == "Prometheus" {
            // The operator puts it together from these; scrape jobs by hand stand in additionalScrapeConfigs.
            return Some(format!(
                "kubectl -n {ns} edit prometheus {}     # and the ServiceMonitors, ScrapeConfigs and additionalScrapeConfigs that it selects",
                owner.name
            ));
        }
        let given = world.read(owner, "/spec/configSecret").unwrap_or_default().text("").to_owned();
        let secret = if given.is_empty() { format!("alertmanager-{}", owner.name) } else { given };
        return Some(format!("kubectl -n {ns} edit secret {secret}     # alertmanager.yaml, base64"));
    }
    let mut used = part.pods.iter().flat_map(|p| world.related(p, "uses"));
    let held = used.find(|o| {
        let data = world.read(o, "/data").unwrap_or_default().map("");
        o.kind == "ConfigMap"
            && data.iter().any(|(key, _)| {
                matches!(key.as_str(), "prometheus.yml" | "alertmanager.yml" | "alertmanager.yaml")
            })
    })?;
    Some(format!("kubectl -n {ns} edit configmap {}", held.name))
}
