//! What was told before this process began, as it stands in the log: objects that went while nobody watched can so be
//! told as deleted.

use std::collections::BTreeMap;

use kwhy_proto::{
    millis,
    v1::{Signal, signal::Body},
};
use serde::Deserialize;

use super::{Resource, known::Known};

/// Objects that were told of, by kind.
#[derive(Debug, Default)]
pub struct Remembered {
    kinds: BTreeMap<(String, String), Known>,
    last: Option<u64>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
}

impl Remembered {
    /// Notes a signal of the log, in the log's order. Those that came by a watch count, not those of a capture.
    pub fn note(&mut self, signal: &Signal) {
        let (Some(Body::Object(change)), Some(subject)) = (&signal.body, &signal.subject) else { return };
        if !signal.origin.starts_with("/api") || subject.uid.is_empty() {
            return;
        }
        let Ok(Head { api_version }) = serde_json::from_str(&change.json) else { return };
        let known = self.kinds.entry((group(&api_version).to_owned(), subject.kind.clone())).or_default();
        if signal.name == "DELETED" {
            known.remove(&subject.uid);
        } else {
            known.add(subject.uid.clone(), &subject.namespace, &subject.name, None);
        }
        self.last = self.last.max(signal.at.as_ref().map(millis));
    }

    /// When something was last told, ms since the Unix epoch.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last
    }

    pub(crate) fn take(&mut self, resource: &Resource) -> Known {
        self.kinds
            .remove(&(resource.group.clone().into_owned(), resource.kind.clone().into_owned()))
            .unwrap_or_default()
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use kwhy_ingest::object::{Seen, Verb};
    use serde_json::json;

    use super::*;
    use crate::kube::{item::Item, kinds::WATCHED};

    fn signal(uid: &str, verb: Verb, origin: &str, at: u64) -> Signal {
        let deployments =
            &WATCHED.iter().flat_map(|all| all.iter()).find(|r| r.kind == "Deployment").unwrap();
        let value = json!({"metadata": {"name": uid, "namespace": "ns", "uid": uid, "resourceVersion": "1"}});
        let mut signal = Item::new(deployments, value).signal("c", verb, Seen::Watched, at).unwrap();
        origin.clone_into(&mut signal.origin);
        signal
    }

    #[test]
    fn what_the_log_tells_of_and_has_not_told_as_deleted_is_there() {
        let mut remembered = Remembered::default();
        remembered.note(&signal("a", Verb::Added, "/apis/apps/v1/…", 1));
        remembered.note(&signal("b", Verb::Added, "/apis/apps/v1/…", 2));
        remembered.note(&signal("b", Verb::Deleted, "/apis/apps/v1/…", 3));
        remembered.note(&signal("c", Verb::Added, "objects.json#3", 9));
        assert_eq!(remembered.last(), Some(3));
        let deployments = WATCHED.iter().flat_map(|all| all.iter()).find(|r| r.kind == "Deployment").unwrap();
        let mut known = remembered.take(deployments);
        known.begin();
        let gone: Vec<String> = known.vanished().into_iter().map(|(uid, _)| uid).collect();
        assert_eq!(gone, ["a"]);
    }
}
