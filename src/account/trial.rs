//! The test call in the Messages API, shared by several providers.

use serde_json::{Value, json};

use super::Trial;
use crate::dialect::call::Endpoint;

/// A request for a single token of the Messages API.
pub(super) fn messages(model: String) -> Trial {
    Trial {
        endpoint: Endpoint::Messages,
        body: json!({ "model": model, "max_tokens": 1, "messages": [{ "role": "user", "content": "Hi" }] }),
        model,
        stream: false,
    }
}

/// The text of the first block of a message. `None` if the answer is not a message.
pub(super) fn message_words(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    // Every message has a list of blocks.
    let first = answer.get("content")?.as_array()?.first();
    let text = first.and_then(|block| block.get("text")?.as_str());
    Some(text.unwrap_or_default().to_owned())
}
