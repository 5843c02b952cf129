//! `workload.config-change`: a container that fails since what it reads or how it is started was changed: a ConfigMap
//! or Secret was edited, or a rollout changed the template.
//!
//! Which of them it was: the failing process must have started after the edit, and must not have failed before it;
//! where an edit and a rollout both qualify, the container's own words decide, and then the older habit of processes to
//! read their configuration only at their start.

use kwhy_sdk::{Condition, Diagnosis, Evidence, ObjectRef, Remedy, Signal, World, clock, minutes, seconds};

use crate::{
    case,
    change::{self, Edit, Rollout},
    logs,
    pod::{Container, Pod},
    words::{kubectl, listed, named, restart, short, spoken, undo},
};

pub(crate) const CODE: &str = "workload.config-change";

/// A process that reloads its configuration does so within this time; a mounted ConfigMap takes about a minute.
const RELOAD: u64 = minutes(10);

/// Since when the pod has not been ready, ms.
pub(crate) fn ill_since(pod: &Pod) -> u64 {
    let ready = Condition::of(&pod.json, "Ready");
    let since = if ready.fails() { ready.since } else { 0 };
    since.max(pod.created())
}

/// How well a line of the container's log fits an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fits {
    No,
    /// It complains about configuration.
    Config,
    /// It names a file, a key or a word of what was edited.
    Names,
}

fn fits(line: Option<&Signal>, edit: &Edit, pod: &Pod, container: &Container) -> Fits {
    let Some(line) = line else { return Fits::No };
    let text = &line.message;
    let paths = mounts(pod, container, &edit.of);
    if paths.iter().any(|p| p.len() > 1 && text.contains(p.as_str())) {
        return Fits::Names;
    }
    if edit.keys.iter().any(|k| k.len() > 3 && text.contains(k.as_str())) {
        return Fits::Names;
    }
    let words = edit
        .added
        .iter()
        .chain(&edit.removed)
        .flat_map(|l| l.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')));
    let common = [
        "true", "false", "name", "http", "https", "config", "error", "value", "info", "level", "port",
        "timeout",
    ];
    let mut named = words.filter(|w| {
        w.len() > 4
            && !common.contains(&w.to_ascii_lowercase().as_str())
            && !w.bytes().all(|b| b.is_ascii_digit())
    });
    if named.any(|w| text.contains(w)) {
        return Fits::Names;
    }
    let credentials = [
        "authentication failed",
        "access denied",
        "unauthorized",
        "invalid credentials",
        "invalid password",
        "invalid token",
        "invalid api key",
        "login failed",
        "x509",
        "certificate",
        "private key",
    ];
    let of_secret = edit.of.kind == "Secret" && crate::words::any(&text.to_ascii_lowercase(), &credentials);
    if of_secret || line.name == logs::CONFIG { Fits::Config } else { Fits::No }
}

/// Where a container sees a ConfigMap or Secret as files.
pub(crate) fn mounts(pod: &Pod, container: &Container, of: &ObjectRef) -> Vec<String> {
    let holds = |v: &kwhy_sdk::Json| {
        let named = |j: &kwhy_sdk::Json| {
            j.text("/configMap/name") == of.name && of.kind == "ConfigMap"
                || of.kind == "Secret"
                    && (j.text("/secret/secretName") == of.name || j.text("/secret/name") == of.name)
        };
        named(v) || v.list("/projected/sources").iter().any(named)
    };
    let volumes: Vec<String> = pod
        .json
        .list("/spec/volumes")
        .iter()
        .filter(|v| holds(v))
        .map(|v| v.text("/name").to_owned())
        .collect();
    let mounts = container.spec.list("/volumeMounts");
    mounts
        .iter()
        .filter(|m| volumes.iter().any(|v| v == m.text("/name")))
        .map(|m| m.text("/mountPath").to_owned())
        .collect()
}

/// Whether a mounted file stays as it was until the pod is made anew.
fn by_sub_path(pod: &Pod, container: &Container, of: &ObjectRef) -> bool {
    let paths = mounts(pod, container, of);
    container
        .spec
        .list("/volumeMounts")
        .iter()
        .any(|m| m.has("/subPath") && paths.iter().any(|p| p == m.text("/mountPath")))
}

/// Looks for a change that explains why this container fails or is not ready.
pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container, how: &str) -> Option<Diagnosis> {
    let ill = ill_since(pod);
    let line = logs::telling(world, pod, container, logs::since(container, ill));
    let started = container.running().or_else(|| container.end().map(|e| e.started)).unwrap_or(0);
    // Kubernetes times have no fractions; a change of the same second may come first.
    let edits = change::edits(world, pod, ill + seconds(1));
    let edit = edits
        .into_iter()
        .filter(|e| started + seconds(1) >= e.at || ill.saturating_sub(e.at) <= RELOAD)
        .filter(|e| container_reads(pod, container, &e.of))
        .map(|e| (fits(line.as_ref(), &e, pod, container), e))
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    let rollout = to_blame(world, pod, container).filter(|r| r.at <= ill + seconds(30));
    match (edit, rollout) {
        (Some((fit, edit)), Some(rollout))
            if fit == Fits::Names || (fit == Fits::Config && edit.at <= rollout.at) =>
        {
            Some(of_edit(world, pod, container, &edit, fit, line.as_ref(), how, Some(&rollout)))
        }
        (_, Some(rollout)) => Some(of_rollout(world, pod, container, &rollout, line.as_ref(), how)),
        (Some((fit, edit)), None) => {
            Some(of_edit(world, pod, container, &edit, fit, line.as_ref(), how, None))
        }
        (None, None) => None,
    }
}

/// Whether the workload was in trouble before a time already, so that what happened then is an attempt to mend it.
fn ill_before(world: &World<'_>, pod: &Pod, at: u64) -> bool {
    let since = world.ago(kwhy_sdk::hours(2));
    let several = |s: &Signal| s.field("count").parse::<u64>().unwrap_or(1) >= 3;
    let trouble = |source: &str, name: &str| {
        let all = world.about(&pod.holder, "workload", source, name, since, 60);
        all.iter().any(|s| {
            s.began() + minutes(1) < at && (source == "alert" || several(s)) && s.state != "resolved"
        })
    };
    trouble("event", "BackOff") || trouble("event", "Unhealthy") || trouble("alert", "Kube*")
}

/// The rollout that changed this container while its workload was well.
pub(crate) fn to_blame(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Rollout> {
    let mut rollout = change::rollout(world, pod)?;
    rollout.fields.retain(|f| f.container.is_empty() || f.container == container.name);
    (!rollout.fields.is_empty() && !ill_before(world, pod, rollout.at)).then_some(rollout)
}

/// Whether this container, and not only another of the pod, reads the object.
fn container_reads(pod: &Pod, container: &Container, of: &ObjectRef) -> bool {
    let name = |e: &kwhy_sdk::Json| match of.kind.as_str() {
        "ConfigMap" => {
            e.text("/valueFrom/configMapKeyRef/name") == of.name || e.text("/configMapRef/name") == of.name
        }
        _ => e.text("/valueFrom/secretKeyRef/name") == of.name || e.text("/secretRef/name") == of.name,
    };
    !mounts(pod, container, of).is_empty()
        || container.spec.list("/env").iter().chain(&container.spec.list("/envFrom")).any(name)
}

#[allow(clippy::too_many_arguments, reason = "the facts of one judgement")]
fn of_edit(
    world: &World<'_>,
    pod: &Pod,
    container: &Container,
    edit: &Edit,
    fit: Fits,
    line: Option<&Signal>,
    how: &str,
    rollout: Option<&Rollout>,
) -> Diagnosis {
    let mut diagnosis = case::of_pod(
        world,
        CODE,
        &edit.of,
        pod,
        match (fit, rollout) {
            (Fits::Names, _) => 93,
            (Fits::Config, None) => 88,
            (Fits::Config, Some(_)) => 75,
            (Fits::No, _) => 68,
        },
    );
    let whose = spoken(&pod.workload);
    let thing = spoken(&edit.of);
    diagnosis.title = format!("{whose} {how} since {thing} was edited");
    let name = &container.name;
    let mut text = format!(
        "{thing} was edited at {} UTC ({}); container {name} of {} reads it and {how} since it started with the new content.",
        clock(edit.at),
        listed(&edit.keys),
        pod.id.name
    );
    if let Some(old) = runs_on(world, pod, edit.at) {
        text.push_str(&format!(
            " {} started before the edit and runs on with what it has read then.",
            old.name
        ));
        diagnosis.evidence.push(Evidence::object(&old, "ready", 15, "started before the edit and is well"));
    }
    if pod.holder.kind == "Deployment" && rollout.is_none() {
        text.push_str(
            " Do not expect `kubectl rollout undo` to help: the former revision reads the same object.",
        );
    }
    diagnosis.explanation = text;
    diagnosis.evidence.push(edit.evidence(45, &format!("the edit at {} UTC", clock(edit.at))));
    cite(&mut diagnosis, world, pod, container, line);
    case::note_root(&mut diagnosis, format!("edited at {}", clock(edit.at)));
    let k = kubectl(&edit.of.namespace);
    let kind = edit.of.kind.to_ascii_lowercase();
    let back = edit.removed.first().map(|l| format!("     # was: {}", l.trim())).unwrap_or_default();
    let again = if by_sub_path(pod, container, &edit.of) || pod.holder.is(&pod.id) {
        format!("{k} delete pod {}", pod.id.name)
    } else {
        restart(&pod.holder).unwrap_or_else(|| format!("{k} delete pod {}", pod.id.name))
    };
    let meta = world.read(&edit.of, "/metadata/labels").unwrap_or_default();
    let tool = meta.text("/app.kubernetes.io~1managed-by").to_owned();
    let mut remedy =
        Remedy::new(format!("restore what was edited in {thing}, then let the pods read it again"))
            .command(format!("{k} edit {kind} {}{back}", edit.of.name))
            .command(again);
    if !tool.is_empty() {
        remedy = remedy.caution(format!(
            "{tool} manages this {}: make the same change there, or it comes back",
            edit.of.kind
        ));
    }
    diagnosis.remedies.push(remedy);
    diagnosis.supersedes = vec![crate::generic::EXIT.into(), crate::generic::INIT.into()];
    diagnosis
}

fn of_rollout(
    world: &World<'_>,
    pod: &Pod,
    container: &Container,
    rollout: &Rollout,
    line: Option<&Signal>,
    how: &str,
) -> Diagnosis {
    let old = former_ready(world, pod);
    let mut diagnosis = case::of_pod(world, CODE, &pod.workload, pod, if old.is_some() { 82 } else { 70 });
    let whose = spoken(&pod.workload);
    diagnosis.title = format!("{whose} {how} since its rollout: {}", short(&rollout.words(), 110));
    diagnosis.explanation = format!(
        "The rollout at {} UTC changed {}; container {} of {}, made from it, {how}.",
        clock(rollout.at),
        rollout.words(),
        container.name,
        pod.id.name
    );
    diagnosis.evidence.push(rollout.evidence(45, &format!("the rollout at {} UTC", clock(rollout.at))));
    if let Some(old) = &old {
        diagnosis.explanation.push_str(&format!(" {}, of the former revision, is ready.", old.name));
        diagnosis.evidence.push(Evidence::object(old, "ready", 20, "the former revision is well"));
    }
    // Of one that runs, the probe tells what is wrong with it.
    let met = crate::probe::failures(world, pod, container, &["Readiness probe", "Startup probe"]);
    if let Some(met) = met.filter(|_| container.running().is_some()) {
        diagnosis.explanation.push_str(&format!(" {}.", short(met.message.trim_end_matches('.'), 160)));
        diagnosis.evidence.push(crate::counted(&met, 35, "what the probe meets"));
    }
    cite(&mut diagnosis, world, pod, container, line);
    case::note_root(&mut diagnosis, format!("changed at {}", clock(rollout.at)));
    let k = kubectl(&pod.holder.namespace);
    if let Some(back) = undo(&pod.holder) {
        diagnosis.remedies.push(
            Remedy::new("go back to the former revision")
                .command(back)
                .caution("it takes back every change of that rollout"),
        );
    }
    diagnosis.remedies.push(
        Remedy::new(format!("or mend what was changed: {}", short(&rollout.words(), 160)))
            .command(format!("{k} edit {}", named(&pod.holder))),
    );
    diagnosis.supersedes =
        vec![crate::generic::EXIT.into(), crate::generic::INIT.into(), crate::probe::READINESS.into()];
    diagnosis
}

/// What the container itself says, and how it ended.
pub(crate) fn cite(
    diagnosis: &mut Diagnosis,
    world: &World<'_>,
    pod: &Pod,
    container: &Container,
    line: Option<&Signal>,
) {
    if let Some(line) = line {
        let note = if line.name == logs::CONFIG {
            "the container complains about its configuration"
        } else {
            "last words of the container"
        };
        diagnosis.evidence.push(Evidence::signal(line, 40, note).citing(short(&line.message, 500)));
        if let Some(step) = diagnosis.path.last_mut() {
            step.signal = Some(line.id.clone());
        }
    }
    if let Some(end) = container.end() {
        let said =
            if end.message.is_empty() { String::new() } else { format!(": {}", short(&end.message, 300)) };
        diagnosis.evidence.push(Evidence::object(
            &pod.id,
            format!("{}, exit code {}{said}", end.reason, end.code),
            20,
            format!("how container {} ended", container.name),
        ));
    }
    let since = ill_since(pod).saturating_sub(minutes(1));
    if let Some(event) = pod.told(world, container, "BackOff", since).into_iter().next() {
        diagnosis.evidence.push(crate::counted(&event, 15, "the kubelet waits longer before each new start"));
    }
}

/// A ready pod of the same template holder that started before a time.
fn runs_on(world: &World<'_>, pod: &Pod, at: u64) -> Option<ObjectRef> {
    let pods = world.pods(&pod.holder).into_iter().take(40).filter(|p| !p.is(&pod.id));
    pods.filter_map(|p| Pod::load(world, &p))
        .find(|p| p.ready() && !p.going() && p.created() < at)
        .map(|p| p.id)
}

/// A ready pod of another ReplicaSet of the same Deployment.
fn former_ready(world: &World<'_>, pod: &Pod) -> Option<ObjectRef> {
    let set = |p: &ObjectRef| world.owners(p).into_iter().find(|o| o.kind == "ReplicaSet").map(|o| o.name);
    let own = set(&pod.id)?;
    let pods = world.pods(&pod.holder).into_iter().take(40).filter(|p| set(p).is_some_and(|s| s != own));
    pods.filter_map(|p| Pod::load(world, &p)).find(|p| p.ready() && !p.going()).map(|p| p.id)
}
