//! A large cluster in one capture: `tests/bench/scale.py`, with the binary built first.

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
    /// Options of tests/bench/scale.py, as `--storm 10 --runs 3`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let (wasm, python) = {
        let setup = Setup::new(project)?;
        (setup.wasm_target()?, setup.python()?)
    };
    packs::build(project, &wasm)?;
    captures::build(project, true)?;
    let mut scale = command(&python.to_string_lossy(), ["-B"]);
    scale.arg(project.root().join("tests/bench/scale.py")).arg("--kwhy").arg(project.kwhy(true));
    show(scale.args(&options.args)).map_err(|error| anyhow!("the bench of a large cluster failed: {error}"))
}
