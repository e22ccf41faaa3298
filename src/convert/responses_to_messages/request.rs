//! Converts a Responses request into the body of `POST /v1/messages`.
//!
//! [`fields`] lists every top-level field and its treatment; unlisted fields are refused. Dropped from nested
//! objects: `id`, `status` and `phase` of items; `strict`, `async`, `output_schema`, `allowed_callers` and
//! `defer_loading` of tools; `detail` of images; `verbosity` of `text`; `context` and `mode` of `reasoning`.

pub(super) mod fields;
mod parts;
pub(super) mod tools;
mod tuning;
mod turns;

use super::names::Tools as Names;
use crate::convert::claude::model::{Model, Target};
use crate::convert::claude::thinking::Turn;
use crate::dialect::body::mended;
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::{Budget, written};
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

use self::turns::{Talk, Transcript, is_thought};
use crate::convert::claude::turns::text;

/// The recipient named in refusals.
const ACCOUNT: &str = "a Claude account";

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
    pub(super) model: String,
    pub(super) names: Names,
    /// The client wants to see thoughts.
    pub(super) shown: bool,
}

/// Converts the body of `POST /v1/responses`.
pub fn request(body: &[u8], options: &Options<'_>) -> Result<ConvertedRequest, FieldRefusal> {
    let body = mended(body);
    let budget = Budget::of(body.len());
    let body = Object::parse(&body).map_err(|error| FieldRefusal::at("the request body", error))?;
    fields::FIELDS.check(&body)?;
    let name = match options.model {
        Some(model) => model.into(),
        None => body.must::<Text<'_>>("model", "")?,
    };
    let model = Model::of(&name, options.target);
    let mut context = Context {
        model: name.0.clone().into_owned(),
        names: Names::default(),
        shown: false,
    };
    let stream = body.want("stream", "")?.unwrap_or_default();
    let mut talk = talk(&body, &budget)?;
    let called = std::mem::take(&mut talk.called);
    let mut tools = tools::convert(&body, &talk.added, called, &mut context.names, &budget)?;
    let mut out = Json::map([("model", name.into())]);
    let turn = Turn {
        open: talk.open && !begins_with_a_thought(&talk),
        forced: tools.forced,
    };
    let tuned = tuning::convert(&body, model, turn, &mut out, &budget)?;
    context.shown = tuned.shown;
    if let Some(line) = tuned.line {
        talk.system.push(text(line.into()));
    }
    if !tuned.thinks {
        forget(&mut talk);
    }
    mark(&mut talk, &mut tools.list);
    if !talk.system.is_empty() {
        out.put("system", Json::List(talk.system));
    }
    let turns = talk.turns.into_iter().map(|(role, content)| {
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
    if stream {
        out.put("stream", Json::Bool(true));
    }
    Ok(ConvertedRequest {
        body: written(&out, &budget)?,
        context,
    })
}

fn talk<'a>(body: &Object<'a>, budget: &Budget) -> Result<Talk<'a>, FieldRefusal> {
    let mut transcript = Transcript::new(budget);
    if let Some(instructions) = body.want("instructions", "")? {
        transcript.instructions(instructions);
    }
    match body.raw("input") {
        None => return Err(FieldRefusal::at("input", "Field required")),
        Some(raw) if raw.get().starts_with('"') => transcript.said(body.must("input", "")?),
        Some(_) => {
            let items: List<'a> = body.must("input", "")?;
            for (index, item) in items.into_iter().enumerate() {
                transcript.item(item, index)?;
            }
        }
    }
    transcript.finish()
}

/// Whether the assistant's last turn begins with a thought, which Claude requires to continue it with thinking
/// on.
fn begins_with_a_thought(talk: &Talk<'_>) -> bool {
    let last = talk.turns.iter().rev().find(|(role, _)| *role == "assistant");
    last.and_then(|(_, said)| said.first()).is_some_and(is_thought)
}

/// Removes thoughts, because the model will not think.
fn forget(talk: &mut Talk<'_>) {
    for (_, said) in &mut talk.turns {
        said.retain(|block| !is_thought(block));
    }
}

/// Sets cache marks at the ends of the prefix that the next request of the conversation will repeat. OpenAI's
/// clients expect caching, and Claude caches only what is marked.
fn mark<'a>(talk: &mut Talk<'a>, tools: &mut [Json<'a>]) {
    let last = talk.turns.last_mut().and_then(|(_, content)| content.last_mut());
    for block in [talk.system.last_mut().or(tools.last_mut()), last]
        .into_iter()
        .flatten()
    {
        block.put("cache_control", Json::map([("type", Json::text("ephemeral"))]));
    }
}
