//! Why a watch does not get what it asks for, and what to do about it.

use std::time::Duration;

use kube::error::Status;
use kwhy_ingest::text;

use super::Resource;

/// What keeps signals from coming. Watches go on trying: it is told so that somebody can mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// RBAC does not grant it.
    #[error("kwhy may not watch {resource}; add to its ClusterRole: {}", .resource.rule())]
    Forbidden {
        /// What was asked for.
        resource: Resource,
    },
    /// The API server does not know the kind.
    #[error(
        "the API server does not serve {resource}; rules that need it stay silent \
         (`kubectl api-resources` lists what is served)"
    )]
    NotServed {
        /// What was asked for.
        resource: Resource,
    },
    /// The API server does not accept the credentials.
    #[error("the API server refuses the credentials; check them with `kubectl auth whoami`")]
    Unauthorized,
    /// Nobody answers.
    #[error("the API server cannot be reached: {reason}; trying again")]
    Unreachable {
        /// What the connection says.
        reason: String,
    },
    /// One kind gets no answer that helps.
    #[error("cannot watch {resource}: {reason}; trying again")]
    Unreadable {
        /// What was asked for.
        resource: Resource,
        /// What the API server or the client says.
        reason: String,
    },
    /// Something came that cannot be used.
    #[error("cannot use {path}: {reason}; it is left out, and so are others of {resource} like it")]
    Unusable {
        /// Its kind.
        resource: Resource,
        /// Where it is: `kubectl get --raw PATH` shows it.
        path: String,
        /// What is the matter with it.
        reason: String,
    },
}

/// What to do after a list or a watch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Tell, wait and go on.
    Trouble(Trouble),
    /// Wait and go on; it is too common to speak of.
    Passing(String),
    /// What came since the last list is lost: list anew.
    Expired,
    /// Something of a stream cannot be read, so what it said is lost: list anew.
    Garbled(Trouble),
}

impl Failure {
    /// What the answer to a request says.
    pub(crate) fn of(resource: &Resource, error: &kube::Error) -> Failure {
        match error {
            kube::Error::Api(status) => Failure::answered(resource, status),
            kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::Auth(_) => {
                Failure::Trouble(Trouble::Unreachable { reason: reason(error) })
            }
            _ => Failure::Trouble(Failure::unreadable(resource, reason(error))),
        }
    }

    /// What went wrong in a stream that had begun.
    pub(crate) fn within(resource: &Resource, error: &kube::Error) -> Failure {
        match error {
            // A connection that was cut in the middle. If there is more to it, the next one fails to start.
            kube::Error::ReadEvents(_) | kube::Error::Service(_) | kube::Error::HyperError(_) => {
                Failure::Passing(reason(error))
            }
            kube::Error::SerdeError(_) => Failure::Garbled(Failure::unreadable(resource, reason(error))),
            _ => Failure::of(resource, error),
        }
    }

    /// What a Status says, be it the answer itself or a line of a stream.
    pub(crate) fn answered(resource: &Resource, status: &Status) -> Failure {
        match status.code {
            401 => Failure::Trouble(Trouble::Unauthorized),
            403 => Failure::Trouble(Trouble::Forbidden { resource: resource.clone() }),
            404 => Failure::Trouble(Trouble::NotServed { resource: resource.clone() }),
            410 => Failure::Expired,
            code => {
                let reason = text::message(&format!("it says {code} {}", status.message)).into_owned();
                Failure::Trouble(Failure::unreadable(resource, reason))
            }
        }
    }

    /// No answer at all within some time.
    pub(crate) fn silent(resource: &Resource, waited: Duration) -> Failure {
        let reason = format!("no answer within {} s", waited.as_secs());
        Failure::Trouble(Failure::unreadable(resource, reason))
    }

    /// An answer that is no list.
    pub(crate) fn no_list(resource: &Resource, error: serde_json::Error) -> Failure {
        Failure::of(resource, &kube::Error::SerdeError(error))
    }

    /// A list without a version after which it could be watched.
    pub(crate) fn no_version(resource: &Resource) -> Failure {
        let reason = "the list has no resourceVersion to watch from".to_owned();
        Failure::Trouble(Failure::unreadable(resource, reason))
    }

    fn unreadable(resource: &Resource, reason: String) -> Trouble {
        Trouble::Unreadable { resource: resource.clone(), reason }
    }
}

/// The innermost cause, as the outer ones repeat it in their messages.
pub(crate) fn reason(error: &kube::Error) -> String {
    // The parser's own words quote what it stumbled over, and that may be the value of a Secret.
    if let kube::Error::SerdeError(error) = error {
        return format!(
            "the answer is not what it should be (line {}, column {})",
            error.line(),
            error.column()
        );
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    text::message(&innermost.to_string()).into_owned()
}
