//! The rules of an Anthropic stream, as one state machine.

use std::collections::HashSet;

use serde_json::{Value, json};

/// How a valid stream ended.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::convert) enum Outcome {
    /// With this message, put together as a client does it.
    Message(Value),
    /// With this error.
    Error(Value),
}

#[derive(Debug, PartialEq)]
enum State {
    Before,
    /// No block is open.
    Between,
    Block {
        /// All its input's JSON, for a call.
        input: String,
        signed: bool,
    },
    /// The reason to stop has been told.
    Stopped,
    Over,
}

/// Checks a whole stream; panics at the first broken rule.
#[track_caller]
pub(in crate::convert) fn check(stream: &[u8]) -> Outcome {
    let text = std::str::from_utf8(stream).expect("UTF-8");
    let mut state = State::Before;
    let mut message = Value::Null;
    let mut ids = HashSet::new();
    let mut error = None;
    assert!(text.is_empty() || text.ends_with("\n\n"), "every event is closed");
    for event in text.split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').expect("two lines");
        let name = name.strip_prefix("event: ").expect("its name first");
        let data = data.strip_prefix("data: ").expect("its data then");
        assert!(!data.contains(['\n', '\r']), "data on one line");
        let data: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(data["type"], name);
        assert_ne!(state, State::Over, "nothing comes after the end: {event}");
        if name == "error" {
            assert!(data["error"]["type"].is_string() && data["error"]["message"].is_string());
            error = Some(data);
            state = State::Over;
            continue;
        }
        state = step(state, name, &data, &mut message, &mut ids);
    }
    assert_eq!(state, State::Over, "a stream has an end:\n{text}");
    error.map_or(Outcome::Message(message), Outcome::Error)
}

fn step(state: State, name: &str, data: &Value, message: &mut Value, ids: &mut HashSet<String>) -> State {
    let open = |message: &Value| message["content"].as_array().unwrap().len() - 1;
    match (state, name) {
        (State::Before, "message_start") => {
            *message = data["message"].clone();
            assert!(message["id"].as_str().unwrap().starts_with("msg_"));
            assert_eq!(message["type"], "message");
            assert_eq!(message["role"], "assistant");
            assert_eq!(message["content"], json!([]));
            assert_eq!(message["stop_reason"], Value::Null);
            assert!(message["model"].is_string());
            usage(&message["usage"]);
            State::Between
        }
        (State::Between, "content_block_start") => {
            let content = message["content"].as_array_mut().unwrap();
            assert_eq!(data["index"], content.len(), "blocks are numbered in order");
            let block = data["content_block"].clone();
            match block["type"].as_str().unwrap() {
                "text" => assert_eq!(block["text"], ""),
                "thinking" => assert_eq!(
                    (&block["thinking"], &block["signature"]),
                    (&json!(""), &json!(""))
                ),
                "redacted_thinking" => assert!(!block["data"].as_str().unwrap().is_empty()),
                "tool_use" => {
                    assert_eq!(block["input"], json!({}));
                    assert!(!block["name"].as_str().unwrap().is_empty());
                    let id = block["id"].as_str().unwrap();
                    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
                    assert!(id.bytes().all(plain) && id.len() <= 128, "{id}");
                    assert!(ids.insert(id.to_owned()), "ids are unique: {id}");
                }
                "server_tool_use" => {
                    assert_eq!(block["input"], json!({}));
                    let id = block["id"].as_str().unwrap();
                    assert!(id.starts_with("srvtoolu_") && id.len() <= 40, "{id}");
                    assert!(ids.insert(id.to_owned()), "ids are unique: {id}");
                }
                "web_search_tool_result" => {
                    let asked = &content.last().expect("the search before its result")["id"];
                    assert_eq!(&block["tool_use_id"], asked);
                    for page in block["content"].as_array().unwrap() {
                        assert!(page["url"].is_string() && page["title"].is_string());
                        assert!(page["encrypted_content"].is_string());
                    }
                }
                "image" => assert!(!block["source"]["data"].as_str().unwrap().is_empty()),
                other => panic!("no such block: {other}"),
            }
            content.push(block);
            State::Block {
                input: String::new(),
                signed: false,
            }
        }
        (
            State::Block {
                mut input,
                mut signed,
            },
            "content_block_delta",
        ) => {
            let at = open(message);
            assert_eq!(data["index"], at);
            let block = &mut message["content"][at];
            let delta = &data["delta"];
            let text = |key: &str| delta[key].as_str().unwrap();
            match (block["type"].as_str().unwrap(), delta["type"].as_str().unwrap()) {
                ("text", "text_delta") => append(&mut block["text"], text("text")),
                ("thinking", "thinking_delta") => {
                    assert!(!signed, "the signature comes last");
                    append(&mut block["thinking"], text("thinking"));
                }
                ("thinking", "signature_delta") => {
                    assert!(!signed, "one signature");
                    signed = true;
                    assert!(!text("signature").is_empty());
                    block["signature"] = delta["signature"].clone();
                }
                ("text", "citations_delta") => {
                    let citation = delta["citation"].clone();
                    assert_eq!(citation["type"], "web_search_result_location");
                    match block["citations"].as_array_mut() {
                        Some(citations) => citations.push(citation),
                        None => block["citations"] = json!([citation]),
                    }
                }
                ("tool_use" | "server_tool_use", "input_json_delta") => input.push_str(text("partial_json")),
                pair => panic!("no such delta of such a block: {pair:?}"),
            }
            State::Block { input, signed }
        }
        (State::Block { input, signed }, "content_block_stop") => {
            let at = open(message);
            assert_eq!(data["index"], at);
            let block = &mut message["content"][at];
            match block["type"].as_str().unwrap() {
                "thinking" => assert!(signed, "a thought has its signature"),
                "text" => assert_ne!(block["text"], "", "no text is empty"),
                "tool_use" | "server_tool_use" => {
                    let input: Value = serde_json::from_str(&input).expect("the input is JSON");
                    assert!(input.is_object());
                    block["input"] = input;
                }
                _ => {}
            }
            State::Between
        }
        (State::Between, "message_delta") => {
            usage(&data["usage"]);
            message["usage"] = data["usage"].clone();
            let reason = data["delta"]["stop_reason"].as_str().unwrap();
            let content = message["content"].as_array().unwrap();
            let calls = content.iter().any(|block| block["type"] == "tool_use");
            match reason {
                "end_turn" => assert!(!calls, "calls are named as the reason"),
                "tool_use" => assert!(calls),
                "max_tokens" | "refusal" => {}
                other => panic!("no such reason: {other}"),
            }
            message["stop_reason"] = reason.into();
            State::Stopped
        }
        (State::Stopped, "message_stop") => State::Over,
        (state, name) => panic!("{name} in {state:?}"),
    }
}

fn append(text: &mut Value, more: &str) {
    assert!(!more.is_empty(), "a delta says something");
    *text = format!("{}{more}", text.as_str().unwrap()).into();
}

fn usage(usage: &Value) {
    for key in [
        "input_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "output_tokens",
    ] {
        assert!(usage[key].is_u64(), "{key} in {usage}");
    }
}
