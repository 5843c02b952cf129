//! Findings as Slack messages.
//!
//! [`message`] says what to post and knows no network; [`Webhook`] posts any such value and knows no finding. Another way
//! to post (updates in place, threads, digests by token) takes the same values beside it.

mod inert;
mod message;
mod webhook;

pub use message::{Links, message};
pub use webhook::{SlackError, Webhook};
