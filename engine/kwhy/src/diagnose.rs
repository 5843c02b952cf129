//! `kwhy diagnose`: a capture in, findings out, with nothing else installed.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Result;
use kwhy_core::Account;
use kwhy_ingest::capture::{self, Capture, Problem};
use kwhy_proto::{
    millis,
    v1::{Finding, Severity, Status},
};
use kwhy_publish::{
    json,
    text::{self, Alerts, Report, Unreadable, Watchdog},
};

use crate::{
    args::Format,
    config::Config,
    correlate::{Correlated, Keep, correlate},
    exit::Exit,
    rules, screen,
};

/// Of the rule that hears heartbeats.
const WATCHDOG_MISSING: &str = "monitoring.watchdog-missing";

pub(crate) fn run(
    config: &Config,
    dir: &Path,
    format: Format,
    more_rules: &[PathBuf],
    only_those: bool,
) -> Result<Exit> {
    let start = Instant::now();
    let rules = if only_those { rules::only(config, more_rules) } else { rules::load(config, more_rules) }?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let correlated = correlate(config, dir, rules, Keep::Nothing, |finding| {
        if format == Format::Json {
            json::write(finding, &mut out)?;
        }
        Ok(())
    })?;
    let Some(Correlated { capture, engine, findings }) = correlated else { return Ok(Exit::NothingRead) };
    match format {
        Format::Json => {
            for problem in &capture.problems {
                eprintln!("kwhy: {problem}");
            }
        }
        Format::Text => {
            // An account that a cause has taken over says nothing to a reader that the cause does not.
            let shown: Vec<Finding> = findings.iter().filter(|f| !taken_over(f)).cloned().collect();
            let elapsed = u64::try_from(start.elapsed().as_millis()).ok();
            out.write_all(report(&capture, &shown, &engine.account(), elapsed).as_bytes())?;
        }
    }
    out.flush()?;
    let exit = exit(&findings);
    // The process ends now, and to take apart what is known of a large cluster takes a quarter of a second.
    std::mem::forget((engine, findings, capture));
    Ok(exit)
}

/// Whether all of an unexplained finding's alerts were explained later.
fn taken_over(finding: &Finding) -> bool {
    finding.code.starts_with("unexplained.")
        && finding.status() == Status::Resolved
        && finding.symptoms.is_empty()
}

fn exit(findings: &[Finding]) -> Exit {
    let loud = |f: &Finding| matches!(f.severity(), Severity::Warning | Severity::Critical);
    if findings.iter().any(loud) { Exit::Findings } else { Exit::Nothing }
}

fn report(capture: &Capture, findings: &[Finding], account: &Account, elapsed_ms: Option<u64>) -> String {
    // That it does not come again the rule knows before Alertmanager gives it up.
    let told = findings.iter().filter(|f| f.code == WATCHDOG_MISSING && f.status() != Status::Resolved);
    let told = told.filter_map(|f| f.onset_at.as_ref()).map(millis);
    let silent = account.heartbeats.values().filter_map(|since| *since).chain(told).min();
    let watchdog = match silent {
        Some(since_ms) => Watchdog::Silent { since_ms },
        None if account.heartbeats.is_empty() => Watchdog::NotSeen,
        None => Watchdog::Alive,
    };
    let problems: Vec<Unreadable> = capture.problems.iter().map(unreadable).collect();
    let report = Report {
        cluster: &capture.cluster,
        from_ms: capture.from,
        to_ms: capture.to,
        nodes: account.nodes,
        signals: account.signals,
        findings,
        alerts: Alerts {
            total: account.alerts as u64,
            explained: account.explained as u64,
            unexplained: account.unexplained as u64,
        },
        watchdog,
        problems: &problems,
        elapsed_ms,
    };
    text::report(&report, &screen::style())
}

fn unreadable(problem: &Problem) -> Unreadable {
    let whole = problem.unit == capture::Unit::File;
    Unreadable {
        file: problem.file.clone(),
        lines: if whole { 0 } else { problem.total },
        first: problem.lines.iter().map(|n| u64::from(*n)).collect(),
        reason: problem.reason.clone(),
    }
}
