//! Checks whether an answer belongs to the provider's protocol, by its status and media type.
//!
//! Other servers may answer in a provider's place: a network's login page, a web firewall, a server of another
//! protocol. Their answers are not forwarded unchanged.

use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};

/// Whether a final answer can have this status.
pub(super) fn is_final(status: StatusCode) -> bool {
    (200..600).contains(&status.as_u16())
}

/// The form of a successful answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Events,
    /// Neither JSON nor an event stream.
    Foreign,
}

impl Media {
    /// Determined by `content-type`, or by the first bytes if that is missing or different: compatible hosts send
    /// streams as `text/plain`, and ChatGPT has sent streams without a type. The first bytes win if they
    /// contradict the header: no stream begins with a bracket, and no JSON with a field name.
    pub(super) fn of(headers: &HeaderMap, first: &[u8]) -> Self {
        let named = headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let seen = Self::of_text(first);
        match named.and_then(Self::named) {
            Some(named) if seen == Self::Foreign => named,
            _ => seen,
        }
    }

    fn named(kind: &str) -> Option<Self> {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is = |other: &str| kind.eq_ignore_ascii_case(other);
        if is("text/event-stream") {
            return Some(Self::Events);
        }
        let json = is("application/json") || kind.to_ascii_lowercase().ends_with("+json");
        json.then_some(Self::Json)
    }

    fn of_text(first: &[u8]) -> Self {
        let first = first.trim_ascii_start();
        // The bytes may be cut anywhere.
        let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
        let is_field =
            |field: &&[u8]| first.starts_with(field) || (!first.is_empty() && field.starts_with(first));
        match first.first() {
            Some(b'{' | b'[') => Self::Json,
            _ if fields.iter().any(is_field) => Self::Events,
            _ => Self::Foreign,
        }
    }

    /// Sets `content-type` if the answer has none that fits.
    pub(super) fn name(self, headers: &mut HeaderMap) {
        let named = headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let name = match self {
            Self::Json => "application/json",
            Self::Events => "text/event-stream",
            Self::Foreign => return,
        };
        if named.and_then(Self::named) != Some(self) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Option<&'static str>, first: &str) -> (Media, Option<String>) {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let media = Media::of(&headers, first.as_bytes());
        media.name(&mut headers);
        let name = headers.get(header::CONTENT_TYPE);
        (media, name.map(|name| name.to_str().unwrap().to_owned()))
    }

    #[test]
    fn an_answer_of_the_protocol_keeps_its_name() {
        for (kind, media) in [
            ("application/json; charset=UTF-8", Media::Json),
            ("Application/JSON", Media::Json),
            ("application/problem+json", Media::Json),
            ("text/event-stream; charset=utf-8", Media::Events),
        ] {
            assert_eq!(of(Some(kind), "<"), (media, Some(kind.to_owned())));
        }
    }

    #[test]
    fn another_gets_the_name_of_what_it_is() {
        for kind in [None, Some("text/plain"), Some("text/html")] {
            assert_eq!(
                of(kind, "\n {\"id\":1}"),
                (Media::Json, Some("application/json".to_owned()))
            );
            for first in ["event: a\n", ": ping", "data", "d"] {
                let stream = (Media::Events, Some("text/event-stream".to_owned()));
                assert_eq!(of(kind, first), stream, "{first}");
            }
        }
    }

    #[test]
    fn a_page_is_foreign() {
        for first in ["<!doctype html>", "OK", "", "\u{feff}<html>"] {
            assert_eq!(of(Some("text/html"), first).0, Media::Foreign, "{first}");
        }
    }

    #[test]
    fn only_final_statuses_are_answers() {
        for status in [100, 101, 103, 199, 600, 999] {
            assert!(!is_final(StatusCode::from_u16(status).unwrap()), "{status}");
        }
        for status in [200, 204, 302, 404, 529, 599] {
            assert!(is_final(StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }
}
