//! Evidence on demand: the last lines of containers whose logs the core has asked for.
//!
//! An answer is bounded in lines and bytes, and so is the number of requests that are answered at a time. How often a
//! container is asked for is the core's decision. Lines have ids of their times, so an answer that is given twice, by
//! two collectors or after a restart, is one.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{Stream, StreamExt};
use kube::Client;
use kwhy_ingest::{
    container,
    log::{self, Container, Text},
    text,
};
use kwhy_proto::{
    Timestamp, millis,
    v1::{LogRequest, ObjectRef, Signal},
};
use tokio::sync::mpsc;

use super::{
    container_log::{ContainerLog, RULE, Unread},
    trouble::reason,
};
use crate::clock::Clock;

/// Most lines of an answer.
const LINES: i64 = 200;
/// Most bytes of an answer: the last ones, as they tell how it ended.
const BYTES: usize = 64 << 10;
/// Requests that are answered at a time.
const AT_ONCE: usize = 4;
/// The kubelet of a lost node does not answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// A request older than this is about a run that is gone by now, ms.
const STALE: u64 = 10 * 60_000;

/// Why a log cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLog {
    /// RBAC does not grant it.
    #[error(
        "kwhy may not read logs of pods, so findings lack what containers said; add to its ClusterRole: {RULE}"
    )]
    Forbidden,
    /// It is not there any more, or cannot be fetched now.
    #[error("no log of container {container} of pod {pod}: {reason}")]
    Gone {
        /// `namespace/name`.
        pod: String,
        /// The container's name.
        container: String,
        /// What the API server says.
        reason: String,
    },
}

/// Answers requests until they end or nobody takes signals any more. `report` is told once where a permission is
/// missing; that a single log is gone by now is common and only logged.
pub async fn answer(
    client: Client,
    cluster: &str,
    clock: impl Clock,
    requests: impl Stream<Item = LogRequest>,
    signals: mpsc::Sender<Signal>,
    report: impl Fn(&NoLog),
) {
    let told = AtomicBool::new(false);
    let fresh = requests.filter(|request| {
        let at = request.at.as_ref().map_or(0, millis);
        std::future::ready(at.saturating_add(STALE) > clock())
    });
    let answers = fresh.map(|request| fetch(client.clone(), cluster, request)).buffered(AT_ONCE);
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(lines) => {
                told.store(false, Ordering::Relaxed);
                for line in lines {
                    if signals.send(line).await.is_err() {
                        return;
                    }
                }
            }
            Err(NoLog::Forbidden) if told.swap(true, Ordering::Relaxed) => {}
            Err(forbidden @ NoLog::Forbidden) => report(&forbidden),
            Err(gone) => tracing::info!(%gone, "A log that was asked for cannot be had."),
        }
    }
}

async fn fetch(client: Client, cluster: &str, request: LogRequest) -> Result<Vec<Signal>, NoLog> {
    let LogRequest { pod, container, previous, .. } = request;
    let pod = pod.unwrap_or_default();
    let gone = |reason: String| NoLog::Gone {
        pod: format!("{}/{}", pod.namespace, pod.name),
        container: container.clone(),
        reason: text::message(&reason).into_owned(),
    };
    let log = ContainerLog { namespace: &pod.namespace, pod: &pod.name, container: &container, previous };
    let body = match log.end(&client, LINES, BYTES, PATIENCE).await {
        Ok(body) => body,
        Err(Unread::Asked(kube::Error::Api(status))) if status.code == 403 => return Err(NoLog::Forbidden),
        Err(Unread::Asked(kube::Error::Api(status))) => return Err(gone(status.message.clone())),
        Err(Unread::Asked(error)) => return Err(gone(reason(&error))),
        Err(Unread::Broken(why)) => return Err(gone(why)),
    };
    Ok(lines(cluster, &pod, &container, previous, &text::utf8(&body)))
}

/// The signals of an answer: its lines, each under an id of its time.
fn lines(cluster: &str, pod: &ObjectRef, container: &str, previous: bool, body: &str) -> Vec<Signal> {
    let mut same_time: BTreeMap<Timestamp, u32> = BTreeMap::new();
    let mut signals = Vec::new();
    for line in body.lines() {
        let Some((at, told)) = container::parse(line) else { continue };
        let n = same_time.entry(at).or_default();
        let position = format!("{:012}{:09}{n:03}", at.seconds, at.nanos);
        *n += 1;
        let of = Container { namespace: &pod.namespace, pod: &pod.name, name: container, previous };
        let origin = format!(
            "kubectl -n {} logs {} -c {container}{}",
            pod.namespace,
            pod.name,
            if previous { " --previous" } else { "" }
        );
        signals.push(log::container(cluster, of, &Text::read(told), at, &position, origin));
    }
    signals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> ObjectRef {
        ObjectRef {
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "web-0".into(),
            ..ObjectRef::default()
        }
    }

    #[test]
    fn lines_of_one_moment_keep_their_order_and_an_answer_that_comes_again_is_the_same() {
        let body =
            "2026-01-01T00:00:00.5Z one\n2026-01-01T00:00:00.5Z [ERROR] two\n2026-01-01T00:00:01Z three\n";
        let signals = lines("lab", &pod(), "app", true, body);
        let told: Vec<(&str, &str)> =
            signals.iter().map(|s| (s.message.as_str(), s.state.as_str())).collect();
        assert_eq!(told, [("one", ""), ("[ERROR] two", "E"), ("three", "")]);
        let ids: Vec<&str> = signals.iter().map(|s| s.id.as_str()).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.starts_with("log/shop/web-0/app/")), "{ids:?}");
        assert_eq!(signals, lines("lab", &pod(), "app", true, body));
        // A longer answer later gives the lines that are in both the same ids.
        let more = lines("lab", &pod(), "app", true, &format!("{body}2026-01-01T00:00:02Z four\n"));
        assert_eq!(more[..3], signals);
    }

    #[test]
    fn what_has_no_time_is_no_line() {
        assert_eq!(lines("lab", &pod(), "app", false, "unable to retrieve container logs for x\n"), []);
    }
}
