//! Everything that can happen to kwhy and its NATS, in rounds that a seed draws, with the same check after each: what was
//! acknowledged is taken in, and what was found is what `kwhy diagnose` finds in the same capture, each revision once.

mod plan;
mod rounds;
mod soak;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

pub use plan::{Fault, Round};
pub use soak::Held;
pub use verdict::{Seen, Wanted, faults};

use serde_json::json;
use tokio::task::LocalSet;

use self::soak::Soak;
use crate::{Kwhy, Stored, cluster_of, here, recorded, said_of};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Draws what is done, and in which order.
    pub seed: u64,
    /// No round begins later than this.
    pub last: Duration,
    /// What may be done.
    pub faults: Vec<Fault>,
    /// Whether each fault lasts as long, and is as large, as it may be.
    pub long: bool,
    /// Most rounds; as many as there is time for where there is none.
    pub rounds: Option<usize>,
}

/// A log, and what must be found in it.
#[derive(Debug)]
struct Log {
    name: String,
    cluster: String,
    messages: Vec<Stored>,
    expected: Vec<String>,
}

impl Log {
    async fn of(capture: &Path) -> Self {
        let kwhy = Kwhy::new();
        Self {
            name: capture.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            cluster: cluster_of(capture),
            messages: recorded(&kwhy, capture).await,
            expected: said_of(&kwhy, capture),
        }
    }
}

/// Plays rounds, tells `say` of each, and returns what was wrong, a line each.
///
/// # Panics
/// Where there are no captures.
pub async fn run(options: &Options, mut say: impl FnMut(&str)) -> Vec<String> {
    let began = Instant::now();
    let captures = captures();
    let mut logs: BTreeMap<usize, Arc<Log>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let (mut rounds, mut messages, mut revisions) = (0, 0, 0);
    let mut not_here: BTreeMap<Fault, String> = BTreeMap::new();
    let mut played: BTreeSet<Fault> = BTreeSet::new();
    say(&format!("chaos: seed {}, {:?}", options.seed, options.last));
    let most = options.rounds.unwrap_or(usize::MAX);
    let mut soak = if most > soak::WARM {
        let first = log(&mut logs, 0, &captures).await;
        Some(Soak::new(first.messages.clone()).await)
    } else {
        None
    };
    for round in plan::rounds(options.seed, &options.faults, options.long, captures.len()).take(most) {
        if began.elapsed() > options.last {
            break;
        }
        if not_here.contains_key(&round.fault) {
            continue;
        }
        let log = if round.fault == Fault::Flood {
            Arc::new(Log::of(&flood(&Kwhy::new(), round.many)).await)
        } else {
            log(&mut logs, round.log, &captures).await
        };
        let started = Instant::now();
        let title = format!("round {}: {}, {}", round.number, round.fault, log.name);
        let fault = round.fault;
        // What gives way in a round ends that round alone.
        let local = LocalSet::new();
        let playing = local.spawn_local(async move { rounds::play(&round, &log).await });
        let outcome = local.run_until(playing).await;
        match outcome {
            Ok(Ok(done)) => {
                let (sent, found) = done.checked;
                (rounds, messages, revisions) = (rounds + 1, messages + sent, revisions + found);
                played.insert(fault);
                let end = if done.faults.is_empty() { "nothing lost or doubled" } else { "FAULTS" };
                say(&format!(
                    "{title}: {}; {sent} messages, {found} revisions: {end} ({:.1} s)",
                    done.injected,
                    started.elapsed().as_secs_f32()
                ));
                for line in done.faults {
                    say(&format!("    {line}"));
                    wrong.push(format!("{title}: {line}"));
                }
            }
            Ok(Err(why)) => {
                say(&format!("{title}: left out: {why}"));
                not_here.insert(fault, why);
                if not_here.len() == options.faults.len() {
                    break;
                }
            }
            Err(broken) => {
                let line = format!("{title}: broke off: {}", words(broken));
                say(&line);
                wrong.push(line);
            }
        }
        if let Some(mut soaked) = soak.take() {
            let local = LocalSet::new();
            let storm = local.spawn_local(async move {
                soaked.storm().await;
                soaked
            });
            match local.run_until(storm).await {
                Ok(soaked) => soak = Some(soaked),
                Err(broken) => {
                    let line = format!("58 soak: broke off: {}", words(broken));
                    say(&line);
                    wrong.push(line);
                }
            }
        }
    }
    if let Some(soak) = soak {
        let (held, grown) = soak.judge();
        say(&format!("58 soak: {held}"));
        wrong.extend(grown);
    }
    say(&summary(options, began, (rounds, messages, revisions), &played, &not_here, &wrong));
    wrong
}

fn summary(
    options: &Options,
    began: Instant,
    (rounds, messages, revisions): (usize, usize, usize),
    played: &BTreeSet<Fault>,
    not_here: &BTreeMap<Fault, String>,
    wrong: &[String],
) -> String {
    let mut text = format!(
        "chaos: seed {}, {rounds} rounds in {:.0} s; {messages} messages and {revisions} revisions checked; {}",
        options.seed,
        began.elapsed().as_secs_f32(),
        if wrong.is_empty() {
            "lost: nothing, doubled: nothing".to_owned()
        } else {
            format!("{} FAULTS", wrong.len())
        }
    );
    for (fault, why) in not_here {
        let _ = write!(text, "\n    left out: {fault}: {why}");
    }
    for fault in options.faults.iter().filter(|f| !played.contains(f) && !not_here.contains_key(f)) {
        let _ = write!(text, "\n    not reached: {fault}");
    }
    for line in wrong {
        let _ = write!(text, "\n    {line}");
    }
    text
}

/// What a task said when it gave way.
fn words(broken: tokio::task::JoinError) -> String {
    match broken.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
        }
        Err(error) => error.to_string(),
    }
}

async fn log(logs: &mut BTreeMap<usize, Arc<Log>>, number: usize, captures: &[PathBuf]) -> Arc<Log> {
    if let Some(log) = logs.get(&number) {
        return log.clone();
    }
    let log = Arc::new(Log::of(captures.get(number).expect("there are captures")).await);
    logs.insert(number, log.clone());
    log
}

/// The captures of which kwhy tells the cause, the coredns loop first.
fn captures() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(here("captures"))
        .expect("the captures")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("capture.yaml").is_file() && path.join("truth.yaml").is_file())
        .collect();
    all.sort();
    all
}

/// A capture in which so many pods have an alert each.
fn flood(kwhy: &Kwhy, pods: u32) -> PathBuf {
    let span = "cluster: flooded\nfrom: 2024-05-07T10:00:00Z\nto: 2024-05-07T11:00:00Z\ntitle: a flood\n";
    kwhy.write("flood/capture.yaml", span);
    let (mut lines, mut objects) = (String::new(), Vec::new());
    for pod in 0..pods {
        let meta = json!({"name": format!("pod-{pod}"), "namespace": format!("ns-{}", pod % 97),
            "uid": format!("u-{pod}"), "creationTimestamp": "2024-05-01T00:00:00Z"});
        objects.push(json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta}));
        // All within twenty minutes.
        let second = u64::from(pod) * 1200 / u64::from(pods);
        let at = format!("2024-05-07T10:{:02}:{:02}Z", second / 60, second % 60);
        let _ = writeln!(
            lines,
            r#"{{"at":"{at}","payload":[{{"labels":{{"alertname":"PodIsIll","namespace":"ns-{}","pod":"pod-{pod}","severity":"warning"}},"annotations":{{"summary":"pod-{pod} is ill"}},"startsAt":"{at}","endsAt":"2024-05-07T11:30:00Z"}}]}}"#,
            pod % 97
        );
    }
    kwhy.write("flood/alerts.ndjson", lines);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    kwhy.write("flood/objects.json", list.to_string());
    kwhy.home("flood")
}
