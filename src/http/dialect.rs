//! From a `Failure` to a response in the caller's protocol: the one place that does.

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{self, HeaderValue};

use crate::error::Failure;
use crate::provider::claude;

pub use crate::relay::stream::X_REQUEST_ID;

/// Anthropic's error object, with what its clients obey: `retry-after` and `x-should-retry`.
pub fn anthropic(failure: &Failure, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(claude::error_body(failure, request_id)));
    *response.status_mut() = failure.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = failure.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(should) = failure.should_retry {
        headers.insert(
            "x-should-retry",
            HeaderValue::from_static(if should { "true" } else { "false" }),
        );
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}
