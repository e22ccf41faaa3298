//! Tests of the whole converter.

mod answers;
mod properties;
mod requests;

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Options, request};
use crate::convert::messages_to_responses::{Context, ConvertedRequest};
use crate::convert::outcome::refusal;
use crate::dialect::wire::FieldRefusal;
use crate::model::account::ChatHost;

fn try_convert(body: &Value, host: ChatHost) -> Result<ConvertedRequest, FieldRefusal> {
    let options = Options { model: None, host };
    request(body.to_string().as_bytes(), &options)
}

/// Converts and checks the result against the rules of Chat Completions.
#[track_caller]
fn convert(body: &Value, host: ChatHost) -> (Value, Context) {
    let converted = try_convert(body, host).unwrap_or_else(|refused| panic!("{refused}\n{body:#}"));
    let sent: Value = serde_json::from_slice(&converted.body).expect("JSON");
    check(&sent);
    (sent, converted.context)
}

/// The refusal of this request.
#[track_caller]
fn refused(body: &Value) -> String {
    refusal(try_convert(body, ChatHost::Other).map(|converted| converted.body))
}

/// A request with these messages.
fn with_messages(messages: Value) -> Value {
    json!({ "model": "deepseek-chat", "max_tokens": 1000, "messages": messages })
}

/// The context of a client with or without thinking.
fn context(thinking: bool) -> Context {
    let mut body = with_messages(json!([{ "role": "user", "content": "hi" }]));
    if thinking {
        body["thinking"] = json!({ "type": "enabled", "budget_tokens": 1024 });
    }
    try_convert(&body, ChatHost::Other).expect("converts").context
}

/// Panics if the request breaks a rule of Chat Completions that the conversion could break.
#[track_caller]
fn check(sent: &Value) {
    assert!(sent["model"].is_string());
    let mut open: Vec<String> = Vec::new();
    let mut last = "";
    for (at, message) in sent["messages"].as_array().expect("messages").iter().enumerate() {
        let role = message["role"].as_str().expect("a role");
        match role {
            "system" => assert_eq!(at, 0, "the system speaks first"),
            "user" => {
                assert!(open.is_empty(), "results come first: {open:?}");
                match &message["content"] {
                    Value::String(text) => assert!(!text.is_empty()),
                    Value::Array(parts) => assert!(!parts.is_empty()),
                    other => panic!("no content: {other}"),
                }
            }
            "assistant" => {
                assert!(open.is_empty(), "results come first: {open:?}");
                assert_ne!(last, "assistant", "one turn is one message");
                let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
                assert!(
                    !calls.is_empty() || message["content"] != "",
                    "no message is empty"
                );
                for call in &calls {
                    let arguments = call["function"]["arguments"].as_str().expect("arguments");
                    let arguments: Value = serde_json::from_str(arguments).expect("JSON");
                    assert!(arguments.is_object());
                    assert!(call["function"]["name"].as_str().expect("a name").len() <= 64);
                    open.push(call["id"].as_str().expect("an id").to_owned());
                }
            }
            "tool" => {
                let id = message["tool_call_id"].as_str().expect("an id");
                let at = open.iter().position(|open| open == id);
                open.remove(at.unwrap_or_else(|| panic!("no call {id} before")));
                assert!(message["content"].is_string());
            }
            other => panic!("no such role: {other}"),
        }
        last = role;
    }
    assert!(open.is_empty(), "all calls have results: {open:?}");
    assert_ne!(last, "assistant", "the model begins its answer anew");
    let mut names = HashSet::new();
    for tool in sent["tools"].as_array().into_iter().flatten() {
        assert_eq!(tool["type"], "function");
        assert_eq!(tool["function"]["parameters"]["type"], "object");
        assert!(names.insert(tool["function"]["name"].as_str().expect("a name")));
    }
    if let Some(name) = sent["tool_choice"]["function"]["name"].as_str() {
        assert!(names.contains(name));
    }
}
