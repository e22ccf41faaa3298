//! What Google's answers tell of usage, in an envelope or out of it.
//!
//! Facts this rests on (the Gemini API's reference): figures are cumulative, and come with every piece of a
//! stream; `promptTokenCount` counts what came out of a cache too, but not what tools put in;
//! `candidatesTokenCount` does not count the thoughts. A candidate that is whole says why it stopped, and a
//! prompt that is refused says so in place of candidates.

use serde_json::Value;

use crate::model::charge::{Extras, Item};
use crate::model::usage::Tokens;
use crate::relay::meter::reading::{Reading, Rule, Seen};

pub(super) static GENERATE: Reading = Reading::new(
    &[
        Rule::value(&["usageMetadata"], usage),
        Rule::value(&["modelVersion"], Seen::model),
        Rule::value(&["responseId"], Seen::message_id),
        Rule::value(&["candidates", "finishReason"], Seen::stop_reason),
        Rule::value(&["promptFeedback", "blockReason"], Seen::stop_reason),
        Rule::content(&["candidates", "content", "parts"]),
        Rule::value(&["candidates", "groundingMetadata", "webSearchQueries"], queries),
        Rule::value(
            &["candidates", "groundingMetadata", "imageSearchQueries"],
            queries,
        ),
        Rule::value(
            &["candidates", "groundingMetadata", "groundingChunks", "maps"],
            maps,
        ),
        Rule::value(&["error"], Seen::error),
        Rule::value(&["response", "usageMetadata"], usage),
        Rule::value(&["response", "modelVersion"], Seen::model),
        Rule::value(&["response", "responseId"], Seen::message_id),
        Rule::value(&["response", "candidates", "finishReason"], Seen::stop_reason),
        Rule::value(&["response", "promptFeedback", "blockReason"], Seen::stop_reason),
        Rule::content(&["response", "candidates", "content", "parts"]),
        Rule::value(
            &["response", "candidates", "groundingMetadata", "webSearchQueries"],
            queries,
        ),
        Rule::value(
            &[
                "response",
                "candidates",
                "groundingMetadata",
                "imageSearchQueries",
            ],
            queries,
        ),
        Rule::value(
            &[
                "response",
                "candidates",
                "groundingMetadata",
                "groundingChunks",
                "maps",
            ],
            maps,
        ),
    ],
    false,
);

/// What was searched for with Google: charged by the query, or by the prompt, as the model has it.
fn queries(seen: &mut Seen, value: &Value) {
    seen.hosted().queries(value);
}

fn maps(seen: &mut Seen, _: &Value) {
    seen.hosted().looked_at_maps();
}

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
    kinds(seen, usage);
}

/// Tokens by kind (`AUDIO`, `IMAGE`, `VIDEO`), which are part of the figures above; those of the prompt have the
/// cached ones in them. Most calls have text alone: each list is gone through once.
fn kinds(seen: &mut Seen, usage: &Value) {
    let mut used = Extras::default();
    for (list, audio, image, video) in [
        (
            "promptTokensDetails",
            Item::InputAudio,
            Item::InputImage,
            Item::InputVideo,
        ),
        (
            "toolUsePromptTokensDetails",
            Item::InputAudio,
            Item::InputImage,
            Item::InputVideo,
        ),
        // Other kinds have the price of text in a cache.
        (
            "cacheTokensDetails",
            Item::CachedAudio,
            Item::CachedAudio,
            Item::CachedAudio,
        ),
        (
            "candidatesTokensDetails",
            Item::OutputAudio,
            Item::OutputImage,
            Item::OutputVideo,
        ),
    ] {
        for part in usage.get(list).and_then(Value::as_array).into_iter().flatten() {
            let item = match part.get("modality").and_then(Value::as_str) {
                Some("AUDIO") => audio,
                Some("IMAGE") if image != audio => image,
                Some("VIDEO") if video != audio => video,
                _ => continue,
            };
            let count = seen.figure(part.get("tokenCount"));
            used.set(item, used.get(item).saturating_add(count));
        }
    }
    let fresh = used
        .get(Item::InputAudio)
        .saturating_sub(used.get(Item::CachedAudio));
    used.set(Item::InputAudio, fresh);
    for (item, count) in used.used() {
        seen.terms.extras.raise(item, count);
    }
}

#[cfg(test)]
mod tests;
