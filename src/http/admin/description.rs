//! The API's description, `/openapi.json`.
//!
//! `scripts/update-openapi` generates it from the code, and a test compares the two. It is generated in advance,
//! because the generator would be a tenth of the Worker's size.

use axum::response::IntoResponse;
use http::header;

pub(super) const OPENAPI: &str = include_str!("../../../assets/openapi.json");

pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
