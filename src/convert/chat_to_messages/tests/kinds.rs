//! Every kind of content part, message and tool that Chat Completions has: converted, or refused by its place. None
//! is dropped. The kinds are those of OpenAI's SDK (`ChatCompletionContentPart`, `ChatCompletionTool`,
//! `ChatCompletionMessageToolCall`).

use serde_json::{Value, json};

use super::{call, tool, try_convert, with, with_messages};
use crate::convert::chat_to_messages::Target;
use crate::convert::outcome::{self, Fate};

/// This is found in what is sent to both; `None`: it is refused at this place.
#[track_caller]
fn holds(body: &Value, place: &str, mark: Fate) {
    for target in [Target::Claude, Target::Gemini] {
        let outcome = try_convert(body, target).map(|converted| converted.body);
        outcome::holds(body, outcome, place, mark);
    }
}

#[test]
fn every_part_of_a_message() {
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,TUFSSw==" } });
    let file = json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,TUFSSw==" } });
    for (part, mark) in [
        (json!({ "type": "text", "text": "MARK" }), Some("MARK")),
        (image, Some("TUFSSw==")),
        (file, Some("TUFSSw==")),
        (json!({ "type": "file", "file": { "file_id": "f" } }), None),
        (
            json!({ "type": "input_audio", "input_audio": { "data": "TUFSSw==", "format": "wav" } }),
            None,
        ),
        (
            json!({ "type": "video_url", "video_url": { "url": "https://x" } }),
            None,
        ),
        (json!({ "type": "novelty" }), None),
    ] {
        let body = with_messages(json!([{ "role": "user", "content": [part] }]));
        holds(&body, "messages.0.content.0", mark);
    }
    for (part, mark) in [
        (json!({ "type": "text", "text": "MARK" }), Some("MARK")),
        (json!({ "type": "refusal", "refusal": "MARK" }), Some("MARK")),
        (json!({ "type": "input_audio", "input_audio": {} }), None),
        (json!({ "type": "novelty" }), None),
    ] {
        let go = json!({ "role": "user", "content": "go" });
        let body = with_messages(json!([go, { "role": "assistant", "content": [part] }, go]));
        holds(&body, "messages.1.content.0", mark);
    }
    for (message, mark) in [
        (json!({ "role": "system", "content": "MARK" }), Some("MARK")),
        (json!({ "role": "developer", "content": "MARK" }), Some("MARK")),
        (json!({ "role": "function", "name": "f", "content": "x" }), None),
        (
            json!({ "role": "assistant", "content": null, "audio": { "id": "a" } }),
            None,
        ),
        (
            json!({ "role": "assistant", "content": null, "function_call": { "name": "f", "arguments": "{}" } }),
            None,
        ),
    ] {
        let body = with_messages(json!([message, { "role": "user", "content": "go" }]));
        holds(&body, "messages.0", mark);
    }
}

#[test]
fn every_kind_of_tool_and_call() {
    for (tool, mark) in [
        (tool("MARK"), Some("MARK")),
        (json!({ "type": "custom", "custom": { "name": "f" } }), None),
        (json!({ "type": "web_search" }), None),
        (json!({ "type": "novelty" }), None),
    ] {
        holds(&with("tools", json!([tool])), "tools.0", mark);
    }
    let turn = |call: Value| {
        with_messages(json!([
            { "role": "user", "content": "go" },
            { "role": "assistant", "content": null, "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "c", "content": "r" },
        ]))
    };
    holds(&turn(call("c", "f", "{\"a\":\"MARK\"}")), "", Some("MARK"));
    let custom = json!({ "id": "c", "type": "custom", "custom": { "name": "f", "input": "x" } });
    holds(&turn(custom), "messages.1.tool_calls.0", None);
    holds(&with("web_search_options", json!({})), "web_search_options", None);
}
