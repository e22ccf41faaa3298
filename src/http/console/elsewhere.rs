//! On the edge: Cloudflare's static assets serve the files.

use axum::body::Body;
use axum::http::{HeaderMap, Response};

/// `scripts/deploy` uploads the console with the Worker.
pub(in crate::http) const BUILT: bool = true;

/// The router has none of its paths; missing assets are answered like other unknown paths.
pub(in crate::http) const HERE: bool = false;

pub(in crate::http) fn page(_path: &str, _asked: &HeaderMap) -> Option<Response<Body>> {
    None
}
