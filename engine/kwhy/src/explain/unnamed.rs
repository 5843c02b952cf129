//! `kwhy explain --code`: why a cause was not named in a capture.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Result;
use kwhy_core::rule::Subscription;
use kwhy_ingest::capture::{Capture, Waiting};
use kwhy_proto::timestamp;
use kwhy_publish::{
    explain::Sign,
    json, text,
    why_not::{Asked, Source, Told, WhyNot},
};

use super::{
    choose, codes,
    witness::{self, Seen, Times, Witness},
};
use crate::{
    args::Format,
    config::Config,
    correlate::{Correlated, Keep, correlate},
    exit::Exit,
    rules, screen,
};

/// Sources that a rule can ask for.
const SOURCES: [&str; 5] = ["object", "event", "alert", "kubelet", "log"];

pub(crate) fn run(
    config: &Config,
    code: &str,
    dir: &Path,
    format: Format,
    more_rules: &[PathBuf],
) -> Result<Exit> {
    let rules = rules::load(config, more_rules)?;
    let known = codes(&rules);
    let Some(witness) = Witness::new(rules, code) else { return Err(choose::unknown(code, &known)) };
    let Some(Correlated { capture, engine, findings }) =
        correlate(config, dir, witness, Keep::Signals, |_| Ok(()))?
    else {
        return Ok(Exit::NothingRead);
    };
    let why_not = why_not(&engine.rules().seen, &capture).judged(&findings);
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        Format::Json => json::record(&why_not, &mut out)?,
        Format::Text => out.write_all(text::why_not(&why_not, &screen::style()).as_bytes())?,
    }
    out.flush()?;
    Ok(Exit::Nothing)
}

fn why_not(seen: &Seen, capture: &Capture) -> WhyNot {
    let asked: Vec<Asked> = seen.asked.iter().map(|it| ask(it, capture)).collect();
    let sources = SOURCES.into_iter().filter(|source| asked.iter().any(|it| it.source == *source));
    let signals =
        |source: &str| capture.signals.iter().filter(|it| it.head().source == source).count() as u64;
    WhyNot {
        code: seen.info.code.clone(),
        title: seen.info.title.clone(),
        versions: seen.info.versions.clone(),
        rule: format!("{} {}", seen.rule.name, seen.rule.version),
        ruled_out: seen
            .ruled_out
            .iter()
            .map(|((_, why), (root, times))| told(Some(root), why, times))
            .collect(),
        cleared: seen.cleared.iter().map(|((_, why), (root, times))| told(Some(root), why, times)).collect(),
        unmet: seen.unmet.iter().map(|(why, times)| told(None, why, times)).collect(),
        failures: seen.failures.iter().map(|(why, times)| told(None, why, times)).collect(),
        calls: seen.calls,
        diagnosed: seen.diagnosed.times,
        sources: sources.map(|it| Source { source: it.to_owned(), signals: signals(it) }).collect(),
        asked,
        ..WhyNot::default()
    }
}

fn told(root: Option<&kwhy_proto::v1::ObjectRef>, because: &str, times: &Times) -> Told {
    Told {
        root: root.cloned(),
        because: because.to_owned(),
        times: times.times,
        last: (times.last > 0).then(|| timestamp(times.last)),
    }
}

fn ask(asked: &witness::Asked, capture: &Capture) -> Asked {
    let subscription = &asked.subscription;
    let last = asked.last.as_ref().map(|signal| Sign {
        at: Some(timestamp(signal.at)),
        source: signal.source.clone(),
        object: signal.subject.clone(),
        text: if signal.message.is_empty() { signal.name.clone() } else { signal.message.clone() },
        origin: capture
            .signals
            .iter()
            .map(Waiting::head)
            .find(|it| it.id == signal.id)
            .map(|it| it.origin.clone())
            .unwrap_or_default(),
        signal: signal.id.clone(),
        ..Sign::default()
    });
    Asked {
        source: subscription.source.clone(),
        name: asked.name.clone(),
        literals: subscription.patterns.iter().map(|pattern| pattern.literal.clone()).collect(),
        about: about(subscription),
        times: asked.heard.times,
        last,
    }
}

/// What a subscription must be about, in words: `Pod, Node in kube-system of *dns*`.
fn about(subscription: &Subscription) -> String {
    let Subscription { kinds, namespaces, workloads, .. } = subscription;
    let parts = [("", kinds), ("in ", namespaces), ("of ", workloads)];
    let said = parts.into_iter().filter(|(_, list)| !list.is_empty());
    said.map(|(word, list)| format!("{word}{}", list.join(", "))).collect::<Vec<_>>().join(" ")
}
