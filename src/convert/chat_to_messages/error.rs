//! Errors of the Messages API in OpenAI's shape.

use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;
use crate::dialect::wire::words;

/// The type of an error that has none.
const UNTYPED: &str = "server_error";

/// An answer that cannot be converted into a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnusableAnswer {
    /// Not a message.
    Unreadable,
    /// An error: its type and its message.
    Error(String, String),
    /// It ended too early.
    Unfinished,
}

impl UnusableAnswer {
    /// The type and the message for OpenAI's `error` object.
    pub fn type_and_message(&self) -> (&str, &str) {
        match self {
            Self::Unreadable => (
                "server_error",
                "the model's provider sent an answer that cannot be read",
            ),
            Self::Error(kind, message) => (kind, message),
            Self::Unfinished => ("server_error", "the answer of the model's provider broke off"),
        }
    }

    /// Reads `{"type":"error","error":{...}}`.
    pub(super) fn read(outer: &Object<'_>) -> Option<Self> {
        let error: Object<'_> = outer.get("error")?;
        let text = |key| error.get::<Text<'_>>(key).map(|text| text.0.into_owned());
        Some(Self::Error(
            text("type").unwrap_or_else(|| UNTYPED.to_owned()),
            text("message").unwrap_or_default(),
        ))
    }
}

/// OpenAI's error body for a failed answer of the Messages API. `fallback`: the message if the body has none.
pub fn error_body(status: u16, body: &[u8], fallback: &str) -> Vec<u8> {
    let read = Object::parse(body)
        .ok()
        .and_then(|outer| UnusableAnswer::read(&outer));
    match &read {
        Some(UnusableAnswer::Error(_, message)) if message.trim().is_empty() => {
            error_json(kind(status), fallback)
        }
        // Without a type in the body, the status decides.
        Some(UnusableAnswer::Error(said, message)) if said == UNTYPED => error_json(kind(status), message),
        Some(UnusableAnswer::Error(kind, message)) => error_json(kind, message),
        _ => match words::of(body) {
            Some(said) => error_json(kind(status), &said),
            None => error_json(kind(status), fallback),
        },
    }
}

/// `{"error":{"message":...,"type":...,"param":null,"code":...}}`. The code names the kind of failure as the
/// Messages API does.
pub(super) fn error_json(kind: &str, message: &str) -> Vec<u8> {
    let kind = match kind {
        "api_error" => "server_error",
        kind => kind,
    };
    let error = Json::map([
        ("message", Json::text(message)),
        ("type", Json::text(kind)),
        ("param", Json::Null),
        ("code", Json::text(code(kind))),
    ]);
    Json::map([("error", error)]).to_bytes()
}

/// OpenAI's code for the errors whose code its clients look at.
fn code(kind: &str) -> &str {
    match kind {
        "authentication_error" => "invalid_api_key",
        "not_found_error" => "model_not_found",
        "rate_limit_error" => "rate_limit_exceeded",
        "overloaded_error" => "server_is_overloaded",
        kind => kind,
    }
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}
