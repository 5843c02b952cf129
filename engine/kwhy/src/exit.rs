//! What the exit status says.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Nothing above INFO, or done as asked.
    Nothing,
    /// There are findings.
    Findings,
    /// Wrong usage or configuration, or a server that cannot serve.
    Wrong,
    /// Nothing could be read.
    NothingRead,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Nothing => 0,
            Exit::Findings => 1,
            Exit::Wrong => 2,
            Exit::NothingRead => 3,
        })
    }
}
