//! `cargo xtask demo`: a recorded incident, first straight from its files, then all the way through NATS to a
//! subscriber and Slack. What arrives must be what the first way found, to the byte; then everything is ended.

mod layout;
mod process;
mod slack;
mod subscriber;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use self::{
    layout::layout,
    process::{Process, bounded},
    slack::Slack,
    subscriber::{Message, Subscriber},
};
use crate::{
    captures,
    command::{command, line, outcome, tail},
    packs,
    phases::human,
    project::Project,
    setup::Setup,
};

const CAPTURE: &str = "tests/captures/a1-coredns-loop";

/// Where findings go for plain subscribers, as protobuf JSON
const SUBJECT: &str = "kwhy.findings.json.>";

/// For each wait; a loaded machine needs a few seconds of it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(project: &Project, release: bool) -> Result<()> {
    let setup = Setup::new(project)?;
    packs::build(project, &setup.wasm_target()?)?;
    let nats_server = setup.nats_server()?;
    captures::build(project, release)?;
    drop(setup);

    let scratch = Scratch::new(project.target().join(format!("demo-{}", std::process::id())))?;
    let kwhy = Kwhy { program: project.kwhy(release), root: project.root().to_owned() };
    let start = Instant::now();
    title("1  The files of an incident, diagnosed without anything else installed");
    let expected = diagnose(&kwhy)?;
    title("2  The same incident through NATS: kwhy run, fed by kwhy feed");
    live(&kwhy, &nats_server, &scratch.0, &expected)?;
    drop(scratch);
    println!("\ndemo: done in {}, every process ended, its files removed", human(start.elapsed()));
    Ok(())
}

/// The binary, run in the workspace's root
struct Kwhy {
    program: PathBuf,
    root: PathBuf,
}

impl Kwhy {
    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = command(&self.program.to_string_lossy(), args);
        command.current_dir(&self.root);
        command
    }
}

/// Shows the diagnosis and returns the findings as lines of JSON.
fn diagnose(kwhy: &Kwhy) -> Result<Vec<String>> {
    let mut text = kwhy.command(&["diagnose", CAPTURE]);
    println!("$ {}\n", line(&text));
    let status = text.status().with_context(|| format!("cannot run {}", kwhy.program.display()))?;
    // 1 says that there are findings.
    ensure!(
        status.code() == Some(1),
        "`{}` should find something, but gave {}",
        line(&text),
        outcome(status)
    );
    let mut json = kwhy.command(&["diagnose", CAPTURE, "--output", "json"]);
    let output = json.output()?;
    let lines: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    ensure!(!lines.is_empty(), "`{}` printed no finding", line(&json));
    Ok(lines)
}

fn live(kwhy: &Kwhy, nats_server: &Path, scratch: &Path, expected: &[String]) -> Result<()> {
    let slack = Slack::listen()?;
    let config = scratch.join("kwhy.yaml");
    let cluster = cluster(&kwhy.root.join(CAPTURE).join("capture.yaml"))?;
    fs::write(&config, configuration(&cluster, nats_server, scratch, slack.url()))?;

    let mut run = kwhy.command(&["run", "--config", &config.to_string_lossy()]);
    println!("$ {}", line(&run));
    let engine = Process::start(&mut run)?;
    let result = through_nats(kwhy, &engine, &slack, expected);
    // The engine is told to end either way, and its last words explain a failure.
    let log = engine.end(PATIENCE)?;
    result.with_context(|| format!("the engine said:\n{}\n", tail(&log)))
}

fn through_nats(kwhy: &Kwhy, engine: &Process, slack: &Slack, expected: &[String]) -> Result<()> {
    let url =
        engine.wait_for(PATIENCE, |line| line.strip_prefix("nats: ").map(|url| url.trim().to_owned()))?;
    engine.wait_for(PATIENCE, |line| (line.trim() == "ready").then_some(()))?;
    println!("  ready, with a nats-server of its own on {url}");
    let subscriber = Subscriber::connect(&url, SUBJECT)?;

    let mut feed = kwhy.command(&["feed", CAPTURE, "--nats", &url, "--speed", "max"]);
    println!("$ {}", line(&feed));
    bounded(&mut feed, PATIENCE)?;

    let last = arrive(subscriber.messages(), expected)?;
    println!("\nWhat a subscriber of {SUBJECT} received on {}:\n{}", last.subject, layout(&last.body));
    let post = match slack.posts().recv_timeout(PATIENCE) {
        Ok(post) => post,
        Err(_) => bail!("no message was posted to slack.webhook_url within {}", human(PATIENCE)),
    };
    println!("\nWhat was posted to slack.webhook_url:\n{}", layout(&post));
    println!(
        "\nAll {} that came through NATS are byte for byte what kwhy diagnose said.",
        count(expected.len(), "finding revision")
    );
    subscriber.end();
    Ok(())
}

/// Waits until every expected finding has come; one that was not expected is an error. Returns the most telling one.
fn arrive(messages: &Receiver<Result<Message>>, expected: &[String]) -> Result<Message> {
    let all: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    let mut missing = all.clone();
    let mut last = None;
    let deadline = Instant::now() + PATIENCE;
    while !missing.is_empty() {
        let message = match messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => message?,
            Err(RecvTimeoutError::Timeout) => bail!(
                "{} of {} did not come within {}; the first is\n{}",
                missing.len(),
                count(all.len(), "finding revision"),
                human(PATIENCE),
                missing.first().copied().unwrap_or_default()
            ),
            Err(RecvTimeoutError::Disconnected) => bail!("the NATS connection ended"),
        };
        let body = message.body.trim_end();
        ensure!(
            all.contains(body),
            "what came through NATS is not what kwhy diagnose said:\n{body}\nexpected one of\n{}",
            expected.join("\n")
        );
        missing.remove(body);
        if Some(body) == telling(expected) {
            last = Some(message);
        }
    }
    last.context("no finding was expected")
}

/// The revision to show: the last one that is not a mere note
fn telling(expected: &[String]) -> Option<&str> {
    let is_note = |line: &&String| {
        let finding: Option<Value> = serde_json::from_str(line).ok();
        finding.is_some_and(|f| f.get("severity").and_then(Value::as_str) == Some("SEVERITY_INFO"))
    };
    expected.iter().rfind(|line| !is_note(line)).or(expected.last()).map(String::as_str)
}

/// The name that the capture gives its cluster; the engine serves one cluster.
fn cluster(capture: &Path) -> Result<String> {
    let text = fs::read_to_string(capture).with_context(|| format!("cannot read {}", capture.display()))?;
    let name = text.lines().find_map(|line| line.strip_prefix("cluster:"));
    Ok(name.with_context(|| format!("{} names no cluster", capture.display()))?.trim().to_owned())
}

/// `kwhy.yaml`; a JSON string is a YAML string, whatever stands in the path.
fn configuration(cluster: &str, nats_server: &Path, scratch: &Path, webhook: &str) -> String {
    let text = |path: &Path| Value::from(path.to_string_lossy()).to_string();
    let (server, data) = (text(nats_server), text(&scratch.join("data")));
    format!(
        "cluster: {cluster}\ndata_dir: {data}\nnats:\n  server: {server}\nslack:\n  webhook_url: {webhook}\n"
    )
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn title(text: &str) {
    println!("\n{text}\n{}\n", "─".repeat(text.chars().count()));
}

/// A folder that is gone when this is dropped
struct Scratch(PathBuf);

impl Scratch {
    fn new(dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn sent(bodies: &[&str]) -> Receiver<Result<Message>> {
        let (sender, receiver) = channel();
        for body in bodies {
            let message =
                Message { subject: "kwhy.findings.json.c.n.code".to_owned(), body: (*body).to_owned() };
            sender.send(Ok(message)).unwrap();
        }
        receiver
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn the_demo_waits_for_all_revisions_and_shows_the_last() {
        let last = arrive(&sent(&["one", "two\n", "one"]), &lines(&["one", "two"])).unwrap();
        assert_eq!(last.body, "two\n");
    }

    #[test]
    fn a_note_that_comes_last_is_not_what_is_shown() {
        let [cause, note] = ["CRITICAL", "INFO"].map(|s| format!("{{\"severity\":\"SEVERITY_{s}\"}}"));
        assert_eq!(telling(&[note.clone(), cause.clone(), note.clone()]), Some(cause.as_str()));
        assert_eq!(telling(std::slice::from_ref(&note)), Some(note.as_str()));
        assert_eq!(telling(&[]), None);
    }

    #[test]
    fn another_finding_than_the_expected_fails_the_demo() {
        let error = arrive(&sent(&["one", "other"]), &lines(&["one", "two"])).unwrap_err();
        assert!(error.to_string().contains("not what kwhy diagnose said"), "{error}");
    }

    #[test]
    fn a_lost_connection_fails_the_demo() {
        assert!(arrive(&sent(&["one"]), &lines(&["one", "two"])).is_err());
    }

    #[test]
    fn paths_are_quoted_in_the_configuration() {
        let text = configuration(
            "homelab",
            Path::new("/a: b/nats"),
            Path::new("/tmp/#x"),
            "http://127.0.0.1:1/hook",
        );
        assert!(
            text.contains("  server: \"/a: b/nats\"\n") && text.contains("data_dir: \"/tmp/#x/data\"\n"),
            "{text}"
        );
    }
}
