//! What single answers become.

use serde_json::{Value, json};

use super::context;
use super::streams::{Outcome, check};
use crate::convert::responses_to_messages::{Stream, UnusableAnswer, answer};

fn message(content: Value, reason: &str) -> Value {
    json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
        "stop_reason": reason, "stop_sequence": null, "usage": { "input_tokens": 1, "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3, "output_tokens": 4, "output_tokens_details": { "thinking_tokens": 2 } } })
}

fn made(message: &Value) -> Value {
    let made = answer(message.to_string().as_bytes(), &context(true), "r", 1).unwrap();
    serde_json::from_slice(&made.response).unwrap()
}

#[test]
fn calls_come_back_as_the_tools_they_are_of() {
    let call = |name: &str, input: Value| json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": input });
    let item = |name: &str, input: Value| {
        let mut item = made(&message(json!([call(name, input)]), "tool_use"))["output"][0].clone();
        item.as_object_mut().unwrap().remove("id");
        item
    };
    assert_eq!(
        item("apply_patch", json!({ "input": "*** Begin" })),
        json!({ "type": "custom_tool_call", "call_id": "toolu_1", "name": "apply_patch", "input": "*** Begin", "status": "completed" })
    );
    assert_eq!(
        item(
            "local_shell",
            json!({ "command": ["ls"], "working_directory": "/" })
        ),
        json!({ "type": "local_shell_call", "call_id": "toolu_1", "status": "completed",
            "action": { "type": "exec", "command": ["ls"], "env": {}, "timeout_ms": null, "working_directory": "/" } })
    );
    assert_eq!(
        item("multi_agent_v1__close_agent", json!({})),
        json!({ "type": "function_call", "call_id": "toolu_1", "name": "close_agent", "namespace": "multi_agent_v1",
            "arguments": "{}", "status": "completed" })
    );
}

#[test]
fn searches_and_what_rests_on_them() {
    let cited = json!([{ "type": "web_search_result_location", "url": "https://a", "title": "A", "encrypted_index": "E", "cited_text": "x" }]);
    let response = made(&message(
        json!([
            { "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": { "query": "rust" } },
            { "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [] },
            { "type": "text", "text": "Näh.", "citations": cited },
        ]),
        "end_turn",
    ));
    assert_eq!(
        response["output"][0]["action"],
        json!({ "type": "search", "query": "rust" })
    );
    let annotation = &response["output"][1]["content"][0]["annotations"][0];
    assert_eq!(
        (&annotation["url"], &annotation["end_index"]),
        (&json!("https://a"), &json!(4))
    );
}

#[test]
fn usage_and_how_it_ended() {
    let response = made(&message(json!([{ "type": "text", "text": "a" }]), "max_tokens"));
    assert_eq!(
        (&response["status"], &response["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    assert_eq!(
        response["usage"],
        json!({ "input_tokens": 6, "input_tokens_details": { "cached_tokens": 3, "cache_write_tokens": 2 },
            "output_tokens": 4, "output_tokens_details": { "reasoning_tokens": 2 }, "total_tokens": 10 })
    );
    assert_eq!(
        made(&message(json!([]), "refusal"))["incomplete_details"]["reason"],
        "content_filter"
    );
    assert_eq!(
        made(&message(json!([]), "next_years_reason"))["status"],
        "completed"
    );
}

#[test]
fn errors_have_the_codes_that_codex_knows() {
    for (kind, message, code) in [
        ("overloaded_error", "x", "server_is_overloaded"),
        ("rate_limit_error", "x", "rate_limit_exceeded"),
        (
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
            "context_length_exceeded",
        ),
        ("invalid_request_error", "x", "invalid_prompt"),
        ("api_error", "x", "server_error"),
    ] {
        let mut stream = Stream::new(&context(true), "r", 1);
        let event = json!({ "type": "error", "error": { "type": kind, "message": message } });
        let mut out = stream
            .feed(format!("event: error\ndata: {event}\n\n").as_bytes())
            .to_vec();
        out.extend_from_slice(&stream.finish());
        assert_eq!(
            check(&out),
            Outcome::Error(json!({ "code": code, "message": message }))
        );
    }
    let refused = answer(
        br#"{"type":"error","error":{"type":"api_error","message":"x"}}"#,
        &context(true),
        "r",
        1,
    );
    assert_eq!(
        refused.unwrap_err(),
        UnusableAnswer::Error("api_error".to_owned(), "x".to_owned())
    );
    assert_eq!(
        answer(b"<html>", &context(true), "r", 1).unwrap_err(),
        UnusableAnswer::Unfinished
    );
}
