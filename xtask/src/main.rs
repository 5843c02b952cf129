//! `cargo xtask`: one command sets a machine up, builds the rule packs, and tests or shows kwhy.
//!
//! It is a plain Rust program, so that a new machine needs the Rust toolchain and nothing else to start. What is
//! missing beyond that is brought by the clients a developer already trusts: cargo, rustup, pip and apt.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod bless;
mod captures;
mod chaos;
mod command;
mod demo;
mod packs;
mod phases;
mod project;
mod setup;
mod test;
mod version;

use project::Project;
use setup::Setup;

const AFTER: &str = "\
A first look:          cargo xtask demo
Before a push:         cargo xtask test
Working on a rule:     cargo xtask packs && cargo run -- diagnose tests/captures/a1-coredns-loop
Working on the engine: cargo xtask setup && cargo xtask packs, once; then plain cargo build and cargo test

What is brought lies in target/tools; deleting that folder starts over.
KWHY_WASM_TOOLCHAIN=installed|rustup|debian picks where the wasm32 target comes from (default: the first that works).";

/// Sets this machine up, builds the rule packs, and tests or shows kwhy
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = AFTER, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build every rule pack under plugins/ as a component into target/packs, where the kwhy binary embeds it
    Packs,
    /// Bring what the tests need: wasm32 target, nats-server new and old, Python packages
    Setup,
    /// Diagnose a recorded incident, then send it through NATS and show the finding and the Slack message
    Demo {
        /// Use the optimised binary: slower to build, as users run it
        #[arg(long)]
        release: bool,
    },
    /// Everything that must hold: packs, format, lints, build, tests, scores of the captures
    Test {
        /// Passed on to cargo test, for example `-- -p kwhy-core` or `-- some_test -- --nocapture`
        #[arg(last = true)]
        cargo: Vec<String>,
    },
    /// Write anew what tests compare with: the golden report and docs/causes.md; look at what changed before you commit it
    Bless,
    /// Compare what kwhy says about captures with their answer keys
    Score {
        /// Capture directories [default: all in tests/captures]
        captures: Vec<PathBuf>,
        /// Use the optimised binary
        #[arg(long)]
        release: bool,
        /// Run each twice: the outputs must be the same bytes
        #[arg(long)]
        twice: bool,
    },
    /// Measure what kwhy takes, with its answers checked; without a name every benchmark
    Bench {
        #[command(subcommand)]
        bench: Option<bench::Bench>,
    },
    /// Kill, stop, cut off and flood kwhy and its NATS, and check that nothing is lost or doubled
    Chaos(command::Passed),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let project = Project::find()?;
    match task {
        Task::Packs => {
            let wasm = Setup::new(&project)?.wasm_target()?;
            packs::build(&project, &wasm)
        }
        Task::Setup => {
            let setup = Setup::new(&project)?;
            setup.wasm_target()?;
            setup.rust_components()?;
            setup.test_tools()?;
            println!("set-up: all there, in {}", setup.tools().display());
            Ok(())
        }
        Task::Demo { release } => demo::run(&project, release),
        Task::Test { cargo } => test::run(&project, &cargo),
        Task::Bless => bless::run(&project),
        Task::Score { captures, release, twice } => captures::score(&project, &captures, release, twice),
        Task::Bench { bench } => bench::run(&project, bench),
        Task::Chaos(options) => chaos::run(&project, &options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_stands_after_two_dashes_goes_to_cargo_test() {
        let args =
            Args::try_parse_from(["cargo xtask", "test", "--", "-p", "kwhy-core", "--", "--nocapture"]);
        let Ok(Args { task: Task::Test { cargo } }) = args else { panic!("not understood") };
        assert_eq!(cargo, ["-p", "kwhy-core", "--", "--nocapture"]);
    }

    #[test]
    fn what_another_program_is_to_be_told_is_passed_on() {
        let args = Args::try_parse_from(["cargo xtask", "chaos", "--minutes", "30", "--only", "6,half-open"]);
        let Ok(Args { task: Task::Chaos(passed) }) = args else { panic!("not understood") };
        assert_eq!(passed.args, ["--minutes", "30", "--only", "6,half-open"]);
    }

    #[test]
    fn without_a_command_the_help_teaches() {
        let Err(error) = Args::try_parse_from(["cargo xtask"]) else { panic!("accepted") };
        let text = error.to_string();
        for word in ["demo", "test", "packs", "score", "A first look", "target/tools"] {
            assert!(text.contains(word), "no {word} in:\n{text}");
        }
    }

    #[test]
    fn an_unknown_command_is_refused_with_the_near_one() {
        let Err(error) = Args::try_parse_from(["cargo xtask", "tests"]) else { panic!("accepted") };
        assert!(error.to_string().contains("'test'"), "{error}");
    }
}
