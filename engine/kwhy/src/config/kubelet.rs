//! `kubelet:` in `kwhy.yaml`: the logs of the node on which kwhy runs.

use std::{path::PathBuf, time::Duration};

use jiff::fmt::serde::unsigned_duration::friendly::compact::optional;
use serde::Deserialize;

/// What is read of a node's logs. Nothing is, unless `journal` or `files` is set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kubelet {
    /// Name of the node in Kubernetes. Default: the environment's `NODE_NAME`, else the host's name.
    pub(crate) node: Option<String>,
    /// Whether the systemd journal is read.
    pub(crate) journal: bool,
    /// Folder with journal files. Default: the machine's journal.
    pub(crate) journal_directory: Option<PathBuf>,
    /// Units whose lines are taken. Default: the kubelets and container runtimes that are known.
    pub(crate) units: Option<Vec<String>>,
    /// Whether the kernel's lines are taken. Default: yes.
    pub(crate) kernel: Option<bool>,
    /// Files to follow, with `*`, `?` and `[…]`.
    pub(crate) files: Vec<String>,
    /// Zone of times in files that name none, as `+02:00`. Default: UTC.
    pub(crate) utc_offset: Option<String>,
    /// Least level that is shipped: `info` (default), `warning` or `error`.
    pub(crate) level: Option<String>,
    /// Most lines of one second of log time. Default 10000.
    pub(crate) lines_per_second: Option<u32>,
    /// How far back to begin where nothing was read before. Default 15 min.
    #[serde(deserialize_with = "optional::deserialize")]
    pub(crate) since: Option<Duration>,
}
