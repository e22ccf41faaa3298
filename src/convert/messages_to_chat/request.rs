//! Converts an Anthropic request into the body of `POST /chat/completions`.
//!
//! `messages_to_responses::request::fields` lists every top-level field and its treatment. In addition, Chat
//! Completions hosts support `stop_sequences`, and sampling parameters of models that think.

use super::host;
use crate::convert::messages_to_responses::{
    Conversation, ConvertedRequest, Reasoning, begin, conversation, instructions, shape, thinking,
};
use crate::dialect::body::mended;
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::{Budget, written};
use crate::dialect::wire::json::{Json, get};
use crate::dialect::wire::marks::REASONING;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;
use crate::model::account::ChatHost;

/// Properties of the account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The model to request, if it differs from the client's.
    pub model: Option<&'a str>,
    pub host: ChatHost,
}

/// Converts the body of `POST /v1/messages`.
pub fn request(body: &[u8], options: &Options<'_>) -> Result<ConvertedRequest, FieldRefusal> {
    let body = mended(body);
    let budget = Budget::of(body.len());
    let body = Object::parse(&body).map_err(|error| FieldRefusal::at("the request body", error))?;
    let (name, mut context) = begin(&body, options.model)?;
    let conversation = conversation(&body, &mut context.names, Reasoning::Plain, &budget)?;
    let mut out = Json::map([("model", name.into())]);
    context.thinking = convert(&body, conversation, options.host, &mut out, &budget)?;
    Ok(ConvertedRequest {
        body: written(&out, &budget)?,
        context,
    })
}

/// Writes the body. Returns whether the client asked for thinking.
fn convert<'a>(
    body: &Object<'a>,
    conversation: Conversation<'a>,
    host: ChatHost,
    out: &mut Json<'a>,
    budget: &Budget,
) -> Result<bool, FieldRefusal> {
    let config: Option<Object<'a>> = body.want("output_config", "")?;
    let format = match &config {
        Some(config) => config.want("format", "output_config")?,
        None => None,
    };
    // `output_format` is the older field.
    let format: Option<Object<'a>> = match format {
        Some(format) => Some(format),
        None => body.want("output_format", "")?,
    };
    let format = format.map(|format| shape(&format, budget)).transpose()?;
    let (format, instruction) = response_format(format, host);

    let mut system = conversation.system;
    if let Some(instruction) = instruction {
        budget.value(instruction.len())?;
        system.push(instruction.into());
    }
    let mut messages = Vec::with_capacity(conversation.items.len() + 1);
    if let Some(system) = instructions(system) {
        messages.push(Json::map([("role", Json::text("system")), ("content", system)]));
    }
    put_messages(conversation.items, host, &mut messages)?;
    out.put("messages", Json::List(messages));

    let tools = conversation.tools;
    if !tools.list.is_empty() {
        out.put("tools", Json::List(tools.list.into_iter().map(nested).collect()));
        if let Some(choice) = tools.choice {
            out.put("tool_choice", nested(choice));
        }
        if tools.one_at_a_time {
            out.put("parallel_tool_calls", Json::Bool(false));
        }
    }
    for (from, to) in [
        ("max_tokens", "max_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
    ] {
        if let Some(value) = body.number(from, "")? {
            out.put(to, Json::raw(value));
        }
    }
    let stops: Option<Vec<Text<'a>>> = body.want("stop_sequences", "")?;
    if let Some(stops) = stops.filter(|stops| !stops.is_empty()) {
        out.put("stop", Json::List(stops.into_iter().map(Json::from).collect()));
    }
    if let Some(format) = format {
        out.put("response_format", format);
    }
    let effort: Option<Text<'a>> = match &config {
        Some(config) => config.want("effort", "output_config")?,
        None => None,
    };
    let effort = conversation.effort.or(effort);
    let asked = thinking(body)?;
    host::think(
        host,
        &asked,
        body.raw("thinking").is_some(),
        effort.as_deref(),
        out,
    );
    if body.want("stream", "")?.unwrap_or_default() {
        out.put("stream", Json::Bool(true));
        out.put("stream_options", Json::map([("include_usage", Json::Bool(true))]));
    }
    Ok(asked.on)
}

/// Converts a function or tool choice of Responses into the nested form of Chat Completions.
fn nested(flat: Json<'_>) -> Json<'_> {
    let Json::Map(members) = flat else {
        return flat;
    };
    // Not every host supports `strict`.
    let inner = members
        .into_iter()
        .filter(|(name, _)| !matches!(&**name, "type" | "strict"));
    Json::map([
        ("type", Json::text("function")),
        ("function", Json::Map(inner.collect())),
    ])
}

/// The `response_format` for this host, and an instruction for the model if the host does not support schemas.
fn response_format(shape: Option<Json<'_>>, host: ChatHost) -> (Option<Json<'_>>, Option<String>) {
    let Some(Json::Map(mut members)) = shape.as_ref().and_then(|shape| shape.get("format")).cloned() else {
        return (None, None);
    };
    members.retain(|(name, _)| &**name != "type");
    if host::takes_schemas(host) {
        let format = Json::map([
            ("type", Json::text("json_schema")),
            ("json_schema", Json::Map(members)),
        ]);
        return (Some(format), None);
    }
    let schema = get(&members, "schema").map(Json::to_bytes).unwrap_or_default();
    let schema = String::from_utf8_lossy(&schema);
    let instruction = format!("Answer with JSON alone, an object of this JSON schema:\n{schema}");
    let format = Json::map([("type", Json::text("json_object"))]);
    (Some(format), Some(instruction))
}

/// An incomplete assistant message.
#[derive(Default)]
struct Turn<'a> {
    text: Option<Text<'a>>,
    reasoning: Option<(&'static str, Text<'a>)>,
    calls: Vec<Json<'a>>,
}

impl<'a> Turn<'a> {
    fn is_empty(&self) -> bool {
        self.text.is_none() && self.calls.is_empty()
    }

    fn append_text(&mut self, text: Text<'a>) {
        join(&mut self.text, text);
    }

    fn end(&mut self, host: ChatHost, messages: &mut Vec<Json<'a>>) {
        let turn = std::mem::take(self);
        if turn.is_empty() {
            return;
        }
        let mut message = Json::map([
            ("role", Json::text("assistant")),
            // Some hosts require it.
            ("content", turn.text.unwrap_or_default().into()),
        ]);
        match turn.reasoning {
            Some((field, text)) => message.put(field, text.into()),
            None if host::wants_reasoning_back(host) && !turn.calls.is_empty() => {
                message.put("reasoning_content", Json::text(""));
            }
            None => {}
        }
        if !turn.calls.is_empty() {
            message.put("tool_calls", Json::List(turn.calls));
        }
        messages.push(message);
    }
}

fn join<'a>(all: &mut Option<Text<'a>>, more: Text<'a>) {
    match all {
        Some(all) => {
            let all = all.0.to_mut();
            all.push_str("\n\n");
            all.push_str(&more);
        }
        None => *all = Some(more),
    }
}

/// Removes a member of an item and returns it.
fn member<'a>(members: &mut Vec<(Text<'a>, Json<'a>)>, name: &str) -> Option<Json<'a>> {
    let at = members.iter().position(|(member, _)| &**member == name)?;
    Some(members.swap_remove(at).1)
}

fn text<'a>(members: &mut Vec<(Text<'a>, Json<'a>)>, name: &str) -> Text<'a> {
    match member(members, name) {
        Some(Json::Text(text)) => text,
        _ => Text::default(),
    }
}

fn put_messages<'a>(
    items: Vec<Json<'a>>,
    host: ChatHost,
    messages: &mut Vec<Json<'a>>,
) -> Result<(), FieldRefusal> {
    let mut turn = Turn::default();
    // Images of results; they follow all results.
    let mut images: Vec<Json<'a>> = Vec::new();
    for item in items {
        let Json::Map(mut item) = item else { continue };
        let kind = text(&mut item, "type");
        match &*kind {
            "reasoning" => {
                let field = text(&mut item, "field");
                let field = REASONING.into_iter().find(|known| *known == &*field);
                let more = text(&mut item, "text");
                let (field, mut all) = match (turn.reasoning.take(), field) {
                    (Some((field, all)), _) => (field, Some(all)),
                    (None, Some(field)) => (field, None),
                    (None, None) => continue,
                };
                join(&mut all, more);
                turn.reasoning = all.map(|all| (field, all));
            }
            "function_call" => {
                let id = member(&mut item, "call_id").unwrap_or(Json::Null);
                let name = member(&mut item, "name").unwrap_or(Json::Null);
                let arguments = member(&mut item, "arguments").unwrap_or(Json::Null);
                turn.calls.push(Json::map([
                    ("id", id),
                    ("type", Json::text("function")),
                    ("function", Json::map([("name", name), ("arguments", arguments)])),
                ]));
            }
            "function_call_output" => {
                turn.end(host, messages);
                let id = member(&mut item, "call_id").unwrap_or(Json::Null);
                let content = match member(&mut item, "output") {
                    Some(Json::List(parts)) => Json::Text(result(parts, &mut images)?),
                    Some(output) => output,
                    None => Json::text(""),
                };
                messages.push(Json::map([
                    ("role", Json::text("tool")),
                    ("tool_call_id", id),
                    ("content", content),
                ]));
            }
            "message" => {
                let role = text(&mut item, "role");
                let Some(Json::List(parts)) = member(&mut item, "content") else {
                    continue;
                };
                if &*role == "assistant" {
                    push_images(&mut images, messages);
                    for part in parts {
                        if let Json::Map(mut part) = part {
                            turn.append_text(text(&mut part, "text"));
                        }
                    }
                } else {
                    turn.end(host, messages);
                    let mut content = std::mem::take(&mut images);
                    for part in parts {
                        content.push(chat_part(part)?);
                    }
                    messages.push(user(content));
                }
            }
            _ => {}
        }
        // The assistant continues after results.
        if matches!(&*kind, "reasoning" | "function_call") {
            push_images(&mut images, messages);
        }
    }
    turn.end(host, messages);
    push_images(&mut images, messages);
    Ok(())
}

/// Adds a user message with the images of results.
fn push_images<'a>(images: &mut Vec<Json<'a>>, messages: &mut Vec<Json<'a>>) {
    if !images.is_empty() {
        messages.push(user(std::mem::take(images)));
    }
}

/// A user message. Texts are sent as one text, since not every host accepts parts.
fn user(mut content: Vec<Json<'_>>) -> Json<'_> {
    let is_text = |part: &Json<'_>| part.get("type").and_then(Json::as_str) == Some("text");
    let content = if content.iter().all(is_text) {
        let mut all = None;
        for part in content.drain(..) {
            if let Json::Map(mut part) = part {
                join(&mut all, text(&mut part, "text"));
            }
        }
        Json::Text(all.unwrap_or_default())
    } else {
        Json::List(content)
    };
    Json::map([("role", Json::text("user")), ("content", content)])
}

/// Returns the text of a result and moves its images to `images`.
fn result<'a>(parts: Vec<Json<'a>>, images: &mut Vec<Json<'a>>) -> Result<Text<'a>, FieldRefusal> {
    let mut all = None;
    for part in parts {
        let part = chat_part(part)?;
        if part.get("type").and_then(Json::as_str) == Some("text") {
            if let Json::Map(mut part) = part {
                join(&mut all, text(&mut part, "text"));
            }
        } else {
            join(&mut all, "The image of this result follows.".into());
            images.push(part);
        }
    }
    Ok(all.unwrap_or_default())
}

/// Converts a part of Responses into a part of Chat Completions.
fn chat_part(part: Json<'_>) -> Result<Json<'_>, FieldRefusal> {
    let Json::Map(mut part) = part else {
        return Ok(part);
    };
    let kind = text(&mut part, "type");
    Ok(match &*kind {
        "input_image" => {
            let url = member(&mut part, "image_url").unwrap_or(Json::Null);
            Json::map([
                ("type", Json::text("image_url")),
                ("image_url", Json::map([("url", url)])),
            ])
        }
        "input_file" => {
            return Err(FieldRefusal::at(
                "messages",
                "a document other than text cannot be sent to a host that supports only chat completions",
            ));
        }
        _ => Json::map([
            ("type", Json::text("text")),
            ("text", text(&mut part, "text").into()),
        ]),
    })
}
