//! Reads usage from OpenAI's answers.
//!
//! Source: OpenAI's API reference. `input_tokens` and `prompt_tokens` include cached tokens and cache writes;
//! `output_tokens` and `completion_tokens` include reasoning. A Responses stream has usage in its last event. A
//! Chat Completions stream has it in a separate chunk, after the finish reason and before `[DONE]`, and only if
//! requested. `service_tier` is the requested tier at first and the granted one at the end.

use serde_json::Value;

use crate::dialect::meter::reading::{AnswerFacts, Reading, Rule};
use crate::dialect::meter::shape::{Field, Shape};
use crate::model::charge::Item;
use crate::model::usage::Tokens;

pub(crate) static RESPONSES: Reading = Reading::new(
    &[
        // In a stream: each event has a type, and the last ones contain the response.
        Rule::value(&["type"], kind),
        Rule::value(&["response", "id"], AnswerFacts::message_id),
        Rule::value(&["response", "model"], AnswerFacts::model),
        Rule::value(&["response", "service_tier"], AnswerFacts::tier),
        Rule::value(&["response", "usage"], usage),
        Rule::value(&["response", "status"], status),
        Rule::value(&["response", "error"], AnswerFacts::error),
        Rule::value(&["message"], AnswerFacts::says),
        Rule::value(&["code"], AnswerFacts::code),
        Rule::content(&["delta"]),
        // An item is done, so its encrypted reasoning is complete.
        Rule::value(&["item", "encrypted_content"], AnswerFacts::encrypted_reasoning),
        Rule::value(
            &["response", "output", "encrypted_content"],
            AnswerFacts::encrypted_reasoning,
        ),
        // In a whole answer: the response itself.
        Rule::value(&["id"], AnswerFacts::message_id),
        Rule::value(&["model"], AnswerFacts::model),
        Rule::value(&["service_tier"], AnswerFacts::tier),
        Rule::value(&["usage"], usage),
        Rule::value(&["status"], status),
        Rule::value(&["error"], AnswerFacts::error),
        Rule::content(&["output", "content"]),
        Rule::content(&["output", "summary"]),
        Rule::content(&["output", "arguments"]),
        Rule::content(&["output", "input"]),
        Rule::value(&["output", "encrypted_content"], AnswerFacts::encrypted_output),
        // Tools run by OpenAI: in a stream as each is done, and in the final list.
        Rule::value(&["item", "type"], |seen, value| seen.hosted().item_type(value)),
        Rule::value(&["item", "action", "type"], |seen, value| {
            seen.hosted().item_action(value);
        }),
        Rule::value(&["item", "container_id"], |seen, value| {
            seen.hosted().item_container(value);
        }),
        Rule::value(&["response", "output", "type"], listed_type),
        Rule::value(&["response", "output", "action", "type"], listed_action),
        Rule::value(&["response", "output", "container_id"], listed_container),
        Rule::value(&["response", "tool_usage"], tool_usage),
        Rule::value(&["response", "tools", "type"], tool_type),
        Rule::value(&["response", "tools", "model"], image_model),
        Rule::value(&["output", "type"], listed_type),
        Rule::value(&["output", "action", "type"], listed_action),
        Rule::value(&["output", "container_id"], listed_container),
        Rule::value(&["tool_usage"], tool_usage),
        Rule::value(&["tools", "type"], tool_type),
        Rule::value(&["tools", "model"], image_model),
    ],
    false,
);

pub(crate) static CHAT: Reading = Reading::new(
    &[
        Rule::value(&["id"], AnswerFacts::message_id),
        Rule::value(&["model"], chat_model),
        Rule::value(&["service_tier"], AnswerFacts::tier),
        Rule::value(&["usage"], usage),
        Rule::value(&["error"], AnswerFacts::error),
        Rule::value(&["choices", "finish_reason"], AnswerFacts::stop_reason),
        Rule::content(&["choices", "delta", "content"]),
        Rule::content(&["choices", "delta", "reasoning_content"]),
        Rule::content(&["choices", "delta", "tool_calls"]),
        Rule::value(&["choices", "delta", "annotations"], annotations),
        Rule::content(&["choices", "message", "content"]),
        Rule::content(&["choices", "message", "reasoning_content"]),
        Rule::content(&["choices", "message", "refusal"]),
        Rule::content(&["choices", "message", "tool_calls"]),
        Rule::value(&["choices", "message", "annotations"], annotations),
    ],
    true,
);

/// Images: whole, or an event for each image that is made. Their data is long and does not matter here.
///
/// Source: OpenAI's API reference, "Images" and "Image streaming".
pub(crate) static IMAGES: Reading = Reading::new(
    &[
        Rule::value(&["type"], image_event),
        Rule::value(&["usage"], image_usage),
        Rule::value(&["error"], AnswerFacts::error),
        Rule::value(&["message"], AnswerFacts::says),
        Rule::value(&["code"], AnswerFacts::code),
    ],
    false,
);

fn image_event(seen: &mut AnswerFacts, kind: &Value) {
    match kind.as_str() {
        Some("error") => seen.is_error(),
        Some(name) if name.ends_with(".completed") => seen.stop_reason(kind),
        _ => {}
    }
}

/// All output is images: what little of it is text costs no more. A stream has a usage for each image.
fn image_usage(seen: &mut AnswerFacts, figures: &Value) {
    let before = seen.tokens.take();
    let input_images = seen.terms.extras.get(Item::InputImage);
    usage(seen, figures);
    let tokens = seen.tokens.get_or_insert_default();
    *tokens += before.unwrap_or_default();
    let output = tokens.output;
    let extras = &mut seen.terms.extras;
    extras.set(Item::OutputImage, output);
    extras.set(
        Item::InputImage,
        extras.get(Item::InputImage).saturating_add(input_images),
    );
    if before.is_none() && *figures == Value::Null {
        seen.tokens = None;
    }
}

fn listed_type(seen: &mut AnswerFacts, value: &Value) {
    seen.hosted().listed_type(value);
}

fn listed_action(seen: &mut AnswerFacts, value: &Value) {
    seen.hosted().listed_action(value);
}

fn listed_container(seen: &mut AnswerFacts, value: &Value) {
    seen.hosted().listed_container(value);
}

fn tool_usage(seen: &mut AnswerFacts, value: &Value) {
    seen.hosted().tool_usage(value);
}

fn tool_type(seen: &mut AnswerFacts, value: &Value) {
    seen.hosted().tool_type(value);
}

/// Only the image generation tool has a model.
fn image_model(seen: &mut AnswerFacts, value: &Value) {
    seen.hosted().image_model(value);
}

/// Search models (`gpt-5-search-api`, `gpt-4o-search-preview`) search once per answer, without a counter.
fn chat_model(seen: &mut AnswerFacts, value: &Value) {
    seen.model(value);
    if value.as_str().is_some_and(|model| model.contains("-search-")) {
        seen.hosted().searched();
    }
}

/// Citations: the answer used a search.
fn annotations(seen: &mut AnswerFacts, value: &Value) {
    if value.as_array().is_some_and(|list| !list.is_empty()) {
        seen.hosted().searched();
    }
}

/// The type of an event. An error event contains the error itself.
fn kind(seen: &mut AnswerFacts, kind: &Value) {
    match kind.as_str() {
        Some("error") => seen.is_error(),
        Some("response.output_item.done") => seen.hosted().item_is_done(),
        _ => {}
    }
}

/// `in_progress` and `queued` do not end the answer.
fn status(seen: &mut AnswerFacts, status: &Value) {
    if matches!(
        status.as_str(),
        Some("completed" | "incomplete" | "failed" | "cancelled")
    ) {
        seen.stop_reason(status);
    }
}

/// Fields of `usage` that are read here, or repeat those. Compatible hosts repeat the cache's figures under their
/// own names.
static USAGE: Shape = Shape(&[
    ("input_tokens", Field::Any),
    ("prompt_tokens", Field::Any),
    ("output_tokens", Field::Any),
    ("completion_tokens", Field::Any),
    ("total_tokens", Field::Any),
    ("input_tokens_details", Field::Inner(&INPUT)),
    ("prompt_tokens_details", Field::Inner(&INPUT)),
    ("output_tokens_details", Field::Inner(&OUTPUT)),
    ("completion_tokens_details", Field::Inner(&OUTPUT)),
    ("tool_usage", Field::Any),
    ("prompt_cache_hit_tokens", Field::Any),
    ("prompt_cache_miss_tokens", Field::Any),
    ("reasoning_tokens", Field::Any),
    // Durations of the host in seconds.
    ("queue_time", Field::Any),
    ("prompt_time", Field::Any),
    ("completion_time", Field::Any),
    ("total_time", Field::Any),
]);

static INPUT: Shape = Shape(&[
    ("cached_tokens", Field::Any),
    ("cache_write_tokens", Field::Any),
    ("audio_tokens", Field::Any),
    ("image_tokens", Field::Any),
    ("text_tokens", Field::Any),
]);

/// Unused predicted tokens are billed as output and included there.
static OUTPUT: Shape = Shape(&[
    ("reasoning_tokens", Field::Any),
    ("accepted_prediction_tokens", Field::Any),
    ("rejected_prediction_tokens", Field::Any),
    ("audio_tokens", Field::Any),
    ("image_tokens", Field::Any),
    ("text_tokens", Field::Any),
]);

fn usage(seen: &mut AnswerFacts, usage: &Value) {
    if !usage.is_object() {
        return;
    }
    seen.doubtful |= !USAGE.covers(usage);
    let either = |one: &str, other: &str| usage.get(one).or_else(|| usage.get(other));
    let details = either("input_tokens_details", "prompt_tokens_details");
    let detail = |name: &str| details.and_then(|details| details.get(name));
    let input = seen.figure(either("input_tokens", "prompt_tokens"));
    let read = seen.figure(detail("cached_tokens")).min(input);
    let written = seen.figure(detail("cache_write_tokens")).min(input - read);
    if let Some(tools) = usage.get("tool_usage") {
        seen.hosted().tool_usage(tools);
    }
    let output = seen.figure(either("output_tokens", "completion_tokens"));
    let made = either("output_tokens_details", "completion_tokens_details");
    for (item, details, name) in [
        (Item::InputAudio, details, "audio_tokens"),
        (Item::InputImage, details, "image_tokens"),
        (Item::OutputAudio, made, "audio_tokens"),
        (Item::OutputImage, made, "image_tokens"),
    ] {
        let count = seen.figure(details.and_then(|details| details.get(name)));
        seen.terms.extras.set(item, count);
    }
    seen.tokens = Some(Tokens {
        input: input - read - written,
        output,
        cache_write_5m: written,
        cache_write_1h: 0,
        cache_read: read,
    });
}

#[cfg(test)]
mod tests;
