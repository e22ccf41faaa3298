//! In the native binary: compressed files, found by exact name, so that requests cannot reach other files.

use std::io::Read as _;

use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use bytes::Bytes;

use super::takes_html;

/// One file of the console.
struct File {
    /// Relative to `/admin-next/`, without a leading slash.
    path: &'static str,
    /// Entity tag of the content, weak because it is the same for all encodings, RFC 9110 §8.8.3.
    tag: &'static str,
    brotli: &'static [u8],
    gzip: &'static [u8],
}

/// Made by `build.rs` from `admin-spa/embedded`.
static FILES: &[File] = &include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// Whether this binary was built with the console.
pub(in crate::http) const BUILT: bool = !FILES.is_empty();

/// The page served for every address of the console; the router of `admin-spa` handles the path.
const INDEX: &str = "index.html";

/// Files below it have a content hash in their name, so they never change.
const HASHED: &str = "assets/";

/// Shown if the binary was built without the console.
const NOT_BUILT: &str = include_str!("../../../assets/no-console.html");

/// Policy for the page without the console: only its own style.
const NOT_BUILT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer. Pages run only the console's own code, connect only to this relay, and cannot be
/// framed. `scripts/build-console` writes the same headers for static hosts, and `tests/it/console.rs` compares
/// them.
const SECURITY: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types vue",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The router has its paths.
pub(in crate::http) const HERE: bool = true;

/// The answer for a path below `/admin-next/`; `None` if nothing is there. If the console was not built, a
/// browser gets a page that says so.
pub(in crate::http) fn page(path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    if BUILT {
        served(FILES, path, asked)
    } else {
        takes_html(asked).then(not_built_page)
    }
}

fn not_built_page() -> Response<Body> {
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, NOT_BUILT_POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (StatusCode::NOT_FOUND, fixed, NOT_BUILT).into_response()
}

/// The answer for a path below `/admin-next/`; `None` if it is neither a file nor an address of a page.
fn served(files: &[File], path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let named = |name: &str| files.iter().find(|file| file.path == name);
    let file = match named(path) {
        Some(file) => file,
        None if is_page(path) => named(INDEX)?,
        None => return None,
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(keeping(file.path)),
    );
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if file.path != INDEX {
        headers.insert(header::ETAG, HeaderValue::from_static(file.tag));
        if has_it(asked, file.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Some(response);
        }
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type(file.path)),
    );
    let body = match coding(asked) {
        Some(coding) => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            let bytes = if coding == "br" { file.brotli } else { file.gzip };
            Bytes::from_static(bytes)
        }
        None => unpacked(file.gzip),
    };
    *response.body_mut() = Body::from(body);
    Some(response)
}

/// Whether the console's router handles this path. A missing path that looks like a file is not a page: a browser
/// that receives HTML for a script would only report a broken script.
fn is_page(path: &str) -> bool {
    let is_file = path.starts_with(HASHED) || (!path.contains('/') && path.contains('.'));
    !is_file
}

fn keeping(path: &str) -> &'static str {
    if path == INDEX {
        // It names the other files, which change with an upgrade.
        "no-store"
    } else if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("webp") => "image/webp",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether the client has this content already. Entity tags are compared weakly, RFC 9110 §13.1.2.
fn has_it(asked: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let tag = opaque(tag);
    asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value.to_str().is_ok_and(|value| {
            value
                .split(',')
                .any(|one| one.trim() == "*" || opaque(one) == tag)
        })
    })
}

/// The best coding that the client accepts, RFC 9110 §12.5.3; `None`: uncompressed.
fn coding(asked: &HeaderMap) -> Option<&'static str> {
    let mut accepts: [Option<f32>; 3] = [None; 3];
    let [brotli, gzip, any] = &mut accepts;
    for value in &asked.get_all(header::ACCEPT_ENCODING) {
        for one in value.to_str().unwrap_or_default().split(',') {
            let mut parts = one.split(';').map(str::trim);
            let place = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "br" => &mut *brotli,
                "gzip" | "x-gzip" => &mut *gzip,
                "*" => &mut *any,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            *place = Some(weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)));
        }
    }
    let weight = |own: Option<f32>| own.or(*any).unwrap_or(0.0);
    let (brotli, gzip) = (weight(*brotli), weight(*gzip));
    if brotli > 0.0 && brotli >= gzip {
        Some("br")
    } else if gzip > 0.0 {
        Some("gzip")
    } else {
        None
    }
}

/// The uncompressed content, for the rare client that accepts no coding. Truncated if it cannot be decompressed.
fn unpacked(gzip: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(gzip.len() * 4);
    if let Err(error) = flate2::read::GzDecoder::new(gzip).read_to_end(&mut bytes) {
        tracing::error!(%error, "a file of the console is damaged");
    }
    bytes.into()
}

#[cfg(test)]
mod tests;
