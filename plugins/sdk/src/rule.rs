//! What an author writes.

use crate::{Context, Descriptor, Host, Signal, Verdict, World};

/// A rule or a pack of rules. Only what [`World`] keeps with [`World::remember`] survives from call to call for sure:
/// the host may throw an instance away at any time, then makes and configures a new one.
pub trait Rule {
    /// Name, version, causes known, signals wanted. Called where no world can be seen.
    fn describe(&self) -> Descriptor;

    /// Takes the rule's own configuration; none is expected unless [`Descriptor::config_schema`] says so.
    ///
    /// # Errors
    /// What is wrong with it and what would be right, for the person who wrote it.
    fn configure(&mut self, json: &str) -> Result<(), String> {
        if json.trim().is_empty() || json.trim() == "{}" || json.trim() == "null" {
            Ok(())
        } else {
            Err(format!("{} takes no configuration, but was given {json}", self.describe().name))
        }
    }

    /// Says what one signal means, in the light of all that the world shows. Signals come in the order of their times,
    /// timers among them with source `timer`.
    ///
    /// # Errors
    /// Why nothing can be said; what was remembered during the call is lost then.
    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String>;
}

/// Hands signals to a rule one by one and merges what it says, as a component does in `examine`.
///
/// # Errors
/// The rule's first error.
pub fn examine(
    rule: &dyn Rule,
    host: &dyn Host,
    context: &Context,
    signals: &[Signal],
) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    let world = World::new(host, context);
    for signal in signals {
        verdict.merge(rule.on_signal(&world, signal)?);
    }
    Ok(verdict)
}
