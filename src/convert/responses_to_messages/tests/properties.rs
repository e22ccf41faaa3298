//! What holds for all transcripts, and all streams.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::streams::{Outcome, check};
use super::{context, convert, tools, user};
use crate::convert::messages_to_gemini::tests::transcripts::text;
use crate::convert::responses_to_messages as bridge;
use crate::convert::responses_to_messages::{Options, Stream, answer};
use crate::dialect::messages::forms;

/// Part of an answer of Claude's.
#[derive(Clone, Debug)]
enum Block {
    Text(String),
    Thinking(String),
    Redacted,
    /// Of the tool of this name, as it is sent.
    Call(&'static str, Value),
}

fn block() -> impl Strategy<Value = Block> {
    let call = prop_oneof![
        proptest::collection::btree_map("[a-z]{1,6}", text().prop_map(Value::from), 0..3)
            .prop_map(|input| Block::Call("exec_command", json!(input))),
        text().prop_map(|input| Block::Call("apply_patch", json!({ "input": input }))),
        text().prop_map(|word| Block::Call(
            "local_shell",
            json!({ "command": ["sh", "-c", word], "timeout_ms": 5 })
        )),
        Just(Block::Call("multi_agent_v1__close_agent", json!({ "id": "a" }))),
    ];
    prop_oneof![
        3 => text().prop_filter("Claude says something", |text| !text.trim().is_empty()).prop_map(Block::Text),
        3 => text().prop_map(Block::Thinking),
        1 => Just(Block::Redacted),
        3 => call,
    ]
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    proptest::collection::vec(block(), 0..6)
}

/// The blocks as a whole message of this number.
fn message(blocks: &[Block], reason: &str, turn: usize) -> Value {
    let content: Vec<Value> = blocks
        .iter()
        .enumerate()
        .map(|(at, block)| match block {
            Block::Text(text) => json!({ "type": "text", "text": text }),
            Block::Thinking(text) => json!({ "type": "thinking", "thinking": text, "signature": format!("Eq{at}==") }),
            Block::Redacted => json!({ "type": "redacted_thinking", "data": "EmwK" }),
            Block::Call(name, input) => {
                json!({ "type": "tool_use", "id": format!("toolu_{turn}_{at}"), "name": name, "input": input })
            }
        })
        .collect();
    json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
        "stop_reason": reason, "stop_sequence": null, "usage": {
            "input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 30, "output_tokens": 7 } })
}

fn stream(bytes: &[u8], cuts: &[usize], shown: bool) -> Vec<u8> {
    let mut stream = Stream::new(&context(shown), "req-1", 1);
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

fn whole(blocks: &[Block], turn: usize, shown: bool) -> Value {
    let body = message(blocks, "end_turn", turn).to_string();
    let made = answer(body.as_bytes(), &context(shown), &format!("r{turn}"), 1).unwrap();
    serde_json::from_slice(&made.response).unwrap()
}

/// What of an answer the next request must hold: all but thoughts that nothing follows.
fn expected(blocks: &[Block], turn: usize) -> Vec<Value> {
    let whole = message(blocks, "end_turn", turn);
    let mut content = whole["content"].as_array().unwrap().clone();
    let is_thought = |block: &Value| block["type"].as_str().unwrap().contains("thinking");
    while content.last().is_some_and(is_thought) {
        content.pop();
    }
    content
}

/// Output for each call among the items.
fn outputs(items: &Value) -> Vec<Value> {
    items
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| {
            let kind = match item["type"].as_str().unwrap() {
                "custom_tool_call" => "custom_tool_call_output",
                "function_call" | "local_shell_call" => "function_call_output",
                _ => return None,
            };
            Some(json!({ "type": kind, "call_id": item["call_id"], "output": "ok" }))
        })
        .collect()
}

fn line() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What Claude said comes back to it as it was: texts, calls and signed thoughts, in their order.
    #[test]
    fn what_claude_said_comes_back(answers in proptest::collection::vec(blocks(), 1..4), shown in any::<bool>()) {
        let mut input = vec![user("Go.")];
        let mut wanted = Vec::new();
        for (turn, blocks) in answers.iter().enumerate() {
            let output = whole(blocks, turn, shown)["output"].clone();
            input.extend(output.as_array().unwrap().clone());
            let outputs = outputs(&output);
            if outputs.is_empty() {
                input.push(user("And?"));
            }
            input.extend(outputs);
            wanted.extend(expected(blocks, turn));
        }
        let (sent, _) = convert(&json!({ "model": "claude-opus-4-7", "input": input, "tools": tools(), "reasoning": { "effort": "high" } }));
        let mut got = Vec::new();
        for message in sent["messages"].as_array().unwrap() {
            if message["role"] == "assistant" {
                got.extend(message["content"].as_array().unwrap().clone());
            }
        }
        let plain = |mut block: Value| {
            // What is left out of a shell's call: nothing that Claude had written.
            if let Some(input) = block.get_mut("input").and_then(Value::as_object_mut) {
                input.retain(|_, value| !value.is_null());
            }
            block
        };
        let got: Vec<Value> = got.into_iter().map(plain).collect();
        prop_assert_eq!(got, wanted);
    }

    /// However the network cuts it, a stream makes the same bytes, and says what the whole answer says.
    #[test]
    fn every_stream_is_valid(
        blocks in blocks(), line in line(), shown in any::<bool>(),
        cuts in proptest::collection::vec(0usize..60, 0..60),
        reason in prop_oneof![Just("end_turn"), Just("tool_use"), Just("max_tokens"), Just("refusal"), Just("new")],
    ) {
        let events = forms::streamed(message(&blocks, reason, 0).to_string().as_bytes()).unwrap();
        let bytes = String::from_utf8(events).unwrap().replace('\n', line).into_bytes();
        let made = stream(&bytes, &[], shown);
        prop_assert_eq!(&stream(&bytes, &cuts, shown), &made);
        prop_assert_eq!(&stream(&bytes, &vec![1; bytes.len()], shown), &made);
        let Outcome::Response(response) = check(&made) else { panic!("an error") };
        let mut told = answer(message(&blocks, reason, 0).to_string().as_bytes(), &context(shown), "req-1", 1).unwrap();
        let told: Value = serde_json::from_slice(&std::mem::take(&mut told.response)).unwrap();
        prop_assert_eq!(response, told);
    }

    /// A stream that breaks anywhere ends in an error, unless all that matters had come.
    #[test]
    fn a_broken_stream_is_valid(blocks in blocks(), at in any::<proptest::sample::Index>()) {
        let events = forms::streamed(message(&blocks, "end_turn", 0).to_string().as_bytes()).unwrap();
        let at = at.index(events.len());
        broken(&stream(&events[..at], &[], true));
    }

    /// So does one that is no stream of Messages at all.
    #[test]
    fn garbage_makes_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "(data: ?\\PC{0,30}\n{1,2}){0,9}") {
        broken(&stream(&bytes, &[7; 20], true));
        broken(&stream(text.as_bytes(), &[3; 40], false));
    }

    /// A body that is none is refused, never more.
    #[test]
    fn any_body_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
        prop_assert!(bridge::request(&bytes, &Options::default()).is_err());
        let _ = bridge::request(text.as_bytes(), &Options::default());
        let _ = bridge::error_body(400, text.as_bytes(), "no");
        let _ = answer(text.as_bytes(), &context(true), "x", 1);
    }
}

/// Its last event ends it; what came before may end anywhere in an item.
fn broken(made: &[u8]) {
    let text = String::from_utf8(made.to_vec()).unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let is_end = |name: &str| last.starts_with(&format!("event: response.{name}\n"));
    assert!(is_end("failed") || is_end("completed"), "{last}");
    assert_eq!(
        text.matches("event: response.failed").count() + text.matches("event: response.completed").count(),
        1
    );
}
