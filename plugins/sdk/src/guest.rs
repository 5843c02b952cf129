//! The component side: the host's imports as a [`Host`], one rule per instance, and panics that say what they were.
//! Reached through [`export!`](crate::export) only.

use std::{cell::RefCell, sync::Once};

use crate::{
    Context, Descriptor, Host, Level, Neighbour, ObjectRef, Rule, Signal, StateError, Verdict,
    bindings::kwhy::rules::{graph, history, log, state},
};

/// The one instance of a rule; kept between calls because `configure` may have shaped it.
pub type Slot<R> = RefCell<Option<R>>;

/// Runs `describe` of the rule.
pub fn describe<R: Rule + Default>(slot: &Slot<R>) -> Descriptor {
    with(slot, |rule| rule.describe())
}

/// Hands the configuration to the rule.
///
/// # Errors
/// The rule's own words.
pub fn configure<R: Rule + Default>(slot: &Slot<R>, json: &str) -> Result<(), String> {
    with(slot, |rule| rule.configure(json))
}

/// Hands signals to the rule.
///
/// # Errors
/// The rule's own words.
pub fn examine<R: Rule + Default>(
    slot: &Slot<R>,
    context: &Context,
    signals: &[Signal],
) -> Result<Verdict, String> {
    with(slot, |rule| crate::examine(rule, &Imports, context, signals))
}

fn with<R: Rule + Default, T>(slot: &Slot<R>, run: impl FnOnce(&mut R) -> T) -> T {
    static HOOK: Once = Once::new();
    // A panic ends in a trap that carries no message: the log line is all that an author gets to see.
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| log::write(Level::Error, &info.to_string()))));
    run(slot.borrow_mut().get_or_insert_with(R::default))
}

/// The world as the host shows it.
struct Imports;

impl Host for Imports {
    fn exists(&self, id: &ObjectRef) -> bool {
        graph::exists(id)
    }
    fn neighbours(&self, id: &ObjectRef, relation: &str, limit: u32) -> Vec<Neighbour> {
        graph::neighbours(id, relation, limit)
    }
    fn owners(&self, id: &ObjectRef) -> Vec<ObjectRef> {
        graph::owners(id)
    }
    fn read(&self, id: &ObjectRef, pointer: &str) -> Option<String> {
        graph::read(id, pointer)
    }
    fn list_kind(&self, kind: &str, namespace: &str, limit: u32) -> Vec<ObjectRef> {
        graph::list_kind(kind, namespace, limit)
    }
    fn about(
        &self,
        id: &ObjectRef,
        reach: &str,
        source: &str,
        name: &str,
        since: u64,
        limit: u32,
    ) -> Vec<Signal> {
        history::about(id, reach, source, name, since, limit)
    }
    fn changes(&self, id: &ObjectRef, reach: &str, since: u64, limit: u32) -> Vec<Signal> {
        history::changes(id, reach, since, limit)
    }
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        state::get(key)
    }
    fn set(&self, key: &str, value: &[u8], ttl: u64) -> Result<(), StateError> {
        state::set(key, value, ttl)
    }
    fn delete(&self, key: &str) {
        state::delete(key);
    }
    fn log(&self, level: Level, message: &str) {
        log::write(level, message);
    }
}
