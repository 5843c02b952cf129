//! Silences of an Alertmanager: asked for again and again, and what they hold back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kwhy_ingest::time;
use kwhy_proto::millis;
use regex::{Regex, RegexBuilder};
use reqwest::{Certificate, Client, Url, redirect};
use serde::Deserialize;
use tokio::{sync::watch, time::sleep};

use super::{SetupError, auth::secrets};

/// How often they are asked for.
pub const EVERY: Duration = Duration::from_secs(15);
/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const MOST: usize = 16 << 20;
/// Compiled size of a matcher's regex, bytes.
const REGEX: usize = 1 << 20;

/// The silences of one moment.
#[derive(Debug, Default)]
pub struct Silences {
    all: Vec<Silence>,
    /// Ids of those that cannot be understood, each with why.
    pub bad: Vec<(String, String)>,
}

#[derive(Debug)]
struct Silence {
    from: u64,
    to: u64,
    matchers: Vec<Matcher>,
}

#[derive(Debug)]
struct Matcher {
    name: String,
    value: Value,
    /// It matches where the value does not.
    not: bool,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Regex(Regex),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: RawStatus,
    #[serde(default)]
    matchers: Vec<RawMatcher>,
    #[serde(default)]
    starts_at: String,
    #[serde(default)]
    ends_at: String,
}

#[derive(Deserialize, Default)]
struct RawStatus {
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMatcher {
    name: String,
    value: String,
    #[serde(default)]
    is_regex: bool,
    /// Alertmanagers before 0.22 do not say it.
    #[serde(default)]
    is_equal: Option<bool>,
}

impl Silences {
    /// What `GET /api/v2/silences` answers. A silence that cannot be understood holds nothing back.
    ///
    /// # Errors
    /// Something else than a list of silences.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: Vec<Raw> = serde_json::from_slice(json)?;
        let mut silences = Self::default();
        for one in raw.into_iter().filter(|one| one.status.state != "expired") {
            let id = one.id.clone();
            match Silence::read(one) {
                Ok(silence) => silences.all.push(silence),
                Err(why) => silences.bad.push((id, why)),
            }
        }
        Ok(silences)
    }

    /// Whether an alert with these labels is silenced at `at`, ms.
    #[must_use]
    pub fn hold_back(&self, labels: &BTreeMap<String, String>, at: u64) -> bool {
        self.all.iter().any(|silence| silence.holds_back(labels, at))
    }
}

impl Silence {
    fn read(raw: Raw) -> Result<Self, String> {
        let when = |text: &str| time::parse(text).map(|at| millis(&at));
        let (Some(from), Some(to)) = (when(&raw.starts_at), when(&raw.ends_at)) else {
            return Err("its times cannot be read".to_owned());
        };
        let matchers: Result<Vec<Matcher>, String> = raw.matchers.into_iter().map(Matcher::read).collect();
        let matchers = matchers?;
        if matchers.is_empty() {
            return Err("it has no matchers".to_owned());
        }
        Ok(Self { from, to, matchers })
    }

    fn holds_back(&self, labels: &BTreeMap<String, String>, at: u64) -> bool {
        (self.from..self.to).contains(&at) && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }
}

impl Matcher {
    fn read(raw: RawMatcher) -> Result<Self, String> {
        let value = if raw.is_regex {
            // As Alertmanager does: the whole value.
            let whole = format!("^(?:{})$", raw.value);
            let regex = RegexBuilder::new(&whole).size_limit(REGEX).build();
            Value::Regex(regex.map_err(|_| format!("kwhy cannot use the regex `{}`", raw.value))?)
        } else {
            Value::Text(raw.value)
        };
        Ok(Self { name: raw.name, value, not: raw.is_equal == Some(false) })
    }

    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        // A label that is not there is empty.
        let label = labels.get(&self.name).map_or("", String::as_str);
        let matches = match &self.value {
            Value::Text(text) => text == label,
            Value::Regex(regex) => regex.is_match(label),
        };
        matches != self.not
    }
}

/// An Alertmanager to ask.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    client: Client,
    url: Url,
    every: Duration,
    bearer: Option<String>,
    basic: Option<(String, String)>,
}

/// How to reach an Alertmanager; files hold the secrets.
#[derive(Debug, Clone, Default)]
pub struct Address<'a> {
    /// `http://alertmanager:9093`, with its path prefix where it has one.
    pub url: &'a str,
    /// File with a token.
    pub bearer: Option<&'a std::path::Path>,
    /// User and file with the password.
    pub basic: Option<(&'a str, &'a std::path::Path)>,
    /// PEM file with the authority that signed its certificate.
    pub ca: Option<&'a std::path::Path>,
    /// How often to ask; [`EVERY`] where none.
    pub every: Option<Duration>,
}

/// Why the silences are not known anew.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection, no answer in time, or another status than 200.
    #[error("{0}")]
    Answer(String),
    /// An answer that is no list of silences.
    #[error("the answer is no list of silences: {0}")]
    Content(#[source] serde_json::Error),
}

impl Alertmanager {
    /// An Alertmanager at an address. Nothing is sent yet.
    ///
    /// # Errors
    /// An address or file that cannot be used.
    pub fn at(address: &Address<'_>) -> Result<Self, SetupError> {
        const URL: &str = "alerts.alertmanager.url";
        const CA: &str = "alerts.alertmanager.ca";
        let wrong = |problem: &str| SetupError::Value { key: URL, problem: problem.to_owned() };
        let mut url = Url::parse(address.url.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| wrong("is no web address; write it as http://alertmanager:9093"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("holds credentials; put them into alerts.alertmanager.basic"));
        }
        url.set_query(None);
        let path = format!("{}/api/v2/silences", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let mut client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("kwhy/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = address.ca {
            let read = |source| SetupError::Read { key: CA, path: path.to_owned(), source };
            let bad = |_| SetupError::Content {
                key: CA,
                path: path.to_owned(),
                problem: "holds no certificate in PEM form".to_owned(),
            };
            let pem = std::fs::read(path).map_err(read)?;
            for authority in Certificate::from_pem_bundle(&pem).map_err(bad)? {
                client = client.add_root_certificate(authority);
            }
        }
        let first = |key, path| Ok::<_, SetupError>(secrets(key, path)?.into_iter().next());
        let bearer = match address.bearer {
            Some(path) => first("alerts.alertmanager.bearer_file", path)?,
            None => None,
        };
        let basic = match address.basic {
            Some((user, path)) => first("alerts.alertmanager.basic.password_file", path)?
                .map(|password| (user.to_owned(), password)),
            None => None,
        };
        let client =
            client.build().map_err(|error| wrong(&format!("cannot be asked: {}", error.without_url())))?;
        let every = address.every.unwrap_or(EVERY).max(Duration::from_millis(100));
        Ok(Self { client, url, every, bearer, basic })
    }

    /// Asks once.
    ///
    /// # Errors
    /// [`AskError`]; all may pass with time.
    pub async fn ask(&self) -> Result<Silences, AskError> {
        let gone = |error: reqwest::Error| AskError::Answer(deepest(&error.without_url()));
        let mut request = self.client.get(self.url.clone());
        if let Some(token) = &self.bearer {
            request = request.bearer_auth(token);
        }
        if let Some((user, password)) = &self.basic {
            request = request.basic_auth(user, Some(password));
        }
        let mut response = request.send().await.map_err(gone)?;
        if !response.status().is_success() {
            return Err(AskError::Answer(format!("it answers HTTP {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(gone)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST {
                return Err(AskError::Answer(format!("it answers more than {MOST} bytes")));
            }
        }
        Silences::read(&body).map_err(AskError::Content)
    }

    /// Asks once, then again and again, and sends what it hears. While it hears nothing, what was heard last holds
    /// until its end. `report` is told of each trouble, and of its end, once.
    pub async fn follow(
        &self,
        silences: &watch::Sender<Arc<Silences>>,
        report: impl Fn(&str),
    ) -> std::convert::Infallible {
        let mut trouble = String::new();
        loop {
            let said = match self.ask().await {
                Ok(heard) => {
                    let said =
                        heard.bad.iter().map(|(id, why)| format!("silence {id}: {why}")).collect::<Vec<_>>();
                    silences.send_replace(Arc::new(heard));
                    said.join("; ")
                }
                Err(error) => format!("the silences cannot be read from {}: {error}", self.url),
            };
            if said != trouble {
                match said.as_str() {
                    "" => report("the silences of Alertmanager are known again"),
                    said => report(said),
                }
                trouble = said;
            }
            sleep(self.every).await;
        }
    }
}

/// The last cause of an error, which is the one that tells something.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AT: u64 = 1_587_732_000_000;

    fn silences(matchers: Value) -> Silences {
        let body = json!([{"id": "x", "status": {"state": "active"}, "createdBy": "me", "comment": "",
            "startsAt": "2020-04-24T12:00:00Z", "endsAt": "2020-04-24T12:50:00.000Z", "matchers": matchers}]);
        Silences::read(body.to_string().as_bytes()).unwrap()
    }

    fn holds(matchers: Value, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        silences(matchers).hold_back(&labels, AT)
    }

    #[test]
    fn a_silence_matches_as_alertmanager_does() {
        let is = |value: &str| json!([{"name": "a", "value": value, "isRegex": false, "isEqual": true}]);
        assert!(holds(is("b"), &[("a", "b"), ("c", "d")]));
        assert!(!holds(is("b"), &[("a", "bb")]));
        assert!(holds(is(""), &[("c", "d")]), "a label that is not there is empty");
        let like = |value: &str| json!([{"name": "a", "value": value, "isRegex": true}]);
        assert!(holds(like("b|c"), &[("a", "c")]) && !holds(like("b|c"), &[("a", "cb")]));
        let not = json!([{"name": "a", "value": "b", "isRegex": false, "isEqual": false}]);
        assert!(holds(not.clone(), &[]) && !holds(not, &[("a", "b")]));
        let both = json!([{"name": "a", "value": "b"}, {"name": "c", "value": ".+", "isRegex": true, "isEqual": false}]);
        assert!(holds(both.clone(), &[("a", "b")]) && !holds(both, &[("a", "b"), ("c", "d")]));
    }

    #[test]
    fn a_silence_holds_from_its_start_to_its_end_and_an_expired_one_never() {
        let a = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let one = silences(json!([{"name": "a", "value": "b"}]));
        let (from, to) = (1_587_729_600_000, 1_587_732_600_000);
        assert_eq!([from - 1, from, to - 1, to].map(|at| one.hold_back(&a, at)), [false, true, true, false]);
        let expired = json!([{"status": {"state": "expired"}, "startsAt": "2020-04-24T12:00:00Z",
            "endsAt": "2020-04-24T12:50:00Z", "matchers": [{"name": "a", "value": "b"}]}]);
        assert!(!Silences::read(expired.to_string().as_bytes()).unwrap().hold_back(&a, AT));
    }

    #[test]
    fn a_silence_that_is_not_understood_holds_nothing_back_and_is_told() {
        let lookahead = silences(json!([{"name": "a", "value": "(?=b)", "isRegex": true}]));
        assert_eq!(lookahead.bad, [("x".to_owned(), "kwhy cannot use the regex `(?=b)`".to_owned())]);
        assert!(!silences(json!([])).bad.is_empty(), "without matchers it would hold back everything");
        assert!(Silences::read(b"{}").is_err());
    }

    #[test]
    fn an_address_that_is_none_is_told_with_its_key() {
        let at = |url| Alertmanager::at(&Address { url, ..Address::default() });
        assert_eq!(at("http://am:9093/prefix/").unwrap().url.path(), "/prefix/api/v2/silences");
        for bad in ["am:9093", "", "http://", "http://user:secret@am"] {
            let error = at(bad).unwrap_err().to_string();
            assert!(error.starts_with("alerts.alertmanager.url: ") && !error.contains("secret"), "{error}");
        }
    }
}
