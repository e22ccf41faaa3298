//! The console below `/admin-next/`: static files of `admin-spa/`, the same for everybody. They contain no data;
//! the pages load it through the API.
//!
//! The native binary embeds the files. For the Worker, Cloudflare serves them from its static assets, and only
//! requests for missing files get here.

#[cfg(not(target_arch = "wasm32"))]
mod embedded;
#[cfg(target_arch = "wasm32")]
#[path = "console/elsewhere.rs"]
mod embedded;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};

pub(super) use embedded::{BUILT, HERE, page};

/// The console's path.
pub(super) const HOME: &str = "/admin-next/";

/// The page where key holders see their key's statistics, as in CRS.
pub(super) const STATISTICS: &str = "/admin-next/api-stats";

/// Redirects a browser to the console.
pub(super) fn redirect() -> Response<Body> {
    redirect_to(HeaderValue::from_static(HOME))
}

/// Redirects a browser to a page of the console.
pub(super) fn redirect_to(page: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, page);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether the request comes from a browser that navigates to a page.
pub(super) fn takes_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

/// Whether the path belongs to the console.
pub(super) fn is_below(path: &str) -> bool {
    path.strip_prefix("/admin-next")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
