//! Answers, one rule at a time.

use serde_json::{Value, json};

use super::check::{Outcome, check};
use super::{context, convert};
use crate::convert::messages_to_gemini::{Answer, Stream, UnusableAnswer, Usage, answer, error_body};

fn answered(body: &Value) -> Result<(Value, Answer), UnusableAnswer> {
    let answer = answer(body.to_string().as_bytes(), &context("gemini-2.5-pro"), "req_1-a")?;
    Ok((serde_json::from_slice(&answer.body).expect("JSON"), answer))
}

fn says(parts: Value, finish: &str) -> Value {
    json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": finish }] })
}

fn streamed(events: &[Value]) -> (Outcome, Stream) {
    let mut stream = Stream::new(&context("gemini-2.5-pro"), "r");
    let mut out = Vec::new();
    for event in events {
        out.extend_from_slice(&stream.feed(format!("data: {event}\n\n").as_bytes()));
    }
    out.extend_from_slice(&stream.finish());
    (check(&out), stream)
}

#[test]
fn a_message() {
    let (message, answer) = answered(&json!({ "response": {
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": "Hi" }] }, "finishReason": "STOP" }],
        "modelVersion": "models/gemini-2.5-pro-002",
        "usageMetadata": { "promptTokenCount": 9, "cachedContentTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 3 },
    } }))
    .unwrap();
    assert_eq!(
        message,
        json!({
            "id": "msg_req1a", "type": "message", "role": "assistant", "model": "gemini-2.5-pro-002",
            "content": [{ "type": "text", "text": "Hi" }], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": { "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 5,
                "output_tokens_details": { "thinking_tokens": 3 } },
        })
    );
    assert_eq!(
        answer.usage,
        Some(Usage {
            input: 5,
            cache_read: 4,
            output: 5,
            thinking: 3
        })
    );
}

#[test]
fn reasons() {
    let text = json!([{ "text": "x" }]);
    let call = json!([{ "functionCall": { "name": "A" } }]);
    for (parts, finish, wanted) in [
        (&text, "STOP", Some("end_turn")),
        (&call, "STOP", Some("tool_use")),
        (&text, "MAX_TOKENS", Some("max_tokens")),
        (&json!([]), "SAFETY", Some("refusal")),
        (&text, "PROHIBITED_CONTENT", Some("refusal")),
        (&text, "OTHER", Some("end_turn")),
        (&call, "OTHER", Some("tool_use")),
        (&json!([]), "OTHER", None),
        (&text, "MALFORMED_FUNCTION_CALL", None),
    ] {
        let reason = answered(&says(parts.clone(), finish)).map(|(_, answer)| answer.stop_reason);
        match wanted {
            Some(wanted) => assert_eq!(reason.unwrap(), wanted, "{finish}"),
            None => assert_eq!(reason.unwrap_err(), UnusableAnswer::Failed(finish.to_owned())),
        }
        let (outcome, _) = streamed(&[says(parts.clone(), finish)]);
        match outcome {
            Outcome::Message(message) => assert_eq!(message["stop_reason"].as_str(), wanted),
            Outcome::Error(_) => assert_eq!(wanted, None),
        }
    }
    let blocked =
        json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": { "promptTokenCount": 3 } });
    assert_eq!(answered(&blocked).unwrap().1.stop_reason, "refusal");
    assert!(
        matches!(streamed(&[blocked]).0, Outcome::Message(message) if message["stop_reason"] == "refusal")
    );
}

#[test]
fn what_is_no_answer() {
    for body in ["", "[]", "{}", "5", "{\"candidates\":5}"] {
        assert_eq!(
            answer(body.as_bytes(), &context("gemini-2.5-pro"), "x"),
            Err(UnusableAnswer::Unreadable),
            "{body}"
        );
    }
    let half = json!({ "candidates": [{ "content": { "parts": [{ "text": "x" }] } }] });
    assert_eq!(answered(&half).unwrap_err(), UnusableAnswer::Unfinished);
    let error = json!({ "error": { "code": 503, "status": "UNAVAILABLE", "message": "overloaded" } });
    for body in [error.clone(), json!([error])] {
        let Err(UnusableAnswer::Error(error)) = answered(&body) else {
            panic!("is an error")
        };
        assert_eq!(
            (error.code, &*error.status, &*error.message),
            (503, "UNAVAILABLE", "overloaded")
        );
    }
}

#[test]
fn errors_within_a_stream() {
    let text = json!({ "candidates": [{ "content": { "parts": [{ "text": "x" }] } }] });
    let (outcome, stream) = streamed(&[
        text.clone(),
        json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "project 123 is out of quota" } }),
        text.clone(),
    ]);
    let Outcome::Error(event) = outcome else {
        panic!("ends in an error")
    };
    assert_eq!(
        event["error"],
        json!({ "type": "rate_limit_error", "message": "the model's provider reported RESOURCE_EXHAUSTED (429)" })
    );
    assert_eq!(stream.error().unwrap().message, "project 123 is out of quota");
    assert!(!stream.ended());

    let (outcome, stream) = streamed(&[text]);
    assert!(matches!(outcome, Outcome::Error(event) if event["error"]["type"] == "api_error"));
    assert_eq!(stream.failure(), Some(&UnusableAnswer::Unfinished));
}

#[test]
fn the_caller_may_end_a_stream() {
    let mut stream = Stream::new(&context("gemini-2.5-pro"), "r");
    let mut out = stream
        .feed(b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\n\n")
        .to_vec();
    assert!(!stream.ended());
    out.extend_from_slice(&stream.abort("timeout_error", "silent too long"));
    out.extend_from_slice(&stream.finish());
    assert!(matches!(check(&out), Outcome::Error(event) if event["error"]["type"] == "timeout_error"));
}

#[test]
fn reasons_named_early_and_usage_named_late() {
    let chunk = |text: &str| says(json!([{ "text": text }]), "STOP");
    let (outcome, stream) = streamed(&[
        chunk("a"),
        chunk("b"),
        json!({ "usageMetadata": { "promptTokenCount": 7, "candidatesTokenCount": 2 } }),
    ]);
    let Outcome::Message(message) = outcome else {
        panic!("ends well")
    };
    assert_eq!(message["content"], json!([{ "type": "text", "text": "ab" }]));
    assert_eq!(message["usage"]["output_tokens"], 2);
    assert!(stream.ended());
    assert_eq!(stream.usage().unwrap().input, 7);
}

#[test]
fn names_and_ids_come_back() {
    let tool = |name: &str| json!({ "name": name, "input_schema": { "type": "object" } });
    let long = format!("mcp__{}", "x".repeat(100));
    let (sent, context) = convert(&json!({
        "model": "gemini-2.5-pro", "messages": [{ "role": "user", "content": "hi" }],
        "tools": [tool(&long), tool("Bash")],
    }));
    let name = &sent["tools"][0]["functionDeclarations"][0]["name"];
    let body = says(
        json!([
            { "functionCall": { "name": name, "args": { "a": 1.0 }, "id": "call_7" } },
            { "functionCall": { "name": "Bash", "args": null } },
        ]),
        "STOP",
    );
    let answer = answer(body.to_string().as_bytes(), &context, "abc").unwrap();
    let message: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        message["content"],
        json!([
            { "type": "tool_use", "id": "gts1_abc_0_call_7", "name": long, "input": { "a": 1.0 } },
            { "type": "tool_use", "id": "gts1_abc_1", "name": "Bash", "input": {} },
        ])
    );
}

#[test]
fn signatures_ride_where_the_client_keeps_them() {
    let content = |parts: Value| answered(&says(parts, "STOP")).unwrap().0["content"].clone();
    let call = |signature: Value| json!({ "functionCall": { "name": "A", "args": {} }, "thoughtSignature": signature });
    // With the thought before it.
    assert_eq!(
        content(json!([{ "text": "Hm.", "thought": true }, call("SIG=".into())])),
        json!([
            { "type": "thinking", "thinking": "Hm.", "signature": "gts1.gemini.c0+4:SIG=" },
            { "type": "tool_use", "id": "gts1_req1a_0", "name": "A", "input": {} },
        ])
    );
    // Else in a block of its own, with that of the text before it.
    assert_eq!(
        content(
            json!([{ "text": "I " }, { "text": "go", "thoughtSignature": "T" }, call("SIG=".into()), call(Value::Null)])
        ),
        json!([
            { "type": "text", "text": "I go" },
            { "type": "redacted_thinking", "data": "gts1.gemini.t0+2+2+1:Tc0+4:SIG=" },
            { "type": "tool_use", "id": "gts1_req1a_0", "name": "A", "input": {} },
            { "type": "tool_use", "id": "gts1_req1a_1", "name": "A", "input": {} },
        ])
    );
    // A text that comes signed after its thought.
    assert_eq!(
        content(json!([{ "text": "Hm.", "thought": true }, { "text": "Hi", "thoughtSignature": "S" }])),
        json!([
            { "type": "thinking", "thinking": "Hm.", "signature": "gts1.gemini.t0+0+2+1:S" },
            { "type": "text", "text": "Hi" },
        ])
    );
    // Nothing of ours is first or last in an answer of text.
    assert_eq!(
        content(json!([{ "text": "Hi" }, { "text": "", "thoughtSignature": "S" }])),
        json!([{ "type": "text", "text": "Hi" }])
    );
    // A thought that nobody signed says so, so that no client takes it for broken.
    assert_eq!(
        content(json!([{ "text": "Hm.", "thought": true }, { "text": "Hi" }]))[0]["signature"],
        "gts1.gemini."
    );
}

#[test]
fn signatures_stay_with_their_vendor() {
    let messages = json!([
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": [
            { "type": "thinking", "thinking": "Hm.", "signature": "gts1.claude.s2:AB" },
            { "type": "redacted_thinking", "data": "gts1.gemini.t0+0+9+1:T" },
            { "type": "text", "text": "trimmed" },
        ] },
        { "role": "user", "content": "go" },
    ]);
    let parts = |model: &str| {
        let (sent, _) = convert(&json!({ "model": model, "messages": messages }));
        sent["contents"][1]["parts"].clone()
    };
    assert_eq!(
        parts("claude-opus-4-5"),
        json!([{ "text": "Hm.", "thought": true, "thoughtSignature": "AB" }, { "text": "trimmed" }])
    );
    assert_eq!(
        parts("gemini-3-pro"),
        json!([{ "text": "trimmed", "thoughtSignature": "T" }])
    );
}

#[test]
fn error_bodies() {
    let told = |status, body: &str| -> Value {
        serde_json::from_slice::<Value>(&error_body(status, body.as_bytes(), "Something is wrong.")).unwrap()
            ["error"]
            .clone()
    };
    assert_eq!(
        told(502, "<html>"),
        json!({ "type": "api_error", "message": "Something is wrong." })
    );
    assert_eq!(
        told(
            400,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."}}"#
        ),
        json!({ "type": "invalid_request_error", "message": "prompt is too long: 1200000 tokens > 1048576 maximum" })
    );
    assert_eq!(
        told(
            400,
            r#"[{"error":{"code":400,"message":"Unsupported MIME type: image/gif"}}]"#
        )["message"],
        "Unsupported MIME type: image/gif"
    );
    assert_eq!(
        told(
            403,
            r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"project x"}}"#
        ),
        json!({ "type": "permission_error", "message": "project x" })
    );
    for (status, body, message) in [
        (
            403,
            r#"{"error":{"code":403,"message":"no such file for you"}}"#,
            "no such file for you",
        ),
        (
            403,
            r#"{"error":{"code":403}}"#,
            "the model's provider reported 403",
        ),
        (
            429,
            r#"{"error":{"code":429,"message":"too large for this tier"}}"#,
            "too large for this tier",
        ),
        (
            403,
            r#"{"error":"access_denied","error_description":"Not for you."}"#,
            "Not for you.",
        ),
        (403, r#"{"message":"Forbidden by policy"}"#, "Forbidden by policy"),
        (403, r#"{"x":1}"#, "Something is wrong."),
    ] {
        assert_eq!(told(status, body)["message"], message, "{body}");
    }
}
