//! The headers that go on to a provider: nothing passes that is not listed, what passes is as the client sent it,
//! and the body is always called JSON.

use crs_edge::tested::{Allowed, allowed_headers};
use http::{HeaderMap, HeaderName, HeaderValue};

const LIST: Allowed = Allowed {
    query: &[],
    headers: &["anthropic-version", "anthropic-beta"],
    families: &["x-stainless-"],
};

/// Media types that the relay reads. Stated anew here.
const READABLE: [&str; 5] = [
    "application/json",
    "text/event-stream",
    "*/*",
    "application/*",
    "text/*",
];

/// Takes each line for a header: `name: value`.
pub fn check(data: &[u8]) {
    let asked = headers(data);
    let sent = allowed_headers(&LIST, &asked);
    for (name, value) in &sent {
        let known = asked.get_all(name).iter().any(|asked| asked == value);
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "content-type" => {
                assert!(known || text == "application/json", "{value:?}");
                let kind = text.split(';').next().unwrap_or_default().trim();
                assert!(kind == "application/json" && !text.contains(','), "{value:?}");
            }
            "accept" => {
                assert!(known, "{value:?}");
                for range in text.split(',') {
                    let kind = range.split(';').next().unwrap_or_default().trim();
                    assert!(kind.is_empty() || READABLE.contains(&kind), "{value:?} passed");
                }
            }
            listed => {
                assert!(is_listed(listed), "{listed} passed");
                assert!(known, "{listed}: {value:?}");
            }
        }
    }
    assert_eq!(sent.get_all("content-type").iter().count(), 1);
    for name in asked.keys().filter(|name| is_listed(name.as_str())) {
        let kept = sent.get_all(name).iter().eq(asked.get_all(name).iter());
        assert!(kept, "{name} is not as it was");
    }
}

fn is_listed(name: &str) -> bool {
    matches!(name, "anthropic-version" | "anthropic-beta") || name.starts_with("x-stainless-")
}

fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.trim_ascii()),
            HeaderValue::from_bytes(value.trim_ascii()),
        ) {
            headers.append(name, value);
        }
    }
    headers
}
