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
                    if !worth_telling(&finding) {
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

fn worth_telling(finding: &Finding) -> bool {
    let loud = matches!(finding.severity(), Severity::Warning | Severity::Critical);
    loud && finding.folded_under.is_empty() && finding.status() != Status::Unspecified
}
