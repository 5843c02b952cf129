//! What a command used, and how a few such figures are told.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{command::command, command::quiet, project::Project};

/// Runs commands and asks the kernel what they used
pub(crate) struct Measure {
    python: PathBuf,
    script: PathBuf,
}

/// What one run used
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// Seconds, user and system
    pub(crate) cpu: f64,
    /// Peak, MiB
    pub(crate) rss: f64,
}

impl Measure {
    pub(crate) fn new(project: &Project, python: PathBuf) -> Self {
        Self { python, script: project.root().join("tests/bench/measure.py") }
    }

    /// Runs `argv` with its output in the file `out`; the exit status must be one of `good`.
    pub(crate) fn run(&self, argv: &[&str], out: &Path, good: &[i64]) -> Result<Used> {
        let mut run = command(&self.python.to_string_lossy(), ["-B"]);
        run.arg(&self.script).arg(out).args(argv);
        let told: Value = serde_json::from_str(&quiet(&mut run)?).context("measure.py gave no JSON")?;
        let number = |key: &str| told.get(key).and_then(Value::as_f64).unwrap_or_default();
        let status = told.get("status").and_then(Value::as_i64).unwrap_or(-1);
        ensure!(good.contains(&status), "`{}` failed (exit status {status})", argv.join(" "));
        Ok(Used { cpu: number("cpu"), rss: number("rss_kib") / 1024.0 })
    }
}

/// Of a few figures the middle one, the least and the greatest
pub(crate) fn spread(figures: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |i: usize| sorted.get(i).copied().unwrap_or_default();
    let last = sorted.len().saturating_sub(1);
    ((at(last / 2) + at(last.div_ceil(2))) / 2.0, at(0), at(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(spread([4.0, 1.0, 2.0, 3.0]), (2.5, 1.0, 4.0));
        assert_eq!(spread([3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(spread([]), (0.0, 0.0, 0.0));
    }
}
