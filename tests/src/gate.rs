//! The fixtures of the rule packs, `plugins/PACK/tests/gate/NAME/`: small captures of real software output, each with an
//! `expect.yaml` that says which cause kwhy must name in it, or must not.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use kwhy_proto::v1::Finding;
use regex::Regex;
use serde::Deserialize;

use crate::{
    Kwhy,
    findings::{last_of_each, loud, root_of, said},
    here,
};

/// What a fixture expects; the keys of `expect.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The code that the fixture is for.
    pub about: String,
    /// Root of the finding, as `Kind/namespace/name`; absent in a near miss, where the code must not be named.
    pub root: Option<String>,
    /// Each must match title and explanation.
    #[serde(default)]
    pub says: Vec<String>,
    /// Each must match the remedies.
    #[serde(default)]
    pub remedy: Vec<String>,
    /// Each must match an excerpt or note of the evidence.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// Names of alerts that must be folded under the finding.
    #[serde(default)]
    pub folds: Vec<String>,
    /// Other codes that may be found above INFO.
    #[serde(default)]
    pub others: Vec<String>,
    /// Where the text was read: a source file, a manual, an issue.
    pub found: String,
    /// In a near miss, what makes it near and why it is none.
    #[serde(default)]
    pub why: String,
}

/// A fixture.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Its folder, a capture.
    pub path: PathBuf,
    /// What kwhy must say.
    pub expect: Expect,
}

/// The fixtures below a folder of the repository (`plugins`, or one pack), by path.
///
/// # Errors
/// Of each `expect.yaml` that is missing or malformed, with its path.
pub fn fixtures(below: &Path) -> Result<Vec<Fixture>, String> {
    let packs = if below.join("tests/gate").is_dir() { vec![below.to_owned()] } else { folders(below) };
    let (mut fixtures, mut wrong) = (Vec::new(), Vec::new());
    for path in packs.iter().flat_map(|pack| folders(&pack.join("tests/gate"))) {
        match read(&path.join("expect.yaml")) {
            Ok(expect) => fixtures.push(Fixture { path, expect }),
            Err(error) => wrong.push(error),
        }
    }
    if wrong.is_empty() { Ok(fixtures) } else { Err(wrong.join("\n")) }
}

/// The folder of the rule packs.
#[must_use]
pub fn plugins() -> PathBuf {
    here("../plugins")
}

/// What `ask` finds for each fixture, in their order; on all cores, because every answer is a run of kwhy.
///
/// # Panics
/// Where `ask` does.
pub fn on_all_cores<F: Sync, T: Send>(fixtures: &[F], ask: impl Fn(&Kwhy, &F) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let kwhy = Kwhy::new();
        let mut answers = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(fixture) = fixtures.get(n) else { return answers };
            answers.push((n, ask(&kwhy, fixture)));
        }
    };
    let mut answers: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..thread::available_parallelism().map_or(2, usize::from)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("it ends")).collect()
    });
    answers.sort_by_key(|(n, _)| *n);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn read(file: &Path) -> Result<Expect, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let expect: Expect =
        serde_norway::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    if expect.root.is_none() && expect.why.is_empty() {
        return Err(format!("{}: a near miss says in `why` what makes it near", file.display()));
    }
    Ok(expect)
}

impl Fixture {
    /// Runs `kwhy diagnose` on it and says in what the answer differs from what is expected.
    #[must_use]
    pub fn examine(&self, kwhy: &Kwhy) -> Vec<String> {
        let ended = kwhy.diagnose(&self.path);
        let revisions: Result<Vec<Finding>, _> = ended.stdout.lines().map(serde_json::from_str).collect();
        let Ok(revisions) = revisions else { return vec![format!("no findings came out: {}", ended.stderr)] };
        if !matches!(ended.code, Some(0 | 1)) {
            return vec![format!("exit status {:?}: {}", ended.code, ended.stderr)];
        }
        let mut wrong: Vec<String> = ended.errors().iter().map(|line| format!("complains: {line}")).collect();
        wrong.extend(self.compare(&last_of_each(&revisions)));
        wrong
    }

    /// The finding that the fixture is for, as kwhy has it in the end.
    #[must_use]
    pub fn found_in(&self, kwhy: &Kwhy) -> Option<Finding> {
        let ended = kwhy.diagnose(&self.path);
        let revisions: Vec<Finding> =
            ended.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let found = |finding: &&Finding| {
            finding.code == self.expect.about && self.expect.root.as_ref() == Some(&root_of(finding))
        };
        last_of_each(&revisions).into_iter().find(found).cloned()
    }

    fn compare(&self, findings: &[&Finding]) -> Vec<String> {
        let expect = &self.expect;
        let mut wrong = Vec::new();
        let mut found = false;
        for finding in findings {
            if finding.code == expect.about {
                match &expect.root {
                    None => wrong.push(format!(
                        "must be silent about {}, but says: {}",
                        finding.code,
                        said(finding)
                    )),
                    Some(root) if *root == root_of(finding) => {
                        found = true;
                        if !finding.folded_under.is_empty() {
                            wrong.push(format!("{} is folded under {}", finding.code, finding.folded_under));
                        }
                        wrong.extend(self.read_closely(finding));
                    }
                    // The same cause at another root may stand under the finding.
                    Some(_) if !finding.folded_under.is_empty() => {}
                    Some(root) => {
                        wrong.push(format!("{root} is the root, not {}: {}", root_of(finding), said(finding)))
                    }
                }
            } else if loud(finding) && !expect.others.contains(&finding.code) {
                wrong.push(format!(
                    "nobody asked for {} on {}: {}",
                    finding.code,
                    root_of(finding),
                    said(finding)
                ));
            }
        }
        if let (Some(root), false) = (&expect.root, found) {
            wrong.push(format!("{} on {root} is missing", expect.about));
        }
        wrong
    }

    fn read_closely(&self, finding: &Finding) -> Vec<String> {
        let expect = &self.expect;
        let remedies = finding.remedy.iter().map(|r| format!("{}\n{}\n{}", r.text, r.command, r.caution));
        let remedies = remedies.collect::<Vec<_>>().join("\n");
        let evidence: Vec<String> =
            finding.evidence.iter().map(|e| format!("{}\n{}", e.excerpt, e.note)).collect();
        let mut wrong = Vec::new();
        let mut must = |part: &str, patterns: &[String], holds: &dyn Fn(&Regex) -> bool| {
            for pattern in patterns {
                match Regex::new(pattern) {
                    Ok(regex) if holds(&regex) => {}
                    Ok(_) => wrong.push(format!("{part} without /{pattern}/: {}", said(finding))),
                    Err(error) => wrong.push(format!("expect.yaml: {error}")),
                }
            }
        };
        must("title and explanation", &expect.says, &|regex| regex.is_match(&said(finding)));
        must("remedies", &expect.remedy, &|regex| regex.is_match(&remedies));
        must("evidence", &expect.evidence, &|regex| evidence.iter().any(|e| regex.is_match(e)));
        for alert in &expect.folds {
            if !finding.symptoms.iter().any(|s| s.source == "alert" && s.name == *alert) {
                wrong.push(format!("alert {alert} is not folded under {}", finding.code));
            }
        }
        if finding.remedy.iter().all(|remedy| remedy.text.trim().is_empty()) {
            wrong.push(format!("{} gives no remedy", finding.code));
        }
        wrong
    }
}
