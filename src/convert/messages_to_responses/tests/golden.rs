//! Golden transcripts: what is sent for them, and what comes back, in `golden/`.
//!
//! The answer has the shapes of OpenAI's reference ("Streaming events" of Responses) and of its SDK's types
//! (`ResponseStreamEvent` of `openai` for Python 3.54.0). `INSTA_UPDATE=always cargo test golden` writes them anew; the
//! difference is then for the reviewer.

use serde_json::{Value, json};

use super::{context, convert, tool};
use crate::convert::messages_to_gemini::tests::check::check;
use crate::convert::messages_to_responses::Stream;

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
fn a_coding_agent() {
    let body = json!({
        "model": "gpt-5.4", "max_tokens": 32_000, "stream": true, "temperature": 1,
        "system": [{ "type": "text", "text": "You are an agent.", "cache_control": { "type": "ephemeral" } }],
        "thinking": { "type": "adaptive" }, "output_config": { "effort": "high" },
        "metadata": { "user_id": "user_1" },
        "tools": [tool("Read"), tool("mcp__files__list")], "tool_choice": { "type": "auto" },
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "What is in the picture and the folder?" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "**Looking**\n\nAt both.", "signature": "gts1.openai.gAAAAABoI" },
                { "type": "text", "text": "Let me look." },
                { "type": "tool_use", "id": "call_a", "name": "mcp__files__list", "input": { "path": "." } },
                { "type": "tool_use", "id": "call_b", "name": "Read", "input": { "a": "b.txt" } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_a", "content": "b.txt\nc.txt" },
                { "type": "tool_result", "tool_use_id": "call_b", "content": [{ "type": "text", "text": "Hello" }] },
                { "type": "text", "text": "Go on." },
            ] },
        ],
    });
    golden!("agent_request", format!("{:#}", convert(&body).0));
}

fn stream(events: &[Value], thinking: bool) -> String {
    let mut stream = Stream::new(&context(thinking), "req0");
    let mut out = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let mut event = event.clone();
        event["sequence_number"] = number.into();
        let name = event["type"].as_str().unwrap();
        out.extend_from_slice(&stream.feed(format!("event: {name}\ndata: {event}\n\n").as_bytes()));
    }
    out.extend_from_slice(&stream.finish());
    check(&out);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_answer_with_reasoning_and_a_call() {
    let begun = json!({ "id": "resp_68", "object": "response", "created_at": 1_795_335_300, "status": "in_progress",
        "model": "gpt-5.4-2026-03-05", "output": [], "usage": null });
    let mut whole = begun.clone();
    whole["status"] = "completed".into();
    whole["usage"] = json!({ "input_tokens": 12_000, "input_tokens_details": { "cached_tokens": 9_000, "cache_write_tokens": 0 },
        "output_tokens": 160, "output_tokens_details": { "reasoning_tokens": 100 }, "total_tokens": 12_160 });
    let at = |kind: &str, index: u64, rest: Value| {
        let mut event = json!({ "type": kind, "item_id": "i", "output_index": index });
        event
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        event
    };
    let reasoning = |sealed: Value| json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed });
    let call = |arguments: &str| json!({ "type": "function_call", "id": "fc_1", "call_id": "call_c", "name": "Read", "arguments": arguments, "status": "in_progress" });
    let text = |text: &str| {
        json!({ "type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "phase": "commentary",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }] })
    };
    let events = [
        json!({ "type": "response.created", "response": begun }),
        json!({ "type": "response.in_progress", "response": begun }),
        at(
            "response.output_item.added",
            0,
            json!({ "item": reasoning(Value::Null) }),
        ),
        at(
            "response.reasoning_summary_part.added",
            0,
            json!({ "summary_index": 0, "part": { "type": "summary_text", "text": "" } }),
        ),
        at(
            "response.reasoning_summary_text.delta",
            0,
            json!({ "summary_index": 0, "delta": "**Reading" }),
        ),
        at(
            "response.reasoning_summary_text.delta",
            0,
            json!({ "summary_index": 0, "delta": "**" }),
        ),
        at(
            "response.reasoning_summary_text.done",
            0,
            json!({ "summary_index": 0, "text": "**Reading**" }),
        ),
        at(
            "response.reasoning_summary_part.added",
            0,
            json!({ "summary_index": 1, "part": { "type": "summary_text", "text": "" } }),
        ),
        at(
            "response.reasoning_summary_text.delta",
            0,
            json!({ "summary_index": 1, "delta": "The file." }),
        ),
        at(
            "response.output_item.done",
            0,
            json!({ "item": reasoning(json!("gAAAAABoJ")) }),
        ),
        at("response.output_item.added", 1, json!({ "item": text("") })),
        at(
            "response.content_part.added",
            1,
            json!({ "content_index": 0, "part": { "type": "output_text", "text": "" } }),
        ),
        at(
            "response.output_text.delta",
            1,
            json!({ "content_index": 0, "delta": "I read ", "logprobs": [] }),
        ),
        at(
            "response.output_text.delta",
            1,
            json!({ "content_index": 0, "delta": "\"c\".", "logprobs": [] }),
        ),
        at(
            "response.output_text.done",
            1,
            json!({ "content_index": 0, "text": "I read \"c\"." }),
        ),
        at(
            "response.content_part.done",
            1,
            json!({ "content_index": 0, "part": { "type": "output_text", "text": "I read \"c\"." } }),
        ),
        at(
            "response.output_item.done",
            1,
            json!({ "item": text("I read \"c\".") }),
        ),
        at("response.output_item.added", 2, json!({ "item": call("") })),
        at(
            "response.function_call_arguments.delta",
            2,
            json!({ "delta": "{\"a\":" }),
        ),
        at(
            "response.function_call_arguments.delta",
            2,
            json!({ "delta": "\"c.txt\"}" }),
        ),
        at(
            "response.function_call_arguments.done",
            2,
            json!({ "arguments": "{\"a\":\"c.txt\"}" }),
        ),
        at(
            "response.output_item.done",
            2,
            json!({ "item": call("{\"a\":\"c.txt\"}") }),
        ),
        json!({ "type": "response.completed", "response": whole }),
    ];
    golden!("agent_stream", stream(&events, true));
    golden!("agent_stream_without_thinking", stream(&events, false));
}
