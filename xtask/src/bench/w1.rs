//! W1: kubelet log lines in, findings out. A is said of a pod and within five minutes B: one finding. The log, the
//! expected findings and the pairs come from `tests/bench/w1`, the rule is `tests/bench/pairs`, and what is measured is
//! the binary that users run, on a capture that holds the log.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::measure::{Measure, Used, spread};
use crate::{
    captures,
    command::{command, quiet},
    packs,
    project::Project,
    setup::Setup,
};

/// What the findings of the rule are called, before the number of the pair
const CODE: &str = "bench-pairs.pair-";

/// What to measure
#[derive(Args)]
pub(crate) struct Options {
    /// Rounds; each runs every number of pairs once
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Lines of the log
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
    /// Numbers of rule pairs
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    pairs: Vec<u32>,
    /// Lines a second in the timestamps: 10000 puts a million into 100 s, 100 into 2.8 h
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// With the built-in rule packs beside the pairs
    #[arg(long)]
    all_packs: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { runs: 5, lines: 1_000_000, pairs: vec![10, 100, 1000], rate: 10_000, all_packs: false }
    }
}

/// One number of pairs, ready to be measured
struct Case {
    pairs: u32,
    capture: PathBuf,
    rules: PathBuf,
    expected: String,
}

pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let (wasm, python) = {
        let setup = Setup::new(project)?;
        (setup.wasm_target()?, setup.python()?)
    };
    packs::build(project, &wasm)?;
    let dir = project.target().join("bench/w1");
    let mut cases = Vec::new();
    for &pairs in &options.pairs {
        let rules = dir.join(format!("rules-{pairs}"));
        fs::create_dir_all(&rules)?;
        let rule = packs::rule(project, &wasm, "kwhy-bench-pairs", ("KWHY_BENCH_PAIRS", &pairs.to_string()))?;
        fs::write(rules.join("pairs.wasm"), rule)?;
        cases.push(case(project, &python, &dir, rules, pairs, options)?);
    }
    captures::build(project, true)?;
    let empty = dir.join("empty");
    lay_out(&empty, 0, "")?;

    let bench = Bench { kwhy: project.kwhy(true), measure: Measure::new(project, python), dir, options };
    let mut used: BTreeMap<u32, Vec<(Used, f64)>> = BTreeMap::new();
    for case in &cases {
        // Compiled rules are kept; what is measured is not the compiler.
        bench.findings(&empty, &case.rules, true)?;
    }
    for round in 1..=options.runs {
        for case in &cases {
            let start = bench.findings(&empty, &case.rules, true)?.0.cpu;
            let (whole, found) = bench.findings(&case.capture, &case.rules, false)?;
            ensure!(
                found == case.expected,
                "{} pairs: the findings are not those expected: {} lines against {}",
                case.pairs,
                found.lines().count(),
                case.expected.lines().count()
            );
            let rate = options.lines as f64 / (whole.cpu - start);
            println!(
                "round {round}: {:>4} pairs  {:>6.0} k lines/CPU-s  {:.3} CPU-s less {start:.3} to start, {:.0} MiB",
                case.pairs,
                rate / 1000.0,
                whole.cpu,
                whole.rss
            );
            used.entry(case.pairs).or_default().push((whole, rate));
        }
    }
    report(&used, &cases);
    Ok(())
}

fn report(used: &BTreeMap<u32, Vec<(Used, f64)>>, cases: &[Case]) {
    println!(
        "\n| pairs | findings, equal to the expected | k lines a CPU-second, median (min..max) | peak RSS MiB |"
    );
    println!("|---|---|---|---|");
    let mut medians = Vec::new();
    for case in cases {
        let Some(all) = used.get(&case.pairs) else { continue };
        let (middle, least, most) = spread(all.iter().map(|(_, rate)| rate / 1000.0));
        let rss = spread(all.iter().map(|(used, _)| used.rss)).0;
        let found = case.expected.lines().count();
        println!("| {} | {found} | {middle:.0} ({least:.0}..{most:.0}) | {rss:.0} |", case.pairs);
        medians.push((case.pairs, middle));
    }
    if let (Some((few, slow)), Some((many, fast))) = (medians.first(), medians.last())
        && few != many
    {
        println!("\n{many} pairs run at {:.2} of the rate of {few}.", fast / slow);
    }
}

struct Bench<'o> {
    kwhy: PathBuf,
    measure: Measure,
    dir: PathBuf,
    options: &'o Options,
}

impl Bench<'_> {
    /// Runs kwhy on a capture; gives what it used and its findings as the oracle writes them.
    fn findings(&self, capture: &Path, rules: &Path, empty: bool) -> Result<(Used, String)> {
        let out = self.dir.join("out.json");
        let (kwhy, capture, rules) =
            (self.kwhy.to_string_lossy(), capture.to_string_lossy(), rules.to_string_lossy());
        let mut argv =
            vec![kwhy.as_ref(), "diagnose", capture.as_ref(), "--output", "json", "--rules", &rules];
        if !self.options.all_packs {
            argv.push("--only-rules");
        }
        let used = self.measure.run(&argv, &out, if empty { &[0] } else { &[0, 1] })?;
        let text = fs::read_to_string(&out).with_context(|| format!("cannot read {}", out.display()))?;
        Ok((used, as_expected(&text)?))
    }
}

/// `pair namespace/pod` a line, sorted: one for each finding of the rule, however often it was revised
fn as_expected(json: &str) -> Result<String> {
    let mut found = BTreeMap::new();
    for line in json.lines() {
        let finding: Value = serde_json::from_str(line).context("not a line of JSON")?;
        let text = |at: &str| finding.pointer(at).and_then(Value::as_str).unwrap_or_default();
        if let Some(pair) = text("/code").strip_prefix(CODE) {
            let line = format!("{pair} {}/{}\n", text("/root/namespace"), text("/root/name"));
            found.insert(text("/id").to_owned(), line);
        }
    }
    let mut lines: Vec<String> = found.into_values().collect();
    lines.sort();
    Ok(lines.concat())
}

/// Makes what is not there yet: the log in a capture, and the findings to expect.
fn case(
    project: &Project,
    python: &Path,
    dir: &Path,
    rules: PathBuf,
    pairs: u32,
    options: &Options,
) -> Result<Case> {
    let scripts = project.root().join("tests/bench/w1");
    let run = |script: &str| {
        let mut run = command(&python.to_string_lossy(), ["-B"]);
        run.arg(scripts.join(script)).args(["--rules", &pairs.to_string()]);
        run
    };
    let Options { lines, rate, .. } = options;
    let capture = dir.join(format!("{pairs}-pairs-{lines}-lines-rate-{rate}"));
    let expected = capture.join("expected.txt");
    if !expected.exists() {
        println!("making {}", project.short(&capture).display());
        let mut make = run("gen_klog.py");
        make.args(["--seed", "1", "--lines", &lines.to_string(), "--rate", &rate.to_string()]);
        lay_out(&capture, lines / u64::from(*rate), "")?;
        let log = log_of(&capture);
        quiet(make.stdout(fs::File::create(&log)?))?;
        let found = quiet(run("oracle.py").arg(&log))?;
        fs::write(&expected, found)?;
    }
    let expected = fs::read_to_string(&expected)?;
    Ok(Case { pairs, capture, rules, expected })
}

fn log_of(capture: &Path) -> PathBuf {
    capture.join("kubelet/node-1.log")
}

/// A capture of `seconds` that holds a node and its kubelet's log.
fn lay_out(capture: &Path, seconds: u64, log: &str) -> Result<()> {
    let path = log_of(capture);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::write(&path, log)?;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {
        "name": "node-1", "creationTimestamp": "2026-11-01T00:00:00Z",
    }});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [node]});
    fs::write(capture.join("objects.json"), list.to_string())?;
    let (hours, minutes, seconds) = (10 + seconds / 3600, seconds / 60 % 60, seconds % 60);
    let span = format!(
        "cluster: bench\nfrom: 2026-11-15T10:00:00Z\nto: 2026-11-15T{hours:02}:{minutes:02}:{seconds:02}Z\n"
    );
    fs::write(capture.join("capture.yaml"), span)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_counts_once_and_only_if_the_rule_made_it() {
        let line = |id: &str, code: &str, pod: &str| {
            json!({"id": id, "code": code, "root": {"namespace": "shop", "name": pod}}).to_string()
        };
        let all = [
            line("f2", "bench-pairs.pair-7", "web"),
            line("f1", "bench-pairs.pair-11", "web"),
            line("f3", "node.disk-pressure", "web"),
            line("f2", "bench-pairs.pair-7", "web"),
        ];
        assert_eq!(as_expected(&all.join("\n")).unwrap(), "11 shop/web\n7 shop/web\n");
        assert!(as_expected("no json").is_err());
    }
}
