//! Raw upstream formats in, [`Signal`](kwhy_proto::v1::Signal)s out.
//!
//! One module for each format, each a pure function of the bytes it is given, so that a live collector and the
//! [`capture`] reader make the same signals of the same input. What all of them keep to:
//!
//! - Input is foreign. Nothing here panics on it, every length is bounded, and text is made safe to print once,
//!   here ([`text`]).
//! - What cannot be read is said, with its place, and never stops what can be read.
//! - No clock: a time comes from the input or from the caller.

pub mod alert;
pub mod capture;
pub mod container;
pub mod event;
pub mod journal;
pub mod klog;
pub mod lines;
pub mod log;
pub mod multiline;
pub mod object;
pub mod pod;
pub mod raw;
pub mod redact;
pub mod stamp;
pub mod text;
pub mod time;
pub mod written;
