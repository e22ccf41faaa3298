//! Generation parameters: length, randomness, reasoning, output format.

use super::ACCOUNT;

use crate::convert::claude::model::Model;
use crate::convert::claude::schema;
use crate::convert::claude::thinking::{Effort, Turn, sampling, think};
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// Extra output that the client may ask for and that may be missing from an answer.
const HARMLESS: [&str; 6] = [
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
];

/// Consequences for the rest of the request.
#[derive(Default)]
pub(super) struct TuningResult {
    /// A line to add to the instructions.
    pub line: Option<&'static str>,
    /// The model thinks.
    pub thinks: bool,
    /// The client wants to see thoughts.
    pub shown: bool,
}

/// Writes the parameters into the request.
pub(super) fn convert<'a>(
    body: &Object<'a>,
    model: Model,
    turn: Turn,
    out: &mut Json<'a>,
    budget: &Budget,
) -> Result<TuningResult, FieldRefusal> {
    refuse(body)?;
    let most: Option<u64> = body.want("max_output_tokens", "")?;
    let most = most.or(model.usual_output());
    if let Some(most) = most {
        out.put("max_tokens", Json::Number(most.into()));
    }
    let mut config = Json::Map(Vec::new());
    let (effort, shown) = reasoning(body)?;
    let thinks = match effort {
        None | Some(Effort::None) => false,
        Some(effort) => think(effort, model, most, turn, &mut config, out),
    };
    sampling(body, model, thinks, out)?;
    let line = shape(body, model, &mut config, budget)?;
    if config.as_map().is_some_and(|members| !members.is_empty()) {
        out.put("output_config", config);
    }
    Ok(TuningResult { line, thinks, shown })
}

/// Refuses parameters that only OpenAI implements.
fn refuse(body: &Object<'_>) -> Result<(), FieldRefusal> {
    if body.want("background", "")?.unwrap_or(false) {
        return Err(FieldRefusal::at(
            "background",
            format_args!("{ACCOUNT} answers at once or not at all"),
        ));
    }
    if body.want("top_logprobs", "")?.unwrap_or(0_u64) > 0 {
        return Err(FieldRefusal::at("top_logprobs", "the model here returns none"));
    }
    for asked in body.texts("include", "", 20)?.unwrap_or_default() {
        if !HARMLESS.contains(&&*asked) {
            return Err(FieldRefusal::at(
                "include",
                format_args!("`{}` is not supported here", &*asked),
            ));
        }
    }
    Ok(())
}

/// The requested effort (`None`: no reasoning), and whether the client wants to see the reasoning.
fn reasoning(body: &Object<'_>) -> Result<(Option<Effort>, bool), FieldRefusal> {
    let asked: Option<Object<'_>> = body.want("reasoning", "")?;
    let Some(asked) = asked else {
        return Ok((None, false));
    };
    let word: Option<Text<'_>> = asked.want("effort", "reasoning")?;
    let effort = match word {
        Some(word) => Effort::of(&word, "reasoning.effort")?,
        None => Effort::Usual,
    };
    let summary: Option<Text<'_>> = match asked.want("summary", "reasoning")? {
        None => asked.want("generate_summary", "reasoning")?,
        summary => summary,
    };
    let shown = summary.is_some_and(|summary| &*summary != "none");
    Ok((Some(effort), shown))
}

/// Converts `text.format`. `verbosity` is dropped.
fn shape<'a>(
    body: &Object<'a>,
    model: Model,
    config: &mut Json<'a>,
    budget: &Budget,
) -> Result<Option<&'static str>, FieldRefusal> {
    let text: Option<Object<'a>> = body.want("text", "")?;
    let format: Option<Object<'a>> = match text {
        Some(text) => text.want("format", "text")?,
        None => None,
    };
    let Some(format) = format else {
        return Ok(None);
    };
    let path = "text.format";
    let kind: Text<'a> = format.must("type", path)?;
    match &*kind {
        "text" => Ok(None),
        "json_object" => Ok(Some("Answer with one JSON object and nothing around it.")),
        "json_schema" => {
            let Some(schema) = format.json("schema", path, budget)? else {
                return Err(FieldRefusal::at(format_args!("{path}.schema"), "Field required"));
            };
            if !model.takes_schema() {
                return Err(FieldRefusal::at(path, "this model does not support a schema"));
            }
            let schema =
                schema::strict(schema).map_err(|why| FieldRefusal::at(format_args!("{path}.schema"), why))?;
            config.put(
                "format",
                Json::map([("type", Json::text("json_schema")), ("schema", schema)]),
            );
            Ok(None)
        }
        other => Err(FieldRefusal::at(
            path,
            format_args!("`{other}` is not `text`, `json_object` or `json_schema`"),
        )),
    }
}
