//! Converts Gemini's answers into Anthropic messages. Whole answers and streams share one state machine
//! ([`compose`]), so their content is the same.

pub(super) mod stream;
pub(super) mod usage;
pub(super) mod whole;

mod compose;
mod finish;
mod message;
mod search;

use serde_json::value::RawValue;

use super::error::ProviderError;
use super::object::{List, Object};
use super::text::Text;

use self::search::Grounding;
use self::usage::Figures;

/// A `generateContent` answer, or one event of a stream of them.
struct Chunk<'a> {
    answer: Object<'a>,
    /// The first candidate; the request asks for only one.
    candidate: Option<Object<'a>>,
}

/// A part of the content.
struct Part<'a> {
    text: Option<Text<'a>>,
    thought: bool,
    signature: Option<Text<'a>>,
    call: Option<Call<'a>>,
    media: Option<Media<'a>>,
}

/// Inline data.
struct Media<'a> {
    kind: Text<'a>,
    /// Base64.
    data: Text<'a>,
}

struct Call<'a> {
    id: Option<Text<'a>>,
    name: Text<'a>,
    args: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    /// Reads an answer, with or without its envelope; `None` if it is not an answer.
    fn read(json: &'a str) -> Option<Self> {
        let outer = Object::of(json)?;
        // The envelope of Code Assist.
        let answer = match outer.get("response") {
            Some(inner) if outer.raw("error").is_none() => inner,
            _ => outer,
        };
        let candidates: List<'a> = match answer.raw("candidates") {
            Some(list) => serde_json::from_slice(list.get().as_bytes()).ok()?,
            None => List::default(),
        };
        let candidate = candidates.first().and_then(|first| Object::of(first.get()));
        Some(Self { answer, candidate })
    }

    fn error(&self) -> Option<ProviderError> {
        ProviderError::of(&self.answer)
    }

    /// Whether it has any member of an answer.
    fn is_answer(&self) -> bool {
        let mut members = ["candidates", "promptFeedback", "usageMetadata"].into_iter();
        members.any(|key| self.answer.raw(key).is_some())
    }

    fn parts(&self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let content: Option<Object<'a>> = self.candidate.as_ref().and_then(|first| first.get("content"));
        let parts: Option<List<'a>> = content.and_then(|content| content.get("parts"));
        let parts = parts.into_iter().flatten();
        parts.filter_map(|part| Object::of(part.get()).map(|part| Part::of(&part)))
    }

    fn grounding(&self) -> Option<Grounding> {
        let metadata: Object<'a> = self.candidate.as_ref()?.get("groundingMetadata")?;
        Some(Grounding::read(&metadata))
    }

    fn finish_reason(&self) -> Option<Text<'a>> {
        self.candidate.as_ref()?.get("finishReason")
    }

    /// The reason why Gemini refused the prompt.
    fn block_reason(&self) -> Option<Text<'a>> {
        let feedback: Object<'a> = self.answer.get("promptFeedback")?;
        feedback.get("blockReason")
    }

    fn figures(&self) -> Figures {
        let named: Option<Object<'a>> = self.answer.get("usageMetadata");
        named.map(|named| Figures::of(&named)).unwrap_or_default()
    }

    fn model(&self) -> Option<String> {
        let model: Text<'a> = self.answer.get("modelVersion")?;
        Some(model.strip_prefix("models/").unwrap_or(&model).to_owned())
    }
}

impl<'a> Part<'a> {
    fn of(part: &Object<'a>) -> Self {
        let call: Option<Object<'a>> = part.get("functionCall");
        let media: Option<Object<'a>> = part.get("inlineData");
        let signature: Option<Text<'a>> = part.get("thoughtSignature");
        Self {
            text: part.get("text"),
            thought: part.get("thought").unwrap_or_default(),
            signature: signature.filter(|signature| !signature.is_empty()),
            call: call.map(|call| Call {
                id: call.get("id"),
                name: call.get("name").unwrap_or_default(),
                args: call.raw("args"),
            }),
            media: media.map(|media| Media {
                kind: media.get("mimeType").unwrap_or_default(),
                data: media.get("data").unwrap_or_default(),
            }),
        }
    }
}
