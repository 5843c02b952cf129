//! Which containers' logs would tell why a pod fails. The core cannot fetch them: it says which, and whoever has
//! access to the cluster puts their lines onto the log of signals. So a replay needs no cluster.
//!
//! A run that has ended badly is asked for when its container waits or runs again, since until then the API server
//! would give it as the present one; where no other run follows, at once. A container that runs and does not get ready
//! is asked for when it has had a minute.

use kwhy_proto::v1::LogRequest;
use serde::{Deserialize, Serialize};

use crate::{
    correlator::{Env, State},
    json::Json,
    key::Key,
    object::{Object, text},
    timer::Due,
};

/// How long a container may take to be ready before its log is worth reading, ms.
const PATIENCE: u64 = 60_000;
/// A container's log is asked for no more often than this, ms of log time: what crashes again says the same again.
const PAUSE: u64 = 5 * 60_000;

/// What is asked for of one container.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    container: String,
    previous: bool,
    /// What tells this run or state from others: a container id, or since when it is not ready.
    of: String,
}

/// When a container's log was asked for the last time, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    at: u64,
    of: String,
}

impl State {
    /// Asks for the logs of a pod's containers that fail.
    pub(crate) fn ask(&mut self, key: &Key, env: &mut Env<'_>) {
        let Some(pod) = self.graph.get(key).filter(|pod| pod.deleted.is_none()).cloned() else { return };
        let (wanted, later) = wanted(&pod, self.now);
        for at in later {
            self.timers.add(at, Due::Unready(key.clone()));
        }
        for Wanted { container, previous, of } in wanted {
            let slot = (key.clone(), container.clone());
            let asked = self.asked.get(&slot);
            if asked.is_some_and(|asked| asked.of == of || asked.at + PAUSE > self.now) {
                continue;
            }
            self.asked.insert(slot, Asked { at: self.now, of: of.clone() });
            env.asks.push(LogRequest {
                id: format!("ask/{}/{container}/{of}", pod.uid),
                cluster: env.settings.cluster.clone(),
                pod: Some(pod.to_ref()),
                container,
                previous,
                at: Some(kwhy_proto::timestamp(self.now)),
            });
        }
    }

    /// Forgets what was asked for before `horizon`.
    pub(crate) fn forget_asked(&mut self, horizon: u64) {
        let old = self.asked.iter().filter(|(_, asked)| asked.at < horizon).map(|(slot, _)| slot.clone());
        for slot in old.collect::<Vec<_>>() {
            self.asked.remove(&slot);
        }
    }
}

/// The logs of a pod that are worth reading now, and when to look again.
fn wanted(pod: &Object, now: u64) -> (Vec<Wanted>, Vec<u64>) {
    let (mut wanted, mut later) = (Vec::new(), Vec::new());
    if pod.at("/metadata/deletionTimestamp").is_some() {
        return (wanted, later);
    }
    let over = pod.str("/spec/restartPolicy") == "Never" || pod.str("/status/phase") == "Failed";
    let unready = pod
        .list("/status/conditions")
        .iter()
        .find(|c| text(c.get("type")) == "ContainersReady" && text(c.get("status")) == "False");
    let unready = unready.and_then(|c| moment(text(c.get("lastTransitionTime"))));
    let init = pod.list("/status/initContainerStatuses").iter().map(|status| (status, true));
    let own = pod.list("/status/containerStatuses").iter().map(|status| (status, false));
    for (status, init) in init.chain(own) {
        let container = text(status.get("name"));
        if container.is_empty() {
            continue;
        }
        let mut want = |previous, of: &str| {
            wanted.push(Wanted { container: container.to_owned(), previous, of: of.to_owned() });
        };
        let failed = |place: &str| {
            let ended = status.pointer(place)?;
            let code = ended.get("exitCode").and_then(Json::as_i64).unwrap_or(0);
            (code != 0).then(|| match text(ended.get("containerID")) {
                "" => text(ended.get("finishedAt")),
                id => id,
            })
        };
        let ended = failed("/state/terminated").filter(|_| over);
        let before =
            failed("/lastState/terminated").filter(|_| status.pointer("/state/terminated").is_none());
        let since = status.pointer("/state/running/startedAt").and_then(|at| moment(text(Some(at))));
        if let Some(of) = ended {
            want(false, of);
        } else if let Some(of) = before {
            want(true, of);
        } else if let (Some(started), Some(unready), false) = (since, unready, init)
            && status.get("ready").and_then(Json::as_bool) == Some(false)
        {
            let due = started.max(unready) + PATIENCE;
            if due > now {
                later.push(due);
            } else {
                want(false, &format!("unready/{unready}"));
            }
        }
    }
    (wanted, later)
}

/// A time of the API in ms.
fn moment(text: &str) -> Option<u64> {
    text.parse().ok().as_ref().map(kwhy_proto::millis)
}
