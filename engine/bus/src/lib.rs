//! Signals and findings on NATS JetStream.
//!
//! This crate knows streams, subjects, acknowledgements and reconnects; it knows nothing of what a finding means.
//! Callers publish and read [`kwhy_proto::v1`] types and never see a NATS type.
//!
//! # Streams and subjects
//! | stream | subject | body |
//! |---|---|---|
//! | `KWHY_IN` | `kwhy.in.<cluster>.<source>.<namespace>` | `kwhy.v1.SignalBatch` |
//! | `KWHY_IN` | `kwhy.in.<cluster>.raw.<kind>…` | what other programs ship as it is: see `docs/shippers.md` |
//! | `KWHY_OUT` | `kwhy.out.f.<cluster>.<finding>.<revision>.<namespace>.<pack>.<cause>` | `kwhy.v1.Finding` |
//! | `KWHY_OUT` | `kwhy.out.ckpt.<cluster>` | `kwhy.v1.Checkpoint`, committed with the findings up to it |
//! | `KWHY_SNAP` (object store) | | snapshots of engines, named by the SHA-256 of their content |
//! | `KWHY_ASK` | `kwhy.ask.<cluster>.<namespace>` | `kwhy.v1.LogRequest` |
//! | (republished by the server) | `kwhy.findings.<cluster>.<namespace>.<pack>.<cause>` | `kwhy.v1.Finding` |
//! | (plain publish) | `kwhy.findings.json.<cluster>.<namespace>.<pack>.<cause>` | the same as canonical JSON |
//!
//! Tokens are escaped as [`subject::token`] says; a namespace or cause that is empty is `_`.
//!
//! The identity of a finding revision (cluster, id, revision) stands before what may be said of it (namespace, code).
//! Every revision is published on the condition that nothing is stored yet under
//! `kwhy.out.f.<cluster>.<finding>.<revision>.>`, so a second copy is refused for as long as the first is retained,
//! even one that differs in code: the server's window for duplicate message ids does not matter.
//! A durable reader takes `KWHY_OUT`; a plain subscriber to `kwhy.findings.*.*.*.*` gets every revision as protobuf,
//! at most once, and can see by the headers `Nats-Sequence` and `Nats-Subject` what it missed. `kwhy.findings.>` holds
//! both encodings: look at `Content-Type`.
//!
//! `KWHY_IN` holds all clusters and is read as a whole, skipping those of others: only so is a hole in its sequences
//! known to be a loss.

mod batch;
mod bus;
mod commit;
mod error;
mod findings;
mod read;
mod requests;
mod send;
pub mod server;
mod settings;
mod signals;
mod snapshots;
mod state;
mod streams;
pub mod subject;

pub use batch::batches;
pub use bus::{Bus, OLDEST_SERVER};
pub use commit::{Commit, Head, chain};
pub use error::{BusError, Cause};
pub use findings::Committed;
pub use read::{Entry, Filter, Raw, Start};
pub use server::{Server, ServerError};
pub use settings::{Limits, Settings};
pub use signals::{Published, TooLarge};
pub use snapshots::Packed;
pub use state::{LogState, StreamState};
