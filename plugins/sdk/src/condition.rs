//! One condition of an object's status, as nodes, pods, claims and workloads have them.

use crate::{Json, parse_time};

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False`, `Unknown`; empty where the condition is not there.
    pub status: String,
    /// One word for programs.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Since when the status is that, ms; 0 where it is not told.
    pub since: u64,
    /// When a kubelet last reported it, ms; 0 where it is not told.
    pub heartbeat: u64,
}

impl Condition {
    /// The condition of that type in the list of an object's `/status/conditions`.
    #[must_use]
    pub fn among(conditions: &Json, kind: &str) -> Self {
        let Some(found) = conditions.item("/type", kind) else { return Self::default() };
        Self {
            status: found.text("/status").to_owned(),
            reason: found.text("/reason").to_owned(),
            message: found.text("/message").to_owned(),
            since: parse_time(found.text("/lastTransitionTime")).unwrap_or(0),
            heartbeat: parse_time(found.text("/lastHeartbeatTime")).unwrap_or(0),
        }
    }

    /// The condition of that type of a whole object.
    #[must_use]
    pub fn of(object: &Json, kind: &str) -> Self {
        Self::among(&object.at("/status/conditions"), kind)
    }

    /// Whether it is there and true.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.status == "True"
    }

    /// Whether it is there and not true.
    #[must_use]
    pub fn fails(&self) -> bool {
        !self.status.is_empty() && !self.holds()
    }

    /// Since when the status is that, where it is told.
    #[must_use]
    pub fn known_since(&self) -> Option<u64> {
        (self.since > 0).then_some(self.since)
    }

    /// As a person would quote it.
    #[must_use]
    pub fn quote(&self, kind: &str) -> String {
        format!("{kind}={} {}: {}", self.status, self.reason, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_there_neither_holds_nor_fails() {
        let pod = Json::new(json!({"status": {"conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m", "lastTransitionTime": "2024-05-07T09:00:00Z"},
            {"type": "Initialized", "status": "True"},
        ]}}));
        let ready = Condition::of(&pod, "Ready");
        assert!(ready.fails() && !ready.holds());
        assert_eq!(ready.quote("Ready"), "Ready=False ContainersNotReady: m");
        assert_eq!(ready.known_since(), parse_time("2024-05-07T09:00:00Z"));
        let initialized = Condition::of(&pod, "Initialized");
        assert!(initialized.holds() && initialized.known_since().is_none());
        let absent = Condition::of(&pod, "PodScheduled");
        assert!(!absent.holds() && !absent.fails());
    }
}
