//! What can go wrong before a rule is ready to be called.

use kwhy_core::rule::Failure;

/// The sandbox itself cannot be set up; no rule is at fault.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The runtime refuses its configuration on this machine.
    #[error("the WebAssembly runtime cannot start on this machine: {message}")]
    Runtime {
        /// What the runtime says.
        message: String,
    },
    /// No thread for the watchdog.
    #[error("cannot start the watchdog thread")]
    Watchdog(#[source] std::io::Error),
}

/// Why a file is not taken as a rule. Each says which file and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Larger than the limit.
    #[error(
        "{file}: is {size} bytes long, a rule may have {limit}; strip debug information (`strip = true`), or raise \
         the size limit of this rule"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// Its length.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Native code of a WebAssembly runtime.
    #[error(
        "{file}: is compiled native code, which cannot be checked and is never taken; give the .wasm file it was \
         made from"
    )]
    Precompiled {
        /// The file.
        file: String,
    },
    /// Not WebAssembly, or broken.
    #[error("{file}: {message}")]
    Broken {
        /// The file.
        file: String,
        /// What is wrong and, where known, what to do.
        message: String,
    },
    /// It wants something that a rule is not given.
    #[error(
        "{file}: imports `{import}`{others}, which asks for {wants}; a rule is given nothing but \
         kwhy:rules/{{graph,history,state,log}}; {advice}"
    )]
    Import {
        /// The file.
        file: String,
        /// The import that says most.
        import: String,
        /// ` and N more`, or empty.
        others: String,
        /// What kind of thing the import gives: `files`.
        wants: &'static str,
        /// How to build without it.
        advice: &'static str,
    },
    /// It is made for another version of the contract.
    #[error(
        "{file}: is made for {found}, this kwhy speaks kwhy:rules@0.1; rebuild the rule with the kwhy-sdk of this \
         version, or use the kwhy it was made for"
    )]
    Version {
        /// The file.
        file: String,
        /// The name it uses.
        found: String,
    },
    /// WebAssembly, but no rule.
    #[error("{file}: is not a rule: {message}; build it with kwhy-sdk or against wit/0.1.0/kwhy-rules.wit")]
    NotARule {
        /// The file.
        file: String,
        /// What is missing.
        message: String,
    },
    /// It fails while it is asked what it is.
    #[error("{file}: cannot say what it is: the rule {failure}")]
    Describe {
        /// The file.
        file: String,
        /// How the call ended.
        failure: Failure,
    },
    /// What it says of itself breaks the contract.
    #[error("{file}: describes itself wrongly: {message}")]
    Descriptor {
        /// The file.
        file: String,
        /// Which rule of the contract.
        message: String,
    },
    /// It does not take its configuration.
    #[error("{file}: rule {rule}: configuration: the rule {failure}")]
    Configure {
        /// The file.
        file: String,
        /// Name of the rule.
        rule: String,
        /// How the call ended.
        failure: Failure,
    },
    /// It is given a configuration and takes none.
    #[error("{file}: rule {rule} takes no configuration; remove it")]
    TakesNoConfiguration {
        /// The file.
        file: String,
        /// Name of the rule.
        rule: String,
    },
    /// Two rules of one name.
    #[error("{file}: a rule named {rule} is already loaded from {first}; load only one of them")]
    Duplicate {
        /// The file.
        file: String,
        /// Name of the rule.
        rule: String,
        /// The file that has it.
        first: String,
    },
}
