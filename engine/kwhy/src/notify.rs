//! When a finding is worth a message: once when it opens and once when it is resolved, after it has stopped changing
//! for a moment, so that one incident is one message. Threads, updates in place and digests will replace this.

use std::{collections::BTreeMap, time::Duration};

use kwhy_proto::v1::{Finding, Severity, Status};
use kwhy_publish::slack::{Links, Webhook, message};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// A finding that has not changed for so long is told.
const SETTLED: Duration = Duration::from_secs(1);
/// Revisions that wait to be looked at.
const WAITING: usize = 256;

/// A revision that was published.
pub(crate) struct News {
    pub(crate) finding: Finding,
    /// Stored just now; false where a replay met what was there already.
    pub(crate) stored: bool,
}

/// Starts the notifier; it ends when the sender is dropped, after what is due was told.
pub(crate) fn start(webhook: Option<Webhook>) -> (mpsc::Sender<News>, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (sender, tokio::spawn(run(webhook, receiver)))
}

async fn run(webhook: Option<Webhook>, mut news: mpsc::Receiver<News>) {
    let mut told: BTreeMap<String, i32> = BTreeMap::new();
    let mut waiting: BTreeMap<String, (Instant, Finding)> = BTreeMap::new();
    loop {
        let next = waiting.values().map(|(due, _)| *due).min();
        let due = async {
            match next {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            received = news.recv() => match received {
                Some(News { finding, stored }) => {
                    if !worth_telling(&finding) || quiet(&finding, &told) {
                        // What waits to be told would say what does not hold any more.
                        waiting.remove(&finding.id);
                        continue;
                    }
                    if stored {
                        waiting.insert(finding.id.clone(), (Instant::now() + SETTLED, finding));
                    } else {
                        told.insert(finding.id, finding.status);
                    }
                    continue;
                }
                None => true,
            },
            () = due => false,
        };
        let now = Instant::now();
        let ready: Vec<String> =
            waiting.iter().filter(|(_, (due, _))| ended || *due <= now).map(|(id, _)| id.clone()).collect();
        for id in ready {
            let Some((_, finding)) = waiting.remove(&id) else { continue };
            if told.insert(id, finding.status) == Some(finding.status) {
                continue;
            }
            let Some(webhook) = &webhook else { continue };
            if let Err(error) = webhook.post(&message(&finding, &Links::default())).await {
                tracing::warn!(finding = finding.id, %error, "Slack did not take the message; the finding is stored in NATS.");
            }
        }
        if ended {
            return;
        }
    }
}

/// Alertmanager holds back every alert of the finding, so somebody wants to hear nothing of it. That it is over is told
/// to those who were told that it had begun.
fn quiet(finding: &Finding, told: &BTreeMap<String, i32>) -> bool {
    let mut alerts = finding.symptoms.iter().filter(|symptom| symptom.source == "alert").peekable();
    // Of those that were left out nobody knows.
    let held_back =
        alerts.peek().is_some() && alerts.all(|alert| alert.suppressed) && finding.omitted.is_empty();
    let begun = told.get(&finding.id) == Some(&Status::Open.into());
    held_back && !(finding.status() == Status::Resolved && begun)
}

fn worth_telling(finding: &Finding) -> bool {
    let loud = matches!(finding.severity(), Severity::Warning | Severity::Critical);
    loud && finding.folded_under.is_empty() && finding.status() != Status::Unspecified
}

#[cfg(test)]
mod tests {
    use kwhy_proto::v1::Symptom;

    use super::*;

    fn finding(symptoms: &[(&str, bool)], status: Status) -> Finding {
        let symptom = |(source, suppressed): &(&str, bool)| Symptom {
            source: (*source).to_owned(),
            suppressed: *suppressed,
            ..Symptom::default()
        };
        Finding {
            id: "f".to_owned(),
            status: status.into(),
            symptoms: symptoms.iter().map(symptom).collect(),
            ..Finding::default()
        }
    }

    #[test]
    fn nothing_is_told_of_a_finding_of_which_every_alert_is_held_back() {
        let told = BTreeMap::new();
        let quiet = |symptoms: &[(&str, bool)]| super::quiet(&finding(symptoms, Status::Open), &told);
        assert!(quiet(&[("alert", true)]) && quiet(&[("alert", true), ("event", false)]));
        assert!(!quiet(&[("alert", true), ("alert", false)]));
        assert!(!quiet(&[("event", false)]) && !quiet(&[]), "what no alert tells can be silenced by nobody");
    }

    #[test]
    fn the_end_is_told_to_those_who_were_told_of_the_beginning() {
        let over = finding(&[("alert", true)], Status::Resolved);
        assert!(quiet(&over, &BTreeMap::new()));
        assert!(!quiet(&over, &BTreeMap::from([("f".to_owned(), Status::Open.into())])));
    }
}
