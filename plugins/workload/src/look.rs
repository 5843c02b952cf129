//! One look at one pod: which cause, if any, keeps it from working. The specific causes are asked first; where several
//! containers suffer, the one that is known best speaks.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, Verdict, Wake, World, seconds};

use crate::{
    LOOK, barred, case, command, config_change, evicted, expired, gate, generic, image, login, logs, missing,
    oom,
    pod::{self, Container, Pod, STABLE},
    probe, refused, security, service, told,
    words::{kubectl, named, spoken},
};

/// What a look has found.
enum Seen {
    Ill(Box<Diagnosis>),
    /// Too early to say.
    Later(u64),
    /// Nothing that this pack knows of.
    Nothing,
}

/// A timer that makes the pack look at an object again; nothing where that time has passed, since a look that finds
/// nothing new would ask for itself for ever.
pub(crate) fn later(world: &World<'_>, of: &ObjectRef, at: u64) -> Verdict {
    if at <= world.now() {
        return Verdict::default();
    }
    Verdict { wakes: vec![Wake { id: LOOK.into(), subject: Some(of.clone()), at }], ..Verdict::default() }
}

/// Whether a pod's status shows anything worth a look. Most pods are well most of the time.
fn worth(pod: &Pod) -> bool {
    let all = pod.containers();
    let odd = |c: &Container| (!c.ready() && !c.init) || (c.init && c.crashing()) || c.restarts() >= 2;
    !matches!(pod.phase(), "Succeeded") && (all.is_empty() || !pod.ready() || all.iter().any(odd))
}

/// Looks at a pod and says what has changed about it.
pub(crate) fn look(world: &World<'_>, id: &ObjectRef) -> Verdict {
    if case::of(world, id).is_none() && pod::goes_well(world, id) {
        return Verdict::default();
    }
    let Some(pod) = Pod::load(world, id) else {
        let silent = world.only_told(id);
        let because = if silent {
            "nothing more is heard of it".to_owned()
        } else {
            format!("pod {} is gone", id.name)
        };
        return case::well(world, id, &because);
    };
    if pod.going() || pod.phase() == "Succeeded" {
        let because = format!("pod {} {}", id.name, if pod.going() { "is going" } else { "has completed" });
        return case::well(world, id, &because);
    }
    if evicted::own(&pod) {
        return evicted::examine(world, &pod.workload);
    }
    if barred::own(&pod) {
        return barred::examine(world, &pod.workload);
    }
    if !pod.held() && !worth(&pod) {
        return Verdict::default();
    }
    match assess(world, &pod) {
        Seen::Ill(found) if !displaces(world, &pod, &found) => Verdict::default(),
        Seen::Ill(found) => {
            let mut verdict = told_on(world, &found, &pod.workload);
            verdict.merge(case::found(world, &pod.id, &pod.workload, *found));
            if let Some(at) = settled(&pod) {
                verdict.merge(later(world, id, at));
            }
            verdict
        }
        Seen::Later(at) => later(world, id, at),
        Seen::Nothing if pod.held() => {
            let at = settled(&pod).unwrap_or(0);
            if pod.ready() && at <= world.now() {
                case::well(world, id, &format!("pod {} is ready and its containers run on", id.name))
            } else if at > world.now() {
                later(world, id, at)
            } else {
                Verdict::default()
            }
        }
        Seen::Nothing => Verdict::default(),
    }
}

/// Whether what is found now may take the place of what the pod was known to suffer from: when the events that told a
/// better cause have grown old, the worse one still shows.
fn displaces(world: &World<'_>, pod: &Pod, found: &Diagnosis) -> bool {
    let weak = [generic::EXIT, generic::INIT, probe::READINESS];
    let code = found.code.as_str();
    !weak.contains(&code) || case::of(world, &pod.id).is_none_or(|c| weak.contains(&c.code.as_str()))
}

/// Where another workload is found to be down, what is known of that one shall speak for those that need it.
pub(crate) fn told_on(world: &World<'_>, found: &Diagnosis, who: &ObjectRef) -> Verdict {
    if found.code == service::DOWN
        && case::depends(world, &found.root, who)
        && let Some(sufferer) = case::sufferer_of(world, &found.root)
        && case::of(world, &sufferer).is_some_and(|c| c.code != service::DOWN)
    {
        return crate::look(world, &sufferer);
    }
    Verdict::default()
}

/// When the last started of a pod's containers will have run for long enough; none while one does not run.
fn settled(pod: &Pod) -> Option<u64> {
    let mut latest = 0;
    for container in pod.containers().iter().filter(|c| !c.init) {
        let started = container.running()?;
        if container.restarts() > 0 {
            latest = latest.max(started + STABLE);
        }
    }
    Some(latest)
}

/// What another pod of the same cause would say.
pub(crate) fn diagnosis(world: &World<'_>, id: &ObjectRef) -> Option<Diagnosis> {
    if id.kind != "Pod" {
        return crate::admission::again(world, id)
            .or_else(|| crate::job::again(world, id))
            .or_else(|| evicted::again(world, id))
            .or_else(|| barred::again(world, id));
    }
    let pod = Pod::load(world, id).filter(|p| !p.going() && p.phase() != "Succeeded")?;
    match assess(world, &pod) {
        Seen::Ill(found) => Some(*found),
        _ => None,
    }
}

/// A node that is away takes its pods' words with it, and is another pack's matter.
fn node_away(world: &World<'_>, pod: &Pod) -> bool {
    world.condition(&ObjectRef::new("Node", "", pod.node()), "Ready").fails()
}

fn assess(world: &World<'_>, pod: &Pod) -> Seen {
    if node_away(world, pod) {
        return Seen::Nothing;
    }
    // Evicted, preempted, refused by the kubelet: the node's matter or the scheduler's. A Job speaks for its pods.
    let by_job = pod.of_job() && world.exists(&pod.holder);
    if pod.phase() == "Failed" && (by_job || !pod.json.text("/status/reason").is_empty()) {
        return Seen::Nothing;
    }
    let mut best: Option<Diagnosis> = None;
    let mut later: Option<u64> = None;
    for container in pod.containers() {
        let seen = of_container(world, pod, &container);
        match seen {
            Seen::Ill(found) if best.as_ref().is_none_or(|b| b.confidence < found.confidence) => {
                best = Some(*found)
            }
            Seen::Later(at) => later = Some(later.map_or(at, |l| l.min(at))),
            _ => {}
        }
    }
    if best.is_none() && later.is_none() {
        match gate::judge(world, pod) {
            Ok(found) => best = found,
            Err(at) => later = Some(at),
        }
    }
    if let Some(best) = best.as_mut() {
        if pod.by_events {
            best.confidence = best.confidence.min(told::CONFIDENCE);
        }
        tell_paused(world, pod, best);
    }
    match (best, later) {
        (Some(found), _) => Seen::Ill(Box::new(found)),
        (None, Some(at)) => Seen::Later(at),
        (None, None) => Seen::Nothing,
    }
}

/// While a Deployment is paused no change of its template reaches a pod, and kubectl refuses to take one back.
fn tell_paused(world: &World<'_>, pod: &Pod, found: &mut Diagnosis) {
    let of = &pod.holder;
    if of.kind != "Deployment" || !world.read(of, "/spec/paused").is_some_and(|p| p.is_true("")) {
        return;
    }
    found.explanation.push_str(&format!(
        " {} is paused (spec.paused): what is changed in its template does not reach its pods until it is resumed.",
        spoken(of)
    ));
    found.evidence.push(Evidence::object(
        of,
        "spec.paused: true",
        20,
        "rolls nothing out while it is paused",
    ));
    found.remedies.insert(
        0,
        Remedy::new("mend the template, if that is not done yet, and let the Deployment roll it out")
            .command(format!("{} rollout resume {}", kubectl(&of.namespace), named(of)))
            .caution("it rolls out every change that was made since it was paused"),
    );
}

fn seen(found: Result<Option<Diagnosis>, u64>) -> Seen {
    match found {
        Ok(found) => found.map_or(Seen::Nothing, |f| Seen::Ill(Box::new(f))),
        Err(at) => Seen::Later(at),
    }
}

fn of_container(world: &World<'_>, pod: &Pod, container: &Container) -> Seen {
    let ill = |found: Diagnosis| Seen::Ill(Box::new(found));
    let (reason, _) = container.waiting();
    if image::waits(reason) {
        return seen(image::judge(world, pod, container));
    }
    if matches!(reason, "CreateContainerConfigError" | "ContainerCreating" | "PodInitializing") {
        let found = missing::judge(world, pod, container)
            .map(|f| f.or_else(|| security::judge_container(world, pod, container)))
            .and_then(|f| f.map_or_else(|| refused::judge(world, pod, container), |f| Ok(Some(f))));
        return seen(found);
    }
    // An init container that runs on and on keeps the pod from starting as well as one that fails.
    if let Some(running) = container.running().filter(|_| container.init && pod.phase() == "Pending") {
        let due = running + generic::LONG_INIT;
        if due > world.now() {
            return Seen::Later(due + seconds(1));
        }
        return generic::endless(world, pod, container).map_or(Seen::Nothing, ill);
    }
    // A Job tries again by itself; only the Job as a whole fails.
    let patient = pod.of_job() && world.exists(&pod.holder) && container.restarts() < 4;
    if let Some(found) = oom::judge(world, pod, container)
        .filter(|_| !patient)
        .or_else(|| command::judge(world, pod, container))
    {
        return ill(found);
    }
    match refused::judge(world, pod, container) {
        Ok(Some(found)) => return ill(found),
        Err(at) => return Seen::Later(at),
        Ok(None) if patient => return Seen::Nothing,
        Ok(None) => {}
    }
    if container.restarts() > 0
        && let Some(found) = probe::judge_kills(world, pod, container)
    {
        return ill(found);
    }
    if container.crashing() && container.restarts() >= 1 {
        let how = if container.init { "cannot start" } else { "crashes" };
        let changed = config_change::judge(world, pod, container, how).filter(|d| {
            container.restarts() >= 2 || d.confidence > 85 || generic::persists(world, pod, container)
        });
        let found =
            surest(changed, || peer(world, pod, container)).or_else(|| generic::judge(world, pod, container));
        return found.map_or_else(
            || Seen::Later(config_change::ill_since(pod) + kwhy_sdk::minutes(5) + seconds(1)),
            ill,
        );
    }
    if container.running().is_some() && !container.ready() && !pod.ready() && !container.init {
        let due = probe::patience(pod).max(container.running().unwrap_or(0) + kwhy_sdk::minutes(5));
        if due > world.now() {
            return Seen::Later(due + seconds(1));
        }
        let changed = config_change::judge(world, pod, container, "is not ready");
        let found = surest(changed, || peer(world, pod, container))
            .or_else(|| probe::judge_readiness(world, pod, container));
        return found.map_or_else(|| Seen::Later(due + probe::PATIENCE), ill);
    }
    Seen::Nothing
}

/// A change that is sure, else what is wrong with another service, else a change that is less sure.
fn surest(changed: Option<Diagnosis>, peer: impl FnOnce() -> Option<Diagnosis>) -> Option<Diagnosis> {
    if changed.as_ref().is_some_and(|c| c.confidence > 80) {
        return changed;
    }
    peer().or(changed)
}

/// Another service that the container cannot reach, by its own words.
pub(crate) fn peer(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    if container.init && container.restarts() < 2 {
        return None;
    }
    let since = logs::since(container, config_change::ill_since(pod));
    let complaints = |id: &str| logs::complaints(world, pod, container, id, since).into_iter();
    login::judge(world, pod, container, since)
        .or_else(|| login::crowded(world, pod, container, since))
        .or_else(|| complaints(logs::EXPIRED).find_map(|line| expired::judge(world, pod, &line)))
        .or_else(|| complaints(logs::PEER).find_map(|line| service::judge(world, pod, &line)))
        .or_else(|| complaints(logs::ERROR).find_map(|line| service::missed(world, pod, &line)))
}
