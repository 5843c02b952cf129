//! Whether NATS is there, without asking it at every probe.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::Answers;

/// How long NATS may take to answer, and for how long its answer holds.
const HOLDS: Duration = Duration::from_secs(2);

/// What was last heard of a sink.
#[derive(Debug, Default)]
pub(crate) struct Reach(tokio::sync::Mutex<Option<(Instant, bool)>>);

impl Reach {
    /// Whether the sink answers; it is asked where that is not known for long.
    pub(crate) async fn answers(&self, sink: &impl Answers) -> bool {
        let mut known = self.0.lock().await;
        match *known {
            Some((at, answer)) if at.elapsed() < HOLDS => answer,
            _ => {
                let answer = timeout(HOLDS, sink.answers()).await.unwrap_or(false);
                *known = Some((Instant::now(), answer));
                answer
            }
        }
    }
}
