//! A cause that holds or has held: what the core knows of a finding before it is written down.

use std::{collections::BTreeSet, fmt::Write, sync::Arc};

use imbl::OrdSet;
use kwhy_proto::v1;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    change::Change,
    graph::Graph,
    key::{Key, Parts},
    reach::Reach,
    rule::{Diagnosis, Explains},
    wire,
};

/// Source by which a diagnosis says that it explains other findings: `name` is a glob over their codes, and their root
/// stands within the reach.
pub(crate) const FINDING: &str = "finding";

/// What an incident is found by: its root as something that outlives pods, and its code.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct IncidentKey {
    pub(crate) root: Key,
    pub(crate) code: String,
}

impl IncidentKey {
    pub(crate) fn new(graph: &Graph, root: &v1::ObjectRef, code: &str) -> Self {
        Self { root: stable(graph, &Key::from(root)), code: code.to_owned() }
    }
}

/// The object that stays when pods come and go: of a pod or ReplicaSet the top-level owner, else the object itself.
pub(crate) fn stable(graph: &Graph, root: &Key) -> Key {
    match root.kind.as_str() {
        "Pod" | "ReplicaSet" | "Job" => graph.top(root),
        _ => root.clone(),
    }
}

/// Why a finding is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resolution {
    pub(crate) at: u64,
    pub(crate) because: String,
    pub(crate) fix: Option<Arc<Change>>,
}

/// One cause on one root, over all its revisions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// Of the finding; kept when another diagnosis carries it on.
    pub(crate) id: String,
    pub(crate) episode: u32,
    /// Index of the rule; None where the core itself speaks.
    pub(crate) rule: Option<usize>,
    /// As last made.
    pub(crate) diagnosis: Arc<Diagnosis>,
    /// Its evidence with times and places filled in while the history still had them.
    #[serde(with = "wire")]
    pub(crate) evidence: Arc<Vec<v1::Evidence>>,
    pub(crate) onset: u64,
    pub(crate) opened: u64,
    pub(crate) asserted: u64,
    /// When the rule said that it no longer holds, and why.
    pub(crate) cleared: Option<(u64, String)>,
    /// Keys of the symptoms folded under it, past ones too.
    pub(crate) symptoms: BTreeSet<String>,
    /// What it explains, spelled out on the graph; one a line of `diagnosis.explains`.
    pub(crate) reaches: Arc<Vec<Reach>>,
    /// Objects outside of the reaches whose edges led to what is in them.
    pub(crate) passed: OrdSet<Key>,
    /// What the symptoms were last folded by; None where that is not known or of no use.
    pub(crate) folded_by: Option<Arc<FoldedBy>>,
    /// The tree from root to symptoms.
    #[serde(with = "wire")]
    pub(crate) path: Arc<Vec<v1::PathStep>>,
    /// Its objects, which are watched.
    pub(crate) tree: Arc<BTreeSet<Key>>,
    /// What the tree was last made from; None where that has changed, or may have while the incident was over.
    pub(crate) path_of: Option<Arc<MadeFrom>>,
    /// Whether an object of the tree was ill when last looked at, and when that ended.
    pub(crate) ill: bool,
    pub(crate) ill_until: Option<u64>,
    /// Since when nothing shows it any more; it resolves a hold-down later.
    pub(crate) quiet: Option<u64>,
    pub(crate) flaps: u32,
    pub(crate) resolved: Option<Resolution>,
    pub(crate) superseded: Vec<String>,
    /// Id of the finding it is folded under.
    pub(crate) under: Option<String>,
}

/// What decides which tree an incident has, besides what its rule says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MadeFrom {
    /// The objects with symptoms.
    pub(crate) targets: BTreeSet<Key>,
    /// The objects whose edges were looked at.
    pub(crate) seen: OrdSet<Key>,
}

/// Everything about an incident that decides which symptoms it accounts for, and how well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoldedBy {
    pub(crate) confidence: u8,
    pub(crate) onset: u64,
    /// Its rule has taken it back.
    pub(crate) withdrawn: bool,
    pub(crate) explains: Vec<Explains>,
    pub(crate) reaches: Arc<Vec<Reach>>,
}

impl FoldedBy {
    /// Whether it has a say about symptoms of that object.
    pub(crate) fn reaches(&self, key: &Key) -> bool {
        self.reaches.iter().any(|reach| reach.holds(key))
    }
}

impl Incident {
    /// Whether what it explains, or its tree, may be another since edges of these objects came or went.
    pub(crate) fn stands_on(&self, moved: &BTreeSet<Key>) -> bool {
        let within =
            |key: &Key| self.reaches.iter().any(|r| matches!(r, Reach::Objects(set) if set.contains(key)));
        moved.iter().any(|key| within(key) || self.passed.contains(key) || self.watches(key))
    }

    /// Whether its tree may be another since edges of these objects came or went.
    pub(crate) fn tree_stands_on(&self, moved: &BTreeSet<Key>) -> bool {
        let made_from = self.path_of.as_ref();
        made_from.is_some_and(|from| moved.iter().any(|key| from.seen.contains(key) || self.watches(key)))
    }

    pub(crate) fn open(&self) -> bool {
        self.resolved.is_none()
    }

    /// Whether it may account for symptoms or findings.
    pub(crate) fn explains_anything(&self) -> bool {
        !self.diagnosis.explains.is_empty()
    }

    /// Whether it may have other findings as its effects.
    pub(crate) fn explains_findings(&self) -> bool {
        self.diagnosis.explains.iter().any(|e| e.source == FINDING)
    }

    pub(crate) fn watches(&self, key: &Key) -> bool {
        self.tree.contains(key)
    }
}

/// The finding's id: a hash of what stays the same over text, arrival order and pod names.
pub(crate) fn id(cluster: &str, key: &IncidentKey, episode: u32) -> String {
    let Parts { kind, namespace, name, .. } = &*key.root;
    let mut hash = Sha256::new();
    for part in [cluster, &key.code, kind, namespace, name, &episode.to_string()] {
        // Lengths keep `a`+`bc` and `ab`+`c` apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut id = String::from("f");
    for byte in hash.finalize().iter().take(10) {
        let _ = write!(id, "{byte:02x}");
    }
    id
}
