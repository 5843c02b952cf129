//! `monitoring.watchdog-missing`: the alert that always fires to show that alerts arrive has fallen silent.
//!
//! How often it is heard depends on who sends it (Prometheus each minute, Alertmanager at its repeat_interval), so the
//! rule learns the interval and asks for a timer; a delivery that says it is resolved needs no timer. While Prometheus
//! is down, alerts that end have not been mended: nobody evaluates them.

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, Wake, World, clock,
    hours, minutes, seconds, span,
};

use crate::{
    config,
    line::{self, value},
    parts::{self, Part},
    repair,
};

pub(crate) const CODE: &str = "monitoring.watchdog-missing";
/// Timer, followed by the heartbeat's name.
pub(crate) const BEAT: &str = "monitoring-beat/";
const KEY: &str = "beats";
const KEEP: u64 = hours(24 * 7);
/// Deliveries closer than this are one: sent by two replicas, or to two receivers.
const ONE: u64 = seconds(20);
/// Least silence that counts, and what counts before the interval is known: kube-prometheus sets Alertmanager's
/// repeat_interval to twelve hours.
const LEAST: u64 = minutes(10);
const UNKNOWN: u64 = hours(12) + minutes(30);
/// While it is silent, how often the reason is looked for again.
const AGAIN: u64 = minutes(5);

/// One heartbeat: its Prometheus' label; last heard; greatest gap, times heard; id of the last delivery; root (kind,
/// namespace, name) of what is held true.
type Beat = (String, u64, u64, u64, String, Option<(String, String, String)>);

fn load(world: &World<'_>) -> Vec<Beat> {
    world.recall(KEY).unwrap_or_default()
}

fn patience(beat: &Beat) -> u64 {
    if beat.3 < 3 { UNKNOWN } else { (beat.2 * 5 / 2).max(LEAST) }
}

/// A delivery of the heartbeat.
pub(crate) fn heard(world: &World<'_>, signal: &Signal) -> Verdict {
    let mut verdict = Verdict::default();
    let label = signal.field("prometheus").to_owned();
    let mut beats = load(world);
    let place = match beats.iter().position(|b| b.0 == label) {
        Some(place) => place,
        None => {
            beats.push((label.clone(), signal.at, 0, 0, signal.id.clone(), None));
            beats.len() - 1
        }
    };
    let Some(beat) = beats.get_mut(place) else { return verdict };
    if signal.state == "resolved" {
        // It only ends when nobody has sent it for minutes, or its rule is gone.
        silent(world, beat, Some(signal), &mut verdict);
    } else {
        let gap = signal.at.saturating_sub(beat.1);
        if beat.3 == 0 || gap > ONE {
            // A silence that was reported is no interval.
            if beat.5.is_none() {
                beat.2 = beat.2.max(gap);
            }
            beat.3 += 1;
        }
        beat.1 = beat.1.max(signal.at);
        beat.4.clone_from(&signal.id);
        if let Some((kind, namespace, name)) = beat.5.take() {
            let because = format!("the Watchdog is heard again since {}", clock(signal.at));
            verdict.cleared.push(Clearing::new(CODE, &ObjectRef::new(&kind, &namespace, &name), because));
        }
        verdict.wakes.push(wake(&label, beat.1 + patience(beat)));
    }
    world.remember(KEY, &beats, KEEP);
    verdict
}

fn wake(label: &str, at: u64) -> Wake {
    Wake { id: format!("{BEAT}{label}"), subject: None, at }
}

/// A timer: is it silent, and do we know more of the reason by now?
pub(crate) fn due(world: &World<'_>, label: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let mut beats = load(world);
    if let Some(beat) = beats.iter_mut().find(|b| b.0 == label) {
        let at = beat.1 + patience(beat);
        if beat.5.is_some() || at <= world.now() {
            silent(world, beat, None, &mut verdict);
        } else {
            verdict.wakes.push(wake(label, at));
        }
    }
    world.remember(KEY, &beats, KEEP);
    verdict
}

/// A Prometheus has said why it cannot go on, or one of the parts has changed: the reason may be known better now.
pub(crate) fn told(world: &World<'_>, part: &Part) -> Verdict {
    let mut verdict = Verdict::default();
    let mut beats = load(world);
    for beat in &mut beats {
        let own = parts::prometheus(world, &beat.0).is_some_and(|p| p.workload.is(&part.workload));
        // A Prometheus that cannot start will not send it again, so there is nothing to wait for.
        if beat.5.is_some() || (own && !part.works(world)) {
            silent(world, beat, None, &mut verdict);
        }
    }
    if !verdict.diagnoses.is_empty() {
        world.remember(KEY, &beats, KEEP);
    }
    verdict
}

/// Why the path is broken.
struct Reason {
    /// A node that is down is told by its own finding, and is what to mend.
    severity: &'static str,
    confidence: u8,
    title: String,
    text: String,
    evidence: Vec<Evidence>,
    explains: Vec<Explains>,
    path: Vec<Step>,
    remedies: Vec<Remedy>,
    root: ObjectRef,
}

fn silent(world: &World<'_>, beat: &mut Beat, resolved: Option<&Signal>, verdict: &mut Verdict) {
    let prometheus = parts::prometheus(world, &beat.0);
    let reason = match &prometheus {
        Some(part) if !part.works(world) => broken(world, part),
        _ => beyond(world, prometheus.as_ref(), &beat.0),
    };
    let mut d = Diagnosis::new(CODE, reason.root);
    d.severity = reason.severity.into();
    d.confidence = reason.confidence;
    d.title = format!("Alerting is silent, the Watchdog is not heard any more: {}", reason.title);
    let every =
        if beat.3 >= 3 { format!(", and before about every {}", span(beat.2)) } else { String::new() };
    d.explanation = format!(
        "The Watchdog alert always fires to show that alerts arrive; it was last heard at {}{every}. {} As long as \
         that lasts, no alert can be trusted: one that ends is only not heard any more, and a new one does not come.",
        clock(beat.1),
        reason.text
    );
    if beat.3 > 0 {
        d.evidence.push(Evidence {
            signal: Some(beat.4.clone()),
            object: None,
            excerpt: format!("Watchdog last heard at {}", clock(beat.1)),
            weight: 60,
            note: "the heartbeat of the alerting path".into(),
        });
    }
    d.evidence.extend(resolved.map(|s| {
        Evidence::signal(s, 60, "an alert that always fires has ended").citing("Watchdog resolved")
    }));
    d.evidence.extend(reason.evidence);
    d.explains = reason.explains;
    d.path = reason.path;
    d.remedies = reason.remedies;
    let root = (d.root.kind.clone(), d.root.namespace.clone(), d.root.name.clone());
    if let Some((kind, namespace, name)) = beat.5.replace(root.clone()).filter(|old| *old != root) {
        verdict.cleared.push(Clearing::new(
            CODE,
            &ObjectRef::new(&kind, &namespace, &name),
            "another part is at fault",
        ));
    }
    verdict.diagnoses.push(d);
    verdict.wakes.push(wake(&beat.0, world.now() + AGAIN));
}

/// Prometheus itself does not work.
fn broken(world: &World<'_>, part: &Part) -> Reason {
    let path = part.workload.path();
    let since = world.ago(hours(2));
    let claims = part.claims(world);
    let filling: Vec<Signal> = claims
        .iter()
        .flat_map(|c| {
            world.about(c, "self", "alert", "KubePersistentVolume*FillingUp", world.ago(hours(12)), 3)
        })
        .collect();
    let lines = part.lines(world, line::NO_SPACE, since);
    let storage = part.lines(world, line::STORAGE, since);
    let refused = part.lines(world, line::CONFIG, since);
    let mut reason = Reason {
        severity: "critical",
        confidence: 85,
        title: format!("Prometheus {path} does not run"),
        text: format!("No pod of Prometheus {path} works ({}), so no rule is evaluated.", part.state(world)),
        evidence: Vec::new(),
        explains: explains(&part.workload),
        path: Vec::new(),
        remedies: Vec::new(),
        root: part.workload.clone(),
    };
    let down = part.down_since(world);
    for pod in part.pods.iter().take(2) {
        let note = format!("pod of Prometheus, {}", part.state(world));
        reason.evidence.push(Evidence::object(pod, part.state(world), 40, note));
        let back_off = world.about(pod, "self", "event", "BackOff", since, 1);
        reason.evidence.extend(back_off.first().map(|e| Evidence::signal(e, 30, "it ends again and again")));
    }
    let step = Step::new(&part.workload, "used-by", part.state(world));
    let full = !lines.is_empty();
    if let Some(claim) = claims.first().filter(|_| full || !filling.is_empty()) {
        let size = world.read(claim, "/spec/resources/requests/storage").unwrap_or_default();
        reason.confidence = if full { 97 } else { 86 };
        reason.title = format!(
            "Prometheus {path} {}, its volume is {}full",
            if full { "cannot write" } else { "does not run" },
            if full { "" } else { "probably " }
        );
        reason.text = format!(
            "Prometheus {path} is down since {}: {} ({}) has no space left{}, so it cannot start and no rule is evaluated.",
            clock(down),
            claim.name,
            size.text(""),
            if full { "" } else { ", as its last alerts let expect" }
        );
        let said = lines.iter().take(2).map(|l| Evidence::signal(l, 80, "Prometheus' own last words"));
        reason.evidence.extend(said);
        reason.evidence.extend(
            filling.iter().take(2).map(|a| Evidence::signal(a, 50, "the volume was filling up before")),
        );
        for name in ["KubePersistentVolumeFillingUp", "KubePersistentVolumeInodesFillingUp"] {
            reason.explains.push(Explains::alert(name, claim, "self"));
        }
        reason.path = vec![Step::new(claim, "", "no space left"), step];
        reason.remedies = repair::enlarge(world, part, claim, size.text(""));
        return reason;
    }
    reason.path = vec![Step::new(&part.workload, "", part.state(world))];
    if let Some(node) = part.lost_with(world) {
        reason.severity = "info";
        reason.title = format!("Prometheus {path} went down with node {}", node.name);
        reason.text =
            format!("Prometheus {path} ran on node {}, which is down; so no rule is evaluated.", node.name);
        reason.path.insert(0, Step::new(&node, "", "down"));
        reason.remedies = vec![
            Remedy::new(format!("bring node {} back, or let Prometheus start elsewhere", node.name))
                .command(format!("kubectl get node {}", node.name)),
        ];
        return reason;
    }
    let (ns, pod) = (&part.workload.namespace, part.pods.first().map_or("", |p| p.name.as_str()));
    let container = parts::container(world, part, parts::PROMETHEUS);
    let read = if part.has_run(world) {
        Remedy::new("read Prometheus' last words")
            .command(format!("kubectl -n {ns} logs {pod} -c {container} --previous --tail=30"))
    } else {
        Remedy::new("see what the pod of Prometheus waits for")
    };
    let read = read.command(format!("kubectl -n {ns} describe pod {pod}"));
    if let Some(line) = refused.first() {
        reason.confidence = 97;
        reason.title = format!("Prometheus {path} cannot load its configuration");
        reason.text = format!("Prometheus {path} ends at its start: {}.", value(&line.message, "err"));
        reason.evidence.push(Evidence::signal(line, 80, "Prometheus' own last words"));
        let mend = Remedy::new("correct the configuration that it names, or take the last change back");
        let owner = world.owners(&part.workload).into_iter().find(|o| o.kind == "Prometheus");
        let edit = config::source(world, part, "Prometheus", owner.as_ref());
        reason.remedies = vec![edit.into_iter().fold(mend, Remedy::command), read];
    } else if let Some(line) = storage.first() {
        let why = value(&line.message, "err");
        reason.confidence = 97;
        reason.title = format!("Prometheus {path} cannot open its storage");
        reason.text = format!("Prometheus {path} ends at its start: {why}.");
        reason.evidence.push(Evidence::signal(line, 80, "Prometheus' own last words"));
        reason.remedies = repair::storage_mended(part, &why).into_iter().chain([read]).collect();
    } else if let Some(limit) = part.out_of_memory(world) {
        reason.confidence = 97;
        let most = if limit.is_empty() { String::new() } else { format!(" of {limit}") };
        reason.title = format!("Prometheus {path} runs out of memory");
        reason.text = format!(
            "Prometheus {path} is killed again and again because it needs more than its memory limit{most} (OOMKilled), most \
             often while it reads its write-ahead log (WAL) at its start; so no rule is evaluated."
        );
        reason.remedies = vec![repair::more_memory(world, part, &limit), read];
    } else {
        reason.remedies = vec![read];
    }
    reason
}

fn explains(workload: &ObjectRef) -> Vec<Explains> {
    let mut out: Vec<Explains> = [
        "KubePod*",
        "KubeContainerWaiting",
        "KubeStatefulSet*",
        "KubeDeployment*",
        "Prometheus*",
        "TargetDown",
    ]
    .map(|name| Explains::alert(name, workload, "workload"))
    .into();
    for event in ["BackOff", "Unhealthy"] {
        out.push(Explains::event(event, workload, "owned"));
    }
    out
}

/// Prometheus works or is not known: the way behind it.
fn beyond(world: &World<'_>, prometheus: Option<&Part>, label: &str) -> Reason {
    let managers = parts::all(world, parts::ALERTMANAGER);
    let since = world.ago(hours(1));
    let send = prometheus.map(|p| p.lines(world, line::SEND, since)).unwrap_or_default();
    let broken = managers.iter().find(|m| !m.pods.is_empty() && !m.works(world));
    let root = broken
        .map(|m| m.workload.clone())
        .or(prometheus.map(|p| p.workload.clone()))
        .or(managers.first().map(|m| m.workload.clone()));
    let root = root.unwrap_or_else(|| {
        let (namespace, name) = label.split_once('/').unwrap_or(("", label));
        ObjectRef::new("Prometheus", namespace, if name.is_empty() { "prometheus" } else { name })
    });
    let mut reason = Reason {
        severity: "critical",
        confidence: 70,
        title: "its sender and its way are to be looked at".to_owned(),
        text: match prometheus {
            Some(p) => format!(
                "Prometheus {} runs, so what lies behind it is in question: its rule Watchdog, Alertmanager, the route to the receiver.",
                p.workload.path()
            ),
            None => "The Prometheus that sends it is not among the objects seen.".to_owned(),
        },
        evidence: Vec::new(),
        explains: explains(&root),
        path: vec![Step::new(&root, "", "")],
        remedies: Vec::new(),
        root,
    };
    if let Some(manager) = broken {
        reason.confidence = 90;
        reason.title = format!("no pod of Alertmanager {} works", manager.workload.path());
        reason.text = format!(
            "Prometheus has nobody to send alerts to: Alertmanager {} is {}.",
            manager.workload.path(),
            manager.state(world)
        );
        reason.evidence.extend(
            manager
                .pods
                .first()
                .map(|p| Evidence::object(p, manager.state(world), 70, "a pod of Alertmanager")),
        );
        if let Some(node) = manager.lost_with(world) {
            reason.severity = "info";
            reason.title =
                format!("Alertmanager {} went down with node {}", manager.workload.path(), node.name);
            reason.text = format!(
                "Prometheus has nobody to send alerts to: Alertmanager {} ran on node {}, which is down.",
                manager.workload.path(),
                node.name
            );
            reason.path.insert(0, Step::new(&node, "", "down"));
            reason.remedies.push(
                Remedy::new(format!("bring node {} back, or let Alertmanager start elsewhere", node.name))
                    .command(format!("kubectl get node {}", node.name)),
            );
        } else if let Some(line) = manager.lines(world, line::AM_CONFIG, since).first() {
            reason.confidence = 97;
            reason.title = format!("Alertmanager {} cannot load its configuration", manager.workload.path());
            reason.text = format!(
                "Prometheus has nobody to send alerts to: Alertmanager {} ends at its start, because it refuses its configuration: {}.",
                manager.workload.path(),
                value(&line.message, "err")
            );
            reason.evidence.push(Evidence::signal(line, 80, "its own last words"));
            let owner = world.owners(&manager.workload).into_iter().find(|o| o.kind == parts::MANAGER_KIND);
            let edit = config::source(world, manager, "Alertmanager", owner.as_ref());
            let mend = Remedy::new("correct the configuration of Alertmanager, or take the last change back");
            reason.remedies.push(edit.into_iter().fold(mend, Remedy::command));
        }
    }
    reason.evidence.extend(send.first().map(|l| Evidence::signal(l, 60, "Prometheus cannot send")));
    let ns = &reason.root.namespace;
    reason.remedies.push(
        Remedy::new("go along the path: the rule, Prometheus, Alertmanager, the receiver")
            .command("kubectl get prometheusrules -A -o yaml | grep -n 'alert: Watchdog'")
            .command(format!("kubectl -n {ns} get pods -o wide"))
            .command(format!("kubectl -n {ns} logs -l app.kubernetes.io/name=alertmanager --tail=30")),
    );
    reason
}
