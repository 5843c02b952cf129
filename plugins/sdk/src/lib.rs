//! The kit for writing kwhy rules in Rust.
//!
//! A rule looks at signals it subscribed to and says what they mean. It sees the cluster through a [`World`] and
//! nothing else: no clock, no network, no files. In a component the world is the host's imports; in a unit test it is
//! a [`testkit::Cluster`] in memory, so a rule is tested with plain `cargo test`.
//!
//! ```
//! use kwhy_sdk::{Descriptor, Diagnosis, Rule, Signal, Subscription, Verdict, World};
//!
//! #[derive(Default)]
//! struct Evicted;
//!
//! impl Rule for Evicted {
//!     fn describe(&self) -> Descriptor {
//!         Descriptor::new("evicted", env!("CARGO_PKG_VERSION"))
//!             .code("evicted.node-pressure", "The kubelet evicted a pod", "any", &[])
//!             .wants(Subscription::events(&["Evicted"]).kinds(&["Pod"]))
//!     }
//!
//!     fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
//!         let mut verdict = Verdict::default();
//!         if let Some(node) = signal.subject.as_ref().and_then(|pod| world.related(pod, "node").into_iter().next()) {
//!             let mut diagnosis = Diagnosis::new("evicted.node-pressure", node);
//!             diagnosis.confidence = 70;
//!             verdict.diagnoses.push(diagnosis);
//!         }
//!         Ok(verdict)
//!     }
//! }
//!
//! kwhy_sdk::export!(Evicted);
//! # fn main() {}
//! ```
//!
//! A pack is a crate of type `cdylib` (the module that becomes a component) and `rlib` (for its tests), built with
//! `cargo build --profile pack --target wasm32-unknown-unknown`.

mod build;
mod condition;
mod container;
mod json;
mod program;
mod rule;
mod selector;
mod stamp;
mod time;
mod world;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
#[cfg(not(target_arch = "wasm32"))]
pub mod testkit;

/// The contract of `wit/`, as wit-bindgen writes it in Rust. Everything an author needs is re-exported above it.
#[doc(hidden)]
#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::restriction,
    reason = "generated code"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        world: "rule-plugin",
        pub_export_macro: true,
        export_macro_name: "export_guest",
        default_bindings_module: "kwhy_sdk::bindings",
        additional_derives: [PartialEq, Eq, Default],
        additional_derives_ignore: ["level", "state-error"],
    });
}

pub use bindings::{
    exports::kwhy::rules::rule::{CodeInfo, Descriptor, Pattern, Subscription},
    kwhy::rules::{
        graph::Neighbour,
        log::Level,
        state::StateError,
        types::{
            Clearing, Context, Diagnosis, Evidence, Explains, Field, ObjectRef, Rejection, Remedy, Signal,
            Step, Verdict, Wake,
        },
    },
};
pub use condition::Condition;
pub use container::{command_line, flag, image_name};
pub use json::Json;
pub use program::Program;
pub use rule::{Rule, examine};
pub use selector::selects;
pub use serde_json;
pub use stamp::{is_stamp, stamp_variable};
pub use time::{clock, hours, minutes, parse_time, seconds, span, stamp};
pub use world::{Host, World};

/// Makes a [`Rule`] with a `Default` the one that this crate's component exports.
///
/// On targets other than WebAssembly it only checks that the type fits, so tests of the same crate link.
#[macro_export]
macro_rules! export {
    ($rule:ty) => {
        const _: () = {
            const fn fits<R: $crate::Rule + Default + 'static>() {}
            fits::<$rule>();
        };
        #[cfg(target_arch = "wasm32")]
        #[allow(
            unsafe_code,
            missing_docs,
            reason = "the exports that wit-bindgen writes cross the component boundary"
        )]
        const _: () = {
            struct Component;
            ::std::thread_local! {
                static RULE: $crate::guest::Slot<$rule> = ::core::default::Default::default();
            }
            impl $crate::bindings::exports::kwhy::rules::rule::Guest for Component {
                fn describe() -> $crate::Descriptor {
                    RULE.with($crate::guest::describe)
                }
                fn configure(
                    json: ::std::string::String,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    RULE.with(|slot| $crate::guest::configure(slot, &json))
                }
                fn examine(
                    context: $crate::Context,
                    signals: ::std::vec::Vec<$crate::Signal>,
                ) -> ::core::result::Result<$crate::Verdict, ::std::string::String> {
                    RULE.with(|slot| $crate::guest::examine(slot, &context, &signals))
                }
            }
    $crate::bindings::export_guest!(Component with_types_in $crate::bindings);
        };
    };
}
