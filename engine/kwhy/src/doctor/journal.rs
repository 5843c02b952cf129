//! Whether this machine is a node whose journal can be read.

use std::time::Duration;

use tokio::{process::Command, time::timeout};

use super::check::Check;

/// A journal that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn checks() -> Vec<Check> {
    let mut journalctl = Command::new("journalctl");
    journalctl.args(["--no-pager", "--quiet", "-n", "1", "-o", "cat", "-u", "kubelet"]).kill_on_drop(true);
    let asked = timeout(PATIENCE, journalctl.output()).await;
    let check = match asked {
        Err(_elapsed) => Check::missing(
            "journal",
            format!("journalctl gives no answer within {} s", PATIENCE.as_secs()),
            "journalctl --verify",
        ),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Check::off(
            "journal",
            "no journalctl here; kubelet lines come from `kwhy collect kubelet` on the nodes",
            "",
        ),
        Ok(Err(error)) => Check::missing("journal", format!("journalctl cannot be started: {error}"), ""),
        Ok(Ok(output)) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("journalctl failed").to_owned();
            Check::missing("journal", said, "sudo usermod -aG systemd-journal $USER    # then log in again")
        }
        Ok(Ok(output)) if output.stdout.is_empty() => Check::off(
            "journal",
            "the journal here has no kubelet line that this user may read",
            "on a node: sudo usermod -aG systemd-journal $USER    # then log in again",
        ),
        Ok(Ok(_)) => Check::ok("journal", "the kubelet's lines in this machine's journal can be read"),
    };
    vec![check]
}
