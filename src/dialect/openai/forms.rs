//! Converts OpenAI's answers between a whole answer and the events of a stream, for a client that asked for
//! another form than a compatible host sent.
//!
//! Source: OpenAI's reference of Chat Completions, of Responses, and of the streams of both.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::dialect::body::mended;
use crate::dialect::messages::forms::{append, put};
use crate::dialect::wire::events::{Lines, data, named};

/// The stream options of a chat request.
#[derive(Default, Deserialize)]
struct StreamWish {
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Whether a chat request asks for usage in its stream.
pub(crate) fn wants_usage(request: &[u8]) -> bool {
    let asked: StreamWish = serde_json::from_slice(request).unwrap_or_default();
    asked.stream_options.unwrap_or_default().include_usage
}

/// Converts a whole completion into chunks.
pub(crate) fn chunks(completion: &[u8], include_usage: bool) -> Result<Vec<u8>, String> {
    let mut completion = read(completion)?;
    let Some(Value::Array(choices)) = completion.get_mut("choices").map(Value::take) else {
        return Err("the provider's completion has no choices".to_owned());
    };
    let usage = completion.get_mut("usage").map(Value::take);
    put(&mut completion, "object", "chat.completion.chunk".into());
    let mut out = Vec::new();
    let mut chunk = |choices: Value, usage: Option<&Value>| {
        put(&mut completion, "choices", choices);
        match (include_usage, &mut completion) {
            (true, chunk) => put(chunk, "usage", usage.cloned().unwrap_or_default()),
            (false, Value::Object(members)) => drop(members.remove("usage")),
            (false, _) => {}
        }
        out.extend_from_slice(&data(completion.to_string().as_bytes()));
    };
    for mut choice in choices {
        let mut message = choice.get_mut("message").map(Value::take).unwrap_or_default();
        if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
            for (index, call) in calls.iter_mut().enumerate() {
                put(call, "index", index.into());
            }
        }
        let index = choice.get("index").cloned().unwrap_or_else(|| 0.into());
        let finish = choice.get_mut("finish_reason").map(Value::take);
        let finish = finish.filter(|finish| !finish.is_null()).unwrap_or("stop".into());
        let logprobs = choice.get_mut("logprobs").map(Value::take);
        chunk(
            json!([{ "index": index, "delta": message, "logprobs": logprobs, "finish_reason": null }]),
            None,
        );
        chunk(
            json!([{ "index": index, "delta": {}, "logprobs": null, "finish_reason": finish }]),
            None,
        );
    }
    if include_usage {
        chunk(json!([]), usage.as_ref());
    }
    out.extend_from_slice(&data(b"[DONE]"));
    Ok(out)
}

/// Converts a stream's chunks into a whole completion.
pub(crate) fn completion(chunks: &[u8]) -> Result<Vec<u8>, String> {
    let mut whole: Option<Value> = None;
    let mut choices: Vec<Value> = Vec::new();
    each_event(chunks, |mut chunk| {
        if let Some(Value::Array(said)) = chunk.get_mut("choices").map(Value::take) {
            for choice in said {
                choose(&mut choices, choice);
            }
        }
        let usage = chunk.get_mut("usage").map(Value::take).unwrap_or_default();
        let whole = whole.get_or_insert(chunk);
        if !usage.is_null() {
            put(whole, "usage", usage);
        }
    })?;
    let is_over = |choice: &Value| !choice.get("finish_reason").unwrap_or(&Value::Null).is_null();
    let mut whole = whole
        .filter(|_| !choices.is_empty() && choices.iter().all(is_over))
        .ok_or("the stream ended before its last chunk")?;
    put(&mut whole, "object", "chat.completion".into());
    put(&mut whole, "choices", choices.into());
    Ok(whole.to_string().into_bytes())
}

/// Merges a chunk's choice.
fn choose(choices: &mut Vec<Value>, mut said: Value) {
    let index = said.get("index").and_then(Value::as_u64).unwrap_or(0);
    let of_it = |choice: &Value| choice.get("index").and_then(Value::as_u64) == Some(index);
    if !choices.iter().any(of_it) {
        choices.push(json!({
            "index": index, "message": { "role": "assistant", "content": null },
            "logprobs": null, "finish_reason": null,
        }));
    }
    let Some(choice) = choices.iter_mut().find(|choice| of_it(choice)) else {
        return;
    };
    let finish = said.get_mut("finish_reason").map(Value::take).unwrap_or_default();
    if !finish.is_null() {
        put(choice, "finish_reason", finish);
    }
    if let (Some(Value::Object(delta)), Some(message)) =
        (said.get_mut("delta").map(Value::take), choice.get_mut("message"))
    {
        for (member, value) in delta {
            match value {
                Value::Null => {}
                Value::String(text) if member != "role" => append(message, &member, &text.into()),
                Value::Array(calls) if member == "tool_calls" => {
                    for call in calls {
                        call_tool(message, call);
                    }
                }
                value => put(message, &member, value),
            }
        }
    }
}

/// Merges a part of a tool call into the message.
fn call_tool(message: &mut Value, mut part: Value) {
    let at = part.get("index").and_then(Value::as_u64).unwrap_or(0) as usize;
    if !message.get("tool_calls").is_some_and(Value::is_array) {
        put(message, "tool_calls", json!([]));
    }
    let Some(Value::Array(calls)) = message.get_mut("tool_calls") else {
        return;
    };
    // Calls arrive in order.
    if at >= calls.len() {
        calls.push(json!({ "type": "function", "function": { "name": "", "arguments": "" } }));
    }
    let last = calls.len().saturating_sub(1);
    let Some(call) = calls.get_mut(at.min(last)) else {
        return;
    };
    for member in ["id", "type"] {
        if let Some(text) = part.get(member).filter(|text| text.is_string()) {
            put(call, member, text.clone());
        }
    }
    if let (Some(said), Some(function)) = (part.get_mut("function"), call.get_mut("function")) {
        for member in ["name", "arguments"] {
            if let Some(text) = said.get(member) {
                append(function, member, text);
            }
        }
    }
}

/// Converts a whole response into events.
pub(crate) fn response_events(response: &[u8]) -> Result<Vec<u8>, String> {
    let response = read(response)?;
    let items = response.get("output").and_then(Value::as_array);
    let items = items.ok_or("the provider's response has no output")?;
    let last = match response.get("status").and_then(Value::as_str) {
        Some("failed") => "response.failed",
        Some("incomplete") => "response.incomplete",
        _ => "response.completed",
    };
    let mut out = Vec::new();
    let mut number = 0_u64;
    let mut event = |name: &str, mut data: Value| {
        put(&mut data, "type", name.into());
        put(&mut data, "sequence_number", number.into());
        number += 1;
        named(&mut out, name, data.to_string().as_bytes());
    };
    let mut begun = response.clone();
    put(&mut begun, "status", "in_progress".into());
    put(&mut begun, "output", json!([]));
    put(&mut begun, "usage", Value::Null);
    event("response.created", json!({ "response": begun }));
    for (at, item) in items.iter().enumerate() {
        let id = item.get("id").cloned().unwrap_or_default();
        let mut opening = item.clone();
        put(&mut opening, "status", "in_progress".into());
        let parts = match opening.get_mut("content") {
            Some(content @ Value::Array(_)) => std::mem::replace(content, json!([])),
            _ => Value::Null,
        };
        event(
            "response.output_item.added",
            json!({ "output_index": at, "item": opening }),
        );
        for (index, part) in parts.as_array().into_iter().flatten().enumerate() {
            let place = |members: Value| {
                let mut place = json!({ "item_id": id, "output_index": at, "content_index": index });
                if let Value::Object(members) = members {
                    members
                        .into_iter()
                        .for_each(|(name, value)| put(&mut place, &name, value));
                }
                place
            };
            let mut empty = part.clone();
            let text = empty
                .get_mut("text")
                .map(|text| std::mem::replace(text, "".into()));
            event("response.content_part.added", place(json!({ "part": empty })));
            if let Some(text) = text {
                event("response.output_text.delta", place(json!({ "delta": text })));
                event("response.output_text.done", place(json!({ "text": text })));
            }
            event("response.content_part.done", place(json!({ "part": part })));
        }
        if let Some(arguments) = item.get("arguments") {
            let place = |name: &str| json!({ "item_id": id, "output_index": at, name: arguments });
            event("response.function_call_arguments.delta", place("delta"));
            event("response.function_call_arguments.done", place("arguments"));
        }
        event(
            "response.output_item.done",
            json!({ "output_index": at, "item": item }),
        );
    }
    event(last, json!({ "response": response }));
    Ok(out)
}

/// Converts a stream's events into a whole response.
pub(crate) fn response(events: &[u8]) -> Result<Vec<u8>, String> {
    let mut items = Vec::new();
    let mut last = None;
    each_event(events, |mut event| {
        let mut take = |member: &str| event.get_mut(member).map(Value::take).unwrap_or_default();
        match take("type").as_str().unwrap_or_default() {
            "response.output_item.done" => items.push(take("item")),
            "response.completed" | "response.incomplete" | "response.failed" => last = Some(take("response")),
            _ => {}
        }
    })?;
    let mut response = last.ok_or("the stream ended before its last event")?;
    // Some hosts send the items only in events.
    if response
        .get("output")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
    {
        put(&mut response, "output", items.into());
    }
    Ok(response.to_string().into_bytes())
}

/// Calls `each` with each event's data. Fails with an error in the stream.
fn each_event(events: &[u8], mut each: impl FnMut(Value)) -> Result<(), String> {
    let mut error = None;
    let mut read = |data: &[u8]| {
        let Ok(event) = serde_json::from_slice::<Value>(&mended(data)) else {
            return;
        };
        let is_error = event.get("type").is_some_and(|kind| kind == "error");
        match event.get("error").filter(|error| !error.is_null()) {
            Some(reported) => error = Some(reported.to_string()),
            None if is_error => error = Some(event.to_string()),
            None => each(event),
        }
    };
    let mut lines = Lines::default();
    lines
        .feed(events, &mut read)
        .map_err(|_| "an event is too long".to_owned())?;
    lines.finish(&mut read);
    error.map_or(Ok(()), |error| {
        Err(format!("the stream ended with an error: {error}"))
    })
}

fn read(answer: &[u8]) -> Result<Value, String> {
    let answer: Value = serde_json::from_slice(&mended(answer))
        .map_err(|_| "the provider's answer cannot be read".to_owned())?;
    match answer.get("error").filter(|error| !error.is_null()) {
        Some(error) if answer.get("output").is_none() => {
            Err(format!("the provider's answer is an error: {error}"))
        }
        _ => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(whole: &Value, there: &[u8], back: Result<Vec<u8>, String>) {
        assert!(!there.is_empty());
        let back: Value = serde_json::from_slice(&back.unwrap()).unwrap();
        assert_eq!(&back, whole);
    }

    fn a_completion() -> Value {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "f",
            "choices": [
                { "index": 0, "logprobs": null, "finish_reason": "tool_calls", "message": {
                    "role": "assistant", "content": "Let me look.", "reasoning_content": "Hm.",
                    "tool_calls": [
                        { "id": "call_1", "type": "function", "function": { "name": "a", "arguments": "{\"x\":1}" } },
                        { "id": "call_2", "type": "function", "function": { "name": "b", "arguments": "{}" } },
                    ] } },
                { "index": 1, "logprobs": null, "finish_reason": "stop", "message": { "role": "assistant", "content": "Two" } },
            ],
            "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 },
        })
    }

    #[test]
    fn completions_there_and_back_are_the_same() {
        let whole = a_completion();
        let there = chunks(whole.to_string().as_bytes(), true).unwrap();
        there_and_back(&whole, &there, completion(&there));
        let text = String::from_utf8(there).unwrap();
        assert!(text.ends_with("\n\ndata: [DONE]\n\n"), "{text}");
        // Usage is reported if it was asked for.
        assert!(wants_usage(
            br#"{"stream":true,"stream_options":{"include_usage":true}}"#
        ));
        assert!(!wants_usage(br#"{"stream":true,"stream_options":null}"#));
        let silent = chunks(whole.to_string().as_bytes(), false).unwrap();
        assert!(!String::from_utf8(silent).unwrap().contains("usage"));
    }

    #[test]
    fn pieces_of_a_completion_are_put_together() {
        let said = |delta: Value, finish: Value| {
            let chunk = json!({ "id": "c", "object": "chat.completion.chunk",
                "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
            format!("data: {chunk}\n\n")
        };
        let stream = [
            ": ping\n\n".to_owned(),
            said(json!({ "role": "assistant", "content": "" }), Value::Null),
            said(json!({ "content": "one " }), Value::Null),
            said(json!({ "content": "two" }), Value::Null),
            said(json!({ "tool_calls": [{ "index": 0, "id": "i", "function": { "name": "f", "arguments": "{\"a\"" } }] }), Value::Null),
            said(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": ":1}" } }] }), Value::Null),
            said(json!({}), "tool_calls".into()),
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat();
        let whole: Value = serde_json::from_slice(&completion(stream.as_bytes()).unwrap()).unwrap();
        let message = &whole["choices"][0]["message"];
        assert_eq!(message["content"], "one two");
        assert_eq!(
            message["tool_calls"][0]["function"],
            json!({ "name": "f", "arguments": "{\"a\":1}" })
        );
        let cut = stream.len() - 120;
        assert!(completion(&stream.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn responses_there_and_back_are_the_same() {
        let whole = json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": "m", "error": null,
            "output": [
                { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" },
                { "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                  "content": [{ "type": "output_text", "text": "Hi", "annotations": [] }] },
                { "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}", "status": "completed" },
            ],
            "usage": { "input_tokens": 3, "output_tokens": 4 },
        });
        let there = response_events(whole.to_string().as_bytes()).unwrap();
        there_and_back(&whole, &there, response(&there));
        let text = String::from_utf8(there).unwrap();
        assert!(text.starts_with("event: response.created\ndata: {"), "{text}");
        for name in [
            "response.output_text.delta",
            "response.function_call_arguments.done",
        ] {
            assert!(text.contains(&format!("event: {name}\n")), "{name}");
        }
        // Items that only their own events tell.
        let told_apart = text.replace(&whole["output"].to_string(), "[]");
        let back: Value = serde_json::from_slice(&response(told_apart.as_bytes()).unwrap()).unwrap();
        assert_eq!(back, whole);
        assert!(response(&text.as_bytes()[..text.len() / 2]).is_err());
    }

    #[test]
    fn errors_are_no_answers() {
        let error = json!({ "error": { "message": "x" } }).to_string();
        assert!(chunks(error.as_bytes(), false).is_err());
        assert!(response_events(error.as_bytes()).is_err());
        let stream = format!("data: {error}\n\n");
        assert!(completion(stream.as_bytes()).is_err());
        assert!(response(stream.as_bytes()).is_err());
    }
}
