//! `kwhy.yaml`: every key, its default, and errors that say in which line and column.

mod alerts;
mod kubelet;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::fmt::serde::unsigned_duration::friendly::compact::optional;
use serde::Deserialize;

pub(crate) use self::{alerts::Alerts, kubelet::Kubelet};

/// The configuration file. Every key may be left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Name of the cluster; part of every subject and finding. Default `default`.
    pub(crate) cluster: Option<String>,
    /// Where an own nats-server keeps its store. Default `kwhy-data` in the working directory.
    pub(crate) data_dir: Option<PathBuf>,
    /// Where compiled rules are kept. Default `kwhy` in the user's cache folder.
    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) nats: Nats,
    pub(crate) kube: Kube,
    pub(crate) alerts: Alerts,
    pub(crate) kubelet: Kubelet,
    pub(crate) probes: Probes,
    pub(crate) slack: Slack,
    /// Folders with further rules (*.wasm).
    pub(crate) rules: Vec<PathBuf>,
    pub(crate) times: Times,
    pub(crate) engine: Engine,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Nats {
    /// Without it `kwhy run` starts a nats-server of its own on loopback.
    pub(crate) url: Option<String>,
    /// The nats-server program to start. Default: `nats-server` from PATH.
    pub(crate) server: Option<PathBuf>,
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kube {
    /// Whether `kwhy run` watches a cluster itself.
    pub(crate) watch: bool,
    /// Context of the kubeconfig. Default: the pod's service account, else the current context.
    pub(crate) context: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Probes {
    /// Address at which `kwhy run` and `kwhy collect` say how they are doing. Without it they do not.
    #[serde(deserialize_with = "alerts::address")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Slack {
    /// Incoming-webhook URL; a secret.
    pub(crate) webhook_url: Option<String>,
}

/// Times of the correlation, as `5m` or `90s`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Times {
    #[serde(deserialize_with = "optional::deserialize")]
    pub(crate) lateness: Option<Duration>,
    #[serde(deserialize_with = "optional::deserialize")]
    pub(crate) grace: Option<Duration>,
    #[serde(deserialize_with = "optional::deserialize")]
    pub(crate) hold_down: Option<Duration>,
}

/// How `kwhy run` keeps what it knows.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Engine {
    /// How often a snapshot is stored. Default 30 s.
    #[serde(deserialize_with = "optional::deserialize")]
    snapshot_every: Option<Duration>,
    /// How long no other process must have stored a checkpoint before this one does. Default 6 s.
    #[serde(deserialize_with = "optional::deserialize")]
    takeover_after: Option<Duration>,
    /// The stream KWHY_IN was made anew, and that is well. Default false.
    pub(crate) new_log: bool,
}

impl Engine {
    pub(crate) fn snapshot_every(&self) -> Duration {
        self.snapshot_every.unwrap_or(Duration::from_secs(30))
    }

    pub(crate) fn takeover_after(&self) -> Duration {
        self.takeover_after.unwrap_or(Duration::from_secs(6))
    }
}

/// Why the configuration cannot be used.
#[derive(Debug)]
pub(crate) enum ConfigError {
    Read { path: PathBuf, source: io::Error },
    Parse { path: PathBuf, source: serde_norway::Error },
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::Parse { path, source } => {
                let text = source.to_string();
                match source.location() {
                    Some(at) => {
                        let place = format!(" at line {} column {}", at.line(), at.column());
                        let what = text.replace(&place, "");
                        write!(f, "{}:{}:{}: {what}", path.display(), at.line(), at.column())
                    }
                    None => write!(f, "{}: {text}", path.display()),
                }
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the named file, or `kwhy.yaml` of the working directory if there is one.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, ConfigError> {
        let path = named.unwrap_or(Path::new("kwhy.yaml"));
        match fs::read_to_string(path) {
            Ok(text) => {
                Self::parse(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source })
            }
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    fn parse(text: &str) -> Result<Self, serde_norway::Error> {
        // An empty file is null, which is no map.
        Ok(serde_norway::from_str::<Option<Self>>(text)?.unwrap_or_default())
    }

    /// The name of the cluster: what was given on the command line, else what is configured, else `default`.
    pub(crate) fn cluster_name(&self, given: Option<String>) -> String {
        given.or_else(|| self.cluster.clone()).unwrap_or_else(|| "default".to_owned())
    }

    /// The times that decide, for a cluster of that name.
    pub(crate) fn settings(&self, cluster: &str) -> kwhy_core::Settings {
        let mut settings = kwhy_core::Settings::new(cluster);
        let Times { lateness, grace, hold_down } = self.times;
        for (given, slot) in [
            (lateness, &mut settings.lateness),
            (grace, &mut settings.grace),
            (hold_down, &mut settings.hold_down),
        ] {
            if let Some(ms) = given.and_then(|d| u64::try_from(d.as_millis()).ok()) {
                *slot = ms;
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let source = Config::parse(text).unwrap_err();
        ConfigError::Parse { path: "kwhy.yaml".into(), source }.to_string()
    }

    #[test]
    fn every_key_of_the_documentation_is_read() {
        let text = "cluster: lab\ndata_dir: /d\ncache_dir: /c\nnats:\n  url: nats://n:4222\n  server: /bin/n\n  \
                    credentials: /x\n  ca: /y\nkube:\n  watch: true\n  context: lab\nkubelet:\n  node: kal\n  journal: true\n  journal_directory: /j\n  units: [kubelet]\n  kernel: false\n  files: [/k.log]\n  utc_offset: \"+02:00\"\n  level: warning\n  lines_per_second: 100\n  since: 1h\nprobes:\n  listen: 127.0.0.1:9097\nslack:\n  webhook_url: https://h\nrules: [/r]\ntimes:\n  lateness: 2m\n  \
                    grace: 90s\n  hold_down: 1m 30s\nengine:\n  snapshot_every: 10s\n  takeover_after: 3s\n  new_log: true\n";
        let config = Config::parse(text).unwrap();
        let settings = config.settings("lab");
        assert_eq!((settings.lateness, settings.grace, settings.hold_down), (120_000, 90_000, 90_000));
        assert_eq!(config.nats.url.as_deref(), Some("nats://n:4222"));
        assert_eq!(config.probes.listen, Some(([127, 0, 0, 1], 9097).into()));
        assert_eq!(config.kubelet.since, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::parse("# nothing\n").unwrap(), Config::default());
    }

    #[test]
    fn an_error_says_line_and_column_and_what_could_stand_there() {
        let unknown = error("cluster: lab\nnats:\n  uri: x\n");
        assert!(unknown.starts_with("kwhy.yaml:3:3: "), "{unknown}");
        assert!(unknown.contains("unknown field `uri`") && unknown.contains("`url`"), "{unknown}");
        let kind = error("rules: 7\n");
        assert!(kind.starts_with("kwhy.yaml:1:8: "), "{kind}");
        assert!(!kind.contains(" at line "), "{kind}");
        let negative = error("times:\n  grace: -5m\n");
        assert!(negative.starts_with("kwhy.yaml:2:10: times.grace: "), "{negative}");
        let syntax = error("rules: [\n");
        assert!(syntax.starts_with("kwhy.yaml:2:1: "), "{syntax}");
    }
}
