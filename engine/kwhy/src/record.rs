//! `kwhy record`: the signals of a cluster that are stored on NATS written down as a capture.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    pin::pin,
};

use anyhow::{Context, Result, anyhow};
use futures::StreamExt;
use kwhy_bus::{Bus, Entry, Start};
use kwhy_collect::clock;
use kwhy_ingest::time;
use kwhy_proto::{
    millis, order, timestamp,
    v1::{Signal, signal::Body},
};
use serde::Serialize;

use crate::{config::Config, connect, exit::Exit, folder, progress::Progress, raw, since::Since};

/// What the command line says.
pub(crate) struct Given {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) nats: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) from: Option<Since>,
}

pub(crate) async fn run(config: &Config, given: Given) -> Result<Exit> {
    let cluster = config.cluster_name(given.cluster);
    let from = given.from.map(|from| from.at(clock::wall()));
    let bus = connect::connect(config, given.nats, &cluster).await?;
    let Some(last) = bus.last_input().await? else {
        eprintln!("kwhy: nothing of cluster {cluster} is stored on KWHY_IN; --cluster NAME names another");
        return Ok(Exit::NothingRead);
    };
    let dir = folder::make(given.dir, "record")?;
    let progress = Progress::start("reading NATS");
    let written = tokio::select! {
        written = write(&bus, last, from, &cluster, &dir) => written,
        () = crate::stop() => Err(anyhow!("stopped")),
    };
    progress.end();
    bus.close().await;
    if !matches!(written, Ok(1..)) {
        folder::forget(&dir);
    }
    let written = written?;
    if written == 0 {
        eprintln!("kwhy: nothing of cluster {cluster} is stored from that time on");
        return Ok(Exit::NothingRead);
    }
    eprintln!("recorded {written} signals of cluster {cluster}; next: kwhy diagnose {}", dir.display());
    Ok(Exit::Nothing)
}

#[derive(Serialize)]
struct Head<'a> {
    cluster: &'a str,
    from: String,
    to: String,
    title: &'a str,
}

/// Writes all up to the message `last`; gives the number of signals.
async fn write(bus: &Bus, last: u64, from: Option<u64>, cluster: &str, dir: &Path) -> Result<usize> {
    let path = dir.join("signals.ndjson");
    let failed = || format!("cannot write {}", path.display());
    let mut out =
        Out { file: BufWriter::new(File::create(&path).with_context(failed)?), span: None, count: 0 };
    let mut before = Before::default();
    let mut entries = pin!(bus.read_with(Start::Beginning, raw::reader(cluster.to_owned())));
    let mut at = 0;
    while at < last {
        match entries.next().await.transpose()? {
            Some(Entry::Message { sequence, body, .. }) => {
                at = sequence;
                for signal in body.signals {
                    let when = signal.at.as_ref().map_or(0, millis);
                    if from.is_some_and(|from| when < from) {
                        before.hear(signal);
                    } else {
                        out.put(&signal).with_context(failed)?;
                    }
                }
            }
            Some(Entry::Unreadable { sequence, subject, problem, .. }) => {
                at = sequence;
                eprintln!("kwhy: message {sequence} on {subject} is left out: {problem}");
            }
            Some(Entry::Gap { first, last }) => {
                at = last;
                eprintln!("kwhy: messages {first} to {last} of KWHY_IN are no longer stored");
            }
            None => break,
        }
    }
    if out.count > 0
        && let Some(from) = from
    {
        for signal in before.standing(from) {
            out.put(&signal).with_context(failed)?;
        }
    }
    out.file.flush().with_context(failed)?;
    if let Some((first, end)) = out.span.filter(|_| out.count > 0) {
        let rfc3339 = |ms| time::rfc3339(&timestamp(ms));
        let from = from.map_or(first, |from| from.max(first));
        let head = Head { cluster, from: rfc3339(from), to: rfc3339(end), title: "recorded from NATS" };
        let path = dir.join("capture.yaml");
        let yaml = serde_norway::to_string(&head)?;
        std::fs::write(&path, yaml).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(out.count)
}

struct Out {
    file: BufWriter<File>,
    /// First and last time, ticks counted.
    span: Option<(u64, u64)>,
    count: usize,
}

impl Out {
    fn put(&mut self, signal: &Signal) -> std::io::Result<()> {
        let at = signal.at.as_ref().map_or(0, millis);
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        // The passing of time is in the span.
        if signal.source == "tick" {
            return Ok(());
        }
        self.count += 1;
        serde_json::to_writer(&mut self.file, signal)?;
        self.file.write_all(b"\n")
    }
}

/// What is known from before the time at which a recording begins.
#[derive(Default)]
struct Before {
    /// The last state of each object.
    objects: BTreeMap<String, Signal>,
    /// The last delivery of each alert.
    alerts: BTreeMap<String, Signal>,
}

impl Before {
    fn hear(&mut self, signal: Signal) {
        let (known, key) = match &signal.body {
            Some(Body::Object(_)) => {
                let Some(of) = &signal.subject else { return };
                (&mut self.objects, format!("{}/{}/{}/{}", of.kind, of.namespace, of.name, of.uid))
            }
            Some(Body::Alert(alert)) => (&mut self.alerts, alert.identity.clone()),
            _ => return,
        };
        // They may come in any order.
        if known.get(&key).is_none_or(|last| order(last) <= order(&signal)) {
            known.insert(key, signal);
        }
    }

    /// Objects that are there at a time, listed then, and alerts that fire.
    fn standing(self, from: u64) -> impl Iterator<Item = Signal> {
        let there = self.objects.into_values().filter(|signal| signal.name != "DELETED");
        let listed = there.map(move |signal| Signal {
            at: Some(timestamp(from)),
            name: "ADDED".to_owned(),
            state: "listed".to_owned(),
            ..signal
        });
        listed.chain(self.alerts.into_values().filter(|signal| signal.state == "firing"))
    }
}
