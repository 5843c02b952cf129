//! `cargo xtask test`: everything that must hold, cheapest first, each phase timed.

use anyhow::Result;

use crate::{
    captures,
    command::{cargo, show},
    packs,
    phases::Phases,
    project::Project,
    setup::Setup,
};

/// Runs all phases up to the first that fails; `extra` goes to cargo test.
pub(crate) fn run(project: &Project, extra: &[String]) -> Result<()> {
    let mut phases = Phases::new();
    let result = run_phases(project, extra, &mut phases);
    println!("\n{}", phases.summary());
    if result.is_ok() {
        println!("cargo xtask test: all phases passed");
    }
    result
}

fn run_phases(project: &Project, extra: &[String], phases: &mut Phases) -> Result<()> {
    let in_root = |args: &[&str]| {
        let mut cargo = cargo(args);
        cargo.current_dir(project.root());
        cargo
    };
    let setup = Setup::new(project)?;
    let (wasm, tools) = phases.run("set-up", || {
        let wasm = setup.wasm_target()?;
        setup.rust_components()?;
        Ok((wasm, setup.test_tools()?))
    })?;
    phases.run("format", || show(&mut in_root(&["fmt", "--all", "--check"])))?;
    // Before anything that compiles the binary, which embeds them.
    phases.run("packs", || packs::build(project, &wasm))?;
    // Its lock would stop a test that runs xtask itself.
    drop(setup);
    phases.run("lints", || {
        show(&mut in_root(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    // With the very features that the tests are built with, or half of the dependencies would be compiled twice.
    phases.run("build", || show(&mut in_root(&["build", "--workspace", "--all-targets"])))?;
    let kwhy = project.kwhy(false);
    phases.run("tests", || {
        let mut test = in_root(&["test", "--workspace", "--no-fail-fast"]);
        tools.apply(&mut test);
        show(test.env("KWHY_BIN", &kwhy).args(extra))
    })?;
    phases.run("captures", || captures::check(project, tools.python(), &kwhy))
}
