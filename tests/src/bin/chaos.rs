//! What `cargo xtask chaos` runs.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use kwhy_tests::chaos::{self, Fault};

/// Kill, stop, cut off and flood kwhy and its NATS, and check that nothing is lost or doubled
#[derive(Parser)]
#[command(name = "cargo xtask chaos")]
struct Options {
    /// No round begins later than this; below 2 each fault is as short and small as shows anything
    #[arg(long, default_value = "5", value_parser = minutes)]
    minutes: Duration,
    /// Draws what is done and in which order: the same seed, the same rounds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults by number or name, for example `6,half-open` [default: all]
    #[arg(long, value_name = "FAULTS", value_delimiter = ',')]
    only: Vec<Fault>,
    /// Most rounds
    #[arg(long)]
    rounds: Option<usize>,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 = text.parse().map_err(|_| "no number")?;
    Duration::try_from_secs_f64(minutes * 60.0).map_err(|error| error.to_string())
}

#[tokio::main(worker_threads = 4)]
async fn main() -> ExitCode {
    let Options { minutes, seed, only, rounds } = Options::parse();
    let options = chaos::Options {
        seed,
        last: minutes,
        faults: if only.is_empty() { Fault::ALL.to_vec() } else { only },
        // A fault that takes minutes has no place in one.
        long: minutes >= Duration::from_secs(120),
        rounds,
    };
    let faults = chaos::run(&options, |line| println!("{line}")).await;
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
