//! Posts to an incoming webhook: with time limits, with patience where Slack asks for it, without ever saying the address.
//!
//! The address of a webhook is a secret: who knows it can post. It stands in no error, no log line and no `Debug`.
//! Slack has no idempotency key, so a post whose answer was lost is sent again: at least once, not exactly once.

use std::{fmt, time::Duration};

use reqwest::{Client, Response, StatusCode, Url, header::RETRY_AFTER, redirect};
use serde_json::Value;

use crate::sanitize;

/// How often one message is tried.
const ATTEMPTS: u32 = 5;
/// Wait after the first failure; doubled each time.
const BACKOFF: Duration = Duration::from_secs(1);
/// A longer wait is the caller's to plan.
const PATIENCE: Duration = Duration::from_secs(120);
/// For one attempt, connecting included.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);
/// An answer is a word; what comes after this is not read.
const ANSWER_MOST: usize = 4096;

/// Why a message was not posted.
#[derive(Debug, thiserror::Error)]
pub enum SlackError {
    /// The webhook's address is no `http` or `https` address.
    #[error("the Slack webhook is not a web address: copy it from the app's page «Incoming Webhooks»")]
    Address,
    /// No HTTP client can be made, for want of TLS or memory.
    #[error("cannot set up HTTP for Slack")]
    Client(#[source] reqwest::Error),
    /// Slack does not take the message; sending it again will not help.
    #[error("Slack refused the message: {answer} (HTTP {status})")]
    Refused {
        /// HTTP status, 300 to 499.
        status: u16,
        /// What Slack says: `invalid_blocks`, `no_service`, `channel_is_archived`.
        answer: String,
    },
    /// Slack wants a longer pause than a caller should wait for.
    #[error("Slack asks to wait {} s before the next message", .retry_after.as_secs())]
    RateLimited {
        /// How long.
        retry_after: Duration,
    },
    /// Slack answered, but with errors of its own to the last attempt.
    #[error("Slack failed {attempts} times, last: {answer} (HTTP {status})")]
    Failing {
        /// How often it was tried.
        attempts: u32,
        /// HTTP status, 429 or 500 and above.
        status: u16,
        /// What it said.
        answer: String,
    },
    /// Slack could not be reached or did not answer in time.
    #[error("no answer from Slack in {attempts} attempts")]
    Unreachable {
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time, without the address.
        #[source]
        source: reqwest::Error,
    },
}

/// An incoming webhook of one channel.
#[derive(Clone)]
pub struct Webhook {
    url: Url,
    client: Client,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("url", &"(secret)").finish()
    }
}

/// One attempt that may be worth another.
enum Failure {
    Answer { status: StatusCode, answer: String, retry_after: Option<Duration> },
    Silence(reqwest::Error),
}

impl Webhook {
    /// A webhook at `url`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SlackError::Address`] where it is not an absolute web address, [`SlackError::Client`] where TLS cannot be set up.
    pub fn new(url: &str) -> Result<Self, SlackError> {
        Self::within(url, TIMEOUT)
    }

    fn within(url: &str, timeout: Duration) -> Result<Self, SlackError> {
        let url = Url::parse(url.trim()).map_err(|_| SlackError::Address)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(SlackError::Address);
        }
        let client = Client::builder()
            .timeout(timeout)
            .connect_timeout(CONNECT.min(timeout))
            // A redirect would carry the message to where nobody meant it to go.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("kwhy/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SlackError::Client(error.without_url()))?;
        Ok(Self { url, client })
    }

    /// Posts `message`, as [`message`](super::message) makes it. Waits as long as Slack's `Retry-After` says, and one, two,
    /// four, eight seconds after other passing failures.
    ///
    /// # Errors
    /// [`SlackError`]; `Refused` is final, the others may pass with time.
    pub async fn post(&self, message: &Value) -> Result<(), SlackError> {
        self.post_pausing(message, tokio::time::sleep).await
    }

    /// Asks Slack whether it knows the webhook, without a message in any channel: a post without text is refused by those
    /// webhooks that exist with `no_text`.
    ///
    /// # Errors
    /// [`SlackError::Refused`] with what is the matter (`invalid_token`, `no_service`), [`SlackError::Unreachable`].
    pub async fn probe(&self) -> Result<(), SlackError> {
        match self.attempt(&Value::Object(serde_json::Map::new())).await {
            Ok(Err(SlackError::Refused { status: 400, answer })) if answer == "no_text" => Ok(()),
            Ok(done) => done,
            Err(Failure::Answer { status, answer, .. }) => {
                Err(SlackError::Failing { attempts: 1, status: status.as_u16(), answer })
            }
            Err(Failure::Silence(source)) => Err(SlackError::Unreachable { attempts: 1, source }),
        }
    }

    /// [`post`](Self::post) with the pause given from outside.
    async fn post_pausing<P: Future<Output = ()>>(
        &self,
        message: &Value,
        pause: impl Fn(Duration) -> P,
    ) -> Result<(), SlackError> {
        let mut attempts = 1;
        loop {
            let failure = match self.attempt(message).await {
                Ok(done) => return done,
                Err(failure) => failure,
            };
            let asked = match &failure {
                Failure::Answer { retry_after, .. } => *retry_after,
                Failure::Silence(_) => None,
            };
            if let Some(retry_after) = asked.filter(|asked| *asked > PATIENCE) {
                return Err(SlackError::RateLimited { retry_after });
            }
            if attempts >= ATTEMPTS {
                return Err(match failure {
                    Failure::Answer { status, answer, .. } => {
                        SlackError::Failing { attempts, status: status.as_u16(), answer }
                    }
                    Failure::Silence(source) => SlackError::Unreachable { attempts, source },
                });
            }
            let wait = asked.unwrap_or_else(|| BACKOFF.saturating_mul(2_u32.saturating_pow(attempts - 1)));
            tracing::debug!(
                attempt = attempts,
                wait_ms = wait.as_millis(),
                "Slack did not take a message yet"
            );
            pause(wait).await;
            attempts += 1;
        }
    }

    /// One post: done for good or ill, or worth another.
    async fn attempt(&self, message: &Value) -> Result<Result<(), SlackError>, Failure> {
        let sent = self.client.post(self.url.clone()).json(message).send().await;
        let response = sent.map_err(|error| Failure::Silence(error.without_url()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(()));
        }
        let seconds =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let answer = self.answer(response).await;
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Err(Failure::Answer { status, answer, retry_after });
        }
        Ok(Err(SlackError::Refused { status: status.as_u16(), answer }))
    }

    /// The first words of an answer. A proxy may repeat the address in its error page, so what is secret of it goes.
    async fn answer(&self, mut response: Response) -> String {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= ANSWER_MOST {
                break;
            }
        }
        let mut text = sanitize::line(&String::from_utf8_lossy(&body));
        let secrets = self.url.path_segments().into_iter().flatten().chain(self.url.query());
        for secret in secrets.filter(|it| it.len() > 3 && *it != "services") {
            text = text.replace(secret, "(secret)");
        }
        match text.is_empty() {
            true => "no reason given".to_owned(),
            // From the start only: at the end the reading may have stopped within a secret.
            false => text.chars().take(200).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, error::Error, future};

    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        task::JoinHandle,
    };

    use super::*;

    const SECRET: &str = "XXXXsecretXXXX";

    /// What the server does with one post.
    enum Does {
        Answers(&'static str, &'static str),
        Cuts,
        Hangs,
    }
    use Does::{Answers, Cuts, Hangs};

    /// A server on loopback that treats one connection after the other as `script` says and returns what it was sent,
    /// with the connections it left hanging.
    async fn slack(script: Vec<Does>) -> (String, JoinHandle<(Vec<String>, Vec<TcpStream>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/services/T0001/B0001/{SECRET}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut bodies, mut open) = (Vec::new(), Vec::new());
            for does in script {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                let body = loop {
                    let read = stream.read(&mut buffer).await.unwrap();
                    request.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&request);
                    if let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let length = head
                            .lines()
                            .find_map(|it| it.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                        if read == 0 || body.len() >= length.unwrap_or(0) {
                            break body.to_owned();
                        }
                    }
                };
                bodies.push(body);
                match does {
                    Answers(head, body) => {
                        let length = body.len();
                        let answer = format!(
                            "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                        );
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    Cuts => drop(stream),
                    Hangs => open.push(stream),
                }
            }
            (bodies, open)
        });
        (url, served)
    }

    /// Posts to such a server: the result, the pauses asked for in seconds, and how many posts arrived.
    async fn post(script: Vec<Does>, timeout: Duration) -> (Result<(), SlackError>, Vec<u64>, Vec<String>) {
        let (url, served) = slack(script).await;
        let waits = RefCell::new(Vec::new());
        let pause = |wait: Duration| {
            waits.borrow_mut().push(wait.as_secs());
            future::ready(())
        };
        let result = Webhook::within(&url, timeout).unwrap().post_pausing(&json!({"text": "t"}), pause).await;
        (result, waits.into_inner(), served.await.unwrap().0)
    }

    /// All an error can say, down its chain.
    fn whole(error: &SlackError) -> String {
        let mut text = format!("{error} {error:?}");
        let mut next = error.source();
        while let Some(error) = next {
            text = format!("{text} {error} {error:?}");
            next = error.source();
        }
        text
    }

    fn sendable<T: Send>(it: T) -> T {
        it
    }

    #[tokio::test]
    async fn a_message_is_posted_once_as_it_is() {
        let (url, served) = slack(vec![Answers("200 OK", "ok")]).await;
        let webhook = Webhook::new(&url).unwrap();
        sendable(webhook.post(&json!({"text": "t"}))).await.unwrap();
        assert_eq!(served.await.unwrap().0, [r#"{"text":"t"}"#]);
        assert!(!format!("{webhook:?}").contains(SECRET));
    }

    #[tokio::test]
    async fn slack_is_given_the_time_it_asks_for() {
        let script =
            vec![Answers("429 Too Many Requests\r\nRetry-After: 7", "rate_limited"), Answers("200 OK", "ok")];
        let (result, waits, bodies) = post(script, TIMEOUT).await;
        result.unwrap();
        assert_eq!((waits, bodies.len()), (vec![7], 2));
    }

    #[tokio::test]
    async fn a_pause_of_an_hour_is_left_to_the_caller() {
        let script = vec![Answers("429 Too Many Requests\r\nRetry-After: 3600", "")];
        let (result, waits, _) = post(script, TIMEOUT).await;
        assert_eq!(result.unwrap_err().to_string(), "Slack asks to wait 3600 s before the next message");
        assert!(waits.is_empty());
    }

    #[tokio::test]
    async fn errors_of_slack_are_retried_with_growing_pauses_and_an_end() {
        let script = (0..5).map(|_| Answers("500 Internal Server Error", "rollup_error")).collect();
        let (result, waits, bodies) = post(script, TIMEOUT).await;
        assert_eq!(result.unwrap_err().to_string(), "Slack failed 5 times, last: rollup_error (HTTP 500)");
        assert_eq!((waits, bodies.len()), (vec![1, 2, 4, 8], 5));
    }

    #[tokio::test]
    async fn a_refusal_is_final_and_says_why() {
        let (result, waits, bodies) =
            post(vec![Answers("400 Bad Request", "invalid_blocks\n")], TIMEOUT).await;
        assert_eq!(result.unwrap_err().to_string(), "Slack refused the message: invalid_blocks (HTTP 400)");
        assert_eq!((waits.len(), bodies.len()), (0, 1));
    }

    #[tokio::test]
    async fn a_cut_connection_is_tried_again() {
        let (result, waits, bodies) = post(vec![Cuts, Answers("200 OK", "ok")], TIMEOUT).await;
        result.unwrap();
        assert_eq!((waits, bodies.len()), (vec![1], 2));
    }

    #[tokio::test]
    async fn a_server_that_never_answers_does_not_hold_us() {
        let script = (0..5).map(|_| Hangs).collect();
        let (result, waits, _) = post(script, Duration::from_millis(60)).await;
        let error = result.unwrap_err();
        assert!(
            matches!(&error, SlackError::Unreachable { attempts: 5, source } if source.is_timeout()),
            "{error:?}"
        );
        assert_eq!(waits.len(), 4);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let script = vec![Answers("302 Found\r\nLocation: http://127.0.0.1:1/elsewhere", "")];
        let (result, ..) = post(script, TIMEOUT).await;
        assert_eq!(result.unwrap_err().to_string(), "Slack refused the message: no reason given (HTTP 302)");
    }

    #[tokio::test]
    async fn the_address_stands_in_no_error() {
        let echo = "no route for POST /services/T0001/B0001/XXXXsecretXXXX \u{1b}[31m";
        let (refused, ..) = post(vec![Answers("404 Not Found", echo)], TIMEOUT).await;
        let (cut, ..) = post((0..5).map(|_| Cuts).collect(), TIMEOUT).await;
        let (slow, ..) = post((0..5).map(|_| Hangs).collect(), Duration::from_millis(60)).await;
        let gone = Webhook::new(&format!("http://127.0.0.1:1/services/{SECRET}")).unwrap();
        let gone = gone.post_pausing(&json!({}), |_| future::ready(())).await;
        for error in [refused, cut, slow, gone].map(Result::unwrap_err) {
            let said = whole(&error);
            assert!(!said.contains(SECRET) && !said.contains('\u{1b}'), "{said}");
        }
        // The twin: without `without_url` the client's own error does say it.
        let raw = Client::new().post(format!("http://127.0.0.1:1/{SECRET}")).send().await.unwrap_err();
        assert!(format!("{raw}{raw:?}").contains(SECRET));
    }

    #[test]
    fn what_is_no_web_address_is_refused_without_repeating_it() {
        for bad in ["", "hooks.slack.com/services/x", "file:///XXXXsecretXXXX", "https://"] {
            let said = whole(&Webhook::new(bad).unwrap_err());
            assert!(said.contains("copy it from") && !said.contains(SECRET), "{said}");
        }
    }
}
