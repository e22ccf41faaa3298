//! Answers as OpenAI gives them, at random, whole and as streams.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::convert::messages_to_gemini::tests::transcripts::text;

#[derive(Clone, Debug)]
pub(super) enum Item {
    /// Parts, and whether each is a refusal.
    Message(Vec<(String, bool)>),
    Reasoning(Vec<String>, Option<String>),
    Call(String, Value),
    /// Of a kind that nobody asked for.
    Other,
}

/// How much of an answer its stream tells by events of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Pieces,
    /// Items that are done.
    Items,
    /// The end alone.
    End,
}

impl Item {
    pub(super) fn json(&self, number: usize) -> Value {
        match self {
            Self::Message(parts) => {
                let parts: Vec<Value> = parts.iter().map(|(text, refusal)| part(text, *refusal)).collect();
                json!({ "type": "message", "id": format!("msg_{number}"), "role": "assistant", "status": "completed", "content": parts })
            }
            Self::Reasoning(summary, sealed) => {
                let summary: Vec<Value> = summary
                    .iter()
                    .map(|text| json!({ "type": "summary_text", "text": text }))
                    .collect();
                json!({ "type": "reasoning", "id": format!("rs_{number}"), "summary": summary, "encrypted_content": sealed })
            }
            Self::Call(name, arguments) => json!({
                "type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}"),
                "name": name, "arguments": arguments.to_string(), "status": "completed",
            }),
            Self::Other => json!({ "type": "compaction", "id": "cmp_1", "encrypted_content": "x" }),
        }
    }

    fn pieces(&self, at: usize) -> Vec<Value> {
        let mut events = Vec::new();
        match self {
            Self::Message(parts) => {
                for (index, (text, refusal)) in parts.iter().enumerate() {
                    let place =
                        |kind: &str| json!({ "type": kind, "output_index": at, "content_index": index });
                    events.push(place("response.content_part.added"));
                    let kind = if *refusal {
                        "response.refusal.delta"
                    } else {
                        "response.output_text.delta"
                    };
                    for c in text.chars() {
                        let mut delta = place(kind);
                        delta["delta"] = c.to_string().into();
                        events.push(delta);
                    }
                    events.push(place("response.content_part.done"));
                }
            }
            Self::Reasoning(summary, _) => {
                for (index, text) in summary.iter().enumerate() {
                    let place =
                        |kind: &str| json!({ "type": kind, "output_index": at, "summary_index": index });
                    events.push(place("response.reasoning_summary_part.added"));
                    for c in text.chars() {
                        let mut delta = place("response.reasoning_summary_text.delta");
                        delta["delta"] = c.to_string().into();
                        events.push(delta);
                    }
                    events.push(place("response.reasoning_summary_part.done"));
                }
            }
            Self::Call(_, arguments) => {
                for c in arguments.to_string().chars() {
                    events.push(json!({ "type": "response.function_call_arguments.delta", "output_index": at, "delta": c.to_string() }));
                }
            }
            Self::Other => {}
        }
        events
    }
}

fn part(text: &str, refusal: bool) -> Value {
    if refusal {
        json!({ "type": "refusal", "refusal": text })
    } else {
        json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
    }
}

/// The whole response.
pub(super) fn response(items: &[Item], status: &str) -> Value {
    let output: Vec<Value> = items
        .iter()
        .enumerate()
        .map(|(number, item)| item.json(number))
        .collect();
    let details = if status == "incomplete" {
        json!({ "reason": "max_output_tokens" })
    } else {
        Value::Null
    };
    json!({
        "id": "resp_1", "object": "response", "status": status, "error": null, "incomplete_details": details,
        "model": "gpt-5.4-2026-03-05", "output": output,
        "usage": {
            "input_tokens": 100, "input_tokens_details": { "cached_tokens": 60, "cache_write_tokens": 0 },
            "output_tokens": 12, "output_tokens_details": { "reasoning_tokens": 7 }, "total_tokens": 112,
        },
    })
}

/// The same as a stream.
pub(super) fn events(items: &[Item], status: &str, style: Style, line: &str) -> Vec<u8> {
    let mut begun = response(&[], "in_progress");
    begun["usage"] = Value::Null;
    let mut events = vec![
        json!({ "type": "response.created", "response": begun }),
        json!({ "type": "response.in_progress", "response": begun }),
    ];
    for (at, item) in items.iter().enumerate() {
        let whole = item.json(at);
        if style == Style::Pieces {
            let mut opening = whole.clone();
            for member in ["content", "summary"] {
                if opening.get(member).is_some() {
                    opening[member] = json!([]);
                }
            }
            for member in ["arguments", "encrypted_content"] {
                if opening.get(member).is_some() {
                    opening[member] = "".into();
                }
            }
            events.push(json!({ "type": "response.output_item.added", "output_index": at, "item": opening }));
            events.extend(item.pieces(at));
        }
        if style != Style::End {
            events.push(json!({ "type": "response.output_item.done", "output_index": at, "item": whole }));
        }
    }
    events.push(json!({ "type": format!("response.{status}"), "response": response(items, status) }));
    let events = events.into_iter().enumerate().map(|(number, mut event)| {
        event["sequence_number"] = number.into();
        format!(
            "event: {}{line}data: {event}{line}{line}",
            event["type"].as_str().unwrap()
        )
    });
    events.collect::<String>().into_bytes()
}

pub(super) fn items() -> impl Strategy<Value = Vec<Item>> {
    let sealed = proptest::option::of("[A-Za-z0-9_-]{1,40}={0,2}");
    let arguments = proptest::collection::btree_map("[a-z]{1,6}", text().prop_map(Value::from), 0..3);
    let item = prop_oneof![
        4 => proptest::collection::vec((text(), proptest::bool::weighted(0.1)), 0..3).prop_map(Item::Message),
        3 => (proptest::collection::vec(text(), 0..3), sealed).prop_map(|(summary, sealed)| Item::Reasoning(summary, sealed)),
        3 => ("[a-zA-Z_][a-zA-Z0-9_-]{0,63}", arguments).prop_map(|(name, arguments)| Item::Call(name, json!(arguments))),
        1 => Just(Item::Other),
    ];
    proptest::collection::vec(item, 0..7)
}

pub(super) fn style() -> impl Strategy<Value = Style> {
    prop_oneof![3 => Just(Style::Pieces), 1 => Just(Style::Items), 1 => Just(Style::End)]
}
