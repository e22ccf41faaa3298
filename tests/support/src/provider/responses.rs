//! Answers of Responses that are made of any items, as OpenAI streams them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::claude::{cut, frame};
use super::openai::OpenAiAnswer;
use super::request::Request;
use super::script::Script;

/// An item of encrypted reasoning.
pub fn reasoning(summary: &str, sealed: &str) -> Value {
    let summary: Vec<Value> = [summary]
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| json!({"type": "summary_text", "text": text}))
        .collect();
    json!({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": sealed})
}

/// A message of the model's.
pub fn said(text: &str) -> Value {
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

/// A call of a function.
pub fn called(id: &str, name: &str, arguments: &Value) -> Value {
    json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "status": "completed",
        "name": name, "arguments": arguments.to_string()})
}

impl Script {
    /// Answers with these items, whole or in pieces.
    pub fn openai_items(items: &[Value]) -> Self {
        let items = items.to_vec();
        Self::decide(move |request| {
            let mut whole = OpenAiAnswer::text("").response(request);
            whole["output"] = items.clone().into();
            if request.wants_stream() {
                Self::frames(frames(&whole))
            } else {
                Self::json(whole)
            }
        })
    }

    /// A turn with reasoning and a tool: reasons, asks for the tool, and answers with `last` once its result is there.
    pub fn openai_reasoning_turn(name: &str, arguments: &Value, last: &str) -> Self {
        let items = [
            reasoning("**Looking**", "sealed-by-the-fake"),
            called("call_of_the_fake", name, arguments),
        ];
        let last = [reasoning("", "sealed-at-the-end"), said(last)];
        Self::decide(move |request: &Request| {
            let done = request.text().contains("\"function_call_output\"");
            Self::openai_items(if done { &last } else { &items }).decided(request)
        })
    }
}

/// The events of a response.
fn frames(whole: &Value) -> Vec<Bytes> {
    let mut begun = whole.clone();
    begun["status"] = "in_progress".into();
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut events = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
    ];
    for (at, item) in whole["output"].as_array().into_iter().flatten().enumerate() {
        let mut opening = item.clone();
        for (member, empty) in [
            ("content", json!([])),
            ("summary", json!([])),
            ("arguments", json!("")),
            ("encrypted_content", Value::Null),
        ] {
            if opening.get(member).is_some() {
                opening[member] = empty;
            }
        }
        events.push(json!({"type": "response.output_item.added", "output_index": at, "item": opening}));
        let mut deltas = |kind: &str, place: &str, text: &Value| {
            for delta in cut(text.as_str().unwrap_or_default(), 5) {
                events.push(json!({"type": kind, "item_id": item["id"], "output_index": at, place: 0, "delta": delta}));
            }
        };
        for part in item["content"].as_array().into_iter().flatten() {
            deltas("response.output_text.delta", "content_index", &part["text"]);
        }
        for part in item["summary"].as_array().into_iter().flatten() {
            deltas(
                "response.reasoning_summary_text.delta",
                "summary_index",
                &part["text"],
            );
        }
        deltas("response.function_call_arguments.delta", "at", &item["arguments"]);
        events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
    }
    events.push(json!({"type": "response.completed", "response": whole}));
    let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
        event["sequence_number"] = number.into();
        frame(event["type"].as_str().unwrap_or_default(), &event)
    });
    numbered.collect()
}
