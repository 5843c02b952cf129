//! A real Prometheus that evaluates twice a second and sends what fires every second.

use std::{cell::RefCell, fmt::Write as _, fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::{Background, get, tools};

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
    /// Where it answers.
    pub url: String,
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
        Self::with(&config(target, alertmanagers, replica), rules)
    }

    /// As [`Prometheus::start`], but what still fires is sent again after a minute only, as by default.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn calm(target: &str, rules: &[Rule<'_>], alertmanagers: &str, replica: Option<&str>) -> Self {
        Self::begin(&config(target, alertmanagers, replica), rules, "1m")
    }

    /// Starts one with this configuration, which names `rules.yml` where there are rules.
    ///
    /// # Panics
    /// Where it does not get ready.
    #[must_use]
    pub fn with(config: &str, rules: &[Rule<'_>]) -> Self {
        Self::begin(config, rules, "1s")
    }

    fn begin(config: &str, rules: &[Rule<'_>], resend: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("prometheus.yml"), config).expect("a file");
        fs::write(dir.path().join("rules.yml"), groups(rules)).expect("a file");
        let process = Background::start(command(dir.path(), resend));
        // Either may be said first.
        let said = RefCell::new((None, false));
        let address = process.wait_for("`Listening on` and `Server is ready`", |line| {
            let (address, ready) = &mut *said.borrow_mut();
            if line.contains("Listening on")
                && let Some((_, at)) = line.split_once("address=")
            {
                *address = Some(at.trim().to_owned());
            }
            *ready |= line.contains("Server is ready");
            address.clone().filter(|_| *ready)
        });
        Self { process, url: format!("http://{address}"), _dir: dir }
    }

    /// One of its own figures, of the first series with this text among its labels; 0 where it has none yet.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn figure(&self, name: &str, label: &str) -> f64 {
        let all = get(&format!("{}/metrics", self.url)).body;
        let of = |line: &&str| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']));
            rest.is_some_and(|rest| rest.contains(label))
        };
        let line = all.lines().find(of);
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }
}

fn config(target: &str, alertmanagers: &str, replica: Option<&str>) -> String {
    let labels = replica.map(|replica| format!(", external_labels: {{prometheus_replica: {replica}}}"));
    format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms{}}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs: [{{job_name: tests, static_configs: [{{targets: ['{target}']}}]}}]\n\
         alerting:\n  alertmanagers:\n{}",
        labels.unwrap_or_default(),
        indented(alertmanagers)
    )
}

fn command(dir: &Path, resend: &str) -> Command {
    let mut command = Command::new(tools::prometheus());
    command.current_dir(dir).args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:0",
    ]);
    command.arg(format!("--rules.alert.resend-delay={resend}"));
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
