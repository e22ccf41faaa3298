//! The relay's own headers on answers.

use http::HeaderName;

/// The id of a request, on every answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a call waited for a slot of its key, in milliseconds; on answers to those that had to.
pub(super) const X_QUEUE_WAIT: HeaderName = HeaderName::from_static("x-queue-wait-ms");
