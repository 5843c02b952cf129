//! Findings for people and programs: JSON lines, terminal text and Slack messages.
//!
//! Everything here takes a [`Finding`](kwhy_proto::v1::Finding) as given and decides only how it is shown. Every word
//! in it may come from a log line that an attacker wrote, so no output is made but through [`sanitize`].

pub mod explain;
pub mod json;
pub mod rules;
pub mod sanitize;
pub mod slack;
pub mod text;
pub mod why_not;

mod cut;
mod describe;
mod moment;
mod tree;
