//! What the log of a metrics-server says now: which kubelets give no metrics, and why.
//!
//! While a rollout hangs, pods of two templates stand side by side; the younger ones that have spoken tell what is wrong
//! with the settings of today.

use kwhy_sdk::{Signal, World, minutes};

use crate::{
    SCRAPE, SETTLED,
    line::{Failure, Kind, failures},
    server::Pod,
};

/// How long the lines of a pod speak for it.
const LOOKBACK: u64 = minutes(60);
/// Lines so close to the newest are of the same rounds: metrics are asked for every 15 to 60 s.
const ROUND: u64 = minutes(3);

/// How long a pod that is not ready may be silent: the back-off between its runs is five minutes at most.
const FRESH: u64 = minutes(30);

/// A kubelet that gives no metrics.
#[derive(Debug, Clone)]
pub(crate) struct Silent {
    pub(crate) failure: Failure,
    /// The oldest line that says so; the newest would be another one at every look.
    pub(crate) line: Signal,
}

/// The lines of the pods that count.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// Why most of them are silent.
    pub(crate) kind: Kind,
    /// Those that are silent for that reason, sorted by node.
    pub(crate) silent: Vec<Silent>,
    pub(crate) oldest: u64,
    pub(crate) newest: u64,
    pub(crate) lines: usize,
}

impl Reading {
    /// None where no pod that stands has complained lately.
    pub(crate) fn of(world: &World<'_>, pods: &[Pod]) -> Option<Self> {
        let since = world.ago(LOOKBACK);
        let told: Vec<(&Pod, Vec<Signal>)> = pods
            .iter()
            .map(|p| (p, world.about(&p.id, "self", "log", SCRAPE, since, 256)))
            .filter(|(_, lines)| !lines.is_empty())
            .collect();
        let youngest = told.iter().map(|(p, _)| p).max_by_key(|p| (p.made(), p.id.name.as_str()))?;
        let template = youngest.template();
        let lines: Vec<&Signal> =
            told.iter().filter(|(p, _)| p.template() == template).flat_map(|(_, lines)| lines).collect();
        let newest = lines.iter().map(|l| l.at).max()?;
        // One entry a node: what its newest line says.
        let mut now: Vec<(u64, Failure)> = Vec::new();
        for line in lines.iter().filter(|l| l.at + ROUND >= newest) {
            for failure in failures(&line.message) {
                match now.iter_mut().find(|(_, f)| f.node == failure.node) {
                    Some(known) if known.0 < line.at => *known = (line.at, failure),
                    Some(_) => {}
                    None => now.push((line.at, failure)),
                }
            }
        }
        let count = |kind: Kind| now.iter().filter(|(_, f)| f.kind == kind).count();
        let kind = now.iter().map(|(_, f)| f.kind).reduce(|a, b| if count(b) > count(a) { b } else { a })?;
        let mut silent: Vec<Silent> = Vec::new();
        let (mut oldest, mut of_kind) = (newest, 0);
        for line in &lines {
            let of_line = failures(&line.message);
            if of_line.iter().any(|f| f.kind == kind) {
                oldest = oldest.min(line.at);
                of_kind += 1;
            }
            for failure in of_line.into_iter().filter(|f| f.kind == kind) {
                if !now.iter().any(|(_, f)| f.node == failure.node && f.kind == kind) {
                    continue;
                }
                let place = silent.partition_point(|s| s.failure.node < failure.node);
                match silent.get_mut(place).filter(|s| s.failure.node == failure.node) {
                    Some(known) if (line.at, &line.id) < (known.line.at, &known.line.id) => {
                        *known = Silent { failure, line: (*line).clone() };
                    }
                    Some(_) => {}
                    None => silent.insert(place, Silent { failure, line: (*line).clone() }),
                }
            }
        }
        Some(Self { kind, silent, oldest, newest, lines: of_kind })
    }

    /// Whether it still speaks for the pods: they have complained lately, or have not been ready since.
    pub(crate) fn lasts(&self, world: &World<'_>, pods: &[Pod]) -> bool {
        let well = pods.iter().all(|p| p.ready_since().is_some_and(|since| since <= self.newest));
        let quiet = self.newest + SETTLED <= world.now();
        self.newest + FRESH >= world.now() && !(well && quiet)
    }

    /// Names of the nodes whose kubelets are silent for the reason.
    pub(crate) fn nodes(&self) -> Vec<String> {
        self.silent.iter().map(|s| s.failure.node.clone()).collect()
    }
}
