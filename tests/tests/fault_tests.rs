//! `docs/fault-tests.md` names tests that there are, and a twin for each fault.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::{collections::BTreeSet, fs, path::Path};

use kwhy_tests::here;

/// A row of the table.
#[derive(Debug)]
struct Fault<'a> {
    number: &'a str,
    tests: Vec<&'a str>,
    twins: Vec<&'a str>,
}

fn faults<'a>(page: &'a str) -> Vec<Fault<'a>> {
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let names = |cell: &'a str| cell.split('`').skip(1).step_by(2).collect();
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        Fault { number: cells[0], tests: names(cells[3]), twins: names(cells[4]) }
    })
    .collect()
}

/// The functions that are tests in the sources under a folder.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source");
            let mut marked = false;
            for line in source.lines().map(str::trim_start) {
                let name = line
                    .trim_start_matches("async ")
                    .strip_prefix("fn ")
                    .and_then(|rest| rest.split('(').next());
                if let Some(name) = name.filter(|_| marked) {
                    found.insert(name.to_owned());
                }
                // Attributes may follow the one that makes it a test.
                marked = line.starts_with("#[test]")
                    || line.starts_with("#[tokio::test")
                    || marked && line.starts_with("#[");
            }
        }
    }
}

/// What is wrong with a page.
fn check(page: &str) -> Vec<String> {
    let mut known = BTreeSet::new();
    for folder in ["../engine", "../tests"] {
        tests(&here(folder), &mut known);
    }
    let (mut wrong, mut numbers) = (Vec::new(), BTreeSet::new());
    for Fault { number, tests, twins } in faults(page) {
        if !numbers.insert(number) {
            wrong.push(format!("{number} is there twice"));
        }
        if tests.is_empty() || twins.is_empty() {
            wrong.push(format!("{number} lacks a test or a twin"));
        }
        let unknown = tests.iter().chain(&twins).filter(|name| !known.contains(**name));
        wrong.extend(unknown.map(|name| format!("{number}: no test is called {name}")));
    }
    wrong
}

#[test]
fn every_fault_in_the_table_has_tests_and_twins_that_exist() {
    let page = fs::read_to_string(here("../docs/fault-tests.md")).expect("the page");
    assert_eq!(check(&page), [""; 0]);
    assert!(faults(&page).len() > 20, "the table is read");
}

/// The twin.
#[test]
fn a_test_that_is_gone_and_a_twin_that_is_missing_in_the_table_are_found() {
    let page = "| # | a | b | tests | twins |\n|---|---|---|---|---|\n| 1 | x | y | `no_such_test` | |\n";
    assert_eq!(check(page), ["1 lacks a test or a twin", "1: no test is called no_such_test"]);
}
