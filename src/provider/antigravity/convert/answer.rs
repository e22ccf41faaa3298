//! Gemini's answers as Anthropic messages, whole or streamed. One machine makes both
//! ([`compose`]), so that they cannot differ.

pub(super) mod stream;
pub(super) mod usage;
pub(super) mod whole;

mod compose;
mod finish;
mod message;
mod sse;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{ProviderError, Wire, is_object};
use super::text::Text;

use self::usage::Figures;

/// A `generateContent` answer, or one event of a stream of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    /// Code Assist puts the answer in here.
    #[serde(default, borrow)]
    response: Option<Box<Chunk<'a>>>,
    #[serde(default, borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(default, borrow)]
    prompt_feedback: Option<Feedback<'a>>,
    #[serde(default)]
    usage_metadata: Option<Figures>,
    #[serde(default, borrow)]
    model_version: Option<Text<'a>>,
    #[serde(default, borrow)]
    error: Option<Wire<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default, borrow)]
    content: Option<Content<'a>>,
    #[serde(default, borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(default, borrow)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(default, borrow)]
    text: Option<Text<'a>>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(default, borrow)]
    thought_signature: Option<Text<'a>>,
    #[serde(default, borrow)]
    function_call: Option<Call<'a>>,
    #[serde(default, borrow)]
    inline_data: Option<Blob<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(default, borrow)]
    id: Option<Text<'a>>,
    #[serde(default, borrow)]
    name: Text<'a>,
    #[serde(default, borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    #[serde(default, borrow)]
    mime_type: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(default, borrow)]
    block_reason: Option<Text<'a>>,
}

impl<'a> Chunk<'a> {
    /// Reads one answer out of its envelope; `None` if it is none.
    fn read(json: &'a [u8]) -> Option<Self> {
        if !is_object(json) {
            return None;
        }
        let chunk: Self = serde_json::from_slice(json).ok()?;
        Some(match chunk.response {
            Some(inner) if chunk.error.is_none() => *inner,
            _ => chunk,
        })
    }

    fn error(&mut self) -> Option<ProviderError> {
        self.error.take().map(ProviderError::from)
    }

    /// Whether it says anything at all.
    fn is_answer(&self) -> bool {
        self.candidates.is_some() || self.prompt_feedback.is_some() || self.usage_metadata.is_some()
    }

    fn parts(&mut self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        // Only one candidate was asked for.
        let first = self
            .candidates
            .as_mut()
            .and_then(|candidates| candidates.first_mut());
        first
            .and_then(|candidate| candidate.content.take()?.parts)
            .into_iter()
            .flatten()
    }

    fn finish_reason(&self) -> Option<&str> {
        let candidate = self.candidates.as_ref().and_then(|candidates| candidates.first());
        candidate.and_then(|candidate| candidate.finish_reason.as_deref())
    }

    /// Why the prompt was not answered at all.
    fn block_reason(&self) -> Option<&str> {
        self.prompt_feedback.as_ref()?.block_reason.as_deref()
    }

    fn model(&self) -> Option<&str> {
        let model = self.model_version.as_deref()?;
        Some(model.strip_prefix("models/").unwrap_or(model))
    }
}
