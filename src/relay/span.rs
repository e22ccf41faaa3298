//! Tracing spans of a call: every log line of the call carries its request id, its key's id and, during an attempt,
//! the account's id.
//!
//! The spans have the highest level, so they are on whenever any line of the call can be written. When logging is off,
//! creating one formats and allocates nothing. The frames of a response's body are polled outside of them: whatever a
//! body logs goes through its [`Flight`](super::flight::Flight), which enters its span for that.

use crs_durable::CallId;
use tracing::Span;
use tracing::field::Empty;

/// The id by [`request_id`](crate::dialect::call::request_id).
struct Named(CallId);

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "req_{:032x}", self.0.0)
    }
}

/// Spans one call from its arrival to its settlement. [`key_known`] fills in the key.
pub fn of_call(id: CallId) -> Span {
    tracing::error_span!("call", request = %Named(id), key = Empty)
}

/// Records the id of the call's key. Call it at most once, since text formats append values.
pub(super) fn key_known(call: &Span, key: &str) {
    call.record("key", key);
}

/// Spans one attempt on an account, within its call's span.
pub(super) fn of_attempt(call: &Span, account: &str) -> Span {
    tracing::error_span!(parent: call, "attempt", account)
}
