//! Converts Anthropic's messages between a whole message and the events of a stream, for a client that asked for
//! another form than its provider sent.
//!
//! Source: Anthropic's reference of the Messages API and of its streaming. Unknown blocks and deltas are
//! forwarded unchanged.

use serde_json::{Map, Value, json};

use crate::dialect::body::mended;
use crate::dialect::wire::events::{Lines, named};

/// Converts a whole message into events.
pub(crate) fn streamed(message: &[u8]) -> Result<Vec<u8>, String> {
    let mut message: Value = serde_json::from_slice(&mended(message))
        .map_err(|_| "the provider's message cannot be read".to_owned())?;
    if message.get("type").is_some_and(|kind| kind != "message") {
        return Err("the provider's answer is not a message".to_owned());
    }
    let Some(Value::Array(content)) = message.get_mut("content").map(Value::take) else {
        return Err("the provider's message has no content".to_owned());
    };
    let stop = message
        .get_mut("stop_reason")
        .map(Value::take)
        .unwrap_or_default();
    if stop.is_null() {
        return Err("the provider's message is unfinished".to_owned());
    }
    let sequence = message
        .get_mut("stop_sequence")
        .map(Value::take)
        .unwrap_or_default();
    let usage = message.get("usage").cloned().unwrap_or_default();
    let mut out = Vec::new();
    let mut event = |name: &str, mut data: Value| {
        put(&mut data, "type", name.into());
        named(&mut out, name, data.to_string().as_bytes());
    };
    put(&mut message, "content", json!([]));
    put(&mut message, "stop_reason", Value::Null);
    put(&mut message, "stop_sequence", Value::Null);
    if let Some(usage) = message.get_mut("usage") {
        put(usage, "output_tokens", 0.into());
    }
    event("message_start", json!({ "message": message }));
    for (index, block) in content.into_iter().enumerate() {
        let (opening, deltas) = opened(block);
        event(
            "content_block_start",
            json!({ "index": index, "content_block": opening }),
        );
        for delta in deltas {
            event("content_block_delta", json!({ "index": index, "delta": delta }));
        }
        event("content_block_stop", json!({ "index": index }));
    }
    let delta = json!({ "stop_reason": stop, "stop_sequence": sequence });
    event("message_delta", json!({ "delta": delta, "usage": usage }));
    event("message_stop", json!({}));
    Ok(out)
}

/// A block's opening in a stream, and its deltas.
fn opened(mut block: Value) -> (Value, Vec<Value>) {
    let mut deltas = Vec::new();
    let mut take = |member: &str, left: Value| {
        let whole = block.get_mut(member)?;
        Some(std::mem::replace(whole, left)).filter(|whole| !whole.is_null())
    };
    if let Some(text) = take("text", "".into()) {
        if let Some(Value::Array(citations)) = take("citations", json!([])) {
            let delta = |citation| json!({ "type": "citations_delta", "citation": citation });
            deltas.extend(citations.into_iter().map(delta));
        }
        deltas.push(json!({ "type": "text_delta", "text": text }));
    }
    if let Some(thinking) = take("thinking", "".into()) {
        deltas.push(json!({ "type": "thinking_delta", "thinking": thinking }));
    }
    if let Some(signature) = take("signature", "".into()) {
        deltas.push(json!({ "type": "signature_delta", "signature": signature }));
    }
    if let Some(input) = take("input", json!({})) {
        deltas.push(json!({ "type": "input_json_delta", "partial_json": input.to_string() }));
    }
    (block, deltas)
}

/// Converts a stream's events into a whole message.
pub(crate) fn whole(events: &[u8]) -> Result<Vec<u8>, String> {
    let mut folded = FoldedMessage::default();
    let mut lines = Lines::default();
    lines
        .feed(events, |data| folded.event(data))
        .map_err(|_| "an event is too long".to_owned())?;
    lines.finish(|data| folded.event(data));
    if let Some(error) = folded.error {
        return Err(format!("the stream ended with an error: {error}"));
    }
    let mut message = folded
        .message
        .filter(|_| folded.is_over)
        .ok_or("the stream ended before its last event")?;
    put(&mut message, "content", folded.content.into());
    Ok(message.to_string().into_bytes())
}

/// A message being built from events.
#[derive(Default)]
struct FoldedMessage {
    message: Option<Value>,
    content: Vec<Value>,
    /// The input of the open block, as text.
    input: String,
    is_over: bool,
    error: Option<Value>,
}

impl FoldedMessage {
    fn event(&mut self, data: &[u8]) {
        let Ok(mut event) = serde_json::from_slice::<Value>(&mended(data)) else {
            return;
        };
        let mut take = |member: &str| event.get_mut(member).map(Value::take).unwrap_or_default();
        match take("type").as_str().unwrap_or_default() {
            "message_start" => self.message = Some(take("message")),
            "content_block_start" => {
                self.input.clear();
                self.content.push(take("content_block"));
            }
            "content_block_delta" => self.delta(take("delta")),
            "content_block_stop" => {
                // The text is JSON of its own, complete only now; its escapes are not those of the events.
                let input = serde_json::from_slice(&mended(self.input.as_bytes()));
                if let (Some(block), Ok(input)) = (self.content.last_mut(), input) {
                    put(block, "input", input);
                }
            }
            "message_delta" => {
                let (delta, usage) = (take("delta"), take("usage"));
                if let Some(message) = &mut self.message {
                    merge(message, delta);
                    if let Some(so_far) = message.get_mut("usage") {
                        merge(so_far, usage);
                    } else {
                        put(message, "usage", usage);
                    }
                }
            }
            "message_stop" => self.is_over = true,
            "error" => self.error = Some(take("error")),
            _ => {}
        }
    }

    fn delta(&mut self, mut delta: Value) {
        let Some(block) = self.content.last_mut() else {
            return;
        };
        let mut take = |member: &str| delta.get_mut(member).map(Value::take).unwrap_or_default();
        match take("type").as_str().unwrap_or_default() {
            "text_delta" => append(block, "text", &take("text")),
            "thinking_delta" => append(block, "thinking", &take("thinking")),
            "signature_delta" => append(block, "signature", &take("signature")),
            "input_json_delta" => self
                .input
                .push_str(take("partial_json").as_str().unwrap_or_default()),
            "citations_delta" => {
                let citation = take("citation");
                match block.get_mut("citations") {
                    Some(Value::Array(citations)) => citations.push(citation),
                    _ => put(block, "citations", json!([citation])),
                }
            }
            _ => {}
        }
    }
}

/// Sets a member of an object.
pub(crate) fn put(object: &mut Value, member: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(member.to_owned(), value);
    }
}

/// Adds text to a member.
pub(crate) fn append(object: &mut Value, member: &str, text: &Value) {
    let text = text.as_str().unwrap_or_default();
    match object.get_mut(member) {
        Some(Value::String(so_far)) => so_far.push_str(text),
        _ => put(object, member, text.into()),
    }
}

/// Sets the members that are not null.
fn merge(object: &mut Value, later: Value) {
    let later: Map<String, Value> = match later {
        Value::Object(members) => members,
        _ => return,
    };
    for (member, value) in later.into_iter().filter(|(_, value)| !value.is_null()) {
        put(object, &member, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Value {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
            "content": [
                { "type": "thinking", "thinking": "Hm.", "signature": "Eq" },
                { "type": "text", "text": "Two \"files\".", "citations": [{ "type": "page_location", "cited_text": "x" }] },
                { "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": { "query": "q" } },
                { "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [] },
                { "type": "tool_use", "id": "toolu_1", "name": "list", "input": {} },
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": { "input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 30 },
        })
    }

    #[test]
    fn there_and_back_it_is_the_same() {
        let events = streamed(message().to_string().as_bytes()).unwrap();
        let text = String::from_utf8(events.clone()).unwrap();
        assert!(text.starts_with("event: message_start\ndata: {"), "{text}");
        assert!(text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
        assert!(text.contains(r#""partial_json":"{\"query\":\"q\"}""#), "{text}");
        let back: Value = serde_json::from_slice(&whole(&events).unwrap()).unwrap();
        assert_eq!(back, message());
    }

    #[test]
    fn half_a_pair_of_surrogates_is_a_replacement_character() {
        let mut events = String::new();
        for data in [
            r#"{"type":"message_start","message":{"type":"message","usage":{}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"cut \ud83d"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","input":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":\"\\ud8"}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"3d\"}"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{}}"#,
            r#"{"type":"message_stop"}"#,
        ] {
            events.push_str("data: ");
            events.push_str(data);
            events.push_str("\n\n");
        }
        let message: Value = serde_json::from_slice(&whole(events.as_bytes()).unwrap()).unwrap();
        assert_eq!(message["content"][0]["text"], "cut \u{fffd}", "{message}");
        assert_eq!(
            message["content"][1]["input"],
            json!({ "a": "\u{fffd}" }),
            "{message}"
        );
        let message =
            br#"{"type":"message","content":[{"type":"text","text":"cut \ud83d"}],"stop_reason":"end_turn"}"#;
        let events = String::from_utf8(streamed(message).unwrap()).unwrap();
        assert!(events.contains("cut \u{fffd}"), "{events}");
    }

    #[test]
    fn what_is_no_whole_message_makes_none() {
        let error = json!({ "type": "error", "error": { "type": "api_error", "message": "x" } });
        let mut unfinished = message();
        unfinished["stop_reason"] = Value::Null;
        for bad in [error, unfinished, json!({}), json!([])] {
            assert!(streamed(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
        assert!(streamed(b"<html>").is_err());
        let events = streamed(message().to_string().as_bytes()).unwrap();
        let cut = events.len() - 60;
        assert!(whole(&events[..cut]).is_err());
        assert!(
            whole(b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n")
                .is_err()
        );
    }
}
