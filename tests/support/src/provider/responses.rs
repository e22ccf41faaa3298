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
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]})
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

    /// What OpenAI answers about a stored response, which is complete.
    pub(super) fn stored_response(request: &Request) -> Self {
        let path = request.path();
        let (_, named) = path.split_once("/responses/").unwrap_or_default();
        let id = named.split('/').next().unwrap_or_default();
        let mut whole = OpenAiAnswer::text("from the store").response(request);
        whole["id"] = id.into();
        match request.method.as_str() {
            "DELETE" => Self::json(json!({"id": id, "object": "response", "deleted": true})),
            "GET" if named.ends_with("/input_items") => Self::json(json!({
                "object": "list", "data": [said("hi")], "first_id": "msg_1", "last_id": "msg_1", "has_more": false,
            })),
            "GET" if request.target.contains("stream=true") => Self::frames(frames(&whole)),
            _ => Self::json(whole),
        }
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

/// The events of a response, in the order of `tests/fixtures/openai/reasoning_tool.sse` and `text.sse`.
pub(super) fn frames(whole: &Value) -> Vec<Bytes> {
    let mut begun = whole.clone();
    begun["status"] = "in_progress".into();
    begun["service_tier"] = "auto".into();
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    let mut events = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
    ];
    for (at, item) in whole["output"].as_array().into_iter().flatten().enumerate() {
        events.extend(of_item(at, item));
    }
    let end = match whole["status"].as_str() {
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
    events.push(json!({"type": end, "response": whole}));
    let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
        event["sequence_number"] = number.into();
        frame(event["type"].as_str().unwrap_or_default(), &event)
    });
    numbered.collect()
}

/// The events of one item of the output.
fn of_item(at: usize, item: &Value) -> Vec<Value> {
    let mut opening = item.clone();
    for (member, empty) in [
        ("content", json!([])),
        ("summary", json!([])),
        ("arguments", json!("")),
        ("encrypted_content", json!("sealed-but-not-whole")),
        ("status", json!("in_progress")),
    ] {
        if opening.get(member).is_some() {
            opening[member] = empty;
        }
    }
    let mut events = vec![json!({"type": "response.output_item.added", "output_index": at, "item": opening})];
    let mut say = |kind: &str, more: &Value| {
        let mut event = json!({"type": kind, "item_id": item["id"], "output_index": at});
        for (member, value) in more.as_object().into_iter().flatten() {
            event[member] = value.clone();
        }
        events.push(event);
    };
    let list = |member: &str| item[member].as_array().into_iter().flatten().enumerate();
    for (number, part) in list("summary") {
        let place = json!({"summary_index": number, "part": {"type": "summary_text", "text": ""}});
        say("response.reasoning_summary_part.added", &place);
        for delta in cut(part["text"].as_str().unwrap_or_default(), 5) {
            let delta = json!({"summary_index": number, "delta": delta, "obfuscation": "x7Qz"});
            say("response.reasoning_summary_text.delta", &delta);
        }
        let text = json!({"summary_index": number, "text": part["text"]});
        say("response.reasoning_summary_text.done", &text);
        let part = json!({"summary_index": number, "part": part});
        say("response.reasoning_summary_part.done", &part);
    }
    for (number, part) in list("content") {
        let mut empty = part.clone();
        empty["text"] = "".into();
        say(
            "response.content_part.added",
            &json!({"content_index": number, "part": empty}),
        );
        for delta in cut(part["text"].as_str().unwrap_or_default(), 5) {
            let delta =
                json!({"content_index": number, "delta": delta, "logprobs": [], "obfuscation": "x7Qz"});
            say("response.output_text.delta", &delta);
        }
        let text = json!({"content_index": number, "text": part["text"], "logprobs": []});
        say("response.output_text.done", &text);
        say(
            "response.content_part.done",
            &json!({"content_index": number, "part": part}),
        );
    }
    if let Some(arguments) = item["arguments"].as_str() {
        for delta in cut(arguments, 5) {
            let delta = json!({"delta": delta, "obfuscation": "x7Qz"});
            say("response.function_call_arguments.delta", &delta);
        }
        say(
            "response.function_call_arguments.done",
            &json!({"arguments": arguments}),
        );
    }
    events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
    events
}
