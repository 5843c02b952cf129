//! The kwhy command: what was typed, the configuration, and which room does the work.

mod ahead;
mod args;
mod cache;
mod capture;
mod collect;
mod config;
mod connect;
mod correlate;
mod diagnose;
mod doctor;
mod exit;
mod explain;
mod feed;
mod folder;
mod live;
mod node_logs;
mod notices;
mod notify;
mod probing;
mod progress;
mod raw;
mod receive;
mod record;
mod replay;
mod rule_list;
mod rules;
mod run;
mod screen;
mod since;
mod tail;
mod term;

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;
use kwhy_bus::BusError;
use mimalloc::MiMalloc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Command, CommandLine, Of, RuleCommand},
    config::Config,
    exit::Exit,
};

/// What one thread asks for is given back by another almost always here: read by one, told by the next, forgotten by a third.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let args = CommandLine::parse();
    // What a rule says on its way to a failure is for its author; the failure itself is told in a line.
    let mut filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,kwhy::rule=off"));
    for directive in kwhy_collect::kube::LOG_FILTER.iter().filter_map(|d| d.parse().ok()) {
        filter = filter.add_directive(directive);
    }
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_color)
        .with_target(false)
        .init();
    match dispatch(args) {
        Ok(exit) => exit.into(),
        // Whoever read our output has gone; that is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kwhy: {error:#}");
            let unreachable = matches!(error.downcast_ref::<BusError>(), Some(BusError::Unreachable { .. }));
            if unreachable { Exit::NothingRead.into() } else { Exit::Wrong.into() }
        }
    }
}

fn dispatch(args: CommandLine) -> Result<Exit> {
    let config = Config::load(args.config.as_deref())?;
    match args.command {
        Command::Diagnose { dir, output, rules, only_rules } => {
            diagnose::run(&config, &dir, output.output, &rules, only_rules)
        }
        Command::Run { of: Of { nats, cluster }, rules, data_dir, listen } => {
            block_on(run::run(&config, run::Given { nats, cluster, rules, data_dir, listen }))
        }
        Command::Collect { command } => block_on(collect::run(&config, command)),
        Command::Feed { dir, nats, speed } => block_on(feed::run(&config, &dir, nats, speed)),
        Command::Capture { dir, namespace: namespaces, logs_of, alertmanager, kubelet, cluster } => {
            let given = capture::Given { dir, namespaces, logs_of, alertmanager, kubelet, cluster };
            block_on(capture::run(&config, given))
        }
        Command::Record { dir, of: Of { nats, cluster }, from } => {
            block_on(record::run(&config, record::Given { dir, nats, cluster, from }))
        }
        Command::Replay { of: Of { nats, cluster }, rules, from, output } => {
            let given = replay::Given { nats, cluster, rules, from, format: output.output };
            block_on(replay::run(&config, given))
        }
        Command::Tail { nats, output, count } => block_on(async {
            let bus = connect::connect(&config, nats, &config.cluster_name(None)).await?;
            tail::run(&bus, config.cluster.clone(), output.output, count).await
        }),
        Command::Explain { finding, code, capture, nats, output, rules } => {
            match (finding, code, capture) {
                (_, Some(code), Some(dir)) => explain::unnamed::run(&config, &code, &dir, output, &rules),
                (Some(finding), _, Some(dir)) => explain::of_capture(&config, &finding, &dir, output, &rules),
                (finding, _, None) => {
                    // The command line has seen to it that there is one.
                    let finding = finding.unwrap_or_default();
                    block_on(explain::of_stored(&config, &finding, nats, output, &rules))
                }
                (None, None, Some(_)) => anyhow::bail!("no FINDING and no --code is given"),
            }
        }
        Command::Doctor { of: Of { nats, cluster }, output } => {
            block_on(doctor::run(&config, nats, cluster, output))
        }
        Command::Rule { command: RuleCommand::List { output, rules } } => {
            rule_list::run(&config, output, &rules)
        }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}

/// Done when the process is asked to end, by SIGINT or SIGTERM, at any time after the call. One is for the whole of a
/// work: a signal that comes while nobody holds one is lost.
fn stop() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        match signals {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            // Without handlers the default holds: the signal ends the process.
            _ => std::future::pending().await,
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
