//! What a rule is to the core: the contract of `wit/` in plain types, without a word of WebAssembly.
//!
//! The core decides when a rule is called and what its verdict does; [`Rules`] only carries a call into the
//! sandbox and back.

use kwhy_proto::v1::ObjectRef;
use serde::{Deserialize, Serialize};

use crate::{state::StateTable, wire, world::World};

/// What a rule says of itself when it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Name of the rule or pack, `coredns`.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// sha256 of the rule file, hex; filled in by the sandbox.
    pub digest: String,
    /// Every code it may diagnose.
    pub codes: Vec<CodeInfo>,
    /// What it wants to be called with.
    pub subscriptions: Vec<Subscription>,
    /// JSON Schema of its configuration; empty if it takes none.
    pub config_schema: String,
}

/// One cause a rule knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeInfo {
    /// `pack.cause`.
    pub code: String,
    /// One line for a list of causes.
    pub title: String,
    /// Versions of the software that can show it.
    pub versions: String,
    /// Where the cause is described.
    pub references: Vec<String>,
}

/// One interest of a rule. All that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// event, object, alert, kubelet or log.
    pub source: String,
    /// Globs over event reasons, alert names or ADDED/MODIFIED/DELETED; empty for all.
    pub names: Vec<String>,
    /// For kubelet and log: any must match.
    pub patterns: Vec<Pattern>,
    /// Kinds of the subject; empty for all.
    pub kinds: Vec<String>,
    /// Globs over the subject's namespace; empty for all.
    pub namespaces: Vec<String>,
    /// Globs over the name of the subject or of its top-level owner; empty for all.
    pub workloads: Vec<String>,
}

/// A log line that a rule wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Becomes the signal's name.
    pub id: String,
    /// Must occur in the line; cheap, so required.
    pub literal: String,
    /// Checked where the literal occurs; empty for no further check. Named groups become fields.
    pub regex: String,
}

/// A signal as a rule sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RuleSignal {
    /// Stable over redelivery and replay.
    pub id: String,
    /// event, object, alert, kubelet, log or timer.
    pub source: String,
    /// Event reason, alert name, pattern id, ADDED/MODIFIED/DELETED, timer id.
    pub name: String,
    /// firing/resolved, Normal/Warning, I/W/E/F, listed/watched.
    pub state: String,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// What it is about.
    #[serde(with = "wire")]
    pub subject: Option<ObjectRef>,
    /// The event's message, the log line without its header.
    pub message: String,
    /// Sorted by name.
    pub fields: Vec<(String, String)>,
}

/// What every call is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Log time of the call, milliseconds since the Unix epoch.
    pub now: u64,
    /// Name of the cluster.
    pub cluster: String,
}

/// A reason for or against a diagnosis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Id of the signal it is taken from.
    pub signal: Option<String>,
    /// The object it speaks of.
    #[serde(with = "wire")]
    pub object: Option<ObjectRef>,
    /// The telling words.
    pub excerpt: String,
    /// > 0 for, < 0 against.
    pub weight: i8,
    /// What the excerpt shows.
    pub note: String,
}

/// A way to mend the cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// What to do.
    pub text: String,
    /// What to type, one command a line; may be empty.
    pub command: String,
    /// How it can hurt; may be empty.
    pub caution: String,
}

/// Signals that a cause accounts for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explains {
    /// Glob over the source: alert or event.
    pub source: String,
    /// Glob over alert names or event reasons.
    pub name: String,
    /// Where the reach is measured from; the root where none.
    #[serde(with = "wire")]
    pub anchor: Option<ObjectRef>,
    /// self, owners, owned, workload, node, on-node, users, namespace or cluster.
    pub reach: String,
}

/// One object on the way from the root towards the symptoms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The object.
    #[serde(with = "wire")]
    pub object: ObjectRef,
    /// How it hangs on the step before; empty for the root.
    pub relation: String,
    /// What is the matter with it; the core fills in an empty one from the object's status.
    pub note: String,
    /// The signal that tells so.
    pub signal: Option<String>,
}

/// A cause that a rule has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// `pack.cause`.
    pub code: String,
    /// The object to mend.
    #[serde(with = "wire")]
    pub root: ObjectRef,
    /// critical, warning or info.
    pub severity: String,
    /// 0 to 100.
    pub confidence: u8,
    /// One line: the cause and where.
    pub title: String,
    /// What happens and why, in a few sentences.
    pub explanation: String,
    /// For and against.
    pub evidence: Vec<Evidence>,
    /// What it accounts for.
    pub explains: Vec<Explains>,
    /// From the root towards the symptoms.
    pub path: Vec<Step>,
    /// Codes on the same root whose finding goes on under this one.
    pub supersedes: Vec<String>,
    /// Best first.
    pub remedies: Vec<Remedy>,
}

/// A cause that was considered and ruled out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// `pack.cause`.
    pub code: String,
    /// Where it was looked for.
    #[serde(with = "wire")]
    pub root: ObjectRef,
    /// The reason, for a reader to check.
    pub because: String,
    /// What speaks for and against.
    pub evidence: Vec<Evidence>,
}

/// A diagnosis whose condition no longer holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clearing {
    /// Its code.
    pub code: String,
    /// Its root.
    pub root: ObjectRef,
    /// What ended it.
    pub because: String,
}

/// A timer that a rule asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wake {
    /// Comes back as the signal's name.
    pub id: String,
    /// Comes back as the signal's subject.
    pub subject: Option<ObjectRef>,
    /// Log time, milliseconds since the Unix epoch.
    pub at: u64,
}

/// What a rule says about the signals it was called with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Causes found.
    pub diagnoses: Vec<Diagnosis>,
    /// Causes ruled out.
    pub rejections: Vec<Rejection>,
    /// Causes that are over.
    pub cleared: Vec<Clearing>,
    /// Timers wanted.
    pub wakes: Vec<Wake>,
}

/// One call of a rule: everything it can see.
#[derive(Debug, Clone)]
pub struct Call {
    /// Log time and cluster.
    pub context: Context,
    /// Signals it subscribed to, in order.
    pub signals: Vec<RuleSignal>,
    /// Graph and history at this point of the log; cheap to clone.
    pub world: World,
    /// The rule's own memory; cheap to clone.
    pub state: StateTable,
}

/// What came back from a call that returned ok.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// What the rule says.
    pub verdict: Verdict,
    /// Its memory after the call; replaces the old one.
    pub state: StateTable,
    /// Fuel used, an instruction count that is the same on every machine.
    pub fuel: u64,
    /// What it wrote to its log at level debug. Nothing follows from it; it is for who asks what a rule was thinking.
    pub thoughts: Vec<String>,
}

/// Why a call gave nothing. Decided by fuel and limits, never by a clock, so it is the same in a replay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It used up its instruction budget.
    #[error("used up its fuel ({fuel} instructions): it loops or does too much in one call")]
    Fuel {
        /// The budget of the call.
        fuel: u64,
    },
    /// It wanted more memory than it may have.
    #[error("wanted more than {limit_mib} MiB of memory")]
    Memory {
        /// The limit.
        limit_mib: u64,
    },
    /// It panicked or trapped.
    #[error("panicked: {message}")]
    Trap {
        /// What it or the runtime said last.
        message: String,
    },
    /// It called the host too often.
    #[error("made more than {limit} host calls in one call")]
    HostCalls {
        /// The limit.
        limit: u64,
    },
    /// What it returned breaks a limit or the contract.
    #[error("returned what it may not: {message}")]
    BadOutput {
        /// Which rule of the contract.
        message: String,
    },
    /// It returned an error of its own.
    #[error("said: {message}")]
    Refused {
        /// Its words.
        message: String,
    },
    /// The host was too slow; not the rule's fault and not reproducible, so it never becomes part of a finding.
    #[error("was stopped by the watchdog after {millis} ms of wall time")]
    Watchdog {
        /// How long it had run.
        millis: u64,
    },
}

/// The loaded rules. The sandbox implements it; tests implement it natively.
pub trait Rules {
    /// What the rules say of themselves, in the fixed order by which they are called.
    fn descriptors(&self) -> &[Descriptor];

    /// Calls one rule. `rule` is an index into [`Rules::descriptors`].
    ///
    /// # Errors
    /// The [`Failure`] that ended the call; nothing it wrote is kept then.
    fn examine(&mut self, rule: usize, call: Call) -> Result<Reply, Failure>;
}
