//! Converts a whole answer into a whole message.

use super::Chunk;
use super::compose::Composer;
use super::finish::{Finish, finish};
use super::message::{ContentBlock, Message};
use super::usage::{Usage, UsageReport};

use crate::convert::messages_to_gemini::error::{ProviderError, UnusableAnswer};
use crate::convert::messages_to_gemini::request::Context;
use crate::dialect::body::mended;

/// An Anthropic message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub body: Vec<u8>,
    /// The answering model.
    pub model: String,
    pub stop_reason: &'static str,
    /// `None` if Gemini sent no figures.
    pub usage: Option<Usage>,
}

/// Converts an answer of `generateContent`. `id`: unique per answer; only its letters and digits are used.
pub fn answer(body: &[u8], context: &Context, id: &str) -> Result<Answer, UnusableAnswer> {
    let body = mended(body);
    let body = std::str::from_utf8(&body).map_err(|_| UnusableAnswer::Unreadable)?;
    let Some(chunk) = Chunk::read(body) else {
        return Err(ProviderError::read(body).map_or(UnusableAnswer::Unreadable, UnusableAnswer::Error));
    };
    if let Some(error) = chunk.error() {
        return Err(UnusableAnswer::Error(error));
    }
    if !chunk.is_answer() {
        return Err(UnusableAnswer::Unreadable);
    }
    let seed = seed(id);
    let id = message_id(&seed);
    let mut composer = Composer::new(context, seed);
    let mut content: Vec<ContentBlock> = Vec::new();
    for part in chunk.parts() {
        composer.part(part, &mut content);
    }
    if let Some(grounding) = chunk.grounding() {
        composer.grounded(grounding);
    }
    composer.end(&mut content);
    if let Some(failure) = composer.failure() {
        return Err(failure);
    }
    let finish = match (chunk.finish_reason(), chunk.block_reason()) {
        (Some(reason), _) => finish(&reason, composer.has_content(), composer.has_calls()),
        (None, Some(_)) => Finish::Stop("refusal"),
        (None, None) => return Err(UnusableAnswer::Unfinished),
    };
    let stop_reason = match finish {
        Finish::Stop(reason) => reason,
        Finish::Failed(reason) => return Err(UnusableAnswer::Failed(reason)),
    };
    let usage = chunk.figures().usage();
    let model = chunk.model().unwrap_or_else(|| context.model.clone());
    let message = Message {
        content: &content,
        stop_reason: Some(stop_reason),
        ..Message::new(
            &id,
            &model,
            UsageReport::from(usage.unwrap_or_default()).searched(composer.searches()),
        )
    };
    // Strings, numbers and raw JSON always serialise.
    let body = serde_json::to_vec(&message).unwrap_or_default();
    Ok(Answer {
        body,
        model,
        stop_reason,
        usage,
    })
}

/// The part of the answer's id from which other ids are derived.
pub(super) fn seed(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}

pub(super) fn message_id(seed: &str) -> String {
    format!("msg_{seed}")
}
