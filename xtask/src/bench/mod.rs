//! `cargo xtask bench`: figures that can be repeated on any machine, each with its check that the answers are right.

mod load;
mod measure;
mod script;
mod w1;

use anyhow::Result;
use clap::Subcommand;

use crate::{command::Passed, project::Project};

/// A benchmark
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Log lines a CPU-second: a million kubelet lines, 10, 100 and 1000 pairs of messages to find in them
    W1(w1::Options),
    /// Time and memory for a capture of a large cluster: 5,000 pods in 100 nodes
    Scale(Passed),
    /// From publishing to a stored revision, at 2,000 signals a second for ten minutes
    Load(Passed),
    /// Processor and memory for shipping 5,000 log lines a second from a node into NATS
    Ship(Passed),
}

/// Runs one benchmark, or all as they are without options.
pub(crate) fn run(project: &Project, bench: Option<Bench>) -> Result<()> {
    match bench {
        Some(Bench::W1(options)) => w1::run(project, &options),
        Some(Bench::Scale(options)) => script::scale(project, &options),
        Some(Bench::Load(options)) => load::run(project, &options),
        Some(Bench::Ship(options)) => script::ship(project, &options),
        None => {
            w1::run(project, &w1::Options::default())?;
            script::scale(project, &Passed::default())?;
            script::ship(project, &Passed::default())?;
            load::run(project, &Passed::default())
        }
    }
}
