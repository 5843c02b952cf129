//! A real Alertmanager that notifies at once.

use std::{fs, process::Command};

use tempfile::TempDir;

use crate::{Background, tools};

/// An Alertmanager on loopback. Dropped, it is killed and its store removed.
#[derive(Debug)]
pub struct Alertmanager {
    /// Where it answers, `http://127.0.0.1:PORT`.
    pub url: String,
    /// Where its peers reach it, `127.0.0.1:PORT`; empty where it wants none.
    pub peer: String,
    /// The program.
    pub process: Background,
    _dir: TempDir,
}

/// Whom it notifies.
#[derive(Debug, Clone, Copy)]
pub enum Notify<'a> {
    /// Nobody.
    Nobody,
    /// The webhook at this URL.
    Webhook(&'a str),
    /// Receivers and route of this configuration.
    Config(&'a str),
}

impl Alertmanager {
    /// Starts one; with `peers`, the other halves of its pair, it gossips.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn start(notify: Notify<'_>, peers: Option<&[&str]>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let receiver = match notify {
            Notify::Webhook(url) => format!("{{name: kwhy, webhook_configs: [{{url: '{url}'}}]}}"),
            _ => "{name: kwhy}".to_owned(),
        };
        let config = match notify {
            Notify::Config(config) => config.to_owned(),
            _ => format!(
                "route: {{receiver: kwhy, group_by: [alertname], group_wait: 500ms, group_interval: 1s, repeat_interval: 1h}}\n\
                 receivers: [{receiver}]\n"
            ),
        };
        fs::write(dir.path().join("alertmanager.yml"), config).expect("a file");
        // Debian's reads its templates from where it is started.
        let program = tools::alertmanager().canonicalize().expect("a program");
        let mut command = Command::new(&program);
        command.current_dir(program.parent().expect("a file is in a folder"));
        command.arg("--config.file").arg(dir.path().join("alertmanager.yml"));
        command.arg("--storage.path").arg(dir.path().join("data"));
        command.arg("--web.listen-address=127.0.0.1:0");
        let mut peer = String::new();
        match peers {
            None => {
                command.arg("--cluster.listen-address=");
            }
            Some(peers) => {
                // It cannot say which port it was given, so one is looked for beforehand.
                let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
                peer = free.expect("a free port").to_string();
                command.arg(format!("--cluster.listen-address={peer}"));
                command.args(["--cluster.settle-timeout=1s", "--cluster.peer-timeout=1s"]);
                command.args(peers.iter().map(|peer| format!("--cluster.peer={peer}")));
            }
        }
        let process = Background::start(command);
        let url = process.wait_for("its address", |line| {
            let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
            Some(format!("http://{}", address.trim()))
        });
        Self { url, peer, process, _dir: dir }
    }

    /// Silences alerts that match and returns the silence's id.
    ///
    /// # Panics
    /// Where it is refused.
    #[must_use]
    pub fn silence(&self, matchers: &[&str]) -> String {
        let mut args = vec!["silence", "add", "--author=tests", "--comment=tests", "--duration=1h"];
        args.extend(matchers);
        self.amtool(&args).trim().to_owned()
    }

    /// Ends a silence.
    ///
    /// # Panics
    /// Where there is none of that id.
    pub fn expire(&self, silence: &str) {
        let _ = self.amtool(&["silence", "expire", silence]);
    }

    fn amtool(&self, args: &[&str]) -> String {
        amtool(&self.url, args)
    }
}

/// What amtool says, asked about the Alertmanager (or what passes for one) at `url`.
///
/// # Panics
/// Where it fails.
#[must_use]
pub fn amtool(url: &str, args: &[&str]) -> String {
    let mut command = Command::new(tools::amtool());
    command.arg(format!("--alertmanager.url={url}")).args(args);
    let ended = Background::start(command).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout
}
