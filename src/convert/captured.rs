//! Runs the converters on answers in the providers' own shapes, from `tests/fixtures`. For every way of cutting
//! the bytes, the client's answer must follow its protocol and contain the whole text.

use serde_json::{Value, json};

use super::messages_to_gemini::tests::check::{Outcome, check};
use super::{chat_to_messages, messages_to_gemini, messages_to_responses};
use crate::dialect::captured::fixture;

/// Converts a provider's stream that arrives in pieces of this many bytes.
type Convert = fn(&[u8], usize) -> Vec<u8>;

fn asked(model: &str) -> Vec<u8> {
    let body = json!({ "model": model, "max_tokens": 4096, "messages": [{ "role": "user", "content": "hi" }],
        "thinking": { "type": "enabled", "budget_tokens": 2048 } });
    body.to_string().into_bytes()
}

fn from_gemini(bytes: &[u8], piece: usize) -> Vec<u8> {
    let options = messages_to_gemini::Options::default();
    let converted = messages_to_gemini::request(&asked("gemini-3-pro-preview"), &options).unwrap();
    let mut stream = messages_to_gemini::Stream::new(&converted.context, "req-1");
    let mut out: Vec<u8> = bytes.chunks(piece).flat_map(|piece| stream.feed(piece)).collect();
    out.extend(stream.finish());
    out
}

fn from_responses(bytes: &[u8], piece: usize) -> Vec<u8> {
    let options = messages_to_responses::Options::default();
    let converted = messages_to_responses::request(&asked("gpt-5.4"), &options).unwrap();
    let mut stream = messages_to_responses::Stream::new(&converted.context, "req-1");
    let mut out: Vec<u8> = bytes.chunks(piece).flat_map(|piece| stream.feed(piece)).collect();
    out.extend(stream.finish());
    out
}

/// The content of a message, one line per block.
fn said(message: &Value) -> Vec<String> {
    let blocks = message["content"].as_array().unwrap();
    let line = |block: &Value| match block["type"].as_str().unwrap() {
        "text" => Some(format!("says {}", block["text"].as_str().unwrap())),
        "thinking" => Some(format!("thinks {}", block["thinking"].as_str().unwrap())),
        "tool_use" => Some(format!(
            "calls {} {}",
            block["name"].as_str().unwrap(),
            block["input"]
        )),
        _ => None,
    };
    blocks.iter().filter_map(line).collect()
}

/// A provider's stream, and the expected message of a Messages client or the type of its error.
struct Case {
    file: &'static str,
    convert: Convert,
    said: Result<&'static [&'static str], &'static str>,
    stop: &'static str,
}

#[rustfmt::skip]
const TO_MESSAGES: &[Case] = &[
    Case { file: "gemini/text.sse", convert: from_gemini, stop: "end_turn",
        said: Ok(&["thinks **Counting**\n\nTwelve of them.", "says Zwölf Affen: 十二只猴子 🐒."]) },
    Case { file: "gemini/code_assist.sse", convert: from_gemini, stop: "end_turn",
        said: Ok(&["thinks **Counting**\n\nTwelve of them.", "says Zwölf Affen: 十二只猴子 🐒."]) },
    Case { file: "gemini/tool_call.sse", convert: from_gemini, stop: "tool_use",
        said: Ok(&["calls weather {\"location\":\"San José\"}", "calls time {}"]) },
    Case { file: "gemini/search.sse", convert: from_gemini, stop: "end_turn",
        said: Ok(&["says It is 2,962 m high."]) },
    Case { file: "gemini/blocked.sse", convert: from_gemini, stop: "refusal", said: Ok(&[]) },
    Case { file: "antigravity/claude.sse", convert: from_gemini, stop: "tool_use",
        said: Ok(&["thinks The file must be read first.", "says Zuerst lese ich 文件 🐒.",
            "calls read_file {\"path\":\"/srv/a \\\"b\\\".rs\"}"]) },
    Case { file: "antigravity/gemini.sse", convert: from_gemini, stop: "tool_use",
        said: Ok(&["calls weather {\"location\":\"San José\"}", "calls time {}"]) },
    Case { file: "openai/text.sse", convert: from_responses, stop: "end_turn",
        said: Ok(&["says Zwölf Affen: 十二只猴子 🐒."]) },
    Case { file: "openai/reasoning_tool.sse", convert: from_responses, stop: "tool_use",
        said: Ok(&["thinks **Adding**\n\nI call the tool with 12 and 7.", "calls add {\"a\":12,\"b\":7}"]) },
    Case { file: "openai/incomplete.sse", convert: from_responses, stop: "max_tokens",
        said: Ok(&["says It goes on and"]) },
    Case { file: "openai/web_search.sse", convert: from_responses, stop: "end_turn",
        said: Ok(&["says 2,962 m. ([mountains.example](https://mountains.example/zugspitze))"]) },
    Case { file: "openai/failed.sse", convert: from_responses, stop: "", said: Err("rate_limit_error") },
    Case { file: "openai/error_event.sse", convert: from_responses, stop: "", said: Err("api_error") },
];

#[test]
fn streams_of_other_providers_become_whole_messages() {
    for case in TO_MESSAGES {
        let file = case.file;
        let bytes = fixture(file);
        let whole = (case.convert)(&bytes, bytes.len());
        match (check(&whole), case.said) {
            (Outcome::Message(message), Ok(expected)) => {
                assert_eq!(said(&message), expected, "{file}");
                assert_eq!(message["stop_reason"], case.stop, "{file}");
            }
            (Outcome::Error(error), Err(expected)) => {
                assert_eq!(error["error"]["type"], expected, "{file}");
            }
            (other, _) => panic!("{file}: {other:?}"),
        }
        for piece in [1, 3, 50] {
            let cut = (case.convert)(&bytes, piece);
            let (Outcome::Message(cut), Outcome::Message(whole)) = (check(&cut), check(&whole)) else {
                continue;
            };
            assert_eq!(said(&cut), said(&whole), "{file} in pieces of {piece}");
        }
    }
}

#[test]
fn streams_of_messages_become_whole_completions() {
    let cases = [
        (
            "anthropic/text.sse",
            "Der Fluss führt heute Hochwasser: 今天涨水了 🌊, \"two metres\".",
            "stop",
        ),
        (
            "anthropic/thinking_tool.sse",
            "I will look at it first.",
            "tool_calls",
        ),
        ("anthropic/web_search.sse", "It is 2,962 metres high.", "stop"),
        ("anthropic/compaction.sse", "Here is the table.", "stop"),
        ("anthropic/fallback.sse", "Another ends.", "stop"),
        ("anthropic/refusal.sse", "", "content_filter"),
    ];
    for (file, text, reason) in cases {
        let bytes = fixture(file);
        for piece in [bytes.len(), 1, 50] {
            let out = completion(&bytes, piece);
            let chunks: Vec<Value> = out
                .split("\n\n")
                .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok())
                .collect();
            let parts = |pointer| {
                chunks
                    .iter()
                    .filter_map(move |chunk| chunk.pointer(pointer)?.as_str())
            };
            let said: String = parts("/choices/0/delta/content").collect();
            assert_eq!(said, text, "{file}");
            assert_eq!(
                parts("/choices/0/finish_reason").collect::<Vec<_>>(),
                [reason],
                "{file}"
            );
            assert!(out.ends_with("data: [DONE]\n\n"), "{file}");
        }
    }
    let broken = completion(&fixture("anthropic/overloaded.sse"), 9);
    assert!(
        broken.contains("Overloaded") || broken.contains("overloaded"),
        "{broken}"
    );
    assert!(!broken.contains("[DONE]"), "{broken}");
}

fn completion(bytes: &[u8], piece: usize) -> String {
    let context = chat_to_messages::Context {
        model: "model-asked-for".to_owned(),
        include_usage: true,
    };
    let mut stream = chat_to_messages::Stream::new(&context, "req-1", 1_795_335_300);
    let mut out: Vec<u8> = bytes.chunks(piece).flat_map(|piece| stream.feed(piece)).collect();
    out.extend(stream.finish());
    String::from_utf8(out).unwrap()
}

#[test]
fn whole_answers_of_other_providers_become_messages() {
    let options = messages_to_responses::Options::default();
    let context = messages_to_responses::request(&asked("gpt-5.4"), &options)
        .unwrap()
        .context;
    let message = messages_to_responses::answer(&fixture("openai/response.json"), &context, "req-1").unwrap();
    let message: Value = serde_json::from_slice(&message).unwrap();
    assert_eq!(said(&message).last().unwrap(), "says Grüße aus 京都!");

    let options = messages_to_gemini::Options::default();
    let context = messages_to_gemini::request(&asked("gemini-3-pro-preview"), &options)
        .unwrap()
        .context;
    for file in ["gemini/answer.json", "antigravity/answer.json"] {
        let message = messages_to_gemini::answer(&fixture(file), &context, "req-1").unwrap();
        let message: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(said(&message), ["says Grüße aus 京都!"], "{file}");
        assert_eq!(message["stop_reason"], "end_turn", "{file}");
    }
}
