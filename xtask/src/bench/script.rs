//! Benches that are scripts in `tests/bench`, told where the release binary is.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{
    captures,
    command::{Passed, command, show},
    packs,
    project::Project,
    setup::Setup,
};

/// A large cluster in one capture: `tests/bench/scale.py`.
pub(crate) fn scale(project: &Project, options: &Passed) -> Result<()> {
    run(project, Setup::new(project)?, "scale.py", &[], options)
}

/// Log lines of a node into NATS: `tests/bench/ship.py`.
pub(crate) fn ship(project: &Project, options: &Passed) -> Result<()> {
    let setup = Setup::new(project)?;
    let (nats, journal) = (setup.nats_server()?, setup.journal_remote()?);
    let told = ["--nats-server".into(), nats, "--journal-remote".into(), journal];
    run(project, setup, "ship.py", &told, options)
}

/// Builds the binary and runs a script with it.
fn run(project: &Project, setup: Setup<'_>, script: &str, told: &[PathBuf], options: &Passed) -> Result<()> {
    let (wasm, python) = (setup.wasm_target()?, setup.python()?);
    // Nothing more is brought: others need not wait for the end of the bench.
    drop(setup);
    packs::build(project, &wasm)?;
    captures::build(project, true)?;
    let mut bench = command(&python.to_string_lossy(), ["-B"]);
    bench.arg(project.root().join("tests/bench").join(script)).arg("--kwhy").arg(project.kwhy(true));
    show(bench.args(told).args(&options.args)).with_context(|| format!("tests/bench/{script} failed"))
}
