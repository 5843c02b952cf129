//! `kwhy explain`: what makes kwhy believe a finding, of a recorded incident or of those stored in NATS.

mod choose;
pub(crate) mod unnamed;
mod witness;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kwhy_bus::Filter;
use kwhy_core::rule::Rules;
use kwhy_ingest::capture::Waiting;
use kwhy_proto::v1::Finding;
use kwhy_publish::{explain::Explanation, json, text};

use crate::{
    args::Format,
    config::Config,
    connect,
    correlate::{Correlated, Keep, correlate},
    exit::Exit,
    rules, screen,
};

/// Codes that kwhy itself uses.
const OWN: [&str; 3] = ["kwhy.rule-failing", "kwhy.signals-lost", "unexplained.alerts"];

/// Explains a finding of a capture.
pub(crate) fn of_capture(
    config: &Config,
    wanted: &str,
    dir: &Path,
    format: Format,
    more_rules: &[PathBuf],
) -> Result<Exit> {
    let rules = rules::load(config, more_rules)?;
    let codes = codes(&rules);
    let correlated = correlate(config, dir, rules, Keep::Signals, |_| Ok(()))?;
    let Some(Correlated { capture, findings, .. }) = correlated else { return Ok(Exit::NothingRead) };
    let finding = choose::finding(wanted, &findings, &codes)?;
    let signal = |id: &str| capture.signals.iter().map(Waiting::head).find(|signal| signal.id == id);
    print(&Explanation::new(finding, &findings, signal), format)
}

/// Explains a finding that is stored in NATS. What it does not hold itself is not asked for.
pub(crate) async fn of_stored(
    config: &Config,
    wanted: &str,
    nats: Option<String>,
    format: Format,
    more_rules: &[PathBuf],
) -> Result<Exit> {
    let cluster = &config.cluster_name(None);
    let bus = connect::connect(config, nats, cluster).await.context("no --capture DIR is given")?;
    let filter = Filter { cluster: config.cluster.clone(), ..Filter::default() };
    let findings: Vec<Finding> = bus.stored_findings(&filter).await?;
    let codes = codes(&rules::load(config, more_rules)?);
    let finding = choose::finding(wanted, &findings, &codes)?;
    print(&Explanation::new(finding, &findings, |_| None), format)
}

/// All codes that a finding may have.
fn codes(rules: &impl Rules) -> Vec<String> {
    let declared = rules.descriptors().iter().flat_map(|rule| &rule.codes).map(|info| info.code.clone());
    declared.chain(OWN.map(str::to_owned)).collect()
}

fn print(explanation: &Explanation, format: Format) -> Result<Exit> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        Format::Json => json::record(explanation, &mut out)?,
        Format::Text => out.write_all(text::explain(explanation, &screen::style()).as_bytes())?,
    }
    out.flush()?;
    Ok(Exit::Nothing)
}
