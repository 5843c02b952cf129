//! The bus against the real nats-server.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

mod bench;
mod commit;
mod connect;
mod findings;
mod own_server;
mod signals;
