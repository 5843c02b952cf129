//! CronJobs that do not start their Jobs.
//!
//! Reasons of pkg/controller/cronjob. Before 1.21 a CronJob with more than 100 missed starts starts nothing any more
//! (FailedNeedsStart); since then TooManyMissedTimes only warns and the latest Job is started all the same, so it is a
//! finding only where no Job follows. JobAlreadyActive is how `concurrencyPolicy: Forbid` works; where one and the same
//! Job blocks start after start, that Job hangs.

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Json, ObjectRef, Remedy, Signal, Step, Verdict, World, hours, minutes,
    parse_time,
};

use crate::{
    case, look,
    words::{kubectl, named, spoken},
};

pub(crate) const MISSED: &str = "workload.cronjob-missed";

/// What the pack wants to hear of CronJobs.
pub(crate) const REASONS: [&str; 8] = [
    "UnparseableSchedule",
    "InvalidSchedule",
    "UnknownTimeZone",
    "TooManyMissedTimes",
    "FailedNeedsStart",
    "MissSchedule",
    "JobAlreadyActive",
    "SuccessfulCreate",
];

/// How long a started Job may follow the warning that starts were missed.
const PATIENCE: u64 = minutes(2);
/// Starts in a row that one Job must block.
const BLOCKED: u64 = 3;
/// Below this many seconds the controller, which looks every 10 s, may miss starts for ever.
const SHORTEST: i64 = 10;

/// Takes in what the controller says of a CronJob.
pub(crate) fn told(world: &World<'_>, cron: &ObjectRef, event: &Signal) -> Verdict {
    match event.name.as_str() {
        "SuccessfulCreate" => cleared(cron, "it starts its Jobs"),
        "TooManyMissedTimes" => look::later(world, cron, event.at + PATIENCE),
        _ => Verdict { diagnoses: judge(world, cron, event).into_iter().collect(), ..Verdict::default() },
    }
}

fn cleared(cron: &ObjectRef, because: &str) -> Verdict {
    let over = Clearing::new(MISSED, cron, because);
    Verdict { cleared: vec![over], ..Verdict::default() }
}

/// Looks again at a CronJob that was said to have missed starts.
pub(crate) fn again(world: &World<'_>, cron: &ObjectRef) -> Verdict {
    let last =
        |reason: &str| world.about(cron, "self", "event", reason, world.ago(hours(1)), 1).into_iter().next();
    let Some(event) = last("TooManyMissedTimes") else { return Verdict::default() };
    if last("SuccessfulCreate").is_some_and(|made| made.at + PATIENCE >= event.at) {
        return Verdict::default();
    }
    let found = judge(world, cron, &event);
    Verdict { diagnoses: found.into_iter().collect(), ..Verdict::default() }
}

/// Takes in a new state of a CronJob: another schedule may be the mended one.
pub(crate) fn changed(cron: &ObjectRef, signal: &Signal) -> Verdict {
    let mended =
        |name: &str| matches!(name, "/spec/schedule" | "/spec/timeZone" | "/spec/startingDeadlineSeconds");
    if signal.fields.iter().any(|f| mended(&f.name)) {
        return cleared(cron, "its schedule was changed");
    }
    Verdict::default()
}

/// The Job that keeps the next ones from starting.
fn blocking(world: &World<'_>, cron: &ObjectRef) -> Option<(ObjectRef, u64)> {
    let policy = world.read(cron, "/spec/concurrencyPolicy").map(|p| p.text("").to_owned());
    if policy.as_deref() != Some("Forbid") {
        return None;
    }
    let jobs = world.related(cron, "owned").into_iter().filter(|j| j.kind == "Job" && world.exists(j));
    let started = |job: ObjectRef| {
        let status = world.read(&job, "/status")?;
        let since = parse_time(status.text("/startTime"))?;
        (status.number("/active") > 0).then_some((job, since))
    };
    jobs.filter_map(started).min_by_key(|(_, since)| *since)
}

fn judge(world: &World<'_>, cron: &ObjectRef, event: &Signal) -> Option<Diagnosis> {
    let spec = world.read(cron, "/spec").unwrap_or_default();
    let mut diagnosis = Diagnosis::new(MISSED, cron.clone());
    diagnosis.confidence = 90;
    diagnosis.evidence.push(crate::counted(event, 50, "what the controller says"));
    diagnosis.path.push(Step::new(cron, "", ""));
    diagnosis.explains = case::explains(world, cron);
    match event.name.as_str() {
        "UnparseableSchedule" | "InvalidSchedule" | "UnknownTimeZone" => {
            unreadable(cron, &spec, event, &mut diagnosis)
        }
        "FailedNeedsStart" => given_up(cron, &mut diagnosis),
        "JobAlreadyActive" | "TooManyMissedTimes" => match blocking(world, cron) {
            Some((job, since)) => blocked(world, cron, event, &job, since, &mut diagnosis)?,
            None if event.name == "TooManyMissedTimes" => missed(cron, &mut diagnosis),
            None => return None,
        },
        "MissSchedule" => late(cron, &spec, event, &mut diagnosis)?,
        _ => return None,
    }
    Some(diagnosis)
}

fn unreadable(cron: &ObjectRef, spec: &Json, event: &Signal, diagnosis: &mut Diagnosis) {
    let zone = event.name == "UnknownTimeZone";
    let (what, value) =
        if zone { ("time zone", spec.text("/timeZone")) } else { ("schedule", spec.text("/schedule")) };
    let value = if value.is_empty() { String::new() } else { format!(" {value:?}") };
    diagnosis.title = format!("{} has a {what} that cannot be read", spoken(cron));
    diagnosis.explanation = format!("Its {what}{value} is not valid, so it never starts a Job.");
    let field =
        if zone { "timeZone\":\"Etc/UTC\"" } else { "schedule\":\"<minute hour day month weekday>\"" };
    diagnosis.remedies.push(
        Remedy::new(if zone { "name a time zone of the IANA database" } else { "mend the schedule" })
            .command(format!(
                "{} patch {} --type merge -p '{{\"spec\":{{\"{field}}}}}'",
                kubectl(&cron.namespace),
                named(cron)
            )),
    );
}

fn limit_back(cron: &ObjectRef) -> Remedy {
    Remedy::new("limit how far back missed starts count").command(format!(
        "{} patch {} --type merge -p '{{\"spec\":{{\"startingDeadlineSeconds\":600}}}}'",
        kubectl(&cron.namespace),
        named(cron)
    ))
}

fn given_up(cron: &ObjectRef, diagnosis: &mut Diagnosis) {
    diagnosis.title = format!("{} has missed so many starts that it does not start any more", spoken(cron));
    diagnosis.explanation = "After more than 100 missed starts the controller (before Kubernetes 1.21) refuses to count them and starts nothing, unless startingDeadlineSeconds limits how far back it looks.".to_owned();
    diagnosis.remedies.push(limit_back(cron));
}

fn missed(cron: &ObjectRef, diagnosis: &mut Diagnosis) {
    diagnosis.confidence = 70;
    diagnosis.title = format!("{} has missed more than 100 starts, and no Job has followed", spoken(cron));
    diagnosis.explanation = "The controller counts back to the last start and finds more than 100 that it missed: it was suspended, the controller did not run, or clocks differ.".to_owned();
    diagnosis.remedies.push(limit_back(cron));
    diagnosis.remedies.push(
        Remedy::new("see whether the controller runs and its clock is right")
            .command("kubectl -n kube-system get lease kube-controller-manager -o yaml"),
    );
}

/// `Forbid` and a Job that does not end.
fn blocked(
    world: &World<'_>,
    cron: &ObjectRef,
    event: &Signal,
    job: &ObjectRef,
    since: u64,
    diagnosis: &mut Diagnosis,
) -> Option<()> {
    let times: u64 = event.field("count").parse().unwrap_or(1);
    let first = event.began();
    // Each blocked start must be this Job's doing.
    if event.name == "JobAlreadyActive" && (times < BLOCKED || since > first) {
        return None;
    }
    let span = kwhy_sdk::span(world.now().saturating_sub(since));
    if event.name != "JobAlreadyActive"
        && let Some(skipped) =
            world.about(cron, "self", "event", "JobAlreadyActive", world.ago(hours(1)), 1).into_iter().next()
    {
        diagnosis.evidence.push(crate::counted(&skipped, 40, "a start that was left out"));
    }
    diagnosis.confidence = 82;
    diagnosis.title =
        format!("{} starts nothing: its {} has been running for {span}", spoken(cron), spoken(job));
    diagnosis.explanation = format!(
        "Its concurrencyPolicy is Forbid, so no Job starts while {} runs, and that one does not end.",
        job.name
    );
    diagnosis.evidence.push(Evidence::object(
        job,
        format!("active for {span}"),
        35,
        "the Job that does not end",
    ));
    diagnosis.path.push(Step::new(job, "owned", "does not end"));
    diagnosis.explains.extend(case::explains(world, job));
    let k = kubectl(&cron.namespace);
    diagnosis.remedies.push(
        Remedy::new("see what the Job waits for, then delete it so that the next one starts")
            .command(format!("{k} logs {} --all-containers --tail=50", named(job)))
            .command(format!("{k} delete {}", named(job)))
            .caution("deleting the Job ends its pods and what they are doing"),
    );
    diagnosis.remedies.push(
        Remedy::new("and give its Jobs a deadline, so that one that hangs does not block the next").command(format!(
            "{k} patch {} --type merge -p '{{\"spec\":{{\"jobTemplate\":{{\"spec\":{{\"activeDeadlineSeconds\":3600}}}}}}}}'",
            named(cron)
        )),
    );
    Some(())
}

/// The start came too late for its deadline.
fn late(cron: &ObjectRef, spec: &Json, event: &Signal, diagnosis: &mut Diagnosis) -> Option<()> {
    let deadline = spec.number("/startingDeadlineSeconds");
    let times: u64 = event.field("count").parse().unwrap_or(1);
    if times < BLOCKED {
        return None;
    }
    let short = spec.has("/startingDeadlineSeconds") && deadline < SHORTEST;
    diagnosis.confidence = if short { 85 } else { 65 };
    diagnosis.title = format!(
        "{} misses its starts: they come later than its startingDeadlineSeconds allows",
        spoken(cron)
    );
    diagnosis.explanation = if short {
        format!(
            "startingDeadlineSeconds is {deadline}, and the controller looks every 10 s, so most starts come too late."
        )
    } else {
        "The controller comes to it only after the deadline: it was not running, is overloaded, or clocks differ.".to_owned()
    };
    diagnosis.remedies.push(Remedy::new("allow starts to be late").command(format!(
        "{} patch {} --type merge -p '{{\"spec\":{{\"startingDeadlineSeconds\":200}}}}'",
        kubectl(&cron.namespace),
        named(cron)
    )));
    Some(())
}
