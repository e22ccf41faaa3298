use axum::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;

use super::*;

const SCRIPT: &str = "export const console = 'console console console console console';";
const TAG: &str = "W/\"0123456789abcdef\"";

fn files() -> Vec<File> {
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        &*encoder.finish().unwrap().leak()
    };
    let file = |path, text: &'static str| File {
        path,
        tag: TAG,
        brotli: text.as_bytes(),
        gzip: gzip(text),
    };
    vec![
        file("index.html", "<!doctype html>"),
        file("assets/index-B1c2.js", SCRIPT),
        file("theme.js", "theme"),
    ]
}

fn asking(headers: &[(HeaderName, &str)]) -> HeaderMap {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.clone(), value.parse().unwrap()));
    pairs.collect()
}

fn get(path: &str, headers: &[(HeaderName, &str)]) -> Option<Response<Body>> {
    served(&files(), path, &asking(headers))
}

fn header_of<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

fn body(response: Response<Body>) -> Bytes {
    let body = response.into_body().collect().now_or_never().unwrap();
    body.unwrap().to_bytes()
}

#[test]
fn a_page_is_the_index_and_is_not_stored() {
    for path in [
        "",
        "login",
        "accounts/acc_1.x",
        "index.html",
        "requests/a/b",
        "api-stats",
    ] {
        let response = get(path, &[]).unwrap_or_else(|| panic!("{path} is not there"));
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header_of(&response, "cache-control"), "no-store", "{path}");
        assert_eq!(header_of(&response, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header_of(&response, "etag"), "", "{path}");
        assert_eq!(body(response), "<!doctype html>", "{path}");
    }
}

#[test]
fn a_file_that_is_not_there_is_no_page() {
    for path in [
        "assets/index-0000.js",
        "assets/",
        "assets/x/y",
        "favicon.ico",
        "theme.css",
    ] {
        assert!(get(path, &[]).is_none(), "{path}");
    }
}

#[test]
fn no_path_leads_out_of_the_table() {
    for path in [
        "../Cargo.toml",
        "assets/../../src/main.rs",
        "assets/..",
        "..\\x.js",
        "/etc/passwd",
    ] {
        let answer = get(path, &[]).map(body);
        // Either nothing, or the page: never another file.
        assert!(
            answer.as_ref().is_none_or(|bytes| bytes == "<!doctype html>"),
            "{path}"
        );
    }
}

#[test]
fn a_hashed_name_is_kept_for_good_and_others_are_asked_for_again() {
    let hashed = get("assets/index-B1c2.js", &[]).unwrap();
    assert_eq!(
        header_of(&hashed, "cache-control"),
        "public, max-age=31536000, immutable"
    );
    assert_eq!(
        header_of(&hashed, "content-type"),
        "text/javascript; charset=utf-8"
    );
    let plain = get("theme.js", &[]).unwrap();
    assert_eq!(header_of(&plain, "cache-control"), "no-cache");
    assert_eq!(header_of(&plain, "etag"), TAG);
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    for known in [TAG, "\"0123456789abcdef\"", "\"x\", W/\"0123456789abcdef\"", "*"] {
        let response = get("theme.js", &[(IF_NONE_MATCH, known)]).unwrap();
        assert_eq!(response.status(), 304, "{known}");
        assert_eq!(header_of(&response, "etag"), TAG);
        assert_eq!(header_of(&response, "cache-control"), "no-cache");
        assert!(body(response).is_empty());
    }
    for unknown in ["\"0123456789abcdee\"", "0123", "W/\"\""] {
        assert_eq!(
            get("theme.js", &[(IF_NONE_MATCH, unknown)]).unwrap().status(),
            200,
            "{unknown}"
        );
    }
}

#[test]
fn the_coding_is_the_best_that_the_client_takes() {
    for (accepts, expected) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=nonsense, gzip", "gzip"),
        ("*", "br"),
        ("*, br;q=0", "gzip"),
        ("*;q=0", ""),
        ("identity", ""),
        ("zstd", ""),
        ("", ""),
    ] {
        let response = get("assets/index-B1c2.js", &[(ACCEPT_ENCODING, accepts)]).unwrap();
        assert_eq!(header_of(&response, "content-encoding"), expected, "{accepts}");
        assert_eq!(header_of(&response, "vary"), "accept-encoding");
        if expected.is_empty() {
            assert_eq!(body(response), SCRIPT, "{accepts}");
        }
    }
}

#[test]
fn every_answer_has_the_security_headers_and_sets_no_cookie() {
    let known = [(IF_NONE_MATCH, TAG)];
    for (path, headers) in [
        ("login", &[][..]),
        ("assets/index-B1c2.js", &[]),
        ("theme.js", &known),
    ] {
        let response = get(path, headers).unwrap();
        for (name, value) in SECURITY {
            assert_eq!(header_of(&response, name.as_str()), value, "{path}");
        }
        assert_eq!(header_of(&response, "set-cookie"), "");
    }
}

#[test]
fn without_the_console_a_page_says_how_to_get_it() {
    let response = not_built_page();
    assert_eq!(response.status(), 404);
    assert_eq!(header_of(&response, "cache-control"), "no-store");
    assert!(header_of(&response, "content-security-policy").starts_with("default-src 'none'"));
    let page = String::from_utf8(body(response).to_vec()).unwrap();
    assert!(
        page.contains("scripts/build-console") && page.contains("scripts/crs --help"),
        "{page}"
    );
}

#[test]
fn files_of_a_build_are_whole() {
    // Of the console itself, if this was built with it.
    assert_eq!(BUILT, FILES.iter().any(|file| file.path == INDEX));
    for file in FILES {
        let bytes = unpacked(file.gzip);
        assert!(!bytes.is_empty(), "{}", file.path);
        assert_ne!(
            media_type(file.path),
            "application/octet-stream",
            "{}: say its type",
            file.path
        );
        let mut from_brotli = Vec::new();
        brotli_decompressor::BrotliDecompress(&mut &*file.brotli, &mut from_brotli).unwrap();
        assert_eq!(from_brotli, bytes, "{}", file.path);
    }
}
