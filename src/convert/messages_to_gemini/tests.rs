//! The converter as a whole: every valid transcript converts, every stream is valid, nothing is lost on
//! the way through the client.

mod answers;
mod bounds;
pub(in crate::convert) mod check;
mod fields;
mod gemini;
mod golden;
mod kinds;
mod properties;
mod requests;
mod schemas;
mod searches;
mod tools;
pub(in crate::convert) mod transcripts;

use serde_json::{Value, json};

use super::{Context, ConvertedRequest, FieldRefusal, Form, Options, request};
use crate::convert::outcome::refusal;

/// Converts, and checks what is made against Gemini's rules.
#[track_caller]
fn convert(body: &Value) -> (Value, Context) {
    let converted = try_convert(body).unwrap_or_else(|refused| panic!("{refused}\n{body:#}"));
    let sent: Value = serde_json::from_slice(&converted.body).expect("JSON");
    gemini::check(&sent);
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
    json!({ "model": "gemini-2.5-pro", "max_tokens": 1000, "messages": messages })
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

/// What a model of this name needs.
fn context(model: &str) -> Context {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
    try_convert(&body).expect("converts").context
}

/// The older form of schemas.
const OLDER: Options<'static> = Options {
    model: None,
    schemas: Form::OpenApi,
};
