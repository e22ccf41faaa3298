//! The console below `/admin-next/`: files of `admin-spa/`, the same for everybody. They hold no data of the relay;
//! everything that a page shows it asks of the API.
//!
//! The native binary has the files in itself. In front of the Worker, Cloudflare serves them from its static assets;
//! only a file that is not there gets this far.

#[cfg(not(target_arch = "wasm32"))]
mod embedded;
#[cfg(target_arch = "wasm32")]
#[path = "console/elsewhere.rs"]
mod embedded;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};

pub(super) use embedded::{BUILT, HERE, page};

/// Where the console is.
pub(super) const HOME: &str = "/admin-next/";

/// Where key holders look at their key, as in CRS.
pub(super) const STATISTICS: &str = "/admin-next/api-stats";

/// Leads a person's browser to the console.
pub(super) fn redirect() -> Response<Body> {
    redirect_to(HeaderValue::from_static(HOME))
}

/// Leads a person's browser to a page of the console.
pub(super) fn redirect_to(page: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, page);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether a browser asks for a page, and not a program.
pub(super) fn takes_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

/// Whether a path is the console's.
pub(super) fn is_below(path: &str) -> bool {
    path.strip_prefix("/admin-next")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
