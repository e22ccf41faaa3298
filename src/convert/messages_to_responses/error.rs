//! Unusable answers, and OpenAI's errors as Anthropic's.

use crate::convert::messages::error::{bounded, error_body as anthropic_error, kind};
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;
use crate::dialect::wire::words;

/// Limit for a provider's error message, bytes.
const LONGEST: usize = 2_000;

/// An answer that cannot be converted into a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnusableAnswer {
    /// Not an answer of Responses.
    Unreadable,
    /// An error: its code and its message.
    Error(String, String),
    /// It ended too early.
    Unfinished,
    /// It needs more memory than any real answer.
    TooLarge,
}

impl UnusableAnswer {
    /// Reads the error in a response or an event; `Unreadable` if there is none.
    pub(in crate::convert) fn read(outer: &Object<'_>) -> Self {
        let inner: Option<Object<'_>> = outer.get("error");
        let error = inner.as_ref().unwrap_or(outer);
        let text = |key, most| {
            let text: Option<Text<'_>> = error.get(key);
            text.map(|text| bounded(&text, most))
        };
        let code = text("code", 100).or_else(|| text("type", 100));
        Self::Error(
            code.unwrap_or_default(),
            text("message", LONGEST).unwrap_or_default(),
        )
    }

    /// The type and the message for Anthropic's `error` object. Messages about limits and failures name the
    /// account's organisation and plan, so the client gets only their kind.
    pub fn type_and_message(&self) -> (&'static str, String) {
        match self {
            Self::Unreadable => (
                "api_error",
                "the model's provider sent an answer that cannot be read".to_owned(),
            ),
            Self::Unfinished => (
                "api_error",
                "the answer of the model's provider broke off".to_owned(),
            ),
            Self::TooLarge => (
                "api_error",
                "the answer of the model's provider is too large to be translated".to_owned(),
            ),
            Self::Error(code, message) => match of_code(code) {
                "invalid_request_error" if !message.trim().is_empty() => {
                    ("invalid_request_error", in_words(code, message))
                }
                kind if code.is_empty() => (kind, "the model's provider reported an error".to_owned()),
                kind => (kind, format!("the model's provider reported {code}")),
            },
        }
    }
}

/// Anthropic's type for one of OpenAI's codes.
fn of_code(code: &str) -> &'static str {
    match code {
        "rate_limit_exceeded" | "usage_limit_reached" | "insufficient_quota" => "rate_limit_error",
        "server_is_overloaded" | "slow_down" => "overloaded_error",
        "context_length_exceeded"
        | "invalid_prompt"
        | "invalid_request_error"
        | "bio_policy"
        | "cyber_policy"
        | "misalignment_policy_violation"
        | "empty_image_file"
        | "failed_to_download_image"
        | "unsupported_image_media_type" => "invalid_request_error",
        code if code.starts_with("invalid_image") || code.starts_with("image_") => "invalid_request_error",
        _ => "api_error",
    }
}

/// OpenAI's message. If the prompt is too long, it gets the prefix on which Claude Code compacts the
/// conversation.
fn in_words(code: &str, message: &str) -> String {
    let is_too_long = code == "context_length_exceeded"
        || message.contains("maximum context length")
        || message.contains("exceeds the context window");
    if is_too_long {
        format!("prompt is too long: {message}")
    } else {
        message.to_owned()
    }
}

/// Anthropic's error body with OpenAI's own message, for errors about the client's request. `fallback`: the
/// message if the body has none.
pub fn error_body(status: u16, body: &[u8], fallback: &str) -> Vec<u8> {
    let read = Object::parse(body).ok();
    let inner: Option<Object<'_>> = read.as_ref().and_then(|outer| outer.get("error"));
    let code: Option<Text<'_>> = inner.and_then(|error| error.get("code"));
    let message = words::of(body).unwrap_or_else(|| fallback.to_owned());
    anthropic_error(kind(status), &in_words(&code.unwrap_or_default(), &message))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn errors_keep_their_words_in_anthropics_shape() {
        let error_of = |status, body: Value| -> Value {
            serde_json::from_slice(&error_body(status, body.to_string().as_bytes(), "It failed.")).unwrap()
        };
        let error = |message: &str, code: &str| json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code } });
        for (status, body, kind, message) in [
            (400, error("No.", "x"), "invalid_request_error", "No."),
            (
                400,
                error(
                    "Your input exceeds the context window of this model.",
                    "context_length_exceeded",
                ),
                "invalid_request_error",
                "prompt is too long: Your input exceeds the context window of this model.",
            ),
            (
                404,
                error("No such model.", "model_not_found"),
                "not_found_error",
                "No such model.",
            ),
            (
                400,
                json!({ "detail": "Instructions are not valid" }),
                "invalid_request_error",
                "Instructions are not valid",
            ),
            (503, json!({}), "overloaded_error", "It failed."),
        ] {
            let expected = json!({ "type": "error", "error": { "type": kind, "message": message } });
            assert_eq!(error_of(status, body), expected);
        }
        assert_eq!(
            error_body(500, b"<html>", "It failed."),
            anthropic_error("api_error", "It failed.")
        );
    }

    #[test]
    fn what_is_the_accounts_is_not_told_in_the_providers_words() {
        let error = |code: &str| UnusableAnswer::Error(code.to_owned(), "org-secret has no more".to_owned());
        for code in [
            "rate_limit_exceeded",
            "insufficient_quota",
            "server_is_overloaded",
            "server_error",
            "",
        ] {
            let (_, message) = error(code).type_and_message();
            assert!(!message.contains("org-secret"), "{message}");
        }
        assert_eq!(
            error("invalid_prompt").type_and_message(),
            ("invalid_request_error", "org-secret has no more".to_owned())
        );
        assert_eq!(error("slow_down").type_and_message().0, "overloaded_error");
    }
}
