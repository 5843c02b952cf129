//! What the pack holds true, to take it back when nothing shows it any more.

use kwhy_sdk::{Clearing, Diagnosis, ObjectRef, Verdict, World, hours};

const KEY: &str = "held";
const KEEP: u64 = hours(24 * 30);

/// Code, kind, namespace and name of a root.
type Entry = (String, String, String, String);

/// Says what was found now and takes back what is held of it no more.
pub(crate) fn reconcile(world: &World<'_>, found: Vec<Diagnosis>, verdict: &mut Verdict) {
    let held: Vec<Entry> = world.recall(KEY).unwrap_or_default();
    let entry = |d: &Diagnosis| -> Entry {
        (d.code.clone(), d.root.kind.clone(), d.root.namespace.clone(), d.root.name.clone())
    };
    let now: Vec<Entry> = found.iter().map(entry).collect();
    for (code, kind, namespace, name) in held.iter().filter(|h| !now.contains(h)) {
        let root = ObjectRef::new(kind, namespace, name);
        verdict.cleared.push(Clearing::new(code, &root, "nothing has told of it for a while"));
    }
    if now.is_empty() && !held.is_empty() {
        world.forget(KEY);
    } else if now != held {
        world.remember(KEY, &now, KEEP);
    }
    verdict.diagnoses.extend(found);
}

/// Whether anything is held true.
pub(crate) fn any(world: &World<'_>) -> bool {
    world.recall::<Vec<Entry>>(KEY).is_some_and(|held| !held.is_empty())
}
