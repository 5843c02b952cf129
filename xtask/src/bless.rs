//! `cargo xtask bless`: the files that show what kwhy says are made anew by the very tests that compare with them.

use anyhow::Result;

use crate::{
    captures,
    command::{cargo, show},
    packs,
    project::Project,
    setup::Setup,
};

/// Tests that write their file where this is set
const BLESS: &str = "KWHY_BLESS";

/// Which tests of kwhy-tests have such files
const TESTS: [&str; 2] = ["causes_page", "text"];

/// Builds kwhy and lets these tests write their files.
pub(crate) fn run(project: &Project) -> Result<()> {
    let setup = Setup::new(project)?;
    packs::build(project, &setup.wasm_target()?)?;
    let tools = setup.test_tools()?;
    drop(setup);
    captures::build(project, false)?;
    let mut test = cargo(["test", "--workspace"]);
    test.current_dir(project.root()).args(TESTS.iter().flat_map(|name| ["--test", name]));
    tools.apply(&mut test);
    show(test.env("KWHY_BIN", project.kwhy(false)).env(BLESS, "1"))
}
