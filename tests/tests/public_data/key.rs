//! What kwhy must say of one incident.

use std::path::Path;

use kwhy_proto::v1::Status;
use kwhy_tests::{
    Kwhy,
    findings::{Findings, root_of, said},
};
use regex::Regex;

/// A fault that must be named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Any of these codes names it.
    pub(crate) codes: &'static [&'static str],
    /// Its root, as `Kind/namespace/name`.
    pub(crate) root: &'static str,
    /// Must match title and explanation.
    pub(crate) says: &'static str,
}

/// How the answer to a capture differs from its key: a fault that is not named, or something that stands at the end and
/// nobody asked for. Without a key nothing may be said above INFO at any time.
pub(crate) fn wrong(kwhy: &Kwhy, capture: &Path, key: Option<Key>, others: &[&str]) -> Vec<String> {
    let findings = match Findings::of(kwhy, capture) {
        Ok(findings) => findings,
        Err(error) => return vec![error],
    };
    let mut wrong = Vec::new();
    let mut named = key.is_none();
    for finding in findings.loud() {
        let is = |key: &Key| key.codes.contains(&finding.code.as_str()) && root_of(finding) == key.root;
        if let Some(key) = key.filter(is) {
            named = true;
            if !Regex::new(key.says).is_ok_and(|says| says.is_match(&said(finding))) {
                wrong.push(format!("{} does not say /{}/: {}", finding.code, key.says, said(finding)));
            }
        } else if !others.contains(&finding.code.as_str())
            && (key.is_none() || finding.status() != Status::Resolved)
        {
            wrong.push(format!(
                "nobody asked for {} on {}: {}",
                finding.code,
                root_of(finding),
                said(finding)
            ));
        }
    }
    if !named {
        wrong.push(format!("not named: {key:?}"));
    }
    wrong
}

/// What is wrong with many, as the text of a failed test.
pub(crate) fn told(wrong: &[(String, Vec<String>)]) -> String {
    let bad = wrong.iter().filter(|(_, what)| !what.is_empty());
    let list: Vec<String> = bad.map(|(name, what)| format!("{name}\n    {}", what.join("\n    "))).collect();
    format!("{} of {} are answered otherwise:\n{}", list.len(), wrong.len(), list.join("\n"))
}
