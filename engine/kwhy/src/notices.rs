//! What the core has to say to the operator, each thing once.

use std::collections::BTreeSet;

use kwhy_core::Notice;

/// Notices that were shown already.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    shown: BTreeSet<String>,
}

impl Notices {
    /// Prints what is new, a line each, to standard error.
    pub(crate) fn show(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let text = match notice {
                Notice::RuleFailed { rule, failure } => {
                    format!("rule {rule} {failure}; its call is left out, all other rules go on")
                }
                Notice::Unreadable { signal, origin } => {
                    format!(
                        "{}: the object is no JSON and is left out",
                        if origin.is_empty() { signal } else { origin }
                    )
                }
                other => format!("{other:?}"),
            };
            if self.shown.insert(text.clone()) {
                eprintln!("kwhy: {text}");
            }
        }
    }
}
