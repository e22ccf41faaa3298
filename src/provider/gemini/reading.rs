//! What Google's answers tell of usage, in an envelope or out of it.
//!
//! Facts this rests on (the Gemini API's reference): figures are cumulative, and come with every piece of a
//! stream; `promptTokenCount` counts what came out of a cache too, but not what tools put in;
//! `candidatesTokenCount` does not count the thoughts. A candidate that is whole says why it stopped, and a
//! prompt that is refused says so in place of candidates.

use serde_json::Value;

use crate::model::usage::Tokens;
use crate::relay::meter::reading::{Reading, Rule, Seen};

pub(super) static GENERATE: Reading = Reading {
    rules: &[
        Rule::value(&["usageMetadata"], usage),
        Rule::value(&["modelVersion"], Seen::model),
        Rule::value(&["responseId"], Seen::message_id),
        Rule::value(&["candidates", "finishReason"], Seen::stop_reason),
        Rule::value(&["promptFeedback", "blockReason"], Seen::stop_reason),
        Rule::content(&["candidates", "content", "parts"]),
        Rule::value(&["error"], Seen::error),
        Rule::value(&["response", "usageMetadata"], usage),
        Rule::value(&["response", "modelVersion"], Seen::model),
        Rule::value(&["response", "responseId"], Seen::message_id),
        Rule::value(&["response", "candidates", "finishReason"], Seen::stop_reason),
        Rule::value(&["response", "promptFeedback", "blockReason"], Seen::stop_reason),
        Rule::content(&["response", "candidates", "content", "parts"]),
    ],
    mark: None,
};

fn usage(seen: &mut Seen, usage: &Value) {
    if !usage.is_object() {
        return;
    }
    let mut figure = |name: &str| seen.figure(usage.get(name));
    let prompt = figure("promptTokenCount");
    let read = figure("cachedContentTokenCount").min(prompt);
    let tools = figure("toolUsePromptTokenCount");
    let output = figure("candidatesTokenCount") + figure("thoughtsTokenCount");
    let before = seen.tokens.unwrap_or_default();
    // Cumulative figures do not fall: a piece that names fewer says less, not otherwise.
    seen.tokens = Some(Tokens {
        input: before.input.max(prompt - read + tools),
        output: before.output.max(output),
        cache_read: before.cache_read.max(read),
        ..before
    });
}

#[cfg(test)]
mod tests;
