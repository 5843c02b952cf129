//! Jobs that fail as a whole: too many failed pods, or too long. Says why where one of its pods told.
//!
//! Reasons of pkg/controller/job: BackoffLimitExceeded, DeadlineExceeded, since 1.25 PodFailurePolicy, since 1.28
//! FailedIndexes and MaxFailedIndexesExceeded.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, hours, parse_time,
};

use crate::{
    case, oom,
    pod::Pod,
    words::{kubectl, named, short, spoken},
};

pub(crate) const BACKOFF: &str = "workload.job-backoff";
pub(crate) const DEADLINE: &str = "workload.deadline-exceeded";

/// A Job that failed longer ago is history, unless an alert says that it still matters.
const FRESH: u64 = hours(1);

struct Failure {
    reason: String,
    message: String,
    at: u64,
}

fn failure(world: &World<'_>, job: &ObjectRef) -> Option<Failure> {
    let conditions = world.read(job, "/status/conditions").filter(|_| world.exists(job))?;
    let failed = conditions
        .list("")
        .into_iter()
        .find(|c| c.text("/type") == "Failed" && c.text("/status") == "True")?;
    let at = parse_time(failed.text("/lastTransitionTime")).unwrap_or(0);
    Some(Failure {
        reason: failed.text("/reason").to_owned(),
        message: failed.text("/message").to_owned(),
        at,
    })
}

/// Reasons of the events that say that a Job has failed.
pub(crate) const REASONS: [&str; 5] = [
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "PodFailurePolicy",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
];

/// An alert about a Job: what its controller said of it is asked for again.
pub(crate) fn alerted(world: &World<'_>, job: &ObjectRef) -> Verdict {
    let said =
        |reason: &&str| world.about(job, "self", "event", reason, world.ago(hours(2)), 1).into_iter().next();
    match REASONS.iter().find_map(said) {
        Some(event) => told(world, job, &event),
        None => examine(world, job),
    }
}

/// A Job of which only its events are known; one that was seen speaks by its condition.
pub(crate) fn told(world: &World<'_>, job: &ObjectRef, event: &Signal) -> Verdict {
    if world.exists(job) || world.read(job, "/metadata").is_some() {
        return examine(world, job);
    }
    let failed = Failure {
        reason: event.name.clone(),
        message: event.message.trim_end_matches('.').to_owned(),
        at: event.at,
    };
    let mut found = diagnose(world, job, &failed);
    found.evidence = vec![crate::counted(event, 40, "what the Job's controller says")];
    Verdict { diagnoses: vec![found], ..Verdict::default() }
}

/// A later Job of the same CronJob that succeeded makes good for this one.
fn made_good(world: &World<'_>, job: &ObjectRef, at: u64) -> bool {
    let cron = world.workload(job);
    cron.kind == "CronJob"
        && world.related(&cron, "owned").iter().any(|other| {
            let done = world.read(other, "/status/completionTime").map(|t| t.shown()).unwrap_or_default();
            parse_time(&done).is_some_and(|done| done > at)
        })
}

/// Looks at a Job that has changed.
pub(crate) fn examine(world: &World<'_>, job: &ObjectRef) -> Verdict {
    let Some(found) = again(world, job) else {
        let mut verdict = case::well(world, job, &format!("{} does not fail any more", spoken(job)));
        // A success makes good for failures of its elder siblings.
        let cron = world.workload(job);
        for sibling in
            world.related(&cron, "owned").into_iter().filter(|s| cron.kind == "CronJob" && !s.is(job))
        {
            if case::of(world, &sibling).is_some() && again(world, &sibling).is_none() {
                verdict.merge(case::well(world, &sibling, &format!("{} succeeded", job.name)));
            }
        }
        return verdict;
    };
    let mut verdict = case::found(world, job, &world.workload(job), found);
    // Pods that wait for it may come a little later than its end.
    if let Some(failed) = failure(world, job) {
        verdict.merge(crate::look::later(world, job, failed.at + WAITERS));
    }
    verdict
}

/// Pods that wait for a Job are looked for this long after it has failed.
const WAITERS: u64 = kwhy_sdk::minutes(6);

/// Whether an init container is one that waits for this Job: it names it, or it comes from the same release.
fn waits_for(
    pod: &Pod,
    container: &crate::pod::Container,
    job: &ObjectRef,
    template: &kwhy_sdk::Json,
) -> bool {
    let stem = job.name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let words = ["/args", "/command"].iter().flat_map(|p| container.spec.texts(p));
    if words.into_iter().any(|w| w.contains(job.name.as_str()) || (stem.len() > 6 && w.contains(stem))) {
        return true;
    }
    let waits = ["wait", "migrat", "schema", "init-db", "check"];
    if !waits.iter().any(|w| container.name.contains(w)) {
        return false;
    }
    let images: Vec<String> =
        template.list("/containers").iter().map(|c| c.text("/image").to_owned()).collect();
    pod.containers().iter().any(|c| images.iter().any(|i| i == c.image()))
}

/// The failed Job that an init container waits for.
pub(crate) fn waited_for(
    world: &World<'_>,
    pod: &Pod,
    container: &crate::pod::Container,
) -> Option<ObjectRef> {
    world.list("Job", &pod.id.namespace).into_iter().find(|job| {
        let template = world.read(job, "/spec/template/spec").unwrap_or_default();
        failure(world, job).is_some() && waits_for(pod, container, job, &template)
    })
}

/// Workloads whose pods wait for this Job in an init container.
fn waiters(world: &World<'_>, job: &ObjectRef) -> Vec<ObjectRef> {
    let template = world.read(job, "/spec/template/spec").unwrap_or_default();
    let mut all: Vec<ObjectRef> = Vec::new();
    for id in world.list("Pod", &job.namespace).iter().take(200) {
        let Some(pod) = Pod::load(world, id).filter(|p| p.phase() == "Pending" && !p.of_job()) else {
            continue;
        };
        let held = pod.containers().iter().any(|c| {
            c.init
                && !c.ready()
                && (c.running().is_some() || c.crashing())
                && waits_for(&pod, c, job, &template)
        });
        if held && all.iter().all(|w| !w.is(&pod.workload)) {
            all.push(pod.workload.clone());
        }
    }
    all
}

/// The diagnosis of a Job that has failed.
pub(crate) fn again(world: &World<'_>, job: &ObjectRef) -> Option<Diagnosis> {
    if job.kind != "Job" {
        return None;
    }
    let failed = failure(world, job)?;
    let alerted = || !world.about(job, "owners", "alert", "*Job*", world.ago(hours(2)), 1).is_empty();
    if failed.at + FRESH <= world.now() && !alerted() {
        return None;
    }
    if made_good(world, job, failed.at) {
        return None;
    }
    Some(diagnose(world, job, &failed))
}

/// Doubles the deadline. A Job that exists has it in its own spec, where it may be changed while the Job runs.
fn longer(workload: &ObjectRef, k: &str, limit: i64) -> String {
    let field = format!("\"activeDeadlineSeconds\":{}", limit.max(300).saturating_mul(2));
    let spec = if workload.kind == "CronJob" {
        format!("{{\"spec\":{{\"jobTemplate\":{{\"spec\":{{{field}}}}}}}}}")
    } else {
        format!("{{\"spec\":{{{field}}}}}")
    };
    format!("{k} patch {} --type merge -p '{spec}'", named(workload))
}

/// What the Job needs and could not reach, where that is still so.
fn needs(world: &World<'_>, job: &ObjectRef, last: Option<&Pod>, failed: &Failure) -> Option<Diagnosis> {
    let pod = last?;
    let container = pod.containers().into_iter().find(|c| c.end().is_some_and(|e| e.code != 0))?;
    if oom::killed(&container) || failed.reason == "DeadlineExceeded" {
        return None;
    }
    let mut found = crate::look::peer(world, pod, &container)?;
    // One that only is down is told of by what keeps it down.
    if found.severity == "info" {
        return None;
    }
    let words = format!("{}: {}", failed.reason, failed.message);
    found.evidence.push(Evidence::object(job, words, 20, "condition Failed of the Job"));
    found.explains.push(Explains::event("DeadlineExceeded", &world.workload(job), "workload"));
    let again = format!("{} create job {}-again --from=", kubectl(&job.namespace), job.name);
    if let Some(cron) = world.owners(job).into_iter().find(|o| o.kind == "CronJob") {
        found
            .remedies
            .push(Remedy::new("then start the Job again").command(format!("{again}{}", named(&cron))));
    }
    Some(found)
}

fn diagnose(world: &World<'_>, job: &ObjectRef, failed: &Failure) -> Diagnosis {
    let workload = world.workload(job);
    let pods: Vec<Pod> = world.pods(job).iter().rev().take(10).filter_map(|p| Pod::load(world, p)).collect();
    let last = pods.iter().max_by_key(|p| p.created());
    if let Some(found) = needs(world, job, last, failed) {
        return found;
    }
    let container =
        last.and_then(|p| p.containers().into_iter().find(|c| c.end().is_some_and(|e| e.code != 0)));
    let killed = container.as_ref().is_some_and(oom::killed);
    let late = failed.reason == "DeadlineExceeded";
    let code = if killed {
        oom::CODE
    } else if late {
        DEADLINE
    } else {
        BACKOFF
    };
    let mut diagnosis = Diagnosis::new(code, workload.clone());
    diagnosis.confidence = if killed {
        88
    } else if late {
        85
    } else {
        60
    };
    let whose = spoken(&workload);
    let spec = world.read(job, "/spec").unwrap_or_default();
    let k = kubectl(&job.namespace);
    let end = container.as_ref().and_then(crate::pod::Container::end);
    if let (true, Some(container)) = (killed, &container) {
        let limit = container.spec.text("/resources/limits/memory");
        diagnosis.title = format!(
            "{whose} needs more than its memory limit{} and is OOMKilled",
            if limit.is_empty() { String::new() } else { format!(" of {limit}") }
        );
        diagnosis.explanation = format!(
            "The kernel killed container {} of its pods for memory, until the Job gave up.",
            container.name
        );
        diagnosis.evidence.push(Evidence::object(
            &last.map(|p| p.id.clone()).unwrap_or_default(),
            format!(
                "OOMKilled, exit code 137: container {}, memory limit {}",
                container.name,
                if limit.is_empty() { "none" } else { limit }
            ),
            50,
            "how the last pod ended",
        ));
        diagnosis.remedies.push(
            Remedy::new("give the Job's template more memory")
                .command(format!("{k} edit {}", named(&workload))),
        );
    } else if late {
        let limit = spec.number("/activeDeadlineSeconds");
        diagnosis.title = format!(
            "{whose} was stopped after its deadline of {}",
            kwhy_sdk::span(kwhy_sdk::seconds(u64::try_from(limit).unwrap_or(0)))
        );
        diagnosis.explanation = format!(
            "{} ran longer than activeDeadlineSeconds allows, and its pods were ended. Either the work takes longer than before, or it hangs.",
            spoken(job)
        );
        diagnosis.remedies.push(
            Remedy::new("see what it did with its time, and mend what it waits for")
                .command(format!("{k} describe {}", named(job)))
                .command(format!("{k} logs {} --all-containers --tail=50", named(job))),
        );
        diagnosis.remedies.push(
            Remedy::new("or give it more time, if the work has grown").command(longer(&workload, &k, limit)),
        );
    } else {
        let code = end.as_ref().map(|e| format!(" with exit code {}", e.code)).unwrap_or_default();
        diagnosis.title = format!("{whose} has failed: its pods ended{code} too often");
        diagnosis.explanation =
            format!("{} gave up after its pods failed ({}).", spoken(job), failed.message);
        let pod = last.map_or_else(|| named(job), |p| format!("pod/{}", p.id.name));
        diagnosis.remedies.push(
            Remedy::new("read why the last pod failed, mend it, and start the Job again")
                .command(format!("{k} logs {pod} --all-containers --tail=50")),
        );
    }
    diagnosis.evidence.push(Evidence::object(
        job,
        format!("{}: {}", failed.reason, failed.message),
        35,
        "condition Failed of the Job",
    ));
    if let (Some(pod), Some(container), false) = (last, &container, killed) {
        let line = crate::logs::telling(world, pod, container, crate::logs::since(container, pod.created()));
        if let Some(line) = &line {
            diagnosis.explanation.push_str(&format!(" Its last words: {}", short(&line.message, 240)));
            diagnosis.confidence += if late { 0 } else { 5 };
        }
        crate::config_change::cite(&mut diagnosis, world, pod, container, line.as_ref());
    }
    diagnosis.path.push(Step::new(&workload, "", ""));
    if !workload.is(job) {
        diagnosis.path.push(Step::new(job, "owned", failed.reason.clone()));
    }
    if let Some(pod) = last {
        diagnosis.path.push(Step::new(&pod.id, "owned", ""));
    }
    diagnosis.explains = case::explains(world, &workload);
    diagnosis.explains.push(Explains::event("DeadlineExceeded", &workload, "workload"));
    for waiter in waiters(world, job) {
        diagnosis.explanation.push_str(&format!(
            " Pods of {} wait for it in an init container and do not start.",
            spoken(&waiter)
        ));
        // What hangs on it says more of it than its own code.
        diagnosis.confidence = diagnosis.confidence.max(80);
        diagnosis.explains.extend(case::explains(world, &waiter));
        diagnosis.path.push(Step::new(&waiter, "", "waits for it"));
    }
    diagnosis
}
