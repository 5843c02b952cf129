//! What the pack remembers: what it holds true, and how often each pod's volumes were mentioned.

use kwhy_sdk::{Clearing, Diagnosis, ObjectRef, Verdict, World, hours};

const KEY: &str = "held";
const KEEP: u64 = hours(24 * 30);

type Entry = (String, String, String, String);

/// Codes and roots, sorted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Held(Vec<Entry>);

fn entry(code: &str, root: &ObjectRef) -> Entry {
    (code.to_owned(), root.kind.clone(), root.namespace.clone(), root.name.clone())
}

impl Held {
    pub(crate) fn load(world: &World<'_>) -> Self {
        Self(world.recall(KEY).unwrap_or_default())
    }

    pub(crate) fn holds(&self, code: &str, root: &ObjectRef) -> bool {
        self.0.contains(&entry(code, root))
    }

    /// Roots of which the code is held true.
    pub(crate) fn roots(&self, code: &str) -> Vec<ObjectRef> {
        let all = self.0.iter().filter(|(c, ..)| c == code);
        all.map(|(_, kind, namespace, name)| ObjectRef::new(kind, namespace, name)).collect()
    }

    /// Says the diagnosis and remembers it.
    pub(crate) fn assert(&mut self, verdict: &mut Verdict, diagnosis: Diagnosis) {
        let entry = entry(&diagnosis.code, &diagnosis.root);
        if let Err(place) = self.0.binary_search(&entry) {
            self.0.insert(place, entry);
        }
        verdict.diagnoses.push(diagnosis);
    }

    /// Takes the codes back where they are held true of the root.
    pub(crate) fn clear(&mut self, verdict: &mut Verdict, codes: &[&str], root: &ObjectRef, because: &str) {
        for code in codes {
            let gone = entry(code, root);
            if let Ok(place) = self.0.binary_search(&gone) {
                self.0.remove(place);
                verdict.cleared.push(Clearing::new(code, root, because));
            }
        }
    }

    /// Drops codes that another one carries on at the same root.
    pub(crate) fn forget(&mut self, codes: &[String], root: &ObjectRef) {
        self.0.retain(|e| !codes.iter().any(|code| *e == entry(code, root)));
    }

    /// Writes it down where it has changed.
    pub(crate) fn save(&self, world: &World<'_>, before: &Self) {
        if self == before {
            return;
        }
        if self.0.is_empty() {
            world.forget(KEY);
        } else {
            world.remember(KEY, &self.0, KEEP);
        }
    }
}
