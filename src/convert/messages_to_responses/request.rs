//! An Anthropic request as the body of `POST /v1/responses`.
//!
//! [`fields`] says what becomes of each top-level field; what it does not name is refused. Inside of them, these are
//! left out: `cache_control` wherever it stands; of tools `strict`, `input_examples`, `allowed_callers`,
//! `eager_input_streaming`.

pub(super) mod fields;
mod parts;
mod tools;
mod tuning;
mod turns;

use super::model::Model;
use crate::convert::messages::names::Names;
use crate::dialect::body::mended;
use crate::dialect::wire::Refused;
use crate::dialect::wire::budget::{Budget, written};
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

use self::turns::{Talk, Transcript};

/// Whom a block or tool cannot be sent to.
const ACCOUNT: &str = "an OpenAI account";

/// What of a request is counted, in OpenAI's words.
const COUNTED: [&str; 7] = [
    "model",
    "instructions",
    "input",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
];

/// How the account wants its requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The model to ask for, where it is not the one the client named.
    pub model: Option<&'a str>,
    /// It is a login of ChatGPT.
    pub login: bool,
    /// Names the conversation, so that its calls find what OpenAI has cached of it.
    pub cache_key: Option<&'a str>,
    /// Its tokens are to be counted, and nothing else.
    pub count: bool,
}

/// A request for an OpenAI account.
#[derive(Clone, Debug)]
pub struct Converted {
    pub body: Vec<u8>,
    pub context: Context,
}

/// What turning the answer back takes.
#[derive(Clone, Debug)]
pub struct Context {
    /// The model that was asked.
    pub(super) model: String,
    pub(super) names: Names,
    /// The client asked for thinking. Others get only what the conversation needs to go on.
    pub(super) thinking: bool,
}

/// Converts the body of `POST /v1/messages`.
pub fn request(body: &[u8], options: &Options<'_>) -> Result<Converted, Refused> {
    let body = mended(body);
    let budget = Budget::of(body.len());
    let body = Object::parse(&body).map_err(|error| Refused::at("the request body", error))?;
    let servers: Option<List<'_>> = body.want("mcp_servers", "")?;
    if servers.is_some_and(|servers| !servers.is_empty()) {
        return Err(Refused::at(
            "mcp_servers",
            "an OpenAI account cannot be sent MCP servers of this protocol",
        ));
    }
    fields::FIELDS.check(&body)?;
    let name = match options.model {
        Some(model) => model.into(),
        None => body.must::<Text<'_>>("model", "")?,
    };
    let model = Model::of(&name);
    let context = Context {
        model: name.0.clone().into_owned(),
        names: Names::default(),
        thinking: false,
    };
    let stream = body.want("stream", "")?.unwrap_or_default();
    let (out, context) = convert(&body, name, model, options, context, stream, &budget)?;
    Ok(Converted {
        body: written(&out, &budget)?,
        context,
    })
}

fn convert<'a>(
    body: &Object<'a>,
    name: Text<'a>,
    model: Model,
    options: &Options<'a>,
    mut context: Context,
    stream: bool,
    budget: &Budget,
) -> Result<(Json<'a>, Context), Refused> {
    let mut talk = talk(body, &mut context.names, budget)?;
    let tools = tools::convert(body, &talk.loading, &mut context.names, budget)?;
    let mut out = Json::map([("model", name.into())]);
    match instructions(std::mem::take(&mut talk.system)) {
        Some(instructions) => out.put("instructions", instructions),
        // They must be there.
        None if options.login => out.put("instructions", Json::text("")),
        None => {}
    }
    out.put("input", Json::List(talk.items));
    if !tools.list.is_empty() {
        out.put("tools", Json::List(tools.list));
        if let Some(choice) = tools.choice {
            out.put("tool_choice", choice);
        }
        if tools.one_at_a_time {
            out.put("parallel_tool_calls", Json::Bool(false));
        }
    }
    context.thinking = tuning::convert(
        body,
        talk.effort.as_deref(),
        model,
        options.login,
        &mut out,
        budget,
    )?;
    if let Some(key) = options.cache_key {
        out.put("prompt_cache_key", Json::text(key));
    }
    // The conversation is the client's to keep.
    out.put("store", Json::Bool(false));
    if stream || options.login {
        out.put("stream", Json::Bool(true));
    }
    if options.count
        && let Json::Map(members) = &mut out
    {
        members.retain(|(name, _)| COUNTED.contains(&&**name));
    }
    Ok((out, context))
}

fn talk<'a>(body: &Object<'a>, names: &mut Names, budget: &Budget) -> Result<Talk<'a>, Refused> {
    let mut transcript = Transcript::new(names, budget);
    if let Some(system) = body.raw("system") {
        transcript.system(system)?;
    }
    let messages: List<'a> = body.must("messages", "")?;
    for (index, message) in messages.into_iter().enumerate() {
        transcript.message(message, index)?;
    }
    transcript.finish()
}

/// All of the system's texts as one.
fn instructions(texts: Vec<Text<'_>>) -> Option<Json<'_>> {
    let mut texts = texts.into_iter();
    let mut all = texts.next()?;
    for more in texts {
        let all = all.0.to_mut();
        all.push_str("\n\n");
        all.push_str(&more);
    }
    Some(all.into())
}
