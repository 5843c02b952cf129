//! Probes: a liveness or startup probe that kills its container, a readiness probe that keeps a pod out of service.
//!
//! Event texts of pkg/kubelet/prober/prober.go (`Liveness probe failed: …`) and kuberuntime_container.go
//! (`Container x failed liveness probe, will be restarted`; before 1.16 `Killing container with id …: Container failed
//! liveness probe.`).

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, World, minutes};

use crate::{
    case, config_change,
    pod::{Container, Pod},
    words::{any, kubectl, named, short, spoken, strategic, undo},
};

pub(crate) const TOO_STRICT: &str = "workload.liveness-too-strict";
pub(crate) const LIVENESS: &str = "workload.liveness-failing";
pub(crate) const READINESS: &str = "workload.readiness-failing";

/// How long a pod may be unready before its readiness probe is a finding; slow starts and short troubles end earlier.
pub(crate) const PATIENCE: u64 = minutes(10);
/// How long before a change or another service is blamed for it.
const PATIENCE_KNOWN: u64 = minutes(5);
/// Probe events that are older say nothing of now.
const FRESH: u64 = minutes(15);

/// Since when the words of probes count: for as long as the pod has not been well, they are about what still holds.
fn since(world: &World<'_>, pod: &Pod) -> u64 {
    let ill =
        if pod.ready() { world.now() } else { config_change::ill_since(pod).saturating_sub(minutes(2)) };
    world.ago(FRESH).min(ill.max(world.ago(kwhy_sdk::hours(2))))
}

fn kills(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Signal> {
    let killing = pod.told(world, container, "Killing", since(world, pod)).into_iter().find(|e| {
        any(&e.message, &["failed liveness probe", "failed startup probe"])
            && (e.message.contains(&format!("ontainer {} ", container.name))
                || !e.message.starts_with("Container "))
    });
    killing.or_else(|| {
        // Where the event of the kill is gone, the probe's own words and a killed container say the same.
        let killed = container.end().is_some_and(|e| matches!(e.code, 137 | 143) && e.reason != "OOMKilled");
        failures(world, pod, container, &["Liveness probe", "Startup probe"]).filter(|_| killed)
    })
}

/// The last that a probe of these kinds met.
pub(crate) fn failures(world: &World<'_>, pod: &Pod, container: &Container, of: &[&str]) -> Option<Signal> {
    let since = since(world, pod);
    let all = ["Unhealthy", "ProbeWarning"].into_iter().flat_map(|r| pod.told(world, container, r, since));
    all.filter(|e| of.iter().any(|probe| e.message.starts_with(probe))).max_by_key(|e| e.at)
}

/// What a probe met: `HTTP probe failed with statuscode: 500`; a command that prints nothing tells nothing.
fn met(words: &str) -> &str {
    let nothing = words.ends_with("probe failed:");
    words.split_once(": ").map_or(if nothing { "" } else { words }, |(_, rest)| rest)
}

fn count(event: &Signal) -> u64 {
    event.field("count").parse().unwrap_or(1)
}

/// A container that its liveness or startup probe kills again and again.
pub(crate) fn judge_kills(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    let liveness = container.spec.at("/livenessProbe");
    let killing = kills(world, pod, container)?;
    if container.restarts() < 2 && count(&killing) < 2 {
        return None;
    }
    // One that has been well for some time has recovered.
    if pod.ready() && killing.at + minutes(5) < world.now() {
        return None;
    }
    let startup = killing.message.contains("startup probe");
    let said =
        failures(world, pod, container, if startup { &["Startup probe"] } else { &["Liveness probe"] });
    let words = said.as_ref().map_or("", |s| s.message.as_str());
    let probe = if startup { container.spec.at("/startupProbe") } else { liveness };
    let which = if startup { "startup" } else { "liveness" };
    let timeout = any(words, &["context deadline exceeded", "Client.Timeout", "timed out", "i/o timeout"]);
    let lived = container.end().and_then(|e| e.lived());
    let grace = grace(&probe);
    let wrong = wrong_port(&probe, container)
        .filter(|_| any(words, &["connection refused", "statuscode: 404", "timeout: failed to connect"]));
    // Killed as early as the probe allows each time: it never got the time to come up.
    let early = startup
        || (!container.spec.has("/startupProbe")
            && lived.is_some_and(|l| l <= grace + minutes(1))
            && any(
                words,
                &[
                    "connection refused",
                    "context deadline exceeded",
                    "Client.Timeout",
                    "statuscode: 503",
                    "timed out",
                ],
            ));
    let strict = wrong.is_none() && (timeout || early);
    let code = if strict { TOO_STRICT } else { LIVENESS };
    if timeout
        && strict
        && let Some(others) = slow_node(world, pod)
    {
        return Some(of_node(world, pod, &others, said.as_ref().unwrap_or(&killing)));
    }
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let mut diagnosis = case::of_pod(world, code, &pod.workload, pod, if strict { 80 } else { 72 });
    let what = short(met(words), 120);
    let (path, port) = (probe.text("/httpGet/path").to_owned(), probe.at("/httpGet/port").shown());
    let at = if path.is_empty() { String::new() } else { format!(" on {path}, port {port}") };
    diagnosis.title = match (timeout && strict, early && strict) {
        (true, _) => {
            format!("The {which} probe of {whose} is too strict: it kills container {name} for slow answers")
        }
        (_, true) => format!("The {which} probe of {whose} kills container {name} before it has started"),
        _ if what.is_empty() => format!("The {which} probe of {whose} kills container {name}"),
        _ => format!("The {which} probe of {whose} kills container {name}: {what}"),
    };
    diagnosis.explanation = format!(
        "The kubelet restarts container {name} because its {which} probe{at} fails{}. {}",
        if what.is_empty() { String::new() } else { format!(" ({what})") },
        if let Some(declared) = &wrong {
            format!(
                "The container declares {declared} and not the port that the probe asks, so nothing answers there."
            )
        } else if timeout {
            let limit = if probe.has("") {
                format!(" of {} s", seconds_of(&probe, "/timeoutSeconds", 1))
            } else {
                String::new()
            };
            format!(
                "Its answers take longer than the timeout{limit}, which is load or a pause, not death; each restart makes the load of the others larger."
            )
        } else if early {
            let given =
                if probe.has("") { format!("{} ", kwhy_sdk::span(grace)) } else { "some time ".to_owned() };
            format!("It is given {given}to come up and needs longer.")
        } else {
            "The process runs and answers that it is not well, or does not answer where the probe asks: look at what the probe asks before looking at the process.".to_owned()
        }
    );
    if let Some(said) = &said {
        diagnosis.evidence.push(crate::counted(said, 45, "what the probe meets"));
    }
    if said.as_ref().is_none_or(|s| s.id != killing.id) {
        diagnosis.evidence.push(crate::counted(&killing, 45, "the kubelet's reason for the restart"));
    }
    if probe.has("") {
        diagnosis.evidence.push(Evidence::object(
            &pod.workload,
            format!(
                "{which}Probe: initialDelaySeconds {}, periodSeconds {}, timeoutSeconds {}, failureThreshold {}",
                seconds_of(&probe, "/initialDelaySeconds", 0),
                seconds_of(&probe, "/periodSeconds", 10),
                seconds_of(&probe, "/timeoutSeconds", 1),
                seconds_of(&probe, "/failureThreshold", 3)
            ),
            20,
            "how the probe is set",
        ));
    }
    if strict {
        throttled(world, pod, container, &mut diagnosis);
    }
    let rollout = config_change::to_blame(world, pod, container);
    if let Some(rollout) = &rollout {
        diagnosis.evidence.push(rollout.evidence(25, "the last rollout, before it began"));
        diagnosis.explanation.push_str(&format!(" The last rollout changed {}.", rollout.words()));
    }
    let k = kubectl(&pod.holder.namespace);
    let of = named(&pod.holder);
    let patch = |fields: &str| {
        strategic(
            &pod.holder,
            &format!(
                "{{\"spec\":{{\"template\":{{\"spec\":{{\"containers\":[{{\"name\":\"{name}\",{fields}}}]}}}}}}}}"
            ),
        )
    };
    if early && strict && !startup {
        let (probe_path, probe_port) = (
            if path.is_empty() { "/" } else { &path },
            if probe.at("/httpGet/port").shown().bytes().all(|b| b.is_ascii_digit()) {
                port.clone()
            } else {
                format!("\"{port}\"")
            },
        );
        diagnosis.remedies.push(Remedy::new("give it time to start with a startup probe, and leave the liveness probe for later").command(if path.is_empty() { format!("{k} edit {of}     # add a startupProbe like the livenessProbe with failureThreshold: 30") } else { patch(&format!("\"startupProbe\":{{\"httpGet\":{{\"path\":\"{probe_path}\",\"port\":{probe_port}}},\"periodSeconds\":10,\"failureThreshold\":30}}")) }));
    } else if strict {
        diagnosis.remedies.push(
            Remedy::new(format!("let the {which} probe wait longer and fail more often before it kills"))
                .command(patch(&format!("\"{which}Probe\":{{\"timeoutSeconds\":5,\"failureThreshold\":6}}"))),
        );
    } else {
        diagnosis.remedies.push(
            Remedy::new(format!("compare what the probe asks{at} with what the application serves"))
                .command(format!("{k} edit {of}")),
        );
        diagnosis.remedies.push(
            Remedy::new("read what the application says before it is killed")
                .command(format!("{k} logs {} -c {name} --previous --tail=50", pod.id.name)),
        );
    }
    if let Some(back) = undo(&pod.holder).filter(|_| rollout.is_some()) {
        diagnosis.remedies.push(Remedy::new("or go back to the former revision").command(back));
    }
    case::note_root(&mut diagnosis, format!("{which} probe{at}"));
    diagnosis.supersedes = vec![crate::generic::EXIT.into()];
    Some(diagnosis)
}

/// So many workloads that are killed on one node within this time for slow answers are slowed down by the node.
const SEVERAL: usize = 3;
const TOGETHER: u64 = minutes(25);

/// The workloads that are killed for their liveness probes on the pod's node, where it is that node and hardly any other.
fn slow_node(world: &World<'_>, pod: &Pod) -> Option<Vec<ObjectRef>> {
    let node = pod.node();
    if node.is_empty() {
        return None;
    }
    let all = world.about(&pod.id, "cluster", "event", "Killing", world.ago(TOGETHER), 300);
    let (mut here, mut elsewhere): (Vec<ObjectRef>, Vec<ObjectRef>) = (Vec::new(), Vec::new());
    for event in all.iter().filter(|e| e.message.contains("failed liveness probe")) {
        let Some(subject) = &event.subject else { continue };
        let workload = world.workload(subject);
        let of = if event.field("reporter-host") == node { &mut here } else { &mut elsewhere };
        if of.iter().all(|w| !w.is(&workload)) {
            let later = |w: &ObjectRef| (&w.namespace, &w.name) > (&workload.namespace, &workload.name);
            let place = of.iter().position(later).unwrap_or(of.len());
            of.insert(place, workload);
        }
    }
    (here.len() >= SEVERAL && elsewhere.len() * 3 <= here.len()).then_some(here)
}

/// One cause for all that is too slow on one machine.
fn of_node(world: &World<'_>, pod: &Pod, all: &[ObjectRef], said: &Signal) -> Diagnosis {
    let node = ObjectRef::new("Node", "", pod.node());
    let name = &node.name;
    let mut diagnosis = case::of_pod(world, TOO_STRICT, &node, pod, 84);
    diagnosis.severity = "critical".into();
    diagnosis.title = format!(
        "Node {name} is so slow that liveness probes kill containers of {} workloads there",
        all.len()
    );
    let names: Vec<String> = all.iter().map(spoken).collect();
    diagnosis.explanation = format!(
        "Within half an hour the kubelet of {name} restarted containers of {}, because their probes got no answer in time; on other nodes that hardly happened. \
         What they share is the machine: its processors, its memory or its disk are used up by something that runs there.",
        crate::words::listed(&names)
    );
    diagnosis.evidence.push(crate::counted(said, 45, "what a probe meets"));
    for alert in ["NodeSystemSaturation", "NodeCPU*", "NodeMemory*", "NodeDiskIO*", "KubeletPleg*"] {
        diagnosis.explains.push(Explains::alert(alert, &node, "self"));
        let told = world.about(&node, "self", "alert", alert, world.ago(minutes(60)), 1);
        diagnosis
            .evidence
            .extend(told.iter().filter(|a| a.state == "firing").map(|a| Evidence::signal(a, 30, "measured")));
    }
    case::note_root(&mut diagnosis, "answers too slowly");
    diagnosis.remedies.push(
        Remedy::new(format!("see what uses up {name}, and give that a limit or another place"))
            .command(format!("kubectl top node {name}"))
            .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={name}"))
            .command(format!("uptime; vmstat 1 5; top -bn1 | head -20     # on node {name}")),
    );
    diagnosis
        .remedies
        .push(Remedy::new("until then place no more pods there").command(format!("kubectl cordon {name}")));
    diagnosis
}

/// A CPU limit that slows the container down makes it late for its probe.
fn throttled(world: &World<'_>, pod: &Pod, container: &Container, diagnosis: &mut Diagnosis) {
    diagnosis.explains.push(Explains::alert("*Throttl*", &pod.workload, "workload"));
    let told = world.about(&pod.id, "self", "alert", "*Throttl*", world.ago(minutes(120)), 1);
    let limit = container.spec.text("/resources/limits/cpu");
    if let Some(told) = told.into_iter().next().filter(|_| !limit.is_empty()) {
        diagnosis.explanation.push_str(&format!(" Its CPU limit of {limit} throttles it meanwhile."));
        diagnosis.evidence.push(
            Evidence::signal(&told, 20, format!("the CPU limit of {limit} slows it down"))
                .citing(told.name.clone()),
        );
    }
}

/// The ports that a container declares, where its probe asks for none of them.
fn wrong_port(probe: &kwhy_sdk::Json, container: &Container) -> Option<String> {
    let port = ["/httpGet/port", "/tcpSocket/port", "/grpc/port"].into_iter().find(|p| probe.has(p))?;
    let port = probe.at(port).shown();
    let declared = container.spec.list("/ports");
    let has = |p: &kwhy_sdk::Json| p.at("/containerPort").shown() == port || p.text("/name") == port;
    if declared.is_empty() || declared.iter().any(has) {
        return None;
    }
    let names: Vec<String> =
        declared.iter().map(|p| format!("port {}", p.at("/containerPort").shown())).collect();
    Some(names.join(", "))
}

fn seconds_of(probe: &kwhy_sdk::Json, field: &str, default: i64) -> i64 {
    if probe.has(field) { probe.number(field) } else { default }
}

/// How long a probe lets a container live that never answers, ms.
fn grace(probe: &kwhy_sdk::Json) -> u64 {
    let seconds = seconds_of(probe, "/initialDelaySeconds", 0)
        + seconds_of(probe, "/periodSeconds", 10) * seconds_of(probe, "/failureThreshold", 3);
    kwhy_sdk::seconds(u64::try_from(seconds).unwrap_or(0))
}

/// When to look at an unready pod again, if it is too early now.
pub(crate) fn patience(pod: &Pod) -> u64 {
    config_change::ill_since(pod) + PATIENCE_KNOWN
}

/// A container that runs and is not ready, for long enough.
pub(crate) fn judge_readiness(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    let running = container.running()?;
    if container.ready()
        || pod.ready()
        || running + PATIENCE > world.now()
        || config_change::ill_since(pod) + PATIENCE > world.now()
    {
        return None;
    }
    let said = failures(world, pod, container, &["Readiness probe"]);
    if said.is_none() && !container.spec.has("/readinessProbe") {
        return None;
    }
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let probe = container.spec.at("/readinessProbe");
    let words = said.as_ref().map_or("", |s| s.message.as_str());
    let what = short(met(words), 120);
    let mut diagnosis =
        case::of_pod(world, READINESS, &pod.workload, pod, if said.is_some() { 50 } else { 40 });
    let (path, port) = (probe.text("/httpGet/path"), probe.at("/httpGet/port").shown());
    let at = if path.is_empty() { String::new() } else { format!(" on {path}, port {port}") };
    diagnosis.title = format!(
        "Container {name} of {whose} runs but is not ready{}",
        if what.is_empty() { String::new() } else { format!(": {what}") }
    );
    let guess = if words.contains("connection refused") {
        "Nothing listens where the probe asks: the process still starts, hangs, or listens on another port."
    } else if any(words, &["statuscode: 404", "statuscode: 401", "statuscode: 403"]) {
        "The process answers, but not at the path that the probe asks for."
    } else if any(words, &["statuscode: 503", "statuscode: 500"]) {
        "The process answers that it is not ready: it may wait for something that it depends on."
    } else {
        "It gets no traffic until its readiness probe succeeds."
    };
    diagnosis.explanation = format!(
        "The readiness probe{at} of {} fails since {} UTC. {guess}",
        pod.id.name,
        kwhy_sdk::clock(config_change::ill_since(pod))
    );
    if let Some(said) = &said {
        diagnosis.evidence.push(crate::counted(said, 40, "what the probe meets"));
    } else {
        diagnosis.evidence.push(Evidence::object(
            &pod.id,
            format!("container {name} runs since {} UTC and is not ready", kwhy_sdk::clock(running)),
            30,
            "state of the pod",
        ));
    }
    let line =
        crate::logs::telling(world, pod, container, config_change::ill_since(pod).saturating_sub(minutes(1)));
    if let Some(line) = &line {
        diagnosis
            .evidence
            .push(Evidence::signal(line, 25, "what the container says").citing(short(&line.message, 400)));
        diagnosis.confidence += 5;
    }
    let k = kubectl(&pod.id.namespace);
    diagnosis.remedies.push(
        Remedy::new("read what it waits for")
            .command(format!("{k} logs {} -c {name} --tail=50", pod.id.name)),
    );
    if !path.is_empty() {
        diagnosis.remedies.push(Remedy::new("and ask as the probe does").command(format!(
            "{k} port-forward pod/{} 8080:{port} & curl -i http://localhost:8080{path}",
            pod.id.name
        )));
    }
    case::note_root(&mut diagnosis, format!("readiness probe{at} fails"));
    Some(diagnosis)
}
