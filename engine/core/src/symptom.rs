//! Alerts and warnings as things that begin and end, over all their deliveries.

use std::collections::BTreeMap;

use kwhy_proto::{
    millis, timestamp,
    v1::{self, Alert, Event, ObjectRef, Signal},
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    incident::IncidentKey,
    key::Key,
    wire::{self, Word},
};

/// Alert names that say that alerting works, not that something is wrong.
pub(crate) fn is_heartbeat(name: &str) -> bool {
    matches!(name, "Watchdog" | "DeadMansSwitch")
}

/// Alert names that exist to steer Alertmanager.
pub(crate) fn is_steering(name: &str) -> bool {
    name == "InfoInhibitor"
}

/// The always-firing alert of one Prometheus: what is heard of it says that alerts can arrive at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heartbeat {
    pub(crate) last: u64,
    until: Option<u64>,
    expires: Option<u64>,
}

impl Heartbeat {
    pub(crate) fn heard(signal: &Signal, alert: &Alert, now: u64, before: Option<Self>) -> Self {
        let ends = alert.ends_at.as_ref().map(millis);
        if signal.state == "resolved" {
            let last = before.map_or(now, |b| b.last);
            return Self { last, until: Some(ends.unwrap_or(now).min(now)), expires: None };
        }
        Self { last: now, until: None, expires: ends }
    }

    /// Since when it has been silent, at `now`; None while it is heard.
    pub(crate) fn silent_since(self, now: u64) -> Option<u64> {
        self.until.or(self.expires.filter(|at| *at <= now))
    }
}

/// One alert or one reason of warning about one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Symptom {
    #[serde(deserialize_with = "source")]
    pub(crate) source: Word,
    pub(crate) name: String,
    #[serde(with = "wire")]
    pub(crate) object: ObjectRef,
    /// The object, as the graph knows it.
    key: Key,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) since: u64,
    /// When it ended; None while it lasts. A warning has no end of its own.
    pub(crate) until: Option<u64>,
    /// When the sender lets it end unless it is delivered again.
    pub(crate) expires: Option<u64>,
    /// Log time at which it was first heard of.
    pub(crate) heard: u64,
    pub(crate) message: String,
    pub(crate) signal: String,
    pub(crate) runbook: String,
    pub(crate) generator: String,
    /// Alertmanager holds it back.
    pub(crate) suppressed: bool,
    /// It was told that it has ended; otherwise it only was not heard of any more.
    told_over: bool,
    /// The last end that was told of before it began anew.
    over: Option<u64>,
    /// The latest end that was told of it while it fired.
    latest: u64,
    /// The cause it is folded under.
    pub(crate) cause: Option<IncidentKey>,
    /// It was heard while it fired. Of what was over before kwhy heard of it nobody waits for an explanation.
    pub(crate) fired: bool,
    /// It has waited for an explanation as long as it may.
    pub(crate) overdue: bool,
}

/// The source of a symptom as it was stored.
fn source<'de, D: Deserializer<'de>>(stored: D) -> Result<Word, D::Error> {
    wire::one_of(&["alert", "event"], stored)
}

impl Symptom {
    pub(crate) fn alert(signal: &Signal, alert: &Alert, subject: ObjectRef, now: u64) -> Self {
        let note = |names: &[&str]| {
            names.iter().find_map(|n| alert.annotations.get(*n)).cloned().unwrap_or_default()
        };
        let mut symptom = Self {
            source: "alert",
            name: signal.name.clone(),
            key: Key::from(&subject),
            object: subject,
            labels: alert.labels.clone(),
            since: alert.starts_at.as_ref().map_or(now, millis),
            until: None,
            expires: None,
            heard: now,
            message: note(&["description", "message", "summary"]),
            signal: signal.id.clone(),
            runbook: note(&["runbook_url"]),
            generator: alert.generator_url.clone(),
            suppressed: alert.suppressed,
            told_over: false,
            over: None,
            latest: 0,
            cause: None,
            fired: false,
            overdue: false,
        };
        symptom.update(signal, alert, now);
        symptom
    }

    /// Takes in another delivery of the same alert.
    pub(crate) fn update(&mut self, signal: &Signal, alert: &Alert, now: u64) {
        let starts = alert.starts_at.as_ref().map_or(now, millis);
        let ends = alert.ends_at.as_ref().map(millis);
        if signal.state == "resolved" {
            // The end of what was before, told once more.
            let of_before = ends.is_some_and(|at| self.is_of_before(at));
            if self.until.is_none() && !of_before {
                self.until = Some(ends.unwrap_or(now).min(now).max(starts).max(self.since));
                self.signal.clone_from(&signal.id);
            }
            if self.until.is_some() {
                self.told_over = true;
                self.expires = None;
            }
            return;
        }
        // What comes later than the lateness window was said before now.
        let said = signal.at.as_ref().map_or(now, millis);
        // A notification has no time of its own: one that somebody sends again after the end is known by its start. A push
        // says until when it holds, and each one that is made holds longer than the one before.
        let newer = ends.is_some_and(|at| at > self.latest);
        match self.until {
            Some(until) if starts > until || (said > until && (newer || !self.told_over)) => {
                // After an end that was only supposed it is the same alert as before.
                if self.told_over {
                    self.over = Some(until);
                }
                self.until = None;
                self.since = if starts > until { starts } else { said };
                self.signal.clone_from(&signal.id);
                self.told_over = false;
            }
            Some(until) if said > until => return,
            None if self.is_of_before(starts) && !newer => return,
            // The replicas of an HA pair fire seconds apart: the earliest start counts.
            Some(_) | None if self.is_of_before(starts) => {}
            Some(_) | None => self.since = self.since.min(starts),
        }
        self.fired = true;
        self.suppressed = alert.suppressed;
        if self.until.is_none() {
            self.latest = self.latest.max(ends.unwrap_or(0));
            // Of a pair, who keeps it up longest. An end that is past already comes at once.
            self.expires = ends.map(|at| self.expires.map_or(at, |known| known.max(at)));
        }
    }

    /// Whether a start or an end belongs to what was over before the alert began anew.
    fn is_of_before(&self, at: u64) -> bool {
        self.over.is_some_and(|over| at <= over)
    }

    pub(crate) fn warning(signal: &Signal, event: &Event, subject: ObjectRef, now: u64) -> Self {
        Self {
            source: "event",
            name: signal.name.clone(),
            key: Key::from(&subject),
            object: subject,
            labels: BTreeMap::new(),
            since: event.first_at.as_ref().map_or(now, millis),
            until: None,
            expires: None,
            heard: now,
            message: signal.message.clone(),
            signal: signal.id.clone(),
            runbook: String::new(),
            generator: String::new(),
            suppressed: false,
            told_over: false,
            over: None,
            latest: 0,
            cause: None,
            fired: false,
            overdue: false,
        }
    }

    pub(crate) fn is_alert(&self) -> bool {
        self.source == "alert"
    }

    /// Whether it still hurts, as far as it can be known: a warning has no end.
    pub(crate) fn firing(&self) -> bool {
        self.is_alert() && self.until.is_none()
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn to_proto(&self) -> v1::Symptom {
        let state = match (self.is_alert(), self.until) {
            (true, None) => "firing",
            (true, Some(_)) => "resolved",
            (false, _) => "Warning",
        };
        v1::Symptom {
            source: self.source.to_owned(),
            name: self.name.clone(),
            object: Some(self.object.clone()),
            state: state.to_owned(),
            labels: self.labels.clone(),
            since: Some(timestamp(self.since)),
            until: self.until.map(timestamp),
            message: self.message.clone(),
            severity: self.labels.get("severity").cloned().unwrap_or_default(),
            signal: self.signal.clone(),
            runbook_url: self.runbook.clone(),
            generator_url: self.generator.clone(),
            suppressed: self.suppressed,
        }
    }
}
