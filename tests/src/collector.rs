//! `kwhy collect alerts` in the background.

use std::ffi::OsStr;

use crate::{Background, Kwhy};

/// A receiver of alerts that is ready.
#[derive(Debug)]
pub struct Collector {
    /// The program.
    pub process: Background,
    /// Where it takes alerts, `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Collector {
    /// Starts one on a free port that stores to the server at `nats`.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn start(kwhy: &Kwhy, nats: &str, cluster: &str) -> Self {
        let args: [&dyn AsRef<OsStr>; 8] =
            [&"collect", &"alerts", &"--listen", &"127.0.0.1:0", &"--nats", &nats, &"--cluster", &cluster];
        let process = Background::start(kwhy.command(&args));
        let url =
            process.wait_for("line `alerts: URL`", |line| line.strip_prefix("alerts: ").map(str::to_owned));
        process.wait_for("line `ready`", |line| (line == "ready").then_some(()));
        Self { process, url }
    }

    /// A URL of it.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The entry for it in a list of alertmanagers of Prometheus.
    #[must_use]
    pub fn as_alertmanager(&self) -> String {
        as_alertmanager(&self.url)
    }
}

/// The entry for an address in a list of alertmanagers of Prometheus.
#[must_use]
pub fn as_alertmanager(url: &str) -> String {
    let (scheme, address) = url.split_once("://").unwrap_or(("http", url));
    format!("- {{scheme: {scheme}, timeout: 10s, static_configs: [{{targets: ['{address}']}}]}}\n")
}
