//! Errors of the Messages API in OpenAI's shape.

use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;
use crate::dialect::wire::words;

/// The type of an error that does not say its own.
const UNTYPED: &str = "server_error";

/// An answer of which no completion can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is no message.
    Unreadable,
    /// It is an error: its type, and what it says.
    Error(String, String),
    /// It ended before it was whole.
    Unfinished,
}

impl Unusable {
    /// The type of OpenAI's `error` object, and its message.
    pub fn told(&self) -> (&str, &str) {
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

/// OpenAI's error body for an answer of the Messages API that is no success. `fallback` is the message for a
/// body that does not say what is wrong.
pub fn error_body(status: u16, body: &[u8], fallback: &str) -> Vec<u8> {
    let read = Object::parse(body).ok().and_then(|outer| Unusable::read(&outer));
    match &read {
        Some(Unusable::Error(_, message)) if message.trim().is_empty() => written(kind(status), fallback),
        // An error that does not say its type has that of its status.
        Some(Unusable::Error(said, message)) if said == UNTYPED => written(kind(status), message),
        Some(Unusable::Error(kind, message)) => written(kind, message),
        _ => match words::of(body) {
            Some(said) => written(kind(status), &said),
            None => written(kind(status), fallback),
        },
    }
}

/// `{"error":{"message":...,"type":...,"param":null,"code":...}}`; the code says the kind of failure, as the
/// Messages API names it.
pub(super) fn written(kind: &str, message: &str) -> Vec<u8> {
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

/// What OpenAI calls it, where its clients look for that.
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
