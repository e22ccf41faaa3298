//! The converter as a whole: every valid transcript converts, every stream is valid, nothing is lost on the way
//! through the client.

mod answers;
mod fields;
mod golden;
mod kinds;
mod properties;
mod requests;
mod streams;

use serde_json::{Value, json};

use super::request::ConvertedRequest;
use super::{Context, Options, request};
use crate::convert::chat_to_messages::tests::messages;
use crate::convert::outcome::refusal;
use crate::dialect::wire::FieldRefusal;

/// Converts, and checks what is made against the rules of the Messages API.
#[track_caller]
fn convert(body: &Value) -> (Value, Context) {
    let converted = try_convert(body).unwrap_or_else(|refused| panic!("{refused}\n{body:#}"));
    let sent: Value = serde_json::from_slice(&converted.body).expect("JSON");
    messages::check(&sent);
    (sent, converted.context)
}

fn try_convert(body: &Value) -> Result<ConvertedRequest, FieldRefusal> {
    request(body.to_string().as_bytes(), &Options::default())
}

/// Why this is refused.
#[track_caller]
fn refused(body: &Value) -> String {
    refusal(try_convert(body).map(|converted| converted.body))
}

/// A request with these items.
fn with_input(input: Value) -> Value {
    json!({ "model": "claude-sonnet-4-5", "input": input, "store": false })
}

/// A simple request with this set.
fn with(key: &str, value: Value) -> Value {
    let mut body = with_input(json!([user("hi")]));
    body[key] = value;
    body
}

fn user(text: &str) -> Value {
    json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": text }] })
}

fn tool(name: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    json!({ "type": "function", "name": name, "description": "Does it.", "strict": false, "parameters": schema })
}

/// Codex' tools, of each kind.
fn tools() -> Value {
    json!([
        tool("exec_command"),
        { "type": "custom", "name": "apply_patch", "description": "Patches files.",
          "format": { "type": "grammar", "syntax": "lark", "definition": "start: begin_patch" } },
        { "type": "local_shell" },
        { "type": "namespace", "name": "multi_agent_v1", "description": "Agents.", "tools": [tool("close_agent")] },
    ])
}

/// Of a client with these tools.
fn context(shown: bool) -> Context {
    let mut body = with("tools", tools());
    if shown {
        body["reasoning"] = json!({ "summary": "auto" });
    }
    try_convert(&body).expect("converts").context
}
