//! The live Kubernetes source from outside: the built binary watches a scripted API server over HTTP and TLS, and what
//! it tells is read from a real NATS server.
//!
//! A check of a fault is a function of what was seen. Its twin gives it what is seen without the protection (the
//! client's own `watcher`, or signals as a careless collector would keep them) and holds that it then fails.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

mod collector;
mod diagnosis;
mod events;
mod permissions;
mod relist;
mod secrets;
mod stale;
