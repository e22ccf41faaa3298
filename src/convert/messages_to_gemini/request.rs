//! Converts an Anthropic request into the body of `generateContent`.
//!
//! [`fields`] lists every top-level field and its treatment; unlisted fields are refused. Dropped from nested
//! objects: every `cache_control`; `strict`, `input_examples`, `allowed_callers` and `eager_input_streaming` of
//! tools; and `disable_parallel_tool_use` of `tool_choice`, for which Gemini has no parameter.

mod blocks;
pub(super) mod fields;
mod gemini;
mod model_turn;
mod pending;
mod tools;
mod tuning;
mod turns;

use serde::Serialize;

use self::gemini::Instruction;
pub(super) use self::gemini::{Content, Part};
use self::tools::{Tool, ToolConfig};
use self::tuning::Tuning;
use self::turns::Transcript;

use super::budget::{Budget, written};
use super::error::FieldRefusal;
use super::object::{List, Object};
use super::schema::Form;
use super::text::Text;
use super::vendor::Model;
use crate::convert::messages::names::Names;
use crate::dialect::body::mended;
use crate::dialect::wire::MODALITIES;

/// Properties of the account's host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The model to request, if it differs from the client's.
    pub model: Option<&'a str>,
    pub schemas: Form,
}

/// A converted request.
#[derive(Clone, Debug)]
pub struct ConvertedRequest {
    /// The inner `generateContent` request, without any envelope.
    pub body: Vec<u8>,
    /// The model's name for the URL or the envelope.
    pub model: String,
    /// The client wants a stream.
    pub stream: bool,
    pub context: Context,
}

/// Needed to convert the answer.
#[derive(Clone, Debug)]
pub struct Context {
    pub(super) model: String,
    pub(super) names: Names,
    /// The client's name for the web search, if Gemini may search.
    pub(super) search: Option<String>,
    /// The client's protocol supports images in answers.
    pub(super) images: bool,
}

/// The body of `generateContent`.
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
pub fn request(body: &[u8], options: &Options<'_>) -> Result<ConvertedRequest, FieldRefusal> {
    let body = mended(body);
    let budget = Budget::of(body.len());
    let body = read(&body)?;
    let named = named(&body, options)?;
    let model = Model::of(&named);
    let images = Images::of(&body)?;
    if model.makes_images() && images == Images::Unknown {
        return Err(FieldRefusal::at(
            "model",
            format_args!(
                "`{}` answers with images, which have no place in an answer of the Messages API: ask it by Chat \
                 Completions or by the Gemini API",
                model.name
            ),
        ));
    }
    let (mut request, names, search) = convert(&body, model, options.schemas, &budget)?;
    if let (Images::Asked(kinds), Some(config)) = (&images, &mut request.generation_config) {
        config.answer_with(kinds.clone());
    }
    Ok(ConvertedRequest {
        body: written(&request, &budget)?,
        model: model.name.to_owned(),
        stream: body.want("stream", "")?.unwrap_or_default(),
        context: Context {
            model: model.name.to_owned(),
            names,
            search,
            images: images != Images::Unknown,
        },
    })
}

/// Whether the client's protocol supports images in answers, see [`MODALITIES`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Images {
    Unknown,
    Accepted,
    /// The client lists the kinds of output.
    Asked(Vec<&'static str>),
}

impl Images {
    fn of(body: &Object<'_>) -> Result<Self, FieldRefusal> {
        let kinds = body.texts(MODALITIES, "", 2)?;
        let Some(kinds) = kinds else {
            return Ok(Self::Unknown);
        };
        let kinds: Vec<&'static str> = kinds
            .iter()
            .filter_map(|kind| match &**kind {
                "text" => Some("TEXT"),
                "image" => Some("IMAGE"),
                _ => None,
            })
            .collect();
        Ok(if kinds.contains(&"IMAGE") {
            Self::Asked(kinds)
        } else {
            Self::Accepted
        })
    }
}

/// Converts the body of `POST /v1/messages/count_tokens`.
pub(super) fn for_count<T>(
    body: &[u8],
    options: &Options<'_>,
    then: impl FnOnce(&str, Request<'_>, &Budget) -> Result<T, FieldRefusal>,
) -> Result<T, FieldRefusal> {
    let body = mended(body);
    let budget = Budget::of(body.len());
    let body = read(&body)?;
    let named = named(&body, options)?;
    let model = Model::of(&named);
    let (mut request, ..) = convert(&body, model, options.schemas, &budget)?;
    // Output does not count, and `count_tokens` has no `max_tokens` to limit it.
    request.generation_config = None;
    then(model.name, request, &budget)
}

fn read(body: &[u8]) -> Result<Object<'_>, FieldRefusal> {
    let place = "the request body";
    let body = std::str::from_utf8(body).map_err(|error| FieldRefusal::at(place, error))?;
    let body = Object::read(body, place)?;
    let servers: Option<List<'_>> = body.want("mcp_servers", "")?;
    if servers.is_some_and(|servers| !servers.is_empty()) {
        return Err(FieldRefusal::at(
            "mcp_servers",
            "a Gemini account cannot call MCP servers",
        ));
    }
    fields::FIELDS.check(&body)?;
    Ok(body)
}

fn named<'a>(body: &Object<'a>, options: &Options<'a>) -> Result<Text<'a>, FieldRefusal> {
    match options.model {
        Some(model) => Ok(model.into()),
        None => body.must("model", ""),
    }
}

/// The request, the changed names, and the client's name for the web search.
type RequestParts<'a> = (Request<'a>, Names, Option<String>);

fn convert<'a>(
    body: &Object<'a>,
    model: Model<'a>,
    form: Form,
    budget: &Budget,
) -> Result<RequestParts<'a>, FieldRefusal> {
    let mut names = Names::default();
    let mut transcript = Transcript::new(model, &mut names, budget);
    if let Some(system) = body.raw("system") {
        transcript.system(system)?;
    }
    let messages: List<'a> = body.must("messages", "")?;
    for (index, message) in messages.into_iter().enumerate() {
        transcript.message(message, index)?;
    }
    let mut talk = transcript.finish()?;
    let tools = tools::convert(body, &talk.loading, &mut names, form, budget)?;
    talk.system.extend(tools.words.map(Part::text));
    let with_tools = !tools.list.is_empty();
    let generation_config = tuning::convert(body, talk.effort, with_tools, model, form, budget)?;
    let request = Request {
        system_instruction: Instruction::of(talk.system),
        contents: talk.contents,
        tools: tools.list,
        tool_config: tools.config,
        generation_config: Some(generation_config),
    };
    Ok((request, names, tools.search))
}
