//! Which NATS to talk to.

use std::path::PathBuf;

use anyhow::{Result, bail};
use kwhy_bus::{Bus, Settings, server};

use crate::config::Config;

/// Where an own nats-server keeps its store.
pub(crate) fn data_dir(config: &Config, given: Option<PathBuf>) -> PathBuf {
    data_folder(config, given).join("nats")
}

/// Where kwhy keeps what must outlive it.
pub(crate) fn data_folder(config: &Config, given: Option<PathBuf>) -> PathBuf {
    given.or_else(|| config.data_dir.clone()).unwrap_or_else(|| PathBuf::from("kwhy-data"))
}

/// Bus settings for a server and cluster.
pub(crate) fn settings(config: &Config, url: &str, cluster: &str) -> Settings {
    let mut settings = Settings::new(url, cluster);
    settings.credentials.clone_from(&config.nats.credentials);
    settings.ca.clone_from(&config.nats.ca);
    settings
}

/// The server that was named, else the one that `kwhy run` has started in the data directory.
pub(crate) fn url(config: &Config, nats: Option<String>) -> Result<String> {
    let named = nats.or_else(|| config.nats.url.clone());
    let Some(url) = named.or_else(|| server::running_in(&data_dir(config, None))) else {
        bail!(
            "no NATS server is named and no `kwhy run` has started one here; give --nats URL or set nats.url"
        );
    };
    Ok(url)
}

/// Connects to [`url`].
pub(crate) async fn connect(config: &Config, nats: Option<String>, cluster: &str) -> Result<Bus> {
    Ok(Bus::connect(&settings(config, &url(config, nats)?, cluster)).await?)
}

/// Connects to [`url`] to publish signals and nothing else, which needs no right on streams.
pub(crate) async fn publisher(config: &Config, nats: Option<String>, cluster: &str) -> Result<Bus> {
    Ok(Bus::publisher(&settings(config, &url(config, nats)?, cluster)).await?)
}
