//! The streams: what they must be set to, and making them so.
//!
//! Settings are compared under NATS's own names, over the raw API: an answer holds what the server keeps, not what it
//! was asked for (2.9 takes `allow_atomic` and forgets it), and an update sends back fields this crate does not know.

use std::{error::Error, time::Duration};

use async_nats::jetstream::{
    Context,
    context::{RequestError, RequestErrorKind},
};
use serde_json::{Map, Value, json};

use crate::{BusError, Cause, Settings, subject};

/// Name of the stream of signals.
pub(crate) const IN: &str = "KWHY_IN";
/// Name of the stream of findings.
pub(crate) const OUT: &str = "KWHY_OUT";
/// Name of the stream of requests for logs.
pub(crate) const ASK: &str = "KWHY_ASK";

/// How much of `KWHY_ASK` is kept: the log of a crash of ten minutes ago may be another's by now.
const REQUESTS: crate::Limits = crate::Limits { max_age: Duration::from_secs(600), max_bytes: 8 << 20 };

/// How many checkpoints of a cluster are kept, to look at.
const CHECKPOINTS: u64 = 64;

/// What a setting of a stream must be.
enum Rule {
    /// This value; an existing stream is updated.
    Be(Value),
    /// This value; only the operator can change it, or must decide to.
    Given(Value),
    /// This or more, or unlimited; less is raised, more is the operator's choice and stays.
    AtLeast(u64),
    /// No limit at all.
    Unlimited,
    /// Not set.
    Absent,
}

/// A stream as it must be.
pub(crate) struct Plan {
    name: &'static str,
    max_bytes: u64,
    settings: Vec<(&'static str, Rule)>,
}

impl Plan {
    /// `KWHY_IN`: the newest signals, dropping the oldest.
    pub(crate) fn input(settings: &Settings) -> Plan {
        let mut plan = Plan::common(IN, settings, settings.input);
        plan.settings.push(("subjects", Rule::Given(json!([subject::INPUT]))));
        plan.settings.push(("discard", Rule::Be(json!("old"))));
        // A checkpoint never lies here; anything pruned by subject would be a hole nobody reports.
        plan.settings.push(("max_msgs_per_subject", Rule::Unlimited));
        plan
    }

    /// `KWHY_OUT`: findings, refusing new ones when full rather than dropping one that a replay would then repeat.
    pub(crate) fn output(settings: &Settings) -> Plan {
        let mut plan = Plan::common(OUT, settings, settings.output);
        plan.settings.push(("subjects", Rule::Given(json!([subject::OUTPUT]))));
        plan.settings.push(("discard", Rule::Be(json!("new"))));
        plan.settings.push(("allow_atomic", Rule::Be(json!(true))));
        // Every revision has a subject of its own; only old checkpoints go.
        plan.settings.push(("max_msgs_per_subject", Rule::Be(json!(CHECKPOINTS))));
        let republish = json!({ "src": subject::REVISIONS, "dest": subject::REPUBLISHED });
        plan.settings.push(("republish", Rule::Be(republish)));
        plan
    }

    /// `KWHY_ASK`: the newest requests.
    pub(crate) fn requests(settings: &Settings) -> Plan {
        let mut plan = Plan::common(ASK, settings, REQUESTS);
        plan.settings.push(("subjects", Rule::Given(json!([subject::REQUESTS]))));
        plan.settings.push(("discard", Rule::Be(json!("old"))));
        plan
    }

    fn common(name: &'static str, settings: &Settings, limits: crate::Limits) -> Plan {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let settings = vec![
            ("retention", Rule::Given(json!("limits"))),
            ("storage", Rule::Given(json!("file"))),
            ("max_age", Rule::AtLeast(nanos(limits.max_age))),
            ("max_bytes", Rule::AtLeast(limits.max_bytes)),
            ("max_msgs", Rule::Unlimited),
            ("max_msg_size", Rule::Unlimited),
            ("num_replicas", Rule::AtLeast(settings.replicas.into())),
            ("duplicate_window", Rule::AtLeast(nanos(settings.duplicate_window))),
            // A deleted message would be taken for a known duplicate as long as the window lasts: silent loss.
            ("deny_delete", Rule::Be(json!(true))),
            ("deny_purge", Rule::Be(json!(true))),
            ("compression", Rule::Be(json!("s2"))),
            ("no_ack", Rule::Absent),
            ("sealed", Rule::Absent),
            ("mirror", Rule::Absent),
            ("sources", Rule::Absent),
            ("subject_transform", Rule::Absent),
        ];
        Plan { name, max_bytes: limits.max_bytes, settings }
    }

    /// The configuration of a new stream.
    fn config(&self) -> Map<String, Value> {
        let wanted = self.settings.iter().filter_map(|(name, rule)| Some((*name, rule.wanted()?)));
        let named = [("name", json!(self.name))];
        wanted.chain(named).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Creates the stream, or checks the one there is and mends what can be mended without touching its messages.
    pub(crate) async fn ensure(&self, context: &Context) -> Result<(), BusError> {
        let found = match self.request(context, "INFO", &json!({})).await? {
            Ok(info) => info,
            Err(error) if error.code == STREAM_NOT_FOUND => {
                let created = self.request(context, "CREATE", &Value::Object(self.config())).await?;
                created.map_err(|error| self.failed("create", error))?
            }
            Err(error) => return Err(self.failed("look at", error)),
        };
        let problems = self.compare(&found);
        let (mend, given): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| problem.mend.is_some());
        self.unfit(given, false)?;
        if mend.is_empty() {
            return Ok(());
        }
        let mut config = found;
        for problem in mend {
            tracing::info!(
                stream = self.name,
                setting = problem.setting,
                "Changing a stream setting: {}.",
                problem.text
            );
            config.insert(problem.setting.to_owned(), problem.mend.unwrap_or_default());
        }
        let updated = self.request(context, "UPDATE", &Value::Object(config)).await?;
        let updated = updated.map_err(|error| self.failed("update", error))?;
        self.unfit(self.compare(&updated), true)
    }

    /// `asked`: the server was asked for what differs, and said nothing against it.
    fn unfit(&self, problems: Vec<Problem>, asked: bool) -> Result<(), BusError> {
        if problems.is_empty() {
            return Ok(());
        }
        let problems = problems.into_iter().map(|problem| problem.text).collect();
        Err(BusError::Unfit { stream: self.name, problems, asked })
    }

    fn compare(&self, found: &Map<String, Value>) -> Vec<Problem> {
        let compare = |(setting, rule): &(&'static str, Rule)| rule.compare(setting, found.get(*setting));
        self.settings.iter().filter_map(compare).collect()
    }

    /// One call of the stream API. The outer error is a missing answer, the inner one the server's.
    async fn request(
        &self,
        context: &Context,
        verb: &str,
        body: &Value,
    ) -> Result<Result<Map<String, Value>, ApiError>, BusError> {
        let answer: Value = context
            .request(format!("STREAM.{verb}.{}", self.name), body)
            .await
            .map_err(|error| BusError::Api { doing: self.doing(verb), cause: Cause::of(error) })?;
        if let Some(error) = answer.get("error") {
            return Ok(Err(ApiError {
                code: error.get("err_code").and_then(Value::as_u64).unwrap_or_default(),
                text: error.get("description").and_then(Value::as_str).unwrap_or("unknown error").to_owned(),
            }));
        }
        match answer.get("config") {
            Some(Value::Object(config)) => Ok(Ok(config.clone())),
            _ => Err(BusError::Api {
                doing: self.doing(verb),
                cause: Cause::of("the answer has no configuration"),
            }),
        }
    }

    fn doing(&self, verb: &str) -> String {
        let verb = verb.to_ascii_lowercase().replace("info", "look at");
        format!("{verb} stream {}", self.name)
    }

    fn failed(&self, verb: &str, error: ApiError) -> BusError {
        let cause = Cause::of(&error.text);
        match error.code {
            NO_RESOURCES | ACCOUNT_RESOURCES | MEMORY_RESOURCES | STORAGE_RESOURCES => {
                BusError::NoRoom { stream: self.name, max_bytes: self.max_bytes, cause }
            }
            SUBJECTS_OVERLAP => BusError::Unfit {
                stream: self.name,
                problems: vec![format!("another stream takes some of its subjects ({})", error.text)],
                asked: false,
            },
            _ => BusError::Api { doing: self.doing(verb), cause },
        }
    }
}

/// A setting that is not as it must be.
struct Problem {
    setting: &'static str,
    text: String,
    /// What to update it to, where that may be done.
    mend: Option<Value>,
}

impl Rule {
    fn wanted(&self) -> Option<Value> {
        match self {
            Rule::Be(value) | Rule::Given(value) => Some(value.clone()),
            Rule::AtLeast(least) => Some(json!(least)),
            Rule::Unlimited => Some(json!(-1)),
            Rule::Absent => None,
        }
    }

    fn compare(&self, setting: &'static str, found: Option<&Value>) -> Option<Problem> {
        let number = found.and_then(Value::as_i64).unwrap_or_default();
        let fits = match self {
            Rule::Be(value) | Rule::Given(value) => found == Some(value),
            // 0 and -1 stand for no limit; the server fills in those that cannot be without.
            Rule::AtLeast(least) => number <= 0 || u64::try_from(number).is_ok_and(|number| number >= *least),
            Rule::Unlimited => number <= 0,
            Rule::Absent => {
                let empty = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
                found.is_none_or(|value| empty(value) || value.as_array().is_some_and(Vec::is_empty))
            }
        };
        if fits {
            return None;
        }
        let is = found.map_or("not set".to_owned(), Value::to_string);
        let must = match self {
            Rule::Be(value) | Rule::Given(value) => format!("must be {value}"),
            Rule::AtLeast(least) => format!("must be at least {least}"),
            Rule::Unlimited => "must be unlimited (-1)".into(),
            Rule::Absent => "must not be set".into(),
        };
        let mend = if matches!(self, Rule::Given(_) | Rule::Absent) { None } else { self.wanted() };
        Some(Problem { setting, text: format!("{setting} is {is} and {must}"), mend })
    }
}

const NO_RESOURCES: u64 = 10023;
const ACCOUNT_RESOURCES: u64 = 10002;
const MEMORY_RESOURCES: u64 = 10028;
const STORAGE_RESOURCES: u64 = 10047;
const SUBJECTS_OVERLAP: u64 = 10065;
const STREAM_NOT_FOUND: u64 = 10059;

struct ApiError {
    code: u64,
    text: String,
}

/// Fails where the account has no JetStream.
pub(crate) async fn probe(context: &Context, url: &str) -> Result<(), BusError> {
    let missing = |cause| BusError::NoJetStream { url: url.to_owned(), cause };
    let answer: Result<Value, RequestError> = context.request("INFO", &()).await;
    match answer {
        Ok(answer) => match answer.pointer("/error/description").and_then(Value::as_str) {
            Some(text) => Err(missing(Cause::of(text))),
            None => Ok(()),
        },
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Err(missing(Cause::of(error))),
        Err(error) => Err(BusError::Api { doing: "ask NATS for JetStream".into(), cause: Cause::of(error) }),
    }
}

/// JetStream's error behind a client error, where it is one.
pub(crate) fn api_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a async_nats::jetstream::Error> {
    let mut error = Some(error);
    while let Some(this) = error {
        if let Some(found) = this.downcast_ref() {
            return Some(found);
        }
        error = this.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(plan: &Plan, changes: Value) -> Vec<(String, bool)> {
        let mut found = plan.config();
        for (name, value) in changes.as_object().expect("an object") {
            found.insert(name.clone(), value.clone());
        }
        plan.compare(&found).into_iter().map(|problem| (problem.text, problem.mend.is_some())).collect()
    }

    fn plans() -> [Plan; 3] {
        let settings = Settings::new("nats://127.0.0.1", "homelab");
        [Plan::input(&settings), Plan::output(&settings), Plan::requests(&settings)]
    }

    #[test]
    fn a_stream_as_created_fits() {
        for plan in plans() {
            assert_eq!(changed(&plan, json!({})), []);
            assert_eq!(
                changed(&plan, json!({ "no_ack": false, "sources": [], "placement": { "tags": ["ssd"] } })),
                []
            );
        }
    }

    #[test]
    fn a_server_that_forgets_allow_atomic_is_found_out() {
        let [_, output, _] = plans();
        let problem = changed(&output, json!({ "allow_atomic": null }));
        assert_eq!(problem, [("allow_atomic is null and must be true".to_owned(), true)]);
    }

    #[test]
    fn what_only_the_operator_can_decide_is_not_updated() {
        let [input, _, _] = plans();
        for (setting, value) in [
            ("storage", json!("memory")),
            ("retention", json!("workqueue")),
            ("subjects", json!(["kwhy.in.>", "other.>"])),
            ("sealed", json!(true)),
            ("mirror", json!({ "name": "X" })),
        ] {
            let problem = changed(&input, json!({ setting: value }));
            assert!(
                matches!(problem.as_slice(), [(text, false)] if text.starts_with(setting)),
                "{problem:?}"
            );
        }
    }

    #[test]
    fn more_than_asked_for_is_the_operators_choice() {
        let [input, _, _] = plans();
        assert_eq!(changed(&input, json!({ "max_bytes": -1, "max_age": 0, "num_replicas": 3 })), []);
        let less = changed(&input, json!({ "max_bytes": 5, "max_msgs": 100 }));
        assert_eq!(less.iter().filter(|(_, mendable)| *mendable).count(), 2, "{less:?}");
    }
}
