//! The logs of this node as a live source: from configuration and command line to a reader at work.

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use kwhy_bus::Bus;
use kwhy_collect::{
    clock,
    logs::{self, Journal, Settings, Trouble},
};

use crate::{config::Config, connect};

/// Where reading begins where nothing was read before.
const SINCE: Duration = Duration::from_secs(15 * 60);
/// Far above what a kubelet writes in trouble, far below what would fill a disk unnoticed.
const LINES_PER_SECOND: u32 = 10_000;

/// What the command line sets over the configuration.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Given {
    /// Name of the node in Kubernetes, overrides kubelet.node [default: the host's name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub(crate) node: Option<String>,
    /// Read the systemd journal (kubelet.journal)
    #[arg(long)]
    pub(crate) journal: bool,
    /// Read the journal files in this folder, overrides kubelet.journal_directory
    #[arg(long, value_name = "DIR", requires = "journal")]
    pub(crate) journal_directory: Option<PathBuf>,
    /// Follow these files, with * and ?; may be given again
    #[arg(long = "file", value_name = "GLOB")]
    pub(crate) files: Vec<String>,
    /// Folder in which is kept up to where the logs were read, overrides data_dir
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// A node's logs, ready to be read.
pub(crate) struct NodeLogs {
    settings: Settings,
    what: String,
}

impl NodeLogs {
    /// Puts configuration and command line together; none where neither asks for any logs.
    pub(crate) async fn prepare(config: &Config, cluster: &str, given: Given) -> Result<Option<NodeLogs>> {
        let kubelet = &config.kubelet;
        let files = if given.files.is_empty() { kubelet.files.clone() } else { given.files };
        let journal = (kubelet.journal || given.journal).then(|| {
            let usual = Journal::default();
            Journal {
                directory: given.journal_directory.or_else(|| kubelet.journal_directory.clone()),
                units: kubelet.units.clone().unwrap_or(usual.units),
                kernel: kubelet.kernel.unwrap_or(true),
                program: usual.program,
            }
        });
        if journal.is_none() && files.is_empty() {
            return Ok(None);
        }
        let mut what = Vec::new();
        if let Some(journal) = &journal {
            let version = journal.version().await.context(
                "cannot start journalctl, which the journal is read with; install systemd's, or follow files instead \
                 (kubelet.files)",
            )?;
            let of = journal.directory.as_ref().map_or(String::new(), |dir| format!(" in {}", dir.display()));
            what.push(format!("journal{of} ({version})"));
        }
        for pattern in &files {
            logs::check_pattern(pattern)
                .map_err(|why| anyhow::anyhow!("kubelet.files: `{pattern}`: {why}"))?;
            what.push(pattern.clone());
        }
        let from_environment = || env::var("NODE_NAME").ok().filter(|name| !name.is_empty());
        let node = given.node.or_else(|| kubelet.node.clone()).or_else(from_environment);
        let node = node.unwrap_or_else(logs::host_name);
        if node.is_empty() {
            bail!("this host has no name; give --node NAME or set kubelet.node");
        }
        let level = kubelet.level.as_deref().map(str::parse).transpose().context("kubelet.level")?;
        let utc_offset =
            kubelet.utc_offset.as_deref().map(offset).transpose().context("kubelet.utc_offset")?;
        let settings = Settings {
            cluster: cluster.to_owned(),
            node,
            journal,
            files,
            utc_offset: utc_offset.unwrap_or(0),
            level: level.unwrap_or_default(),
            lines_per_second: kubelet.lines_per_second.unwrap_or(LINES_PER_SECOND),
            since: kubelet.since.unwrap_or(SINCE),
            state_dir: connect::data_folder(config, given.data_dir).join("collect"),
        };
        Ok(Some(NodeLogs { settings, what: what.join(", ") }))
    }

    /// Says what is read.
    pub(crate) fn announce(&self) {
        eprintln!("logs of node {}: {}", self.settings.node, self.what);
    }

    /// Reads and publishes until `stop` is done; what was read is stored before this returns.
    pub(crate) async fn run(
        self,
        bus: &Bus,
        vitals: logs::Vitals,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        let report = |trouble: &Trouble| eprintln!("kwhy: {trouble}");
        let shipped = logs::run(self.settings, bus, clock::wall, stop, report, vitals).await?;
        tracing::info!(signals = shipped.signals, messages = shipped.messages, "Log lines were shipped.");
        Ok(())
    }
}

/// Seconds east of UTC of `+02:00`, `-0330` or `Z`.
fn offset(text: &str) -> Result<i64> {
    let wrong = || format!("`{text}` is no offset; write +02:00");
    if text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") {
        return Ok(0);
    }
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => bail!(wrong()),
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = digits.split_at_checked(2).with_context(wrong)?;
    let minutes = if minutes.is_empty() { "0" } else { minutes };
    let (hours, minutes): (i64, i64) =
        (hours.parse().with_context(wrong)?, minutes.parse().with_context(wrong)?);
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        bail!(wrong());
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_in_their_spellings() {
        for (text, seconds) in [("+02:00", 7200), ("-0330", -12_600), ("+05", 18_000), ("Z", 0), ("utc", 0)] {
            assert_eq!(offset(text).unwrap(), seconds, "{text}");
        }
        for text in ["", "2", "+x", "+25:00", "+02:61", "Europe/Berlin"] {
            assert!(offset(text).is_err(), "{text}");
        }
    }
}
