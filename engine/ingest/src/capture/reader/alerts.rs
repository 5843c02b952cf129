//! Alerts of a capture: what was delivered while it ran, and what Alertmanager listed at its end.
//!
//! The list adds what the deliveries do not tell: alerts that no delivery shows, that one is held back or fires on, and,
//! by leaving it out, that one has ended.

use std::{borrow::Cow, collections::BTreeMap, collections::BTreeSet, io::Read};

use kwhy_proto::{
    Timestamp, millis, timestamp,
    v1::{Alert, Signal},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{DOCUMENT, Reader};
use crate::{
    alert::{self, BadBody, Delivery, Listed},
    capture::{inventory::Found, problem::Unit},
    time,
};

#[derive(Default)]
pub(super) struct Alerts {
    /// Every delivered state of each alert, by identity.
    delivered: BTreeMap<String, Vec<Signal>>,
    /// What `alerts.json` lists, where there is one that can be read.
    listed: Option<Vec<Listed>>,
    /// How it is cited.
    name: String,
}

#[derive(Deserialize)]
struct DeliveryLine<'a> {
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Reader<'_> {
    pub(super) fn deliveries(&mut self, file: &Found) {
        self.json_lines(file, |reader, number, line| {
            let bad = |reader: &mut Self, reason: &str, detail| {
                reader.problems.add(&file.file, Unit::Line, number, reason, detail);
                false
            };
            let delivery: DeliveryLine<'_> = match serde_json::from_slice(line) {
                Ok(delivery) => delivery,
                Err(error) => {
                    return bad(reader, "not a delivery with at and payload", Some(error.to_string()));
                }
            };
            let Some(at) = time::parse(&delivery.at) else {
                return bad(reader, "a delivery whose `at` is not a time", None);
            };
            let body =
                match alert::body(&reader.cluster, at, delivery.payload.get().as_bytes(), reader.identity) {
                    Ok(body) => body,
                    Err(error) => return bad(reader, &error.to_string(), None),
                };
            reader.bad_alerts(file, &body, Some(number));
            for Listed { signal, .. } in body.alerts {
                if let Some(alert) = alert::alert(&signal) {
                    reader.alerts.delivered.entry(alert.identity.clone()).or_default().push(signal.clone());
                }
                reader.push(Signal { origin: format!("{}:{number}", file.name), ..signal });
            }
            true
        });
    }

    pub(super) fn alert_list(&mut self, file: &Found) {
        let Some(source) = self.open(file) else { return };
        let mut json = Vec::new();
        if let Err(error) = source.take(DOCUMENT).read_to_end(&mut json) {
            self.problems.file(&file.file, format_args!("cut off or damaged: {error}"));
            return;
        }
        // Judged at `to`: what had ended by then is resolved. Without one, Alertmanager's last word is when it was asked.
        let to = self
            .to
            .map(timestamp)
            .or_else(|| last_update(&json))
            .or_else(|| self.seen.map(|(_, last)| timestamp(last)));
        match alert::body(&self.cluster, to.unwrap_or_default(), &json, self.identity) {
            Ok(body) => {
                self.bad_alerts(file, &body, None);
                for alert in &body.alerts {
                    if let Some(updated) = &alert.updated_at {
                        self.saw(millis(updated));
                    }
                }
                self.files_read += 1;
                self.alerts.name.clone_from(&file.name);
                self.alerts.listed = Some(body.alerts);
            }
            Err(error) => {
                let detail = match &error {
                    BadBody::Json(source) => format!(": {source}"),
                    BadBody::Shape | BadBody::Version => String::new(),
                };
                self.problems.file(&file.file, format_args!("{error}{detail}"));
            }
        }
    }

    fn bad_alerts(&mut self, file: &Found, body: &Delivery, line: Option<u32>) {
        let unit = if line.is_some() { Unit::Line } else { Unit::Item };
        for (position, bad) in &body.bad {
            self.problems.add(&file.file, unit, line.unwrap_or(*position), bad, None);
        }
        if body.left_out > 0 {
            let reason = "alerts were left out by Alertmanager; raise max_alerts of the receiver";
            self.problems.add(&file.file, unit, line.unwrap_or_default(), reason, None);
        }
    }
}

/// The latest `updatedAt` of a list.
fn last_update(json: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Updated {
        #[serde(rename = "updatedAt")]
        at: String,
    }
    let all: Vec<Updated> = serde_json::from_slice(json).ok()?;
    all.iter().filter_map(|updated| time::parse(&updated.at)).max_by_key(millis)
}

impl Alerts {
    /// The signals that the list adds to the deliveries.
    pub(super) fn finish(mut self, cluster: &str, from: u64, to: u64) -> Vec<Signal> {
        let Some(listed) = self.listed else { return Vec::new() };
        for states in self.delivered.values_mut() {
            states.sort_by_key(|signal| signal.at.as_ref().map_or(0, millis));
        }
        let mut out = Vec::new();
        let mut active = BTreeSet::new();
        for item in &listed {
            let Some(alert) = item.alert() else { continue };
            if item.signal.state == "firing" {
                active.insert(alert.identity.clone());
            }
            let delivered = self.delivered.get(&alert.identity).map(Vec::as_slice).unwrap_or_default();
            if let Some(at) = place(item, alert, delivered, from, to) {
                let signal = alert::signal(
                    cluster,
                    timestamp(at),
                    item.signal.state == "resolved",
                    alert.clone(),
                    item.signal.message.clone(),
                );
                out.push(Signal { origin: format!("{}#{}", self.name, item.position), ..signal });
            }
        }
        for (identity, states) in &self.delivered {
            let Some(last) =
                states.last().filter(|last| last.state == "firing" && !active.contains(identity))
            else {
                continue;
            };
            let Some(alert) = alert::alert(last) else { continue };
            let at = last.at.as_ref().map_or(to, millis).max(to);
            let ended = Alert { ends_at: Some(timestamp(at)), ..alert.clone() };
            let signal = alert::signal(cluster, timestamp(at), true, ended, last.message.clone());
            out.push(Signal { origin: self.name.clone(), ..signal });
        }
        out
    }
}

/// When a listed alert is news, or `None` where the deliveries tell all of it.
fn place(item: &Listed, alert: &Alert, delivered: &[Signal], from: u64, to: u64) -> Option<u64> {
    let starts = alert.starts_at.as_ref().map_or(from, millis);
    let fired = delivered.iter().rev().find(|signal| {
        signal.state == "firing"
            && alert::alert(signal).is_some_and(|known| known.starts_at == alert.starts_at)
    });
    if item.signal.state == "resolved" {
        let ended = alert.ends_at.as_ref().map_or(to, millis);
        let told = delivered.last().is_some_and(|signal| signal.state == "resolved");
        return (!told).then(|| ended.max(from).min(to));
    }
    let Some(last) = fired else { return Some(starts.max(from).min(to)) };
    let known = alert::alert(last)?;
    // A pushed alert runs out at its endsAt; the list may know of a later one.
    let runs_out = known.ends_at.as_ref().is_some_and(|ends| millis(ends) < to);
    (known.suppressed != alert.suppressed || runs_out).then(|| {
        let at = last.at.as_ref().map_or(from, millis);
        item.updated_at.as_ref().map_or(to, millis).max(at).min(to.max(at))
    })
}
