//! On the edge: Cloudflare's static assets have the files.

use axum::body::Body;
use axum::http::{HeaderMap, Response};

/// `scripts/deploy` uploads the console with the Worker.
pub(in crate::http) const BUILT: bool = true;

/// The router has none of its paths: one that no asset has is answered like any other that is not there.
pub(in crate::http) const HERE: bool = false;

pub(in crate::http) fn page(_path: &str, _asked: &HeaderMap) -> Option<Response<Body>> {
    None
}
