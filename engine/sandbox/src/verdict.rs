//! What a verdict may hold: bounded in number and size, and in the words of the contract.

use std::collections::BTreeSet;

use kwhy_core::rule::Failure;

use crate::{
    bindings::types::{ObjectRef, Verdict},
    limits::Limits,
    weight::Weight as _,
};

const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];
const REACHES: [&str; 9] =
    ["self", "owners", "owned", "workload", "node", "on-node", "users", "namespace", "cluster"];

/// Refuses a verdict that breaks a limit or the contract; `codes` are the ones the rule has declared.
pub(crate) fn check(verdict: &Verdict, codes: &BTreeSet<String>, limits: &Limits) -> Result<(), Failure> {
    let bad = |message: String| Err(Failure::BadOutput { message });
    let items =
        verdict.diagnoses.len() + verdict.rejections.len() + verdict.cleared.len() + verdict.wakes.len();
    if items > limits.verdict_items {
        return bad(format!("{items} items in one verdict, the limit is {}", limits.verdict_items));
    }
    let bytes = verdict.weight();
    if bytes > limits.verdict_bytes {
        return bad(format!("a verdict of {bytes} bytes, the limit is {}", limits.verdict_bytes));
    }
    let named = verdict.diagnoses.iter().map(|d| ("diagnosis", &d.code, &d.root));
    let named = named.chain(verdict.rejections.iter().map(|r| ("rejection", &r.code, &r.root)));
    let named = named.chain(verdict.cleared.iter().map(|c| ("clearing", &c.code, &c.root)));
    for (what, code, root) in named {
        if !codes.contains(code) {
            return bad(format!("{what} with code {code:?}, which `describe` does not declare"));
        }
        if !is_object(root) {
            return bad(format!("{what} {code} with a root that has no kind or no name"));
        }
    }
    for d in &verdict.diagnoses {
        let code = &d.code;
        if !SEVERITIES.contains(&d.severity.as_str()) {
            return bad(format!(
                "diagnosis {code} with severity {:?}, not one of {SEVERITIES:?}",
                d.severity
            ));
        }
        if d.confidence > 100 {
            return bad(format!("diagnosis {code} with confidence {}, more than 100", d.confidence));
        }
        if d.title.trim().is_empty() {
            return bad(format!("diagnosis {code} without a title"));
        }
        for e in &d.explains {
            if !REACHES.contains(&e.reach.as_str()) {
                return bad(format!(
                    "diagnosis {code} explains within reach {:?}, not one of {REACHES:?}",
                    e.reach
                ));
            }
            if e.anchor.as_ref().is_some_and(|a| !is_object(a)) {
                return bad(format!("diagnosis {code} explains from an anchor that has no kind or no name"));
            }
        }
        if d.path.iter().any(|s| !is_object(&s.object)) {
            return bad(format!("diagnosis {code} with a step that has no kind or no name"));
        }
    }
    if verdict.wakes.iter().any(|w| w.id.is_empty()) {
        return bad("a wake without an id".to_owned());
    }
    Ok(())
}

fn is_object(object: &ObjectRef) -> bool {
    !object.kind.is_empty() && !object.name.is_empty()
}
