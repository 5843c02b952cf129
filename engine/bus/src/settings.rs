//! What the bus is told: where NATS is, which cluster this is, how much is kept and how long is waited.

use std::{fmt, path::PathBuf, time::Duration};

use crate::BusError;

/// How much a stream keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages older than this are dropped.
    pub max_age: Duration,
    /// Bytes on disk. A full `KWHY_IN` drops its oldest messages, a full `KWHY_OUT` refuses new ones.
    pub max_bytes: u64,
}

/// How to reach NATS and what to keep there. Start from [`Settings::new`].
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `nats://host:4222`, `tls://user:password@host`, `nats://token@host`; several separated by commas.
    pub url: String,
    /// Name of the cluster whose signals and findings these are.
    pub cluster: String,
    /// A `.creds` file (JWT and nkey), where the server asks for one.
    pub credentials: Option<PathBuf>,
    /// PEM file with the authority that signed the server's certificate; the system's authorities where none.
    pub ca: Option<PathBuf>,
    /// Within this [`Bus::connect`](crate::Bus::connect) has either succeeded or failed.
    pub connect_timeout: Duration,
    /// How long an acknowledgement or answer may take before it counts as missing.
    pub ack_timeout: Duration,
    /// How long an unacknowledged message is sent again. With `ack_timeout` it must stay below `duplicate_window`,
    /// or a message that was stored although its acknowledgement was lost could be stored again.
    pub retry_for: Duration,
    /// How long the server remembers message ids.
    pub duplicate_window: Duration,
    /// Copies of each stream in a NATS cluster.
    pub replicas: u8,
    /// `KWHY_IN`.
    pub input: Limits,
    /// `KWHY_OUT`. Findings must outlive signals, or a replay could emit a finding again whose original has expired.
    pub output: Limits,
}

impl Settings {
    /// The defaults: 48 h of signals in 1 GiB, 14 days of findings in 256 MiB, one replica.
    #[must_use]
    pub fn new(url: impl Into<String>, cluster: impl Into<String>) -> Settings {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        Settings {
            url: url.into(),
            cluster: cluster.into(),
            credentials: None,
            ca: None,
            connect_timeout: Duration::from_secs(5),
            ack_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(100),
            duplicate_window: Duration::from_secs(120),
            replicas: 1,
            input: Limits { max_age: hours(48), max_bytes: 1 << 30 },
            output: Limits { max_age: hours(14 * 24), max_bytes: 256 << 20 },
        }
    }

    /// The inequalities that the promises rest on.
    pub(crate) fn check(&self) -> Result<(), BusError> {
        let wrong = |what: String| Err(BusError::Settings(what));
        if self.cluster.is_empty() {
            return wrong("the cluster has no name; set `cluster`".into());
        }
        if self.retry_for + self.ack_timeout >= self.duplicate_window {
            return wrong(format!(
                "a message may be sent again for {:?} and its acknowledgement take {:?}, but the server forgets \
                 message ids after {:?}; make the duplicate window longer",
                self.retry_for, self.ack_timeout, self.duplicate_window
            ));
        }
        if self.input.max_age < self.duplicate_window {
            return wrong(format!(
                "signals are kept for {:?}, less than the duplicate window of {:?}; keep them longer",
                self.input.max_age, self.duplicate_window
            ));
        }
        if self.output.max_age <= self.input.max_age {
            return wrong(format!(
                "findings are kept for {:?} and signals for {:?}; findings must be kept longer",
                self.output.max_age, self.input.max_age
            ));
        }
        if !(1..=5).contains(&self.replicas) {
            return wrong(format!("{} replicas are asked for; NATS keeps 1 to 5", self.replicas));
        }
        Ok(())
    }

    /// The URL without user, password or token: what may be shown.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let bare = |url: &str| match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => {
                [url.get(..scheme + 3), url.get(at + 1..)].into_iter().flatten().collect()
            }
            (None, Some(at)) => url.get(at + 1..).unwrap_or_default().to_owned(),
            _ => url.to_owned(),
        };
        self.url.split(',').map(|url| bare(url.trim())).collect::<Vec<String>>().join(",")
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &self.shown_url())
            .field("cluster", &self.cluster)
            .field("replicas", &self.replicas)
            .field("input", &self.input)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl Fn(&mut Settings)) -> String {
        let mut settings = Settings::new("nats://127.0.0.1:4222", "homelab");
        settings.check().expect("the defaults must keep the inequalities");
        change(&mut settings);
        settings.check().expect_err("must be refused").to_string()
    }

    #[test]
    fn settings_that_break_a_promise_are_refused() {
        assert!(problem(|s| s.cluster.clear()).contains("no name"));
        assert!(problem(|s| s.retry_for = Duration::from_secs(115)).contains("duplicate window"));
        assert!(problem(|s| s.output.max_age = s.input.max_age).contains("must be kept longer"));
        assert!(problem(|s| s.input.max_age = Duration::from_secs(1)).contains("keep them longer"));
        assert!(problem(|s| s.replicas = 0).contains("1 to 5"));
    }

    #[test]
    fn secrets_in_the_url_are_never_shown() {
        let url = "nats://me:s3cr@t@a:4222, tls://t0ken@b,c:4222,me:s3cret@d";
        let settings = Settings::new(url, "homelab");
        assert_eq!(settings.shown_url(), "nats://a:4222,tls://b,c:4222,d");
        let debug = format!("{settings:?}");
        assert!(!debug.contains("s3cr") && !debug.contains("t0ken"), "{debug}");
    }
}
