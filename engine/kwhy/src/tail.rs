//! `kwhy tail`: findings as they are published.

use std::io::{self, Write};

use anyhow::Result;
use futures::StreamExt;
use kwhy_bus::{Bus, Entry, Filter, Start};
use kwhy_publish::{json, text};

use crate::{args::Format, exit::Exit, screen};

pub(crate) async fn run(
    bus: &Bus,
    cluster: Option<String>,
    format: Format,
    count: Option<u64>,
) -> Result<Exit> {
    let filter = Filter { cluster, ..Filter::default() };
    let mut entries = std::pin::pin!(bus.subscribe_findings(&filter, Start::Beginning));
    let style = screen::style();
    let mut left = count;
    let mut stop = std::pin::pin!(crate::stop());
    while left != Some(0) {
        let entry = tokio::select! {
            entry = entries.next() => entry,
            () = &mut stop => return Ok(Exit::Nothing),
        };
        let Some(entry) = entry else { return Ok(Exit::Nothing) };
        match entry? {
            Entry::Message { body, .. } => {
                let mut out = io::stdout().lock();
                match format {
                    Format::Json => json::write(&body, &mut out)?,
                    Format::Text => writeln!(out, "{}", text::finding(&body, &style))?,
                }
                out.flush()?;
                left = left.map(|n| n - 1);
            }
            Entry::Unreadable { sequence, subject, problem, .. } => {
                eprintln!("kwhy: message {sequence} on {subject} is no finding: {problem}");
            }
            Entry::Gap { first, last } => {
                eprintln!("kwhy: findings {first} to {last} are no longer stored");
            }
        }
    }
    Ok(Exit::Nothing)
}
