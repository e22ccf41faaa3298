//! Builds the items of a response.

use crate::dialect::body::mended;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// The text in the input of a custom tool; other inputs are returned as they are.
pub(super) fn custom(input: &str) -> String {
    let json = mended(input.as_bytes()).into_owned();
    let text: Option<Text<'_>> = Object::parse(&json).ok().and_then(|input| input.get("input"));
    text.map_or_else(|| input.to_owned(), |text| text.0.into_owned())
}

/// The action of Codex' shell.
pub(super) fn action(input: &str) -> Json<'static> {
    let json = mended(input.as_bytes()).into_owned();
    let input = Object::parse(&json).ok();
    let text = |key| {
        let text: Option<Text<'_>> = input.as_ref().and_then(|input| input.get(key));
        text.map_or(Json::Null, |text| Json::Text(text.0.into_owned().into()))
    };
    let words: Option<List<'_>> = input.as_ref().and_then(|input| input.get("command"));
    let words = words.into_iter().flatten();
    let words = words.filter_map(|word| serde_json::from_slice::<Text<'_>>(word.get().as_bytes()).ok());
    let words = words.map(|word| Json::Text(word.0.into_owned().into()));
    let timeout: Option<u64> = input.as_ref().and_then(|input| input.get("timeout_ms"));
    Json::map([
        ("type", Json::text("exec")),
        ("command", Json::List(words.collect())),
        ("env", Json::Map(Vec::new())),
        (
            "timeout_ms",
            timeout.map_or(Json::Null, |timeout| Json::Number(timeout.into())),
        ),
        ("working_directory", text("working_directory")),
    ])
}

/// The cited pages; each cites the whole text.
pub(super) fn annotations(said: &str, cited: &[(String, String)]) -> Vec<Json<'static>> {
    let end = said.chars().count() as u64;
    let owned = |text: &str| Json::Text(text.to_owned().into());
    let cited = cited.iter().map(|(url, title)| {
        Json::map([
            ("type", Json::text("url_citation")),
            ("start_index", Json::Number(0.into())),
            ("end_index", Json::Number(end.into())),
            ("url", owned(url)),
            ("title", owned(title)),
        ])
    });
    cited.collect()
}

pub(super) fn message(id: &str, content: Vec<Json<'static>>, status: &'static str) -> Json<'static> {
    Json::map([
        ("type", Json::text("message")),
        ("id", Json::Text(id.to_owned().into())),
        ("status", Json::text(status)),
        ("role", Json::text("assistant")),
        ("content", Json::List(content)),
    ])
}

pub(super) fn reasoning(id: &str, summary: Vec<Json<'static>>, token: Option<String>) -> Json<'static> {
    Json::map([
        ("type", Json::text("reasoning")),
        ("id", Json::Text(id.to_owned().into())),
        ("summary", Json::List(summary)),
        (
            "encrypted_content",
            token.map_or(Json::Null, |token| Json::Text(token.into())),
        ),
    ])
}

pub(super) fn output_text(text: String, annotations: Vec<Json<'static>>) -> Json<'static> {
    Json::map([
        ("type", Json::text("output_text")),
        ("text", Json::Text(text.into())),
        ("annotations", Json::List(annotations)),
        ("logprobs", Json::List(Vec::new())),
    ])
}

pub(super) fn summary_text(text: String) -> Json<'static> {
    Json::map([
        ("type", Json::text("summary_text")),
        ("text", Json::Text(text.into())),
    ])
}
