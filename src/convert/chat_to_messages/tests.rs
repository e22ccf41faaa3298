//! The converter as a whole: every valid transcript converts, every stream is valid.

mod answers;
mod bounds;
mod check;
mod fields;
mod golden;
mod images;
mod kinds;
pub(in crate::convert) mod messages;
mod properties;
mod requests;
mod transcripts;
mod tuning;

use serde_json::{Value, json};

use super::request::ConvertedRequest;
use super::{Context, Options, Target, request};
use crate::convert::outcome::refusal;
use crate::dialect::wire::FieldRefusal;

const GEMINI: Options<'static> = Options {
    target: Target::Gemini,
    model: None,
};

/// Converts for Claude, and checks what is made against the rules of the Messages API.
#[track_caller]
fn convert(body: &Value) -> Value {
    convert_for(body, Target::Claude)
}

#[track_caller]
fn convert_for(body: &Value, target: Target) -> Value {
    let converted = try_convert(body, target).unwrap_or_else(|refused| panic!("{refused}\n{body:#}"));
    let sent: Value = serde_json::from_slice(&converted.body).expect("JSON");
    messages::check(&sent);
    sent
}

fn try_convert(body: &Value, target: Target) -> Result<ConvertedRequest, FieldRefusal> {
    request(body.to_string().as_bytes(), &Options { target, model: None })
}

/// Why this is refused.
#[track_caller]
fn refused(body: &Value) -> String {
    refusal(try_convert(body, Target::Claude).map(|converted| converted.body))
}

/// A request with these messages.
fn with_messages(messages: Value) -> Value {
    json!({ "model": "claude-sonnet-4-5", "messages": messages })
}

/// A simple request with this set.
fn with(key: &str, value: Value) -> Value {
    let mut body = with_messages(json!([{ "role": "user", "content": "hi" }]));
    body[key] = value;
    body
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn tool(name: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    json!({ "type": "function", "function": { "name": name, "description": "Does it.", "parameters": schema } })
}

fn context(include_usage: bool) -> Context {
    Context {
        model: "claude-asked".to_owned(),
        include_usage,
    }
}
