//! `cargo xtask chaos`: everything that can happen to kwhy and its NATS, in rounds drawn from a seed; see
//! `docs/fault-tests.md`.

use anyhow::Result;

use crate::{
    command::{Passed, cargo, command, show},
    packs,
    project::Project,
    setup::Setup,
};

/// Plays the rounds; an error where anything was lost, doubled or made up.
pub(crate) fn run(project: &Project, options: &Passed) -> Result<()> {
    let (wasm, tools) = {
        let setup = Setup::new(project)?;
        (setup.wasm_target()?, setup.test_tools()?)
    };
    packs::build(project, &wasm)?;
    // As `cargo xtask test` builds, or half of the dependencies would be compiled twice.
    show(cargo(["build", "--workspace", "--all-targets"]).current_dir(project.root()))?;
    let mut chaos = command(&project.debug("chaos").to_string_lossy(), &options.args);
    tools.apply(&mut chaos);
    show(chaos.env("KWHY_BIN", project.kwhy(false)))
}
