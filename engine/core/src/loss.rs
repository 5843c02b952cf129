//! The log itself says that it lacks something: what was found rests on less than was told, and that is a finding.
//!
//! A gap of one source (a watch that was cut, lines above a limit) is in the nature of sources and stays a signal. What the
//! log had taken and lost is a fault of whoever keeps it.

use kwhy_proto::{
    timestamp,
    v1::{Gap, ObjectRef, Signal, signal::Body},
};

use crate::{
    correlator::{Env, State},
    rule::{Diagnosis, Evidence, Remedy},
};

/// Code of the finding about a log that lost signals.
const SIGNALS_LOST: &str = "kwhy.signals-lost";
/// Name of a gap of the log itself: that of its stream.
const LOG: &str = "KWHY_IN";

/// What says in the log of a cluster that its messages `first` to `last` are missing, at log time `now` (ms), and `why`.
#[must_use]
pub fn signal(cluster: &str, first: u64, last: u64, why: &str, now: u64) -> Signal {
    let reason = format!("messages {first} to {last} of {LOG} are lost: {why}");
    let now = Some(timestamp(now));
    Signal {
        id: format!("gap/log/{first}-{last}"),
        cluster: cluster.to_owned(),
        source: "gap".to_owned(),
        name: LOG.to_owned(),
        at: now,
        message: reason.clone(),
        origin: LOG.to_owned(),
        body: Some(Body::Gap(Gap { from: None, to: now, reason })),
        ..Signal::default()
    }
}

impl State {
    /// Takes in that signals are missing.
    pub(crate) fn gap(&mut self, signal: &Signal, gap: &Gap, env: &mut Env<'_>) {
        if signal.name != LOG {
            return;
        }
        let root = ObjectRef { kind: "Stream".into(), name: LOG.into(), ..ObjectRef::default() };
        let remedy = |text: &str, command: &str| Remedy {
            text: text.to_owned(),
            command: command.to_owned(),
            caution: String::new(),
        };
        let diagnosis = Diagnosis {
            code: SIGNALS_LOST.to_owned(),
            root: root.clone(),
            severity: "warning".to_owned(),
            confidence: 100,
            title: gap.reason.clone(),
            explanation: "What was told in them is known to no rule. Findings of that time may lack a cause, evidence or \
                          their end; later ones rest on what is listed and told since."
                .to_owned(),
            evidence: vec![Evidence {
                signal: None,
                object: Some(root),
                excerpt: gap.reason.clone(),
                weight: 100,
                note: "said by the engine that reads the log".to_owned(),
            }],
            remedies: vec![
                remedy("look at what the stream keeps and for how long", "nats stream info KWHY_IN"),
                remedy(
                    "where it dropped them before they were read, give it more room; it grows at the next start of kwhy",
                    "nats stream edit KWHY_IN --max-bytes 4GiB",
                ),
                remedy(
                    "where the server lost what it had acknowledged, let it write to the disk at once: `sync_interval: always` in \
                     the jetstream block of its configuration, or three replicas",
                    "",
                ),
            ],
            ..Diagnosis::default()
        };
        self.diagnosed(None, diagnosis, env);
    }
}
