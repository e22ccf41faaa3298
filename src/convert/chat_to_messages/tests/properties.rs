//! What holds for all transcripts, and all streams.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::check::{Outcome, check, check_usage};
use super::transcripts::{Block, blocks, messages, model, settings};
use super::{context, convert_for};
use crate::convert::chat_to_messages::{Stream, Target, answer};
use crate::convert::messages_to_gemini;

fn usage() -> Value {
    json!({ "input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 30,
        "output_tokens": 7, "output_tokens_details": { "thinking_tokens": 3 } })
}

/// The blocks as a whole message.
fn message(blocks: &[Block], reason: &str) -> Value {
    let content: Vec<Value> = blocks
        .iter()
        .enumerate()
        .map(|(at, block)| match block {
            Block::Text(text) => json!({ "type": "text", "text": text }),
            Block::Thinking(text) => json!({ "type": "thinking", "thinking": text, "signature": "s" }),
            Block::Redacted => json!({ "type": "redacted_thinking", "data": "d" }),
            Block::Call(name, input, _) => {
                json!({ "type": "tool_use", "id": format!("toolu_{at}"), "name": name, "input": input })
            }
        })
        .collect();
    json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
        "stop_reason": reason, "stop_sequence": null, "usage": usage() })
}

/// The same as a stream, each text in single characters.
fn events(blocks: &[Block], reason: Option<&str>, line: &str) -> Vec<u8> {
    let mut events = vec![json!({ "type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "usage": { "input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 30, "output_tokens": 1 },
    } })];
    for (at, block) in blocks.iter().enumerate() {
        let mut deltas = Vec::new();
        let opening = match block {
            Block::Text(text) => {
                deltas.extend(text.chars().map(|c| json!({ "type": "text_delta", "text": c })));
                json!({ "type": "text", "text": "" })
            }
            Block::Thinking(text) => {
                deltas.extend(
                    text.chars()
                        .map(|c| json!({ "type": "thinking_delta", "thinking": c })),
                );
                deltas.push(json!({ "type": "signature_delta", "signature": "s" }));
                json!({ "type": "thinking", "thinking": "", "signature": "" })
            }
            Block::Redacted => json!({ "type": "redacted_thinking", "data": "d" }),
            Block::Call(name, input, at_once) => {
                deltas.push(json!({ "type": "input_json_delta", "partial_json": "" }));
                let opening = if *at_once { input.clone() } else { json!({}) };
                if !*at_once && *input != json!({}) {
                    let input = input.to_string();
                    deltas.extend(
                        input
                            .chars()
                            .map(|c| json!({ "type": "input_json_delta", "partial_json": c })),
                    );
                }
                json!({ "type": "tool_use", "id": format!("toolu_{at}"), "name": name, "input": opening })
            }
        };
        events.push(json!({ "type": "content_block_start", "index": at, "content_block": opening }));
        events.push(json!({ "type": "ping" }));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| json!({ "type": "content_block_delta", "index": at, "delta": delta })),
        );
        events.push(json!({ "type": "content_block_stop", "index": at }));
    }
    if let Some(reason) = reason {
        events.push(
            json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": {
            "output_tokens": 7, "output_tokens_details": { "thinking_tokens": 3 } } }),
        );
        events.push(json!({ "type": "message_stop" }));
    }
    let events = events.into_iter();
    let events = events.map(|event| format!("event: {}{line}data: {event}{line}{line}", event["type"]));
    events.collect::<String>().into_bytes()
}

fn stream(bytes: &[u8], cuts: &[usize], include_usage: bool) -> Vec<u8> {
    let mut stream = Stream::new(&context(include_usage), "req_0-1", 1_700_000_000);
    let mut out = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (part, tail) = rest.split_at((*cut).min(rest.len()));
        out.extend_from_slice(&stream.feed(part));
        rest = tail;
    }
    out.extend_from_slice(&stream.feed(rest));
    out.extend_from_slice(&stream.finish());
    assert!(stream.finish().is_empty() && stream.feed(b"data: {}\n\n").is_empty());
    out
}

fn reason() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("end_turn"),
        Just("tool_use"),
        Just("max_tokens"),
        Just("stop_sequence"),
        Just("refusal"),
        Just("pause_turn"),
        Just("something_new"),
    ]
}

fn gemini() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("gemini-2.0-flash"),
        Just("gemini-2.5-pro"),
        Just("gemini-3.1-pro-preview"),
        Just("gemini-flash-latest"),
    ]
}

fn line() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a tool sends converts to a valid request, for either target.
    #[test]
    fn every_transcript_converts(messages in messages(), settings in settings(), model in model()) {
        let mut body = settings;
        body["model"] = model.into();
        body["messages"] = messages.into();
        convert_for(&body, Target::Claude);
        convert_for(&body, Target::Gemini);
    }

    /// A Gemini account is reached by the next converter, which takes whatever this one makes.
    #[test]
    fn every_transcript_converts_twice(messages in messages(), settings in settings(), model in gemini()) {
        let mut body = settings;
        body["model"] = model.into();
        body["messages"] = messages.into();
        let sent = convert_for(&body, Target::Gemini);
        let converted = messages_to_gemini::request(sent.to_string().as_bytes(), &messages_to_gemini::Options::default());
        prop_assert!(converted.is_ok(), "{:?}\n{sent:#}", converted.err());
    }

    /// What has been said once is sent the same way again, or the cache would be of no use.
    #[test]
    fn a_longer_transcript_begins_like_the_shorter(messages in messages(), more in messages()) {
        let turns = |messages: &[Value]| {
            let mut sent = convert_for(&super::with_messages(messages.into()), Target::Gemini);
            sent["messages"].as_array_mut().unwrap().drain(..).collect::<Vec<_>>()
        };
        let mut whole = messages.clone();
        whole.push(json!({ "role": "assistant", "content": "Well." }));
        let short = turns(&whole);
        whole.extend(more);
        let long = turns(&whole);
        let kept = short.len() - 1;
        prop_assert_eq!(&short[..kept], &long[..kept]);
    }

    /// A stream is valid wherever it is cut, and says what the whole answer says.
    #[test]
    fn every_stream_is_valid(
        blocks in blocks(), reason in reason(), line in line(), cuts in proptest::collection::vec(0_usize..40, 0..40),
        include_usage in any::<bool>(),
    ) {
        let bytes = events(&blocks, Some(reason), line);
        let cut = stream(&bytes, &cuts, include_usage);
        prop_assert_eq!(&cut, &stream(&bytes, &[], include_usage));
        let whole = answer(message(&blocks, reason).to_string().as_bytes(), &context(false), "req_0-1", 1).unwrap();
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        check_usage(&whole["usage"]);
        let Outcome::Completion { message: mut streamed, finish, usage } = check(&cut, include_usage) else {
            panic!("an error came of it");
        };
        let told = &whole["choices"][0];
        if told["message"]["content"].is_null() {
            streamed["content"] = Value::Null;
        }
        prop_assert_eq!(&streamed, &told["message"]);
        prop_assert_eq!(&finish, told["finish_reason"].as_str().unwrap());
        if include_usage {
            prop_assert_eq!(&usage.unwrap(), &whole["usage"]);
        }
    }

    /// One that breaks off, anywhere, ends with an error or is whole.
    #[test]
    fn a_broken_stream_ends_with_an_error(blocks in blocks(), at in any::<prop::sample::Index>(), line in line()) {
        let bytes = events(&blocks, Some("end_turn"), line);
        let broken = stream(&bytes[..at.index(bytes.len())], &[], false);
        match check(&broken, false) {
            Outcome::Error(_) => {}
            Outcome::Completion { finish, .. } => prop_assert_eq!(finish, "stop"),
        }
    }

    /// Whatever bytes come, what goes out is a stream.
    #[test]
    fn rubbish_makes_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&stream(&bytes, &[], true), true);
    }
}
