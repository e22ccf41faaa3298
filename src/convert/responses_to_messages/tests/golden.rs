//! Golden transcripts: what is sent for them, and what comes back, in `golden/`.
//!
//! The request has the shapes of Codex 0.169.0 with a model that it does not know; the answer those of Anthropic's
//! reference ("Streaming messages"). `INSTA_UPDATE=always cargo test golden` writes them anew; the difference is then
//! for the reviewer.

use serde_json::{Value, json};

use super::streams::check;
use super::{context, convert, tools, user};
use crate::convert::responses_to_messages::Stream;

macro_rules! golden {
    ($name:literal, $value:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("golden");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($name, $value));
    }};
}

#[test]
fn codex() {
    let body = json!({
        "model": "claude-sonnet-4-5", "stream": true, "store": false, "tools": tools(), "tool_choice": "auto",
        "parallel_tool_calls": true, "reasoning": { "summary": "auto" }, "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "01a2", "client_metadata": { "session_id": "01a2" },
        "input": [
            { "type": "message", "id": "msg_1", "role": "developer", "content": [{ "type": "input_text", "text": "You are a coding agent." }] },
            user("<environment_context>"), user("do it"),
            { "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "Hm." }], "content": null,
              "encrypted_content": "gts1.claude.s4:EqQBSG0u" },
            { "type": "function_call", "id": "fc_1", "name": "exec_command", "arguments": "{\"cmd\": \"echo hello\"}", "call_id": "toolu_1" },
            { "type": "custom_tool_call", "id": "ctc_1", "call_id": "toolu_2", "name": "apply_patch", "input": "*** Begin Patch\n*** End Patch\n" },
            { "type": "function_call_output", "id": "fco_1", "call_id": "toolu_1", "output": "hello" },
            { "type": "custom_tool_call_output", "id": "ctco_1", "call_id": "toolu_2", "output": "Success." },
        ],
    });
    golden!("codex_request", format!("{:#}", convert(&body).0));
}

#[test]
fn an_answer_with_thinking_and_calls() {
    let mut stream = Stream::new(&context(true), "req0", 1_795_335_300);
    let mut out = Vec::new();
    for event in [
        json!({ "type": "message_start", "message": { "id": "msg_1", "model": "claude-sonnet-4-5-20250929", "usage": {
            "input_tokens": 12, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 2_000, "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "", "signature": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "Two files." } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "signature_delta", "signature": "EqQB" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "Two files, " } }),
        json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "naïve \"ones\"." } }),
        json!({ "type": "content_block_stop", "index": 1 }),
        json!({ "type": "content_block_start", "index": 2, "content_block": { "type": "tool_use", "id": "toolu_1", "name": "exec_command", "input": {} } }),
        json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "input_json_delta", "partial_json": "{\"cmd\":" } }),
        json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "input_json_delta", "partial_json": "\"ls\"}" } }),
        json!({ "type": "content_block_stop", "index": 2 }),
        json!({ "type": "content_block_start", "index": 3, "content_block": { "type": "tool_use", "id": "toolu_2", "name": "apply_patch", "input": {} } }),
        json!({ "type": "content_block_delta", "index": 3, "delta": { "type": "input_json_delta", "partial_json": "{\"input\":\"*** Be" } }),
        json!({ "type": "content_block_delta", "index": 3, "delta": { "type": "input_json_delta", "partial_json": "gin\"}" } }),
        json!({ "type": "content_block_stop", "index": 3 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null }, "usage": { "output_tokens": 60 } }),
        json!({ "type": "message_stop" }),
    ] {
        let event: Value = event;
        out.extend_from_slice(&stream.feed(format!("data: {event}\n\n").as_bytes()));
    }
    out.extend_from_slice(&stream.finish());
    check(&out);
    golden!("codex_stream", String::from_utf8(out).unwrap());
}
