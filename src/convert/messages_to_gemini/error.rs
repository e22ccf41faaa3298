//! What cannot be converted, and Gemini's errors in Anthropic's words.

use super::object::{List, Object};
use super::text::Text;

use crate::convert::messages::error::{bounded, kind, written};
pub use crate::dialect::wire::Refused;
use crate::dialect::wire::words;

/// An answer of which no message can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is no `generateContent` answer.
    Unreadable,
    /// It is an error.
    Error(ProviderError),
    /// The model failed, for this `finishReason`; the same request may well succeed.
    Failed(String),
    /// It ended without a `finishReason`.
    Unfinished,
    /// It holds media of this type, which the client's protocol has no place for.
    Media(String),
    /// More would have to be held at once than an answer has.
    TooLarge,
}

impl Unusable {
    /// What Anthropic's `error` object says of it.
    pub fn told(&self) -> (&'static str, String) {
        match self {
            Self::Unreadable => (
                "api_error",
                "the model's provider sent an answer that cannot be read".to_owned(),
            ),
            Self::Error(error) => error.told(),
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
    /// Reads `{"error": {...}}`, also in the list that some endpoints wrap around it.
    pub(super) fn read(body: &str) -> Option<Self> {
        if let Some(outer) = Object::of(body) {
            return Self::of(&outer);
        }
        let list: List<'_> = serde_json::from_slice(body.as_bytes()).ok()?;
        Self::of(&Object::of(list.first()?.get())?)
    }

    /// The error in an answer, if it is one.
    pub(super) fn of(answer: &Object<'_>) -> Option<Self> {
        let error: Object<'_> = answer.get("error")?;
        let text = |key| error.get::<Text<'_>>(key).unwrap_or_default();
        Some(Self {
            code: error.get("code").unwrap_or_default(),
            status: bounded(&text("status"), 100),
            message: bounded(&text("message"), 2_000),
        })
    }

    /// What Anthropic's `error` object says in its place. Limits and failures are the account's, and their
    /// messages name projects and quotas: the client of a stream is told only which they are.
    pub(super) fn told(&self) -> (&'static str, String) {
        let is_of_the_request = matches!(self.code, 400..=499) && self.code != 429;
        match self.in_its_words().filter(|_| is_of_the_request) {
            Some(told) => told,
            None => (kind(self.code), self.named()),
        }
    }

    /// The same of an answer that is the client's to know, whatever its status. `None`: it has no message.
    fn in_its_words(&self) -> Option<(&'static str, String)> {
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

/// Anthropic's error body for a Gemini answer that is no success and that is the client's to know, in Gemini's
/// words. `fallback` is the message for a body that does not say what is wrong.
pub fn error_body(status: u16, body: &[u8], fallback: &str) -> Vec<u8> {
    let body = String::from_utf8_lossy(body);
    let (kind, message) = match ProviderError::read(&body) {
        Some(error) => {
            let error = ProviderError {
                code: status,
                ..error
            };
            error
                .in_its_words()
                .unwrap_or_else(|| (kind(status), error.named()))
        }
        None => {
            let said = words::of(body.as_bytes());
            (kind(status), said.unwrap_or_else(|| fallback.to_owned()))
        }
    };
    written(kind, &message)
}

/// Gemini's "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)" in
/// the words by which Claude Code knows that it has to compact the conversation.
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
