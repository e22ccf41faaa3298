//! Anthropic's error object.

use serde::Serialize;

/// `{"type":"error","error":{"type":...,"message":...}}`.
pub(in crate::convert) fn error_body(kind: &str, message: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Outer<'a> {
        r#type: &'static str,
        error: Inner<'a>,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        r#type: &'a str,
        message: &'a str,
    }
    let error = Inner {
        r#type: kind,
        message,
    };
    // Strings always serialise.
    serde_json::to_vec(&Outer {
        r#type: "error",
        error,
    })
    .unwrap_or_default()
}

/// The type of an error that has this status.
pub(in crate::convert) fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// At most `most` bytes of `text`, whole characters only.
pub(in crate::convert) fn bounded(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    text.get(..end).unwrap_or_default().to_owned()
}
