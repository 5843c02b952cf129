//! A capture through the engine, from its first signal to its end.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Result;
use kwhy_core::{Engine, Settings, matching::Matcher, rule::Rules};
use kwhy_ingest::capture::{self, Capture, Interest, Problem, Waiting};
use kwhy_proto::v1::Finding;

use crate::{ahead, config::Config, notices::Notices, progress::Progress};

/// Lines that a rule may want; warnings and errors are kept by the reader itself.
struct Wanted(Arc<Matcher>);

impl Interest for Wanted {
    fn wants_line(&self, source: &str, message: &str, _severity: &str) -> bool {
        self.0.wants_line(source, message)
    }
}

/// What of the signals is still there when all are taken in. A large capture is mostly signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All of them, to look up what a finding cites.
    Signals,
    Nothing,
}

/// A capture and all that came of it.
pub(crate) struct Correlated<R> {
    /// Its signals only where they were to be kept.
    pub(crate) capture: Capture,
    /// As it stands at the end.
    pub(crate) engine: Engine<R>,
    /// The latest revision of each finding, in the order of their ids.
    pub(crate) findings: Vec<Finding>,
}

/// Correlates the capture in `dir`; `each` gets every finding revision as it comes. None where nothing could be read,
/// which is told then.
pub(crate) fn correlate<R: Rules>(
    config: &Config,
    dir: &Path,
    rules: R,
    keep: Keep,
    mut each: impl FnMut(&Finding) -> Result<()>,
) -> Result<Option<Correlated<R>>> {
    // The cluster's name stands in the capture, which is read with what the rules want: the matcher comes first.
    let matcher = Arc::new(Matcher::new(rules.descriptors())?);
    let progress = Progress::start("reading");
    let mut capture = match capture::read(dir, &Wanted(matcher.clone())) {
        Ok(capture) => capture,
        Err(error) => {
            progress.end();
            eprintln!("kwhy: {:#}", anyhow::Error::new(error));
            return Ok(None);
        }
    };
    capture.problems.extend(without_objects(&capture));
    tracing::debug!(signals = capture.signals.len(), lines = capture.lines_read, "Capture read.");
    let settings = Settings { recorded: true, ..config.settings(&capture.cluster) };
    let mut engine = Engine::with_matcher(settings, rules, matcher);
    let mut latest: BTreeMap<String, Finding> = BTreeMap::new();
    let total = capture.signals.len() + 1;
    let end = capture.end_tick();
    let signals = match keep {
        Keep::Signals => capture.signals.clone(),
        Keep::Nothing => std::mem::take(&mut capture.signals),
    };
    ahead::read(signals.into_iter().map(Waiting::unpacked).chain([end]), |n, input| {
        progress.at("correlating", n, total);
        for finding in engine.apply_recorded(&input) {
            each(&finding)?;
            latest.insert(finding.id.clone(), finding);
        }
        Ok(())
    })?;
    progress.end();
    Notices::default().show(engine.take_notices());
    Ok(Some(Correlated { capture, engine, findings: latest.into_values().collect() }))
}

/// Any file may be missing, but without this one little can be said, and it should be known why.
fn without_objects(capture: &Capture) -> Option<Problem> {
    (!capture.has_objects).then(|| Problem {
        file: "objects.json".to_owned(),
        unit: capture::Unit::File,
        lines: Vec::new(),
        total: 1,
        reason: "is missing, so alerts and logs cannot be joined with owners, nodes and configuration; \
                 `kubectl get nodes,pods,rs,deploy,ds,sts,cm,svc -A -o json` makes it"
            .to_owned(),
    })
}
