//! What holds for all transcripts, and all streams.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::items::{Item, Style, events, items, response, style};
use super::{context, convert};
use crate::convert::messages_to_gemini::tests::check::{Outcome, check};
use crate::convert::messages_to_gemini::tests::transcripts::{Round, SamplePart, rounds};
use crate::convert::messages_to_responses as bridge;
use crate::convert::messages_to_responses::{Options, Stream, answer};
use crate::dialect::wire::marks::OPENAI;

fn stream(bytes: &[u8], cuts: &[usize], thinking: bool) -> Vec<u8> {
    let mut stream = Stream::new(&context(thinking), "req-1");
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

fn whole(items: &[Item], status: &str, thinking: bool) -> Value {
    let body = response(items, status).to_string();
    let message = answer(body.as_bytes(), &context(thinking), "req-1").unwrap();
    serde_json::from_slice(&message).unwrap()
}

fn line() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]
}

fn status() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("completed"), 1 => Just("incomplete")]
}

/// What of an answer the next request must hold, in its order.
fn expected(items: &[Item]) -> Vec<Value> {
    let mut said: Vec<Value> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        match item {
            Item::Message(parts) => said.extend(
                parts
                    .iter()
                    .filter(|(text, _)| !text.is_empty())
                    .map(|(text, _)| json!({ "type": "output_text", "text": text })),
            ),
            Item::Reasoning(summary, Some(sealed)) => {
                let texts: Vec<&str> = summary
                    .iter()
                    .map(String::as_str)
                    .filter(|text| !text.is_empty())
                    .collect();
                let summary = match texts.join("\n\n") {
                    text if text.is_empty() => json!([]),
                    text => json!([{ "type": "summary_text", "text": text }]),
                };
                said.push(json!({ "type": "reasoning", "summary": summary, "encrypted_content": sealed }));
            }
            Item::Call(name, arguments) => said.push(json!({
                "type": "function_call", "call_id": format!("call_{number}"), "name": name,
                "arguments": arguments.to_string(),
            })),
            Item::Reasoning(_, None) | Item::Other => {}
        }
    }
    while said.last().is_some_and(|item| item["type"] == "reasoning") {
        said.pop();
    }
    said
}

/// The message as a client sends it back, with a result for each call.
fn turns(content: &Value) -> Vec<Value> {
    let blocks = content.as_array().unwrap();
    let calls = blocks.iter().filter(|block| block["type"] == "tool_use");
    let results: Vec<Value> = calls
        .map(|call| json!({ "type": "tool_result", "tool_use_id": call["id"], "content": "ok" }))
        .collect();
    let next = if results.is_empty() {
        json!("And?")
    } else {
        json!(results)
    };
    vec![
        json!({ "role": "assistant", "content": content }),
        json!({ "role": "user", "content": next }),
    ]
}

/// What the assistant said in these items, texts one by one.
fn said(input: &Value) -> Vec<Value> {
    let items = input.as_array().unwrap().iter();
    items
        .flat_map(|item| match item["type"].as_str().unwrap() {
            "message" if item["role"] == "assistant" => item["content"].as_array().unwrap().clone(),
            "reasoning" | "function_call" => vec![item.clone()],
            _ => Vec::new(),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever Claude Code sends, whoever said what came before, converts to a valid request.
    #[test]
    fn every_transcript_converts(rounds in rounds(8)) {
        converts(&rounds);
    }

    /// What OpenAI said comes back to it as it was: texts, calls and reasoning, in their order.
    #[test]
    fn what_openai_said_comes_back(answers in proptest::collection::vec(items(), 1..4)) {
        let mut messages = vec![json!({ "role": "user", "content": "Go." })];
        let mut wanted = Vec::new();
        for items in &answers {
            messages.extend(turns(&whole(items, "completed", true)["content"]));
            wanted.extend(expected(items));
        }
        // Ids are those of one answer each.
        let unnumbered = |items: Vec<Value>| -> Vec<Value> {
            items.into_iter().map(|mut item| { item.as_object_mut().unwrap().remove("call_id"); item }).collect()
        };
        let (sent, _) = convert(&json!({ "model": "gpt-5.4", "messages": messages }));
        prop_assert_eq!(unnumbered(said(&sent["input"])), unnumbered(wanted));
    }

    /// A client that has not asked for thoughts gets no more of them than it needs to go on.
    #[test]
    fn reasoning_before_a_call_comes_back_unasked(items in items()) {
        let message = whole(&items, "completed", false);
        let blocks = message["content"].as_array().unwrap();
        prop_assert!(blocks.iter().all(|block| block["type"] != "thinking"));
        let last_call = blocks.iter().rposition(|block| block["type"] == "tool_use").map_or(0, |at| at + 1);
        prop_assert!(blocks[last_call..].iter().all(|block| block["type"] == "text"), "{}", message);
        let mut messages = vec![json!({ "role": "user", "content": "Go." })];
        messages.extend(turns(&message["content"]));
        let (sent, _) = convert(&json!({ "model": "gpt-5.4", "messages": messages }));
        let sealed = |items: Vec<Value>| -> Vec<Value> {
            let last = items.iter().rposition(|item| item["type"] == "function_call").unwrap_or_default();
            let items = items.into_iter().take(last).filter(|item| item["type"] == "reasoning");
            items.map(|item| item["encrypted_content"].clone()).collect()
        };
        prop_assert_eq!(sealed(said(&sent["input"])), sealed(expected(&items)));
    }

    /// However the network cuts it, and however much of it is told in pieces, a stream makes the same message, which
    /// is that of the whole answer.
    #[test]
    fn every_stream_is_valid(
        items in items(), status in status(), style in style(), line in line(), thinking in any::<bool>(),
        cuts in proptest::collection::vec(0usize..60, 0..60),
    ) {
        let bytes = events(&items, status, style, line);
        let made = stream(&bytes, &[], thinking);
        prop_assert_eq!(&stream(&bytes, &cuts, thinking), &made);
        prop_assert_eq!(&stream(&bytes, &vec![1; bytes.len()], thinking), &made);
        let message = whole(&items, "completed", thinking);
        if status == "completed" {
            prop_assert_eq!(check(&made), Outcome::Message(message));
        } else {
            let Outcome::Message(made) = check(&made) else { panic!("an error") };
            prop_assert_eq!(&made["stop_reason"], "max_tokens");
            prop_assert_eq!(&made["content"], &message["content"]);
        }
    }

    /// A stream that breaks anywhere ends in an error, unless its last event had come.
    #[test]
    fn a_broken_stream_is_valid(items in items(), style in style(), at in any::<proptest::sample::Index>()) {
        let bytes = events(&items, "completed", style, "\n");
        let at = at.index(bytes.len());
        let outcome = broken(&stream(&bytes[..at], &[], true));
        prop_assert_eq!(outcome, at < bytes.len() - 2);
    }

    /// So does one that is no stream of Responses at all.
    #[test]
    fn garbage_makes_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "(data: ?\\PC{0,30}\n{1,2}){0,9}") {
        prop_assert!(broken(&stream(&bytes, &[7; 20], true)));
        prop_assert!(broken(&stream(text.as_bytes(), &[3; 40], false)));
    }

    /// A body that is none is refused, never more.
    #[test]
    fn any_body_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
        prop_assert!(bridge::request(&bytes, &Options::default()).is_err());
        let _ = bridge::request(text.as_bytes(), &Options::default());
        let _ = bridge::error_body(400, text.as_bytes(), "no");
        let _ = answer(text.as_bytes(), &context(true), "x");
    }

    /// Items that come at the same time are told one after the other.
    #[test]
    fn items_side_by_side_are_told_apart(one in items(), other in items()) {
        let all: Vec<Item> = one.into_iter().chain(other).collect();
        let bytes = events(&all, "completed", Style::Pieces, "\n");
        let text = String::from_utf8(bytes).unwrap();
        // All openings first, then everything else as it was.
        let (openings, rest): (Vec<&str>, Vec<&str>) = text
            .split_terminator("\n\n")
            .skip(2)
            .partition(|event| event.starts_with("event: response.output_item.added"));
        let events: Vec<&str> = openings.into_iter().chain(rest).collect();
        let mixed = events.join("\n\n") + "\n\n";
        let Outcome::Message(made) = check(&stream(mixed.as_bytes(), &[], true)) else { panic!("an error") };
        let sorted = |message: &Value| {
            let mut blocks: Vec<String> =
                message["content"].as_array().unwrap().iter().map(Value::to_string).collect();
            blocks.sort();
            blocks
        };
        prop_assert_eq!(sorted(&made), sorted(&whole(&all, "completed", true)));
    }
}

/// Whether a stream ended with an error; what came before may end anywhere in the message.
fn broken(made: &[u8]) -> bool {
    let text = String::from_utf8(made.to_vec()).unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let is_error = last.starts_with("event: error\n");
    assert!(is_error || last.starts_with("event: message_stop\n"), "{last}");
    check(made);
    is_error
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Long sessions too.
    #[test]
    fn long_sessions_convert(rounds in rounds(120)) {
        converts(&rounds);
    }
}

fn converts(rounds: &[Round]) {
    let mut messages = Vec::new();
    let mut number = 0;
    for round in rounds {
        round.write(&mut messages, &mut |said| {
            said.iter()
                .map(|said| {
                    number += 1;
                    block(said, number)
                })
                .collect()
        });
    }
    // What this account does not do is refused.
    for message in &mut messages {
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if let Some(block) = block.as_object_mut() {
                block.remove("citations");
            }
        }
    }
    // The last turn is a user's who says something.
    messages.push(json!({ "role": "user", "content": "hi" }));
    convert(&json!({
        "model": "gpt-5.4", "max_tokens": 32_000, "stream": true, "messages": messages,
        "system": [{ "type": "text", "text": "x-anthropic-billing-header: cc_version=2" }, { "type": "text", "text": "You help." }],
        "thinking": { "type": "adaptive" }, "metadata": { "user_id": "{}" }, "context_management": { "edits": [] },
        "tools": [{ "name": "Bash", "description": "Runs.", "input_schema": { "type": "object", "properties": {} } }],
    }));
}

/// Something that was said, as a block of an answer of ours.
fn block(said: &SamplePart, number: usize) -> Value {
    let token = format!("{OPENAI}{}", said.signature().unwrap_or_default());
    match said {
        SamplePart::Text(text, _) => json!({ "type": "text", "text": text }),
        SamplePart::Thought(text, _) if text.is_empty() => {
            json!({ "type": "redacted_thinking", "data": token })
        }
        SamplePart::Thought(text, _) => json!({ "type": "thinking", "thinking": text, "signature": token }),
        SamplePart::Call { name, args, .. } => {
            json!({ "type": "tool_use", "id": format!("call_{number}"), "name": name, "input": args })
        }
    }
}
