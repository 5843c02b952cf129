//! Testing a rule without a host: a cluster in memory, signals fed to the rule as its subscriptions ask, and what it
//! says in the end.
//!
//! ```
//! use kwhy_sdk::{Descriptor, Diagnosis, ObjectRef, Rule, Signal, Subscription, Verdict, World, testkit::{Bench, Input}};
//! use serde_json::json;
//!
//! #[derive(Default)]
//! struct Evicted;
//! impl Rule for Evicted {
//!     fn describe(&self) -> Descriptor {
//!         Descriptor::new("evicted", "1.0.0").wants(Subscription::events(&["Evicted"]))
//!     }
//!     fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
//!         let node = signal.subject.as_ref().and_then(|pod| world.related(pod, "node").into_iter().next());
//!         let diagnoses = node.map(|n| Diagnosis::new("evicted.node-pressure", n)).into_iter().collect();
//!         Ok(Verdict { diagnoses, ..Verdict::default() })
//!     }
//! }
//!
//! let mut bench = Bench::<Evicted>::new();
//! let pod = ObjectRef::new("Pod", "shop", "cart-0");
//! bench.feed(&Input::listed(0, json!({"kind": "Node", "metadata": {"name": "kal"}})))?;
//! bench.feed(&Input::listed(0, json!({"kind": "Pod", "metadata": {"namespace": "shop", "name": "cart-0"}, "spec": {"nodeName": "kal"}})))?;
//! bench.feed(&Input::event(1000, &pod, "Evicted", "Warning", "The node was low on resource: memory.", 1))?;
//! assert!(bench.standing("evicted.node-pressure").is_some_and(|d| d.root.name == "kal"));
//! # Ok::<(), String>(())
//! ```

mod bench;
mod capture;
mod cluster;
mod input;
mod relation;
#[cfg(test)]
mod tests;

pub use bench::Bench;
pub use capture::{CaptureError, read_capture};
pub use cluster::Cluster;
pub use input::Input;

/// All that a person reads of a diagnosis: title, explanation, remedies, evidence.
#[must_use]
pub fn words(diagnosis: &crate::Diagnosis) -> String {
    let mut all = claims(diagnosis);
    for evidence in &diagnosis.evidence {
        all.extend([evidence.excerpt.as_str(), " | ", evidence.note.as_str(), "\n"]);
    }
    all
}

/// What a diagnosis claims: the same without the evidence, which cites others.
#[must_use]
pub fn claims(diagnosis: &crate::Diagnosis) -> String {
    let mut all = format!("{}\n{}\n", diagnosis.title, diagnosis.explanation);
    for remedy in &diagnosis.remedies {
        all.extend([
            remedy.text.as_str(),
            "\n",
            remedy.command.as_str(),
            "\n",
            remedy.caution.as_str(),
            "\n",
        ]);
    }
    all
}

/// Whether `text` matches a glob as a whole: `*` any run of characters, `?` one.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = pattern.get(first.len_utf8()..).unwrap_or("");
    match first {
        '*' => text.char_indices().any(|(at, _)| glob(rest, text.get(at..).unwrap_or(""))) || glob(rest, ""),
        _ => text.chars().next().is_some_and(|c| {
            (first == '?' || c == first) && glob(rest, text.get(c.len_utf8()..).unwrap_or(""))
        }),
    }
}

/// Whether any glob matches; none at all means everything does.
pub(crate) fn any_glob(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|p| glob(p, text))
}
