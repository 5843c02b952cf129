//! What could not be read, said once for each file and reason.

use std::{collections::BTreeMap, fmt};

/// How many places of a problem are kept; the total says how many there were.
const PLACES: usize = 10;
/// How many reasons a file may give; a file of noise shall not fill the screen.
const REASONS: usize = 20;

/// What the numbers of a problem count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// The file as a whole; there are no numbers.
    File,
    /// Lines from 1.
    Line,
    /// Items of a list from 1.
    Item,
}

/// Something in a file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, from the capture's directory.
    pub file: String,
    /// What `lines` counts.
    pub unit: Unit,
    /// The first places where it happened.
    pub lines: Vec<u32>,
    /// In how many places it happened.
    pub total: u64,
    /// What is wrong and, where that is known, what to do.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::File => return write!(f, "{}: {}", self.file, self.reason),
            Unit::Line => "line",
            Unit::Item => "item",
        };
        let first = self.lines.first().copied().unwrap_or_default();
        match self.total {
            1 => write!(f, "{}: {unit} {first}: {}", self.file, self.reason),
            total => write!(f, "{}: {total} {unit}s from {unit} {first} on: {}", self.file, self.reason),
        }
    }
}

/// Problems on their way to the list: the same reason in the same file is one.
#[derive(Debug, Default)]
pub(super) struct Problems {
    by_file: BTreeMap<String, Vec<(String, Problem)>>,
}

impl Problems {
    /// Notes a problem of a whole file.
    pub(super) fn file(&mut self, file: &str, reason: impl fmt::Display) {
        self.add(file, Unit::File, 0, reason, None);
    }

    /// Notes a problem of one place; `detail` is told for the first place only.
    pub(super) fn add(
        &mut self,
        file: &str,
        unit: Unit,
        place: u32,
        reason: impl fmt::Display,
        detail: Option<String>,
    ) {
        let mut reason = reason.to_string();
        let of_file = self.by_file.entry(file.to_owned()).or_default();
        if of_file.len() >= REASONS && !of_file.iter().any(|(known, _)| *known == reason) {
            reason = "other problems".to_owned();
        }
        let at = of_file.iter().position(|(known, problem)| *known == reason && problem.unit == unit);
        let problem = match at.and_then(|at| of_file.get_mut(at)) {
            Some((_, problem)) => problem,
            None => {
                let told = detail.map_or_else(|| reason.clone(), |detail| format!("{reason}: {detail}"));
                let new = Problem { file: file.to_owned(), unit, lines: Vec::new(), total: 0, reason: told };
                of_file.push((reason, new));
                let Some((_, problem)) = of_file.last_mut() else { return };
                problem
            }
        };
        problem.total += 1;
        if unit != Unit::File && problem.lines.len() < PLACES {
            problem.lines.push(place);
        }
    }

    /// Takes over the problems of other files.
    pub(super) fn take_over(&mut self, other: Self) {
        for (file, problems) in other.by_file {
            self.by_file.entry(file).or_default().extend(problems);
        }
    }

    /// All, by file and then by the first place.
    pub(super) fn into_list(self) -> Vec<Problem> {
        let mut all: Vec<Problem> = self
            .by_file
            .into_values()
            .flat_map(|of_file| of_file.into_iter().map(|(_, problem)| problem))
            .collect();
        all.sort_by(|a, b| (&a.file, a.unit, a.lines.first()).cmp(&(&b.file, b.unit, b.lines.first())));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_with_its_first_places() {
        let mut problems = Problems::default();
        for line in 7..1007 {
            problems.add("a.log", Unit::Line, line, "bad", Some(format!("as {line}")));
        }
        problems.add("a.log", Unit::Line, 3, "worse", None);
        problems.file("b.json", "is empty");
        let told: Vec<String> = problems.into_list().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["a.log: line 3: worse", "a.log: 1000 lines from line 7 on: bad: as 7", "b.json: is empty"]
        );
    }

    #[test]
    fn a_file_of_noise_is_bounded() {
        let mut problems = Problems::default();
        for line in 0..5000 {
            problems.add("a.log", Unit::Line, line, format!("reason {line}"), None);
        }
        let list = problems.into_list();
        assert!(list.len() <= REASONS + 1 && list.iter().all(|problem| problem.lines.len() <= PLACES));
        assert_eq!(list.iter().map(|problem| problem.total).sum::<u64>(), 5000, "and all are counted");
    }
}
