//! Golden transcripts: what is sent for them, and what comes back, in `golden/`.
//!
//! `INSTA_UPDATE=always cargo test golden` writes them anew; the difference is then for the reviewer.

use serde_json::{Value, json};

use super::check::{Outcome, check};
use super::{context, convert};
use crate::convert::messages_to_gemini::Stream;

macro_rules! golden {
    ($name:literal, $value:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("golden");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($name, $value));
    }};
}

/// A request to the model, with what else it has.
fn request(model: &str, rest: Value) -> String {
    let mut body = json!({ "model": model, "max_tokens": 32_000, "stream": true });
    body.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    format!("{:#}", convert(&body).0)
}

/// Anthropic's events for these of Gemini's.
fn stream(model: &str, events: &[Value]) -> String {
    let mut stream = Stream::new(&context(model), "req0");
    let mut out = Vec::new();
    for event in events {
        out.extend_from_slice(
            &stream.feed(format!("data: {}\r\n\r\n", json!({ "response": event })).as_bytes()),
        );
    }
    out.extend_from_slice(&stream.finish());
    check(&out);
    String::from_utf8(out).unwrap()
}

fn event(parts: Value) -> Value {
    json!({
        "candidates": [{ "content": { "role": "model", "parts": parts } }], "modelVersion": "gemini-3-pro-preview",
        "usageMetadata": { "promptTokenCount": 12_000, "cachedContentTokenCount": 8_000, "candidatesTokenCount": 3 },
    })
}

fn last(reason: &str) -> Value {
    json!({
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": "" }] }, "finishReason": reason }],
        "usageMetadata": {
            "promptTokenCount": 12_000, "cachedContentTokenCount": 8_000, "candidatesTokenCount": 40,
            "thoughtsTokenCount": 160, "totalTokenCount": 12_200,
        },
    })
}

fn bash() -> Value {
    json!({
        "name": "Bash", "description": "Executes a command.",
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {
                "command": { "type": "string", "description": "The command" },
                "timeout": { "type": "number", "exclusiveMinimum": 0, "maximum": 600_000 },
            },
            "required": ["command"], "additionalProperties": false,
        },
    })
}

#[test]
fn tools() {
    golden!(
        "tools_request",
        request(
            "gemini-2.5-pro",
            json!({
                "system": [
                    { "type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.1f0; cc_entrypoint=cli;" },
                    { "type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude.", "cache_control": { "type": "ephemeral" } },
                ],
                "tools": [bash(), { "name": "mcp__a-very-long-server-name-that-goes-on-and-on__and_a_tool_of_that_server", "input_schema": { "type": "object" } }],
                "tool_choice": { "type": "auto" },
                "metadata": { "user_id": "{\"device_id\":\"00\",\"account_uuid\":\"\",\"session_id\":\"s\"}" },
                "thinking": { "type": "enabled", "budget_tokens": 31_999 },
                "context_management": { "edits": [{ "type": "clear_thinking_20251015", "keep": "all" }] },
                "messages": [
                    { "role": "user", "content": [{ "type": "text", "text": "<system-reminder>\nToday.\n</system-reminder>" }, { "type": "text", "text": "List the files." }] },
                    { "role": "system", "content": "The sandbox is on.", "output_config": { "effort": "medium" } },
                    { "role": "assistant", "content": [
                        { "type": "text", "text": "Let me look." },
                        { "type": "tool_use", "id": "gts1_r1_0_call9", "name": "Bash", "input": { "command": "ls" } },
                    ] },
                    { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "gts1_r1_0_call9", "content": "a.txt\nb.txt", "is_error": false, "cache_control": { "type": "ephemeral" } }] },
                ],
            })
        )
    );
    golden!(
        "tools_stream",
        stream(
            "gemini-2.5-pro",
            &[
                event(json!([{ "text": "Let me " }])),
                event(json!([{ "text": "look." }])),
                event(
                    json!([{ "functionCall": { "name": "Bash", "args": { "command": "ls -l" }, "id": "call10" } }])
                ),
                last("STOP"),
            ]
        )
    );
}

#[test]
fn images() {
    let image = json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } });
    let messages = json!([
        { "role": "user", "content": [image, { "type": "text", "text": "And this file?" },
            { "type": "document", "title": "a.pdf", "source": { "type": "base64", "media_type": "application/pdf", "data": "JVBERi0=" } }] },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": "toolu_01", "name": "Read", "input": { "file": "b.png" } }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_01", "content": [{ "type": "text", "text": "b.png" }, image] }] },
    ]);
    golden!(
        "images_request_older",
        request("gemini-2.5-flash", json!({ "messages": messages }))
    );
    golden!(
        "images_request_newer",
        request("gemini-3-flash", json!({ "messages": messages }))
    );
}

#[test]
fn thinking() {
    golden!(
        "thinking_stream",
        stream(
            "gemini-3-pro-preview",
            &[
                event(json!([{ "text": "**Weighing**\n\nFirst ", "thought": true }])),
                event(json!([{ "text": "this, then that. 漢字", "thought": true }])),
                event(json!([{ "text": "It is ", "thoughtSignature": "CiQBcsjafF8=" }])),
                event(json!([{ "text": "both." }])),
                last("STOP"),
            ]
        )
    );
    golden!(
        "thinking_request",
        request(
            "gemini-3-pro-preview",
            json!({
                "thinking": { "type": "adaptive", "display": "summarized" }, "output_config": { "effort": "high" },
                "messages": [
                    { "role": "user", "content": "Which is it?" },
                    { "role": "assistant", "content": [
                        { "type": "thinking", "thinking": "**Weighing**\n\nFirst this, then that. 漢字", "signature": "gts1.gemini.t0+0+6+12:CiQBcsjafF8=" },
                        { "type": "text", "text": "It is both." },
                    ] },
                    { "role": "user", "content": "And of those, which?" },
                    { "role": "assistant", "content": [
                        { "type": "thinking", "thinking": "From a Claude.", "signature": "EqQBCkYIBRgCKkDd" },
                        { "type": "text", "text": "The first." },
                    ] },
                    { "role": "user", "content": "Why?" },
                ],
            })
        )
    );
}

#[test]
fn parallel_tool_calls() {
    let events = [
        event(json!([{ "text": "Both at once.", "thought": true }])),
        event(json!([
            { "functionCall": { "name": "Bash", "args": { "command": "date" } }, "thoughtSignature": "CswBAVSoXO4=" },
            { "functionCall": { "name": "Bash", "args": { "command": "uname" } } },
        ])),
        event(json!([{ "functionCall": { "name": "Bash", "args": {}, "id": "x-3" } }])),
        last("STOP"),
    ];
    let streamed = stream("gemini-3-pro-preview", &events);
    let Outcome::Message(message) = check(streamed.as_bytes()) else {
        panic!("a message")
    };
    let calls = message["content"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|block| block["type"] == "tool_use");
    let mut results: Vec<Value> = calls
        .map(|call| json!({ "type": "tool_result", "tool_use_id": call["id"], "content": call["input"].to_string() }))
        .collect();
    results.reverse();
    golden!("parallel_stream", streamed);
    golden!(
        "parallel_request",
        request(
            "gemini-3-pro-preview",
            json!({
                "tools": [bash()],
                "messages": [
                    { "role": "user", "content": "When and where?" },
                    { "role": "assistant", "content": message["content"] },
                    { "role": "user", "content": results },
                ],
            })
        )
    );
}

#[test]
fn a_long_session() {
    let mut messages = vec![json!({ "role": "user", "content": "Count to forty." })];
    for number in 1..=40 {
        let signature = format!("Sig{number}=");
        let events = [
            event(json!([{ "text": format!("Now {number}.") }])),
            event(
                json!([{ "functionCall": { "name": "Bash", "args": { "command": format!("echo {number}") } }, "thoughtSignature": signature }]),
            ),
            last("STOP"),
        ];
        let mut stream = Stream::new(&context("gemini-3-pro-preview"), &format!("r{number}"));
        let mut out = Vec::new();
        for event in &events {
            out.extend_from_slice(&stream.feed(format!("data: {event}\n\n").as_bytes()));
        }
        out.extend_from_slice(&stream.finish());
        let Outcome::Message(message) = check(&out) else {
            panic!("a message")
        };
        let call = message["content"].as_array().unwrap().last().unwrap();
        messages.push(json!({ "role": "assistant", "content": message["content"] }));
        messages.push(json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": call["id"], "content": number.to_string() }] }));
        if number % 10 == 0 {
            messages.push(json!({ "role": "system", "content": format!("{number} done.") }));
        }
    }
    let body = json!({ "model": "gemini-3-pro-preview", "messages": messages });
    // One turn a line.
    let (sent, _) = convert(&body);
    let turns: Vec<String> = sent["contents"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    golden!("long_session_request", turns.join("\n"));
}

#[test]
fn structured_output() {
    // Claude Code's title call.
    golden!(
        "structured_request",
        request(
            "gemini-2.5-flash",
            json!({
                "system": [{ "type": "text", "text": "Generate a title." }], "tools": [], "temperature": 1,
                "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Fix the login" }] }],
                "output_config": { "format": { "type": "json_schema", "schema": {
                    "type": "object", "properties": { "title": { "type": "string" } }, "required": ["title"], "additionalProperties": false } } },
            })
        )
    );
    golden!(
        "structured_stream",
        stream(
            "gemini-2.5-flash",
            &[
                event(json!([{ "text": "{\"title\": \"Fix" }])),
                event(json!([{ "text": " login\"}" }])),
                last("STOP"),
            ]
        )
    );
}

#[test]
fn a_refusal() {
    golden!(
        "refusal_stream",
        stream(
            "gemini-2.5-flash",
            &[event(json!([{ "text": "I" }])), last("SAFETY")]
        )
    );
}

#[test]
fn an_error() {
    golden!(
        "error_stream",
        stream(
            "gemini-2.5-flash",
            &[
                event(json!([{ "text": "I" }])),
                json!({ "error": { "code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE" } }),
            ]
        )
    );
}
