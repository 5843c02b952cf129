//! The log of the kubelet on this machine, from its journal.

use std::time::Duration;

use kwhy_ingest::text;
use tokio::time::timeout;

use crate::logs::Journal;

/// Longest that journalctl may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How far back. The events of a cluster go back as far.
const SINCE: &str = "-1h";
/// Lines, from the end.
const LINES: &str = "200000";

/// The node that this machine is, and the log; or why there is none.
pub(super) async fn take(journal: &Journal, nodes: &[String]) -> Result<(String, String), String> {
    let host = tokio::fs::read_to_string("/proc/sys/kernel/hostname").await.unwrap_or_default();
    let node = node(host.trim(), nodes)?;
    let mut command = journal.reader();
    command.args(["--output", "short-iso-precise", "--utc", "--quiet", "--since", SINCE, "--lines", LINES]);
    command.args(journal.units.iter().map(|unit| format!("--unit={unit}")));
    let ended = match timeout(PATIENCE, command.output()).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => return Err(format!("journalctl cannot be started: {error}")),
        Err(_elapsed) => return Err(format!("journalctl took longer than {} s", PATIENCE.as_secs())),
    };
    if !ended.status.success() {
        let words = String::from_utf8_lossy(&ended.stderr);
        return Err(format!("journalctl: {}", text::message(words.trim())));
    }
    if ended.stdout.is_empty() {
        return Err(format!(
            "the journal has nothing of {} in the last hour; is it allowed (group systemd-journal), and is the unit called \
             so (kubelet.units)?",
            journal.units.join(", ")
        ));
    }
    Ok((node, String::from_utf8_lossy(&ended.stdout).into_owned()))
}

/// The node that is called like the host, with its domain or without it.
fn node(host: &str, nodes: &[String]) -> Result<String, String> {
    if host.is_empty() {
        return Err("this machine does not say what it is called".to_owned());
    }
    let short = host.split('.').next().unwrap_or(host);
    let same = |node: &&String| *node == host || node.split('.').next() == Some(short);
    nodes
        .iter()
        .find(|node| *node == host)
        .or_else(|| nodes.iter().find(same))
        .cloned()
        .ok_or_else(|| format!("this machine, {}, is no node of the cluster", text::name(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_the_node_that_is_called_like_it() {
        let nodes = ["n1.example.org".to_owned(), "n2".to_owned()];
        assert_eq!(node("n2", &nodes), Ok("n2".to_owned()));
        assert_eq!(node("n1", &nodes), Ok("n1.example.org".to_owned()));
        assert_eq!(node("n2.example.org", &nodes), Ok("n2".to_owned()));
        assert!(node("laptop", &nodes).unwrap_err().contains("laptop, is no node"));
    }
}
