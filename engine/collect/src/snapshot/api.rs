//! Asking the API server: page by page, with a bound on time, once more where it was busy.

use std::time::Duration;

use futures::AsyncReadExt;
use kube::{
    Client,
    api::{ListParams, LogParams, Request},
};
use kwhy_ingest::text;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// Longest that one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a request is made that the server was too busy for, and how long is waited in between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Why the API server cannot be asked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// It does not accept the credentials.
    #[error("the API server refuses the credentials; check them with `kubectl auth whoami`")]
    Unauthorized,
    /// Nobody answers.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// Asking for anything else is no use either.
    All(ApiError),
    /// RBAC does not grant it.
    Forbidden,
    /// There is no such thing.
    Missing,
    /// It does not work.
    Other(String),
}

/// A page of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default)]
    pub(super) items: Option<Vec<Value>>,
}

#[derive(Debug, Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

impl Page {
    /// What to ask for the next page with.
    pub(super) fn next(&self) -> Option<String> {
        self.metadata.next.clone().filter(|next| !next.is_empty())
    }
}

/// The API server.
pub(super) struct Api {
    client: Client,
}

impl Api {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The namespace that the kubeconfig names.
    pub(super) fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// A page of the list at a path.
    pub(super) async fn page(&self, path: &str, limit: u32, after: Option<&str>) -> Result<Page, Failed> {
        let mut page = ListParams::default().limit(limit);
        page.continue_token = after.map(str::to_owned);
        let mut attempt = 1;
        loop {
            let request = Request::new(path)
                .list(&page)
                .map_err(|error| Failed::Other(text::message(&error.to_string()).into_owned()))?;
            let failed = match timeout(PATIENCE, self.client.request::<Page>(request)).await {
                Ok(Ok(page)) => return Ok(page),
                Ok(Err(error)) => error,
                Err(_elapsed) => {
                    return Err(Failed::Other(format!("no answer within {} s", PATIENCE.as_secs())));
                }
            };
            let busy =
                matches!(&failed, kube::Error::Api(status) if status.code == 429 || status.code >= 500);
            if !busy || attempt == ATTEMPTS {
                return Err(Failed::of(&failed));
            }
            attempt += 1;
            sleep(PAUSE).await;
        }
    }

    /// The last lines of a log, with their times; no more than `limit` bytes of it.
    pub(super) async fn log(
        &self,
        path: &str,
        pod: &str,
        container: &str,
        previous: bool,
        lines: i64,
        limit: usize,
    ) -> Result<Vec<u8>, Failed> {
        let of = LogParams {
            container: Some(container.to_owned()),
            previous,
            tail_lines: Some(lines),
            timestamps: true,
            ..LogParams::default()
        };
        let request = Request::new(path)
            .logs(pod, &of)
            .map_err(|error| Failed::Other(text::message(&error.to_string()).into_owned()))?;
        let read = async {
            let mut stream =
                std::pin::pin!(self.client.request_stream(request).await.map_err(|e| Failed::of(&e))?);
            let mut all = Vec::new();
            let mut chunk = vec![0; 64 * 1024];
            loop {
                let read = stream.read(&mut chunk).await.map_err(|error| Failed::Other(error.to_string()))?;
                if read == 0 {
                    break;
                }
                all.extend_from_slice(chunk.get(..read).unwrap_or_default());
                if all.len() > 2 * limit {
                    last_lines(&mut all, limit);
                }
            }
            last_lines(&mut all, limit);
            Ok(all)
        };
        timeout(PATIENCE, read).await.unwrap_or_else(|_elapsed| {
            Err(Failed::Other(format!("no answer within {} s", PATIENCE.as_secs())))
        })
    }
}

/// Keeps the whole lines among the last bytes.
fn last_lines(log: &mut Vec<u8>, limit: usize) {
    let Some(over) = log.len().checked_sub(limit).filter(|over| *over > 0) else { return };
    let line = log.get(over..).and_then(|rest| rest.iter().position(|b| *b == b'\n'));
    log.drain(..line.map_or(log.len(), |line| over + line + 1));
}

impl Failed {
    fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Self::All(ApiError::Unauthorized),
                403 => Self::Forbidden,
                404 => Self::Missing,
                code => {
                    let words = format!("the API server says {code} {}", status.message);
                    Self::Other(text::message(&words).into_owned())
                }
            },
            // What the parser stumbled over may be the value of a Secret.
            kube::Error::SerdeError(error) => Self::Other(format!(
                "the answer is not what it should be (line {}, column {})",
                error.line(),
                error.column()
            )),
            error => {
                let mut innermost: &dyn std::error::Error = error;
                while let Some(source) = innermost.source() {
                    innermost = source;
                }
                Self::All(ApiError::Unreachable(text::message(&innermost.to_string()).into_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_last_whole_lines_stay() {
        let kept = |text: &str, limit| {
            let mut log = text.as_bytes().to_vec();
            last_lines(&mut log, limit);
            String::from_utf8(log).unwrap()
        };
        assert_eq!(kept("one\ntwo\nthree\n", 100), "one\ntwo\nthree\n");
        assert_eq!(kept("one\ntwo\nthree\n", 8), "three\n");
        assert_eq!(kept("one\ntwo\nthree\n", 3), "");
        assert_eq!(kept("no line break", 3), "");
    }
}
