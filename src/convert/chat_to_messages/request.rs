//! Converts a chat completion request into the body of `POST /v1/messages`.
//!
//! [`fields`] lists every top-level field and its treatment; unlisted fields are refused. Dropped from nested
//! objects: `name` of messages, `strict` of tools, `detail` of images.

pub(super) mod fields;
mod parts;
mod tools;
mod tuning;
mod turns;

use crate::convert::claude::model::{Model, Target};
use crate::convert::claude::thinking::Turn;
use crate::convert::claude::turns::text;
use crate::dialect::body::mended;
use crate::dialect::wire::budget::{Budget, written};
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;
use crate::dialect::wire::{FieldRefusal, MODALITIES};

use self::turns::{Talk, Transcript};

/// `text` and `image`.
const MOST_MODALITIES: usize = 2;

#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    pub target: Target,
    /// The model to request, if it differs from the client's.
    pub model: Option<&'a str>,
}

/// A converted request.
#[derive(Clone, Debug)]
pub struct ConvertedRequest {
    pub body: Vec<u8>,
    pub context: Context,
}

/// Needed to convert the answer.
#[derive(Clone, Debug)]
pub struct Context {
    /// The requested model.
    pub model: String,
    /// The client wants a last chunk with the usage.
    pub include_usage: bool,
}

/// Converts the body of `POST /v1/chat/completions`.
pub fn request(body: &[u8], options: &Options<'_>) -> Result<ConvertedRequest, FieldRefusal> {
    let body = mended(body);
    let budget = Budget::of(body.len());
    let body = Object::parse(&body).map_err(|error| FieldRefusal::at("the request body", error))?;
    refuse(&body)?;
    let modalities = modalities(&body, options.target)?;
    let name = match options.model {
        Some(model) => model.into(),
        None => body.must::<Text<'_>>("model", "")?,
    };
    let model = Model::of(&name, options.target);
    let talk = talk(&body, options.target, &budget)?;
    let stream = body.want("stream", "")?.unwrap_or_default();
    let options: Option<Object<'_>> = body.want("stream_options", "")?;
    let include_usage = match options {
        Some(options) => options
            .want("include_usage", "stream_options")?
            .unwrap_or_default(),
        None => false,
    };
    let context = Context {
        model: name.0.clone().into_owned(),
        include_usage,
    };
    let mut sent = converted(&body, name, model, talk, &budget)?;
    if stream {
        sent.put("stream", Json::Bool(true));
    }
    if let Some(modalities) = modalities {
        sent.put(MODALITIES, modalities);
    }
    Ok(ConvertedRequest {
        body: written(&sent, &budget)?,
        context,
    })
}

fn talk<'a>(body: &Object<'a>, target: Target, budget: &Budget) -> Result<Talk<'a>, FieldRefusal> {
    let messages: List<'a> = body.must("messages", "")?;
    let mut transcript = Transcript::new(target, budget);
    for (index, message) in messages.into_iter().enumerate() {
        transcript.message(message, index)?;
    }
    transcript.finish()
}

fn converted<'a>(
    body: &Object<'a>,
    name: Text<'a>,
    model: Model,
    mut talk: Talk<'a>,
    budget: &Budget,
) -> Result<Json<'a>, FieldRefusal> {
    let mut tools = tools::convert(body, std::mem::take(&mut talk.called), budget)?;
    let mut out = Json::map([("model", name.into())]);
    let turn = Turn {
        open: talk.open,
        forced: tools.forced,
    };
    let line = tuning::convert(body, model, turn, &mut out, budget)?;
    if let Some(line) = line {
        talk.system.push(text(line.into()));
    }
    if model != Model::Gemini && !talk.marked && (talk.answered || !tools.list.is_empty()) {
        mark(&mut talk, &mut tools.list);
    }
    if !talk.system.is_empty() {
        out.put("system", Json::List(talk.system));
    }
    let turns = talk.turns.into_iter();
    let turns = turns.map(|(role, content)| {
        let content = Json::List(content);
        Json::map([("role", Json::text(role)), ("content", content)])
    });
    out.put("messages", Json::List(turns.collect()));
    if !tools.list.is_empty() {
        out.put("tools", Json::List(tools.list));
    }
    if let Some(choice) = tools.choice {
        out.put("tool_choice", choice);
    }
    Ok(out)
}

/// The kinds of output that the client accepts; `None` for text only.
fn modalities<'a>(body: &Object<'a>, target: Target) -> Result<Option<Json<'a>>, FieldRefusal> {
    let asked = body.texts("modalities", "", MOST_MODALITIES)?.unwrap_or_default();
    let images = target == Target::Gemini;
    for kind in &asked {
        if &**kind != "text" && !(images && &**kind == "image") {
            return Err(FieldRefusal::at(
                "modalities",
                format_args!("`{}` is not supported here", &**kind),
            ));
        }
    }
    Ok(images.then(|| Json::List(asked.into_iter().map(Json::from).collect())))
}

/// Sets cache marks at the ends of the prefix that the next request of the conversation will repeat.
fn mark<'a>(talk: &mut Talk<'a>, tools: &mut [Json<'a>]) {
    let last = talk.turns.last_mut().and_then(|(_, content)| content.last_mut());
    for block in [talk.system.last_mut().or(tools.last_mut()), last]
        .into_iter()
        .flatten()
    {
        block.put("cache_control", Json::map([("type", Json::text("ephemeral"))]));
    }
}

/// Refuses parameters that only OpenAI implements.
fn refuse(body: &Object<'_>) -> Result<(), FieldRefusal> {
    let wanted = body.want("n", "")?.unwrap_or(1_u64);
    if wanted != 1 {
        return Err(FieldRefusal::at("n", "only one choice is supported here"));
    }
    if body.want("logprobs", "")?.unwrap_or(false)
        || body.raw("top_logprobs").is_some_and(|top| top.get() != "0")
    {
        return Err(FieldRefusal::at("logprobs", "the model here returns none"));
    }
    fields::FIELDS.check(body)
}
