//! From ordered signals to finding revisions, as a pure function.

pub mod rule;
pub mod state;
pub mod world;
