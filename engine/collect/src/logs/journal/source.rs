//! Which journal is read and what of it, and the journalctl that reads it.

use std::{ffi::OsString, io, path::PathBuf, process::Stdio};

use kwhy_ingest::text;
use tokio::process::Command;

/// Units that a kubelet may be in, alone or with the rest of a distribution.
pub const KUBELETS: [&str; 8] = [
    "kubelet",
    "k3s",
    "k3s-agent",
    "rke2-server",
    "rke2-agent",
    "k0scontroller",
    "k0sworker",
    "snap.microk8s.daemon-kubelite",
];

/// Units of container runtimes, whose lines the rules want as well.
const RUNTIMES: [&str; 5] = ["containerd", "crio", "docker", "cri-docker", "snap.microk8s.daemon-containerd"];

/// Which journal to read and what of it.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The program.
    pub program: PathBuf,
    /// Folder with journal files; the machine's own journal where none.
    pub directory: Option<PathBuf>,
    /// Units whose lines are taken, with or without `.service`; what systemd says of them as well.
    pub units: Vec<String>,
    /// Whether the kernel's lines are taken.
    pub kernel: bool,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            program: "journalctl".into(),
            directory: None,
            units: KUBELETS.iter().chain(&RUNTIMES).map(|unit| (*unit).to_owned()).collect(),
            kernel: true,
        }
    }
}

impl Journal {
    /// The version of journalctl, which shows that it runs.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn version(&self) -> io::Result<String> {
        let out = Command::new(&self.program).arg("--version").stdin(Stdio::null()).output().await?;
        Ok(text::line(text::utf8(&out.stdout).lines().next().unwrap_or_default()).into_owned())
    }

    pub(super) fn wants(&self, unit: &str, about: &str, transport: &str) -> bool {
        let is_wanted = |unit: &str| {
            let bare = unit.strip_suffix(".service").unwrap_or(unit);
            !bare.is_empty() && self.units.iter().any(|w| w.strip_suffix(".service").unwrap_or(w) == bare)
        };
        (self.kernel && transport == "kernel") || is_wanted(unit) || is_wanted(about)
    }

    pub(super) fn command(&self, from: &From, follow: bool) -> Command {
        const FIELDS: &str = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT,_TRANSPORT,_MACHINE_ID";
        let mut command = self.reader();
        command.args(["-o", "json", "--all"]).arg(format!("--output-fields={FIELDS}"));
        match from {
            From::Cursor(cursor) => command.arg(format!("--cursor={cursor}")),
            From::Time(at) => command.arg(format!("--since=@{}", at / 1000)),
        };
        if follow {
            command.args(["--follow", "--merge", "--no-tail"]);
        }
        command
    }

    /// A journalctl that reads this journal, and is to be told what of it.
    pub(crate) fn reader(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--no-pager");
        if let Some(directory) = &self.directory {
            let mut option = OsString::from("--directory=");
            option.push(directory);
            command.arg(option);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Its words are looked at, and its output is read; neither is to be in the language of whoever runs this.
        command.env("LC_ALL", "C").env("SYSTEMD_COLORS", "0");
        command
    }
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    /// At the entry of this cursor, which was read.
    Cursor(String),
    /// At this time, ms.
    Time(u64),
}
