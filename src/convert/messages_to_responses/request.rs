//! Converts an Anthropic request into the body of `POST /v1/responses`.
//!
//! [`fields`] lists every top-level field and its treatment; unlisted fields are refused. Dropped from nested
//! objects: every `cache_control`; `strict`, `input_examples`, `allowed_callers` and `eager_input_streaming` of
//! tools.

pub(super) mod fields;
mod parts;
pub(in crate::convert) mod tools;
pub(in crate::convert) mod tuning;
mod turns;

use super::model::Model;
use crate::convert::messages::names::Names;
use crate::dialect::body::mended;
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::{Budget, written};
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::{List, Object};
use crate::dialect::wire::text::Text;

use self::turns::{Talk, Transcript};

pub(in crate::convert) use self::turns::Reasoning;

/// The recipient named in refusals.
const ACCOUNT: &str = "an OpenAI account";

/// The members that `input_tokens` accepts.
const COUNTED: [&str; 7] = [
    "model",
    "instructions",
    "input",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
];

/// Properties of the account and of the call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The model to request, if it differs from the client's.
    pub model: Option<&'a str>,
    /// The account is a ChatGPT login.
    pub login: bool,
    /// Identifies the conversation, so that its calls share OpenAI's prompt cache.
    pub cache_key: Option<&'a str>,
    /// Only count the tokens.
    pub count: bool,
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
    pub(in crate::convert) model: String,
    pub(in crate::convert) names: Names,
    /// The client asked for thinking. Other clients get only the reasoning that the conversation needs to
    /// continue.
    pub(in crate::convert) thinking: bool,
}

/// Refuses a body that no protocol of OpenAI can carry. Returns the model to request (`model`, or else the client's)
/// and the context without what the conversion finds out.
pub(in crate::convert) fn begin<'a>(
    body: &Object<'a>,
    model: Option<&'a str>,
) -> Result<(Text<'a>, Context), FieldRefusal> {
    let servers: Option<List<'_>> = body.want("mcp_servers", "")?;
    if servers.is_some_and(|servers| !servers.is_empty()) {
        return Err(FieldRefusal::at(
            "mcp_servers",
            "an OpenAI account cannot be sent MCP servers of this protocol",
        ));
    }
    fields::FIELDS.check(body)?;
    let name = match model {
        Some(model) => model.into(),
        None => body.must::<Text<'_>>("model", "")?,
    };
    let context = Context {
        model: name.0.clone().into_owned(),
        names: Names::default(),
        thinking: false,
    };
    Ok((name, context))
}

/// Converts the body of `POST /v1/messages`.
pub fn request(body: &[u8], options: &Options<'_>) -> Result<ConvertedRequest, FieldRefusal> {
    let body = mended(body);
    let budget = Budget::of(body.len());
    let body = Object::parse(&body).map_err(|error| FieldRefusal::at("the request body", error))?;
    let (name, context) = begin(&body, options.model)?;
    let model = Model::of(&name);
    let stream = body.want("stream", "")?.unwrap_or_default();
    let (out, context) = convert(&body, name, model, options, context, stream, &budget)?;
    Ok(ConvertedRequest {
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
) -> Result<(Json<'a>, Context), FieldRefusal> {
    let conversation = conversation(body, &mut context.names, Reasoning::Encrypted, budget)?;
    let tools = conversation.tools;
    let mut out = Json::map([("model", name.into())]);
    match instructions(conversation.system) {
        Some(instructions) => out.put("instructions", instructions),
        // ChatGPT logins require the member.
        None if options.login => out.put("instructions", Json::text("")),
        None => {}
    }
    out.put("input", Json::List(conversation.items));
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
        conversation.effort.as_deref(),
        model,
        options.login,
        &mut out,
        budget,
    )?;
    if let Some(key) = options.cache_key {
        out.put("prompt_cache_key", Json::text(key));
    }
    // The client keeps the conversation.
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

/// The messages and tools of a request, as items and tools of Responses.
pub(in crate::convert) struct Conversation<'a> {
    pub system: Vec<Text<'a>>,
    pub items: Vec<Json<'a>>,
    pub tools: tools::Tools<'a>,
    /// The last effort set by a `system` message.
    pub effort: Option<Text<'a>>,
}

/// Converts the messages and tools. `reasoning` selects the reasoning of earlier turns that is sent back.
pub(in crate::convert) fn conversation<'a>(
    body: &Object<'a>,
    names: &mut Names,
    reasoning: Reasoning,
    budget: &Budget,
) -> Result<Conversation<'a>, FieldRefusal> {
    let talk = talk(body, names, reasoning, budget)?;
    Ok(Conversation {
        tools: tools::convert(body, &talk.loading, names, budget)?,
        system: talk.system,
        items: talk.items,
        effort: talk.effort,
    })
}

fn talk<'a>(
    body: &Object<'a>,
    names: &mut Names,
    reasoning: Reasoning,
    budget: &Budget,
) -> Result<Talk<'a>, FieldRefusal> {
    let mut transcript = Transcript::new(names, reasoning, budget);
    if let Some(system) = body.raw("system") {
        transcript.system(system)?;
    }
    let messages: List<'a> = body.must("messages", "")?;
    for (index, message) in messages.into_iter().enumerate() {
        transcript.message(message, index)?;
    }
    transcript.finish()
}

/// Joins the system's texts.
pub(in crate::convert) fn instructions(texts: Vec<Text<'_>>) -> Option<Json<'_>> {
    let mut texts = texts.into_iter();
    let mut all = texts.next()?;
    for more in texts {
        let all = all.0.to_mut();
        all.push_str("\n\n");
        all.push_str(&more);
    }
    Some(all.into())
}
