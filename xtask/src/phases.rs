//! The parts of a long run: named when they start, timed, and summed up at the end, also when one fails.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub(crate) struct Phases {
    done: Vec<(&'static str, Duration)>,
    start: Instant,
}

impl Phases {
    pub(crate) fn new() -> Self {
        Self { done: Vec::new(), start: Instant::now() }
    }

    /// Runs one phase; an error carries the phase's name.
    pub(crate) fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n== {name}");
        let start = Instant::now();
        let result = work().with_context(|| format!("{name} failed"));
        self.done.push((name, start.elapsed()));
        result
    }

    /// One line a phase, then the sum
    pub(crate) fn summary(&self) -> String {
        let mut lines: Vec<String> = self.done.iter().map(|(name, took)| row(name, *took)).collect();
        lines.push(row("total", self.start.elapsed()));
        lines.join("\n")
    }
}

fn row(name: &str, took: Duration) -> String {
    format!("{name:<20} {:>8}", human(took))
}

/// `4.1 s` or `12 min 03 s`
pub(crate) fn human(took: Duration) -> String {
    match took.as_secs() {
        0..60 => format!("{:.1} s", took.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_phase_is_named_and_still_counted() {
        let mut phases = Phases::new();
        phases.run("one", || Ok(())).unwrap();
        let error = phases.run("two", || -> Result<()> { anyhow::bail!("why") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "two failed: why");
        let names: Vec<_> =
            phases.summary().lines().map(|l| l.split(' ').next().unwrap().to_owned()).collect();
        assert_eq!(names, ["one", "two", "total"]);
    }

    #[test]
    fn times_are_short_and_exact_enough() {
        assert_eq!(human(Duration::from_millis(4123)), "4.1 s");
        assert_eq!(human(Duration::from_secs(723)), "12 min 03 s");
    }
}
