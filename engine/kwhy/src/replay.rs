//! `kwhy replay`: the recorded log through other rules, and what would be said otherwise. How a change of rules is reviewed
//! before it goes live.
//!
//! The log is read from its beginning, as what was told then decides what is found later, and up to the checkpoint of the
//! engine that runs. Nothing is published.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::PathBuf,
    pin::pin,
};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use kwhy_bus::{Bus, Entry, Filter, Start};
use kwhy_collect::clock;
use kwhy_core::Engine;
use kwhy_proto::{millis, v1::Finding};
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::Format, config::Config, connect, exit::Exit, notices::Notices, progress::Progress, raw, rules,
    since::Since,
};

/// What the command line says.
pub(crate) struct Given {
    pub(crate) nats: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) rules: Vec<PathBuf>,
    pub(crate) from: Option<Since>,
    pub(crate) format: Format,
}

/// One finding that is not the same.
#[derive(Debug, Serialize)]
struct Difference {
    /// appears, vanishes or changes.
    change: &'static str,
    /// Names of what is not the same in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
    /// As it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<Finding>,
    /// As these rules would have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<Finding>,
}

pub(crate) async fn run(config: &Config, given: Given) -> Result<Exit> {
    let cluster = config.cluster_name(given.cluster);
    let from = given.from.map_or(0, |from| from.at(clock::wall()));
    let engine = Engine::new(config.settings(&cluster), rules::load(config, &given.rules)?)?;
    let bus = connect::connect(config, given.nats, &cluster).await?;
    let compared = tokio::select! {
        compared = compare(&bus, engine, &cluster, from) => compared,
        () = crate::stop() => bail!("stopped"),
    };
    bus.close().await;
    let Some(differences) = compared? else {
        eprintln!(
            "kwhy: nothing of cluster {cluster} can be replayed: no engine has stored findings of it, or all that they rest \
             on is gone from KWHY_IN; --cluster NAME names another"
        );
        return Ok(Exit::NothingRead);
    };
    tell(&differences, given.format)?;
    Ok(if differences.is_empty() { Exit::Nothing } else { Exit::Findings })
}

/// Replays up to the newest checkpoint; none where there is none, or nothing of what it rests on.
async fn compare(
    bus: &Bus,
    mut engine: Engine<kwhy_sandbox::Sandbox>,
    cluster: &str,
    from: u64,
) -> Result<Option<Vec<Difference>>> {
    let filter = Filter { cluster: Some(cluster.to_owned()), ..Filter::default() };
    // Both of one moment: else an engine that runs has stored more meanwhile.
    let (end, stored) = loop {
        let Some(head) = bus.head().await? else { return Ok(None) };
        let stored = bus.stored_findings(&filter).await?;
        let reached = head.checkpoint.sequence;
        if bus.head().await?.is_some_and(|head| head.checkpoint.sequence == reached) {
            break (reached, stored);
        }
    };
    // What is gone by now would be waited for.
    let log = bus.log(0).await?;
    if log.first > end {
        return Ok(None);
    }
    let end = end.min(log.last);
    let progress = Progress::start("replaying");
    let mut entries = pin!(bus.read_with(Start::Beginning, raw::reader(cluster.to_owned())));
    let mut replayed: BTreeMap<String, Finding> = BTreeMap::new();
    let (mut at, mut began) = (0, None);
    while at < end {
        match entries.next().await.transpose()? {
            Some(Entry::Message { sequence, body, .. }) => {
                at = sequence;
                if at > end {
                    break;
                }
                progress.at("replaying", usize::try_from(at)?, usize::try_from(end)?);
                for signal in body.signals {
                    began = began.or(signal.at.as_ref().map(millis));
                    for finding in engine.apply(signal) {
                        replayed.insert(finding.id.clone(), finding);
                    }
                }
            }
            Some(Entry::Unreadable { sequence, .. }) => at = sequence,
            Some(Entry::Gap { first, last }) => {
                at = last;
                eprintln!(
                    "kwhy: messages {first} to {last} of KWHY_IN are no longer stored; findings that rest on them differ for that"
                );
            }
            None => break,
        }
    }
    progress.end();
    Notices::default().show(engine.take_notices());
    let stored: BTreeMap<String, Finding> = stored.into_iter().map(|f| (f.id.clone(), f)).collect();
    let began = began.unwrap_or(u64::MAX);
    Ok(Some(differences(&stored, &replayed, |f| updated(f) >= from && opened(f) >= began)))
}

fn updated(finding: &Finding) -> u64 {
    finding.updated_at.as_ref().map_or(0, millis)
}

fn opened(finding: &Finding) -> u64 {
    finding.opened_at.as_ref().map_or(0, millis)
}

/// Findings that are not the same in both, of those that are `wanted`, in the order of their ids.
fn differences(
    stored: &BTreeMap<String, Finding>,
    replayed: &BTreeMap<String, Finding>,
    wanted: impl Fn(&Finding) -> bool,
) -> Vec<Difference> {
    let ids: BTreeSet<&String> = stored.keys().chain(replayed.keys()).collect();
    let both = ids.into_iter().map(|id| (stored.get(id).cloned(), replayed.get(id).cloned()));
    let different = both.filter_map(|(stored, replayed)| {
        let (change, fields) = match (&stored, &replayed) {
            (Some(stored), Some(replayed)) => ("changes", fields(stored, replayed)),
            (None, Some(_)) => ("appears", Vec::new()),
            _ => ("vanishes", Vec::new()),
        };
        let same = change == "changes" && fields.is_empty();
        let seen = stored.iter().chain(&replayed).any(&wanted);
        (seen && !same).then_some(Difference { change, fields, stored, replayed })
    });
    different.collect()
}

/// What is not the same in two findings. Which rule file said it and in how many revisions is no difference.
fn fields(a: &Finding, b: &Finding) -> Vec<String> {
    let bare = |f: &Finding| {
        let f = Finding { revision: 0, rule: None, ..f.clone() };
        serde_json::to_value(f).ok()
    };
    let (Some(Value::Object(a)), Some(Value::Object(b))) = (bare(a), bare(b)) else { return Vec::new() };
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

fn tell(differences: &[Difference], format: Format) -> Result<()> {
    let mut out = io::stdout().lock();
    for difference in differences {
        if format == Format::Json {
            serde_json::to_writer(&mut out, difference)?;
            writeln!(out)?;
            continue;
        }
        let Difference { change, fields, stored, replayed } = difference;
        let Some(finding) = replayed.as_ref().or(stored.as_ref()) else { continue };
        let severity = finding.severity().as_str_name().trim_start_matches("SEVERITY_");
        writeln!(out, "{change:9} {severity:8} {} {}", finding.code, finding.title)?;
        if !fields.is_empty() {
            writeln!(out, "          in {}", fields.join(", "))?;
        }
        if let (Some(stored), Some(replayed)) = (stored, replayed)
            && stored.title != replayed.title
        {
            writeln!(out, "          was {}", stored.title)?;
        }
    }
    if format == Format::Text {
        let count = |change| differences.iter().filter(|d| d.change == change).count();
        let (more, less, other) = (count("appears"), count("vanishes"), count("changes"));
        writeln!(out, "{more} appear, {less} vanish, {other} change")?;
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use kwhy_proto::timestamp;

    use super::*;

    fn finding(id: &str, title: &str, at: u64) -> (String, Finding) {
        let (opened_at, updated_at) = (Some(timestamp(at)), Some(timestamp(at)));
        let finding =
            Finding { id: id.into(), title: title.into(), opened_at, updated_at, ..Finding::default() };
        (id.to_owned(), finding)
    }

    #[test]
    fn what_appears_vanishes_and_changes_is_told_and_what_is_the_same_is_not() {
        let stored = BTreeMap::from([finding("a", "x", 5), finding("b", "x", 5), finding("c", "x", 5)]);
        let mut replayed = BTreeMap::from([finding("a", "x", 5), finding("b", "y", 5), finding("d", "x", 5)]);
        replayed.values_mut().for_each(|f| f.revision = 7);
        let told = |from| -> Vec<(String, Vec<String>)> {
            let all = differences(&stored, &replayed, |f| updated(f) >= from);
            all.into_iter().map(|d| (d.change.to_owned(), d.fields)).collect()
        };
        assert_eq!(
            told(0),
            [
                ("changes".to_owned(), vec!["title".to_owned()]),
                ("vanishes".to_owned(), vec![]),
                ("appears".to_owned(), vec![])
            ]
        );
        assert_eq!(told(6), []);
    }
}
