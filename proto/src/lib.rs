//! Signals and findings as they stand on the wire.
//!
//! `kwhy/v1/*.proto` beside this crate is the contract; the types here are made from it at build time. Their
//! serde form is canonical protobuf JSON. Maps are ordered, so equal values have equal bytes.

mod fit;
mod order;
mod timestamp;

pub use fit::{LARGEST_FINDING, fit};
pub use order::{millis, order, timestamp};
pub use prost::{DecodeError, Message};
pub use timestamp::{BadTime, Timestamp};

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";

/// Version 1 of the wire format.
#[expect(missing_docs, reason = "generated; the .proto files carry the documentation")]
#[allow(unreachable_pub, clippy::all, clippy::indexing_slicing, reason = "generated")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/kwhy.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/kwhy.v1.serde.rs"));
}
