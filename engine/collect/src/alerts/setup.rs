//! Why the receiver cannot start: each error names the file or address and what to do.

use std::{io, path::PathBuf};

use crate::web::ListenError;

/// Something in the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A file cannot be read.
    #[error("{key}: cannot read {}", path.display())]
    Read {
        /// The key of the configuration that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{key}: {} {problem}", path.display())]
    Content {
        /// The key of the configuration that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is the matter and what should stand there.
        problem: String,
    },
    /// A value cannot be used.
    #[error("{key}: {problem}")]
    Value {
        /// The key of the configuration.
        key: &'static str,
        /// What is the matter and what should stand there.
        problem: String,
    },
    /// The address is taken, or not of this machine.
    #[error(transparent)]
    Listen(#[from] ListenError),
}
