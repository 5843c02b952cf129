//! What came out of `kwhy diagnose --output json`, and what of it reaches people.

use std::path::Path;

use kwhy_proto::v1::{Finding, Severity};

use crate::Kwhy;

/// The findings that stand when a capture is at its end.
#[derive(Debug, Clone)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Those of the capture in `dir`.
    ///
    /// # Errors
    /// What kwhy says where it does not answer, and each complaint about a file but that there are no objects.
    pub fn of(kwhy: &Kwhy, dir: &Path) -> Result<Self, String> {
        let ended = kwhy.diagnose(dir);
        let revisions: Result<Vec<Finding>, _> = ended.stdout.lines().map(serde_json::from_str).collect();
        let revisions = revisions.map_err(|_| format!("no findings came out: {}", ended.stderr))?;
        let complaints: Vec<&str> =
            ended.errors().into_iter().filter(|line| !line.contains("objects.json: is missing")).collect();
        if !matches!(ended.code, Some(0 | 1)) || !complaints.is_empty() {
            return Err(format!("exit status {:?}: {}", ended.code, complaints.join("\n")));
        }
        Ok(Self(last_of_each(&revisions).into_iter().cloned().collect()))
    }

    /// Those that somebody is told of: above INFO, and not told with another one.
    pub fn loud(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(|finding| loud(finding))
    }
}

/// The last revision of each finding that was not taken back.
#[must_use]
pub fn last_of_each(revisions: &[Finding]) -> Vec<&Finding> {
    let superseded = |i: usize, id: &str| revisions.iter().skip(i + 1).any(|later| later.id == id);
    let last = revisions.iter().enumerate().filter(|(i, finding)| !superseded(*i, &finding.id));
    last.map(|(_, finding)| finding).filter(|finding| !finding.resolution.starts_with("withdrawn")).collect()
}

/// Whether somebody is told of it.
#[must_use]
pub fn loud(finding: &Finding) -> bool {
    finding.severity() > Severity::Info && finding.folded_under.is_empty()
}

/// Its words.
#[must_use]
pub fn said(finding: &Finding) -> String {
    format!("{}: {}", finding.title, finding.explanation)
}

/// Its root, as `Kind/namespace/name`.
#[must_use]
pub fn root_of(finding: &Finding) -> String {
    finding.root.as_ref().map_or_else(String::new, |r| format!("{}/{}/{}", r.kind, r.namespace, r.name))
}
