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

use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_json::value::RawValue;

use self::gemini::Instruction;
pub(super) use self::gemini::{Content, Part};
use self::tools::{Tool, ToolConfig};
use self::tuning::Tuning;
use self::turns::Transcript;

use super::error::{self, Refused};
use super::names::Names;
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

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default, borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    system: Option<&'a RawValue>,
    #[serde(default, borrow)]
    tools: Option<Vec<&'a RawValue>>,
    #[serde(default, borrow)]
    tool_choice: Option<ToolChoice<'a>>,
    #[serde(default, borrow)]
    thinking: Option<Thinking<'a>>,
    #[serde(default, borrow)]
    output_config: Option<OutputConfig<'a>>,
    /// Where `output_config.format` was before.
    #[serde(default, borrow)]
    output_format: Option<Format<'a>>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    temperature: Option<Number>,
    #[serde(default)]
    top_p: Option<Number>,
    #[serde(default)]
    top_k: Option<Number>,
    #[serde(default, borrow)]
    stop_sequences: Option<Vec<Text<'a>>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default, borrow)]
    mcp_servers: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct ToolChoice<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default, borrow)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default)]
    budget_tokens: Option<u64>,
    #[serde(default, borrow)]
    display: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(default, borrow)]
    effort: Option<Text<'a>>,
    #[serde(default, borrow)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default, borrow)]
    schema: Option<&'a RawValue>,
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
    #[serde(skip_serializing_if = "Tuning::is_empty")]
    generation_config: Tuning<'a>,
}

/// Converts the body of `POST /v1/messages`.
pub fn request(body: &[u8], options: &Options<'_>) -> Result<Converted, Refused> {
    let body = read(body)?;
    let named = options.model.unwrap_or(&body.model);
    let model = Model::of(named);
    let (request, names) = convert(&body, model, options.schemas)?;
    Ok(Converted {
        body: written(&request),
        model: model.name.to_owned(),
        stream: body.stream.unwrap_or_default(),
        context: Context {
            model: model.name.to_owned(),
            names,
        },
    })
}

/// Converts the body of `POST /v1/messages/count_tokens` and hands it to `then`.
pub(super) fn for_count<T>(
    body: &[u8],
    options: &Options<'_>,
    then: impl FnOnce(&str, Request<'_>) -> T,
) -> Result<T, Refused> {
    let body = read(body)?;
    let model = Model::of(options.model.unwrap_or(&body.model));
    let (mut request, _) = convert(&body, model, options.schemas)?;
    // What is generated does not count, and `max_tokens` is not there to bound it.
    request.generation_config = Tuning::default();
    Ok(then(model.name, request))
}

fn read(body: &[u8]) -> Result<Body<'_>, Refused> {
    let place = "the request body";
    let body = std::str::from_utf8(body).map_err(|error| Refused::at(place, error))?;
    let body: Body<'_> = error::object(body, place)?;
    if body
        .mcp_servers
        .as_ref()
        .is_some_and(|servers| !servers.is_empty())
    {
        return Err(Refused::at(
            "mcp_servers",
            "a Gemini account cannot call MCP servers",
        ));
    }
    Ok(body)
}

fn convert<'a>(body: &'a Body<'a>, model: Model<'a>, form: Form) -> Result<(Request<'a>, Names), Refused> {
    let mut names = Names::default();
    let mut transcript = Transcript::new(model, &mut names);
    if let Some(system) = body.system {
        transcript.system(system)?;
    }
    for (index, message) in body.messages.iter().enumerate() {
        transcript.message(message, index)?;
    }
    let talk = transcript.finish()?;
    let tools = tools::convert(body, &talk.loading, &mut names, form)?;
    let generation_config =
        tuning::convert(body, talk.effort.as_ref(), !tools.tools.is_empty(), model, form)?;
    let request = Request {
        system_instruction: Instruction::of(talk.system),
        contents: talk.contents,
        tools: tools.tools,
        tool_config: tools.config,
        generation_config,
    };
    Ok((request, names))
}

/// Everything here serialises: maps have names for keys, and raw parts were read as JSON.
pub(super) fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
