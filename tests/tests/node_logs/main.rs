//! The logs of a node on their way into NATS: `kwhy collect kubelet`, `kubelet:` of `kwhy run`, and the faults that
//! must lose nothing.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

mod backpressure;
mod leaf;
mod secrets;
mod shipping;
mod world;
