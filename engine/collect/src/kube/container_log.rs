//! The end of a container's log, as the API server gives it.
//!
//! Its own bound on bytes would cut off the end, which tells most. So the answer is read as it comes and only the last
//! bytes of it are held. They need not be UTF-8.

use std::{pin::pin, time::Duration};

use futures::AsyncReadExt as _;
use kube::{
    Client,
    api::{LogParams, Request},
};
use tokio::time::timeout;

/// The rule of a ClusterRole that lets kwhy read logs, to be pasted under `rules:`.
pub(crate) const RULE: &str = r#"- {apiGroups: [""], resources: ["pods/log"], verbs: ["get"]}"#;

/// A container's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContainerLog<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) container: &'a str,
    /// The run before the present one.
    pub(crate) previous: bool,
}

/// Why a log cannot be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// What the API server or the client says.
    Asked(kube::Error),
    /// The answer broke off, or took too long.
    Broken(String),
}

impl ContainerLog<'_> {
    /// The last lines with their times, whole ones, and no more than so many bytes of them.
    pub(crate) async fn end(
        &self,
        client: &Client,
        lines: i64,
        bytes: usize,
        patience: Duration,
    ) -> Result<Vec<u8>, Unread> {
        let of = LogParams {
            container: Some(self.container.to_owned()),
            previous: self.previous,
            tail_lines: Some(lines),
            timestamps: true,
            ..LogParams::default()
        };
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let request = Request::new(path)
            .logs(self.pod, &of)
            .map_err(|error| Unread::Asked(kube::Error::BuildRequest(error)))?;
        let read = async {
            let mut stream = pin!(client.request_stream(request).await.map_err(Unread::Asked)?);
            let mut all = Vec::new();
            let mut chunk = vec![0; 64 * 1024];
            loop {
                let read =
                    stream.read(&mut chunk).await.map_err(|error| Unread::Broken(error.to_string()))?;
                if read == 0 {
                    break;
                }
                all.extend_from_slice(chunk.get(..read).unwrap_or_default());
                if all.len() > 2 * bytes {
                    keep_end(&mut all, bytes);
                }
            }
            keep_end(&mut all, bytes);
            Ok(all)
        };
        let silent = || Unread::Broken(format!("no answer within {} s", patience.as_secs()));
        timeout(patience, read).await.unwrap_or_else(|_elapsed| Err(silent()))
    }
}

/// Keeps the whole lines among the last bytes.
fn keep_end(log: &mut Vec<u8>, bytes: usize) {
    let Some(over) = log.len().checked_sub(bytes).filter(|over| *over > 0) else { return };
    let line = log.get(over..).and_then(|rest| rest.iter().position(|b| *b == b'\n'));
    log.drain(..line.map_or(log.len(), |line| over + line + 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_last_whole_lines_stay() {
        let kept = |text: &str, bytes| {
            let mut log = text.as_bytes().to_vec();
            keep_end(&mut log, bytes);
            String::from_utf8(log).unwrap()
        };
        assert_eq!(kept("one\ntwo\nthree\n", 100), "one\ntwo\nthree\n");
        assert_eq!(kept("one\ntwo\nthree\n", 8), "three\n");
        assert_eq!(kept("one\ntwo\nthree\n", 3), "");
        assert_eq!(kept("no line break", 3), "");
    }
}
