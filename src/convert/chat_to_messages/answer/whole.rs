//! Converts a whole message into a whole completion.

use super::usage::Figures;
use super::{choice, finish, head, image};

use crate::convert::chat_to_messages::error::UnusableAnswer;
use crate::convert::chat_to_messages::request::Context;
use crate::dialect::body::mended;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

/// Converts an answer of `POST /v1/messages`. `id`: unique per answer, only its letters and digits are used;
/// `created`: Unix seconds.
pub fn answer(body: &[u8], context: &Context, id: &str, created: u64) -> Result<Vec<u8>, UnusableAnswer> {
    let body = mended(body);
    let message = Object::parse(&body).map_err(|_| UnusableAnswer::Unreadable)?;
    if let Some(error) = UnusableAnswer::read(&message) {
        return Err(error);
    }
    let blocks: List<'_> = message.get("content").ok_or(UnusableAnswer::Unreadable)?;
    let mut said = String::new();
    let mut thought = String::new();
    let mut calls = Vec::new();
    let mut images = Vec::new();
    for block in blocks {
        let Some(block) = Object::of(block.get()) else {
            continue;
        };
        let text = |key| block.get::<Text<'_>>(key).unwrap_or_default();
        match &*text("type") {
            "text" => said.push_str(&text("text")),
            "thinking" => thought.push_str(&text("thinking")),
            "tool_use" => {
                let input = block.raw("input").map_or("{}", |input| input.get());
                let function = Json::map([("name", text("name").into()), ("arguments", Json::text(input))]);
                calls.push(Json::map([
                    ("id", text("id").into()),
                    ("type", Json::text("function")),
                    ("function", function),
                ]));
            }
            "image" => images.extend(image(&block, images.len() as u64)),
            // Results of the provider's own tools, and redacted thinking.
            _ => {}
        }
    }
    let stopped: Option<Text<'_>> = message.get("stop_reason");
    let stopped = stopped.ok_or(UnusableAnswer::Unfinished)?;
    let words = if said.is_empty() && !calls.is_empty() {
        Json::Null
    } else {
        Text::from(said).into()
    };
    let mut reply = Json::map([
        ("role", Json::text("assistant")),
        ("content", words),
        ("refusal", Json::Null),
    ]);
    if !thought.is_empty() {
        reply.put("reasoning_content", Text::from(thought).into());
    }
    if !images.is_empty() {
        reply.put("images", Json::List(images));
    }
    if !calls.is_empty() {
        reply.put("tool_calls", Json::List(calls));
    }
    let mut figures = Figures::default();
    if let Some(usage) = message.get("usage") {
        figures.take(&usage);
    }
    let model: Option<Text<'_>> = message.get("model");
    let model = model.as_ref().map_or(context.model.as_str(), |model| model);
    let mut completion = head("chat.completion", id, created, model);
    completion.put("choices", choice("message", reply, Some(finish(&stopped))));
    completion.put("usage", figures.to_json());
    Ok(completion.to_bytes())
}
