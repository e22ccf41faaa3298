//! Golden transcripts: what is sent for them, and what comes back, in `golden/`.
//!
//! `INSTA_UPDATE=always cargo test golden` writes them anew; the difference is then for the reviewer.

use serde_json::{Value, json};

use super::check::check;
use super::{call, context, convert, tool};
use crate::convert::chat_to_messages::Stream;

macro_rules! golden {
    ($name:literal, $value:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("golden");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($name, $value));
    }};
}

/// The chunks for these events of Claude's.
fn stream(events: &[Value]) -> String {
    let mut stream = Stream::new(&context(true), "req0", 1_700_000_000);
    let mut out = Vec::new();
    for event in events {
        out.extend_from_slice(&stream.feed(format!("event: x\ndata: {event}\n\n").as_bytes()));
    }
    out.extend_from_slice(&stream.finish());
    check(&out, true);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_agent_with_tools() {
    let body = json!({
        "model": "claude-sonnet-4-5", "stream": true, "stream_options": { "include_usage": true },
        "max_completion_tokens": 4_000, "temperature": 0.3, "stop": "###", "parallel_tool_calls": true,
        "user": "u-1", "seed": 7, "store": false,
        "tools": [tool("read_file"), tool("list_files")], "tool_choice": "auto",
        "messages": [
            { "role": "system", "content": "You are an agent." },
            { "role": "user", "content": [
                { "type": "text", "text": "What is in the picture and the folder?" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high" } },
            ] },
            { "role": "assistant", "content": "Let me look.", "tool_calls": [
                call("call_a", "list_files", "{\"path\": \".\", \"depth\": 12345678901234567890}"),
                call("call_b", "read_file", "{\"path\":\"a.txt\"}"),
            ] },
            { "role": "tool", "tool_call_id": "call_a", "content": "a.txt\nb.txt" },
            { "role": "tool", "tool_call_id": "call_b", "content": [{ "type": "text", "text": "Hello" }] },
        ],
    });
    golden!("agent_request", format!("{:#}", convert(&body)));
    golden!(
        "agent_stream",
        stream(&[
            json!({ "type": "message_start", "message": { "id": "msg_1", "model": "claude-sonnet-4-5-20250929", "usage": {
                "input_tokens": 12, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 2_000, "output_tokens": 1 } } }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "", "signature": "" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "Two files." } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "signature_delta", "signature": "Eq" } }),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "ping" }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "Two files, " } }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "naïve \"ones\"." } }),
            json!({ "type": "content_block_stop", "index": 1 }),
            json!({ "type": "content_block_start", "index": 2, "content_block": { "type": "tool_use", "id": "toolu_1", "name": "read_file", "input": {} } }),
            json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "input_json_delta", "partial_json": "" } }),
            json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "input_json_delta", "partial_json": "{\"path\":" } }),
            json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "input_json_delta", "partial_json": "\"b.txt\"}" } }),
            json!({ "type": "content_block_stop", "index": 2 }),
            json!({ "type": "content_block_start", "index": 3, "content_block": { "type": "tool_use", "id": "toolu_2", "name": "list_files", "input": {} } }),
            json!({ "type": "content_block_stop", "index": 3 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null }, "usage": {
                "output_tokens": 60, "output_tokens_details": { "thinking_tokens": 9 } } }),
            json!({ "type": "message_stop" }),
        ])
    );
}
