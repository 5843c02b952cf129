//! `cargo xtask bench load`: a steady stream of signals through the release binary, with nats-server beside it. What is
//! told and measured stands in `tests/src/bin/load.rs`.

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    captures,
    command::{cargo, command, show},
    packs,
    project::Project,
    setup::Setup,
};

/// How much, and for how long
#[derive(Args)]
pub(crate) struct Options {
    /// How long
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Signals a second, one of 100 of which changes a finding
    #[arg(long, default_value_t = 2000)]
    rate: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 600, rate: 2000 }
    }
}

/// An error where a change was not stored, or 99 of 100 were not stored in time.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let setup = Setup::new(project)?;
    let (wasm, nats) = (setup.wasm_target()?, setup.nats_server()?);
    // Nothing more is brought: others need not wait for the end of the bench.
    drop(setup);
    packs::build(project, &wasm)?;
    captures::build(project, true)?;
    // As the tests are built, or half of the dependencies would be compiled twice.
    show(cargo(["build", "--workspace", "--bins"]).current_dir(project.root()))?;
    let mut load = command(&project.debug("load").to_string_lossy(), ["--seconds"]);
    load.arg(options.seconds.to_string()).arg("--rate").arg(options.rate.to_string());
    load.env("KWHY_BIN", project.kwhy(true)).env("KWHY_NATS_SERVER", nats);
    show(&mut load).context("too slow, or something is missing")
}
