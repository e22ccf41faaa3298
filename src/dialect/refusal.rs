//! An error answer of the relay in a client's protocol.

use http::StatusCode;

use crate::error::Failure;

/// Status, headers and body of an error answer of the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub body: String,
    /// `x-should-retry`.
    pub should_retry: Option<bool>,
    /// `retry-after`, seconds.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// Combines this body with the failure's status and headers.
    pub fn of(failure: &Failure, body: String) -> Self {
        Self {
            status: failure.status,
            body,
            should_retry: failure.should_retry,
            retry_after: failure.retry_after,
        }
    }
}
