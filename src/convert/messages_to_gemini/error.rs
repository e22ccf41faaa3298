//! Unusable answers, and Gemini's errors as Anthropic's.

use super::object::{List, Object};
use super::text::Text;

use crate::convert::messages::error::{bounded, error_body as anthropic_error, kind};
pub use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::words;

/// An answer that cannot be converted into a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnusableAnswer {
    /// Not a `generateContent` answer.
    Unreadable,
    /// It is an error.
    Error(ProviderError),
    /// The model failed with this `finishReason`; the same request may succeed.
    Failed(String),
    /// It ended without a `finishReason`.
    Unfinished,
    /// It has media of this type, which the client's protocol does not support.
    Media(String),
    /// It needs more memory than any real answer.
    TooLarge,
}

impl UnusableAnswer {
    /// The type and the message for Anthropic's `error` object.
    pub fn type_and_message(&self) -> (&'static str, String) {
        match self {
            Self::Unreadable => (
                "api_error",
                "the model's provider sent an answer that cannot be read".to_owned(),
            ),
            Self::Error(error) => error.type_and_message(),
            Self::Failed(reason) => (
                "api_error",
                format!("the model could not finish its answer: {reason}"),
            ),
            Self::Unfinished => (
                "api_error",
                "the answer of the model's provider broke off".to_owned(),
            ),
            Self::Media(kind) => (
                "api_error",
                format!(
                    "the model answered with {kind}, which has no place in this protocol: ask it by the Gemini API"
                ),
            ),
            Self::TooLarge => (
                "api_error",
                "the answer of the model's provider is too large to be translated".to_owned(),
            ),
        }
    }
}

/// Gemini's `error` object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    pub code: u16,
    /// `RESOURCE_EXHAUSTED`, ...
    pub status: String,
    pub message: String,
}

impl ProviderError {
    /// Reads `{"error": {...}}`, also inside the list that some endpoints wrap around it.
    pub(super) fn read(body: &str) -> Option<Self> {
        if let Some(outer) = Object::of(body) {
            return Self::of(&outer);
        }
        let list: List<'_> = serde_json::from_slice(body.as_bytes()).ok()?;
        Self::of(&Object::of(list.first()?.get())?)
    }

    /// The error of an answer, if it is one.
    pub(super) fn of(answer: &Object<'_>) -> Option<Self> {
        let error: Object<'_> = answer.get("error")?;
        let text = |key| error.get::<Text<'_>>(key).unwrap_or_default();
        Some(Self {
            code: error.get("code").unwrap_or_default(),
            status: bounded(&text("status"), 100),
            message: bounded(&text("message"), 2_000),
        })
    }

    /// The type and the message for Anthropic's `error` object. Messages about limits and failures name the
    /// account's projects and quotas, so the client gets only their kind.
    pub(super) fn type_and_message(&self) -> (&'static str, String) {
        let is_of_the_request = matches!(self.code, 400..=499) && self.code != 429;
        match self.type_and_own_message().filter(|_| is_of_the_request) {
            Some(own) => own,
            None => (kind(self.code), self.named()),
        }
    }

    /// The type with Gemini's own message, for errors about the client's request. `None` if there is no message.
    fn type_and_own_message(&self) -> Option<(&'static str, String)> {
        let message = too_long(&self.message).unwrap_or_else(|| self.message.clone());
        (!message.trim().is_empty()).then(|| (kind(self.code), message))
    }

    fn named(&self) -> String {
        match self.status.as_str() {
            "" => format!("the model's provider reported {}", self.code),
            status => format!("the model's provider reported {status} ({})", self.code),
        }
    }
}

/// Anthropic's error body with Gemini's own message, for errors about the client's request. `fallback`: the
/// message if the body has none.
pub fn error_body(status: u16, body: &[u8], fallback: &str) -> Vec<u8> {
    let body = String::from_utf8_lossy(body);
    let (kind, message) = match ProviderError::read(&body) {
        Some(error) => {
            let error = ProviderError {
                code: status,
                ..error
            };
            error
                .type_and_own_message()
                .unwrap_or_else(|| (kind(status), error.named()))
        }
        None => {
            let said = words::of(body.as_bytes());
            (kind(status), said.unwrap_or_else(|| fallback.to_owned()))
        }
    };
    anthropic_error(kind, &message)
}

/// Rewrites Gemini's "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)"
/// into the message on which Claude Code compacts the conversation.
fn too_long(message: &str) -> Option<String> {
    if !message.contains("token count") || !message.contains("exceeds the maximum") {
        return None;
    }
    let mut numbers = message
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    Some(match (numbers.next(), numbers.next()) {
        (Some(count), Some(most)) => format!("prompt is too long: {count} tokens > {most} maximum"),
        _ => "prompt is too long".to_owned(),
    })
}
