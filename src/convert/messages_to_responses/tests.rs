//! The converter as a whole: every valid transcript converts, every stream is valid, nothing is lost on the way
//! through the client.

mod answers;
mod bounds;
mod fields;
mod golden;
mod items;
mod kinds;
mod properties;
mod requests;
mod rules;

use serde_json::{Value, json};

use super::request::ConvertedRequest;
use super::{Context, Options, request};
use crate::convert::outcome::refusal;
use crate::dialect::wire::FieldRefusal;

/// Converts, and checks what is made against OpenAI's rules.
#[track_caller]
fn convert(body: &Value) -> (Value, Context) {
    let converted = try_convert(body).unwrap_or_else(|refused| panic!("{refused}\n{body:#}"));
    let sent: Value = serde_json::from_slice(&converted.body).expect("JSON");
    rules::check(&sent);
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

/// A request with these messages.
fn with_messages(messages: Value) -> Value {
    json!({ "model": "gpt-5.4", "max_tokens": 1000, "messages": messages })
}

/// A simple request with this set.
fn with(key: &str, value: Value) -> Value {
    let mut body = with_messages(json!([{ "role": "user", "content": "hi" }]));
    body[key] = value;
    body
}

fn tool(name: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    json!({ "name": name, "description": "Does it.", "input_schema": schema })
}

/// Of a client that wants to see thoughts, or does not.
fn context(thinking: bool) -> Context {
    let mut body = with_messages(json!([{ "role": "user", "content": "hi" }]));
    if thinking {
        body["thinking"] = json!({ "type": "adaptive" });
    }
    try_convert(&body).expect("converts").context
}
