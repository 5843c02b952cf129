//! What a sender is told when not all is well: a status and one line.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// Why a request was not taken as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) line: String,
}

impl Refusal {
    /// The sender's to mend.
    pub(super) fn of(status: StatusCode, line: impl Into<String>) -> Self {
        Self { status, line: line.into() }
    }

    /// Ours: the same may be sent again. Never 4xx, which Alertmanager takes for final.
    pub(super) fn busy(line: impl Into<String>) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, line)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (self.status, plain, format!("{}\n", self.line)).into_response()
    }
}
