//! What the pack remembers: which codes it holds true of which nodes.

use kwhy_sdk::{Clearing, Diagnosis, ObjectRef, Verdict, World, hours};

const KEY: &str = "held";
const KEEP: u64 = hours(24 * 30);

/// Codes and nodes, sorted.
#[derive(Debug, Default)]
pub(crate) struct Held(Vec<(String, String)>);

impl Held {
    pub(crate) fn load(world: &World<'_>) -> Self {
        Self(world.recall(KEY).unwrap_or_default())
    }

    pub(crate) fn holds(&self, code: &str, node: &ObjectRef) -> bool {
        self.0.iter().any(|(c, n)| c == code && *n == node.name)
    }

    /// Nodes of which one of the codes is held true, sorted, each once.
    pub(crate) fn nodes(&self, codes: &[&str]) -> Vec<ObjectRef> {
        let mut names: Vec<&String> = Vec::new();
        for (code, name) in &self.0 {
            if codes.contains(&code.as_str()) && !names.contains(&name) {
                names.push(name);
            }
        }
        names.into_iter().map(|n| ObjectRef::new("Node", "", n)).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says the diagnosis and remembers it.
    pub(crate) fn assert(&mut self, verdict: &mut Verdict, diagnosis: Diagnosis) {
        let entry = (diagnosis.code.clone(), diagnosis.root.name.clone());
        if let Err(place) = self.0.binary_search(&entry) {
            self.0.insert(place, entry);
        }
        verdict.diagnoses.push(diagnosis);
    }

    /// Takes the codes back where they are held true of the node.
    pub(crate) fn clear(&mut self, verdict: &mut Verdict, codes: &[&str], node: &ObjectRef, because: &str) {
        let over = |(code, name): &(String, String)| *name == node.name && codes.contains(&code.as_str());
        for (code, _) in self.0.iter().filter(|e| over(e)) {
            verdict.cleared.push(Clearing::new(code, node, because));
        }
        self.0.retain(|e| !over(e));
    }

    /// Drops codes that another one carries on at the same node.
    pub(crate) fn forget(&mut self, codes: &[String], node: &ObjectRef) {
        self.0.retain(|(code, name)| !(*name == node.name && codes.contains(code)));
    }

    pub(crate) fn save(self, world: &World<'_>) {
        if self.0.is_empty() {
            world.forget(KEY);
        } else {
            world.remember(KEY, &self.0, KEEP);
        }
    }
}
