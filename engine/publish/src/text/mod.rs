//! Findings as text for people, on a terminal or in a file.
//!
//! Cause before symptom: title, tree from root to alerts, the telling lines, what speaks against, what was ruled out,
//! what to type. Hides layout, cutting and colour; the caller only says how wide it may be and whether it may colour.

mod explain;
mod page;
mod report;
mod rules;
mod style;
mod why_not;

mod finding;

pub use explain::explain;
pub use finding::finding;
pub use report::{Alerts, Report, Unreadable, Watchdog, report};
pub use rules::rules;
pub use style::Style;
pub use why_not::why_not;
