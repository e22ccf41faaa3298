//! Conversion of single answers, in the forms that hosts send.

use serde_json::{Value, json};

use super::context;
use crate::convert::messages_to_chat::{Stream, events};
use crate::convert::messages_to_gemini::tests::check::{Outcome, check};
use crate::convert::messages_to_responses::UnusableAnswer;

/// A stream of these chunks, optionally with OpenAI's `[DONE]`.
pub(super) fn stream(chunks: &[Value], done: bool) -> String {
    let mut all = String::new();
    for chunk in chunks {
        all.extend(["data: ", &chunk.to_string(), "\n\n"]);
    }
    if done {
        all.push_str("data: [DONE]\n\n");
    }
    all
}

fn converted(bytes: &str, thinking: bool) -> Outcome {
    let mut stream = Stream::new(&context(thinking), "r");
    let mut out = stream.feed(bytes.as_bytes()).to_vec();
    out.extend_from_slice(&stream.finish());
    check(&out)
}

fn message(bytes: &str, thinking: bool) -> Value {
    match converted(bytes, thinking) {
        Outcome::Message(message) => message,
        Outcome::Error(error) => panic!("{error}"),
    }
}

pub(super) fn delta(delta: Value) -> Value {
    json!({ "id": "c", "object": "chat.completion.chunk", "model": "m-1", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
}

pub(super) fn end(reason: &str) -> Value {
    json!({ "id": "c", "model": "m-1", "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}

fn call(index: u64, id: &str, name: &str, arguments: &str) -> Value {
    delta(
        json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }] }),
    )
}

/// DeepSeek's form: reasoning, then text, then calls in pieces, usage in the last chunk.
#[test]
fn a_stream_with_reasoning_words_and_calls() {
    let mut last = end("tool_calls");
    last["usage"] = json!({ "prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 60, "completion_tokens_details": { "reasoning_tokens": 5 } });
    let more = |arguments: &str| {
        delta(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": arguments } }] }))
    };
    let chunks = [
        delta(json!({ "role": "assistant", "content": null, "reasoning_content": "" })),
        delta(json!({ "content": null, "reasoning_content": "Let me " })),
        delta(json!({ "content": null, "reasoning_content": "see." })),
        delta(json!({ "content": "I look.", "reasoning_content": null })),
        call(0, "call_00_x", "Read", ""),
        more("{\"a\":"),
        more("1}"),
        call(1, "call_01_x", "Bash", "{}"),
        last,
    ];
    let made = message(&stream(&chunks, true), true);
    assert_eq!(
        made["content"],
        json!([
            { "type": "thinking", "thinking": "Let me see.", "signature": "gts1.chat.reasoning_content" },
            { "type": "text", "text": "I look." },
            { "type": "tool_use", "id": "call_00_x", "name": "Read", "input": { "a": 1 } },
            { "type": "tool_use", "id": "call_01_x", "name": "Bash", "input": {} },
        ])
    );
    assert_eq!(
        (&made["stop_reason"], &made["model"]),
        (&json!("tool_use"), &json!("m-1"))
    );
    assert_eq!(made["usage"]["input_tokens"], 40);
    assert_eq!(made["usage"]["cache_read_input_tokens"], 60);
    assert_eq!(made["usage"]["output_tokens"], 20);
    // A client that did not ask for thinking gets it as a redacted block, because the call needs it.
    let made = message(&stream(&chunks, true), false);
    assert_eq!(made["content"][0], json!({ "type": "text", "text": "I look." }));
    assert_eq!(
        made["content"][1],
        json!({ "type": "redacted_thinking", "data": "gts1.chat.reasoning_content:Let me see." })
    );
}

/// The reasoning field of vLLM and Ollama, ids and usage of Kimi, calls that all have index 0, arguments as an object.
#[test]
fn shapes_of_other_hosts() {
    let mut last = end("stop");
    last["choices"][0]["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 4 });
    let chunks = [
        delta(json!({ "role": "assistant", "reasoning": "Hm." })),
        call(0, "functions.Read:0", "Read", "{\"a\":1}"),
        call(0, "functions.Bash:1", "Bash", "{\"b\":2}"),
        last,
    ];
    let made = message(&stream(&chunks, true), true);
    assert_eq!(made["content"][0]["signature"], "gts1.chat.reasoning");
    assert_eq!(made["content"][1]["input"], json!({ "a": 1 }));
    assert_eq!(made["content"][2]["input"], json!({ "b": 2 }));
    assert!(
        made["content"][1]["id"].as_str().unwrap().starts_with("call_"),
        "{made}"
    );
    assert_ne!(made["content"][1]["id"], made["content"][2]["id"]);
    assert_eq!(made["usage"]["cache_read_input_tokens"], 4);

    let whole = json!({
        "id": "c", "model": "m-1", "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "", "tool_calls": [
                { "id": "a", "function": { "name": "Read", "arguments": { "a": 1 } } },
                { "id": "b", "function": { "name": "Read", "arguments": "" } },
            ] } }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 1 },
    });
    let made = events(whole.to_string().as_bytes(), &context(true), "r").unwrap();
    let Outcome::Message(made) = check(&made) else {
        panic!("an error")
    };
    assert_eq!(made["content"][0]["input"], json!({ "a": 1 }));
    assert_eq!(made["content"][1]["input"], json!({}));
    assert_eq!(made["stop_reason"], "tool_use");
}

#[test]
fn finish_reasons_become_stop_reasons() {
    for (reason, expected) in [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("sensitive", "refusal"),
        ("next_years_reason", "end_turn"),
    ] {
        let bytes = stream(&[delta(json!({ "content": "a" })), end(reason)], true);
        assert_eq!(message(&bytes, true)["stop_reason"], expected, "{reason}");
    }
    // Not every host sends `[DONE]`.
    let bytes = stream(&[delta(json!({ "content": "a" })), end("stop")], false);
    assert_eq!(message(&bytes, true)["content"][0]["text"], "a");
    let parts = stream(
        &[
            delta(json!({ "content": [{ "type": "text", "text": "a" }] })),
            end("stop"),
        ],
        true,
    );
    assert_eq!(message(&parts, true)["content"][0]["text"], "a");
}

#[test]
fn failed_answers_are_errors() {
    let said = delta(json!({ "content": "a" }));
    for (chunks, done, kind, words) in [
        (
            vec![said.clone()],
            false,
            "api_error",
            "the answer of the model's provider broke off",
        ),
        (
            vec![
                said.clone(),
                json!({ "error": { "message": "org-1 is full", "code": "rate_limit_exceeded" } }),
            ],
            false,
            "rate_limit_error",
            "the model's provider reported rate_limit_exceeded",
        ),
        (
            vec![said, end("insufficient_system_resource")],
            true,
            "overloaded_error",
            "the model's provider reported server_is_overloaded",
        ),
    ] {
        let expected = json!({ "type": "error", "error": { "type": kind, "message": words } });
        assert_eq!(converted(&stream(&chunks, done), true), Outcome::Error(expected));
    }
    let whole = |body: &str| events(body.as_bytes(), &context(true), "r");
    assert_eq!(whole(r#"{"object":"list"}"#), Err(UnusableAnswer::Unreadable));
    assert_eq!(whole("<html>"), Err(UnusableAnswer::Unfinished));
    assert!(matches!(
        whole(r#"{"error":{"message":"No."}}"#),
        Err(UnusableAnswer::Error(..))
    ));
}
