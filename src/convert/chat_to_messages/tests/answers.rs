//! Answers and errors, one by one.

use serde_json::{Value, json};

use super::check::{Outcome, check};
use super::context;
use crate::convert::chat_to_messages::{Stream, UnusableAnswer, answer, error_body};

fn whole(message: &Value) -> Result<Value, UnusableAnswer> {
    let body = answer(
        message.to_string().as_bytes(),
        &context(false),
        "req_7f",
        1_700_000_000,
    )?;
    Ok(serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_message_is_a_completion() {
    let told = whole(&json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "s" },
            { "type": "text", "text": "Hello" }, { "type": "text", "text": "!" },
            { "type": "server_tool_use", "id": "x", "name": "web_search", "input": {} },
            { "type": "tool_use", "id": "toolu_1", "name": "A", "input": { "b": 1, "a": "ä" } },
        ],
        "stop_reason": "tool_use",
        "usage": { "input_tokens": 3, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 11 },
    }));
    assert_eq!(
        told.unwrap(),
        json!({
            "id": "chatcmpl-req7f", "object": "chat.completion", "created": 1_700_000_000, "model": "claude-x",
            "choices": [{ "index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {
                "role": "assistant", "content": "Hello!", "refusal": null, "reasoning_content": "Hm.",
                "tool_calls": [{ "id": "toolu_1", "type": "function",
                    "function": { "name": "A", "arguments": "{\"a\":\"ä\",\"b\":1}" } }],
            } }],
            "usage": { "prompt_tokens": 15, "completion_tokens": 11, "total_tokens": 26,
                "prompt_tokens_details": { "cached_tokens": 7, "cache_write_tokens": 5 },
                "completion_tokens_details": { "reasoning_tokens": 0 } },
        })
    );
}

#[test]
fn what_is_no_message_makes_none() {
    let overloaded =
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    assert_eq!(
        whole(&overloaded),
        Err(UnusableAnswer::Error(
            "overloaded_error".to_owned(),
            "Overloaded".to_owned()
        ))
    );
    assert_eq!(whole(&json!([1])), Err(UnusableAnswer::Unreadable));
    assert_eq!(whole(&json!({ "id": "x" })), Err(UnusableAnswer::Unreadable));
    assert_eq!(whole(&json!({ "content": [] })), Err(UnusableAnswer::Unfinished));
}

#[test]
fn errors_are_openais() {
    let told = |status, body: Value| -> Value {
        serde_json::from_slice(&error_body(status, body.to_string().as_bytes(), "It failed.")).unwrap()
    };
    let claude = |kind: &str| json!({ "type": "error", "error": { "type": kind, "message": "No." }, "request_id": "r" });
    for (kind, wanted, code) in [
        (
            "invalid_request_error",
            "invalid_request_error",
            "invalid_request_error",
        ),
        ("not_found_error", "not_found_error", "model_not_found"),
        ("rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
        ("api_error", "server_error", "server_error"),
    ] {
        assert_eq!(
            told(400, claude(kind)),
            json!({ "error": { "message": "No.", "type": wanted, "param": null, "code": code } })
        );
    }
    assert_eq!(told(413, json!("<html>"))["error"]["message"], "It failed.");
    assert_eq!(told(529, json!({}))["error"]["code"], "server_is_overloaded");
}

#[test]
fn an_error_ends_a_stream() {
    let mut stream = Stream::new(&context(false), "r", 1);
    let mut out = stream
        .feed(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n")
        .to_vec();
    let error = br#"data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    out.extend_from_slice(&stream.feed(error));
    out.extend_from_slice(&stream.finish());
    match check(&out, false) {
        Outcome::Error(error) => assert_eq!(
            (&error["message"], &error["code"]),
            (&json!("Overloaded"), &json!("server_is_overloaded"))
        ),
        other @ Outcome::Completion { .. } => panic!("{other:?}"),
    }
    assert!(matches!(stream.failure(), Some(UnusableAnswer::Error(..))));
}
