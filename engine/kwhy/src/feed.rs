//! `kwhy feed`: a capture played into NATS.

use std::path::Path;

use anyhow::{Result, bail};
use kwhy_collect::feed::{self, Speed};
use kwhy_ingest::capture::{self, Everything, Waiting};

use crate::{config::Config, connect, exit::Exit, progress::Progress};

pub(crate) async fn run(config: &Config, dir: &Path, nats: Option<String>, speed: Speed) -> Result<Exit> {
    let capture = match capture::read(dir, &Everything) {
        Ok(capture) => capture,
        Err(error) => {
            eprintln!("kwhy: {:#}", anyhow::Error::new(error));
            return Ok(Exit::NothingRead);
        }
    };
    for problem in &capture.problems {
        eprintln!("kwhy: {problem}");
    }
    let bus = connect::connect(config, nats, &capture.cluster).await?;
    let progress = Progress::start("feeding");
    let end = capture.end_tick();
    let signals = capture.signals.into_iter().map(Waiting::unpacked).collect();
    let fed =
        feed::feed(&bus, signals, end, speed, crate::stop(), |p| progress.at("feeding", p.sent, p.total))
            .await;
    progress.end();
    bus.close().await;
    let fed = fed?;
    eprintln!(
        "fed {} signals of cluster {} in {} messages{}",
        fed.signals,
        capture.cluster,
        fed.stored + fed.known,
        if fed.known > 0 { format!(", {} of them known already", fed.known) } else { String::new() }
    );
    if let Some(large) = fed.too_large.first() {
        bail!(
            "{} of {} bytes and {} more are larger than NATS takes ({} bytes) and are missing; raise max_payload of nats-server",
            large.id,
            large.size,
            fed.too_large.len() - 1,
            large.limit
        );
    }
    Ok(Exit::Nothing)
}
