//! `kwhy doctor`: what stands in the way of findings, each with the command or configuration that mends it.

mod check;
mod cluster;
mod journal;
mod nats;
mod slack;

use anyhow::Result;

use self::check::Check;
use crate::{args::Format, config::Config, exit::Exit};

/// Looks at everything, prints what it finds, and says by the exit status whether something is missing.
pub(crate) async fn run(
    config: &Config,
    nats: Option<String>,
    cluster: Option<String>,
    format: Format,
) -> Result<Exit> {
    let mut checks = nats::checks(config, nats, &config.cluster_name(cluster)).await;
    checks.extend(cluster::checks(config).await);
    checks.extend(journal::checks().await);
    checks.push(slack::check(config).await);
    check::print(&checks, format)?;
    Ok(if checks.iter().any(Check::is_missing) { Exit::Findings } else { Exit::Nothing })
}
