//! Log lines of a node into NATS: `tests/bench/ship.py`, with the binary built first.

use anyhow::{Result, anyhow};
use clap::Args;

use crate::{
    captures,
    command::{command, show},
    packs,
    project::Project,
    setup::Setup,
};

/// What the script is to be told
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Options of tests/bench/ship.py, as `--rate 10000 --source file`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let (wasm, python, nats, journal) = {
        let setup = Setup::new(project)?;
        (setup.wasm_target()?, setup.python()?, setup.nats_server()?, setup.journal_remote()?)
    };
    packs::build(project, &wasm)?;
    captures::build(project, true)?;
    let mut ship = command(&python.to_string_lossy(), ["-B"]);
    ship.arg(project.root().join("tests/bench/ship.py")).arg("--kwhy").arg(project.kwhy(true));
    ship.arg("--nats-server").arg(nats).arg("--journal-remote").arg(journal);
    show(ship.args(&options.args)).map_err(|error| anyhow!("the bench of shipping failed: {error}"))
}
