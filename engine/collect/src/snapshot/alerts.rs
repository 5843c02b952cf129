//! What an Alertmanager holds, as `GET /api/v2/alerts` gives it.

use std::time::Duration;

use kwhy_ingest::{object, text};
use serde_json::Value;

/// Longest that the answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer without secrets, and how many alerts are in it; or why there is none.
pub(super) async fn take(url: &str) -> Result<(Vec<u8>, usize), String> {
    let words = |error: reqwest::Error| {
        let mut innermost: &dyn std::error::Error = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        // The address may hold a password.
        text::message(&innermost.to_string()).into_owned()
    };
    let mut at =
        reqwest::Url::parse(url).map_err(|error| format!("the address of Alertmanager is none: {error}"))?;
    at.path_segments_mut()
        .map_err(|()| "the address of Alertmanager is none: write http://HOST:PORT".to_owned())?
        .pop_if_empty()
        .extend(["api", "v2", "alerts"]);
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(words)?;
    let answer = client.get(at).send().await.map_err(|error| words(error.without_url()))?;
    if !answer.status().is_success() {
        return Err(format!("Alertmanager says {}", answer.status()));
    }
    let body = answer.bytes().await.map_err(|error| words(error.without_url()))?;
    let mut alerts: Vec<Value> = serde_json::from_slice(&body).map_err(|error| {
        format!(
            "Alertmanager's answer is no list of alerts (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    alerts.iter_mut().for_each(object::mask);
    let count = alerts.len();
    Ok((Value::from(alerts).to_string().into_bytes(), count))
}
