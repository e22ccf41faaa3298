//! An answer that is an error of the relay's own, in a client's protocol.

use http::StatusCode;

use crate::error::Failure;

/// Status and body of an answer that is an error of our own.
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
    /// This body, and the rest as the failure has it.
    pub fn of(failure: &Failure, body: String) -> Self {
        Self {
            status: failure.status,
            body,
            should_retry: failure.should_retry,
            retry_after: failure.retry_after,
        }
    }
}
