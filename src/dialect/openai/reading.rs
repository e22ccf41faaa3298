//! Reads usage from OpenAI's answers.
//!
//! Facts this rests on (OpenAI's API reference): `input_tokens` and `prompt_tokens` count cached ones too,
//! and those written to a cache; `output_tokens` and `completion_tokens` count the reasoning. A stream of
//! Responses names usage in its last event, one of Chat Completions in a chunk of its own, before `[DONE]`
//! and after the reason to stop, and only if it was asked for. `service_tier` is what was asked for at first,
//! and what was granted at the end.

use serde_json::Value;

use crate::dialect::meter::reading::{Reading, Rule, Seen};
use crate::dialect::meter::shape::{Field, Shape};
use crate::model::charge::Item;
use crate::model::usage::Tokens;

pub(crate) static RESPONSES: Reading = Reading::new(
    &[
        // A stream: each event has a type, and the last ones the response.
        Rule::value(&["type"], kind),
        Rule::value(&["response", "id"], Seen::message_id),
        Rule::value(&["response", "model"], Seen::model),
        Rule::value(&["response", "service_tier"], Seen::tier),
        Rule::value(&["response", "usage"], usage),
        Rule::value(&["response", "status"], status),
        Rule::value(&["response", "error"], Seen::error),
        Rule::value(&["message"], Seen::says),
        Rule::value(&["code"], Seen::code),
        Rule::content(&["delta"]),
        // An item is done: encrypted reasoning is whole.
        Rule::value(&["item", "encrypted_content"], Seen::encrypted_reasoning),
        Rule::value(
            &["response", "output", "encrypted_content"],
            Seen::encrypted_reasoning,
        ),
        // In one piece: the response itself.
        Rule::value(&["id"], Seen::message_id),
        Rule::value(&["model"], Seen::model),
        Rule::value(&["service_tier"], Seen::tier),
        Rule::value(&["usage"], usage),
        Rule::value(&["status"], status),
        Rule::value(&["error"], Seen::error),
        Rule::content(&["output", "content"]),
        Rule::content(&["output", "summary"]),
        Rule::content(&["output", "arguments"]),
        Rule::content(&["output", "input"]),
        Rule::value(&["output", "encrypted_content"], Seen::encrypted_output),
        // Tools that OpenAI ran: in a stream as each is done, and in the list of all at the end.
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
        Rule::value(&["id"], Seen::message_id),
        Rule::value(&["model"], chat_model),
        Rule::value(&["service_tier"], Seen::tier),
        Rule::value(&["usage"], usage),
        Rule::value(&["error"], Seen::error),
        Rule::value(&["choices", "finish_reason"], Seen::stop_reason),
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

fn listed_type(seen: &mut Seen, value: &Value) {
    seen.hosted().listed_type(value);
}

fn listed_action(seen: &mut Seen, value: &Value) {
    seen.hosted().listed_action(value);
}

fn listed_container(seen: &mut Seen, value: &Value) {
    seen.hosted().listed_container(value);
}

fn tool_usage(seen: &mut Seen, value: &Value) {
    seen.hosted().tool_usage(value);
}

fn tool_type(seen: &mut Seen, value: &Value) {
    seen.hosted().tool_type(value);
}

/// Of all tools only the one that generates images has a model.
fn image_model(seen: &mut Seen, value: &Value) {
    seen.hosted().image_model(value);
}

/// Models that are a search (`gpt-5-search-api`, `gpt-4o-search-preview`) search once for each answer; nothing
/// counts it.
fn chat_model(seen: &mut Seen, value: &Value) {
    seen.model(value);
    if value.as_str().is_some_and(|model| model.contains("-search-")) {
        seen.hosted().searched();
    }
}

/// Citations: the answer rests on a search.
fn annotations(seen: &mut Seen, value: &Value) {
    if value.as_array().is_some_and(|list| !list.is_empty()) {
        seen.hosted().searched();
    }
}

/// The type of an event. An error event carries the error in itself.
fn kind(seen: &mut Seen, kind: &Value) {
    match kind.as_str() {
        Some("error") => seen.is_error(),
        Some("response.output_item.done") => seen.hosted().item_is_done(),
        _ => {}
    }
}

/// `in_progress` and `queued` are no end.
fn status(seen: &mut Seen, status: &Value) {
    if matches!(
        status.as_str(),
        Some("completed" | "incomplete" | "failed" | "cancelled")
    ) {
        seen.stop_reason(status);
    }
}

/// Fields of `usage` that are read here, or repeat what is. Compatible hosts repeat the cache's figures under names
/// of their own.
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
    // Seconds that the host took.
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

/// Predicted tokens that were not used are billed as output, and counted there.
static OUTPUT: Shape = Shape(&[
    ("reasoning_tokens", Field::Any),
    ("accepted_prediction_tokens", Field::Any),
    ("rejected_prediction_tokens", Field::Any),
    ("audio_tokens", Field::Any),
    ("image_tokens", Field::Any),
    ("text_tokens", Field::Any),
]);

fn usage(seen: &mut Seen, usage: &Value) {
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
