//! From ordered signals to finding revisions, as a pure function.
//!
//! [`Engine`] takes in signals and gives back finding revisions. It has no clock, does no I/O and knows nothing of
//! WebAssembly: time is what the signals say, and rules are called through [`rule::Rules`]. The same signals give
//! the same findings, byte for byte.
//!
//! The way of a signal: [`engine`] puts it in order and drops repeats, `correlator` takes it into graph and history
//! and calls the rules that `matching` finds, `verdict` does what they say, `fold` assigns alerts and warnings to
//! causes, `lifecycle` decides what is over, `finding` writes it down.

pub mod engine;
pub mod glob;
pub mod input;
pub mod loss;
pub mod matching;
pub mod rule;
pub mod settings;
pub mod snapshot;
pub mod state;
pub mod world;

mod answers;
mod ask;
mod cascade;
mod change;
mod condition;
mod correlator;
mod entries;
mod finding;
mod fold;
mod graph;
mod heard;
mod history;
mod incident;
mod incidents;
mod json;
mod key;
mod kin;
mod late;
mod lifecycle;
mod lookup;
mod lull;
mod object;
mod path;
mod print;
mod reach;
mod relation;
mod seen;
mod selectors;
mod sieve;
mod subject;
mod symptom;
mod template;
mod timer;
mod unexplained;
mod verdict;
mod wire;
mod words;

pub use engine::{Account, Engine, Notice};
pub use input::{Input, Inputs};
pub use settings::Settings;
