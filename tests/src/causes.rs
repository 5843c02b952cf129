//! `docs/causes.md`: every cause that the built-in packs know, with what it looks like and what to type, taken from what
//! kwhy says of the fixtures of the gate. So the page cannot promise what the binary does not do.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use kwhy_proto::v1::Finding;
use serde::Deserialize;

use crate::{
    Kwhy,
    gate::{Fixture, on_all_cores},
};

/// Longest line of a log or event that the page shows, in characters.
const LONGEST: usize = 240;

/// How many telling excerpts are shown for each cause, and lines of each.
const LINES: usize = 3;

/// A rule as `kwhy rule list --output json` lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct Pack {
    /// Its name, the first part of its codes.
    pub name: String,
    /// What it can name.
    pub codes: Vec<Code>,
}

/// A cause as it is listed.
#[derive(Debug, Clone, Deserialize)]
pub struct Code {
    /// `pack.cause`.
    pub code: String,
    /// One line for people.
    pub title: String,
    /// Which versions of the software can show it.
    pub versions: String,
    /// Where it is described.
    pub references: Vec<String>,
}

/// The built-in packs.
///
/// # Panics
/// Where they cannot be listed.
#[must_use]
pub fn packs(kwhy: &Kwhy) -> Vec<Pack> {
    let listed = kwhy.run(&[&"rule", &"list", &"--output", &"json"]);
    listed.stdout.lines().map(|line| serde_json::from_str(line).expect("a rule")).collect()
}

/// The whole page. A cause without a fixture in which it is found stands there without an example.
#[must_use]
pub fn page(packs: &[Pack], fixtures: &[Fixture]) -> String {
    let firsts = first_of_each(fixtures);
    let found = on_all_cores(&firsts, |kwhy, fixture| fixture.found_in(kwhy));
    let examples: BTreeMap<&str, (&Fixture, &Finding)> = firsts
        .iter()
        .zip(&found)
        .filter_map(|(fixture, finding)| Some((fixture.expect.about.as_str(), (*fixture, finding.as_ref()?))))
        .collect();
    let mut page = String::from(INTRODUCTION);
    for pack in packs {
        let _ = writeln!(page, "- [{name}](#{name}): {}", links(pack), name = pack.name);
    }
    for pack in packs {
        let _ = writeln!(page, "\n## {}", pack.name);
        for code in &pack.codes {
            page.push_str(&section(code, examples.get(code.code.as_str()).copied(), fixtures));
        }
    }
    page
}

const INTRODUCTION: &str = "\
# Causes that kwhy knows

Made from the rule packs and their fixtures by `cargo xtask bless`; do not edit it. Each example is what kwhy says of the
named fixture, a small capture of real software output: what is shown is what you would read. *Not to be mixed up with*
lists fixtures that come near and in which the cause must not be named.

";

fn links(pack: &Pack) -> String {
    let link = |code: &Code| {
        let anchor = code.code.replace('.', "");
        let cause = code.code.split_once('.').map_or(code.code.as_str(), |(_, cause)| cause);
        format!("[{cause}](#{anchor})")
    };
    pack.codes.iter().map(link).collect::<Vec<_>>().join(", ")
}

/// The first fixture in which each code is found.
fn first_of_each(fixtures: &[Fixture]) -> Vec<&Fixture> {
    let mut firsts: BTreeMap<&str, &Fixture> = BTreeMap::new();
    for fixture in fixtures.iter().filter(|fixture| fixture.expect.root.is_some()) {
        firsts.entry(&fixture.expect.about).or_insert(fixture);
    }
    firsts.into_values().collect()
}

fn section(code: &Code, example: Option<(&Fixture, &Finding)>, fixtures: &[Fixture]) -> String {
    let mut text =
        format!("\n### {}\n\n**{}.** Software: {}.\n", code.code, prose(&code.title), prose(&code.versions));
    if let Some((fixture, finding)) = example {
        text.push_str(&looks_like(finding, &fixture.path));
        text.push_str(&what_to_do(finding));
    }
    let near = fixtures.iter().filter(|f| f.expect.about == code.code && f.expect.root.is_none());
    let near: Vec<String> = near.map(|fixture| prose(fixture.expect.why.trim_end_matches('.'))).collect();
    if !near.is_empty() {
        let _ = writeln!(text, "\n*Not to be mixed up with:* {}.", near.join("; "));
    }
    let references: Vec<String> = code.references.iter().map(|url| format!("<{url}>")).collect();
    let _ = writeln!(text, "\nReferences: {}", references.join(", "));
    text
}

fn looks_like(finding: &Finding, fixture: &Path) -> String {
    let mut text = format!("\n> **{}**\n>\n> {}\n", prose(&finding.title), prose(&finding.explanation));
    let _ =
        writeln!(text, "\n*What it looks like*, confidence {} % ({}):", finding.confidence, name(fixture));
    let telling = finding.evidence.iter().filter(|e| e.weight > 0 && !e.excerpt.trim().is_empty());
    let lines: Vec<String> =
        telling.take(LINES).map(|e| format!("{:<8} {}", e.source, excerpt(&e.excerpt))).collect();
    if !lines.is_empty() {
        text.push_str(&fenced("text", &lines.join("\n")));
    }
    let mut alerts: Vec<&str> =
        finding.symptoms.iter().filter(|s| s.source == "alert").map(|s| s.name.as_str()).collect();
    alerts.sort_unstable();
    alerts.dedup();
    if !alerts.is_empty() {
        let _ = writeln!(text, "\nAlerts that it accounts for there: {}.", alerts.join(", "));
    }
    text
}

fn what_to_do(finding: &Finding) -> String {
    let mut text = String::from("\n*What to do*\n");
    for (n, remedy) in finding.remedy.iter().enumerate() {
        let _ = writeln!(text, "\n{}. {}", n + 1, prose(&remedy.text));
        if !remedy.command.is_empty() {
            let block = fenced("sh", &remedy.command);
            text.extend(
                block.lines().map(
                    |line| {
                        if line.is_empty() { "\n".to_owned() } else { format!("   {line}\n") }
                    },
                ),
            );
        }
        if !remedy.caution.is_empty() {
            let _ = writeln!(text, "\n   Caution: {}", prose(&remedy.caution));
        }
    }
    text
}

/// `workload/oom-killed-after-rollout`, of its path.
fn name(fixture: &Path) -> String {
    let part = |path: Option<&Path>| {
        path.and_then(Path::file_name).map_or_else(String::new, |n| n.to_string_lossy().into())
    };
    format!("`{}/{}`", part(fixture.ancestors().nth(3)), part(Some(fixture)))
}

/// A block whose fence is longer than any within.
fn fenced(language: &str, text: &str) -> String {
    let fence = if text.contains("```") { "````" } else { "```" };
    format!("\n{fence}{language}\n{text}\n{fence}\n")
}

/// Its first lines, one under the other.
fn excerpt(text: &str) -> String {
    let lines: Vec<String> =
        text.lines().filter(|line| !line.trim().is_empty()).take(LINES).map(cut).collect();
    lines.join("\n         ")
}

/// One line, cut in the middle where it is too long.
fn cut(line: &str) -> String {
    let all: Vec<char> = line.trim_end().chars().collect();
    if all.len() <= LONGEST {
        return all.into_iter().collect();
    }
    let (head, tail) = (LONGEST * 2 / 3, LONGEST / 3);
    all.iter().take(head).chain(&['…']).chain(all.iter().skip(all.len() - tail)).collect()
}

/// Words of kwhy as Markdown shows them as they are.
fn prose(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    // Between backticks Markdown leaves everything alone.
    for (n, part) in text.trim().split('`').enumerate() {
        if n > 0 {
            shown.push('`');
        }
        if n % 2 == 1 {
            shown.push_str(part);
            continue;
        }
        for c in part.chars() {
            if matches!(c, '<' | '*' | '_' | '[' | ']' | '|' | '\\') {
                shown.push('\\');
            }
            shown.push(if c == '\n' { ' ' } else { c });
        }
    }
    shown
}
