//! Asking the API server: page by page, with a bound on time, once more where it was busy.

use std::time::Duration;

use kube::{
    Client,
    api::{ListParams, Request},
};
use kwhy_ingest::text;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::kube::{
    container_log::{ContainerLog, Unread},
    reason,
};

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

    /// The last lines of a log, with their times; no more than `bytes` of it.
    pub(super) async fn log(
        &self,
        log: ContainerLog<'_>,
        lines: i64,
        bytes: usize,
    ) -> Result<Vec<u8>, Failed> {
        log.end(&self.client, lines, bytes, PATIENCE).await.map_err(|unread| match unread {
            Unread::Asked(error) => Failed::of(&error),
            Unread::Broken(why) => Failed::Other(text::message(&why).into_owned()),
        })
    }
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
            kube::Error::SerdeError(_) => Self::Other(reason(error)),
            error => Self::All(ApiError::Unreachable(reason(error))),
        }
    }
}
