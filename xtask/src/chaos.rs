//! `cargo xtask chaos`: everything that can happen to kwhy and its NATS, in rounds drawn from a seed; see
//! `docs/fault-tests.md`.

use anyhow::Result;
use clap::Args;

use crate::{
    command::{cargo, command, show},
    packs,
    project::Project,
    setup::Setup,
};

/// How long, and what
#[derive(Args)]
pub(crate) struct Options {
    /// No round begins later than this; below 2 each fault is as short and small as shows anything
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Draws what is done and in which order: the same seed, the same rounds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults by number or name, for example `6,half-open` [default: all]
    #[arg(long, value_name = "FAULTS")]
    only: Option<String>,
    /// Most rounds
    #[arg(long)]
    rounds: Option<usize>,
}

/// Plays the rounds; an error where anything was lost, doubled or made up.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let (wasm, tools) = {
        let setup = Setup::new(project)?;
        (setup.wasm_target()?, setup.test_tools()?)
    };
    packs::build(project, &wasm)?;
    // As `cargo xtask test` builds, or half of the dependencies would be compiled twice.
    show(cargo(["build", "--workspace", "--all-targets"]).current_dir(project.root()))?;
    let mut chaos = command(&project.debug("chaos").to_string_lossy(), ["--minutes"]);
    chaos.arg(options.minutes.to_string()).arg("--seed").arg(options.seed.to_string());
    if let Some(only) = &options.only {
        chaos.arg("--only").arg(only);
    }
    if let Some(rounds) = options.rounds {
        chaos.arg("--rounds").arg(rounds.to_string());
    }
    tools.apply(&mut chaos);
    show(chaos.env("KWHY_BIN", project.kwhy(false)))
}
