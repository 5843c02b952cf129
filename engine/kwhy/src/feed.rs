//! `kwhy feed`: a capture played into NATS.

use std::path::Path;

use anyhow::Result;
use kwhy_ingest::capture::{self, Everything};

use crate::{args::Speed, config::Config, connect, exit::Exit};

pub(crate) async fn run(config: &Config, dir: &Path, nats: Option<String>, _speed: Speed) -> Result<Exit> {
    let capture = match capture::read(dir, &Everything) {
        Ok(capture) => capture,
        Err(error) => {
            eprintln!("kwhy: {:#}", anyhow::Error::new(error));
            return Ok(Exit::NothingRead);
        }
    };
    let bus = connect::connect(config, nats, &capture.cluster).await?;
    let mut signals = capture.signals.clone();
    signals.push(capture.end_tick());
    let published = bus.publish_signals(kwhy_bus::batches(signals)).await?;
    eprintln!("fed {} messages", published.stored + published.known);
    bus.close().await;
    Ok(Exit::Nothing)
}
