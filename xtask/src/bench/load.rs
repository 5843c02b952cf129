//! `cargo xtask bench load`: a steady stream of signals through the release binary, with nats-server beside it. What is
//! told and measured stands in `tests/src/bin/load.rs`.

use anyhow::{Context as _, Result};

use crate::{
    captures,
    command::{Passed, cargo, command, show},
    packs,
    project::Project,
    setup::Setup,
};

/// An error where a change was not stored, or 99 of 100 were not stored in time.
pub(crate) fn run(project: &Project, options: &Passed) -> Result<()> {
    let setup = Setup::new(project)?;
    let (wasm, nats) = (setup.wasm_target()?, setup.nats_server()?);
    // Nothing more is brought: others need not wait for the end of the bench.
    drop(setup);
    packs::build(project, &wasm)?;
    captures::build(project, true)?;
    // As the tests are built, or half of the dependencies would be compiled twice.
    show(cargo(["build", "--workspace", "--bins"]).current_dir(project.root()))?;
    let mut load = command(&project.debug("load").to_string_lossy(), &options.args);
    load.env("KWHY_BIN", project.kwhy(true)).env("KWHY_NATS_SERVER", nats);
    show(&mut load).context("too slow, or something is missing")
}
