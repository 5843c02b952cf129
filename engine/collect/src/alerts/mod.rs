//! Alerts as they are sent: a target like Alertmanager's for Prometheus (`POST /api/v2/alerts`) and a receiver for
//! Alertmanager's webhooks (`POST /webhook`).
//!
//! A sender hears 200 only when every alert of its request is stored, and 503 where that cannot be done in time, so
//! that it sends again. What is wrong with a request is its sender's to mend: 4xx and one line that says what, with the
//! good alerts of it stored.
//!
//! Hidden here: HTTP and TLS, who may send, how much one sender may take up, and how a delivery that is repeated gets
//! the ids it had before.

mod auth;
mod body;
mod intake;
mod quiet;
mod refusal;
mod retries;
mod routes;
mod server;
mod settings;
mod setup;
pub mod silences;
mod tls;

pub use auth::Auth;
pub use server::Listening;
pub use settings::{Limits, Settings};
pub use setup::SetupError;
pub use silences::Silences;
pub use tls::Tls;

#[cfg(test)]
mod tests;
