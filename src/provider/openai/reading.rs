//! What OpenAI's answers tell of usage.
//!
//! Facts this rests on (OpenAI's API reference): `input_tokens` and `prompt_tokens` count cached ones too,
//! and those written to a cache; `output_tokens` and `completion_tokens` count the reasoning. A stream of
//! Responses names usage in its last event, one of Chat Completions in a chunk of its own, before `[DONE]`
//! and after the reason to stop, and only if it was asked for. `service_tier` is what was asked for at first,
//! and what was granted at the end.

use serde_json::Value;

use crate::model::usage::Tokens;
use crate::relay::meter::reading::{Reading, Rule, Seen};

pub(super) static RESPONSES: Reading = Reading {
    rules: &[
        // A stream: each event has a type, and the last ones the response.
        Rule::value(&["type"], kind),
        Rule::value(&["response", "id"], Seen::message_id),
        Rule::value(&["response", "model"], Seen::model),
        Rule::value(&["response", "service_tier"], Seen::tier),
        Rule::value(&["response", "usage"], usage),
        Rule::value(&["response", "status"], status),
        Rule::value(&["response", "error"], Seen::error),
        Rule::value(&["message"], Seen::says),
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
        Rule::content(&["output"]),
    ],
    mark: None,
};

pub(super) static CHAT: Reading = Reading {
    rules: &[
        Rule::value(&["id"], Seen::message_id),
        Rule::value(&["model"], Seen::model),
        Rule::value(&["service_tier"], Seen::tier),
        Rule::value(&["usage"], usage),
        Rule::value(&["error"], Seen::error),
        Rule::value(&["choices", "finish_reason"], Seen::stop_reason),
        Rule::content(&["choices", "delta", "content"]),
        Rule::content(&["choices", "delta", "reasoning_content"]),
        Rule::content(&["choices", "delta", "tool_calls"]),
        Rule::content(&["choices", "message"]),
    ],
    mark: Some("[DONE]"),
};

/// An event that is an error has it in the event itself.
fn kind(seen: &mut Seen, kind: &Value) {
    if kind.as_str() == Some("error") {
        seen.is_error();
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

fn usage(seen: &mut Seen, usage: &Value) {
    if !usage.is_object() {
        return;
    }
    let either = |one: &str, other: &str| usage.get(one).or_else(|| usage.get(other));
    let details = either("input_tokens_details", "prompt_tokens_details");
    let detail = |name: &str| details.and_then(|details| details.get(name));
    let input = seen.figure(either("input_tokens", "prompt_tokens"));
    let read = seen.figure(detail("cached_tokens")).min(input);
    let written = seen.figure(detail("cache_write_tokens")).min(input - read);
    seen.tokens = Some(Tokens {
        input: input - read - written,
        output: seen.figure(either("output_tokens", "completion_tokens")),
        cache_write_5m: written,
        cache_write_1h: 0,
        cache_read: read,
    });
}

#[cfg(test)]
mod tests;
