//! Runs rules as WebAssembly components: loading, limits, host functions.
//!
//! A rule is untrusted code. It is checked before it is compiled, gets nothing but the interfaces of `wit/`, is
//! bounded in everything it can use up, and takes nothing with it when it falls. This is the only crate that knows
//! wasmtime; none of its types shows outside.

mod bindings;
mod cache;
mod check;
mod error;
mod host;
mod limits;
mod loading;
mod log;
mod meter;
mod rule;
mod runtime;
mod sandbox;
#[cfg(feature = "testing")]
pub mod testing;
mod verdict;
mod weight;

pub use error::{LoadError, SandboxError};
pub use limits::{Limits, Settings};
pub use loading::{Form, Inspection, Source};
pub use sandbox::Sandbox;
