//! The words of a lead: what changed, what began after it, and how to take it back.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, World, clock, span};

use crate::lead::{self, Lead, told};

/// Most other changes that are named.
const OTHERS: usize = 3;

fn spoken(object: &ObjectRef) -> String {
    format!("{} {}", object.kind, object.path())
}

/// The finding of a change that several workloads may have felt; `alerts` are theirs.
pub(crate) fn of(
    world: &World<'_>,
    lead: &Lead,
    felt: &[(Vec<Signal>, ObjectRef)],
    stays: bool,
) -> Diagnosis {
    let mut d = Diagnosis::new(lead.code, lead.root.clone());
    d.severity = if stays { "warning" } else { "info" }.into();
    d.confidence = lead.confidence;
    let alerts: Vec<&Signal> = felt.iter().flat_map(|(alerts, _)| alerts).collect();
    let first = alerts.iter().min_by_key(|a| a.at).map_or(world.now(), |a| a.at);
    let mut names: Vec<&str> = alerts.iter().map(|a| a.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let after = span(first.saturating_sub(lead.signal.at));
    let what = match lead.code {
        lead::ROLLOUT => format!("the rollout of {}", spoken(&lead.root)),
        lead::SCALE => format!("{} was scaled", spoken(&lead.root)),
        lead::REBOOT => format!("{} was booted", spoken(&lead.root)),
        _ => format!("{} was {}", spoken(&lead.root), verb(&lead.signal)),
    };
    d.title = format!("{} began {after} after {what}", names.join(", "));
    let whose: Vec<String> = felt.iter().map(|(_, workload)| spoken(workload)).collect();
    d.explanation = format!(
        "{} {}, and the first alert on {} began at {}. No cause is known better than this change: take it as the first lead, not as proof.{}",
        spoken(&lead.root),
        told(&lead.signal),
        whose.join(", "),
        clock(first),
        others(lead)
    );
    d.evidence.push(
        Evidence::signal(&lead.signal, 40, "the last change before the alerts").citing(shown(&lead.signal)),
    );
    let quoted = alerts.iter().take(4).map(|a| Evidence::signal(a, 20, "began after the change"));
    d.evidence.extend(quoted);
    for other in lead.others.iter().take(OTHERS) {
        d.evidence.push(Evidence::signal(other, -10, "changed in the same hour").citing(shown(other)));
    }
    for alert in &alerts {
        let Some(subject) = &alert.subject else { continue };
        let explains = Explains::alert(&alert.name, subject, "self");
        if !d.explains.contains(&explains) {
            d.explains.push(explains);
        }
    }
    let mut step = Step::new(&lead.root, "", told(&lead.signal));
    step.signal = Some(lead.signal.id.clone());
    d.path.push(step);
    if let ([(_, workload)], false) = (felt, lead.relation.is_empty()) {
        d.path.push(Step::new(workload, lead.relation, format!("alerts since {}", clock(first))));
    }
    d.remedies = remedies(lead, felt);
    d
}

fn verb(change: &Signal) -> &'static str {
    match change.name.as_str() {
        "ADDED" => "created",
        "DELETED" => "deleted",
        _ => "edited",
    }
}

/// The lines of the diff, or the words of the change where none may be shown.
fn shown(change: &Signal) -> String {
    let lines: Vec<&str> = change
        .fields
        .iter()
        .filter(|f| f.name.starts_with('/'))
        .flat_map(|f| f.value.lines())
        .take(6)
        .collect();
    if lines.is_empty() { change.message.clone() } else { lines.join("\n") }
}

fn others(lead: &Lead) -> String {
    let all: Vec<String> = lead
        .others
        .iter()
        .take(OTHERS)
        .filter_map(|s| s.subject.as_ref().map(|o| format!("{} {}", spoken(o), told(s))))
        .collect();
    if all.is_empty() { String::new() } else { format!(" Within the same hour also: {}.", all.join("; ")) }
}

fn remedies(lead: &Lead, felt: &[(Vec<Signal>, ObjectRef)]) -> Vec<Remedy> {
    let of = &lead.root;
    let kind = of.kind.to_ascii_lowercase();
    let flag = if of.namespace.is_empty() { String::new() } else { format!(" -n {}", of.namespace) };
    let name = format!("{kind}/{}", of.name);
    let restart =
        felt.iter().filter(|(_, w)| ["Deployment", "StatefulSet", "DaemonSet"].contains(&w.kind.as_str()));
    let restart = restart.fold(Remedy::new("then let what reads it start anew"), |remedy, (_, w)| {
        remedy.command(format!(
            "kubectl -n {} rollout restart {}/{}",
            w.namespace,
            w.kind.to_ascii_lowercase(),
            w.name
        ))
    });
    match (lead.code, of.kind.as_str()) {
        (lead::ROLLOUT, "Deployment" | "StatefulSet" | "DaemonSet") => vec![
            Remedy::new("look at the revisions, and go back if the new one is at fault")
                .command(format!("kubectl{flag} rollout history {name}"))
                .command(format!("kubectl{flag} rollout undo {name}"))
                .caution("it takes back every change of that rollout"),
        ],
        (lead::SCALE, _) => {
            let former =
                lead.signal.fields.iter().find_map(|f| f.value.lines().find_map(|l| l.strip_prefix("- ")));
            vec![
                Remedy::new("go back to the former number of replicas").command(format!(
                    "kubectl{flag} scale {name} --replicas={}",
                    former.unwrap_or("<before>")
                )),
            ]
        }
        (lead::REBOOT, _) => vec![
            Remedy::new("see what the node did before and since it was booted")
                .command(format!("kubectl describe node {}", of.name))
                .command("journalctl --list-boots     # on the node; then: journalctl -b -1 -e"),
        ],
        (_, "Node") if lead.signal.fields.iter().any(|f| f.name == "/spec/unschedulable") => {
            vec![
                Remedy::new("when the work on the node is done, let pods return")
                    .command(format!("kubectl uncordon {}", of.name)),
            ]
        }
        _ if lead.signal.name == "DELETED" => vec![
            Remedy::new("create it again from where its manifest is kept")
                .command(format!("kubectl{flag} get {kind}     # what is left")),
        ],
        (_, "ConfigMap" | "Secret") => {
            let edit =
                Remedy::new("take the edit back").command(format!("kubectl{flag} edit {kind} {}", of.name));
            if restart.command.is_empty() { vec![edit] } else { vec![edit, restart] }
        }
        _ => vec![
            Remedy::new("take the change back").command(format!("kubectl{flag} edit {kind} {}", of.name)),
        ],
    }
}
