//! The times that decide, all of log time, in milliseconds.

/// How the core counts time. [`Default`] is what the documentation promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the cluster; part of every finding's identity.
    pub cluster: String,
    /// How late a signal may come and still lead to the same last revisions. Default 5 min.
    pub lateness: u64,
    /// All signals are there already: in order, each once, as a capture gives them. No former states are kept then, nor
    /// the ids that were heard of. Default false.
    pub recorded: bool,
    /// How long an alert may wait for an explanation before it is listed as unexplained. Default 60 s.
    pub grace: u64,
    /// How long symptoms must be gone before a finding counts as resolved. Default 5 min.
    pub hold_down: u64,
    /// How long a diagnosis without symptoms stands after it was last made. Default 15 min.
    pub assertion: u64,
    /// How long a cause that comes back reopens its finding; later it is a new episode. Default 1 h.
    pub reopen: u64,
    /// How long history, changes and deleted objects are kept. Default 2 h.
    pub window: u64,
}

impl Settings {
    /// The defaults for a cluster of that name.
    #[must_use]
    pub fn new(cluster: &str) -> Self {
        const MINUTE: u64 = 60_000;
        Self {
            cluster: cluster.to_owned(),
            lateness: 5 * MINUTE,
            recorded: false,
            grace: MINUTE,
            hold_down: 5 * MINUTE,
            assertion: 15 * MINUTE,
            reopen: 60 * MINUTE,
            window: 120 * MINUTE,
        }
    }
}
