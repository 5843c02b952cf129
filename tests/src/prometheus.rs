//! A real Prometheus that evaluates twice a second and sends what fires every second.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::{Background, tools};

/// An alerting rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// Name of the alert.
    pub alert: &'a str,
    /// When it fires.
    pub expr: &'a str,
    /// Further labels, `name: value`, separated by commas.
    pub labels: &'a str,
}

/// A Prometheus on loopback. Dropped, it is killed and its store removed.
#[derive(Debug)]
pub struct Prometheus {
    /// The program.
    pub process: Background,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target` and sends the alerts of the rules to `alertmanagers`, YAML of that list in its
    /// configuration. `replica` is its external label `prometheus_replica`.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn start(target: &str, rules: &[Rule<'_>], alertmanagers: &str, replica: Option<&str>) -> Self {
        let labels = replica.map(|replica| format!(", external_labels: {{prometheus_replica: {replica}}}"));
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms{}}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: tests, static_configs: [{{targets: ['{target}']}}]}}]\n\
             alerting:\n  alertmanagers:\n{}",
            labels.unwrap_or_default(),
            indented(alertmanagers)
        );
        Self::with(&config, rules)
    }

    /// Starts one with this configuration, which names `rules.yml` where there are rules.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn with(config: &str, rules: &[Rule<'_>]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
        fs::write(dir.path().join("rules.yml"), groups(rules)).expect("a file");
        let process = Background::start(command(dir.path()));
        process.wait_for("`Server is ready`", |line| line.contains("Server is ready").then_some(()));
        Self { process, _dir: dir }
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(tools::prometheus());
    command.current_dir(dir).args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:0",
        "--rules.alert.resend-delay=1s",
    ]);
    command
}

fn groups(rules: &[Rule<'_>]) -> String {
    let mut text = "groups:\n- name: tests\n  rules:\n".to_owned();
    for Rule { alert, expr, labels } in rules {
        let _ = writeln!(text, "  - {{alert: {alert}, expr: '{expr}', labels: {{{labels}}}}}");
    }
    text
}

fn indented(yaml: &str) -> String {
    yaml.lines().map(|line| format!("    {line}\n")).collect()
}
