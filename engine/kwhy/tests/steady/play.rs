//! Captures played through engine and built-in packs in one process.

use std::{collections::BTreeMap, fs, path::Path};

use kwhy_core::{
    Engine, Settings,
    engine::WITHDRAWN,
    rule::{Call, Descriptor, Failure, Reply, Rules},
};
use kwhy_ingest::capture::{self, Everything, Waiting};
use kwhy_proto::v1::{Finding, Signal};
use kwhy_sandbox::{Limits, Sandbox, Source};

mod built_in {
    include!(concat!(env!("OUT_DIR"), "/packs.rs"));
}

/// A capture in the order of its signals, with the tick at its end.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) signals: Vec<Signal>,
}

/// Every capture that is shipped. `KWHY_CAPTURES=plugins/node/tests/gate` plays those of another folder.
pub(crate) fn captures() -> Vec<Recorded> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let other = std::env::var_os("KWHY_CAPTURES");
    let dir = top.join(other.as_deref().unwrap_or("tests/captures".as_ref()));
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("the captures").flatten() {
        let path = entry.path();
        if !path.join("capture.yaml").exists() {
            continue;
        }
        let capture = capture::read(&path, &Everything).expect("a capture");
        let end = capture.end_tick();
        let mut signals: Vec<Signal> = capture.signals.into_iter().map(Waiting::unpacked).collect();
        signals.push(end);
        let name = entry.file_name().to_string_lossy().into_owned();
        let (cluster, from, to) = (capture.cluster, capture.from, capture.to);
        found.push(Recorded { name, cluster, from, to, signals });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() >= 20 || other.is_some(), "{} captures", found.len());
    found
}

/// The built-in packs.
pub(crate) fn packs() -> Sandbox {
    packs_with(Limits::default())
}

/// The same in instances that are thrown away after seven calls: whatever a rule keeps in itself is gone then.
pub(crate) fn short_lived_packs() -> Sandbox {
    packs_with(Limits { calls_per_instance: 7, ..Limits::default() })
}

fn packs_with(limits: Limits) -> Sandbox {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("steady-cache");
    let settings = kwhy_sandbox::Settings { cache: Some(cache), limits };
    let mut sandbox = Sandbox::new(settings).expect("a sandbox");
    for (name, bytes) in built_in::PACKS {
        sandbox.load(&Source { name, bytes }, None).expect("a built-in pack");
    }
    sandbox
}

/// A sandbox that outlives the engine.
#[derive(Debug)]
pub(crate) struct Lent<'a>(pub(crate) &'a mut Sandbox);

impl Rules for Lent<'_> {
    fn descriptors(&self) -> &[Descriptor] {
        self.0.descriptors()
    }

    fn examine(&mut self, rule: usize, call: Call) -> Result<Reply, Failure> {
        self.0.examine(rule, call)
    }
}

/// Every revision that comes of these signals.
pub(crate) fn revisions(
    packs: &mut Sandbox,
    cluster: &str,
    signals: impl IntoIterator<Item = Signal>,
) -> Vec<Finding> {
    revisions_with(packs, Settings::new(cluster), signals)
}

/// The same with settings that are not the usual.
pub(crate) fn revisions_with(
    packs: &mut Sandbox,
    settings: Settings,
    signals: impl IntoIterator<Item = Signal>,
) -> Vec<Finding> {
    let mut engine = Engine::new(settings, Lent(packs)).expect("an engine");
    let all = signals.into_iter().flat_map(|s| engine.apply(s)).collect();
    assert_eq!(engine.take_notices(), [], "no rule fails");
    all
}

/// The findings as they stand in the end, by id, without the number of their revision.
pub(crate) fn last(revisions: Vec<Finding>) -> BTreeMap<String, Finding> {
    let mut last = BTreeMap::new();
    for finding in revisions {
        last.insert(finding.id.clone(), Finding { revision: 0, ..finding });
    }
    last.retain(|_, f| f.resolution != WITHDRAWN);
    last
}

/// What is different, in a few lines; empty where nothing is.
pub(crate) fn difference(is: &BTreeMap<String, Finding>, expected: &BTreeMap<String, Finding>) -> String {
    let mut out = String::new();
    for id in is.keys().chain(expected.keys()).collect::<std::collections::BTreeSet<_>>() {
        match (is.get(id), expected.get(id)) {
            (Some(is), Some(expected)) if is == expected => {}
            (Some(is), Some(expected)) => {
                let json = |f: &Finding| serde_json::to_string_pretty(f).expect("JSON");
                let (is, expected) = (json(is), json(expected));
                let diff = similar::TextDiff::from_lines(&expected, &is);
                let changed =
                    diff.iter_all_changes().filter(|c| c.tag() != similar::ChangeTag::Equal).take(8);
                let lines: Vec<String> =
                    changed.map(|c| format!("    {} {}", c.tag(), c.value().trim())).collect();
                let title = serde_json::from_str::<Finding>(&is).map(|f| f.code).unwrap_or_default();
                out.push_str(&format!("  {id} {title} (- was, + is)\n{}\n", lines.join("\n")));
            }
            (Some(new), None) => out.push_str(&format!(
                "  new: {} {:?} {} {} {}\n",
                new.code,
                new.severity(),
                new.title,
                new.resolution,
                new.root
                    .as_ref()
                    .map(|r| format!("{} {}/{}", r.kind, r.namespace, r.name))
                    .unwrap_or_default()
            )),
            (None, Some(gone)) => out.push_str(&format!("  gone: {} {}\n", gone.code, gone.title)),
            (None, None) => {}
        }
    }
    out
}
