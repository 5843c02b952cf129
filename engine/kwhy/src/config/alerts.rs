//! `alerts:`, the receiver of alerts.

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use jiff::fmt::serde::unsigned_duration::friendly::compact::optional;
use kwhy_collect::alerts::{Auth, Limits, Settings, SetupError, Tls, silences};
use kwhy_ingest::alert::Identity;
use serde::{Deserialize, Deserializer, de::Visitor};

/// Where alerts are taken, from whom, and how much of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Alerts {
    /// Address on which `kwhy run` and `kwhy collect alerts` take alerts. Without it `kwhy run` takes none.
    #[serde(deserialize_with = "address")]
    pub(crate) listen: Option<SocketAddr>,
    /// Labels that differ between the replicas of one Prometheus. Default `prometheus_replica`, `thanos_ruler_replica`,
    /// `__replica__`.
    pub(crate) replica_labels: Option<BTreeSet<String>>,
    pub(crate) auth: Credentials,
    pub(crate) tls: Option<Certificates>,
    pub(crate) alertmanager: Option<Alertmanager>,
    pub(crate) limits: Most,
    /// Within this a request is answered. Default 8 s, as Prometheus waits 10 s.
    #[serde(deserialize_with = "optional::deserialize")]
    pub(crate) answer_within: Option<Duration>,
}

/// Who may send, or how kwhy proves itself; secrets are in files of their own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Credentials {
    /// File with tokens, one a line.
    pub(crate) bearer_file: Option<PathBuf>,
    pub(crate) basic: Option<Basic>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basic {
    pub(crate) username: String,
    /// File with passwords, one a line.
    pub(crate) password_file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificates {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Only clients with a certificate of these authorities get in.
    #[serde(default)]
    pub(crate) client_ca: Option<PathBuf>,
}

/// The Alertmanager whose silences hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alertmanager {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) bearer_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) basic: Option<Basic>,
    #[serde(default)]
    pub(crate) ca: Option<PathBuf>,
    /// How often to ask. Default 15 s.
    #[serde(default, deserialize_with = "optional::deserialize")]
    pub(crate) every: Option<Duration>,
}

/// How much a sender may take up.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Most {
    /// Bytes of a body, packed and unpacked.
    pub(crate) body: Option<usize>,
    pub(crate) alerts: Option<usize>,
    pub(crate) labels: Option<usize>,
    /// Bytes of a label's name or value.
    pub(crate) label: Option<usize>,
    pub(crate) connections: Option<usize>,
    /// How long a body may take.
    #[serde(deserialize_with = "optional::deserialize")]
    pub(crate) reading: Option<Duration>,
}

impl Alerts {
    /// What the receiver is told, for alerts of that cluster.
    pub(crate) fn settings(&self, listen: SocketAddr, cluster: &str) -> Result<Settings, SetupError> {
        let mut auth = Auth::default();
        if let Some(file) = &self.auth.bearer_file {
            auth.bearer("alerts.auth.bearer_file", file)?;
        }
        if let Some(Basic { username, password_file }) = &self.auth.basic {
            auth.basic("alerts.auth.basic.password_file", username, password_file)?;
        }
        let tls =
            self.tls.as_ref().map(|tls| Tls::load(&tls.certificate, &tls.key, tls.client_ca.as_deref()));
        let mut limits = Limits::default();
        let Most { body, alerts, labels, label, connections, reading } = self.limits;
        for (given, slot) in [
            (body, &mut limits.body),
            (alerts, &mut limits.alerts),
            (labels, &mut limits.labels),
            (label, &mut limits.label),
            (connections, &mut limits.connections),
        ] {
            if let Some(given) = given {
                *slot = given;
            }
        }
        limits.reading = reading.unwrap_or(limits.reading);
        let identity = match &self.replica_labels {
            Some(replica_labels) => Identity { replica_labels: replica_labels.clone() },
            None => Identity::default(),
        };
        Ok(Settings {
            listen,
            cluster: cluster.to_owned(),
            identity,
            auth,
            tls: tls.transpose()?,
            limits,
            answer_within: self.answer_within.unwrap_or(Settings::ANSWER_WITHIN),
        })
    }

    /// The Alertmanager whose silences hold, where one is named.
    pub(crate) fn alertmanager(&self) -> Result<Option<silences::Alertmanager>, SetupError> {
        let Some(Alertmanager { url, bearer_file, basic, ca, every }) = &self.alertmanager else {
            return Ok(None);
        };
        let address = silences::Address {
            url,
            bearer: bearer_file.as_deref(),
            basic: basic.as_ref().map(|b| (b.username.as_str(), b.password_file.as_path())),
            ca: ca.as_deref(),
            every: *every,
        };
        silences::Alertmanager::at(&address).map(Some)
    }
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    struct Address;

    impl Visitor<'_> for Address {
        type Value = Option<SocketAddr>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an IP address and a port, as `127.0.0.1:9096` or `0.0.0.0:9096`")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(Some).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_str(Address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError};

    /// What docs/alerts.md shows.
    const ALL: &str = "alerts:\n  listen: 0.0.0.0:9096\n  replica_labels: [replica]\n  auth:\n    bearer_file: /t\n    \
        basic: {username: u, password_file: /p}\n  tls: {certificate: /c, key: /k, client_ca: /a}\n  alertmanager:\n    \
        url: http://am:9093\n    every: 30s\n    bearer_file: /t\n    basic: {username: u, password_file: /p}\n    ca: /a\n  \
        answer_within: 5s\n  limits: {body: 1000, alerts: 10, labels: 5, label: 100, connections: 3, reading: 2s}\n";

    fn error(text: &str) -> String {
        let source = Config::parse(text).unwrap_err();
        ConfigError::Parse { path: "kwhy.yaml".into(), source }.to_string()
    }

    #[test]
    fn every_key_is_read() {
        let Alerts { auth, tls, alertmanager, limits, .. } = Config::parse(ALL).unwrap().alerts;
        assert!(auth.bearer_file.is_some() && auth.basic.is_some() && tls.is_some());
        assert_eq!(alertmanager.unwrap().every, Some(Duration::from_secs(30)));
        let alerts = Alerts { limits, ..Alerts::default() };
        let settings = alerts.settings("127.0.0.1:1".parse().unwrap(), "lab").unwrap();
        let Limits { body, alerts, labels, label, connections, reading, .. } = settings.limits;
        assert_eq!((body, alerts, labels, label, connections, reading.as_secs()), (1000, 10, 5, 100, 3, 2));
        assert_eq!(settings.answer_within, Settings::ANSWER_WITHIN);
    }

    #[test]
    fn an_address_that_is_none_is_told_with_its_place_and_what_to_write() {
        let port = error("alerts:\n  listen: 9096\n");
        assert!(port.starts_with("kwhy.yaml:2:11: alerts.listen: invalid value: string \"9096\""), "{port}");
        let name = error("alerts:\n  listen: localhost:9096\n");
        assert!(name.starts_with("kwhy.yaml:2:11: alerts.listen: "), "{name}");
        assert!(name.contains("`127.0.0.1:9096`"), "{name}");
    }

    #[test]
    fn a_secret_in_the_configuration_itself_is_no_key() {
        let inline = error("alerts:\n  auth:\n    bearer: s3cret\n");
        assert!(inline.contains("unknown field `bearer`") && inline.contains("`bearer_file`"), "{inline}");
    }

    #[test]
    fn a_file_that_is_not_there_is_told_by_its_key() {
        let config = Config::parse("alerts:\n  auth: {bearer_file: /nowhere/token}\n").unwrap();
        let error = config.alerts.settings("127.0.0.1:1".parse().unwrap(), "lab").unwrap_err();
        assert_eq!(error.to_string(), "alerts.auth.bearer_file: cannot read /nowhere/token");
        let config = Config::parse("alerts:\n  alertmanager: {url: am}\n").unwrap();
        let error = config.alerts.alertmanager().unwrap_err().to_string();
        assert!(error.starts_with("alerts.alertmanager.url: is no web address; write it as http"), "{error}");
    }
}
