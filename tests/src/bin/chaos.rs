//! What `cargo xtask chaos` runs.

use std::{process::ExitCode, time::Duration};

use kwhy_tests::chaos::{self, Fault, Options};

fn options() -> Result<Options, String> {
    let mut options = Options {
        seed: 1,
        last: Duration::from_secs(300),
        faults: Fault::ALL.to_vec(),
        long: true,
        rounds: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} lacks its value"))?;
        let wrong = || format!("{name} {value}: no number");
        match name.as_str() {
            "--seed" => options.seed = value.parse().map_err(|_| wrong())?,
            "--minutes" => {
                let minutes: f64 = value.parse().map_err(|_| wrong())?;
                options.last = Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| wrong())?;
                // A fault that takes minutes has no place in one.
                options.long = minutes >= 2.0;
            }
            "--rounds" => options.rounds = Some(value.parse().map_err(|_| wrong())?),
            "--only" => options.faults = value.split(',').map(fault).collect::<Result<_, _>>()?,
            _ => return Err(format!("{name} is not known: --seed, --minutes, --rounds, --only")),
        }
    }
    Ok(options)
}

fn fault(name: &str) -> Result<Fault, String> {
    let found =
        Fault::ALL.into_iter().find(|fault| fault.name().1 == name || fault.name().0.to_string() == name);
    found.ok_or_else(|| {
        let all: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name().1).collect();
        format!("no fault is called {name}: {}", all.join(", "))
    })
}

#[tokio::main(worker_threads = 4)]
async fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("chaos: {wrong}");
            return ExitCode::from(2);
        }
    };
    let faults = chaos::run(&options, |line| println!("{line}")).await;
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
