//! An Anthropic request as the body of `generateContent`.
//!
//! Fields of the request that are left out, because they account for a call, tune how Anthropic serves
//! it, or save it work: `metadata`, `service_tier`, `inference_geo`, `container`, `context_management`,
//! `safeguards`, `speed`, `betas`, `fallbacks`, `cache_control` wherever it stands; of tools
//! `strict`, `input_examples`, `allowed_callers`, `eager_input_streaming`; of `tool_choice`
//! `disable_parallel_tool_use`, which Gemini cannot be told. A field that is not known here is left out
//! too: clients add such fields faster than relays learn them, and those that came so far all tuned.

mod blocks;
mod gemini;
mod said;
mod source;
mod tools;
mod tuning;
mod turns;

use serde::Serialize;

use self::gemini::Instruction;
pub(super) use self::gemini::{Content, Part};
use self::tools::{Tool, ToolConfig};
use self::tuning::Tuning;
use self::turns::Transcript;

use super::error::Refused;
use super::names::Names;
use super::object::{List, Object};
use super::schema::Form;
use super::text::Text;
use super::vendor::Model;

/// How the account's host wants its requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The model to ask for, where it is not the one the client named.
    pub model: Option<&'a str>,
    pub schemas: Form,
}

/// A request for a Gemini account.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The inner `generateContent` request, without any envelope.
    pub body: Vec<u8>,
    /// The model, as it stands in the URL or the envelope.
    pub model: String,
    /// The client wants the answer streamed.
    pub stream: bool,
    pub context: Context,
}

/// What turning the answer back takes.
#[derive(Clone, Debug)]
pub struct Context {
    pub(super) model: String,
    pub(super) names: Names,
}

/// What is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_instruction: Option<Instruction<'a>>,
    pub contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_config: Option<Tuning<'a>>,
}

/// Converts the body of `POST /v1/messages`.
pub fn request(body: &[u8], options: &Options<'_>) -> Result<Converted, Refused> {
    let body = read(body)?;
    let named = named(&body, options)?;
    let model = Model::of(&named);
    let (request, names) = convert(&body, model, options.schemas)?;
    Ok(Converted {
        body: written(&request),
        model: model.name.to_owned(),
        stream: body.want("stream", "")?.unwrap_or_default(),
        context: Context {
            model: model.name.to_owned(),
            names,
        },
    })
}

/// Converts the body of `POST /v1/messages/count_tokens`.
pub(super) fn for_count<T>(
    body: &[u8],
    options: &Options<'_>,
    then: impl FnOnce(&str, Request<'_>) -> T,
) -> Result<T, Refused> {
    let body = read(body)?;
    let named = named(&body, options)?;
    let model = Model::of(&named);
    let (mut request, _) = convert(&body, model, options.schemas)?;
    // What is generated does not count, and `max_tokens` is not there to bound it.
    request.generation_config = None;
    Ok(then(model.name, request))
}

fn read(body: &[u8]) -> Result<Object<'_>, Refused> {
    let place = "the request body";
    let body = std::str::from_utf8(body).map_err(|error| Refused::at(place, error))?;
    let body = Object::read(body, place)?;
    let servers: Option<List<'_>> = body.want("mcp_servers", "")?;
    if servers.is_some_and(|servers| !servers.is_empty()) {
        return Err(Refused::at(
            "mcp_servers",
            "a Gemini account cannot call MCP servers",
        ));
    }
    Ok(body)
}

fn named<'a>(body: &Object<'a>, options: &Options<'a>) -> Result<Text<'a>, Refused> {
    match options.model {
        Some(model) => Ok(model.into()),
        None => body.must("model", ""),
    }
}

fn convert<'a>(body: &Object<'a>, model: Model<'a>, form: Form) -> Result<(Request<'a>, Names), Refused> {
    let mut names = Names::default();
    let mut transcript = Transcript::new(model, &mut names);
    if let Some(system) = body.raw("system") {
        transcript.system(system)?;
    }
    let messages: List<'a> = body.must("messages", "")?;
    for (index, message) in messages.into_iter().enumerate() {
        transcript.message(message, index)?;
    }
    let talk = transcript.finish()?;
    let tools = tools::convert(body, &talk.loading, &mut names, form)?;
    let generation_config = tuning::convert(body, talk.effort, !tools.tools.is_empty(), model, form)?;
    let request = Request {
        system_instruction: Instruction::of(talk.system),
        contents: talk.contents,
        tools: tools.tools,
        tool_config: tools.config,
        generation_config: Some(generation_config),
    };
    Ok((request, names))
}

/// Everything here serialises: maps have names for keys, and raw parts were read as JSON.
pub(super) fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
