//! One thing that was looked at, and how it is shown.

use std::io::{self, Write};

use anyhow::Result;
use kwhy_publish::json;
use serde::Serialize;

use crate::args::Format;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    /// It should be and is not.
    Missing,
    /// Nobody asked for it.
    Off,
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) check: &'static str,
    pub(crate) state: State,
    pub(crate) said: String,
    /// What to type, or to add to which file; empty where nothing is to be done.
    pub(crate) mend: String,
}

impl Check {
    pub(crate) fn ok(check: &'static str, said: impl Into<String>) -> Self {
        Self { check, state: State::Ok, said: said.into(), mend: String::new() }
    }

    pub(crate) fn missing(check: &'static str, said: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: State::Missing, said: said.into(), mend: mend.into() }
    }

    pub(crate) fn off(check: &'static str, said: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: State::Off, said: said.into(), mend: mend.into() }
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.state == State::Missing
    }
}

/// Prints checks as people or programs read them.
pub(crate) fn print(checks: &[Check], format: Format) -> Result<()> {
    let mut out = io::stdout().lock();
    for check in checks {
        match format {
            Format::Json => json::record(check, &mut out)?,
            Format::Text => {
                let mark = match check.state {
                    State::Ok => "✔",
                    State::Missing => "✖",
                    State::Off => "·",
                };
                writeln!(out, "{} {:9} {}", mark, check.check, check.said)?;
                for line in check.mend.lines() {
                    writeln!(out, "            {line}")?;
                }
            }
        }
    }
    Ok(())
}
