//! Unusable answers, and Anthropic's errors as OpenAI's.

use crate::convert::messages::error::bounded;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

pub use crate::convert::chat_to_messages::error_body;

/// Limit for a provider's error message, bytes.
const LONGEST: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnusableAnswer {
    /// Not a message.
    Unreadable,
    /// An error: its type and its message.
    Error(String, String),
    /// It ended too early.
    Unfinished,
    /// It needs more memory than any real answer.
    TooLarge,
}

impl UnusableAnswer {
    /// Reads `{"type":"error","error":{...}}`.
    pub(super) fn read(outer: &Object<'_>) -> Self {
        let error: Option<Object<'_>> = outer.get("error");
        let text = |key| {
            let text: Option<Text<'_>> = error.as_ref().and_then(|error| error.get(key));
            bounded(&text.unwrap_or_default(), LONGEST)
        };
        Self::Error(text("type"), text("message"))
    }

    /// The code and the message of OpenAI's `error` object in a response.
    pub fn type_and_message(&self) -> (&str, &str) {
        match self {
            Self::Unreadable => (
                "server_error",
                "the model's provider sent an answer that cannot be read",
            ),
            Self::Unfinished => ("server_error", "the answer of the model's provider broke off"),
            Self::TooLarge => (
                "server_error",
                "the answer of the model's provider is too large to be translated",
            ),
            Self::Error(kind, message) => (code(kind, message), message),
        }
    }
}

/// OpenAI's code for the errors whose code its clients look at: Codex compacts a conversation that is too long,
/// and waits if the provider is overloaded.
fn code(kind: &str, message: &str) -> &'static str {
    match kind {
        "invalid_request_error" if message.starts_with("prompt is too long") => "context_length_exceeded",
        "invalid_request_error" | "request_too_large" => "invalid_prompt",
        "rate_limit_error" => "rate_limit_exceeded",
        "overloaded_error" => "server_is_overloaded",
        _ => "server_error",
    }
}
