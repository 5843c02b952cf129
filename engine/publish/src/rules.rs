//! What a rule says of itself, in the shape that is shown.

use serde::Serialize;

/// One loaded rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Name of the rule or pack, `coredns`.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// sha256 of the rule file, hex.
    pub digest: String,
    /// The file it was read from; none where kwhy brings it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Every cause it may name.
    pub codes: Vec<Code>,
}

/// One cause that a rule knows, as the contract declares it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Code {
    /// `pack.cause`.
    pub code: String,
    /// One line.
    pub title: String,
    /// Versions of the software that can show it.
    pub versions: String,
    /// Where the cause is described.
    pub references: Vec<String>,
}
