//! Generation parameters: length, randomness, thinking, response format.

use crate::convert::claude::model::Model;
use crate::convert::claude::schema;
use crate::convert::claude::thinking::{Effort, Turn, number, sampling, think};
use crate::dialect::wire::FieldRefusal;
use crate::dialect::wire::budget::Budget;
use crate::dialect::wire::json::Json;
use crate::dialect::wire::object::Object;
use crate::dialect::wire::text::Text;

/// Maximum number of stop sequences; higher than every provider's own limit.
const MOST_STOPS: usize = 100;

/// Writes the parameters into the request. Returns a line to add to the instructions.
pub(super) fn convert<'a>(
    body: &Object<'a>,
    model: Model,
    turn: Turn,
    out: &mut Json<'a>,
    budget: &Budget,
) -> Result<Option<&'static str>, FieldRefusal> {
    let most: Option<u64> = match body.want("max_completion_tokens", "")? {
        None => body.want("max_tokens", "")?,
        most => most,
    };
    let asked = most.is_some();
    let most = most.or(model.usual_output());
    if let Some(most) = most {
        out.put("max_tokens", number(most));
    }
    let mut config = Json::Map(Vec::new());
    let effort = effort(body)?;
    // Gemini thinks by default. A requested length may be meant for the answer alone, so then it does not.
    let effort = match effort {
        None if model == Model::Gemini && !asked => Some(Effort::Usual),
        effort => effort,
    };
    let thinks = match effort {
        None | Some(Effort::None) => false,
        Some(effort) => think(effort, model, most, turn, &mut config, out),
    };
    sampling(body, model, thinks, out)?;
    stops(body, out)?;
    let line = shape(body, model, &mut config, budget)?;
    if !matches!(&config, Json::Map(members) if members.is_empty()) {
        out.put("output_config", config);
    }
    Ok(line)
}

fn effort(body: &Object<'_>) -> Result<Option<Effort>, FieldRefusal> {
    let path = "reasoning_effort";
    let word: Option<Text<'_>> = body.want(path, "")?;
    let Some(word) = word else { return Ok(None) };
    Effort::of(&word, path).map(Some)
}

fn stops<'a>(body: &Object<'a>, out: &mut Json<'a>) -> Result<(), FieldRefusal> {
    let Some(raw) = body.raw("stop") else {
        return Ok(());
    };
    let stops: Vec<Text<'a>> = if raw.get().starts_with('"') {
        vec![body.must("stop", "")?]
    } else {
        body.texts("stop", "", MOST_STOPS)?.unwrap_or_default()
    };
    if !stops.is_empty() {
        let stops = stops.into_iter().map(Json::from).collect();
        out.put("stop_sequences", Json::List(stops));
    }
    Ok(())
}

/// Converts `response_format`.
fn shape<'a>(
    body: &Object<'a>,
    model: Model,
    config: &mut Json<'a>,
    budget: &Budget,
) -> Result<Option<&'static str>, FieldRefusal> {
    let path = "response_format";
    let format: Option<Object<'a>> = body.want(path, "")?;
    let Some(format) = format else {
        return Ok(None);
    };
    let kind: Text<'a> = format.must("type", path)?;
    let schema = match &*kind {
        "text" => return Ok(None),
        "json_object" if model == Model::Gemini => Json::map([("type", Json::text("object"))]),
        "json_object" => return Ok(Some("Answer with one JSON object and nothing around it.")),
        "json_schema" => {
            let place = format!("{path}.json_schema");
            let wanted: Object<'a> = format.must("json_schema", path)?;
            let Some(schema) = wanted.json("schema", &place, budget)? else {
                return Err(FieldRefusal::at(format_args!("{place}.schema"), "Field required"));
            };
            if !model.takes_schema() {
                return Err(FieldRefusal::at(path, "this model does not support a schema"));
            }
            if model == Model::Gemini {
                schema
            } else {
                schema::strict(schema).map_err(|why| FieldRefusal::at(format_args!("{place}.schema"), why))?
            }
        }
        other => {
            return Err(FieldRefusal::at(
                path,
                format_args!("`{other}` is not `text`, `json_object` or `json_schema`"),
            ));
        }
    };
    config.put(
        "format",
        Json::map([("type", Json::text("json_schema")), ("schema", schema)]),
    );
    Ok(None)
}
