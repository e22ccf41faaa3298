//! The relay's own response headers.

use http::HeaderName;

/// The request id, on every answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The time a call waited for a slot of its key, milliseconds; only on answers of calls that waited.
pub(super) const X_QUEUE_WAIT: HeaderName = HeaderName::from_static("x-queue-wait-ms");
