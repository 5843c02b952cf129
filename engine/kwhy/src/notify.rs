//! When a finding is worth a message: once when it opens and once when it is resolved, after it has stopped changing
//! for a moment, so that one incident is one message. Threads, updates in place and digests will replace this.
//!
//! What was stored by another process, or in an earlier life, was told then. So nobody is told twice; who is killed within
//! the moment between storing and telling leaves it untold.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures::future::OptionFuture;
use kwhy_proto::v1::{Finding, Severity, Status};
use kwhy_publish::slack::{Links, SlackError, Webhook, message};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

/// A finding that has not changed for so long is told.
const SETTLED: Duration = Duration::from_secs(1);
/// Revisions that wait to be looked at.
const WAITING: usize = 256;
/// What could not be told for a passing reason is told after this, if it still holds.
const AGAIN: Duration = Duration::from_secs(60);
/// How long telling what is left may take when the process ends.
const LAST: Duration = Duration::from_secs(10);

/// A revision that was published.
pub(crate) struct News {
    pub(crate) finding: Finding,
    /// Stored just now; false where it was there already.
    pub(crate) stored: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was taken, or never will be.
    Done,
    /// It may be taken after this.
    Later(Duration),
}

/// Starts the notifier; it ends when the sender is dropped, after what is due was told.
pub(crate) fn start(webhook: Option<Webhook>) -> (mpsc::Sender<News>, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let tell = move |finding: Finding| {
        let webhook = webhook.clone();
        async move {
            match webhook {
                Some(webhook) => post(&webhook, &finding).await,
                None => Outcome::Done,
            }
        }
    };
    (sender, tokio::spawn(run(tell, receiver)))
}

async fn post(webhook: &Webhook, finding: &Finding) -> Outcome {
    let Err(error) = webhook.post(&message(finding, &Links::default())).await else { return Outcome::Done };
    tracing::warn!(finding = finding.id, %error, "Slack did not take the message; the finding is stored in NATS.");
    match error {
        SlackError::RateLimited { retry_after } => Outcome::Later(retry_after),
        SlackError::Failing { .. } | SlackError::Unreachable { .. } => Outcome::Later(AGAIN),
        SlackError::Refused { .. } | SlackError::Address | SlackError::Client(_) => Outcome::Done,
    }
}

async fn run<F: Future<Output = Outcome>>(tell: impl Fn(Finding) -> F, mut news: mpsc::Receiver<News>) {
    let mut board = Board::default();
    // One message at a time. Meanwhile news are taken in: whoever stores findings never waits for Slack.
    let mut telling = pin!(OptionFuture::<F>::from(None));
    let mut told: Option<Finding> = None;
    loop {
        if told.is_none()
            && let Some(finding) = board.take(Instant::now())
        {
            telling.set(OptionFuture::from(Some(tell(finding.clone()))));
            told = Some(finding);
        }
        let next = board.next().filter(|_| told.is_none());
        let due = async {
            match next {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = news.recv() => match received {
                Some(received) => board.note(received),
                None => break,
            },
            outcome = telling.as_mut(), if told.is_some() => {
                if let (Some(finding), Some(Outcome::Later(pause))) = (told.take(), outcome) {
                    board.put_back(finding, pause);
                }
            }
            () = due => {}
        }
    }
    let rest = async {
        if told.is_some() {
            telling.as_mut().await;
        }
        // It will not change any more.
        while let Some(finding) = board.take_any() {
            tell(finding).await;
        }
    };
    if timeout(LAST, rest).await.is_err() {
        tracing::warn!("Slack takes too long; not all findings were told. They are stored in NATS.");
    }
}

/// What was told and what is to be.
#[derive(Default)]
struct Board {
    /// The status that was told last, by the id of the finding.
    told: BTreeMap<String, i32>,
    /// What is to be told, and when.
    waiting: BTreeMap<String, (Instant, Finding)>,
}

impl Board {
    fn note(&mut self, News { finding, stored }: News) {
        if !worth_telling(&finding) || quiet(&finding, &self.told) {
            // What waits to be told would say what does not hold any more.
            self.waiting.remove(&finding.id);
            return;
        }
        if stored {
            self.waiting.insert(finding.id.clone(), (Instant::now() + SETTLED, finding));
            return;
        }
        match self.waiting.get(&finding.id) {
            // It was this process that stored the first of its kind, so nobody else tells it.
            Some((_, waits)) if waits.status == finding.status => {}
            _ => {
                self.waiting.remove(&finding.id);
                self.told.insert(finding.id, finding.status);
            }
        }
    }

    /// When the next is due.
    fn next(&self) -> Option<Instant> {
        self.waiting.values().map(|(due, _)| *due).min()
    }

    /// What is due and was not told; it counts as told.
    fn take(&mut self, now: Instant) -> Option<Finding> {
        loop {
            let due = self.waiting.iter().filter(|(_, (due, _))| *due <= now);
            let id = due.min_by_key(|(id, (due, _))| (*due, *id)).map(|(id, _)| id.clone())?;
            let (_, finding) = self.waiting.remove(&id)?;
            if self.told.insert(id, finding.status) != Some(finding.status) {
                return Some(finding);
            }
        }
    }

    /// The same whether it is due or not.
    fn take_any(&mut self) -> Option<Finding> {
        let last = self.waiting.values().map(|(due, _)| *due).max()?;
        self.take(last)
    }

    /// What was not told after all is told later, unless there is something newer of it.
    fn put_back(&mut self, finding: Finding, pause: Duration) {
        let newest = self.told.get(&finding.id) == Some(&finding.status);
        if newest && !self.waiting.contains_key(&finding.id) {
            self.told.remove(&finding.id);
            self.waiting.insert(finding.id.clone(), (Instant::now() + pause, finding));
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
    use std::sync::{Arc, Mutex};

    use kwhy_proto::v1::Symptom;
    use tokio::time::advance;

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

    fn loud(id: &str, status: Status) -> Finding {
        let severity = Severity::Critical.into();
        Finding { id: id.to_owned(), severity, status: status.into(), ..Finding::default() }
    }

    /// A notifier whose messages are taken by a channel that does as it is told, and what was tried to be told, by id.
    struct Desk {
        news: Option<mpsc::Sender<News>>,
        notifier: JoinHandle<()>,
        tried: Arc<Mutex<Vec<(String, Status)>>>,
    }

    impl Desk {
        fn start(outcome: impl Fn(usize) -> Outcome + Send + Sync + 'static, takes: Duration) -> Self {
            let (news, receiver) = mpsc::channel(WAITING);
            let tried = Arc::new(Mutex::new(Vec::new()));
            let (noted, outcome) = (tried.clone(), Arc::new(outcome));
            let tell = move |finding: Finding| {
                let (noted, outcome) = (noted.clone(), outcome.clone());
                async move {
                    let count = {
                        let mut noted = noted.lock().unwrap();
                        noted.push((finding.id.clone(), finding.status()));
                        noted.len()
                    };
                    tokio::time::sleep(takes).await;
                    outcome(count)
                }
            };
            Self { news: Some(news), notifier: tokio::spawn(run(tell, receiver)), tried }
        }

        async fn hears(&self, id: &str, status: Status, stored: bool) {
            let news = News { finding: loud(id, status), stored };
            assert!(self.news.as_ref().unwrap().send(news).await.is_ok());
            tokio::task::yield_now().await;
        }

        fn told(&self) -> Vec<(String, Status)> {
            self.tried.lock().unwrap().clone()
        }

        async fn end(mut self) -> Vec<(String, Status)> {
            self.news = None;
            self.notifier.await.unwrap();
            self.tried.lock().unwrap().clone()
        }
    }

    fn all_is_taken() -> Desk {
        Desk::start(|_| Outcome::Done, Duration::ZERO)
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn f(status: Status) -> (String, Status) {
        ("f".to_owned(), status)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_before_is_told_by_nobody_and_its_end_once() {
        let desk = all_is_taken();
        desk.hears("f", Status::Open, false).await;
        desk.hears("f", Status::Open, true).await;
        pass(5).await;
        assert_eq!(desk.told(), []);
        desk.hears("f", Status::Resolved, true).await;
        pass(5).await;
        desk.hears("f", Status::Resolved, true).await;
        assert_eq!(desk.end().await, [f(Status::Resolved)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_before_it_was_told_is_not_told_as_open() {
        let desk = all_is_taken();
        desk.hears("f", Status::Open, true).await;
        // Another process has stored the end of it, and tells it.
        desk.hears("f", Status::Resolved, false).await;
        pass(5).await;
        assert_eq!(desk.end().await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_this_process_stored_first_is_told_though_another_stores_more_of_it_meanwhile() {
        let desk = all_is_taken();
        desk.hears("f", Status::Open, true).await;
        desk.hears("f", Status::Open, false).await;
        pass(5).await;
        desk.hears("f", Status::Open, true).await;
        assert_eq!(desk.end().await, [f(Status::Open)]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stores_does_not_wait_for_slack() {
        let desk = Desk::start(|_| Outcome::Done, Duration::from_secs(3600));
        desk.hears("first", Status::Open, true).await;
        pass(2).await;
        assert_eq!(desk.told().len(), 1);
        for n in 0..4 * WAITING {
            desk.hears(&n.to_string(), Status::Open, true).await;
        }
        let began = Instant::now();
        // It ends all the same.
        assert_eq!(desk.end().await.len(), 1);
        assert_eq!(began.elapsed(), LAST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_slack_did_not_take_is_told_later_as_it_stands_then() {
        let again = Desk::start(
            |tries| if tries < 3 { Outcome::Later(AGAIN) } else { Outcome::Done },
            Duration::ZERO,
        );
        again.hears("f", Status::Open, true).await;
        pass(3 * AGAIN.as_secs()).await;
        assert_eq!(again.end().await, [f(Status::Open), f(Status::Open), f(Status::Open)]);

        let over = Desk::start(
            |tries| if tries < 2 { Outcome::Later(AGAIN) } else { Outcome::Done },
            Duration::ZERO,
        );
        over.hears("f", Status::Open, true).await;
        pass(2).await;
        over.hears("f", Status::Resolved, true).await;
        advance(2 * AGAIN).await;
        assert_eq!(over.end().await, [f(Status::Open), f(Status::Resolved)]);
    }
}
