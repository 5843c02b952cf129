//! Which NATS to talk to.

use std::path::PathBuf;

use anyhow::{Result, bail};
use kwhy_bus::{Bus, Settings, server};

use crate::config::Config;

/// Where an own nats-server keeps its store.
pub(crate) fn data_dir(config: &Config, given: Option<PathBuf>) -> PathBuf {
    given.or_else(|| config.data_dir.clone()).unwrap_or_else(|| PathBuf::from("kwhy-data")).join("nats")
}

/// Bus settings for a server and cluster.
pub(crate) fn settings(config: &Config, url: &str, cluster: &str) -> Settings {
    let mut settings = Settings::new(url, cluster);
    settings.credentials.clone_from(&config.nats.credentials);
    settings.ca.clone_from(&config.nats.ca);
    settings
}

/// Connects to the server that was named, else to the one that `kwhy run` has started in the data directory.
pub(crate) async fn connect(config: &Config, nats: Option<String>, cluster: &str) -> Result<Bus> {
    let named = nats.or_else(|| config.nats.url.clone());
    let Some(url) = named.or_else(|| server::running_in(&data_dir(config, None))) else {
        bail!(
            "no NATS server is named and no `kwhy run` has started one here; give --nats URL or set nats.url"
        );
    };
    Ok(Bus::connect(&settings(config, &url, cluster)).await?)
}
