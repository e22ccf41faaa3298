//! Reads usage from Google's answers, with or without envelope.
//!
//! Source: the Gemini API's reference. Figures are cumulative and part of every piece of a stream.
//! `promptTokenCount` includes cached tokens but not those added by tools; `candidatesTokenCount` excludes
//! thoughts. A complete candidate has a finish reason; a refused prompt has a block reason in place of
//! candidates.

use serde_json::Value;

use crate::dialect::meter::reading::{AnswerFacts, Reading, Rule};
use crate::dialect::meter::shape::{Field, Shape};
use crate::model::charge::{Extras, Item};
use crate::model::usage::Tokens;

pub(crate) static GENERATE: Reading = Reading::new(
    &[
        Rule::value(&["usageMetadata"], usage),
        Rule::value(&["modelVersion"], AnswerFacts::model),
        Rule::value(&["responseId"], AnswerFacts::message_id),
        Rule::value(&["candidates", "finishReason"], AnswerFacts::stop_reason),
        Rule::value(&["promptFeedback", "blockReason"], AnswerFacts::stop_reason),
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
        Rule::value(
            &["candidates", "groundingMetadata", "groundingChunks", "web"],
            cited,
        ),
        Rule::value(&["error"], AnswerFacts::error),
        Rule::value(&["response", "usageMetadata"], usage),
        Rule::value(&["response", "modelVersion"], AnswerFacts::model),
        Rule::value(&["response", "responseId"], AnswerFacts::message_id),
        Rule::value(
            &["response", "candidates", "finishReason"],
            AnswerFacts::stop_reason,
        ),
        Rule::value(
            &["response", "promptFeedback", "blockReason"],
            AnswerFacts::stop_reason,
        ),
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
        Rule::value(
            &[
                "response",
                "candidates",
                "groundingMetadata",
                "groundingChunks",
                "web",
            ],
            cited,
        ),
    ],
    false,
);

/// Fields of `usageMetadata` that are read here, or repeat those.
static USAGE: Shape = Shape(&[
    ("promptTokenCount", Field::Any),
    ("cachedContentTokenCount", Field::Any),
    ("candidatesTokenCount", Field::Any),
    ("thoughtsTokenCount", Field::Any),
    ("toolUsePromptTokenCount", Field::Any),
    ("totalTokenCount", Field::Any),
    ("promptTokensDetails", Field::Inner(&PART)),
    ("cacheTokensDetails", Field::Inner(&PART)),
    ("candidatesTokensDetails", Field::Inner(&PART)),
    ("toolUsePromptTokensDetails", Field::Inner(&PART)),
    // Its values are charged at the model's standard price, as Vertex does for on-demand and provisioned calls.
    (
        "trafficType",
        Field::Words(&["ON_DEMAND", "PROVISIONED_THROUGHPUT", "TRAFFIC_TYPE_UNSPECIFIED"]),
    ),
    (
        "serviceTier",
        Field::Words(&["standard", "SERVICE_TIER_STANDARD", "unspecified"]),
    ),
]);

static PART: Shape = Shape(&[
    (
        "modality",
        Field::Words(&["TEXT", "AUDIO", "IMAGE", "VIDEO", "DOCUMENT"]),
    ),
    ("tokenCount", Field::Any),
]);

/// Google searches: charged by query or by prompt, depending on the model.
fn queries(seen: &mut AnswerFacts, value: &Value) {
    seen.hosted().queries(value);
}

fn maps(seen: &mut AnswerFacts, _: &Value) {
    seen.hosted().looked_at_maps();
}

/// The answer cites a web page, so there was a search even if its queries are missing.
fn cited(seen: &mut AnswerFacts, _: &Value) {
    seen.hosted().cited();
}

fn usage(seen: &mut AnswerFacts, usage: &Value) {
    if !usage.is_object() {
        return;
    }
    seen.doubtful |= !USAGE.covers(usage);
    // Without the kinds, all of the output may be images. A stream may send them only in its last piece.
    let undivided = |details: Option<&Value>| details.and_then(Value::as_array).is_none_or(Vec::is_empty);
    seen.terms.undivided_output =
        undivided(usage.get("candidatesTokensDetails")) && seen.terms.extras.get(Item::OutputImage) == 0;
    let mut figure = |name: &str| seen.figure(usage.get(name));
    let prompt = figure("promptTokenCount");
    let read = figure("cachedContentTokenCount").min(prompt);
    let tools = figure("toolUsePromptTokenCount");
    let output = figure("candidatesTokenCount") + figure("thoughtsTokenCount");
    let before = seen.tokens.unwrap_or_default();
    // Cumulative figures do not fall: a piece with fewer figures is only less complete.
    seen.tokens = Some(Tokens {
        input: before.input.max(prompt - read + tools),
        output: before.output.max(output),
        cache_read: before.cache_read.max(read),
        ..before
    });
    kinds(seen, usage);
}

/// Tokens by kind (`AUDIO`, `IMAGE`, `VIDEO`), which the figures above include; those of the prompt include
/// cached ones. Each list is scanned only once, because most calls have only text.
fn kinds(seen: &mut AnswerFacts, usage: &Value) {
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
        // Other kinds cost the same as text in a cache.
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
