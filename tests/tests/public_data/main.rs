//! Data that others have published: incidents of which they say the cause, in `tests/data`. Each set lies there with its
//! source and its licence. kwhy must name every fault and keep quiet where its author says that nothing is wrong; and
//! where the key is turned round, a test must say so.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

mod fault_dataset;
mod key;
mod opensre;
mod troubleshoot;
