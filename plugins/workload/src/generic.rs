//! A container that ends again and again for no cause that is known better. Confidence stays low, so that any rule that
//! knows more wins, here or in another pack.

use kwhy_sdk::{Diagnosis, Evidence, Remedy, World, minutes};

use crate::{
    case, config_change, logs,
    pod::{ANY, Container, Pod},
    words::{any, kubectl, named, short, spoken},
};

pub(crate) const EXIT: &str = "workload.exit-on-start";
pub(crate) const INIT: &str = "workload.init-container-failing";

/// Words of a controller that could not keep its lease.
const LEASES: [&str; 5] =
    ["leader election lost", "leaderelection lost", "resource lock", "failed to renew lease", "etcdserver: "];

/// What an exit code says by convention.
fn meaning(code: i64) -> &'static str {
    match code {
        0 => "the process did its work and ended, but is meant to stay",
        1 => "a general error of the application",
        2 => "wrong usage or a panic of a Go program",
        126 => "the command may not be executed",
        127 => "the command was not found",
        134 => "aborted (SIGABRT): an assertion, or a runtime that gave up",
        137 => "killed (SIGKILL) by something other than its memory limit",
        139 => "segmentation fault (SIGSEGV)",
        143 => "ended on request (SIGTERM)",
        _ => "an error that only the application knows",
    }
}

/// Whether a container fails persistently: one that comes up at the third try is no finding.
pub(crate) fn persists(world: &World<'_>, pod: &Pod, container: &Container) -> bool {
    let ill = config_change::ill_since(pod);
    let tries = if container.init { 2 } else { 3 };
    container.crashing()
        && (container.restarts() >= tries || (container.restarts() >= 1 && ill + minutes(5) <= world.now()))
}

/// A heap that a runtime has set for itself, and how to enlarge it.
fn heap(said: &str, pod: &Pod, name: &str) -> Option<(&'static str, Remedy)> {
    let (own, variable, value) = if said.contains("OutOfMemoryError") {
        ("the Java heap", "JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=75")
    } else if any(said, &["JavaScript heap out of memory", "Reached heap limit"]) {
        ("the JavaScript heap", "NODE_OPTIONS", "--max-old-space-size=<MiB>")
    } else {
        return None;
    };
    let k = kubectl(&pod.holder.namespace);
    let remedy = Remedy::new(format!(
        "give {own} more room (where -Xmx or {variable} is set today, change it there), within the memory limit"
    ))
    .command(format!("{k} set env {} -c {name} {variable}={value}", named(&pod.holder)))
    .caution("a leak only takes longer to fill a larger heap; the memory limit must stay above the heap");
    Some((own, remedy))
}

/// An init container does its work within this time, or waits for something that does not come.
pub(crate) const LONG_INIT: u64 = minutes(15);

/// An init container that runs and does not end.
pub(crate) fn endless(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    // What it waits for may be a Job that has failed, which tells of those that wait for it.
    if pod.of_job() || crate::job::waited_for(world, pod, container).is_some() {
        return None;
    }
    let running = container.running()?;
    let line = logs::telling(world, pod, container, running);
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let mut diagnosis = case::of_pod(world, INIT, &pod.workload, pod, if line.is_some() { 52 } else { 45 });
    diagnosis.title = format!("Init container {name} of {whose} does not end, so the pod does not start");
    diagnosis.explanation = format!(
        "Init container {name} of {} runs since {} UTC; the other containers start when it has ended. It may wait for something that does not come.",
        pod.id.name,
        kwhy_sdk::clock(running)
    );
    if let Some(line) = &line {
        diagnosis.explanation.push_str(&format!(" It says: {}", short(&line.message, 240)));
        diagnosis.evidence.push(Evidence::signal(line, 40, "what it says").citing(short(&line.message, 400)));
    }
    diagnosis.evidence.push(Evidence::object(
        &pod.id,
        format!("init container {name} runs since {} UTC", kwhy_sdk::clock(running)),
        30,
        "state of the pod",
    ));
    diagnosis.remedies.push(Remedy::new("read what it waits for").command(format!(
        "{} logs {} -c {name} --tail=50",
        kubectl(&pod.id.namespace),
        pod.id.name
    )));
    Some(diagnosis)
}

pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    if !persists(world, pod, container) {
        return None;
    }
    let end = container.end();
    let code = end.as_ref().map(|e| e.code);
    let ill = config_change::ill_since(pod);
    let line = logs::telling(world, pod, container, logs::since(container, ill));
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let one = if name == ANY { "A container".to_owned() } else { format!("Container {name}") };
    let (which, title) = if container.init {
        (INIT, format!("Init container {name} of {whose} fails, so the pod does not start"))
    } else if code == Some(0) {
        (EXIT, format!("{one} of {whose} ends with success again and again, but is meant to stay"))
    } else {
        (
            EXIT,
            format!(
                "{one} of {whose} crashes again and again{}",
                code.map(|c| format!(" (exit code {c})")).unwrap_or_default()
            ),
        )
    };
    let mut diagnosis = case::of_pod(world, which, &pod.workload, pod, if line.is_some() { 50 } else { 45 });
    if container.init {
        diagnosis.confidence += 5;
    }
    if line.as_ref().is_some_and(|l| l.name == logs::SPACE) {
        // Whoever knows the volume says more; this is only what it does to the workload.
        diagnosis.severity = "info".into();
        diagnosis.confidence = 40;
    }
    if line.as_ref().is_some_and(|l| any(&l.message, &LEASES)) {
        // It gives up by design when the API server is too slow for its lease: an effect, and told by what is slow.
        diagnosis.severity = "info".into();
        diagnosis.confidence = 40;
    }
    diagnosis.title = title;
    diagnosis.explanation = match code {
        Some(code) => format!(
            "{one} of {} ends with exit code {code}: {}. No edit of what it reads and no rollout within the last two hours explains it.",
            pod.id.name,
            meaning(code)
        ),
        None => format!("{one} of {} is started again and again.", pod.id.name),
    };
    if let Some(lived) = end.as_ref().and_then(crate::pod::End::lived) {
        diagnosis.explanation.push_str(&format!(" It lived for {} the last time.", kwhy_sdk::span(lived)));
    }
    let left = end.as_ref().map_or("", |e| e.message.as_str());
    match (&line, left) {
        (Some(line), _) => {
            diagnosis.explanation.push_str(&format!(" Its last words: {}", short(&line.message, 240)))
        }
        (None, "") => diagnosis.explanation.push_str(" Read its last words with the command below."),
        (None, left) => {
            diagnosis.confidence += 5;
            diagnosis.explanation.push_str(&format!(" The message it left: {}", short(left, 240)));
        }
    }
    config_change::cite(&mut diagnosis, world, pod, container, line.as_ref());
    if diagnosis.evidence.is_empty() {
        diagnosis.evidence.push(Evidence::object(
            &pod.id,
            container.waiting().1,
            30,
            "why the container waits",
        ));
    }
    let k = kubectl(&pod.id.namespace);
    let said = line.as_ref().map_or(left, |l| l.message.as_str());
    if let Some((own, remedy)) = heap(said, pod, name) {
        diagnosis.confidence += 10;
        diagnosis.title = format!("{one} of {whose} ends because {own} is used up");
        diagnosis.explanation.push_str(&format!(
            ". That is a limit which the program sets itself; its memory limit ({}) did not kill it.",
            match container.spec.text("/resources/limits/memory") {
                "" => "none",
                limit => limit,
            }
        ));
        diagnosis.remedies.push(remedy);
    }
    let which = if name == ANY { String::new() } else { format!(" -c {name}") };
    diagnosis.remedies.push(
        Remedy::new("read what it said last")
            .command(format!("{k} logs {}{which} --previous --tail=50", pod.id.name)),
    );
    if code == Some(0) && !container.init {
        diagnosis.remedies.push(
            Remedy::new("run what ends by itself as a Job, or give the container a command that stays")
                .command(format!("{k} edit {}", named(&pod.holder))),
        );
    }
    Some(diagnosis)
}
