//! The operator's test of an account, as several providers make it.

use serde_json::{Value, json};

use super::Trial;
use crate::dialect::call::Endpoint;

/// One word of the Messages API.
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
    // A message has a list of blocks. An answer without one is not the provider's.
    let first = answer.get("content")?.as_array()?.first();
    let text = first.and_then(|block| block.get("text")?.as_str());
    Some(text.unwrap_or_default().to_owned())
}
