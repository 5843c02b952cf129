//! Why a watch does not get what it asks for, and what to do about it.

use kube::{error::Status, runtime::watcher};
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

/// What to do after a watch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Tell, wait and go on.
    Trouble(Trouble),
    /// Wait and go on; it is too common to speak of.
    Passing(String),
    /// What came since the last list is lost: list anew.
    Expired,
}

impl Failure {
    pub(crate) fn of(resource: Resource, error: &watcher::Error) -> Failure {
        use watcher::Error as Watch;
        let inner = match error {
            Watch::InitialListFailed(inner) | Watch::WatchStartFailed(inner) | Watch::WatchFailed(inner) => {
                inner
            }
            Watch::WatchError(status) => return Failure::answered(resource, status),
            Watch::NoResourceVersion => {
                return Failure::Trouble(Trouble::Unreadable { resource, reason: error.to_string() });
            }
        };
        let reason = reason(inner);
        match inner {
            kube::Error::Api(status) => Failure::answered(resource, status),
            // A connection that was cut in the middle. If there is more to it, the next one fails to start.
            kube::Error::ReadEvents(_) | kube::Error::Service(_) | kube::Error::HyperError(_)
                if matches!(error, Watch::WatchFailed(_)) =>
            {
                Failure::Passing(reason)
            }
            kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::Auth(_) => {
                Failure::Trouble(Trouble::Unreachable { reason })
            }
            _ => Failure::Trouble(Trouble::Unreadable { resource, reason }),
        }
    }

    fn answered(resource: Resource, status: &Status) -> Failure {
        match status.code {
            401 => Failure::Trouble(Trouble::Unauthorized),
            403 => Failure::Trouble(Trouble::Forbidden { resource }),
            404 => Failure::Trouble(Trouble::NotServed { resource }),
            410 => Failure::Expired,
            code => {
                let reason = text::message(&format!("it says {code} {}", status.message)).into_owned();
                Failure::Trouble(Trouble::Unreadable { resource, reason })
            }
        }
    }
}

/// The innermost cause, as the outer ones repeat it in their messages.
fn reason(error: &kube::Error) -> String {
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
