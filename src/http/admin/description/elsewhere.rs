//! On the edge: Cloudflare's static assets serve `/openapi.json` before the Worker is asked.

use crate::http::api_error::ApiError;

pub(super) async fn openapi() -> ApiError {
    ApiError::not_found("file; deploy the Worker with its static assets (scripts/deploy)")
}
