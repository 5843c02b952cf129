//! From the bytes of a body to signals: limits of what is in it, natural ids, silences.

use axum::http::StatusCode;
use kwhy_ingest::{
    alert::{self, BadBody, Delivery, Identity, Listed},
    time::rfc3339,
};
use kwhy_proto::{
    timestamp,
    v1::{Signal, signal::Body},
};

use super::{Limits, Silences, refusal::Refusal};

/// Bad alerts that are told one by one.
const TOLD: usize = 3;

/// What is in a body.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) signals: Vec<Signal>,
    /// What is told of the alerts that are not taken.
    pub(super) bad: Option<String>,
    /// How many alerts Alertmanager left out.
    pub(super) left_out: u64,
}

/// Reads the alerts of a body that came at `at`, ms.
///
/// # Errors
/// A body in which there are no alerts to be made out (400), or too many (413).
pub(super) fn signals(
    cluster: &str,
    at: u64,
    json: &[u8],
    identity: &Identity,
    limits: &Limits,
    silences: &Silences,
) -> Result<Taken, Refusal> {
    let unreadable = |error: BadBody| Refusal::of(StatusCode::BAD_REQUEST, line(&error));
    let all = alert::count(json).map_err(unreadable)?;
    if all > limits.alerts {
        let line = format!(
            "the body has {all} alerts, at most {} are taken at a time; send fewer or raise alerts.limits.alerts",
            limits.alerts
        );
        return Err(Refusal::of(StatusCode::PAYLOAD_TOO_LARGE, line));
    }
    let Delivery { alerts, bad, left_out } =
        alert::body(cluster, timestamp(at), json, identity).map_err(unreadable)?;
    let mut bad: Vec<(u32, String)> =
        bad.into_iter().map(|(position, why)| (position, why.to_string())).collect();
    let mut signals = Vec::with_capacity(alerts.len());
    for Listed { position, signal, told, .. } in alerts {
        if told.labels > limits.labels {
            bad.push((position, format!("an alert with {} labels, at most {}", told.labels, limits.labels)));
        } else if told.longest_label > limits.label {
            bad.push((
                position,
                format!("a label of {} bytes, at most {}", told.longest_label, limits.label),
            ));
        } else {
            signals.push(marked(named(signal), at, silences));
        }
    }
    bad.sort();
    let stored = if signals.is_empty() { "" } else { ", the others are" };
    let bad = (!bad.is_empty()).then(|| {
        let mut line = format!("{} of {all} alerts are not taken{stored}", bad.len());
        for (position, what) in bad.iter().take(TOLD) {
            line.push_str(&format!("; alert {position}: {what}"));
        }
        if bad.len() > TOLD {
            line.push_str("; …");
        }
        line
    });
    Ok(Taken { signals, bad, left_out })
}

/// A delivery is known by the end it was sent with, which moves with every time that Prometheus sends it; one without an
/// end by its time.
fn named(signal: Signal) -> Signal {
    let Some(alert) = alert::alert(&signal) else { return signal };
    let starts = alert.starts_at.as_ref().map(rfc3339).unwrap_or_default();
    let delivery = alert.ends_at.as_ref().or(signal.at.as_ref()).map(rfc3339).unwrap_or_default();
    let id = format!("alert/{}/{starts}/{}/{delivery}", alert.identity, signal.state);
    Signal { id, ..signal }
}

fn marked(mut signal: Signal, at: u64, silences: &Silences) -> Signal {
    if signal.state == "firing"
        && let Some(Body::Alert(alert)) = &mut signal.body
    {
        alert.suppressed |= silences.hold_back(&alert.labels, at);
    }
    signal
}

fn line(error: &BadBody) -> String {
    match error {
        BadBody::Json(source) => format!("{error}: {source}"),
        BadBody::Shape | BadBody::Version => error.to_string(),
    }
}
