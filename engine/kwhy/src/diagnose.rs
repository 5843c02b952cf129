//! `kwhy diagnose`: a capture in, findings out, with nothing else installed.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use kwhy_core::{Account, Engine, matching::Matcher};
use kwhy_ingest::capture::{self, Capture, Interest, Problem};
use kwhy_proto::v1::{Finding, Severity, Status};
use kwhy_publish::{
    json,
    text::{self, Alerts, Report, Unreadable, Watchdog},
};

use crate::{args::Format, config::Config, exit::Exit, notices::Notices, progress::Progress, rules, screen};

/// Lines that a rule may want; warnings and errors are kept by the reader itself.
struct Wanted(Arc<Matcher>);

impl Interest for Wanted {
    fn wants_line(&self, message: &str, _severity: &str) -> bool {
        self.0.wants_line(message)
    }
}

pub(crate) fn run(config: &Config, dir: &Path, format: Format, more_rules: &[PathBuf]) -> Result<Exit> {
    let start = Instant::now();
    let rules = rules::load(config, more_rules)?;
    // The cluster's name stands in the capture, which is read with what the rules want: the matcher comes first.
    let matcher = Arc::new(Matcher::new(kwhy_core::rule::Rules::descriptors(&rules))?);
    let progress = Progress::start("reading");
    let mut capture = match capture::read(dir, &Wanted(matcher)) {
        Ok(capture) => capture,
        Err(error) => {
            progress.end();
            eprintln!("kwhy: {:#}", anyhow::Error::new(error));
            return Ok(Exit::NothingRead);
        }
    };
    capture.problems.extend(without_objects(dir));
    tracing::debug!(signals = capture.signals.len(), lines = capture.lines_read, "Capture read.");
    let mut engine = Engine::new(config.settings(&capture.cluster), rules)?;
    let mut notices = Notices::default();
    let mut latest: BTreeMap<String, Finding> = BTreeMap::new();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let total = capture.signals.len() + 1;
    for (n, signal) in capture.signals.iter().cloned().chain([capture.end_tick()]).enumerate() {
        progress.at("correlating", n, total);
        for finding in engine.apply(signal) {
            if format == Format::Json {
                json::write(&finding, &mut out)?;
            }
            latest.insert(finding.id.clone(), finding);
        }
    }
    progress.end();
    notices.show(engine.take_notices());
    let findings: Vec<Finding> = latest.into_values().collect();
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
    Ok(exit(&findings))
}

/// Whether all of an unexplained finding's alerts were explained later.
fn taken_over(finding: &Finding) -> bool {
    finding.code.starts_with("unexplained.")
        && finding.status() == Status::Resolved
        && finding.symptoms.is_empty()
}

/// Any file may be missing, but without this one little can be said, and it should be known why.
fn without_objects(dir: &Path) -> Option<Problem> {
    const FILE: &str = "objects.json";
    let packed = format!("{FILE}.gz");
    [FILE, &packed].iter().all(|name| !dir.join(name).exists()).then(|| Problem {
        file: FILE.to_owned(),
        unit: capture::Unit::File,
        lines: Vec::new(),
        total: 1,
        reason: "is missing, so alerts and logs cannot be joined with owners, nodes and configuration; \
                 `kubectl get nodes,pods,rs,deploy,ds,sts,cm,svc -A -o json` makes it"
            .to_owned(),
    })
}

fn exit(findings: &[Finding]) -> Exit {
    let loud = |f: &Finding| matches!(f.severity(), Severity::Warning | Severity::Critical);
    if findings.iter().any(loud) { Exit::Findings } else { Exit::Nothing }
}

fn report(capture: &Capture, findings: &[Finding], account: &Account, elapsed_ms: Option<u64>) -> String {
    let silent = account.heartbeats.values().filter_map(|since| *since).min();
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
