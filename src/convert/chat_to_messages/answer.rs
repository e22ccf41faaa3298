//! Answers of the Messages API as chat completions, whole or streamed.

pub(super) mod stream;
pub(super) mod whole;

mod usage;

use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// Maps `stop_reason` to `finish_reason`. An unknown reason counts as `stop`.
fn finish(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// The first members of both forms. `id`: letters and digits, unique per answer.
fn head<'a>(object: &'static str, id: &'a str, created: u64, model: &'a str) -> Json<'a> {
    let seed: String = id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    Json::map([
        ("id", Json::Text(format!("chatcmpl-{seed}").into())),
        ("object", Json::text(object)),
        ("created", Json::Number(created.into())),
        ("model", Json::text(model)),
    ])
}

/// An image made by the model, as an item of `images`. OpenAI's protocol has no place for images; OpenRouter,
/// LiteLLM and Vercel's gateway send them this way and clients read it
/// (<https://docs.litellm.ai/docs/completion/image_generation_chat>).
fn image(block: &Object<'_>, index: u64) -> Option<Json<'static>> {
    let source: Object<'_> = block.get("source")?;
    let kind: Text<'_> = source.get("media_type")?;
    let data: Text<'_> = source.get("data")?;
    let url = format!("data:{};base64,{}", &*kind, &*data);
    Some(Json::map([
        ("type", Json::text("image_url")),
        ("index", Json::Number(index.into())),
        ("image_url", Json::map([("url", Json::Text(url.into()))])),
    ]))
}

/// One choice with a member of this name: `message` or `delta`.
fn choice<'a>(name: &'static str, said: Json<'a>, finish: Option<&'static str>) -> Json<'a> {
    Json::List(vec![Json::map([
        ("index", Json::Number(0.into())),
        (name, said),
        ("logprobs", Json::Null),
        ("finish_reason", finish.map_or(Json::Null, Json::text)),
    ])])
}
