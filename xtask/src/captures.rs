//! Captures with answer keys: scored for people, and held to the full mark where `tests/captures/PASSING` lists them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::{
    command::{cargo, command, quiet, show, tail, word},
    packs,
    project::Project,
    setup::Setup,
};

const PARTS: [&str; 4] = ["says", "remedy", "symptoms", "evidence"];

/// `cargo xtask score`: the table of score.py for these captures, with the binary built first
pub(crate) fn score(project: &Project, captures: &[PathBuf], release: bool, twice: bool) -> Result<()> {
    let setup = Setup::new(project)?;
    packs::build(project, &setup.wasm_target()?)?;
    let python = setup.python()?;
    build(project, release)?;
    let mut score = scorer(project, &python, &project.kwhy(release));
    if twice {
        score.arg("--twice");
    }
    if captures.is_empty() {
        score.args(all(from_here(&project.captures()))?);
    } else {
        score.args(captures);
    }
    show(&mut score).map_err(|_| anyhow!("kwhy does not answer all of them as their keys ask"))
}

/// Builds the kwhy binary alone. Optimised it is what users build; else its dependencies get the features that the
/// whole workspace asks for, so that the tests find wasmtime and a hundred others built.
pub(crate) fn build(project: &Project, release: bool) -> Result<()> {
    let args: &[&str] = if release {
        &["build", "--release", "-p", "kwhy"]
    } else {
        &["build", "--workspace", "--bin", "kwhy"]
    };
    show(cargo(args).current_dir(project.root()))
}

/// The captures are as their generator writes them, sound in themselves, and those in PASSING get the full mark.
pub(crate) fn check(project: &Project, python: &Path, kwhy: &Path) -> Result<()> {
    let dir = project.captures();
    quiet(command(&python.to_string_lossy(), ["-B"]).arg(dir.join("check.py")))?;
    let list = fs::read_to_string(dir.join("PASSING")).context("cannot read tests/captures/PASSING")?;
    let names = passing(&list);
    ensure!(!names.is_empty(), "tests/captures/PASSING lists no capture");
    let mut score = scorer(project, python, kwhy);
    score.args(["--twice", "--json"]).args(names.iter().map(|name| dir.join(name)));
    // Its exit status tells less than what it prints.
    let output = score.stdin(Stdio::null()).output().context("cannot run score.py")?;
    let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else {
        bail!("score.py gave no report\n{}", tail(&String::from_utf8_lossy(&output.stderr)));
    };
    let results: Vec<&Value> =
        report.get("captures").and_then(Value::as_array).into_iter().flatten().collect();
    ensure!(results.len() == names.len(), "score.py reports {} of {} captures", results.len(), names.len());
    let mut failed = 0;
    for result in results {
        let lacks = lacks(result);
        failed += usize::from(!lacks.is_empty());
        let name = result.get("capture").and_then(Value::as_str).unwrap_or_default();
        println!(
            "capture {name:<38} {}",
            if lacks.is_empty() { "full mark, twice the same bytes" } else { "FAILED" }
        );
        for lack in lacks {
            println!("    {lack}");
        }
    }
    ensure!(failed == 0, "{failed} of {} captures in tests/captures/PASSING failed", names.len());
    Ok(())
}

fn scorer(project: &Project, python: &Path, kwhy: &Path) -> Command {
    let mut score = command(&python.to_string_lossy(), ["-B"]);
    score
        .arg(from_here(&project.captures()).join("score.py"))
        .arg("--kwhy")
        .arg(&*word(&from_here(kwhy).to_string_lossy()));
    score
}

/// Shorter to read, and the same file
fn from_here(path: &Path) -> &Path {
    std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

/// All capture directories, sorted
fn all(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut captures: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("truth.yaml").is_file())
        .collect();
    captures.sort();
    Ok(captures)
}

/// One name a line; `#` starts a comment
fn passing(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

/// What keeps a capture's result from the full mark; score.py's own exit status forgives partial answers.
fn lacks(result: &Value) -> Vec<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lacks = Vec::new();
    let trouble = text(result.get("trouble"));
    if !trouble.is_empty() {
        lacks.push(trouble);
    }
    for incident in list(result, "incidents") {
        let id = text(incident.get("id"));
        if incident.get("found") != Some(&Value::Bool(true)) {
            lacks.push(format!("missed {id}: {}", text(incident.get("why"))));
        }
        for part in PARTS {
            let Some(mark) = incident.get(part) else {
                lacks.push(format!("{id}: {part} was not judged"));
                continue;
            };
            for missing in list(mark, "missing") {
                lacks.push(format!("{id}: {part} lacks {}", text(Some(&missing))));
            }
        }
        let (is, wanted) = (text(incident.get("state")), text(incident.get("state_wanted")));
        if !wanted.is_empty() && is != wanted {
            lacks.push(format!("{id}: is {is}, the alerts say {wanted}"));
        }
    }
    for claim in list(result, "forbidden") {
        lacks.push(format!(
            "forbidden in {} of {}: {}",
            text(claim.get("where")),
            text(claim.get("finding")),
            text(claim.get("text"))
        ));
    }
    if result.get("extra").and_then(Value::as_u64) != Some(0) {
        lacks.push(format!(
            "extra: {}",
            list(result, "extra_findings").iter().map(|f| text(Some(f))).collect::<Vec<_>>().join("; ")
        ));
    }
    if result.get("same_twice") != Some(&Value::Bool(true)) {
        lacks.push("two runs differ".to_owned());
        lacks.extend(list(result, "notes").iter().map(|note| text(Some(note))));
    }
    lacks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn full() -> Value {
        let mark = json!({"hits": 1, "of": 1, "missing": []});
        json!({
            "capture": "a1", "trouble": null, "forbidden": [], "extra": 0, "extra_findings": [], "same_twice": true,
            "notes": [],
            "incidents": [{"id": "loop", "found": true, "why": "", "state": "OPEN", "state_wanted": "OPEN",
                "says": mark, "remedy": mark, "symptoms": mark, "evidence": mark}],
        })
    }

    fn with(pointer: &str, value: Value) -> Vec<String> {
        let mut result = full();
        *result.pointer_mut(pointer).unwrap() = value;
        lacks(&result)
    }

    #[test]
    fn a_full_answer_lacks_nothing() {
        assert_eq!(lacks(&full()), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_lack_is_said() {
        for (pointer, value, word) in [
            ("/trouble", json!("exit status 2"), "exit status 2"),
            ("/incidents/0/found", json!(false), "missed loop"),
            ("/incidents/0/remedy/missing", json!(["forward"]), "remedy lacks forward"),
            ("/incidents/0/state", json!("RESOLVED"), "the alerts say OPEN"),
            ("/forbidden", json!([{"where": "title", "finding": "f", "text": "remove loop"}]), "remove loop"),
            ("/extra", json!(1), "extra"),
            ("/same_twice", json!(false), "two runs differ"),
            ("/same_twice", Value::Null, "two runs differ"),
        ] {
            let lacks = with(pointer, value);
            assert!(lacks.len() == 1 && lacks.iter().any(|lack| lack.contains(word)), "{pointer}: {lacks:?}");
        }
    }

    #[test]
    fn a_mark_that_is_not_there_is_not_a_full_one() {
        let mut result = full();
        result.pointer_mut("/incidents/0").unwrap().as_object_mut().unwrap().remove("evidence");
        assert_eq!(lacks(&result), ["loop: evidence was not judged"]);
    }

    #[test]
    fn the_list_of_captures_may_hold_comments() {
        assert_eq!(passing("# one\na1-fixed\n\n  b2 # two\n"), ["a1-fixed", "b2"]);
    }
}
